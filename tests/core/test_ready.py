"""Groups and pauses: who may run of those that are ready, and that none holds up another."""

from math import inf

import pytest

from actorq.config import PAUSES_LIMIT
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import Job, JobOptions, JobState, Reason
from actorq.core.ledger import QUEUE
from actorq.core.ready import Ready
from actorq.errors import InternalError, InvalidOption

from .house import House, aborts, names

# -- lanes ---------------------------------------------------------------------------------------------------


def job(job_id: str, seq: int, group: str | None = None, priority: int = 0) -> Job:
    options = JobOptions(group=group, priority=priority)
    return Job(job_id, seq, "mail", b"", options, JobState.QUEUED, 0.0, 0.0)


def ready_with(*jobs: Job) -> Ready:
    ready = Ready()
    for each in jobs:
        ready.push(each)
    return ready


def drain(ready: Ready, *jobs: Job) -> str:
    """Return the ids in the order in which they come out."""
    by_id = {each.id: each for each in jobs}
    out = ""
    while (job_id := ready.peek()) is not None:
        out += job_id
        ready.remove(by_id[job_id])
    return out


def test_lanes_keep_one_order_over_all() -> None:
    jobs = (job("a", 1, "red"), job("b", 2), job("c", 3, "blue"), job("d", 4, "red"), job("e", 5, priority=1))
    ready = ready_with(*jobs)
    assert len(ready) == 5
    assert sorted(ready) == sorted(entry[-1] for entry in ready.entries()) == list("abcde")
    assert drain(ready, *jobs) == "eabcd"
    assert len(ready) == 0


def test_a_lane_that_is_set_aside_is_passed_by_until_it_is_brought_back() -> None:
    jobs = (job("a", 1, "red"), job("b", 2, "blue"), job("c", 3))
    ready = ready_with(*jobs)
    ready.set_aside("red")
    assert ready.peek() == "b"
    ready.bring_back("red")
    assert ready.peek() == "a"


def test_what_comes_into_a_lane_that_is_set_aside_stays_aside() -> None:
    ready = ready_with(job("a", 1, "red"))
    ready.set_aside("red")
    ready.push(job("b", 2, "red", priority=9))
    assert ready.peek() is None
    ready.bring_back("red")
    assert ready.peek() == "b"


def test_a_lane_that_is_empty_can_be_set_aside_and_brought_back() -> None:
    ready = Ready()
    ready.set_aside("red")
    ready.bring_back("red")
    ready.bring_back("blue")
    assert ready.peek() is None


def test_a_lane_goes_on_with_its_next_when_its_first_is_taken_out() -> None:
    first, second = job("a", 1, "red"), job("b", 2, "red")
    ready = ready_with(first, second)
    ready.remove(first)
    assert ready.peek() == "b"
    ready.remove(second)
    assert ready.peek() is None


# -- limits of groups ----------------------------------------------------------------------------------------


def house_with(limit: int | None, *ids: str, workers: int = 5) -> House:
    house = House(workers=workers)
    house.ask(c.SetGroup("red", limit))
    house.submit(*ids, group="red")
    return house


def test_no_more_of_a_group_run_than_its_limit() -> None:
    house = house_with(2, *"abcd")
    assert house.running() == ["a", "b"]
    house.finish("a")
    assert house.running() == ["b", "c"]


def test_a_full_group_holds_up_no_other_job() -> None:
    house = house_with(1, *"abc")
    house.submit("d")
    house.submit("e", group="blue")
    assert house.running() == ["a", "d", "e"]


def test_a_group_without_a_limit_has_all_workers() -> None:
    assert house_with(None, *"abc").running() == ["a", "b", "c"]


def test_a_raised_limit_lets_more_start_at_once() -> None:
    house = house_with(1, *"abcd")
    house.ask(c.SetGroup("red", 3))
    assert house.running() == ["a", "b", "c"]


def test_a_lowered_limit_stops_nothing_but_starts_nothing_until_enough_have_ended() -> None:
    house = house_with(3, *"abcdef")
    house.ask(c.SetGroup("red", 1))
    assert house.running() == ["a", "b", "c"]
    house.finish("a")
    house.finish("b")
    assert house.running() == ["c"]
    house.finish("c")
    assert house.running() == ["d"]


def test_a_limit_can_be_lifted_while_jobs_wait_for_it() -> None:
    house = house_with(1, *"abc")
    house.ask(c.SetGroup("red", None))
    assert house.running() == ["a", "b", "c"]


@pytest.mark.parametrize("end", ["finish", "fail", "snooze", "quit", "park"])
def test_every_end_of_a_run_makes_room_in_its_group(end: str) -> None:
    house = house_with(1, "a", "b")
    house.ask(c.Edit("b", options={"priority": 9}))
    house.report(end)
    assert house.running() == ["b"]


