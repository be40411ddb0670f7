"""The rules of ``semantics.md``, one by one, each on a machine of one worker or two."""

from math import inf
from typing import Any

import pytest

from actorq.config import (
    ATTEMPT_HISTORY,
    JOB_LOG_LIMIT,
    RestartBudget,
    Retention,
)
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import HoldReason, JobOptions, JobState, Reason
from actorq.core.retry import Retry
from actorq.errors import InvalidState, JobNotFound, QueueClosed, QueueFull

from .house import BAD_PAYLOAD, House, aborts, names

# -- submitting --------------------------------------------------------------------------------------------


def test_a_job_starts_in_the_step_that_accepts_it() -> None:
    assert names(House().submit("a")) == ["Submitted", "Started", "Dispatch"]


def test_a_job_with_a_delay_waits_for_it() -> None:
    house = House()
    assert names(house.submit("a", delay=5.0)) == ["Submitted"]
    assert house.job().hold_reason is HoldReason.DELAY
    assert house.machine.next_deadline() == 105.0
    assert names(house.wake()) == ["BecameDue", "Started", "Dispatch"]


def test_run_at_wins_over_delay() -> None:
    house = House()
    house.ask(c.Submit((c.NewJob("a", "mail", b"", JobOptions(), delay=5.0, run_at=107.0),)))
    assert house.machine.next_deadline() == 107.0


def test_a_run_at_in_the_past_is_due_now_and_goes_before_what_came_later() -> None:
    house = House()
    house.submit("busy")
    house.submit("a")
    house.ask(c.Submit((c.NewJob("b", "mail", b"", JobOptions(), run_at=50.0),)))
    house.report("finish", "busy")
    assert house.job("b").state is JobState.RUNNING


def test_a_submit_asked_again_is_accepted_once() -> None:
    house = House()
    house.submit("a")
    assert names(house.submit("a")) == []
    assert house.last.answers == [("a",)]


def test_a_submit_without_room_is_refused_as_a_whole() -> None:
    house = House(max_pending=2)
    house.submit("a")
    answer = house.submit("b", "c").answers[0]
    assert isinstance(answer, QueueFull)
    assert (answer.asked, answer.room, answer.limit) == (2, 1, 2)
    assert list(house.machine.ledger.jobs) == ["a"]


def test_what_is_known_already_needs_no_room() -> None:
    house = House(max_pending=1)
    house.submit("a")
    assert house.submit("a").answers == [("a",)]


def test_a_draining_queue_refuses_to_accept() -> None:
    house = House()
    house.ask(c.Drain())
    assert isinstance(house.submit("a").answers[0], QueueClosed)


def test_a_draining_queue_starts_nothing() -> None:
    house = House()
    house.submit("a", "b")
    house.ask(c.Drain())
    assert names(house.report("finish")) == ["Succeeded"]


def test_higher_priority_goes_first_then_due_time_then_number() -> None:
    house = House()
    house.submit("busy")
    house.submit("late", delay=1.0)
    house.submit("first", "second")
    house.submit("urgent", priority=1)
    house.ask(after=1.0)
    order = []
    while house.machine.ledger.live > 0:
        running = next(iter(house.machine.ledger.running))
        order.append(running)
        house.report("finish", running)
    assert order == ["busy", "urgent", "first", "second", "late"]


# -- ends of a run -------------------------------------------------------------------------------------------


def test_a_function_that_returns_has_succeeded() -> None:
    house = House()
    house.submit("a")
    step = house.report("finish")
    assert step.answers == [True]
    assert [job.id for job in step.ended] == ["a"]
    assert (house.job().result, house.job().progress.value) == (b"1", 1.0)


def test_success_keeps_what_the_function_said_of_its_progress() -> None:
    house = House()
    house.submit("a")
    house.ask(c.ShowProgress("a", 1, 0.5, 3.0, 6.0, "half"))
    house.report("finish")
    seen = house.job().progress
    assert (seen.value, seen.current, seen.total, seen.message) == (1.0, 3.0, 6.0, "half")


def test_a_failed_attempt_is_followed_by_another_after_the_delay() -> None:
    house = House()
    house.submit("a")
    house.fail()
    assert (house.state, house.job().hold_reason) == (JobState.SCHEDULED, HoldReason.RETRY)
    assert house.machine.next_deadline() == 101.0
    house.wake()
    assert (house.job().attempt, house.job().claim) == (2, 2)


