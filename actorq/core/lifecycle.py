"""The table of a job's life: state × fact → state.

Here is the whole of it. Two rules keep it so. First, no state changes outside this table: ``Ledger.apply``
asks it, and a pair that is not in it is a bug that stops the queue rather than a state nobody planned.
Second, *why* a fact happens is no business of this file: that is ``decide``'s.

Facts about the queue or a group are not in it: they change no job.

Time is not in the table, but for one question that the facts answer themselves: a job that is to run again
is ``scheduled`` while its time is still to come and ``queued`` if it is not (:data:`BY_DUE_TIME`).

Source of the idea: h11's state tables. ``docs/life-cycle.md`` is drawn from this one.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from actorq.core import facts
from actorq.core.facts import Fact, Placed
from actorq.core.job import FINAL, JobState
from actorq.errors import InternalError

__all__ = ["BY_DUE_TIME", "TRANSITIONS", "next_state"]


class _ByDueTime(Enum):
    BY_DUE_TIME = "scheduled or queued, by its due time"


BY_DUE_TIME: Final = _ByDueTime.BY_DUE_TIME
"""``scheduled`` if the fact's ``due_at`` is after its ``at``, else ``queued``."""

Target = JobState | _ByDueTime | None
"""A state, a question of time, or None: the job is not there (not yet, or no more)."""

_SCHEDULED, _QUEUED, _PAUSED, _RUNNING = JobState.SCHEDULED, JobState.QUEUED, JobState.PAUSED, JobState.RUNNING

_WAITING = (_SCHEDULED, _QUEUED, _PAUSED)
_LIVE = (*_WAITING, _RUNNING)

_BY_FACT: dict[type[Fact], dict[tuple[JobState | None, ...], Target]] = {
    # in
    facts.Submitted: {(None,): BY_DUE_TIME},
    facts.Deduplicated: {(state,): state for state in (*_LIVE, *FINAL)},
    # waiting
    facts.BecameDue: {(_SCHEDULED,): _QUEUED},
    facts.Blocked: {(_QUEUED,): _SCHEDULED},
    facts.Unblocked: {(_SCHEDULED,): _QUEUED},
    facts.Paused: {(_SCHEDULED, _QUEUED): _PAUSED},
    facts.Resumed: {(_PAUSED,): BY_DUE_TIME},
    facts.Promoted: {(_SCHEDULED,): _QUEUED},
    facts.Edited: {(_SCHEDULED, _QUEUED): BY_DUE_TIME, (_PAUSED,): _PAUSED},
    facts.Parked: {(_QUEUED, _RUNNING): _SCHEDULED},
    facts.Unparked: {(_SCHEDULED,): _QUEUED},
    # running
    facts.Started: {(_QUEUED,): _RUNNING},
    facts.Progressed: {(_RUNNING,): _RUNNING},
    facts.Extended: {(_RUNNING,): _RUNNING},
    facts.Logged: {(_RUNNING,): _RUNNING},
    facts.Stalled: {(_RUNNING,): _RUNNING},
    facts.CancelRequested: {(_RUNNING,): _RUNNING},
    # the run is over, the job goes on
    facts.RetryScheduled: {(_RUNNING,): BY_DUE_TIME},
    facts.Snoozed: {(_RUNNING,): BY_DUE_TIME},
    facts.Interrupted: {(_RUNNING,): BY_DUE_TIME},
    facts.Released: {(_RUNNING,): _QUEUED},
    # the job is over
    facts.Succeeded: {(_RUNNING,): JobState.SUCCEEDED},
    facts.Failed: {_LIVE: JobState.FAILED},
    facts.DeadLettered: {_LIVE: JobState.DEAD_LETTER},
    facts.Cancelled: {_LIVE: JobState.CANCELLED},
    # after the end
    facts.Requeued: {FINAL: BY_DUE_TIME},
    facts.Reinstated: {(JobState.CANCELLED,): BY_DUE_TIME},
    facts.Removed: {FINAL: None},
    # as if it had never been
    facts.Dropped: {_LIVE: None, FINAL: None},
}

TRANSITIONS: Final[dict[tuple[JobState | None, type[Fact]], Target]] = {
    (state, kind): target for kind, rows in _BY_FACT.items() for states, target in rows.items() for state in states
}
"""The table, flat: one row for each pair that can happen."""


def next_state(state: JobState | None, fact: Fact) -> JobState | None:
    """Return where the fact leads a job in ``state``.

    Raises:
        InternalError: the table has no such row; nothing was changed.
    """
    try:
        target = TRANSITIONS[state, type(fact)]
    except KeyError:
        raise InternalError(f"{type(fact).__name__} cannot happen to job {fact.job_id} in state {state}") from None
    if target is BY_DUE_TIME:
        return _SCHEDULED if isinstance(fact, Placed) and fact.due_at > fact.at else _QUEUED
    return target
