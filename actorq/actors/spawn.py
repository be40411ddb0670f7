"""What asyncio and trio do differently, and anyio has no word for.

The queue may be entered in one task and left in another (fixtures, web servers), so its actors cannot be
children of whoever opened it: they are tasks of the loop. And a worker must tell a job that cancels its own
task from a loop that is being torn down.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from functools import partial
from math import inf
from typing import Any, cast

__all__ = ["Spawned", "caller", "current", "is_trio", "knock", "loop_time", "spawn"]


def is_trio() -> bool:
    """Tell whether this is called on trio (otherwise on asyncio)."""
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


def loop_time() -> Callable[[], float]:
    """Return the monotonic clock of the loop that is running."""
    if is_trio():
        return cast("Callable[[], float]", sys.modules["trio"].current_time)
    return asyncio.get_running_loop().time


def caller() -> Callable[[Callable[[], None]], object]:
    """Return what other threads may give a function to, to be called on the loop that is running now.

    It raises RuntimeError when the loop is gone.
    """
    if is_trio():
        token = sys.modules["trio"].lowlevel.current_trio_token()
        return cast("Callable[[Callable[[], None]], object]", token.run_sync_soon)
    context = Context()
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:  # a callback is no task, by which it would know the loop
        context.run(sniffio.current_async_library_cvar.set, "asyncio")
    return partial(asyncio.get_running_loop().call_soon_threadsafe, context=context)


def knock(call_soon: Callable[[Callable[[], None]], object]) -> None:
    """Raise RuntimeError if the loop that this belongs to is gone."""
    call_soon(_nothing)


def _nothing() -> None:
    """Do it: whoever can is there."""


class Spawned:
    """A task of the loop, which holds it for as long as it lives (asyncio itself does so only weakly)."""

    def __init__(self, task: asyncio.Task[Any] | None, on_trio: Any = None) -> None:
        self._task = task
        self._on_trio = on_trio

    def cancel(self) -> None:
        """Interrupt it whatever shields it; on trio, if it has been cancelled: its shields are taken away."""
        if self._task is not None:
            self._task.cancel()
        if self._on_trio is not None:
            _take_shields(self._on_trio, self._on_trio.parent_nursery)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has called ``cancel()`` on it."""
        return self._task is not None and self._task.cancelling() > 0

    def forget_cancellation(self) -> None:
        """Let it go on as if nobody had called ``cancel()`` on it."""
        while self._task is not None and self._task.uncancel():
            pass

    async def absorb_cancellation(self) -> None:
        """Take the blow of a ``cancel()`` that it has not felt yet. It is the task that calls this."""
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        self.forget_cancellation()

    def is_being_torn_down(self) -> bool:
        """Tell whether the loop wants this task to end: it is closing, and will run nothing more for long.

        On asyncio a task may be cancelled by anyone, so it is this one that tells. On trio all of them share the
        scope of the system's nursery; and a job may raise a ``Cancelled`` that it caught elsewhere.
        """
        if self._task is None:
            return bool(sys.modules["trio"].current_effective_deadline() == -inf)
        return self._task.cancelling() > 0 or self._task.cancelled()


_spawned: set[asyncio.Task[None]] = set()


def spawn(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> Spawned:
    """Run it as a task of the loop, in a clean context. It must not raise."""
    if is_trio():
        task = sys.modules["trio"].lowlevel.spawn_system_task(run, name=name, context=Context())
        return Spawned(None, task)
    task = asyncio.get_running_loop().create_task(run(), name=name, context=Context())
    _spawned.add(task)
    task.add_done_callback(_spawned.discard)
    return Spawned(task)


def _take_shields(task: Any, nursery: Any) -> None:
    """Let cancellation from outside the nursery reach a task in it, and its children.

    A shield that has no end would keep ``trio.run()`` from ever returning, and trio has no public name for where a
    task's scopes are. If that changes one day, such a task is left behind, as it was before.
    """
    with suppress(AttributeError):
        status, outside = task._cancel_status, nursery._cancel_status  # noqa: SLF001 - no public way
        while status is not outside:
            status._scope.shield = False  # noqa: SLF001
            status = status._parent  # noqa: SLF001
    for inner in task.child_nurseries:
        for child in list(inner.child_tasks):
            _take_shields(child, inner)


def current() -> Spawned:
    """Return the task that this is called in."""
    return Spawned(None if is_trio() else asyncio.current_task())