def test_a_failed_attempt_without_delay_goes_back_at_once_and_keeps_its_number() -> None:
    house = House()
    house.submit("a", "b", retry=Retry(delay=0.0))
    assert names(house.fail()) == ["RetryScheduled", "Started", "Dispatch"]
    assert house.state is JobState.RUNNING


def test_a_fail_may_say_its_own_delay() -> None:
    house = House()
    house.submit("a")
    house.fail(delay=30.0)
    assert house.machine.next_deadline() == 130.0


def test_a_failure_that_is_not_retryable_is_the_last() -> None:
    house = House()
    house.submit("a")
    assert names(house.fail(retryable=False)) == ["Failed"]


def test_the_last_attempt_fails_the_job() -> None:
    house = House()
    house.submit("a", retry=Retry(max_attempts=1))
    assert names(house.fail()) == ["Failed"]


def test_a_job_with_dead_lettering_is_kept_apart() -> None:
    house = House()
    house.submit("a", dead_letter=True)
    house.fail(retryable=False)
    assert house.state is JobState.DEAD_LETTER


def test_the_time_of_a_failure_is_the_workers_and_that_of_the_fact_is_ours() -> None:
    house = House()
    house.submit("a")
    fact = house.fail(retryable=False).facts[0]
    assert isinstance(fact, f.Failed)
    assert (fact.at, fact.failure.at) == (100.0, 3.0)
    assert house.job().ended_at == 100.0


def test_a_snooze_uses_no_attempt() -> None:
    house = House()
    house.submit("a")
    house.ask(c.Snooze("a", 1, 5.0))
    job = house.job()
    assert (job.attempt, job.snoozes, job.hold_reason) == (0, 1, HoldReason.DELAY)
    house.wake()
    assert (job.attempt, job.claim) == (1, 2)


def test_a_function_may_cancel_its_own_job() -> None:
    house = House()
    house.submit("a")
    house.report("quit")
    assert (house.state, house.reason) == (JobState.CANCELLED, Reason.HANDLER)


def test_the_second_report_of_an_end_is_late() -> None:
    house = House()
    house.submit("a")
    report = c.Finish("a", 1, b"1")
    assert house.ask(report, report).answers == [True, False]
    assert house.machine.roster.late_reports == 1


# -- cancelling ------------------------------------------------------------------------------------------------


def test_cancelling_what_waits_ends_it_at_once() -> None:
    house = House()
    house.submit("busy")
    house.submit("a")
    assert house.ask(c.Cancel("a", "enough")).answers == [True]
    failure = house.job().failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.CLIENT_REQUEST, "enough")


@pytest.mark.parametrize("options", [{"delay": 5.0}, {"task": "gone"}], ids=["delayed", "parked"])
def test_cancelling_what_is_held_ends_it_at_once(options: dict[str, Any]) -> None:
    house = House()
    house.submit("a", **options)
    assert names(house.ask(c.Cancel("a"))) == ["Cancelled"]
    assert house.machine.ledger.live == 0


def test_cancelling_what_runs_asks_it_to_stop() -> None:
    house = House()
    house.submit("a", grace=4.0)
    step = house.ask(c.Cancel("a"))
    assert names(step) == ["CancelRequested", "Abort"]
    assert aborts(step) == [("a", Reason.CLIENT_REQUEST, 4.0)]


def test_cancelling_twice_asks_once() -> None:
    house = House()
    house.submit("a")
    house.ask(c.Cancel("a"))
    step = house.ask(c.Cancel("a"))
    assert (names(step), step.answers) == ([], [True])


def test_cancelling_what_has_ended_is_answered_with_false() -> None:
    house = House()
    house.submit("a")
    house.report("finish")
    assert house.ask(c.Cancel("a")).answers == [False]


def test_cancelling_what_is_not_there_is_refused() -> None:
    assert isinstance(House().ask(c.Cancel("a")).answers[0], JobNotFound)


@pytest.mark.parametrize("verb", ["finish", "fail", "snooze", "quit", "park"])
def test_an_accepted_cancel_ends_as_cancelled_whatever_is_reported(verb: str) -> None:
    house = House()
    house.submit("a")
    house.ask(c.Cancel("a"))
    house.report(verb)
    assert (house.state, house.reason) == (JobState.CANCELLED, Reason.CLIENT_REQUEST)


