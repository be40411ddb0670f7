"""One step: its bounds, its clock, its alarm."""

from copy import copy

import pytest

from actorq.config import STEP_LIMIT, Retention, Settings
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import JobOptions
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine, Step, replay
from actorq.core.picture import PAGE

from .driver import dump

MANY = STEP_LIMIT + 300


def crowd(machine: Machine, delay: float = 0.0, count: int = MANY, **options: float) -> Step:
    asked = JobOptions(**options)  # type: ignore[arg-type]
    jobs = tuple(c.NewJob(f"j{i}", "mail", b"", asked, delay) for i in range(count))
    return machine.step([c.Submit(jobs)], 100.0)


def count(step: Step, kind: type[f.Fact]) -> int:
    return sum(isinstance(fact, kind) for fact in step.facts)


def machine_with(**settings: object) -> Machine:
    machine = Machine(Settings(**{"workers": 1, "max_pending": 10_000} | settings))  # type: ignore[arg-type]
    machine.step([c.Register(("mail",))], 100.0)
    return machine


def test_a_step_never_goes_back_in_time() -> None:
    machine = machine_with()
    assert machine.step([], 200.0).now == 200.0
    step = machine.step([c.Cancel("nobody")], 150.0)
    assert step.now == 200.0
    crowd(machine, count=1)
    assert machine.ledger.now == 200.0


def test_an_idle_machine_sleeps_for_ever() -> None:
    assert machine_with().next_deadline() == float("inf")


def test_delays_over_the_step_limit_follow_at_once() -> None:
    machine = machine_with()
    crowd(machine, delay=5.0)
    assert count(machine.step([], 105.0), f.BecameDue) == STEP_LIMIT
    assert machine.next_deadline() == 105.0
    assert count(machine.step([], 105.0), f.BecameDue) == MANY - STEP_LIMIT
    assert machine.next_deadline() == float("inf")


def test_limits_over_the_step_limit_follow_at_once_and_none_of_them_starts() -> None:
    machine = machine_with()
    machine.step([c.Drain()], 100.0)
    machine.roster.is_draining = False
    crowd(machine, expires=5.0)
    machine.step([c.Finish("j0", 1, b"")], 104.0)
    steps = [machine.step([c.Finish("j1", 1, b"")], 105.0), machine.step([], 105.0)]
    assert sum(count(step, f.Failed) for step in steps) == MANY - 2
    assert sum(count(step, f.Started) for step in steps) == 0


def test_alarms_over_the_step_limit_follow_at_once() -> None:
    machine = machine_with(workers=MANY)
    crowd(machine, timeout=5.0)
    assert len(machine.step([], 105.0).effects) == STEP_LIMIT
    assert machine.next_deadline() == 105.0
    assert len(machine.step([], 105.0).effects) == MANY - STEP_LIMIT


def test_parkings_over_the_step_limit_follow_at_once() -> None:
    machine = Machine(Settings(workers=1))
    assert count(crowd(machine), f.Parked) == STEP_LIMIT
    assert machine.next_deadline() == 100.0
    assert count(machine.step([], 100.0), f.Parked) == MANY - STEP_LIMIT


def test_removals_over_the_step_limit_follow_at_once() -> None:
    machine = machine_with(retention=Retention(age_s=10.0))
    crowd(machine)
    machine.step([c.Cancel(f"j{i}") for i in range(1, MANY)], 100.0)
    assert count(machine.step([], 111.0), f.Removed) == STEP_LIMIT
    assert machine.next_deadline() == 111.0
    assert count(machine.step([], 111.0), f.Removed) == MANY - 1 - STEP_LIMIT


def test_a_job_is_found_by_the_order_of_its_acceptance() -> None:
    machine = machine_with()
    crowd(machine, count=3)
    ledger = machine.ledger
    assert [job.seq for seq in range(10_000) if (job := ledger.job_of(seq))] == [1, 2, 3]


def test_a_machine_tells_its_state() -> None:
    machine = machine_with(workers=2)
    crowd(machine, count=3)
    assert repr(machine) == "<Machine n=5 now=100.000000 [1 queued, 2 running] 0 of 2 workers idle>"


@pytest.mark.parametrize("most", [1, 100, PAGE, 10 * PAGE])
def test_a_picture_of_many_pages_is_whole(most: int) -> None:
    machine = machine_with()
    facts = crowd(machine, count=2 * PAGE + 40).facts
    lived = dump(replay(facts))
    picture = machine.ledger.picture()
    jobs = [copy(job) for job in picture.take(most)]
    machine.step([c.Cancel(f"j{i}") for i in range(1, 2 * PAGE)], 101.0)
    machine.step([c.Submit((c.NewJob("later", "mail", b"", JobOptions()),))], 102.0)
    while some := picture.take(most):
        assert len(some) <= most
        jobs += map(copy, some)
    assert dump(Ledger(picture.totals, jobs)) == lived


def test_a_picture_may_be_given_up() -> None:
    machine = machine_with()
    crowd(machine, count=2)
    picture = machine.ledger.picture()
    picture.close()
    picture.close()
    machine.ledger.picture()


def test_a_picture_of_an_empty_ledger_is_empty() -> None:
    picture = Ledger().picture()
    assert picture.take(10) == []