def test_a_limit_is_told_anew_after_a_restart() -> None:
    house = house_with(1, "a", "b")
    house.crash(c.SetGroup("red", 1))
    assert house.running() == ["a"]


# -- a group is paused -----------------------------------------------------------------------------------------


def test_a_paused_group_starts_nothing_and_others_go_on() -> None:
    house = House(workers=3)
    assert names(house.ask(c.PauseAll("red"))) == ["GroupPaused"]
    house.submit("a", group="red")
    house.submit("b", group="blue")
    house.submit("c")
    assert house.running() == ["b", "c"]
    assert names(house.ask(c.ResumeAll("red")))[:2] == ["GroupResumed", "Started"]


def test_what_runs_when_its_group_is_paused_comes_to_its_end() -> None:
    house = house_with(1, "a", "b")
    house.ask(c.PauseAll("red"))
    house.finish("a")
    assert house.states() == {"a": "succeeded", "b": "queued"}


def test_a_group_that_is_paused_until_some_time_goes_on_by_itself() -> None:
    house = House()
    house.ask(c.PauseAll("red", until=130.0))
    house.submit("a", group="red")
    assert house.machine.next_deadline() == 130.0
    assert names(house.wake()) == ["GroupResumed", "Started", "Dispatch"]


def test_a_group_may_be_paused_before_it_has_jobs_and_stays_so_over_a_restart() -> None:
    house = House()
    house.ask(c.PauseAll("red", until=130.0), c.PauseAll("blue"))
    house.submit("a", group="red")
    house.crash()
    assert house.machine.ledger.pauses == {"red": 130.0, "blue": inf}
    assert house.running() == []
    house.wake()
    assert (house.running(), house.now) == (["a"], 130.0)


def test_a_group_named_as_the_queue_is_not_the_queue() -> None:
    house = House()
    house.ask(c.PauseAll("queue"))
    house.submit("a")
    assert house.running() == ["a"]


# -- the queue is paused ---------------------------------------------------------------------------------------


def test_a_paused_queue_accepts_but_starts_nothing_and_what_runs_comes_to_its_end() -> None:
    house = House(workers=2)
    house.submit("a")
    assert names(house.ask(c.PauseAll())) == ["QueuePaused"]
    house.submit("b", group="red")
    house.finish("a")
    assert house.states() == {"a": "succeeded", "b": "queued"}
    assert names(house.ask(c.ResumeAll())) == ["QueueResumed", "Started", "Dispatch"]


def test_a_queue_that_is_paused_until_some_time_goes_on_by_itself() -> None:
    house = House()
    house.ask(c.PauseAll(until=130.0))
    house.submit("a")
    assert names(house.wake()) == ["QueueResumed", "Started", "Dispatch"]
    assert house.now == 130.0


def test_a_pause_until_a_time_that_is_past_is_over_at_once() -> None:
    house = House()
    house.ask(c.PauseAll(until=50.0))
    assert house.machine.next_deadline() == house.now
    assert names(house.wake()) == ["QueueResumed"]


def test_delays_end_in_a_paused_queue() -> None:
    house = House()
    house.submit("a", delay=5.0)
    house.ask(c.PauseAll())
    assert names(house.wake()) == ["BecameDue"]


def test_queue_and_group_are_paused_each_by_itself() -> None:
    house = House()
    house.submit("busy")
    house.submit("a", group="red")
    house.ask(c.PauseAll(), c.PauseAll("red"))
    house.finish("busy")
    house.ask(c.ResumeAll())
    assert house.running() == []
    house.ask(c.ResumeAll("red"))
    assert house.running() == ["a"]


def test_a_pause_survives_a_picture() -> None:
    house = House()
    house.ask(c.PauseAll(until=130.0), c.PauseAll("red"))
    assert house.machine.ledger.picture().totals.pauses == ((QUEUE, 130.0), ("red", inf))
    house.machine.ledger._put_away()
    house.submit("a")
    house.crash()
    assert house.running() == []
    assert names(house.wake())[0] == "QueueResumed"


# -- twice, and not at all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["", "red"])
def test_pausing_says_whether_it_was_so_before_and_tells_nothing_twice(group: str) -> None:
    house = House()
    assert house.ask(c.PauseAll(group)).answers == [True]
    assert house.ask(c.PauseAll(group)).answers == [False]
    assert house.last.facts == []


@pytest.mark.parametrize("group", ["", "red"])
def test_pausing_again_moves_the_end(group: str) -> None:
    house = House()
    house.ask(c.PauseAll(group, until=110.0))
    assert house.ask(c.PauseAll(group, until=150.0)).answers == [False]
    assert house.machine.next_deadline() == 150.0
    house.ask(c.PauseAll(group))
    assert house.machine.next_deadline() == inf
    house.ask(c.PauseAll(group, until=120.0))
    assert house.machine.next_deadline() == 120.0


