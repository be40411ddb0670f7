"""Threads in which functions run beside the event loop, and which never keep the program from ending.

On asyncio they are our own: anyio's, like those of asyncio's executor, are waited for when the interpreter exits, so
a job that blocks for ever would keep alive a program whose queue was closed long ago. Ours are daemons. So are
trio's, and there it is trio's that are used: ``trio.from_thread.run()`` knows no others.

Nobody can end a thread. Whoever stops waiting for one leaves it behind: it goes on until its function has ended,
nobody hears what comes of that, and only that it has ended is told. Nothing here bounds how many there are: it is as
many as there are workers, and those that were left behind.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from math import inf
from queue import Empty, SimpleQueue
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import EventLoopToken, checkpoint_if_cancelled

from actorq.actors.spawn import is_trio
from actorq.config import THREAD_IDLE_S

__all__ = ["Call", "Threads"]


class Call:
    """A function on its way through a thread."""

    def __init__(self, fn: Callable[[], Any], on_left_behind_end: Callable[[], object]) -> None:
        """Take what to call, and whom to tell on the loop, if nobody waits any more, that it has ended.

        Who is told must not raise.
        """
        self.ident: int | None = None
        """Of the thread that it is running in."""
        self.on_left_behind_end = on_left_behind_end
        self.is_handed_over = False
        self.is_left_behind = False
        """Whether nobody waits for it any more."""
        self._fn = fn
        self._value: Any = None
        self._error: BaseException | None = None
        self._parting = threading.Lock()

    def run(self) -> bool:
        """Call the function; tell whether it had been left behind by the time it ended.

        What it returns or raises is kept: not everything gets out of a thread by itself.
        """
        self.ident = threading.get_ident()
        try:
            self._value = self._fn()
        except BaseException as error:  # noqa: BLE001 - it is raised again on the loop
            self._error = error
        finally:
            self.ident = None
        return self._comes_second()

    def leave_behind(self) -> None:
        """Wait for it no longer."""
        self.is_left_behind = True
        if not self.is_handed_over or self._comes_second():
            self.on_left_behind_end()

    def outcome(self) -> Any:
        """Return what the function returned, or raise what it raised; once."""
        error, self._error = self._error, None  # its traceback leads back here
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error

    def _comes_second(self) -> bool:
        """Tell the thread that ends and the loop that leaves it who of them has the last word."""
        return not self._parting.acquire(blocking=False)


class Threads:
    """The threads of one event loop."""

    def __init__(self, call_soon: Callable[[Callable[[], Any]], object], token: EventLoopToken) -> None:
        self._call_soon = call_soon
        self._token = token
        self._limiter = anyio.CapacityLimiter(inf)
        self._idle: dict[_Thread, bool] = {}
        """The one that came last is taken first. Whoever takes a thread out, it or the loop, decides what it does."""
        self._is_closed = False
        self._wait = self._wait_on_trio if is_trio() else self._wait_on_asyncio

    async def run(self, call: Call) -> Any:
        """Call the function in a thread and in a copy of this context; return what it returns, raise what it raises.

        If this is cancelled, the thread is left behind, and the call's ``on_left_behind_end`` will be called once.
        """
        try:
            await checkpoint_if_cancelled()
            await self._wait(call)
        except Exception:
            raise  # there is no thread to be had
        except BaseException:
            call.leave_behind()
            raise
        return call.outcome()

    def close(self) -> None:
        """Let each thread leave when it has nothing to do."""
        self._is_closed = True
        with suppress(KeyError):
            while True:
                self._idle.popitem()[0].errands.put(None)

    async def _wait_on_trio(self, call: Call) -> None:
        def run() -> None:
            if call.run():
                self._tell(call.on_left_behind_end)

        call.is_handed_over = True
        await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._limiter)

    async def _wait_on_asyncio(self, call: Call) -> None:
        try:
            thread = self._idle.popitem()[0]
        except KeyError:
            thread = _Thread(self)
            Context().run(thread.start)
        has_ended = anyio.Event()
        thread.errands.put((call, _context_of_thread(), has_ended.set))
        call.is_handed_over = True
        await has_ended.wait()

    # -- in the threads --------------------------------------------------------------------------------

    def serve(self, thread: _Thread) -> bool:
        """Run what the thread is given next; tell whether it is to stay."""
        try:
            errand = thread.errands.get(timeout=THREAD_IDLE_S)
        except Empty:
            return not self._idle.pop(thread, False)  # else somebody has just taken it, and means to give it something
        if errand is None:
            return False
        call, context, tell_end = errand
        is_too_late = context.run(call.run)
        self._idle[thread] = True
        self._tell(call.on_left_behind_end if is_too_late else tell_end)
        return not (self._is_closed and self._idle.pop(thread, False))

    def _tell(self, hear: Callable[[], object]) -> None:
        try:
            self._call_soon(hear)
        except RuntimeError:  # the loop is gone
            self._is_closed = True

    def introduce(self) -> None:
        """Let ``anyio.from_thread.run()`` in this thread find the loop without being given a token.

        anyio has no public name for where it looks. If that changes one day, the token will have to be given.
        """
        with suppress(AttributeError):
            local = anyio.from_thread.threadlocals  # type: ignore[attr-defined]
            local.current_token = self._token
            local.current_cancel_scope = None  # or check_cancelled() would stumble; it knows nothing of jobs


class _Thread(threading.Thread):
    def __init__(self, threads: Threads) -> None:
        super().__init__(name="actorq thread", daemon=True)
        self.errands = SimpleQueue[tuple[Call, Context, Callable[[], object]] | None]()
        self._threads = threads

    def run(self) -> None:
        self._threads.introduce()
        while self._threads.serve(self):
            pass


def _context_of_thread() -> Context:
    """Copy the current context; no event loop is running in a thread, so say so to who would read that here."""
    context = copy_context()
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:
        context.run(sniffio.current_async_library_cvar.set, None)
    return context
