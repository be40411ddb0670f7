"""What becomes of a job, by what its function returned or raised.

Given where the function ran: on the loop, in a thread, or in a process of its own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from attrs import frozen

from actorq.config import NAME_LIMIT, TEXT_LIMIT, duration
from actorq.core import commands as c
from actorq.core.job import Failure, Job, Reason
from actorq.errors import CancelJob, InvalidOption, PayloadError, RetryAfter, Snooze, Unrecoverable, UnsendableTask
from actorq.function import Function, Misfit

__all__ = ["Judge", "message_of", "traceback_of"]


@frozen
class Judge:
    """Puts the end of one attempt into a command."""

    job: Job
    claim: int
    function: Function
    is_of_this_life: bool
    """Whether the job was submitted by the code that is running now."""
    now: Callable[[], float]

    def of_value(self, value: Any) -> c.Report:
        """Say what follows from what it returned.

        Raises:
            PayloadError: it cannot be stored.
        """
        return c.Finish(self.job.id, self.claim, self.function.encode_result(value))

    def of_error(self, error: BaseException) -> c.Report:
        """Say what follows from what it raised, whatever that does when it is looked at."""
        try:
            return self._of_error(error)
        except BaseException as broken:  # noqa: BLE001 - a verdict of the user's own making
            return self._fail(broken, retryable=False)

    def _of_error(self, error: BaseException) -> c.Report:  # noqa: PLR0911 - a table in the form of a match
        job_id, claim = self.job.id, self.claim
        match error:
            case Misfit() if self.is_of_this_life:  # the code cannot have changed: the caller is wrong
                return self._fail(error, Reason.BAD_PAYLOAD, retryable=False)
            case Misfit():
                return c.Park(job_id, claim, self._failure(error, Reason.BAD_PAYLOAD))
            case PayloadError(where="the result", task=self.function.name):
                return self._fail(error, Reason.BAD_RESULT, retryable=False)
            case CancelJob():
                return c.Quit(job_id, claim, str(error.reason)[:TEXT_LIMIT])
            case Snooze() | RetryAfter():
                return self._later(error)
            case Unrecoverable() | UnsendableTask():  # another attempt would find no more
                return self._fail(error, retryable=False)
            case _:
                return self._fail(error, retryable=self.job.options.retry.retries(type(error)))

    def _later(self, error: Snooze | RetryAfter) -> c.Report:
        try:
            delay = duration(type(error).__name__, error.seconds)
        except InvalidOption as invalid:
            return self._fail(invalid, retryable=False)
        if isinstance(error, Snooze):
            return c.Snooze(self.job.id, self.claim, delay)
        return c.Fail(self.job.id, self.claim, self._failure(error), delay=delay)

    def _fail(self, error: BaseException, reason: Reason = Reason.ERROR, *, retryable: bool) -> c.Report:
        return c.Fail(self.job.id, self.claim, self._failure(error, reason), retryable)

    def _failure(self, error: BaseException, reason: Reason = Reason.ERROR) -> Failure:
        kind, text = type(error).__qualname__[:NAME_LIMIT], traceback_of(error)
        return Failure(reason, kind, message_of(error), text, self.job.attempt, self.now())


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
