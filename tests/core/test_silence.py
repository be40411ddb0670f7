"""A job that gives no sign of life, and one that the event loop has kept from giving it."""

from actorq.core import commands as c
from actorq.core.job import Reason

from .house import House, names


def running(house: House, **options: float) -> int:
    """Let job a run, and return its claim."""
    house.submit("a", **options)
    return house.job().claim


def test_a_beat_that_comes_when_a_blocked_loop_turns_again_is_in_time() -> None:
    house = House()
    claim = running(house, heartbeat_timeout=0.5)
    assert not house.ask(c.Beat("a", claim), after=0.75, late=0.25).facts


def test_silence_is_looked_for_at_once_in_the_step_that_follows() -> None:
    house = House(workers=2)
    running(house, heartbeat_timeout=0.5)
    house.submit("b")
    assert names(house.ask(c.Beat("b", house.job("b").claim), after=0.5)) == []
    assert house.machine.next_deadline() == house.now
    assert names(house.wake()) == ["Stalled", "Abort"]


def test_who_speaks_before_that_step_is_not_silent() -> None:
    house = House(workers=2)
    claim = running(house, heartbeat_timeout=0.5)
    house.submit("b")
    house.ask(c.Beat("b", house.job("b").claim), after=0.5)
    house.ask(c.Beat("a", claim))
    assert names(house.ask()) == []
    assert house.machine.next_deadline() == house.now + 0.5


def test_a_run_that_ends_in_the_step_in_which_it_is_not_heard_leaves_no_alarm() -> None:
    house = House()
    claim = running(house, heartbeat_timeout=1.0, deadline=1.0, grace=0.0)
    house.ask(c.Beat("a", claim + 1), after=1.0)
    assert house.reason is Reason.DEADLINE
    assert len(house.machine.roster.alarms) == 0