def test_cancel_wins_over_a_timeout_that_came_before() -> None:
    house = House()
    house.submit("a", timeout=2.0)
    assert aborts(house.wake()) == [("a", Reason.TIMEOUT, 10.0)]
    assert names(house.ask(c.Cancel("a"))) == ["CancelRequested"]
    house.report("fail")
    assert house.state is JobState.CANCELLED


def test_cancel_wins_over_a_timeout_that_comes_after() -> None:
    house = House()
    house.submit("a", timeout=2.0)
    house.ask(c.Cancel("a"))
    assert names(house.ask(after=2.0)) == []
    house.report("finish")
    assert house.state is JobState.CANCELLED


def test_a_swallowed_cancel_costs_the_worker_after_the_grace() -> None:
    house = House()
    house.submit("a", grace=4.0)
    house.ask(c.Cancel("a"))
    assert names(house.wake()) == ["Cancelled", "Abandon", "Hire"]
    assert house.now == 104.0
    assert house.report("finish").answers == [False]


def test_an_accepted_cancel_survives_a_crash() -> None:
    house = House()
    house.submit("a")
    house.ask(c.Cancel("a"))
    house = House(house.machine.ledger)
    assert names(house.ask(c.Recover())) == ["Cancelled"]


# -- limits ----------------------------------------------------------------------------------------------------


def test_a_job_that_is_not_started_in_time_expires() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", expires=5.0)
    house.wake()
    assert (house.now, house.state, house.reason) == (105.0, JobState.FAILED, Reason.EXPIRED)


def test_a_job_that_has_started_cannot_expire() -> None:
    house = House()
    house.submit("a", expires=0.5)
    house.fail()
    house.wake()
    assert house.state is JobState.RUNNING


def test_a_timeout_fails_the_attempt() -> None:
    house = House()
    house.submit("a", timeout=2.0)
    house.wake()
    house.report("finish")
    assert (house.now, house.state, house.reason) == (102.0, JobState.SCHEDULED, Reason.TIMEOUT)


def test_extend_moves_the_timeout() -> None:
    house = House()
    house.submit("a", timeout=2.0)
    house.ask(c.Extend("a", 1, 3.0))
    assert aborts(house.ask(after=4.9)) == []
    assert aborts(house.wake()) == [("a", Reason.TIMEOUT, 10.0)]
    assert house.now == 105.0


def test_extend_arms_no_timeout_that_was_not_set() -> None:
    house = House()
    house.submit("a")
    house.ask(c.Extend("a", 1, 3.0))
    assert house.machine.next_deadline() == inf


def test_silence_stalls_and_fails_the_attempt() -> None:
    house = House()
    house.submit("a", heartbeat_timeout=2.0)
    assert names(house.wake()) == ["Stalled", "Abort"]
    assert house.job().stalled
    house.report("fail")
    assert (house.reason, house.job().stalled) == (Reason.HEARTBEAT, False)


def test_a_run_that_was_told_to_stop_does_not_stall() -> None:
    house = House()
    house.submit("a", heartbeat_timeout=2.0)
    house.ask(c.Cancel("a"))
    assert names(house.ask(after=2.0)) == []


@pytest.mark.parametrize("verb", ["beat", "progress", "log", "extend", "lend", "take_back"])
def test_every_report_is_a_sign_of_life(verb: str) -> None:
    house = House()
    house.submit("a", heartbeat_timeout=2.0)
    house.report(verb, after=1.5)
    assert aborts(house.ask(after=1.0)) == []
    if verb != "lend":
        assert "Stalled" in names(house.ask(after=1.0))


def test_a_blocked_loop_is_not_held_against_an_attempt() -> None:
    house = House()
    house.submit("a", heartbeat_timeout=2.0)
    assert names(house.ask(after=5.0, late=4.0)) == []
    assert house.machine.next_deadline() == 106.0


def test_a_job_that_waits_for_another_is_not_silent() -> None:
    house = House()
    house.submit("a", heartbeat_timeout=2.0)
    house.report("lend")
    assert names(house.ask(after=5.0)) == []


