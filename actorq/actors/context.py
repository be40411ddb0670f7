"""What a running function knows of its job, and what it can say about it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, Protocol

import orjson
from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from actorq.actors.spawn import knock
from actorq.config import JOB_LOG_LIMIT, LOG_LEVELS, LOOP_ASK_S, TEXT_LIMIT, duration, number, one_of, text
from actorq.core import commands as c
from actorq.core.job import Job, Reason
from actorq.errors import ActorqError, AttemptCancelled, InvalidOption

__all__ = ["JobContext", "current_job", "running_attempt"]

UNSET: Final[Any] = object()

_making = threading.Lock()

running_attempt: ContextVar[JobContext | None] = ContextVar("actorq_running_attempt", default=None)
"""The attempt that the calling code is part of."""


def current_job() -> JobContext:
    """Return the context of the job that the calling code is part of; also below the function, and in threads.

    Raises:
        RuntimeError: it is part of none.
    """
    context = running_attempt.get()
    if context is None:
        raise RuntimeError("No job is running here: current_job() is for code that a task's function calls.")
    return context


class Home(Protocol):
    """Where an attempt belongs."""

    queue: object
    thread: int
    """Of the event loop."""
    call_soon: Callable[[Callable[[], None]], object]
    """Lets the event loop call a function, from any thread; RuntimeError: the loop is gone."""

    def tell(self, command: c.Command) -> Any:
        """Post a command, on the event loop."""
        ...


class JobContext:
    """One attempt of one job. Its methods may be called from any thread."""

    def __init__(self, job: Job, home: Home) -> None:
        options = job.options
        self.job_id = job.id
        self.task = job.task
        self.attempt = job.attempt
        """From 1."""
        self.max_attempts = options.retry.max_attempts
        self.claim = job.claim
        """Unique for the job and growing, over restarts, too: pass it on where a late run must do no harm. Loss of
        power may forget the last runs, so that their claims are given again; without a journal a crash may, too."""
        self.tags: Mapping[str, str] = options.tags
        self.deadline_at = None if options.deadline is None else job.limits_from + options.deadline
        """Seconds since the epoch, or None."""
        self.cancel_reason: Reason | None = None
        """Why the attempt is being asked to stop; None while it is not."""
        self.has_looked = False
        """Whether the function looks for itself whether it is to stop; then nothing interrupts it in a process."""
        self.queue = home.queue
        self.result: Any = UNSET
        self.waits = 0
        """How many of its tasks wait for other jobs: its slot is lent while there are any."""
        self.is_over = False
        """Whether the function has come to its end; what it has left behind may still run."""
        self._home = home
        self._lines: deque[c.Log] = deque(maxlen=JOB_LOG_LIMIT)
        """Said in threads, and not yet read."""
        self._is_read_soon = False
        self._stop: threading.Event | None = None
        """Is set when it is being asked to stop; made when a thread wants to sleep on it."""

    def __repr__(self) -> str:
        return f"<JobContext {self.task} {self.job_id} attempt {self.attempt} of {self.max_attempts}>"

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is being asked to stop. In a process, who looks here is not interrupted any more."""
        self.has_looked = True
        return self.cancel_reason is not None

    def check(self) -> None:
        """Go on only if nobody has asked the attempt to stop. A function that cannot be interrupted looks here.

        Raises:
            AttemptCancelled: somebody has. ``except Exception`` does not stop it, and whatever the function does then,
                the job ends, or is tried again, for the reason for which it was asked.
        """
        if self.cancelled:
            raise AttemptCancelled(self.cancel_reason or "")

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Sleep, in a thread, until the attempt is being asked to stop, or for so many seconds; return ``cancelled``.

        Raises:
            InvalidOption: not a number of seconds from 0 to a hundred years.
            RuntimeError: an event loop is running in this thread; let it sleep instead, and it will be interrupted.
        """
        seconds = None if timeout is None else duration("timeout", timeout)
        with suppress(NoEventLoopError):
            current_token()
            raise RuntimeError("wait_cancelled() would block the event loop; await anyio.sleep(), it is interrupted.")
        with _making:
            stop = self._stop = self._stop or threading.Event()
        if not self.cancelled:
            stop.wait(seconds)
        return self.cancelled

    def ask_to_stop(self, reason: Reason) -> None:
        """Let the function know, if it looks, that it is to stop, and why. The first reason stands."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            if self._stop is not None:
                self._stop.set()

    def heartbeat(self) -> None:
        """Say that the attempt is alive. Progress and log lines say so too."""
        self._say(c.Beat(self.job_id, self.claim))

    def extend(self, seconds: float) -> None:
        """Move the run limit of this attempt, ``timeout``, by ``seconds``; without one, nothing happens.

        Raises:
            InvalidOption: not a number of seconds from 0 to a hundred years.
        """
        self._say(c.Extend(self.job_id, self.claim, duration("extend", seconds)))

    def progress(
        self,
        value: float | None = None,
        *,
        current: float | None = None,
        total: float | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the attempt has come. What is not given stays as it was.

        Args:
            value: 0.0 to 1.0; lower than before changes nothing. Left out, it is ``current / total``.
            current: in units of your own.
            total: in the same units.
            message: what it is about now.

        Raises:
            InvalidOption: a value that is not a number from 0 to 1.
        """
        current, total, value = number("current", current), number("total", total), number("progress", value)
        if value is None and current is not None and total:
            value = min(max(current / total, 0.0), 1.0)
        if value is not None and not 0.0 <= value <= 1.0:
            raise InvalidOption("progress", value, "must be a number from 0 to 1")
        message = None if message is None else text("progress message", message)
        self._say(c.ShowProgress(self.job_id, self.claim, value, current, total, message))

    def log(self, message: str, *, level: str = "info", **data: Any) -> None:
        """Add a line to the job's own log, of which the last lines are kept with the job.

        Args:
            message: is cut to a bound.
            level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
            data: JSON.

        Raises:
            InvalidOption: there is no such level; ``data`` is not JSON, or too long.
        """
        message, level = text("log message", message), one_of("log level", level, LOG_LEVELS)
        try:
            encoded = bytes(memoryview(orjson.dumps(data)))
        except TypeError as error:
            raise InvalidOption("log data", type(data).__name__, str(error)) from error
        if len(encoded) > TEXT_LIMIT:
            raise InvalidOption("log data", f"{len(encoded)} bytes", f"the limit is {TEXT_LIMIT}")
        self._say(c.Log(self.job_id, self.claim, level, message, encoded))

    def log_soon(self, level: str, message: str, data: bytes) -> None:
        """Add such a line, of which all has been checked, without waiting for the event loop.

        Of what a thread says while the loop cannot listen, only so many lines are kept as are kept of the job's log.
        """
        command = c.Log(self.job_id, self.claim, level, message, data)
        if threading.get_ident() == self._home.thread:
            self._home.tell(command)
            return
        self._lines.append(command)
        if not self._is_read_soon:
            self._is_read_soon = True
            self._home.call_soon(self._read_lines)

    def _read_lines(self) -> None:
        self._is_read_soon = False  # before they are read: what comes after the last of them asks again
        for _ in range(len(self._lines)):  # and no more in this turn, however fast threads are
            with suppress(ActorqError):  # the queue has stopped
                self._home.tell(self._lines.popleft())

    def set_result(self, value: Any) -> None:
        """Store this as the result, whatever the function returns."""
        self.result = value

    def result_of(self, returned: Any) -> Any:
        """Return what counts as the result: what the function has set, else what it returned."""
        return returned if self.result is UNSET else self.result

    def _say(self, command: c.Command) -> None:
        home = self._home
        if threading.get_ident() == home.thread:
            home.tell(command)
        else:
            self._say_from_thread(command)

    def _say_from_thread(self, command: c.Command) -> None:
        """Wait until the event loop has heard it; the thread may have a loop of its own, which then stands still.

        A loop that ends takes what it has not heard with it: so it is asked now and then whether it is still there.
        """
        answer = Future[Any]()

        def ask() -> None:
            try:
                answer.set_result(self._home.tell(command))
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread
                answer.set_exception(error)

        try:
            self._home.call_soon(ask)
            while not wait([answer], timeout=LOOP_ASK_S).done:
                knock(self._home.call_soon)
        except RuntimeError:
            raise AttemptCancelled(self.cancel_reason or Reason.SHUTDOWN) from None
        answer.result()
