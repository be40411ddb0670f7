"""A task under whose jobs too many workers die is paused, and not the queue: its jobs are parked, the others go on."""

import pytest

from actorq.config import RestartBudget
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core.job import HoldReason, JobState, Reason
from actorq.errors import InvalidState

from .house import BAD, BAD_PAYLOAD, House, names


def house_with(deaths: int = 100, task_deaths: int = 1, window_s: float = 60.0, workers: int = 1) -> House:
    """Return one with a small budget for each task; it knows a second task, ``sums``."""
    house = House(workers=workers, restarts=RestartBudget(deaths, window_s, task_deaths))
    house.ask(c.Register(("sums",)))
    return house


def paused_house(workers: int = 1) -> House:
    """Return one whose task ``mail`` is paused: twice the process of the job ``killer`` died."""
    house = house_with(workers=workers)
    house.submit("killer", priority=9, max_interruptions=9)
    house.die("killer")
    house.die("killer")
    return house


def pauses(house: House) -> list[str]:
    return [effect.task for effect in house.last.effects if isinstance(effect, e.PauseTask)]


# -- when it is paused -------------------------------------------------------------------------------------


def test_a_task_is_paused_by_one_death_more_than_it_may_have() -> None:
    house = house_with(task_deaths=2)
    house.submit("a", max_interruptions=9)
    for _ in range(2):
        house.die()
        assert pauses(house) == []
        house.wake()
    house.die()
    assert pauses(house) == ["mail"]
    assert house.machine.roster.paused_tasks == {"mail": "bad_exit: bad_exit of a"}


def test_a_process_killed_for_its_memory_counts_as_one_that_died() -> None:
    house = house_with()
    house.submit("a", "b")
    house.die("a", Reason.KILLED)
    house.die("b", Reason.KILLED)
    assert pauses(house) == ["mail"]


def test_a_worker_that_died_or_was_abandoned_counts_for_the_task_of_its_job() -> None:
    house = house_with()
    house.submit("a", "b", timeout=1.0, grace=0.0)
    house.bury("a")
    house.wake()
    assert pauses(house) == ["mail"]
    assert house.machine.roster.paused_tasks["mail"] == "job a ignored cancellation (timeout)"


def test_a_task_is_paused_once_however_many_die_after_that() -> None:
    house = house_with(workers=3)
    house.submit("a", "b", "c", max_interruptions=9)
    house.ask(*(c.Crash(job_id, 1, BAD) for job_id in "abc"))
    assert pauses(house) == ["mail"]


def test_deaths_outside_the_window_are_forgiven() -> None:
    house = house_with(window_s=10.0)
    house.submit("a", max_interruptions=9)
    house.die()
    house.die(after=10.0)
    assert pauses(house) == []
    house.wake()
    house.die()
    assert pauses(house) == ["mail"]


def test_deaths_without_a_job_count_for_no_task() -> None:
    house = house_with(workers=3)
    house.ask(c.Bury(1, "x"), c.Bury(2, "x"), c.Bury(3, "x"))
    assert (pauses(house), house.machine.roster.paused_tasks) == ([], {})


def test_deaths_of_another_task_are_none_of_its_own() -> None:
    house = house_with(workers=2)
    house.submit("a")
    house.submit("b", task="sums")
    house.die("a")
    house.die("b")
    assert pauses(house) == []


def test_deaths_after_the_drain_began_do_not_count() -> None:
    house = house_with(workers=2)
    house.submit("a", "b")
    house.ask(c.Drain())
    house.die("a")
    house.die("b")
    assert pauses(house) == []


def test_a_process_that_is_killed_because_its_job_was_cancelled_is_no_death() -> None:
    house = house_with(workers=2)
    house.submit("a", "b")
    house.ask(c.Cancel("a"), c.Cancel("b"))
    house.die("a")
    house.die("b")
    assert pauses(house) == []


def test_too_many_deaths_of_all_tasks_still_end_the_queue() -> None:
    house = house_with(deaths=2, task_deaths=9, workers=2)
    house.submit("a", max_interruptions=9)
    house.submit("b", task="sums", max_interruptions=9)
    house.die("a")
    assert "GiveUp" not in names(house.die("b"))
    assert "GiveUp" in names(house.die("a"))


def test_what_was_forgotten_of_a_task_still_counts_for_the_queue() -> None:
    house = house_with(deaths=2)
    house.submit("a", max_interruptions=9)
    house.die()
    house.die()
    house.ask(c.ResumeTask("mail"))
    house.wake()
    assert "GiveUp" in names(house.die())


def test_a_queue_that_gave_up_goes_on_as_long_as_it_is_asked() -> None:
    house = house_with(deaths=1)
    house.submit("a", max_interruptions=9)
    house.die()
    house.die()
    assert [type(effect) for effect in house.last.effects] == [e.PauseTask, e.GiveUp]
    house.submit("b", task="sums")
    assert house.finish("b").answers == [True]
    house.ask(c.ResumeTask("mail"))
    house.wake()
    assert house.running() == ["a"]


