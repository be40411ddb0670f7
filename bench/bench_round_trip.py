"""P2: one job at a time on an idle queue: how long from submit to the awaited result?

Each trip is timed by itself. The median is compared with the floor's; the 99th percentile with its own median,
for a queue that now and then makes one job wait is not a fast one.
"""

import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from actorq import JobQueue

from .bare import WORKERS, open_bare
from .load import echo


async def make_trips(run: Callable[[int], Awaitable[int]], trips: int) -> list[float]:
    """Return the seconds of each trip."""
    times = []
    for n in range(trips):
        start = time.perf_counter()
        result = await run(n)
        times.append(time.perf_counter() - start)
        assert result == n
    return times


@pytest.mark.benchmark(group="P2 round trips, one at a time (a round: 5,000 trips; quick: 1,000)")
def bench_round_trip(loop: str, portal: BlockingPortal, pick: Any, race: Any, tell: Any) -> None:
    trips, rounds = pick(quick=(1_000, 5), full=(5_000, 10))
    queue = JobQueue(workers=WORKERS)
    task = queue.task(echo)
    ours: list[list[float]] = []
    bare: list[list[float]] = []
    with (
        portal.wrap_async_context_manager(queue),
        portal.wrap_async_context_manager(open_bare(loop)) as submit,
    ):
        race(
            lambda: ours.append(portal.call(make_trips, task.run, trips)),
            lambda: bare.append(portal.call(make_trips, lambda n: submit(echo, n), trips)),
            rounds=rounds,
        )
    our_median, bare_median = min(map(median, ours)), min(map(median, bare))
    our_p99, bare_p99 = min(map(p99, ours)), min(map(p99, bare))
    is_promised = loop != "trio"
    promise = {"promise": "≤ 2.5 × bare", "at_most": 2.5} if is_promised else {}
    tell("P2", f"{loop}, median", our_median * 1e6, bare_median * 1e6, "µs", **promise)
    promise = {"promise": "≤ 5 × own median", "at_most": 5.0} if is_promised else {}
    tell("P2", f"{loop}, p99 : own median", our_p99 * 1e6, our_median * 1e6, "µs", **promise)
    tell("P2", f"{loop}, p99", our_p99 * 1e6, bare_p99 * 1e6, "µs")


def p99(times: list[float]) -> float:
    return quantiles(times, n=100)[98]
