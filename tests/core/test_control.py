"""What can be asked of one job: which verb fits which state, and what it does there."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from actorq.config import Retention
from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState, Reason
from actorq.errors import InvalidState, JobNotFound, QueueClosed, QueueFull

from .driver import dump, dump_roster
from .house import NO_JITTER, House, names

# -- the table -----------------------------------------------------------------------------------------------

TABLE = """
                  cancel      pause   resume  promote  edit       remove  rerun   clone
delay             cancelled   paused  x       queued   scheduled  x       x       x
retry             cancelled   paused  x       queued   scheduled  x       x       x
key               cancelled   paused  x       x        queued     x       x       x
no_task           cancelled   paused  x       x        queued     x       x       x
bad_payload       cancelled   paused  x       x        queued     x       x       x
queued            cancelled   paused  x       x        queued     x       x       x
paused            cancelled   x       queued  x        paused     x       x       x
paused_delay      cancelled   x       scheduled x      paused     x       x       x
running           running     x       x       x        x          x       x       x
being_cancelled   running     x       x       x        x          x       x       x
succeeded         False       x       x       x        x          gone    queued  queued
failed            False       x       x       x        x          gone    queued  queued
dead_letter       False       x       x       x        x          gone    queued  queued
cancelled         False       x       x       x        x          gone    queued  queued
unknown           ?           ?       ?       ?        ?          ?       ?       ?
"""
"""The state in which each verb leaves each job: ``x`` InvalidState, ``?`` JobNotFound, ``False`` that answer.