# -- what is paused with it --------------------------------------------------------------------------------


def test_jobs_of_a_paused_task_are_parked_when_their_turn_comes() -> None:
    house = paused_house()
    house.submit("a")
    job = house.job()
    assert (job.state, job.hold_reason) == (JobState.SCHEDULED, HoldReason.TASK_PAUSED)
    assert job.failure is not None
    assert job.failure.reason is Reason.TASK_PAUSED
    assert job.failure.message == (
        "task 'mail' is paused: too many workers died under its jobs (the last: bad_exit: bad_exit of killer)"
    )


def test_jobs_of_a_paused_task_wait_in_the_line_while_no_worker_is_free() -> None:
    house = house_with(workers=2)
    house.submit("killer", priority=9, max_interruptions=9)
    house.submit("busy", task="sums")
    house.submit("a")
    house.die("killer")
    house.submit("next", task="sums", priority=5)
    house.die("killer")
    assert (house.states()["a"], house.running()) == ("queued", ["busy", "next"])
    house.finish("busy")
    assert house.job().hold_reason is HoldReason.TASK_PAUSED


def test_a_paused_task_uses_no_attempt_of_its_jobs() -> None:
    house = paused_house()
    house.submit("a")
    assert (house.job().attempt, house.job().interruptions, house.job().attempts) == (0, 0, ())


def test_other_tasks_go_on_while_one_is_paused() -> None:
    house = paused_house()
    house.submit("a")
    house.submit("b", task="sums")
    assert house.running() == ["b"]


def test_what_runs_already_goes_on_when_its_task_is_paused() -> None:
    house = house_with(workers=2)
    house.submit("a", "killer", max_interruptions=9)
    house.die("killer")
    house.die("killer")
    assert house.running() == ["a"]
    assert house.finish("a").answers == [True]


@pytest.mark.parametrize("delay", [5.0, 0.0])
def test_jobs_of_a_paused_task_that_wait_for_their_time_are_parked_when_it_has_come(delay: float) -> None:
    house = paused_house()
    assert house.job("killer").hold_reason is HoldReason.RETRY
    house.submit("a", delay=delay)
    house.ask(after=5.0)
    assert house.job("killer").hold_reason is HoldReason.TASK_PAUSED
    assert house.job("a").hold_reason is HoldReason.TASK_PAUSED


def test_an_ephemeral_job_of_a_paused_task_is_parked_too() -> None:
    house = paused_house()
    house.ask(c.Submit((c.NewJob("a", "mail", b"", house.job("killer").options, ephemeral=True),)))
    assert house.job().hold_reason is HoldReason.TASK_PAUSED


# -- when it goes on ------------------------------------------------------------------------------------------


def test_jobs_go_on_when_their_task_is_resumed() -> None:
    house = paused_house()
    house.submit("a")
    step = house.ask(c.ResumeTask("mail"))
    assert (names(step), step.answers) == (["Unparked", "Started", "Dispatch"], [True])
    assert house.job().failure is None


def test_a_task_that_is_resumed_has_a_fresh_budget() -> None:
    house = paused_house()
    house.ask(c.ResumeTask("mail"))
    house.wake()
    house.die("killer")
    assert pauses(house) == []
    house.wake()
    house.die("killer")
    assert pauses(house) == ["mail"]


def test_resuming_a_task_that_is_not_paused_is_answered_with_false() -> None:
    house = house_with()
    step = house.ask(c.ResumeTask("mail"), c.ResumeTask("nobody"))
    assert (names(step), step.answers) == ([], [False, False])
    assert house.machine.roster.late_reports == 0


def test_resuming_a_task_that_is_not_paused_forgets_no_death() -> None:
    house = house_with()
    house.submit("a", max_interruptions=9)
    house.die()
    house.ask(c.ResumeTask("mail"))
    house.die()
    assert pauses(house) == ["mail"]


def test_resuming_a_task_twice_is_answered_with_false_the_second_time() -> None:
    house = paused_house()
    assert house.ask(c.ResumeTask("mail"), c.ResumeTask("mail")).answers == [True, False]


def test_resuming_a_task_leaves_parked_what_is_parked_for_another_reason() -> None:
    house = house_with()
    house.submit("misfit")
    house.ask(c.Park("misfit", 1, BAD_PAYLOAD))
    house.submit("killer", max_interruptions=9)
    house.die("killer")
    house.die("killer")
    assert names(house.ask(c.ResumeTask("mail"))) == []
    assert house.job("misfit").hold_reason is HoldReason.BAD_PAYLOAD


@pytest.mark.parametrize("task", ["mail", "sums", "new"])
def test_declaring_tasks_resumes_none(task: str) -> None:
    house = paused_house()
    house.submit("a")
    assert names(house.ask(c.Register((task,)))) == []
    assert house.job().hold_reason is HoldReason.TASK_PAUSED


def test_a_paused_task_goes_on_at_the_next_start() -> None:
    house = paused_house()
    house.submit("a")
    assert names(house.crash())[:2] == ["Unparked", "Started"]
    assert house.machine.roster.paused_tasks == {}


