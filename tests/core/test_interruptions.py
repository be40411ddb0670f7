"""Three budgets, counted apart: attempts, interruptions, snoozes. What dies under a job uses the one, or the other."""

from collections.abc import Callable

import pytest

from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState, Reason
from actorq.core.retry import Retry

from .house import BAD, NO_JITTER, House, aborts, names

# -- a process that is gone -------------------------------------------------------------------------------


def test_a_process_killed_for_its_memory_uses_an_attempt_and_is_retried_by_the_rule() -> None:
    house = House()
    house.submit("a")
    assert names(house.die(reason=Reason.KILLED)) == ["RetryScheduled"]
    job = house.job()
    assert (job.hold_reason, job.due_at, job.attempt, job.interruptions) == (HoldReason.RETRY, 101.0, 1, 0)


def test_a_process_killed_for_its_memory_in_the_last_attempt_fails_the_job() -> None:
    house = House()
    house.submit("a", retry=Retry(max_attempts=1))
    assert names(house.die(reason=Reason.KILLED)) == ["Failed"]
    assert house.reason is Reason.KILLED


def test_a_process_that_exits_uses_no_attempt() -> None:
    house = House()
    house.submit("a", retry=Retry(max_attempts=1))
    assert names(house.die()) == ["Interrupted", "Started", "Dispatch"]
    assert (house.job().attempt, house.job().interruptions) == (1, 1)


def test_the_first_exit_returns_at_once_and_later_ones_with_growing_delay() -> None:
    house = House()
    house.submit("a")
    waits = []
    for _ in range(4):
        house.die()
        waits.append(house.job().due_at - house.now)
        house.wake()
    assert waits == [0.0, 1.0, 2.0, 4.0]


def test_a_job_whose_process_exits_too_often_fails_with_bad_exit() -> None:
    house = House()
    house.submit("a", max_interruptions=2)
    house.die()
    assert names(house.die()) == ["Failed"]
    failure = house.job().failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.BAD_EXIT, "bad_exit of a")


def test_a_job_that_fails_by_interruptions_may_be_kept_apart() -> None:
    house = House()
    house.submit("a", max_interruptions=1, dead_letter=True)
    assert names(house.die()) == ["DeadLettered"]
    assert house.job().interruptions == 1


def test_a_worker_stays_when_the_process_that_it_used_is_gone() -> None:
    house = House()
    house.submit("a", max_interruptions=1)
    house.die()
    assert (house.machine.roster.idle, house.machine.roster.lost_workers) == ([1], 0)


@pytest.mark.parametrize("reason", [Reason.BAD_EXIT, Reason.KILLED])
def test_a_process_that_is_gone_while_its_run_is_asked_to_stop_ends_it_as_it_was_asked(reason: Reason) -> None:
    house = House()
    house.submit("a", timeout=2.0, retry=NO_JITTER)
    house.wake()
    assert names(house.die(reason=reason)) == ["RetryScheduled"]
    assert (house.reason, house.job().attempt, house.job().interruptions) == (Reason.TIMEOUT, 1, 0)


@pytest.mark.parametrize("reason", [Reason.BAD_EXIT, Reason.KILLED])
def test_a_process_that_is_gone_at_shutdown_burns_nothing(reason: Reason) -> None:
    house = House()
    house.submit("a")
    house.ask(c.Drain(), c.Halt(5.0))
    assert names(house.die(reason=reason)) == ["Released"]
    assert (house.job().attempt, house.job().interruptions) == (0, 0)


@pytest.mark.parametrize("reason", [Reason.BAD_EXIT, Reason.KILLED])
def test_an_accepted_cancel_ends_as_cancelled_though_the_process_is_gone(reason: Reason) -> None:
    house = House()
    house.submit("a", max_interruptions=1)
    house.ask(c.Cancel("a", "enough"))
    house.die(reason=reason)
    assert (house.state, house.reason) == (JobState.CANCELLED, Reason.CLIENT_REQUEST)


