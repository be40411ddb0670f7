"""Nothing that the core remembers grows with the jobs that it has seen: only with those that it holds.

``ACTORQ_BOUND_JOBS=1000000 pytest tests/core/test_bounds.py`` lets a million jobs through.
"""

import os
from collections.abc import Sized
from random import Random
from typing import Any

from actorq.config import Retention, Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core.job import Failure, JobOptions, Reason
from actorq.core.machine import Machine
from actorq.core.retry import Retry

JOBS = int(os.environ.get("ACTORQ_BOUND_JOBS", "15000"))
KEPT = 50
WORKERS = 8
ROOM = 300
"""More jobs than there ever are at a time: four final states, and those that live."""

FAILURE = Failure(Reason.ERROR, "ValueError")


def sizes(thing: object, name: str, found: dict[str, int]) -> dict[str, int]:
    """Return how much each container holds that is reached from here through our own objects."""
    for key in [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]:
        if key.startswith("__"):
            continue
        value: Any = getattr(thing, key, None)
        if isinstance(value, Sized) and not isinstance(value, str | bytes):
            found[f"{name}.{key}"] = len(value)
        if type(value).__module__.startswith("actorq.core") and key not in ("settings", "options"):
            sizes(value, f"{name}.{key}", found)
    return found


class Flow:
    """Jobs with tags, keys and groups of their own come, run, fail, die and go."""

    def __init__(self) -> None:
        self.machine = Machine(Settings(workers=WORKERS, max_pending=200, retention=Retention(count=KEPT)))
        self.random = Random(7)  # noqa: S311 - it keeps no secret
        self.now = 0.0
        self.seen = 0
        self.runs: list[e.Dispatch] = []
        self.step(c.Register(("mail", "bury")))

    def step(self, *commands: c.Command) -> None:
        step = self.machine.step(commands, self.now)
        self.runs += [effect for effect in step.effects if isinstance(effect, e.Dispatch)]

    def go_on(self) -> None:
        self.now += 0.5
        n = self.seen
        self.seen += 5
        self.step(c.Submit(tuple(self.new(n + i) for i in range(5))))
        done, self.runs = self.runs[:6], self.runs[6:]
        self.step(*map(self.report, done))
        if n % 50 == 0:
            self.step(c.PauseAll(f"g{n}", until=self.now + 3.0), c.ResumeAll(f"g{n - 200}"))

    def new(self, n: int) -> c.NewJob:
        options = JobOptions(
            retry=Retry(max_attempts=2, delay=0.5),
            tags={"number": str(n), f"only{n}": ""},
            group=f"g{n}" if n % 3 == 0 else None,
            dead_letter="bury" if n % 7 == 0 else False,
            expires=60.0,
        )
        policy: c.OnConflict = "keep_last" if n % 2 else "replace"
        key = f"k{n // 4}" if n % 5 == 0 else f"k{n % 3}" if n % 5 == 1 else None
        return c.NewJob(f"j{n}", "mail", b"[[],{}]", options, float(n % 4), key=key, on_conflict=policy)

    def report(self, run: e.Dispatch) -> c.Command:
        if self.random.random() < 0.3:
            return c.Fail(run.job_id, run.claim, FAILURE)
        return c.Finish(run.job_id, run.claim, b"null")


def test_what_the_core_holds_does_not_grow_with_the_jobs_it_has_seen() -> None:
    flow = Flow()
    while flow.seen < JOBS:
        flow.go_on()
        if flow.seen % 2_000 == 0:
            found = sizes(flow.machine, "machine", {})
            held = len(flow.machine.ledger.jobs)
            assert held <= ROOM + 4 * KEPT
            too_many = {name: size for name, size in found.items() if size > 16 * held + 500}
            assert not too_many
    assert flow.machine.ledger.removed > JOBS / 3