def test_a_deadline_ends_a_job_that_waits() -> None:
    house = House()
    house.submit("a", delay=10.0, deadline=5.0)
    house.wake()
    assert (house.now, house.state, house.reason) == (105.0, JobState.FAILED, Reason.DEADLINE)


def test_a_deadline_ends_a_job_that_runs_with_attempts_left() -> None:
    house = House()
    house.submit("a", deadline=5.0)
    assert aborts(house.wake()) == [("a", Reason.DEADLINE, 10.0)]
    house.report("fail")
    assert (house.state, house.reason) == (JobState.FAILED, Reason.DEADLINE)


def test_a_job_whose_deadline_passed_under_another_abort_is_not_started_again() -> None:
    house = House()
    house.submit("a", timeout=2.0, deadline=3.0, retry=Retry(delay=0.0))
    house.ask(after=2.0)
    house.ask(after=1.0)
    assert names(house.report("fail")) == ["RetryScheduled", "Failed"]
    assert house.reason is Reason.DEADLINE


def test_a_job_whose_deadline_passed_while_no_process_was_there_is_not_started_again() -> None:
    house = House()
    house.submit("a", deadline=3.0)
    house = House(house.machine.ledger)
    assert names(house.ask(c.Recover(), after=60.0)) == ["Interrupted", "Failed"]


# -- interruptions -----------------------------------------------------------------------------------------------


def test_interruptions_use_no_attempt_and_delay_more_and_more() -> None:
    house = House()
    house.submit("a", max_interruptions=12)
    waits = []
    for _ in range(11):
        house.ask(c.Bury(house.job().worker, "a bug"))
        waits.append(house.job().due_at - house.now)
        house.wake()
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]
    assert (house.job().attempt, house.job().interruptions) == (1, 11)


def test_a_worker_that_dies_while_it_is_asked_to_stop_ends_its_run_as_it_was_asked() -> None:
    house = House()
    house.submit("a", timeout=2.0, retry=Retry(max_attempts=1))
    house.ask(after=2.0)
    house.ask(c.Bury(house.job().worker, "a bug"))
    assert (house.state, house.reason) == (JobState.FAILED, Reason.TIMEOUT)


def test_a_worker_that_dies_while_it_is_halted_burns_nothing() -> None:
    house = House()
    house.submit("a")
    house.ask(c.Halt(5.0))
    assert "Released" in names(house.ask(c.Bury(house.job().worker, "a bug")))
    assert house.job().interruptions == 0


def test_burying_an_idle_worker_hires_another() -> None:
    assert names(House().ask(c.Bury(1, "a bug"))) == ["Abandon", "Hire"]


def test_burying_a_worker_twice_is_late() -> None:
    house = House()
    house.ask(c.Bury(1, "a bug"))
    assert house.ask(c.Bury(1, "a bug")).answers == [False]


def test_too_many_deaths_give_up() -> None:
    house = House(workers=3, restarts=RestartBudget(deaths=2, window_s=10.0))
    house.ask(c.Bury(1, "x"), c.Bury(2, "x"))
    assert "GiveUp" in names(house.ask(c.Bury(3, "x"), after=9.0))


def test_deaths_outside_the_window_are_forgiven() -> None:
    house = House(workers=3, restarts=RestartBudget(deaths=2, window_s=10.0))
    house.ask(c.Bury(1, "x"), c.Bury(2, "x"))
    assert "GiveUp" not in names(house.ask(c.Bury(3, "x"), after=10.0))


def test_halt_releases_what_runs_and_burns_nothing() -> None:
    house = House()
    house.submit("a", grace=8.0)
    step = house.ask(c.Drain(), c.Halt(3.0))
    assert aborts(step) == [("a", Reason.SHUTDOWN, 3.0)]
    assert names(house.report("fail")) == ["Released"]
    job = house.job()
    assert (job.state, job.attempt, job.interruptions) == (JobState.QUEUED, 0, 0)


def test_halt_does_not_lengthen_a_grace() -> None:
    house = House()
    house.submit("a", grace=2.0)
    assert aborts(house.ask(c.Halt(30.0))) == [("a", Reason.SHUTDOWN, 2.0)]


