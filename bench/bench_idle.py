"""P12: what does an idle queue do in an hour? Nothing.

The hour is virtual. The queue sleeps only through its clock, so each time ``Clock.sleep`` returns is a wake-up; and
a loop that counts timers sees to it that nothing sleeps past the clock. A queue with a directory may wake once,
to write the snapshot that has what happened before the hour, and no more.

This one counts, and fails if the count is wrong: counts are not noisy.
"""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from actorq import JobQueue
from actorq.testing import VirtualClock

AN_HOUR = 3600.0
SNAPSHOT_AFTER = 30.0


class CountingClock(VirtualClock):
    """A virtual clock that knows how often it woke somebody."""

    wake_ups = 0

    async def sleep(self, until: float, or_event: anyio.Event) -> None:
        await super().sleep(until, or_event)
        self.wake_ups += 1


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that knows how many timers were armed."""

    timers = 0

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **options)


async def echo(n: int) -> int:
    return n


async def idle(path: Path | None, jobs: int) -> tuple[int, int]:
    """Run so many jobs, let an hour pass, and return how many wake-ups and loop timers there were in it."""
    clock = CountingClock()
    queue = JobQueue(path, snapshot_interval=SNAPSHOT_AFTER, make_clock=clock.start)
    task = queue.task(echo)
    async with queue:
        assert [await task.run(n) for n in range(jobs)] == list(range(jobs))
        await clock.settle()
        before, loop = clock.wake_ups, asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        timers = loop.timers
        await clock.advance(SNAPSHOT_AFTER)
        await queue.snapshot()  # a thread works in real time: wait for the one that has begun
        await clock.advance(AN_HOUR - SNAPSHOT_AFTER)
        stats = await queue.stats()
        assert stats.snapshot_fact == (stats.last_fact if path else 0)
        if stats.snapshot_fact:
            assert stats.snapshot_age_s == AN_HOUR - SNAPSHOT_AFTER  # it began by itself
        return clock.wake_ups - before, loop.timers - timers


@pytest.mark.benchmark(group="P12 an idle hour, virtual")
@pytest.mark.parametrize(
    ("jobs", "store", "snapshots"),
    [
        pytest.param(0, "memory", 0, id="memory, fresh"),
        pytest.param(100, "memory", 0, id="memory, after 100 jobs"),
        pytest.param(0, "directory", 0, id="directory, fresh"),
        pytest.param(100, "directory", 1, id="directory, after 100 jobs"),
    ],
)
def bench_idle_hour(
    jobs: int, store: str, snapshots: int, tmp_path: Path, request: Any, benchmark: Any, tell: Any
) -> None:
    counts: list[tuple[int, int]] = []

    def live() -> None:
        path = tmp_path / str(len(counts)) if store == "directory" else None
        with asyncio.Runner(loop_factory=CountingLoop) as runner:
            counts.append(runner.run(idle(path, jobs)))

    benchmark.pedantic(live, rounds=3)
    for wake_ups, timers in counts:
        assert wake_ups == snapshots
        assert timers == 0 or snapshots  # a snapshot may take a rest between two slices
    case = f"an hour of {request.node.callspec.id}"
    tell("P12", case, counts[0][0], snapshots, "wake-ups", "= snapshots", at_most=snapshots, bounds="ours")