def test_a_process_that_is_gone_long_after_its_run_changes_nothing() -> None:
    house = House()
    house.submit("a")
    house.die()
    claim = house.job().claim
    step = house.ask(c.Crash("a", claim - 1, BAD))
    assert (step.answers, names(step)) == ([False], [])
    assert house.job().interruptions == 1


# -- how often a job may be interrupted --------------------------------------------------------------------


def killed_again_and_again(house: House, kill: Callable[[], object]) -> int:
    """Return how often the job was tried until it ended."""
    tried = 0
    while not house.state.is_final:
        if house.state is JobState.RUNNING:
            tried += 1
            kill()
        else:
            house.wake()
    return tried


def test_a_job_that_ends_the_program_at_each_start_is_tried_five_times_and_then_fails() -> None:
    house = House()
    house.submit("a")
    assert killed_again_and_again(house, house.crash) == 5
    failure = house.job().failure
    assert failure is not None
    assert (house.state, failure.reason) == (JobState.FAILED, Reason.INTERRUPTED)
    assert failure.message == "the program ended while it ran"


def test_a_job_under_which_workers_die_is_tried_five_times_and_then_fails() -> None:
    house = House()
    house.submit("a")
    assert killed_again_and_again(house, house.bury) == 5
    failure = house.job().failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.INTERRUPTED, "its worker died: a bug")


def test_the_others_go_on_while_one_ends_the_program_at_each_start() -> None:
    house = House(workers=2)
    house.submit("a", "b", max_interruptions=3)
    house.crash()
    house.finish("b")
    killed_again_and_again(house, house.crash)
    assert house.states() == {"a": "failed", "b": "succeeded"}


def test_interruptions_of_every_kind_are_counted_together_also_over_a_restart() -> None:
    house = House()
    house.submit("a", max_interruptions=4)
    for kill in (house.bury, house.crash, house.die):
        kill()
        house.wake()
    assert (house.state, house.job().interruptions) == (JobState.RUNNING, 3)
    house.crash()
    assert (house.state, house.reason, house.job().interruptions) == (JobState.FAILED, Reason.INTERRUPTED, 4)


def test_interruptions_and_failures_do_not_count_against_each_other() -> None:
    house = House()
    house.submit("a", max_interruptions=2, retry=Retry(max_attempts=2, delay=0.0))
    house.die()
    house.fail()
    assert (house.state, house.job().attempt, house.job().interruptions) == (JobState.RUNNING, 2, 1)
    house.fail()
    assert (house.state, house.reason) == (JobState.FAILED, Reason.ERROR)


def test_an_accepted_cancel_goes_before_the_last_interruption() -> None:
    house = House()
    house.submit("a", max_interruptions=1)
    house.ask(c.Cancel("a", "enough"))
    assert names(house.crash())[:1] == ["Cancelled"]


def test_a_rerun_begins_with_no_interruptions() -> None:
    house = House()
    house.submit("a", max_interruptions=1)
    house.die()
    house.ask(c.Rerun("a"))
    assert (house.state, house.job().interruptions) == (JobState.RUNNING, 0)


def test_the_history_says_how_each_run_was_interrupted() -> None:
    house = House()
    house.submit("a")
    house.die()
    house.bury()
    house.wake()
    house.crash()
    reasons = [run.failure.reason for run in house.job().attempts if run.failure]
    assert reasons == [Reason.BAD_EXIT, Reason.INTERRUPTED, Reason.INTERRUPTED]
    assert [run.outcome for run in house.job().attempts] == ["interrupted"] * 3
    assert {run.number for run in house.job().attempts} == {1}


# -- how often a function may hand its job back -------------------------------------------------------------


def test_a_function_may_hand_its_job_back_any_number_of_times() -> None:
    house = House()
    house.submit("a")
    for _ in range(200):
        house.ask(c.Snooze("a", house.job().claim, 0.0))
    assert (house.state, house.job().attempt, house.job().snoozes) == (JobState.RUNNING, 1, 200)