def test_halt_shortens_a_grace_that_runs_already() -> None:
    house = House()
    house.submit("a", grace=60.0)
    house.ask(c.Cancel("a"))
    house.ask(c.Drain(), c.Halt(3.0))
    assert house.machine.next_deadline() == 103.0
    house.wake()
    assert house.state is JobState.CANCELLED


# -- parking -------------------------------------------------------------------------------------------------------


def test_a_job_of_an_unknown_task_is_parked_and_uses_no_attempt() -> None:
    house = House()
    house.submit("a", task="gone")
    assert (house.job().hold_reason, house.job().attempt) == (HoldReason.NO_TASK, 0)
    assert house.machine.next_deadline() == inf


def test_a_parked_job_runs_when_its_task_is_registered() -> None:
    house = House()
    house.submit("a", task="new")
    assert names(house.ask(c.Register(("new",)))) == ["Unparked", "Started", "Dispatch"]
    assert house.job().failure is None


def test_a_task_registered_twice_in_one_breath_unparks_once() -> None:
    house = House()
    house.submit("a", task="new")
    assert names(house.ask(c.Register(("new", "new")))).count("Unparked") == 1


def test_an_unknown_task_may_be_made_a_failure() -> None:
    house = House(on_unknown_task="fail")
    house.submit("a", task="gone")
    assert (house.state, house.reason) == (JobState.FAILED, Reason.NO_TASK)


def test_an_ephemeral_job_needs_no_registered_task() -> None:
    house = House()
    house.ask(c.Submit((c.NewJob("a", "a lambda", b"", JobOptions(), ephemeral=True),)))
    assert house.state is JobState.RUNNING


def test_arguments_that_do_not_fit_park_the_job_until_the_next_start() -> None:
    house = House()
    house.submit("a")
    house.report("park")
    assert (house.job().hold_reason, house.job().attempt) == (HoldReason.BAD_PAYLOAD, 0)
    assert names(house.ask(c.Register(("mail",)))) == []
    house = House(house.machine.ledger)
    assert "Unparked" in names(house.ask(c.Recover()))


def test_a_start_leaves_parked_what_has_still_no_task() -> None:
    house = House()
    house.submit("a", task="gone")
    house = House(house.machine.ledger)
    assert names(house.ask(c.Recover())) == []


def test_a_parked_job_keeps_its_limits() -> None:
    house = House()
    house.submit("a", "b", task="gone", deadline=5.0)
    assert names(house.wake()) == ["Failed", "Failed"]


def test_one_of_two_parked_jobs_may_leave() -> None:
    house = House()
    house.submit("a", "b", task="gone")
    house.ask(c.Cancel("a"))
    assert house.machine.ledger.parked_count == 1


# -- rerun -------------------------------------------------------------------------------------------------------


def test_a_rerun_begins_with_fresh_attempts_and_a_new_claim() -> None:
    house = House()
    house.submit("a", deadline=5.0)
    house.fail(retryable=False)
    house.ask(c.Rerun("a"), after=60.0)
    job = house.job()
    assert (job.state, job.attempt, job.claim, job.failure) == (JobState.RUNNING, 1, 2, None)
    assert job.limit_at() == 165.0
    assert [(run.claim, run.outcome) for run in job.attempts] == [(1, "failed")]


def test_a_rerun_files_each_run_once() -> None:
    house = House()
    house.submit("a")
    house.fail()
    house.ask(c.Cancel("a"))
    house.ask(c.Rerun("a"))
    assert [run.outcome for run in house.job().attempts] == ["retry_scheduled"]


def test_a_rerun_of_what_never_ran_files_nothing() -> None:
    house = House()
    house.submit("a", delay=5.0)
    house.ask(c.Cancel("a"))
    house.ask(c.Rerun("a"))
    assert house.job().attempts == ()


def test_an_end_and_a_rerun_in_one_step_are_both_told() -> None:
    house = House()
    house.submit("a")
    step = house.ask(c.Finish("a", 1, b"1"), c.Rerun("a"))
    assert [(job.state, job.result) for job in step.ended] == [(JobState.SUCCEEDED, b"1")]
    assert house.state is JobState.RUNNING


def test_a_rerun_of_what_is_not_there_is_refused() -> None:
    assert isinstance(House().ask(c.Rerun("a")).answers[0], JobNotFound)


