"""Keys: what becomes of a job whose key is held, and that one job of a key runs at a time."""

from collections.abc import Callable
from copy import copy
from typing import Any

import pytest

from actorq.config import RestartBudget, Retention, Settings
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import HoldReason, Job, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine
from actorq.core.picture import Totals
from actorq.errors import DuplicateJob, InternalError, QueueFull

from .house import NO_JITTER, House, names

POLICIES: tuple[c.OnConflict, ...] = ("return_existing", "strict_body", "reject", "replace", "keep_last")


def keyed(job_id: str, policy: c.OnConflict, payload: bytes = b"[]", task: str = "mail") -> c.NewJob:
    return c.NewJob(job_id, task, payload, JobOptions(retry=NO_JITTER), key="k", on_conflict=policy)


# -- policy by policy, over what the holder does ---------------------------------------------------------------


def _waits(house: House) -> None:
    house.ask(c.PauseAll())
    house.submit_keyed("old")


def _runs(house: House) -> None:
    house.submit_keyed("old")


def _is_held(house: House) -> None:
    _waits(house)
    house.ask(c.Pause("old"))


def _has_ended(house: House) -> None:
    _runs(house)
    house.finish("old")
    house.ask(c.PauseAll())


HOLDERS: dict[str, Callable[[House], None]] = {
    "waiting": _waits, "paused": _is_held, "running": _runs, "final": _has_ended,
}  # fmt: skip

ANSWERS = """
                  waiting     paused      running     final
return_existing   old         old         old         old
strict_body       old         old         old         old
strict_body*      duplicate   duplicate   duplicate   duplicate
reject            duplicate   duplicate   duplicate   duplicate
replace           replaces    replaces    duplicate   new
keep_last         replaces    replaces    new         new
"""
"""What becomes of a second job with the key; ``*``: with other arguments."""
_HEAD, *_ROWS = (line.split() for line in ANSWERS.strip().splitlines())
CELLS = [(row[0], holder, cell) for row in _ROWS for holder, cell in zip(_HEAD, row[1:], strict=True)]


@pytest.mark.parametrize(("policy", "holder", "cell"), CELLS, ids=lambda part: part)
def test_a_second_job_of_a_key_fares_as_the_table_says(policy: Any, holder: str, cell: str) -> None:
    house = House(workers=2)
    HOLDERS[holder](house)
    before = house.states()
    answer = house.submit_keyed("new", policy.strip("*"), payload=b"[1]" if "*" in policy else b"[]")
    match cell:
        case "old":
            assert answer == "old"
            assert names(house.last) == ["Deduplicated"]
            assert house.states() == before
        case "duplicate":
            assert isinstance(answer, DuplicateJob)
            assert (answer.job_id, answer.key, answer.task) == ("old", "k", "mail")
            assert (names(house.last), house.states()) == ([], before)
        case "replaces":
            assert answer == "new"
            assert house.states()["old"] == "cancelled"
            assert house.states()["new"] == ("paused" if before["old"] == "paused" else "queued")
        case _:
            assert answer == "new"
            assert house.states()["old"] == before["old"]


@pytest.mark.parametrize(("policy", "holder", "cell"), CELLS, ids=lambda part: part)
def test_a_key_is_held_over_a_restart_as_before(policy: Any, holder: str, cell: str) -> None:
    house = House(workers=2)
    house.ask(c.PauseAll())  # what ran is interrupted by the restart, and waits
    HOLDERS[holder if holder != "running" else "waiting"](house)
    house.crash()
    answer = house.submit_keyed("new", policy.strip("*"), payload=b"[1]" if "*" in policy else b"[]")
    wanted = cell if holder != "running" else dict(zip(_HEAD, _row(policy), strict=True))["waiting"]
    assert {"old": "old", "duplicate": "old"}.get(wanted, "new") == getattr(answer, "job_id", answer)