def test_a_paused_task_that_is_not_declared_at_the_next_start_waits_for_that() -> None:
    house = paused_house()
    house.submit("a")
    house = House(house.machine.ledger)
    house.machine.roster.tasks.clear()
    house.ask(c.Recover())
    assert house.job().hold_reason is HoldReason.NO_TASK


# -- what else may be asked of what is parked with it --------------------------------------------------------


def test_a_job_of_a_paused_task_cannot_be_promoted() -> None:
    house = paused_house()
    house.submit("a")
    answer = house.ask(c.Promote("a")).answers[0]
    assert isinstance(answer, InvalidState)
    assert "scheduled for want of its task, which is paused" in str(answer)


def test_a_job_of_a_paused_task_can_be_cancelled() -> None:
    house = paused_house()
    house.submit("a")
    assert names(house.ask(c.Cancel("a"))) == ["Cancelled"]
    assert house.machine.ledger.parked_count == 0


def test_a_job_of_a_paused_task_keeps_its_limits() -> None:
    house = paused_house()
    house.submit("a", expires=0.5)
    house.wake()
    assert (house.state, house.reason) == (JobState.FAILED, Reason.EXPIRED)


def test_an_edited_job_of_a_paused_task_is_parked_again() -> None:
    house = paused_house()
    house.submit("a")
    assert names(house.ask(c.Edit("a", b"[1]"))) == ["Edited", "Parked"]


def test_a_rerun_job_of_a_paused_task_is_parked() -> None:
    house = house_with(workers=2)
    house.submit("a", "killer", max_interruptions=9)
    house.finish("a")
    house.die("killer")
    house.die("killer")
    assert names(house.ask(c.Rerun("a"))) == ["Requeued", "Parked"]


def test_a_job_of_a_paused_task_that_is_held_by_hand_is_held_only_by_that_once_the_task_goes_on() -> None:
    house = paused_house()
    house.submit("a")
    house.ask(c.Pause("a"))
    house.ask(c.ResumeTask("mail"))
    assert house.state is JobState.PAUSED
    assert names(house.ask(c.Resume("a"))) == ["Resumed", "Started", "Dispatch"]


def test_a_job_let_go_by_hand_while_its_task_is_paused_is_parked_again() -> None:
    house = paused_house()
    house.submit("a")
    house.ask(c.Pause("a"))
    assert names(house.ask(c.Resume("a"))) == ["Resumed", "Parked"]


def test_jobs_of_one_key_are_parked_and_go_on_one_at_a_time() -> None:
    house = house_with(workers=2)
    house.submit_keyed("first")
    house.submit("killer", max_interruptions=9)
    house.die("killer")
    house.submit_keyed("a", "keep_last")
    house.submit_keyed("b", "keep_last", options={"group": "red"})
    house.die("killer")
    house.ask(c.Rerun("a"))
    assert house.job().hold_reason is HoldReason.KEY
    house.finish("first")
    assert [house.job(name).hold_reason for name in "ab"] == [HoldReason.TASK_PAUSED] * 2
    house.ask(c.ResumeTask("mail"))
    assert [house.job(name).state for name in "ab"].count(JobState.RUNNING) == 1
    running = "a" if house.state is JobState.RUNNING else "b"
    house.finish(running)
    other = "b" if running == "a" else "a"
    assert house.job(other).state is JobState.RUNNING


def test_a_newcomer_takes_the_place_of_a_job_whose_task_is_paused() -> None:
    house = paused_house()
    house.submit_keyed("a")
    assert house.submit_keyed("b", "replace") == "b"
    assert (house.state, house.reason) == (JobState.CANCELLED, Reason.SUPERSEDED)
    assert house.job("b").hold_reason is HoldReason.TASK_PAUSED


def test_a_job_of_a_paused_task_has_its_place_back_when_the_newcomer_is_withdrawn() -> None:
    house = paused_house()
    house.submit_keyed("a")
    house.submit_keyed("b", "replace")
    assert names(house.ask(c.Withdraw(("b",)))) == ["Dropped", "Reinstated", "Parked"]
    assert house.job().hold_reason is HoldReason.TASK_PAUSED


def test_a_paused_task_takes_no_place_in_its_group() -> None:
    house = paused_house()
    house.ask(c.SetGroup("red", 1))
    house.submit("a", group="red")
    house.submit("b", task="sums", group="red")
    assert house.running() == ["b"]


def test_jobs_of_a_paused_task_in_a_paused_group_wait_for_the_group_first() -> None:
    house = paused_house()
    house.ask(c.PauseAll("red"))
    house.submit("a", group="red")
    assert house.state is JobState.QUEUED
    house.ask(c.ResumeAll("red"))
    assert house.job().hold_reason is HoldReason.TASK_PAUSED


def test_jobs_of_a_paused_task_take_room_in_the_queue() -> None:
    house = House(max_pending=2, restarts=RestartBudget(task_deaths=1))
    house.submit("a", max_interruptions=9)
    house.die()
    house.die()
    house.submit("b")
    assert house.submit("c").answers[0].room == 0
