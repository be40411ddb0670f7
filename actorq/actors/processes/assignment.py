"""One attempt, in the process that runs it: in the main thread, a coroutine function on an event loop of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import Any

from attrs import evolve

from actorq.actors.context import Home, JobContext, running_attempt
from actorq.actors.own_loop import run_coroutine_here
from actorq.actors.processes.interrupt import Interrupt
from actorq.actors.processes.reference import find
from actorq.actors.processes.wire import Run
from actorq.actors.verdict import Judge
from actorq.core import commands as c
from actorq.core.job import Job, JobState, Reason
from actorq.errors import AttemptCancelled
from actorq.function import Function

__all__ = ["Assignment"]


class Assignment:
    """What the queue has asked this process to run."""

    def __init__(self, run: Run, home: Home, interrupt: Interrupt, backend: str) -> None:
        self.job_id, self.claim = run.job_id, run.claim
        self.heartbeat_timeout = run.options.heartbeat_timeout
        self._run = run
        self._job = _job_of(run)
        self._job_context = JobContext(self._job, home)
        self._interrupt = interrupt
        self._backend = backend
        self._lock = threading.Lock()
        self._stop: Callable[[], object] | None = None
        """Stops the function, while it runs."""

    def cancel(self, reason: Reason) -> None:
        """Ask it to stop; from the thread that listens."""
        with self._lock:
            self._job_context.ask_to_stop(reason)
            if self._stop is not None:
                self._stop()

    def execute(self) -> c.Report:
        """Run the attempt to its end; say what becomes of the job."""
        run = self._run
        judge = Judge(self._job, run.claim, Function(_nothing, run.task), run.is_of_this_life, self._now)
        try:
            function = Function(find(run.reference), run.task, takes_context=run.takes_context)
            judge = evolve(judge, function=function)
            value = self._call(function)
            return judge.of_value(self._job_context.result_of(value))
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is its own failure, not ours
            return judge.of_error(error)
        finally:
            self._job_context.is_over = True

    def _call(self, function: Function) -> Any:
        args, kwargs = function.decode(self._run.payload)
        if function.takes_context:
            args = [self._job_context, *args]
        call = partial(function.fn, *args, **kwargs)
        context = copy_context()
        context.run(running_attempt.set, self._job_context)
        try:
            if not function.is_async:
                value = self._interrupt.call(lambda: context.run(self._begin_and_call, call), self._cancellation)
                if not isawaitable(value):
                    return value
                call = partial(_same, value)
            return context.run(self._run_coroutine, call)
        finally:
            self._end()

    def _begin_and_call(self, call: Callable[[], Any]) -> Any:
        self._begin(self._interrupt.strike)
        return call()

    def _run_coroutine(self, call: Callable[[], Any]) -> Any:
        self._end()  # by the signal: from here on, the event loop is asked
        return run_coroutine_here(call, (), {}, backend=self._backend, on_start=self._begin)

    def _begin(self, stop: Callable[[], object]) -> None:
        with self._lock:
            self._stop = stop
            if self._job_context.cancel_reason is not None:
                stop()

    def _end(self) -> None:
        with self._lock:
            self._stop = None

    def _cancellation(self) -> AttemptCancelled | None:
        context = self._job_context
        if context.has_looked:  # it looks for itself, and may be tidying up: it is not told twice
            return None
        return AttemptCancelled(context.cancel_reason or "")

    def _now(self) -> float:
        return self._run.epoch + time.monotonic()


def _job_of(run: Run) -> Job:
    """Return as much of the job as an attempt needs."""
    return Job(
        run.job_id,
        0,
        run.task,
        run.payload,
        run.options,
        JobState.RUNNING,
        run.limits_from,
        run.limits_from,
        limits_from=run.limits_from,
        attempt=run.attempt,
        claim=run.claim,
    )


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stand in for a function that was not found."""


def _same(value: Any) -> Any:
    return value