def _row(policy: str) -> list[str]:
    return next(row[1:] for row in _ROWS if row[0] == policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_key_that_nobody_holds_is_free(policy: c.OnConflict) -> None:
    house = House()
    assert house.submit_keyed("a", policy) == "a"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_key_is_free_again_when_its_last_job_is_gone(policy: c.OnConflict) -> None:
    house = House(retention=Retention(count=0))
    house.submit_keyed("old")
    house.finish("old")
    assert house.submit_keyed("new", policy) == "new"
    assert house.states() == {"new": "running"}


def test_two_tasks_may_use_one_key() -> None:
    house = House(workers=2)
    house.ask(c.Register(("post",)))
    house.ask(c.Submit((keyed("a", "reject"), keyed("b", "reject", task="post"))))
    assert house.running() == ["a", "b"]


def test_a_job_without_a_key_never_conflicts() -> None:
    house = House(workers=2)
    house.submit_keyed("a")
    house.submit("b")
    assert house.running() == ["a", "b"]


def test_a_refusal_says_who_holds_the_key_and_why_that_is_not_enough() -> None:
    house = House()
    house.submit_keyed("old")
    assert str(house.submit_keyed("new", "replace")) == (
        "Key 'k' of task 'mail' is held by job old: it is running, and on_conflict='replace' replaces only what "
        "waits. Nothing was submitted."
    )


# -- replacing ------------------------------------------------------------------------------------------------


def test_a_job_that_was_replaced_says_by_whom() -> None:
    house = House()
    _waits(house)
    house.submit_keyed("new", "replace")
    failure = house.job("old").failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.SUPERSEDED, "job new took its place")
    assert names(house.last) == ["Cancelled", "Submitted"]


def test_a_replacement_needs_no_more_room_than_it_makes() -> None:
    house = House(max_pending=1)
    _waits(house)
    assert house.submit_keyed("new", "replace") == "new"


def test_a_replacement_that_finds_no_room_for_its_batch_replaces_nothing() -> None:
    house = House(max_pending=1)
    _waits(house)
    (answer,) = house.ask(c.Submit((keyed("new", "replace"), c.NewJob("more", "mail", b"", JobOptions())))).answers
    assert isinstance(answer, QueueFull)
    assert house.states() == {"old": "queued"}


def test_a_newcomer_that_replaces_is_placed_by_its_own_options() -> None:
    house = House()
    house.submit("busy")
    house.submit_keyed("old", delay=5.0)
    house.submit_keyed("new", "replace", options={"priority": 9}, payload=b"[2]")
    job = house.job("new")
    assert (job.state, job.options.priority, job.payload) == (JobState.QUEUED, 9, b"[2]")
    assert house.machine.next_deadline() > house.now + 3_000  # the old delay is gone


def test_the_newest_of_a_burst_runs_next_and_the_older_ones_never() -> None:
    house = House(workers=3)
    for n in range(5):
        house.submit_keyed(f"j{n}", "keep_last", payload=b"[%d]" % n)
    assert list(house.states().values()) == ["running", "cancelled", "cancelled", "cancelled", "scheduled"]
    assert [house.job(f"j{n}").failure.reason for n in (1, 2, 3)] == [Reason.SUPERSEDED] * 3  # type: ignore[union-attr]
    house.finish("j0")
    assert (house.running(), house.job("j4").payload) == (["j4"], b"[4]")


# -- in one batch ---------------------------------------------------------------------------------------------

