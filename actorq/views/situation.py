"""Which row of the table a job stands in: states alone do not tell, for some systems also say how it came there.

The rows are those of :mod:`actorq.views.vocabulary`. A queued job tells by its past: by how its last run ended in
this life of the job, that is, since it was last rerun.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from actorq.core.job import HoldReason, JobState
from actorq.record import JobRecord

__all__ = ["Situation", "situation_of"]


class Situation(Enum):
    """What a job can be found in."""

    DELAYED = auto()
    """Its time is still to come: as it was asked, or because it handed itself back for a while."""
    RETRY_DELAYED = auto()
    """It failed, and the time of its next attempt is still to come."""
    RECLAIMED_DELAYED = auto()
    """Its process or worker died, and the time of its next run is still to come."""
    KEY_HELD = auto()
    """Another job with its key is running."""
    PARKED = auto()
    """No code here can run it, or that may not run, as its task is paused."""
    QUEUED = auto()
    """Ready, for the first time, or handed back without fault."""
    QUEUED_AFTER_FAILURE = auto()
    QUEUED_BY_RERUN = auto()
    QUEUED_RECLAIMED = auto()
    """Ready again, because its process or worker died."""
    PAUSED = auto()
    RUNNING = auto()
    RUNNING_STALLED = auto()
    RUNNING_CANCEL_REQUESTED = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    DEAD_LETTER = auto()
    CANCELLED = auto()

    @property
    def is_after_failure(self) -> bool:
        """Whether it waits because it failed."""
        return self in (Situation.RETRY_DELAYED, Situation.QUEUED_AFTER_FAILURE)


_BY_STATE: Final = {
    JobState.PAUSED: Situation.PAUSED,
    JobState.SUCCEEDED: Situation.SUCCEEDED,
    JobState.FAILED: Situation.FAILED,
    JobState.DEAD_LETTER: Situation.DEAD_LETTER,
    JobState.CANCELLED: Situation.CANCELLED,
}

_BY_HOLD: Final = {
    HoldReason.DELAY: Situation.DELAYED,
    HoldReason.RETRY: Situation.RETRY_DELAYED,
    HoldReason.KEY: Situation.KEY_HELD,
    HoldReason.NO_TASK: Situation.PARKED,
    HoldReason.BAD_PAYLOAD: Situation.PARKED,
    HoldReason.TASK_PAUSED: Situation.PARKED,
}

_BY_LAST_OUTCOME: Final = {
    "retry_scheduled": Situation.QUEUED_AFTER_FAILURE,
    "interrupted": Situation.QUEUED_RECLAIMED,
    "snoozed": Situation.QUEUED,
}
"""Runs that ended otherwise changed nothing: it stands where it stood before them."""


def situation_of(record: JobRecord) -> Situation:
    """Return the row that the job stands in."""
    match record.state:
        case JobState.SCHEDULED:
            return _scheduled(record)
        case JobState.QUEUED:
            return _queued(record)
        case JobState.RUNNING:
            return _running(record)
        case state:
            return _BY_STATE[state]


def _scheduled(record: JobRecord) -> Situation:
    held = _BY_HOLD[record.hold_reason or HoldReason.DELAY]
    was_reclaimed = _queued(record) is Situation.QUEUED_RECLAIMED
    return Situation.RECLAIMED_DELAYED if held is Situation.RETRY_DELAYED and was_reclaimed else held


def _queued(record: JobRecord) -> Situation:
    was_rerun = record.requeued_at is not None
    for run in reversed(record.attempts):
        if record.started_at is None or (record.requeued_at is not None and run.started_at < record.requeued_at):
            was_rerun = True  # the run belongs to a former life
            break
        if run.outcome in _BY_LAST_OUTCOME:
            return _BY_LAST_OUTCOME[run.outcome]
    return Situation.QUEUED_BY_RERUN if was_rerun else Situation.QUEUED


def _running(record: JobRecord) -> Situation:
    if record.cancel_requested:
        return Situation.RUNNING_CANCEL_REQUESTED
    return Situation.RUNNING_STALLED if record.stalled else Situation.RUNNING