A job that was only built, ``created``, is in no row: the core has never heard of it. All workers are busy, so
nothing starts at once; of a clone, its own state is told.
"""


def _in_delay(house: House) -> None:
    house.submit("a", delay=60.0)


def _in_retry(house: House) -> None:
    house.submit("a", retry=evolve(NO_JITTER, delay=60.0))
    house.fail()


def _in_key(house: House) -> None:
    house.ask(c.SetWorkers(2))
    house.submit_keyed("first")
    house.submit_keyed("a", "keep_last")


def _in_no_task(house: House) -> None:
    house.submit("a", task="letter")


def _in_bad_payload(house: House) -> None:
    house.submit("a")
    house.report("park")


def _in_queue(house: House) -> None:
    house.submit("busy", priority=1)
    house.submit("a")


def _in_pause(house: House) -> None:
    _in_queue(house)
    house.ask(c.Pause("a"))


def _in_pause_of_delay(house: House) -> None:
    _in_delay(house)
    house.ask(c.Pause("a"))


def _in_run(house: House) -> None:
    house.submit("a")


def _in_cancelled_run(house: House) -> None:
    house.submit("a")
    house.ask(c.Cancel("a"))


def _after_success(house: House) -> None:
    house.submit("a")
    house.finish()


def _after_failure(house: House) -> None:
    house.submit("a")
    house.fail(retryable=False)


def _after_death(house: House) -> None:
    house.submit("a", dead_letter=True)
    house.fail(retryable=False)


def _after_cancel(house: House) -> None:
    _in_delay(house)
    house.ask(c.Cancel("a"))


SITUATIONS: dict[str, Callable[[House], None]] = {
    "delay": _in_delay,
    "retry": _in_retry,
    "key": _in_key,
    "no_task": _in_no_task,
    "bad_payload": _in_bad_payload,
    "queued": _in_queue,
    "paused": _in_pause,
    "paused_delay": _in_pause_of_delay,
    "running": _in_run,
    "being_cancelled": _in_cancelled_run,
    "succeeded": _after_success,
    "failed": _after_failure,
    "dead_letter": _after_death,
    "cancelled": _after_cancel,
    "unknown": lambda house: None,
}
VERBS: dict[str, c.Command] = {
    "cancel": c.Cancel("a"),
    "pause": c.Pause("a"),
    "resume": c.Resume("a"),
    "promote": c.Promote("a"),
    "edit": c.Edit("a", b"[2]"),
    "remove": c.Remove("a"),
    "rerun": c.Rerun("a"),
    "clone": c.Rerun("a", clone_id="b"),
}
_HEAD, *_ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [(row[0], verb, cell) for row in _ROWS for verb, cell in zip(_HEAD, row[1:], strict=True)]


def test_the_table_is_whole() -> None:
    assert list(VERBS) == _HEAD
    assert [row[0] for row in _ROWS] == list(SITUATIONS)


@pytest.mark.parametrize(("situation", "verb", "cell"), CELLS, ids=lambda part: part)
def test_a_verb_does_what_the_table_says_or_changes_nothing(situation: str, verb: str, cell: str) -> None:
    house = House()
    SITUATIONS[situation](house)
    house.submit("late", priority=9)  # for the worker that may be idle by now
    ledger, roster = house.machine.ledger, house.machine.roster
    before = dump(ledger), dump_roster(roster)
    state = house.states().get("a")
    (answer,) = house.ask(VERBS[verb]).answers
    after = house.states()
    match cell:
        case "x":
            assert isinstance(answer, InvalidState)
            assert answer.verb == ("rerun" if verb == "clone" else verb)
            assert answer.state.startswith(str(state))
        case "?":
            assert isinstance(answer, JobNotFound)
        case "False":
            assert answer is False
        case "gone":
            assert "a" not in after
        case _:
            assert answer in (None, True, "a", "b")
            assert after["b" if verb == "clone" else "a"] == cell
            assert after["a"] == (state if verb == "clone" else cell)
    if cell in ("x", "?", "False"):
        assert names(house.last) == []
        assert (dump(ledger), dump_roster(roster)) == before


# -- pausing a job, and going on -----------------------------------------------------------------------------


def test_a_paused_job_lets_others_pass() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", priority=9)
    house.submit("b")
    house.ask(c.Pause("a"))
    house.finish("busy")
    assert house.running() == ["b"]


def test_a_resumed_job_stands_where_it_stood() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", "b")
    house.ask(c.Pause("a"))
    house.ask(c.Resume("a"), after=5.0)
    house.finish("busy")
    assert house.running() == ["a"]


def test_a_resumed_delay_lasts_until_it_would_have() -> None:
    house = House()
    house.submit("a", delay=10.0)
    house.ask(c.Pause("a"), after=2.0)
    house.ask(c.Resume("a"), after=3.0)
    assert (house.state, house.job().hold_reason) == (JobState.SCHEDULED, HoldReason.DELAY)
    assert house.machine.next_deadline() == 110.0


def test_a_delay_that_ended_under_the_pause_is_over() -> None:
    house = House()
    house.submit("a", delay=10.0)
    house.ask(c.Pause("a"))
    house.ask(after=60.0)
    assert house.state is JobState.PAUSED
    assert names(house.ask(c.Resume("a"))) == ["Resumed", "Started", "Dispatch"]


def test_a_paused_retry_goes_on_as_a_retry_with_its_attempts_and_failure() -> None:
    house = House()
    house.submit("a", priority=3)
    house.fail()
    house.ask(c.Pause("a"))
    assert house.job().hold_reason is HoldReason.RETRY
    house.crash()
    house.ask(c.Resume("a"))
    assert (house.job().hold_reason, house.job().attempt, house.reason) == (HoldReason.RETRY, 1, Reason.ERROR)
    house.wake()
    assert (house.job().attempt, house.job().options.priority) == (2, 3)


def test_a_paused_job_outlives_a_crash_with_all_that_it_is() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", priority=3, tags={"for": "ada"}, expires=500.0, group="red")
    house.ask(c.Pause("a"))
    before = evolve(house.job())
    house.crash()
    assert house.job() == before
    assert house.job() is not before


def test_a_parked_job_that_is_paused_and_resumed_is_tried_again() -> None:
    house = House()
    house.submit("a", task="letter")
    house.ask(c.Pause("a"))
    assert names(house.ask(c.Register(("letter",)))) == []
    assert names(house.ask(c.Resume("a"))) == ["Resumed", "Started", "Dispatch"]
    assert house.job().failure is None


def test_a_blocked_job_that_is_resumed_while_its_key_runs_is_blocked_again() -> None:
    house = House(workers=2)
    house.submit_keyed("first")
    house.submit_keyed("a", "keep_last")
    house.ask(c.Pause("a"))
    assert names(house.ask(c.Resume("a"))) == ["Resumed", "Blocked"]
    assert names(house.finish("first"))[:2] == ["Succeeded", "Unblocked"]
    assert house.running() == ["a"]


# -- promoting ----------------------------------------------------------------------------------------------


def test_a_promoted_job_starts_at_once() -> None:
    house = House()
    house.submit("a", delay=60.0)
    assert names(house.ask(c.Promote("a"))) == ["Promoted", "Started", "Dispatch"]


def test_a_promoted_job_waits_behind_those_that_were_due_before() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", delay=60.0)
    house.submit("b")
    house.ask(c.Promote("a"), after=1.0)
    house.finish("busy")
    assert house.running() == ["b"]


@pytest.mark.parametrize(
    ("situation", "want"),
    [("no_task", "a task of its name"), ("bad_payload", "code that its arguments fit"), ("key", "its key")],
)
def test_no_promotion_mends_what_else_a_job_waits_for_and_it_says_so(situation: str, want: str) -> None:
    house = House()
    SITUATIONS[situation](house)
    assert f"it is scheduled for want of {want}" in str(house.ask(c.Promote("a")).answers[0])


# -- editing ------------------------------------------------------------------------------------------------

_CHANGES: dict[str, Any] = {
    "priority": 4, "retry": evolve(NO_JITTER, max_attempts=7), "timeout": 5.0, "heartbeat_timeout": 6.0,
    "expires": 700.0, "deadline": 800.0, "grace": 1.0, "tags": {"for": "ada"}, "group": "red", "dead_letter": "mail",
}  # fmt: skip


@pytest.mark.parametrize("option", _CHANGES)
@pytest.mark.parametrize("situation", ["delay", "retry", "key", "no_task", "bad_payload", "queued", "paused"])
def test_an_edit_changes_one_option_and_no_other(situation: str, option: str) -> None:
    house = House()
    SITUATIONS[situation](house)
    before = house.job().options
    house.ask(c.Edit("a", options={option: _CHANGES[option]}))
    assert house.job().options == evolve(before, **{option: _CHANGES[option]})
    assert house.job().payload == b"[]"


def test_an_edit_of_the_arguments_changes_nothing_else() -> None:
    house = House()
    house.submit("a", delay=9.0)
    before = evolve(house.job())
    house.ask(c.Edit("a", b"[2]"))
    assert house.job() == evolve(before, payload=b"[2]")


def test_an_edit_of_the_priority_moves_the_job_in_the_queue() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", "b")
    house.ask(c.Edit("b", options={"priority": 1}))
    house.finish("busy")
    assert house.running() == ["b"]


def test_an_edit_of_the_group_moves_the_job_to_the_limit_of_the_other() -> None:
    house = House(workers=2)
    house.ask(c.SetGroup("red", 1))
    house.submit("first", "a", group="red")
    assert house.running() == ["first"]
    assert "Started" in names(house.ask(c.Edit("a", options={"group": "blue"})))


@pytest.mark.parametrize("situation", ["delay", "retry", "queued", "no_task", "bad_payload", "key"])
def test_an_edit_with_a_delay_schedules_what_waits(situation: str) -> None:
    house = House()
    SITUATIONS[situation](house)
    house.ask(c.Edit("a", delay=7.0))
    assert (house.state, house.job().due_at) == (JobState.SCHEDULED, house.now + 7.0)
    assert house.job().hold_reason is (HoldReason.RETRY if situation == "retry" else HoldReason.DELAY)


def test_an_edit_with_an_instant_wins_over_one_with_a_delay() -> None:
    house = House()
    house.submit("a", delay=60.0)
    house.ask(c.Edit("a", delay=7.0, run_at=123.0))
    assert house.job().due_at == 123.0


def test_an_edit_with_no_delay_starts_what_is_scheduled() -> None:
    house = House()
    house.submit("a", delay=60.0)
    assert names(house.ask(c.Edit("a", delay=0.0))) == ["Edited", "Started", "Dispatch"]


def test_an_edit_of_a_paused_job_leaves_it_paused_and_says_where_it_returns() -> None:
    house = House()
    house.submit("busy")
    house.submit("a")
    house.ask(c.Pause("a"))
    house.ask(c.Edit("a", options={"priority": 2}))
    assert (house.state, house.job().hold_reason) == (JobState.PAUSED, None)
    house.ask(c.Edit("a", delay=7.0))
    assert (house.state, house.job().hold_reason) == (JobState.PAUSED, HoldReason.DELAY)
    house.ask(c.Resume("a"))
    assert house.machine.next_deadline() == 107.0


def test_an_edit_of_a_parked_job_runs_it_again() -> None:
    house = House()
    house.submit("a")
    house.report("park")
    assert names(house.ask(c.Edit("a", b"[2]"))) == ["Edited", "Started", "Dispatch"]
    assert house.job().failure is None


def test_an_edit_of_a_parked_job_without_a_task_parks_it_again() -> None:
    house = House()
    house.submit("a", task="letter")
    assert names(house.ask(c.Edit("a", b"[2]"))) == ["Edited", "Parked"]
    assert house.job().hold_reason is HoldReason.NO_TASK


def test_an_edited_limit_counts_from_the_submission() -> None:
    house = House()
    house.submit("busy")
    house.submit("a")
    house.ask(c.Edit("a", options={"expires": 9.0}), after=4.0)
    assert house.machine.next_deadline() == 109.0
    house.ask(c.Edit("a", options={"expires": None}))
    assert house.machine.next_deadline() > 109.0


def test_the_call_of_a_job_that_is_not_stored_cannot_be_edited_but_its_place_can() -> None:
    house = House()
    house.submit("busy")
    house.ask(c.Submit((c.NewJob("a", "fn", b"", house.job("busy").options, ephemeral=True),)))
    (answer,) = house.ask(c.Edit("a", b"[2]")).answers
    assert str(answer) == "Cannot edit job a: it is queued, and its call is not stored."
    assert house.ask(c.Edit("a", options={"priority": 2})).answers == [None]


# -- removing, rerunning, cloning ---------------------------------------------------------------------------


def test_a_removed_job_is_gone_and_counted() -> None:
    house = House()
    house.submit("a")
    house.finish()
    assert names(house.ask(c.Remove("a"))) == ["Removed"]
    assert (house.machine.ledger.removed, house.machine.ledger.live) == (1, 0)
    assert isinstance(house.ask(c.Remove("a")).answers[0], JobNotFound)


def test_a_rerun_with_a_delay_waits_for_it() -> None:
    house = House()
    house.submit("a")
    house.finish()
    house.ask(c.Rerun("a", 7.0))
    assert (house.state, house.job().hold_reason) == (JobState.SCHEDULED, HoldReason.DELAY)
    house.ask(after=7.0)
    assert house.running() == ["a"]


def test_limits_of_a_rerun_with_a_delay_count_from_when_it_is_due() -> None:
    house = House()
    house.submit("a", expires=5.0)
    house.finish()
    house.ask(c.Rerun("a", 60.0))
    house.ask(after=60.0)
    assert house.running() == ["a"]


def test_a_clone_is_a_new_job_with_the_same_work_and_leaves_the_old_one_as_it_was() -> None:
    house = House()
    house.submit("a", priority=3)
    house.fail(retryable=False)
    before = evolve(house.job())
    assert house.ask(c.Rerun("a", clone_id="b")).answers == ["b"]
    assert house.job() == evolve(before, retried_by="b")
    clone = house.job("b")
    assert (clone.task, clone.payload, clone.options) == (before.task, before.payload, before.options)
    assert (clone.retry_of, clone.attempt, clone.failure, clone.seq) == ("a", 1, None, before.seq + 1)


def test_a_clone_that_is_asked_for_twice_is_made_once() -> None:
    house = House()
    house.submit("a")
    house.finish()
    house.ask(c.Rerun("a", clone_id="b"))
    assert names(house.ask(c.Rerun("a", clone_id="b"))) == []
    assert house.last.answers == ["b"]


def test_the_last_clone_is_the_one_that_is_linked() -> None:
    house = House(workers=3)
    house.submit("a")
    house.finish()
    house.ask(c.Rerun("a", clone_id="b"), c.Rerun("a", clone_id="c"))
    assert house.job().retried_by == "c"
    assert [house.job(job_id).retry_of for job_id in "bc"] == ["a", "a"]


def test_a_clone_of_a_clone_needs_no_origin() -> None:
    house = House()
    house.submit("a")
    house.finish()
    house.ask(c.Rerun("a", clone_id="b"))
    house.ask(c.Remove("a"))
    house.finish("b")
    house.ask(c.Rerun("b", clone_id="c"))
    assert (house.job("b").retry_of, house.job("b").retried_by, house.job("c").retry_of) == ("a", "c", "b")


def test_links_outlive_a_crash() -> None:
    house = House()
    house.submit("a")
    house.finish()
    house.ask(c.Rerun("a", clone_id="b"))
    house.crash()
    assert (house.job().retried_by, house.job("b").retry_of) == ("b", "a")


def test_a_picture_that_is_being_taken_knows_nothing_of_a_later_clone() -> None:
    house = House()
    house.submit("a")
    house.finish()
    picture = house.machine.ledger.picture()
    house.ask(c.Rerun("a", clone_id="b"))
    assert [(job.id, job.retried_by) for job in picture.take(100)] == [("a", None)]


@pytest.mark.parametrize("clone_id", [None, "b"])
def test_a_rerun_needs_room_and_an_open_queue(clone_id: str | None) -> None:
    house = House(max_pending=1)
    house.submit("a")
    house.finish()
    house.submit("busy")
    assert isinstance(house.ask(c.Rerun("a", clone_id=clone_id)).answers[0], QueueFull)
    house.ask(c.Drain())
    assert isinstance(house.ask(c.Rerun("a", clone_id=clone_id)).answers[0], QueueClosed)
    assert "b" not in house.states()


# -- limits pass, whatever a job waits for -------------------------------------------------------------------


def _pause(house: House) -> None:
    house.ask(c.Pause("a"))


def _pause_the_queue(house: House) -> None:
    house.ask(c.PauseAll())


def _pause_the_group(house: House) -> None:
    house.ask(c.PauseAll("red"))


@pytest.mark.parametrize("hold", [_pause, _pause_the_queue, _pause_the_group])
@pytest.mark.parametrize(("limit", "reason"), [("expires", Reason.EXPIRED), ("deadline", Reason.DEADLINE)])
def test_a_limit_passes_while_a_job_or_its_queue_or_its_group_is_paused(
    hold: Callable[[House], None], limit: str, reason: Reason
) -> None:
    house = House()
    house.submit("busy")
    house.submit("a", group="red", **{limit: 5.0})
    hold(house)
    assert house.machine.next_deadline() == 105.0
    house.wake()
    assert (house.state, house.reason) == (JobState.FAILED, reason)


@pytest.mark.parametrize(("limit", "reason"), [("expires", Reason.EXPIRED), ("deadline", Reason.DEADLINE)])
def test_a_limit_passes_while_a_job_is_blocked(limit: str, reason: Reason) -> None:
    house = House(workers=2)
    house.submit_keyed("first")
    house.submit_keyed("a", "keep_last", options={limit: 5.0})
    assert house.job().hold_reason is HoldReason.KEY
    house.wake()
    assert (house.state, house.reason) == (JobState.FAILED, reason)
    assert not house.machine.ledger.blocked


def test_a_paused_job_that_dies_has_its_letter_too() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", expires=5.0, dead_letter="mail")
    house.ask(c.Pause("a"))
    assert names(house.wake()) == ["DeadLettered", "Submitted"]


# -- how long what has ended is kept --------------------------------------------------------------------------


def test_each_final_state_is_kept_by_its_own_count() -> None:
    keep = Retention(count=1, failed=Retention(count=3), cancelled=Retention(count=0))
    house = House(retention=keep)
    for n in range(5):
        house.submit(f"s{n}")
        house.finish(f"s{n}")
        house.submit(f"f{n}")
        house.fail(f"f{n}", retryable=False)
        house.submit(f"c{n}", delay=5.0)
        house.ask(c.Cancel(f"c{n}"))
    assert sorted(house.states()) == ["f2", "f3", "f4", "s4"]


def test_each_final_state_is_kept_for_its_own_time() -> None:
    house = House(retention=Retention(age_s=10.0, dead_letter=Retention(age_s=100.0)))
    house.submit("a", dead_letter=True)
    house.fail(retryable=False)
    house.submit("b")
    house.finish("b")
    house.wake()
    assert (sorted(house.states()), house.now) == (["a"], 111.0)
    house.wake()
    assert (house.states(), house.now) == ({}, 210.0)


def test_a_job_in_wait_is_kept_for_ever() -> None:
    house = House(retention=Retention(age_s=0.0, count=0))
    house.submit("a", delay=5.0)
    house.ask(c.Pause("a"))
    house.ask(after=1e7)
    assert house.states() == {"a": "paused"}