def test_a_rerun_of_what_has_not_ended_is_refused() -> None:
    house = House()
    house.submit("a")
    answer = house.ask(c.Rerun("a")).answers[0]
    assert isinstance(answer, InvalidState)
    assert (answer.state, answer.verb) == ("running", "rerun")


def test_what_lived_only_in_memory_is_dropped_at_the_next_start_whatever_it_was_doing() -> None:
    house = House()
    ephemeral = [c.NewJob(name, "a lambda", b"", JobOptions(), ephemeral=True) for name in ("ended", "runs", "waits")]
    house.ask(c.Submit((ephemeral[0],)))
    house.ask(c.Finish("ended", 1, b"1"))
    house.ask(c.Submit(tuple(ephemeral[1:])))
    house.ask(c.Submit((c.NewJob("kept", "mail", b"[]", JobOptions()),)))
    found = House(house.machine.ledger)
    assert names(found.ask(c.Recover()))[:3] == ["Dropped"] * 3
    assert list(found.machine.ledger.jobs) == ["kept"]
    assert (found.machine.ledger.seq, found.machine.ledger.removed) == (4, 3)


def test_a_parked_job_that_lived_only_in_memory_is_dropped_and_not_unparked() -> None:
    house = House()
    house.ask(c.Submit((c.NewJob("a", "a lambda", b"", JobOptions(), ephemeral=True),)))
    house.ask(c.Park("a", 1, BAD_PAYLOAD))
    assert names(House(house.machine.ledger).ask(c.Recover()))[:1] == ["Dropped"]


def test_a_submission_that_was_withdrawn_is_as_if_it_had_not_been() -> None:
    house = House()
    house.ask(c.Submit((c.NewJob("a", "mail", b"[]", JobOptions()), c.NewJob("b", "mail", b"[]", JobOptions()))))
    step = house.ask(c.Withdraw(("a", "b", "b", "c")))
    assert names(step) == ["Dropped", "Dropped"]
    assert (step.answers, step.ended) == ([None], [])
    assert house.machine.roster.idle == [1], "the run that was planned is off"
    assert house.ask(c.Finish("a", 1, b"1")).answers == [False]
    assert not house.machine.ledger.jobs


def test_a_rerun_of_an_ephemeral_job_is_refused() -> None:
    house = House()
    house.ask(c.Submit((c.NewJob("a", "a lambda", b"", JobOptions(), ephemeral=True),)))
    house.report("finish")
    answer = house.ask(c.Rerun("a")).answers[0]
    assert isinstance(answer, InvalidState)
    assert "its function was not kept" in str(answer)


def test_a_rerun_needs_room() -> None:
    house = House(max_pending=1)
    house.submit("a")
    house.report("finish")
    house.submit("b")
    assert isinstance(house.ask(c.Rerun("a")).answers[0], QueueFull)


def test_a_draining_queue_refuses_a_rerun() -> None:
    house = House()
    house.submit("a")
    house.report("finish")
    assert isinstance(house.ask(c.Drain(), c.Rerun("a")).answers[1], QueueClosed)


# -- progress and logs -----------------------------------------------------------------------------------------------


def test_progress_is_told_at_most_once_in_an_interval_and_never_goes_down() -> None:
    house = House()
    house.submit("a")
    assert names(house.ask(c.ShowProgress("a", 1, 0.2))) == ["Progressed"]
    assert names(house.ask(c.ShowProgress("a", 1, 0.6, message="x"), after=0.03125)) == []
    assert names(house.ask(c.ShowProgress("a", 1, 0.4), after=0.03125)) == []
    assert names(house.wake()) == ["Progressed"]
    assert (house.job().progress.value, house.job().progress.message) == (0.6, "x")


def test_progress_that_was_not_told_yet_is_told_before_the_end() -> None:
    house = House()
    house.submit("a")
    house.ask(c.ShowProgress("a", 1, 0.2))
    house.ask(c.ShowProgress("a", 1, 0.6, message="nearly"), after=0.03125)
    assert names(house.report("finish")) == ["Progressed", "Succeeded"]
    assert (house.job().progress.value, house.job().progress.message) == (1.0, "nearly")


def test_progress_begins_anew_with_the_next_attempt() -> None:
    house = House()
    house.submit("a")
    house.ask(c.ShowProgress("a", 1, 0.2))
    house.fail()
    house.wake()
    assert house.job().progress.value == 0.0


