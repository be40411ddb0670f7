"""A coroutine function with an event loop to itself: in a thread, or in a worker process.

It is cancelled as it would be on the loop of its queue: on asyncio once, so that its cleanup may await, on trio at
every checkpoint, until it is plain that it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from inspect import isawaitable
from typing import Any

import anyio

from actorq.actors.driven import Driven, Scopes
from actorq.actors.spawn import caller
from actorq.errors import AttemptCancelled

__all__ = ["run_coroutine_here"]


def run_coroutine_here(
    fn: Callable[..., Any],
    args: Any,
    kwargs: Any,
    *,
    backend: str,
    on_start: Callable[[Callable[[], None]], object],
) -> Any:
    """Run an ``async`` function to its end in this thread, on an event loop of its own.

    Args:
        fn: the function, called with ``args`` and ``kwargs``.
        args: by position.
        kwargs: by name.
        backend: ``asyncio`` or ``trio``.
        on_start: is given, before the function begins, what cancels it: to be called from any thread, at any time.

    Raises:
        AttemptCancelled: it was cancelled, and ended by that.
    """

    async def call() -> Any:
        value = fn(*args, **kwargs)
        return await value if isawaitable(value) else value

    return anyio.run(_interruptibly, call, on_start, backend=backend)


async def _interruptibly(call: Callable[[], Any], on_start: Callable[[Callable[[], None]], object]) -> Any:
    scopes, call_soon = Scopes(), caller()

    def cancel() -> None:
        with suppress(RuntimeError):  # it has ended
            call_soon(scopes.outer.cancel)

    with scopes.outer, scopes.inner:
        on_start(cancel)
        return await Driven(call(), copy_context(), scopes.cancellation_arrives)
    raise AttemptCancelled
