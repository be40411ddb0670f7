"""The table of a job's life, tried pair by pair."""

from typing import Any

import pytest

from actorq.core import facts as f
from actorq.core.facts import Fact
from actorq.core.job import NO_PROGRESS, Failure, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.lifecycle import BY_DUE_TIME, TRANSITIONS, next_state
from actorq.errors import InternalError

from .driver import dump

NOW = 100.0
BAD = Failure(Reason.ERROR, "ValueError")
UNFIT = Failure(Reason.BAD_PAYLOAD, "TypeError")
STORED = [state for state in JobState if state is not JobState.CREATED]


def fact_of(kind: type[Fact], due_at: float = NOW) -> Fact:
    """Return a fact of this kind about job ``j``."""
    fields: dict[type[Fact], tuple[Any, ...]] = {
        f.Submitted: (due_at, 1, "mail", b"[]", JobOptions(), False, "k"),
        f.Started: (1, 1, 1),
        f.Progressed: (NO_PROGRESS,),
        f.Extended: (2.0,),
        f.Logged: ("info", "hello", b"{}"),
        f.CancelRequested: ("enough",),
        f.Resumed: (due_at,),
        f.Edited: (due_at,),
        f.Requeued: (due_at,),
        f.Reinstated: (due_at,),
        f.RetryScheduled: (due_at, BAD),
        f.Snoozed: (due_at,),
        f.Interrupted: (due_at,),
        f.Parked: (UNFIT,),
        f.Succeeded: (b"1",),
        f.Failed: (BAD,),
        f.DeadLettered: (BAD,),
        f.Cancelled: (BAD,),
    }
    return kind(NOW, "j", *fields.get(kind, ()))


KINDS = sorted({kind for _, kind in TRANSITIONS}, key=lambda kind: kind.__name__)

WAY: dict[JobState | None, tuple[Fact, ...]] = {
    None: (),
    JobState.SCHEDULED: (fact_of(f.Submitted, NOW + 1),),
    JobState.QUEUED: (fact_of(f.Submitted),),
    JobState.PAUSED: (fact_of(f.Submitted), fact_of(f.Paused)),
    JobState.RUNNING: (fact_of(f.Submitted), fact_of(f.Started)),
    JobState.SUCCEEDED: (fact_of(f.Submitted), fact_of(f.Started), fact_of(f.Succeeded)),
    JobState.FAILED: (fact_of(f.Submitted), fact_of(f.Failed)),
    JobState.DEAD_LETTER: (fact_of(f.Submitted), fact_of(f.DeadLettered)),
    JobState.CANCELLED: (fact_of(f.Submitted), fact_of(f.Cancelled)),
}


def ledger_in(state: JobState | None) -> Ledger:
    """Return a ledger whose job ``j`` is in this state."""
    ledger = Ledger()
    for fact in WAY[state]:
        fact.n = ledger.n + 1
        ledger.apply(fact)
    return ledger


@pytest.mark.parametrize("due_at", [NOW, NOW + 5.0], ids=["due", "later"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", [None, *STORED], ids=str)
def test_a_fact_either_follows_the_table_or_changes_nothing(
    state: JobState | None, kind: type[Fact], due_at: float
) -> None:
    ledger = ledger_in(state)
    before = dump(ledger)
    fact = fact_of(kind, due_at)
    fact.n = ledger.n + 1
    if (state, kind) in TRANSITIONS:
        target = TRANSITIONS[state, kind]
        if target is BY_DUE_TIME:
            target = JobState.QUEUED if due_at == NOW else JobState.SCHEDULED
        ledger.apply(fact)
        job = ledger.jobs.get("j")
        assert (job.state if job else None) == target
        assert [state for state, count in ledger.count().items() if count] == [target] * bool(job)
    else:
        with pytest.raises(InternalError, match=f"{kind.__name__} cannot happen to job j"):
            ledger.apply(fact)
        assert dump(ledger) == before


def test_every_fact_is_in_the_table() -> None:
    kinds = {getattr(f, name) for name in f.__all__} - {f.Fact, f.Placed, f.QueueFact}
    kinds = {kind for kind in kinds if not issubclass(kind, f.QueueFact)}
    assert {kind for _, kind in TRANSITIONS} == kinds


def test_every_stored_state_can_be_reached_and_left() -> None:
    reached = {target for target in TRANSITIONS.values() if isinstance(target, JobState)}
    assert reached | {JobState.SCHEDULED} == set(STORED)
    assert {state for state, _ in TRANSITIONS} == {None, *STORED}


def test_a_final_state_is_left_by_rerun_or_removal_only() -> None:
    kinds = {kind for state, kind in TRANSITIONS if state is not None and state.is_final}
    assert kinds == {f.Requeued, f.Reinstated, f.Removed, f.Dropped, f.Deduplicated}


def test_a_job_can_be_dropped_from_every_state() -> None:
    assert {state for state, kind in TRANSITIONS if kind is f.Dropped} == set(STORED)


def test_asking_the_table_changes_nothing() -> None:
    assert next_state(None, fact_of(f.Submitted, NOW + 1)) is JobState.SCHEDULED
    assert next_state(JobState.CANCELLED, fact_of(f.Removed)) is None


@pytest.mark.parametrize(("n", "at"), [(1, NOW), (3, NOW), (2, NOW - 1.0)])
def test_a_fact_out_of_its_turn_changes_nothing(n: int, at: float) -> None:
    ledger = ledger_in(JobState.QUEUED)
    before = dump(ledger)
    fact = f.Cancelled(at, "j", BAD)
    fact.n = n
    with pytest.raises(InternalError, match="cannot follow fact 1"):
        ledger.apply(fact)
    assert dump(ledger) == before


def test_a_job_with_a_number_out_of_its_turn_is_not_accepted() -> None:
    ledger = ledger_in(JobState.QUEUED)
    before = dump(ledger)
    fact = f.Submitted(NOW, "k", NOW, 3, "mail", b"[]", JobOptions())
    fact.n = 2
    with pytest.raises(InternalError, match="does not accept a job in turn"):
        ledger.apply(fact)
    assert dump(ledger) == before


def test_two_pictures_at_a_time_are_refused() -> None:
    ledger = ledger_in(JobState.QUEUED)
    ledger.picture()
    with pytest.raises(InternalError, match="two pictures"):
        ledger.picture()