def test_a_function_that_hands_its_job_back_once_more_than_it_may_fails_it() -> None:
    house = House()
    house.submit("a", max_snoozes=2)
    for _ in range(2):
        assert "Snoozed" in names(house.ask(c.Snooze("a", house.job().claim, 0.0)))
    assert names(house.ask(c.Snooze("a", house.job().claim, 0.0))) == ["Failed"]
    failure = house.job().failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.SNOOZED, "the function handed the job back more than 2 times")


def test_a_function_that_may_never_hand_its_job_back_fails_it_at_once() -> None:
    house = House()
    house.submit("a", max_snoozes=0)
    assert names(house.ask(c.Snooze("a", 1, 5.0))) == ["Failed"]


def test_a_rerun_begins_with_no_snoozes() -> None:
    house = House()
    house.submit("a", max_snoozes=0)
    house.ask(c.Snooze("a", 1, 5.0))
    house.ask(c.Rerun("a"))
    assert house.job().snoozes == 0


# -- a process is ready before a run begins -------------------------------------------------------------------


def test_limits_of_a_run_in_a_process_count_from_its_beginning_there() -> None:
    house = House()
    house.submit("a", run_in="process", timeout=5.0, heartbeat_timeout=3.0)
    assert names(house.ask(after=60.0)) == []
    house.ask(c.Begin("a", 1))
    assert aborts(house.wake()) == [("a", Reason.HEARTBEAT, 10.0)]
    assert house.now == 163.0


def test_the_deadline_of_a_run_in_a_process_counts_all_the_same() -> None:
    house = House()
    house.submit("a", run_in="process", deadline=5.0)
    assert aborts(house.wake()) == [("a", Reason.DEADLINE, 10.0)]


@pytest.mark.parametrize("place", ["loop", "thread", None])
def test_limits_of_a_run_anywhere_else_count_from_its_start(place: str | None) -> None:
    house = House()
    house.submit("a", run_in=place, timeout=5.0)
    assert house.machine.next_deadline() == 105.0


# -- a loop that is blocked ------------------------------------------------------------------------------------


def test_a_job_that_blocks_the_loop_runs_on() -> None:
    house = House()
    house.submit_keyed("a", options={"timeout": 5.0})
    step = house.ask(c.ReportBlock("a", 2.0, "File …"))
    assert (names(step), step.jobs, step.answers) == (["LoopBlocked"], [house.job()], [None])
    assert house.finish().answers == [True]


@pytest.mark.parametrize("end", ["waits", "delayed", "parked", "paused", "succeeded", "failed", "cancelled"])
def test_a_block_of_the_loop_changes_no_job_wherever_it_stands(end: str) -> None:
    house = House()
    house.submit("busy")
    house.submit("a", task="gone" if end == "parked" else "mail", delay=5.0 if end == "delayed" else 0.0)
    house.finish("busy")
    _END.get(end, lambda house: None)(house)
    before = repr(house.job())
    assert names(house.ask(c.ReportBlock("a", 2.0, "File …"))) == ["LoopBlocked"]
    assert repr(house.job()) == before


_END: dict[str, Callable[[House], object]] = {
    "waits": lambda house: house.ask(c.PauseAll(stop=True), c.Fail("a", 1, BAD)),
    "paused": lambda house: house.ask(c.PauseAll(stop=True), c.Fail("a", 1, BAD), c.Pause("a")),
    "succeeded": House.finish,
    "failed": lambda house: house.fail(retryable=False),
    "cancelled": lambda house: house.ask(c.Cancel("a"), c.Fail("a", 1, BAD)),
}


@pytest.mark.parametrize("job_id", ["", "gone"])
def test_a_block_of_the_loop_by_nobody_that_is_here_is_told_all_the_same(job_id: str) -> None:
    step = House().ask(c.ReportBlock(job_id, 2.0, "File …"))
    assert (names(step), step.jobs) == (["LoopBlocked"], [None])
