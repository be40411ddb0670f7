"""P5: does a job cost more with a million others queued than with a thousand?

The backlog must not run while we measure. It is either *ready*, of low priority, below jobs that are more urgent
and follow one another without a gap; or *delayed* for a day. The machine is turned by hand: one step a job, in
which the job before it ends. The queue has one worker and runs a chain of jobs, each of which submits the next;
when the chain ends, the worker takes one job from the backlog, and that one holds it until the next round. The
floor runs the same chain.

What was built before the race is taken out of the garbage collector's sight: collecting a million jobs is another
question (P9), and the small one would pay for the large.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from actorq import JobQueue
from actorq.config import Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core.job import JobOptions, JobState
from actorq.core.machine import Machine

from .bare import open_bare
from .load import A_DAY

SMALL = 1_000
LOW, HIGH = -10, 10
PROMISE = {"promise": "≤ 1.5 × of 1,000", "at_most": 1.5}


@pytest.fixture
def large(pick: Any) -> int:
    return pick(quick=100_000, full=1_000_000)


@pytest.fixture
def loop() -> str:
    """The loop has no part in this question."""
    return "asyncio"


# -- the machine, turned by hand ------------------------------------------------------------------------


class LoadedMachine:
    """A machine with one worker, which runs an urgent job, and with a backlog."""

    def __init__(self, backlog: int, delay: float) -> None:
        self.machine = Machine(Settings(workers=1, max_pending=backlog + 10))
        self.now = 0.0
        self.done = 0
        self.options = JobOptions(priority=HIGH)
        self.machine.step([self.next_job()], self.now)
        options = JobOptions(priority=LOW)
        for first in range(0, backlog, SMALL):
            jobs = [c.NewJob(f"backlog-{first + n}", "work", b"[]", options, delay) for n in range(SMALL)]
            self.machine.step([c.Submit(tuple(jobs))], self.now)

    def next_job(self) -> c.Submit:
        return c.Submit((c.NewJob(f"job-{self.done}", "work", b"[]", self.options),))

    def run(self, jobs: int) -> None:
        """Let so many jobs end, each in the step in which the next one comes and starts."""
        for _ in range(jobs):
            ends = c.Finish(f"job-{self.done}", 1, b"null")
            self.done += 1
            self.now += 1e-5
            step = self.machine.step([ends, self.next_job()], self.now)
            [started] = step.effects
            assert type(started) is e.Dispatch
            assert started.job_id == f"job-{self.done}"


@pytest.mark.benchmark(group="P5 jobs above a large backlog (a round: 2,000 jobs)")
@pytest.mark.parametrize("kind", ["ready", "delayed"])
def bench_machine(kind: str, large: int, pick: Any, race: Any, tell: Any, frozen_heap: Any) -> None:
    jobs, rounds = 2_000, pick(quick=5, full=15)
    delay = A_DAY if kind == "delayed" else 0.0
    few, many = LoadedMachine(SMALL, delay), LoadedMachine(large, delay)
    for machine in (few.machine, many.machine):
        machine.step([c.Register(("work",))], 0.0)
    frozen_heap()
    ours, base = race(lambda: many.run(jobs), lambda: few.run(jobs), rounds=rounds)
    for loaded, backlog in ((few, SMALL), (many, large)):
        counts = loaded.machine.ledger.count()
        assert loaded.done == (rounds + 1) * jobs
        assert counts[JobState.SCHEDULED if delay else JobState.QUEUED] == backlog
    tell("P5", f"machine, {large:,} {kind}", ours / jobs * 1e6, base / jobs * 1e6, "µs/job", **PROMISE)


# -- the queue, and the floor ---------------------------------------------------------------------------


class Chain:
    """Jobs that submit one another, above a backlog of jobs that hold the worker."""

    def __init__(self) -> None:
        self.submit_link: Callable[[int], object]
        self.links = 0
        self.opened = anyio.Event()
        self.held = anyio.Event()

    async def hold(self) -> None:
        self.opened = anyio.Event()
        self.held.set()
        await self.opened.wait()

    async def link(self, left: int) -> None:
        self.links += 1
        if left:
            self.submit_link(left - 1)

    async def run(self, jobs: int) -> None:
        """Run a chain of so many jobs, from one hold to the next."""
        before = self.links
        self.held = anyio.Event()
        self.submit_link(jobs - 1)
        self.opened.set()
        await self.held.wait()
        assert self.links == before + jobs


async def load_queue(queue: JobQueue, backlog: int) -> Chain:
    chain = Chain()
    hold = queue.task(name="hold", priority=LOW)(chain.hold)
    chain.submit_link = queue.task(name="link", priority=HIGH)(chain.link).submit_nowait
    for _ in range(0, backlog, SMALL):
        await hold.submit_many([hold.build() for _ in range(SMALL)])
    await chain.held.wait()
    return chain


async def load_bare(submit: Callable[..., Awaitable[None]], backlog: int) -> Chain:
    chain = Chain()
    chain.submit_link = lambda left: submit(chain.link, left, priority=-HIGH)
    for _ in range(backlog):
        submit(chain.hold, priority=-LOW)
    await chain.held.wait()
    return chain


@pytest.mark.benchmark(group="P5 jobs above a large backlog (a round: 2,000 jobs)")
def bench_queue(large: int, portal: BlockingPortal, pick: Any, race: Any, tell: Any, frozen_heap: Any) -> None:
    jobs, rounds = 2_000, pick(quick=5, full=15)
    queues = [
        JobQueue(name=str(size), workers=1, max_pending=size + 10, drain_timeout=0.0, grace=1.0)
        for size in (SMALL, large)
    ]
    with (
        portal.wrap_async_context_manager(queues[0]),
        portal.wrap_async_context_manager(queues[1]),
    ):
        few = portal.call(load_queue, queues[0], SMALL)
        many = portal.call(load_queue, queues[1], large)
        frozen_heap()
        ours, base = race(lambda: portal.call(many.run, jobs), lambda: portal.call(few.run, jobs), rounds=rounds)
        stats = portal.call(queues[1].stats)
    assert stats.counts[JobState.QUEUED] == large - stats.counts[JobState.RUNNING] - (rounds + 1)
    tell("P5", f"queue, {large:,} ready", ours / jobs * 1e6, base / jobs * 1e6, "µs/job", **PROMISE)


@pytest.mark.benchmark(group="P5 jobs above a large backlog (a round: 2,000 jobs)")
def bench_bare(large: int, portal: BlockingPortal, pick: Any, race: Any, tell: Any, frozen_heap: Any) -> None:
    jobs, rounds = 2_000, pick(quick=5, full=15)
    with (
        portal.wrap_async_context_manager(open_bare("asyncio", workers=1)) as submit_few,
        portal.wrap_async_context_manager(open_bare("asyncio", workers=1)) as submit_many,
    ):
        few = portal.call(load_bare, submit_few, SMALL)
        many = portal.call(load_bare, submit_many, large)
        frozen_heap()
        ours, base = race(lambda: portal.call(many.run, jobs), lambda: portal.call(few.run, jobs), rounds=rounds)
    tell("P5", f"bare, {large:,} ready", ours / jobs * 1e6, base / jobs * 1e6, "µs/job")
