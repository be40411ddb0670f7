"""The table of a job's life: state × fact → state.

Here is the whole of it. Two rules keep it so. First, no state changes outside this table: ``Ledger.apply``
asks it, and a pair that is not in it is a bug that stops the queue rather than a state nobody planned.
Second, *why* a fact happens is no business of this file: that is ``decide``'s.

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

_SCHEDULED, _QUEUED, _RUNNING = JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING

_BY_FACT: dict[type[Fact], dict[tuple[JobState | None, ...], Target]] = {
    # in
    facts.Submitted: {(None,): BY_DUE_TIME},
    # waiting
    facts.BecameDue: {(_SCHEDULED,): _QUEUED},
    facts.Parked: {(_QUEUED, _RUNNING): _SCHEDULED},
    facts.Unparked: {(_SCHEDULED,): _QUEUED},
    # running
    facts.Started: {(_QUEUED,): _RUNNING},
    facts.Progressed: {(_RUNNING,): _RUNNING},
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
    facts.Failed: {(_SCHEDULED, _QUEUED, _RUNNING): JobState.FAILED},
    facts.DeadLettered: {(_SCHEDULED, _QUEUED, _RUNNING): JobState.DEAD_LETTER},
    facts.Cancelled: {(_SCHEDULED, _QUEUED, _RUNNING): JobState.CANCELLED},
    # after the end
    facts.Requeued: {FINAL: _QUEUED},
    facts.Removed: {FINAL: None},
    # as if it had never been
    facts.Dropped: {(_SCHEDULED, _QUEUED, _RUNNING): None, FINAL: None},
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
