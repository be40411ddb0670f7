"""One attempt: a function is run where it is to run, and what becomes of it is put into a command.

On the loop and in a thread it runs in a context of its own, a copy of its submitter's where that is still alive. In a
process nothing of the submitter's is there, and the verdict is made where the exception is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from actorq.actors.clock import Clock
from actorq.actors.context import Home, JobContext, running_attempt
from actorq.actors.driven import Driven, LetGo
from actorq.actors.frames import Standing, standing_in_text, standing_of_coroutine, standing_of_thread
from actorq.actors.own_loop import run_coroutine_here
from actorq.actors.processes import ProcessPool, ProcessRun, reference_of
from actorq.actors.spawn import is_trio
from actorq.actors.threads import Call, Threads
from actorq.actors.verdict import Judge
from actorq.config import RunIn
from actorq.core import commands as c
from actorq.core.job import Job, Reason
from actorq.function import Function
from actorq.stack import Stack

__all__ = ["Attempt", "Places", "place_of"]


class Places(Home, Protocol):
    """Where functions run, beside the loop."""

    clock: Clock
    threads: Threads
    processes: ProcessPool


class Attempt:
    """A job's function, its arguments and its context, on the way to a verdict."""

    def __init__(
        self,
        job: Job,
        function: Function,
        call: tuple[Any, Any] | None,
        context: Context | None,
        places: Places,
        on_late_end: Callable[[], object],
    ) -> None:
        """Be ready to run the job.

        Args:
            job: as it is now; its attempt is the one to run.
            function: of its task.
            call: the arguments, if they were never encoded.
            context: its submitter's, if it is still alive.
            places: where functions run.
            on_late_end: called when a function that was left behind in a thread has ended.
        """
        self.job = job
        self.where: RunIn = place_of(function, job)
        self.job_context = JobContext(job, places)
        self._function = function
        self._arguments = call
        self._context = Context() if context is None else context.copy()
        self._places = places
        self._on_late_end = on_late_end
        self._judge = Judge(job, job.claim, function, context is not None, places.clock.now)
        self.driven: Driven | None = None
        self.thread: Call | None = None
        self.process: ProcessRun | None = None
        self._cancel_in_thread: Callable[[], None] | None = None

    @property
    def is_left_behind(self) -> bool:
        """Whether its function was left behind in a thread: ``on_late_end`` tells its end."""
        return self.thread is not None and self.thread.is_left_behind

    async def run(self, on_cancel: Callable[[BaseException | None], None]) -> tuple[c.Report, BaseException | None]:
        """Run the function, and return what to report, with the exception behind it.

        Args:
            on_cancel: called when a cancellation is about to reach a function on the loop.

        Raises:
            LetGo: :meth:`let_go` was called.
        """
        try:
            if self.where == "process":
                return await self._in_process(), None
            value = await self._execute(on_cancel)
            return self._judge.of_value(self.job_context.result_of(value)), None
        except LetGo:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is its own failure, not ours
            return self._judge.of_error(error), error

    def ask_to_stop(self, reason: Reason) -> None:
        """Tell the function why it is to stop; on the loop, cancelling the scope around it is another's."""
        self.job_context.ask_to_stop(reason)
        if self.process is not None:
            self.process.cancel(reason)
        if self._cancel_in_thread is not None:
            self._cancel_in_thread()

    async def stack(self) -> Stack:
        """Return where it stands right now."""
        process = self.process
        standing = self.standing() if process is None else standing_in_text(await process.stack())
        return Stack(self.job.id, self.job.task, self.where, standing.frames, standing.waits_for)

    def standing(self) -> Standing:
        """Return the same at once: nothing more than where it is, if that is in a process."""
        if self.where == "process":
            return Standing((), "It runs in a process: ask the queue for its stack.")
        if self.where == "loop" and self.driven is not None:
            return standing_of_coroutine(self.driven.coroutine)
        return standing_of_thread(None if self.thread is None else self.thread.ident)

    def let_go(self) -> None:
        """Let the coroutine do nothing but end, from the next cancellation on; then :meth:`run` raises LetGo."""
        if self.driven is not None:
            self.driven.is_let_go = True

    async def _execute(self, on_cancel: Callable[[BaseException | None], None]) -> Any:
        function = self._function
        args, kwargs = self._arguments or function.decode(self.job.payload)
        if function.takes_context:
            args = (self.job_context, *args)
        self._context.run(running_attempt.set, self.job_context)
        run = self._on_loop if self.where == "loop" else self._in_thread
        self.driven = Driven(self._context.run(run, function.fn, args, kwargs), self._context, on_cancel)
        return await self.driven

    async def _on_loop(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        value = fn(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    async def _in_thread(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._function.is_async:
            backend = "trio" if is_trio() else "asyncio"
            run = partial(run_coroutine_here, fn, args, kwargs, backend=backend, on_start=self._hear_start)
        else:
            run = partial(fn, *args, **kwargs)
        self.thread = Call(run, self._on_late_end)
        value = await self._places.threads.run(self.thread)
        if not inspect.isawaitable(value):
            return value
        self.where = "loop"  # a lambda or a partial around an async function
        if self.job_context.cancel_reason is not None:  # asked to stop while it was only being made
            return getattr(value, "close", _nothing)()
        return await value

    def _hear_start(self, cancel: Callable[[], None]) -> None:
        """Learn, in its thread, how to cancel a coroutine there."""
        self._cancel_in_thread = cancel
        if self.job_context.cancel_reason is not None:  # asked just before
            cancel()

    async def _in_process(self) -> c.Report:
        places = self._places
        self.process = ProcessRun(
            self.job,
            self._function,
            reference_of(self._function.fn, self._function.name),
            is_of_this_life=self._judge.is_of_this_life,
            now=places.clock.now,
            hear=places.tell,
        )
        return await places.processes.run(self.process)


def place_of(function: Function, job: Job) -> RunIn:
    """Return where the job runs."""
    return job.options.run_in or ("loop" if function.is_async else "thread")


def _nothing() -> None:
    """Close what has no close()."""
