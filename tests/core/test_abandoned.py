"""A function that goes on after its worker was abandoned: its slot is lent again, but within a bound."""

from typing import Any

from actorq.core import commands as c
from actorq.core.job import JobState

from .house import House, names


def deaf(*ids: str, **settings: Any) -> House:
    """Return a house in which jobs of these ids run, and do not stop when they are asked to."""
    house = House(**{"workers": len(ids)} | settings)
    house.submit(*ids, grace=0.0)
    return house


def abandon(house: House, *ids: str) -> list[str]:
    """Cancel the jobs, and wait in vain."""
    house.ask(*map(c.Cancel, ids))
    return names(house.ask())


def test_an_abandoned_worker_is_replaced_at_once() -> None:
    house = deaf("a")
    assert abandon(house, "a") == ["Cancelled", "Abandon", "Hire"]
    assert house.machine.roster.abandoned == {1}


def test_as_many_as_the_bound_are_replaced_and_the_next_one_is_not() -> None:
    house = deaf("a", "b", "c", max_abandoned=2)
    assert abandon(house, "a").count("Hire") == 1
    assert abandon(house, "b").count("Hire") == 1
    assert abandon(house, "c").count("Hire") == 0
    assert len(house.machine.roster.workers) == 2


def test_the_slot_is_lent_again_when_one_of_them_returns() -> None:
    house = deaf("a", "b", max_abandoned=1)
    abandon(house, "a", "b")
    step = house.ask(c.Return(1))
    assert (names(step), step.answers) == (["Hire"], [True])
    assert house.machine.roster.abandoned == {2}


def test_a_queue_whose_every_worker_is_abandoned_starts_nothing_until_one_returns() -> None:
    house = deaf("a", max_abandoned=0)
    assert "Hire" not in abandon(house, "a")
    assert names(house.submit("b")) == ["Submitted"]
    assert names(house.ask(c.Return(1))) == ["Started", "Hire", "Dispatch"]


def test_the_return_of_a_worker_that_is_not_abandoned_changes_nothing() -> None:
    house = deaf("a", max_abandoned=0)
    assert names(house.ask(c.Return(1), c.Return(7))) == []
    assert house.running() == ["a"]


def test_a_worker_returns_once() -> None:
    house = deaf("a", "b", max_abandoned=0)
    abandon(house, "a", "b")
    assert names(house.ask(c.Return(1), c.Return(1))) == ["Hire"]


def test_a_dead_worker_holds_no_slot() -> None:
    house = deaf("a", max_abandoned=0)
    assert "Hire" in names(house.bury())
    assert house.machine.roster.abandoned == set()


def test_the_late_report_of_an_abandoned_function_is_not_its_return() -> None:
    house = deaf("a", max_abandoned=0)
    abandon(house, "a")
    assert house.ask(c.Finish("a", 1, b"1")).answers == [False]
    assert house.machine.roster.wanted == 0


def test_there_are_never_fewer_than_no_workers_wanted() -> None:
    house = deaf("a", "b", "c", max_abandoned=0)
    abandon(house, "a", "b", "c")
    house.ask(c.SetWorkers(1))
    assert house.machine.roster.wanted == 0
    house.ask(c.Return(1), c.Return(2))
    assert house.machine.roster.wanted == 0
    house.ask(c.Return(3))
    assert house.machine.roster.wanted == 1


def test_more_workers_may_be_asked_for_while_some_are_abandoned() -> None:
    house = deaf("a", max_abandoned=0)
    abandon(house, "a")
    assert names(house.ask(c.SetWorkers(3))) == ["Hire", "Hire"]
    assert names(house.ask(c.Return(1))) == ["Hire"]


def test_those_that_are_idle_stay_when_one_more_is_abandoned_than_may_be() -> None:
    house = deaf("a", "b", max_abandoned=0)
    house.finish("b")
    assert abandon(house, "a") == ["Cancelled", "Abandon"]
    assert len(house.machine.roster.idle) == 1


def test_a_function_that_ignores_a_pause_of_the_queue_holds_a_slot_too() -> None:
    house = deaf("a", max_abandoned=0)
    house.ask(c.PauseAll(stop=True))
    assert names(house.ask()) == ["Released", "Abandon"]
    assert (house.state, house.machine.roster.wanted) == (JobState.QUEUED, 0)


def test_the_bound_begins_anew_at_the_next_start() -> None:
    house = deaf("a", max_abandoned=0)
    abandon(house, "a")
    house.crash()
    assert (house.machine.roster.abandoned, house.machine.roster.wanted) == (set(), 1)
