"""How a law is tried: on a thousand random histories, each step of which it sees."""

from collections.abc import Callable
from math import inf
from typing import Any

from hypothesis import settings

from actorq.core import facts as f
from actorq.core.job import Job, JobState
from actorq.core.ledger import Ledger

from .driver import History, Law, Turn, World

LAW = settings(max_examples=1_000, deadline=None, derandomize=True)
ENDS = (f.Succeeded, f.Failed, f.DeadLettered, f.Cancelled)


def play(history: History, *laws: Any, **options: Any) -> World:
    """Play the history under these laws."""
    world = World(history.settings, laws, **options)
    world.play(history.acts)
    return world


def at_each_start(check: Callable[[Job, Ledger, dict[str, int]], None]) -> Law:
    """Make a law of what must hold of a job, the ledger and the limits of groups the moment before it starts."""
    shadow = World.blank()

    def look(world: World, turn: Turn) -> None:
        for fact in turn.step.facts:
            if isinstance(fact, f.Started):  # after all commands of the step: the limits stand as they will
                check(shadow.jobs[fact.job_id], shadow, world.machine.roster.group_limits)
            shadow.apply(fact)

    return look


def has_room(group: str | None, ledger: Ledger, limits: dict[str, int]) -> bool:
    """Tell whether a job of this group may start, by looking at all jobs."""
    running = sum(job.state is JobState.RUNNING and job.options.group == group for job in ledger.jobs.values())
    return group is None or (group not in ledger.pauses and running < limits.get(group, inf))