@pytest.mark.parametrize("group", ["", "red"])
def test_resuming_what_is_not_paused_changes_nothing(group: str) -> None:
    house = House()
    assert house.ask(c.ResumeAll(group)).answers == [False]
    assert house.last.facts == []
    house.ask(c.PauseAll(group))
    assert house.ask(c.ResumeAll(group)).answers == [True]


def test_a_resumed_queue_does_not_wake_for_the_end_of_its_pause() -> None:
    house = House()
    house.ask(c.PauseAll(until=130.0))
    house.ask(c.ResumeAll())
    assert house.machine.next_deadline() == inf


def test_only_so_many_groups_are_paused_at_a_time() -> None:
    house = House()
    house.ask(*(c.PauseAll(f"g{n}") for n in range(PAUSES_LIMIT)))
    (answer,) = house.ask(c.PauseAll("more")).answers
    assert isinstance(answer, InvalidOption)
    assert (house.last.facts, len(house.machine.ledger.pauses)) == ([], PAUSES_LIMIT)
    assert house.ask(c.PauseAll("g1", until=150.0), c.PauseAll()).answers == [False, True]


def test_many_pauses_that_end_together_end_over_several_steps() -> None:
    house = House()
    house.ask(*(c.PauseAll(f"g{n}", until=130.0) for n in range(PAUSES_LIMIT)))
    house.ask(after=30.0)
    house.ask()
    assert house.machine.ledger.pauses == {}
    assert house.machine.next_deadline() == inf


@pytest.mark.parametrize("fact", [f.QueueResumed(1.0), f.GroupResumed(1.0, "red"), f.QueueFact(1.0)])
def test_a_fact_that_cannot_happen_to_a_queue_changes_nothing(fact: f.QueueFact) -> None:
    ledger = House().machine.ledger
    fact.at, fact.n = ledger.now, ledger.n + 1
    with pytest.raises(InternalError):
        ledger.apply(fact)
    assert ledger.n == fact.n - 1


# -- pausing at once ---------------------------------------------------------------------------------------------


def test_a_queue_paused_at_once_takes_back_what_runs_with_nothing_used() -> None:
    house = House()
    house.submit("a")
    house.ask(c.PauseAll(stop=True))
    assert aborts(house.last) == [("a", Reason.PAUSED, 10.0)]
    house.fail()
    assert (names(house.last), house.state) == (["Released"], JobState.QUEUED)
    assert (house.job().attempt, house.job().interruptions, house.job().snoozes) == (0, 0, 0)
    house.ask(c.ResumeAll(), after=5.0)
    assert (house.running(), house.job().attempt, house.job().claim) == (["a"], 1, 2)


def test_a_group_paused_at_once_takes_back_only_its_own() -> None:
    house = House(workers=3)
    house.submit("a", group="red")
    house.submit("b", group="blue")
    house.submit("c")
    house.ask(c.PauseAll("red", stop=True))
    assert [job_id for job_id, *_ in aborts(house.last)] == ["a"]


def test_what_was_paused_in_peace_can_be_stopped_after_all() -> None:
    house = House()
    house.submit("a")
    house.ask(c.PauseAll())
    house.ask(c.PauseAll(stop=True))
    assert (names(house.last), house.last.answers) == (["Abort"], [False])


def test_what_is_stopped_twice_is_told_once() -> None:
    house = House()
    house.submit("a")
    house.ask(c.PauseAll(stop=True))
    assert names(house.ask(c.PauseAll(stop=True))) == []


def test_a_job_that_ignores_being_paused_is_left_to_its_worker_and_runs_again_later() -> None:
    house = House()
    house.submit("a", grace=2.0)
    house.ask(c.PauseAll(stop=True))
    assert names(house.ask(after=2.0)) == ["Released", "Abandon", "Hire"]
    house.ask(c.ResumeAll())
    assert (house.running(), house.job().attempt) == (["a"], 1)


def test_a_cancel_goes_before_a_pause() -> None:
    house = House()
    house.submit("a")
    house.ask(c.PauseAll(stop=True))
    house.ask(c.Cancel("a"))
    house.finish()
    assert house.state is JobState.CANCELLED


def test_an_abort_for_another_reason_stands_when_the_queue_is_paused() -> None:
    house = House()
    house.submit("a", timeout=5.0)
    house.ask(after=5.0)
    assert aborts(house.ask(c.PauseAll(stop=True))) == []
    house.fail()
    assert house.reason is Reason.TIMEOUT


def test_a_queue_resumed_before_the_worker_has_stopped_takes_the_attempt_back_all_the_same() -> None:
    house = House()
    house.submit("a")
    house.ask(c.PauseAll(stop=True), c.ResumeAll())
    house.finish()
    assert names(house.last) == ["Released", "Started", "Dispatch"]