def test_a_job_keeps_its_last_log_lines() -> None:
    house = House()
    house.submit("a")
    house.ask(*(c.Log("a", 1, "info", str(i), b"") for i in range(JOB_LOG_LIMIT + 5)))
    lines = [message for _, _, message, _ in house.job().log]
    assert lines == [str(i) for i in range(5, JOB_LOG_LIMIT + 5)]


def test_a_job_keeps_its_last_attempts() -> None:
    house = House()
    house.submit("a")
    for _ in range(ATTEMPT_HISTORY + 5):
        house.ask(c.Snooze("a", house.job().claim, 0.0))
    assert [run.claim for run in house.job().attempts] == list(range(6, ATTEMPT_HISTORY + 6))


# -- retention -------------------------------------------------------------------------------------------------------


def test_finished_jobs_go_by_count_the_oldest_first() -> None:
    house = House(retention=Retention(count=2))
    for job_id in "abc":
        house.submit(job_id)
        house.report("finish", job_id)
    assert list(house.machine.ledger.jobs) == ["b", "c"]
    assert house.machine.ledger.removed == 1


def test_each_final_state_has_its_own_count() -> None:
    house = House(retention=Retention(count=1))
    house.submit("a")
    house.report("finish")
    house.submit("b")
    house.fail("b", retryable=False)
    assert list(house.machine.ledger.jobs) == ["a", "b"]


def test_finished_jobs_go_by_age_together_a_little_late() -> None:
    house = House(retention=Retention(age_s=100.0))
    house.submit("a")
    house.report("finish")
    house.submit("b")
    house.report("finish", "b", after=8.0)
    assert house.machine.next_deadline() == 210.0
    assert names(house.wake()) == ["Removed", "Removed"]
    assert house.machine.next_deadline() == inf


def test_what_is_younger_stays() -> None:
    house = House(retention=Retention(age_s=100.0))
    house.submit("a")
    house.report("finish")
    house.submit("b")
    house.report("finish", "b", after=20.0)
    assert names(house.wake()) == ["Removed"]
    assert list(house.machine.ledger.jobs) == ["b"]


# -- workers ---------------------------------------------------------------------------------------------------------


def test_more_workers_are_hired_at_once() -> None:
    assert names(House().ask(c.SetWorkers(3))) == ["Hire", "Hire"]


def test_too_many_workers_go_when_they_are_idle() -> None:
    house = House(workers=2)
    house.submit("a", "b")
    assert names(house.ask(c.SetWorkers(1))) == []
    assert names(house.report("finish")) == ["Succeeded", "Retire"]


def test_a_lent_slot_is_an_extra_worker_until_it_is_taken_back() -> None:
    house = House()
    house.submit("a", "b")
    step = house.report("lend")
    assert (names(step), step.answers) == (["Started", "Hire", "Dispatch"], [True])
    assert names(house.report("lend")) == []
    assert names(house.report("finish", "b")) == ["Succeeded"]
    assert names(house.report("take_back")) == ["Retire"]
    assert names(house.report("take_back")) == []


def test_the_end_of_a_run_takes_its_slot_back() -> None:
    house = House()
    house.submit("a")
    house.report("lend")
    assert names(house.report("finish")) == ["Succeeded", "Retire"]
    assert house.machine.roster.lent == 0


# -- runs that are held until their start is written -------------------------------------------------


def test_limits_of_a_held_run_count_from_its_beginning() -> None:
    house = House()
    house.machine.roster.holds_runs = True
    house.ask(c.Submit((c.NewJob("a", "mail", b"[]", JobOptions(timeout=5, heartbeat_timeout=3)),)))
    assert house.machine.next_deadline() == inf
    house.ask(c.Begin("a", 1), after=100.0)
    assert house.machine.next_deadline() == house.now + 3
    assert aborts(house.ask(after=3.0)) == [("a", Reason.HEARTBEAT, 10.0)]


def test_deadline_of_a_held_run_counts_all_the_same() -> None:
    house = House()
    house.machine.roster.holds_runs = True
    house.ask(c.Submit((c.NewJob("a", "mail", b"[]", JobOptions(deadline=5)),)))
    assert aborts(house.ask(after=5.0)) == [("a", Reason.DEADLINE, 10.0)]
