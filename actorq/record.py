"""A read-only picture of a job, as users see it: instants are aware datetimes in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

import orjson
from attrs import asdict, field, frozen

from actorq.core.job import Attempt, Failure, HoldReason, Job, JobOptions, JobState, Progress, Reason

__all__ = ["AttemptRecord", "ErrorRecord", "JobRecord", "LogLine", "record_of"]


@frozen
class ErrorRecord:
    """What went wrong, as text."""

    reason: Reason
    type: str
    message: str
    traceback: str
    attempt: int
    at: datetime


@frozen
class AttemptRecord:
    """One run."""

    number: int
    claim: int
    """The fencing number: unique for the job, growing."""
    worker: int
    started_at: datetime
    ended_at: datetime | None
    """None while it runs."""
    outcome: str | None
    """``succeeded``, ``failed``, ``dead_letter``, ``cancelled``, or why the job goes on: ``retry_scheduled``,
    ``snoozed``, ``interrupted``, ``released``, ``parked``. None while it runs."""
    error: ErrorRecord | None


@frozen
class LogLine:
    """One line of the job's own log."""

    at: datetime
    level: str
    message: str
    data: dict[str, Any]


@frozen
class JobRecord:
    """A job as it stood when it was asked for."""

    id: str
    seq: int
    """The order of acceptance."""
    task: str
    args: tuple[Any, ...]
    """As stored: plain JSON."""
    kwargs: dict[str, Any]
    state: JobState
    hold_reason: HoldReason | None
    """Why it is ``scheduled``, or would be if it were not ``paused``."""
    options: JobOptions = field(repr=False)
    submitted_at: datetime
    due_at: datetime
    """When it may run, or since when it might have."""
    first_started_at: datetime | None
    started_at: datetime | None
    """Of the present or last attempt."""
    ended_at: datetime | None
    attempt: int
    """The present or last attempt, from 1, against ``max_attempts``; 0 before the first."""
    claim: int
    requeued_at: datetime | None
    """When it was last rerun, or was to be; None: it never was."""
    key: str | None
    retry_of: str | None
    """The job that it is a clone of."""
    retried_by: str | None
    """Its last clone."""
    dead_letter_of: str | None
    """The dead job that it was made of."""
    dead_letter_job_id: str | None
    """The job that was made of it when it failed."""
    interruptions: int
    snoozes: int
    stalled: bool
    cancel_requested: bool
    ephemeral: bool
    progress: Progress
    result: Any
    """As stored: plain JSON. None if there is none."""
    error: ErrorRecord | None
    """Of the last failure; why the job ended, if it ended badly."""
    attempts: tuple[AttemptRecord, ...] = field(repr=False)
    """Bounded: the last ones."""
    log: tuple[LogLine, ...] = field(repr=False)
    """Bounded: the last lines."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values, for a web server's answer; instants in ISO 8601."""
        return asdict(self, value_serializer=_to_json)

    @property
    def priority(self) -> int:
        """Higher runs first."""
        return self.options.priority

    @property
    def tags(self) -> Mapping[str, str]:
        """What the submitter tied to it."""
        return self.options.tags

    @property
    def group(self) -> str | None:
        """Whose limit it falls under, and whose pause."""
        return self.options.group

    @property
    def max_attempts(self) -> int:
        """All runs together."""
        return self.options.retry.max_attempts

    @property
    def error_history(self) -> tuple[ErrorRecord, ...]:
        """What went wrong in each attempt, oldest first; bounded as ``attempts``."""
        return tuple(attempt.error for attempt in self.attempts if attempt.error is not None)


def record_of(job: Job) -> JobRecord:
    """Take the picture."""
    args: list[Any]
    kwargs: dict[str, Any]
    args, kwargs = orjson.loads(job.payload) if job.payload else ([], {})
    return JobRecord(
        id=job.id,
        seq=job.seq,
        task=job.task,
        args=tuple(args),
        kwargs=kwargs,
        state=job.state,
        hold_reason=job.hold_reason,
        options=job.options,
        submitted_at=instant(job.submitted_at),
        due_at=instant(job.due_at),
        first_started_at=_maybe(job.first_started_at),
        started_at=_maybe(job.started_at),
        ended_at=_maybe(job.ended_at),
        attempt=job.attempt,
        claim=job.claim,
        requeued_at=None if job.limits_from == job.submitted_at else instant(job.limits_from),
        key=job.key,
        retry_of=job.retry_of,
        retried_by=job.retried_by,
        dead_letter_of=job.dead_letter_of,
        dead_letter_job_id=job.dead_letter_job_id,
        interruptions=job.interruptions,
        snoozes=job.snoozes,
        stalled=job.stalled,
        cancel_requested=job.cancel_requested is not None,
        ephemeral=job.ephemeral,
        progress=job.progress,
        result=None if job.result is None else orjson.loads(job.result),
        error=_error(job.failure),
        attempts=(*map(_attempt, job.attempts), *_last_attempt(job)),
        log=tuple(LogLine(instant(at), level, message, orjson.loads(data)) for at, level, message, data in job.log),
    )


def _to_json(record: Any, attribute: Any, value: Any) -> Any:
    del record, attribute
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return value.value if isinstance(value, StrEnum) else value


def instant(at: float) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)


def _maybe(at: float | None) -> datetime | None:
    return None if at is None else instant(at)


def _error(failure: Failure | None) -> ErrorRecord | None:
    if failure is None:
        return None
    return ErrorRecord(
        failure.reason, failure.type, failure.message, failure.traceback, failure.attempt, instant(failure.at)
    )


def _attempt(run: Attempt) -> AttemptRecord:
    return AttemptRecord(
        run.number,
        run.claim,
        run.worker,
        instant(run.started_at),
        instant(run.ended_at),
        run.outcome,
        _error(run.failure),
    )


def _last_attempt(job: Job) -> tuple[AttemptRecord, ...]:
    """Return the run that is on, or that ended the job: it is not yet among those behind it."""
    was_last = job.state is JobState.RUNNING or (job.state.is_final and job.started_at is not None)
    if not was_last or job.started_at is None or any(run.claim == job.claim for run in job.attempts):
        return ()
    outcome = job.state.value if job.state.is_final else None
    return (
        AttemptRecord(
            job.attempt,
            job.claim,
            job.worker,
            instant(job.started_at),
            _maybe(job.ended_at),
            outcome,
            _error(job.failure) if job.state.is_final else None,
        ),
    )
