"""P7: how late is the loop while very many jobs are snapshotted under load?

A probe sleeps for a millisecond, again and again, and says by how much it was late. Beside it, 2,000 jobs a second
are submitted, run and awaited, above a million that are due tomorrow. The same is done without a snapshot, by
turns; the answer is what a snapshot adds.

With a journal, another process makes the snapshot from the files; without one, the loop does, in slices. Each
round of the second kind lasts as long as the snapshot. A round in which the machine did not come near the 2,000
answers another question: it is shown, and says nothing about the promise. What was loaded is taken out of
the garbage collector's sight (P9).
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal
from attrs import asdict, frozen

from actorq import JobQueue
from actorq.core.job import JobState
from actorq.store.snapshot import n_of

from .bare import WORKERS
from .bench_round_trip import p99
from .load import A_DAY, Pace, Run, echo
from .stored import store_jobs

RATE = 2_000
PROBE_S = 0.001

GET_GOING_S = 0.5
"""How long there is a load before the probe."""

NEAR_ENOUGH = 0.95
"""The part of the rate that must have been served for a round to count."""

PROMISES: dict[str, dict[str, Any]] = {
    "p50": {},
    "p99": {"promise": "≤ 5 ms extra", "at_most": 5.0, "bounds": "extra"},
    "max": {"promise": "≤ 50 ms extra", "at_most": 50.0, "bounds": "extra"},
}


@frozen
class Lag:
    """How late the probe was, in milliseconds, and how long and how busy the queue was meanwhile."""

    p50: float
    p99: float
    max: float
    rate: float
    seconds: float


async def measure(run: Run, until: Callable[[], Awaitable[object]]) -> Lag:
    """Let the load and the probe run until this returns."""
    late: list[float] = []
    pace = Pace(run, RATE)

    async def probe() -> None:
        while True:
            due = time.perf_counter() + PROBE_S
            await anyio.sleep(PROBE_S)
            late.append((time.perf_counter() - due) * 1e3)

    async with anyio.create_task_group() as load:
        load.start_soon(pace.run)
        await anyio.sleep(GET_GOING_S)
        begun = time.perf_counter()
        async with anyio.create_task_group() as probing:
            probing.start_soon(probe)
            await until()
            probing.cancel_scope.cancel()
        seconds = time.perf_counter() - begun
        pace.stop()
    return Lag(median(late), p99(late), max(late), pace.rate, seconds)


@pytest.mark.benchmark(group="P7 loop lag under 2,000 jobs/s, with a snapshot and without (a round: both)")
@pytest.mark.parametrize("loop", ["asyncio"])
@pytest.mark.parametrize("durability", ["fsync", "snapshot"])
def bench_snapshot_lag(
    durability: Any, portal: BlockingPortal, disk: Path, benchmark: Any, pick: Any, tell: Any, frozen_heap: Any
) -> None:
    jobs, rounds, seconds = pick(quick=(100_000, 2, 2.0), full=(1_000_000, 3, 10.0))
    store_jobs(disk, jobs, "echo", "snapshot", delay=A_DAY)
    queue = JobQueue(disk, durability=durability, workers=WORKERS, max_pending=2 * jobs, snapshot_interval=A_DAY)
    run = queue.task(echo, name="echo").run
    without: list[Lag] = []
    during: list[Lag] = []

    def take_turns() -> None:
        without.append(portal.call(measure, run, lambda: anyio.sleep(seconds)))
        during.append(portal.call(measure, run, queue.snapshot))

    with portal.wrap_async_context_manager(queue):
        frozen_heap()
        before = portal.call(queue.stats)
        benchmark.pedantic(take_turns, rounds=rounds)
        stats = portal.call(queue.stats)
    assert before.counts[JobState.SCHEDULED] == stats.counts[JobState.SCHEDULED] == jobs
    assert max(map(n_of, (file.name for file in disk.glob("snap-*.jsonl")))) >= stats.snapshot_fact > before.last_fact
    benchmark.extra_info |= {"without": [asdict(lag) for lag in without], "during": [asdict(lag) for lag in during]}
    rates = [min(lag.rate for lag in lags) for lags in (during, without)]
    has_pace = all(any(lag.rate >= NEAR_ENOUGH * RATE for lag in lags) for lags in (during, without))
    if has_pace:
        during, without = ([lag for lag in lags if lag.rate >= NEAR_ENOUGH * RATE] for lags in (during, without))
    for name, known in PROMISES.items():
        promise = known if has_pace or not known else {"promise": "not judged: too slow"}
        ours, base = (min(getattr(lag, name) for lag in lags) for lags in (during, without))
        tell("P7", f"{jobs:,} jobs, {durability}, {name}", ours, base, "ms", **promise)
    tell("P7", f"{jobs:,} jobs, {durability}, served in the worst round", *rates, "jobs/s")
    tell("P7", f"{jobs:,} jobs, {durability}, snapshot", min(lag.seconds for lag in during), 0.0, "s")