IN_A_BATCH = {
    "return_existing": ("a", "a"),
    "strict_body": ("a", "a"),
    "reject": DuplicateJob,
    "replace": ("a", "b"),
    "keep_last": ("a", "b"),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_batch_conflicts_with_itself(policy: c.OnConflict) -> None:
    house = House()
    (answer,) = house.ask(c.Submit((keyed("a", "reject"), keyed("b", policy)))).answers
    wanted = IN_A_BATCH[policy]
    if isinstance(wanted, tuple):
        assert answer == wanted
        assert house.running() == [wanted[-1]]
    else:
        assert isinstance(answer, wanted)
        assert house.states() == {}


def test_a_conflict_refuses_its_whole_batch() -> None:
    house = House()
    house.submit_keyed("old")
    plain = c.NewJob("plain", "mail", b"", JobOptions())
    (answer,) = house.ask(c.Submit((plain, keyed("new", "reject")))).answers
    assert isinstance(answer, DuplicateJob)
    assert "plain" not in house.states()


def test_a_batch_replaces_the_holder_once_and_keeps_its_last() -> None:
    house = House()
    _waits(house)
    house.ask(c.Submit((keyed("a", "replace"), keyed("b", "keep_last"))))
    assert house.states() == {"old": "cancelled", "a": "cancelled", "b": "queued"}


def test_an_id_that_is_asked_for_again_is_answered_whatever_has_become_of_its_key() -> None:
    house = House()
    _waits(house)
    house.submit_keyed("new", "replace")
    assert house.submit_keyed("old", "reject") == "old"
    assert names(house.last) == []


def test_a_withdrawn_submission_gives_its_key_back() -> None:
    house = House()
    house.submit_keyed("old")
    house.finish("old")
    house.submit_keyed("new", "keep_last")
    house.ask(c.Withdraw(("new",)))
    assert house.submit_keyed("newer") == "old"


# -- one at a time --------------------------------------------------------------------------------------------


def _blocked(**options: Any) -> House:
    house = House(workers=2)
    house.submit_keyed("first", options={"grace": 5.0} | options)
    house.submit_keyed("a", "keep_last")
    assert (house.state, house.job().hold_reason) == (JobState.SCHEDULED, HoldReason.KEY)
    return house


def _finish(house: House) -> None:
    house.finish("first")


def _fail(house: House) -> None:
    house.fail("first", retryable=False)


def _retry(house: House) -> None:
    house.fail("first")


def _snooze(house: House) -> None:
    house.ask(c.Snooze("first", house.job("first").claim, 5.0))


def _cancel(house: House) -> None:
    house.ask(c.Cancel("first"))
    house.report("quit", "first")


def _abandon(house: House) -> None:
    house.ask(c.Cancel("first"))
    house.ask(after=5.0)


def _bury(house: House) -> None:
    house.ask(c.Bury(house.job("first").worker, "a bug"))


def _withdraw(house: House) -> None:
    house.ask(c.Withdraw(("first",)))


@pytest.mark.parametrize("end", [_finish, _fail, _retry, _snooze, _cancel, _abandon, _withdraw])
def test_a_blocked_job_starts_when_the_run_that_blocks_it_ends(end: Callable[[House], None]) -> None:
    house = _blocked()
    end(house)
    assert house.running() == ["a"]
    assert "Unblocked" in names(house.last)


def test_a_blocked_job_stays_so_when_the_worker_dies_and_the_other_goes_first_again() -> None:
    house = _blocked()
    _bury(house)
    assert names(house.last)[:2] == ["Interrupted", "Started"]
    assert (house.running(), house.state) == (["first"], JobState.SCHEDULED)


def test_a_blocked_job_starts_when_the_deadline_ends_what_blocks_it() -> None:
    house = _blocked(deadline=3.0)
    house.ask(after=3.0)
    house.fail("first")
    assert house.states() == {"first": "failed", "a": "running"}


def test_a_blocked_job_goes_on_after_a_crash() -> None:
    house = _blocked()
    house.crash()
    assert [type(fact) for fact in house.last.facts[:2]] == [f.Interrupted, f.Started]
    assert house.running() == ["first"]
    house.finish("first")
    assert house.running() == ["a"]


def test_a_blocked_job_lets_others_pass() -> None:
    house = _blocked()
    house.submit("other")
    assert house.running() == ["first", "other"]


def test_a_cancelled_blocked_job_is_out_of_the_way() -> None:
    house = _blocked()
    house.ask(c.Cancel("a"))
    assert house.machine.ledger.blocked == {}
    assert names(house.finish("first")) == ["Succeeded"]


def test_a_rerun_of_an_old_job_waits_while_its_key_runs() -> None:
    house = House(workers=2)
    house.submit_keyed("old")
    house.finish("old")
    house.submit_keyed("new", "keep_last")
    assert names(house.ask(c.Rerun("old"))) == ["Requeued", "Blocked"]
    house.finish("new")
    assert house.running() == ["old"]


def test_a_rerun_does_not_take_the_key_from_the_newest() -> None:
    house = House(workers=2)
    house.submit_keyed("old")
    house.finish("old")
    house.submit_keyed("new", "keep_last")
    house.ask(c.Rerun("old"))
    assert house.submit_keyed("newer") == "new"


def test_a_clone_holds_the_key_of_its_origin_and_waits_while_that_runs() -> None:
    house = House(workers=2)
    house.submit_keyed("old")
    house.finish("old")
    house.ask(c.Rerun("old"))
    house.finish("old")
    house.ask(c.Rerun("old", clone_id="b"), c.Rerun("old"))
    assert house.submit_keyed("new") == "b"
    assert sorted(house.states().values()) == ["running", "scheduled"]


def test_many_that_wait_for_one_key_are_unblocked_together_and_run_in_their_order() -> None:
    house = House(workers=2)
    house.submit_keyed("j0")
    house.finish("j0")
    house.ask(*(c.Rerun("j0", clone_id=f"j{n}") for n in range(1, 1_200)))
    house.wake()  # a step has its limit
    assert house.machine.ledger.blocked_count == 1_198
    for n in range(1, 4):
        assert house.running() == [f"j{n}"]
        house.finish(f"j{n}")


def test_the_first_that_is_blocked_goes_on_and_the_next_when_that_one_is_out_of_the_line() -> None:
    house = House(workers=2)
    house.submit_keyed("first")
    house.finish("first")
    house.ask(*(c.Rerun("first", clone_id=clone_id) for clone_id in ("a", "b", "c")))
    assert (house.running(), house.machine.ledger.blocked_count) == (["a"], 2)
    house.ask(c.PauseAll())
    house.finish("a")
    assert (house.state, house.job("b").state, house.job("c").state) == ("succeeded", "queued", "scheduled")
    house.ask(c.Pause("b"))
    assert house.job("c").state == "queued"
    house.ask(c.Resume("b"), c.ResumeAll())
    assert (house.running(), house.machine.ledger.blocked_count) == (["b"], 1)
    house.finish("b")
    assert house.running() == ["c"]


def test_many_of_a_key_cost_as_many_facts_as_others() -> None:
    house = House(workers=2, max_pending=2_000)
    house.submit_keyed("first")
    house.finish("first")
    house.ask(*(c.Rerun("first", clone_id=f"c{n}") for n in range(300)))
    before = house.machine.ledger.n
    while running := house.running():
        house.finish(running[0])
    assert house.machine.ledger.n - before <= 5 * 300


def test_a_blocked_job_in_a_paused_queue_is_unblocked_but_does_not_start() -> None:
    house = _blocked()
    house.ask(c.PauseAll())
    house.finish("first")
    assert house.state is JobState.QUEUED
    house.ask(c.ResumeAll())
    assert house.running() == ["a"]


def test_a_dead_job_that_blocks_another_leaves_its_letter_and_lets_that_go_on() -> None:
    house = _blocked(dead_letter="mail")
    house.fail("first", retryable=False)
    assert names(house.last)[:3] == ["DeadLettered", "Unblocked", "Submitted"]
    assert house.job("first").dead_letter_job_id is not None
    assert "a" in house.running()


def test_a_newcomer_that_is_withdrawn_gives_back_the_place_it_took() -> None:
    house = House(workers=1)
    house.submit("busy")
    for job_id in ("a", "b", "c"):
        house.submit_keyed(job_id, on_conflict="replace")
    house.ask(c.Withdraw(("b", "c", "nobody")))
    assert house.states() == {"busy": "running", "a": "queued"}
    house.ask(c.Withdraw(("a",)))
    assert house.states() == {"busy": "running"}


def test_what_was_cancelled_by_somebody_stays_so_when_a_newcomer_is_withdrawn() -> None:
    house = House(workers=1)
    house.submit("busy")
    house.submit_keyed("a")
    house.ask(c.Cancel("a"))
    house.submit_keyed("b", on_conflict="replace")
    house.ask(c.Withdraw(("b",)))
    assert house.states() == {"busy": "running", "a": "cancelled"}


def test_a_job_that_nothing_blocks_any_more_goes_on_after_a_start() -> None:
    job = Job("a", 1, "mail", b"[]", JobOptions(), JobState.SCHEDULED, 1.0, 1.0, key="k", hold_reason=HoldReason.KEY)
    machine = Machine(Settings(), Ledger(Totals(now=2.0, seq=1), [job]))
    machine.step([c.Register(("mail",)), c.Recover()], 3.0)
    assert machine.ledger.jobs["a"].state is JobState.RUNNING


def test_a_job_without_a_key_cannot_be_blocked() -> None:
    house = House(workers=1)
    house.submit("busy")
    house.submit("a")
    fact = f.Blocked(house.machine.ledger.now, "a")
    fact.n = house.machine.ledger.n + 1
    with pytest.raises(InternalError, match="has no key"):
        house.machine.ledger.apply(fact)


def test_a_queued_job_of_a_paused_group_holds_up_no_other_of_its_key() -> None:
    house = House(workers=3)
    red = JobOptions(group="red")
    for job_id, options in (("a", red), ("b", JobOptions()), ("c", JobOptions())):
        house.ask(c.Submit((c.NewJob(job_id, "mail", b"[]", options, key="k", on_conflict="keep_last"),)))
        house.finish(job_id)
    house.ask(c.PauseAll("red"))
    house.ask(*(c.Rerun(job_id) for job_id in ("a", "b", "c")))
    assert house.states() == {"a": "queued", "b": "running", "c": "scheduled"}
    house.finish("b")
    assert house.states() == {"a": "queued", "b": "succeeded", "c": "running"}


def test_a_clone_that_is_withdrawn_leaves_no_link() -> None:
    house = House()
    house.submit("a")
    house.finish("a")
    house.ask(c.Rerun("a", clone_id="b"))
    assert house.job("a").retried_by == "b"
    house.ask(c.Withdraw(("b",)))
    assert house.job("a").retried_by is None


def test_keep_last_takes_the_places_of_all_that_wait_under_the_key() -> None:
    house = House(workers=1)
    house.submit_keyed("old")
    house.finish("old")
    house.submit("busy")
    house.submit_keyed("newer", on_conflict="keep_last")
    house.ask(c.Rerun("old"))
    house.submit_keyed("newest", on_conflict="keep_last")
    assert house.states() == {"old": "cancelled", "busy": "running", "newer": "cancelled", "newest": "queued"}


def test_a_pause_that_leaves_workers_to_their_jobs_is_no_sign_that_workers_die() -> None:
    house = House(workers=3, restarts=RestartBudget(deaths=1, window_s=60.0))
    for job_id in ("a", "b", "c"):
        house.submit(job_id, grace=1.0)
    house.ask(c.PauseAll(stop=True))
    step = house.ask(after=2.0)
    assert names(step).count("Abandon") == 3
    assert "GiveUp" not in names(step)


def test_a_dead_letter_job_that_is_withdrawn_leaves_no_link_also_while_a_picture_is_taken() -> None:
    house = House()
    house.submit("a", dead_letter="mail")
    house.fail(retryable=False)
    letter = house.job("a").dead_letter_job_id
    assert letter is not None
    picture = house.machine.ledger.picture()
    house.ask(c.Withdraw((letter,)))
    assert house.job("a").dead_letter_job_id is None
    assert [job.dead_letter_job_id for job in picture.take(1_000)] == [letter, None]


def test_whose_place_was_taken_has_all_it_had_when_the_newcomer_is_withdrawn() -> None:
    house = House(workers=1)
    house.submit_keyed("a", options={"expires": 500.0})
    house.fail("a")
    house.ask(c.Pause("a"))
    before = copy(house.job("a"))
    assert (before.attempt, before.hold_reason) == (1, HoldReason.RETRY)
    house.submit_keyed("b", on_conflict="replace")
    assert house.states() == {"a": "cancelled", "b": "paused"}
    house.ask(c.Withdraw(("b",)))
    assert house.job("a") == before


def test_a_newcomer_is_held_by_hand_if_the_one_was_whose_place_it_takes() -> None:
    house = House(workers=2)
    house.submit_keyed("a", on_conflict="keep_last", delay=5.0)
    house.ask(c.Pause("a"))
    house.submit_keyed("b", on_conflict="keep_last")
    house.submit_keyed("c", on_conflict="keep_last")
    assert house.states() == {"a": "cancelled", "b": "cancelled", "c": "paused"}
    house.ask(c.Resume("c"))
    assert house.running() == ["c"]
