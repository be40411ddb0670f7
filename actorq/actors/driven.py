"""Awaits a coroutine in a context of its own, and decides how much of a cancellation reaches it.

A job's coroutine is driven here, step by step. That gives it a context of its own, and two more things. Cancellation
comes as the loop's own code expects it: on asyncio once, so that cleanup may await, on trio at every checkpoint. And
a coroutine that refuses to end can be let go of: it is not stepped any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Final

import anyio

from actorq.actors.spawn import is_trio
from actorq.config import REFUSALS_LIMIT

__all__ = ["Driven", "LetGo", "Scopes"]

_WAKES_ON_ASYNCIO: Final = 2
"""How often a coroutine that was let go of may wake before it is not stepped any more."""


class LetGo(BaseException):
    """The coroutine was let go of: nothing more is expected of its worker."""


class Scopes:
    """The pair of cancel scopes around a function.

    The outer one is cancelled to abort it. The inner one is turned into a shield when the cancellation has been
    delivered: anyio would deliver it again at every await, and a function that refuses would burn a core for ever.
    """

    def __init__(self) -> None:
        self.outer = anyio.CancelScope()
        self.inner = anyio.CancelScope()

    def cancellation_arrives(self, cancellation: BaseException | None) -> None:
        """Shield the function from more of the same: this one is ours, and not of a scope or a timeout of its own."""
        is_ours = cancellation is None or f"{id(self.outer):x}" in str(cancellation)  # anyio names the scope
        if self.outer.cancel_called and is_ours:
            self.inner.shield = True


class Driven:
    """Awaits a coroutine in a context of its own."""

    def __init__(self, coroutine: Any, context: Context, on_cancel: Callable[[BaseException | None], None]) -> None:
        self.is_let_go = False
        self.coroutine = coroutine
        self._context = context
        self._on_cancel = on_cancel
        self._wakes = 0
        self._refusals = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        step, value = self.coroutine.send, None
        while True:
            try:
                wish = run(step, value)
            except StopIteration as end:
                if self.is_let_go:
                    raise LetGo from None
                return end.value
            except BaseException:
                if self.is_let_go:
                    raise LetGo from None
                raise
            finally:
                step = value = None  # an exception's traceback leads back here, and to all that the job held
            try:
                step, value = self.coroutine.send, (yield wish)
                is_interrupted = hasattr(value, "error")  # trio sends outcomes; what is raised, too
                if is_interrupted:
                    self._count_refusal()
            except BaseException as error:  # noqa: BLE001 - it is handed on
                is_interrupted = True
                if isinstance(error, asyncio.CancelledError):
                    self._on_cancel(error)
                step, value = self.coroutine.throw, error
            if self.is_let_go and is_interrupted:  # elsewhere a nursery that ends would not expect it
                self._insist()
                step, value = self.coroutine.throw, GeneratorExit()

    def _insist(self) -> None:
        """Bound how often it may wake and still not end.

        It is not closed, which lets it await nothing more: on trio its nurseries have to end before it does, and
        no scope of it may be left open. There, one that refuses even this is left asleep, shielded.
        """
        self._wakes += 1
        if self._wakes > _WAKES_ON_ASYNCIO and not is_trio():
            raise LetGo

    def _count_refusal(self) -> None:
        """Leave it alone if it swallows every cancellation: on trio, each of its awaits would at once bring another."""
        self._refusals += 1
        if self._refusals % REFUSALS_LIMIT == 0:
            self._on_cancel(None)
