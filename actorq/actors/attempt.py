"""One attempt: a function is run, and what becomes of it is put into a command.

The function runs in the worker's task but in a context of its own (a copy of its submitter's, where that is
still alive), so its coroutine is driven here, step by step. That gives two more things. Cancellation comes
as the loop's own code expects it: on asyncio once, so that cleanup may await, on trio at every checkpoint.
And a coroutine that refuses to end can be let go of: it is not stepped any more.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import Any

import anyio

from actorq.actors.context import UNSET, JobContext, running_attempt
from actorq.actors.spawn import is_trio
from actorq.config import NAME_LIMIT, TEXT_LIMIT, duration
from actorq.core import commands as c
from actorq.core.job import Failure, Job, Reason
from actorq.errors import CancelJob, InvalidOption, PayloadError, RetryAfter, Snooze, Unrecoverable
from actorq.function import Function, Misfit

__all__ = ["Attempt", "LetGo"]


_WAKES_ON_ASYNCIO = 2
_WAKES_ON_TRIO = 100


class LetGo(BaseException):
    """The coroutine was let go of: nothing more is expected of its worker."""


class Attempt:
    """A job's function, its arguments and its context, on the way to a verdict."""

    def __init__(
        self,
        job: Job,
        function: Function,
        call: tuple[Any, Any] | None,
        context: Context | None,
        job_context: JobContext,
        limiter: anyio.CapacityLimiter,
        now: Callable[[], float],
    ) -> None:
        self.job_context = job_context
        self.is_in_thread = not function.is_async
        self._job = job
        self._function = function
        self._call = call
        self._is_of_this_life = context is not None
        self._context = Context() if context is None else context.copy()
        self._limiter = limiter
        self._now = now
        self._driven: _Driven | None = None

    async def run(self, on_cancel: Callable[[BaseException | None], None]) -> tuple[c.Report, BaseException | None]:
        """Run the function, and return what to report, with the exception behind it.

        Args:
            on_cancel: called when a cancellation is about to reach the function.

        Raises:
            LetGo: :meth:`let_go` was called.
        """
        try:
            value = await self._execute(on_cancel)
            return self._succeeded(value), None
        except LetGo:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is its own failure, not ours
            try:
                return self._verdict(error), error
            except BaseException as broken:  # noqa: BLE001 - a verdict of the user's own making
                return c.Fail(self._job.id, self.job_context.claim, self._failure(broken), retryable=False), error

    def let_go(self) -> None:
        """Let the coroutine do nothing but end, from the next cancellation on; then :meth:`run` raises LetGo."""
        if self._driven is not None:
            self._driven.is_let_go = True

    async def _execute(self, on_cancel: Callable[[BaseException | None], None]) -> Any:
        function = self._function
        args, kwargs = self._call or function.decode(self._job.payload)
        if function.takes_context:
            args = (self.job_context, *args)
        self._context.run(running_attempt.set, self.job_context)
        run = self._on_loop if function.is_async else self._in_thread
        self._driven = _Driven(self._context.run(run, function.fn, args, kwargs), self._context, on_cancel)
        return await self._driven

    async def _on_loop(self, fn: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
        return await fn(*args, **kwargs)

    async def _in_thread(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        def call() -> tuple[Any, BaseException | None]:
            # Boxed: trio lets no coroutine out of a thread, asyncio no StopIteration and no GeneratorExit.
            try:
                return fn(*args, **kwargs), None
            except BaseException as error:  # noqa: BLE001 - it is raised again on the loop
                return None, error

        value, error = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._limiter)
        if error is not None:
            raise error
        if inspect.isawaitable(value):  # a lambda or a partial around an async function
            self.is_in_thread = False
            if self.job_context.cancel_reason is not None:  # asked to stop while it was only being made
                return getattr(value, "close", _nothing)()
            return await value
        return value

    # -- verdict -----------------------------------------------------------------------------------

    def _succeeded(self, value: Any) -> c.Report:
        job_context = self.job_context
        if job_context.result is not UNSET:
            value = job_context.result
        return c.Finish(self._job.id, job_context.claim, self._function.encode_result(value))

    def _verdict(self, error: BaseException) -> c.Report:  # noqa: PLR0911 - a table in the form of a match
        """Say what becomes of the job after this exception."""
        job_id, claim = self._job.id, self.job_context.claim
        match error:
            case Misfit() if self._is_of_this_life:  # the code cannot have changed: the caller is wrong
                return c.Fail(job_id, claim, self._failure(error, Reason.BAD_PAYLOAD), retryable=False)
            case Misfit():
                return c.Park(job_id, claim, self._failure(error, Reason.BAD_PAYLOAD))
            case PayloadError(where="the result", task=self._function.name):
                return c.Fail(job_id, claim, self._failure(error, Reason.BAD_RESULT), retryable=False)
            case CancelJob():
                return c.Quit(job_id, claim, str(error.reason)[:TEXT_LIMIT])
            case Snooze() | RetryAfter():
                return self._later(error)
            case Unrecoverable():
                return c.Fail(job_id, claim, self._failure(error), retryable=False)
            case _:
                retryable = self._job.options.retry.retries(type(error))
                return c.Fail(job_id, claim, self._failure(error), retryable)

    def _later(self, error: Snooze | RetryAfter) -> c.Report:
        job_id, claim = self._job.id, self.job_context.claim
        try:
            delay = duration(type(error).__name__, error.seconds)
        except InvalidOption as invalid:
            return c.Fail(job_id, claim, self._failure(invalid), retryable=False)
        if isinstance(error, Snooze):
            return c.Snooze(job_id, claim, delay)
        return c.Fail(job_id, claim, self._failure(error), delay=delay)

    def _failure(self, error: BaseException, reason: Reason = Reason.ERROR) -> Failure:
        kind, text = type(error).__qualname__[:NAME_LIMIT], traceback_of(error)
        return Failure(reason, kind, message_of(error), text, self._job.attempt, self._now())


class _Driven:
    """Awaits a coroutine in a context of its own."""

    def __init__(self, coroutine: Any, context: Context, on_cancel: Callable[[BaseException | None], None]) -> None:
        self.is_let_go = False
        self._coroutine = coroutine
        self._context = context
        self._on_cancel = on_cancel
        self._wakes = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        step, value = self._coroutine.send, None
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
            try:
                step, value = self._coroutine.send, (yield wish)
                is_interrupted = hasattr(value, "error")  # trio sends outcomes; what is raised, too
            except BaseException as error:  # noqa: BLE001 - it is handed on
                is_interrupted = True
                if isinstance(error, asyncio.CancelledError):
                    self._on_cancel(error)
                step, value = self._coroutine.throw, error
            if self.is_let_go and is_interrupted:  # elsewhere a nursery that ends would not expect it
                self._insist()
                step, value = self._coroutine.throw, GeneratorExit()

    def _insist(self) -> None:
        """Bound how often it may wake and still not end.

        It is not closed, which lets it await nothing more: on trio its nurseries have to end before it does, and
        no scope of it may be left open. There, one that refuses even this is left asleep, shielded.
        """
        self._wakes += 1
        if self._wakes > _WAKES_ON_ASYNCIO and not is_trio():
            raise LetGo
        if self._wakes == _WAKES_ON_TRIO:
            self._on_cancel(None)


def _nothing() -> None:
    """Close what has no close()."""


def message_of(error: BaseException) -> str:
    """Return the exception's text, whatever its ``__str__`` does, cut to a bound."""
    try:
        return str(error)[:TEXT_LIMIT]
    except BaseException as broken:  # noqa: BLE001 - __str__ is the user's
        return f"<{type(error).__qualname__}.__str__ raised {type(broken).__qualname__}>"


def traceback_of(error: BaseException) -> str:
    """Return the traceback as text, its end cut to a bound; it keeps no frame alive."""
    try:
        lines = traceback.TracebackException.from_exception(error, limit=50, max_group_width=10).format()
        return "".join(lines)[-TEXT_LIMIT:]
    except BaseException as broken:  # noqa: BLE001 - formatting calls the user's code
        return f"<no traceback: {type(broken).__qualname__}>"
