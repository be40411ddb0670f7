"""What the views have in common: instants as text and as milliseconds, a call as one payload, a word's meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from attrs import frozen

from actorq.core.job import HoldReason, JobState, Progress
from actorq.errors import InvalidOption
from actorq.record import ErrorRecord, JobRecord

__all__ = [
    "Meaning", "ended_in_a_run", "failures_of", "iso", "iso_or_none", "millis", "millis_or_none", "no_meaning",
    "payload_of", "percent", "was_reported", "worker_of",
]  # fmt: skip


@frozen
class Meaning:
    """What a word of another system says of a job."""

    state: JobState
    hold_reason: HoldReason | None = None
    stalled: bool = False


def no_meaning(word: object, why: str) -> InvalidOption:
    """Return the error for a word that means no state of a job here."""
    return InvalidOption("state", word, why)


def iso(at: datetime) -> str:
    """Return the instant in RFC 3339, UTC, to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(at: datetime | None) -> str | None:
    """Return the instant as :func:`iso` does, if there is one."""
    return None if at is None else iso(at)


def millis(at: datetime) -> int:
    """Return the instant as milliseconds since the epoch."""
    return round(at.timestamp() * 1000)


def millis_or_none(at: datetime | None) -> int | None:
    """Return the instant as :func:`millis` does, if there is one."""
    return None if at is None else millis(at)


def payload_of(record: JobRecord) -> Any:
    """Return the arguments of the job as the one value that other systems know.

    Named arguments make an object, a single argument stands for itself, several make a list; both kinds together
    make an object of ``args`` and ``kwargs``.
    """
    if record.kwargs and record.args:
        return {"args": list(record.args), "kwargs": record.kwargs}
    if len(record.args) == 1:
        return record.args[0]
    return list(record.args) or record.kwargs


def ended_in_a_run(record: JobRecord) -> bool:
    """Tell whether the job ended with its last run, and not while it waited."""
    if not record.state.is_final or record.started_at is None:
        return False
    last = record.attempts[-1]
    return last.claim == record.claim and last.outcome == record.state.value


def failures_of(record: JobRecord) -> list[ErrorRecord]:
    """Return what went wrong in each run that failed, oldest first, and why the job failed if no run did."""
    runs = [run.error for run in record.attempts if run.outcome in _FAILED_RUNS and run.error]
    if record.state not in (JobState.FAILED, JobState.DEAD_LETTER) or record.error is None or ended_in_a_run(record):
        return runs
    return [*runs, record.error]


_FAILED_RUNS: Final = ("retry_scheduled", "failed", "dead_letter")
"""Outcomes. Others are no fault of the function's."""


def was_reported(progress: Progress) -> bool:
    """Tell whether there is any progress to speak of."""
    return progress != Progress()


def percent(progress: Progress) -> float:
    """Return the progress from 0 to 100, without the noise of binary fractions."""
    return round(progress.value * 100, 6)


def worker_of(record: JobRecord) -> str | None:
    """Return a name for the worker that has, or had, the job last; None before the first."""
    return f"worker-{record.attempts[-1].worker}" if record.attempts else None
