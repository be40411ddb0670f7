"""Idle costs nothing: whoever sleeps is woken by a deadline, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from actorq import JobQueue
from actorq.actors.clock import SystemClock

HOUR = 3600.0


class CountingClock(SystemClock):
    naps = 0

    async def sleep(self, until: float, or_event: anyio.Event) -> None:
        self.naps += 1
        await super().sleep(until, or_event)


def counted(path: Path | None = None, **options: Any) -> tuple[JobQueue, Callable[[], tuple[int, int]]]:
    """Return a queue, and what tells how often it has slept and how many steps its machine has made."""
    queue = JobQueue(path, make_clock=CountingClock, **options)
    steps = 0

    def count() -> tuple[int, int]:
        supervisor = queue._house.supervisor
        machine = supervisor.machine
        if "step" not in vars(machine):
            step = machine.step

            def counting(*args: Any, **how: Any) -> Any:
                nonlocal steps
                steps += 1
                return step(*args, **how)

            machine.step = counting
        return supervisor.clock.naps, steps

    return queue, count


@pytest.mark.parametrize("is_stored", [False, True], ids=["in memory", "on disk"])
async def test_empty_queue_sleeps_through_the_hour(tmp_path: Path, is_stored: bool) -> None:
    queue, count = counted(tmp_path if is_stored else None)
    async with queue:
        await anyio.sleep(1)
        before = count()
        await anyio.sleep(HOUR)
        assert count() == before


async def test_queue_whose_jobs_are_due_later_sleeps_until_then() -> None:
    queue, count = counted()

    @queue.task(name="work")
    async def work() -> None: ...

    async with queue:
        for hours in range(2, 100):
            await work.using(delay=hours * HOUR, expires=200 * HOUR).submit()
        await anyio.sleep(1)
        before = count()
        await anyio.sleep(HOUR)
        assert count() == before


async def test_queue_whose_jobs_have_ended_sleeps_until_they_are_old(tmp_path: Path) -> None:
    queue, count = counted(tmp_path)

    @queue.task(name="work")
    async def work() -> None: ...

    async with queue:
        for _ in range(100):
            await work.run()
        await anyio.sleep(601)  # a snapshot
        before = count()
        await anyio.sleep(HOUR - 602)
        assert count() == before


async def test_running_jobs_and_their_waiters_cost_nothing_while_they_sleep() -> None:
    queue, count = counted(drain_timeout=0)

    @queue.task(name="work", timeout=3 * HOUR)
    async def work() -> None:
        await anyio.sleep(2 * HOUR)

    async with queue, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon((await work.submit()).wait)
        await anyio.sleep(1)
        before = count()
        await anyio.sleep(HOUR)
        assert count() == before
        await queue.join()


async def test_heartbeats_are_looked_at_once_a_limit_and_not_once_a_beat() -> None:
    queue, count = counted()

    @queue.task(name="work", heartbeat_timeout=100, context=True)
    async def work(ctx: Any) -> None:
        for _ in range(1000):
            await anyio.sleep(1)
            ctx.heartbeat()

    async with queue:
        before = count()[0]
        await work.run()
        assert count()[0] - before <= 1000 / 100 + 5
