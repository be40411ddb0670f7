"""How deep the queue is: live jobs by task, by group, and the oldest."""

import anyio
import anyio.lowlevel
import pytest

from actorq import JobQueue, JobState
from actorq.actors import depth
from actorq.actors.depth import depths
from actorq.core import facts as f
from actorq.core.job import JobOptions
from actorq.core.ledger import Ledger


async def work(n: int = 0) -> int:
    await anyio.sleep(10)
    return n


async def test_depth_is_told_by_task_and_by_group_for_live_jobs_only():
    async with JobQueue(workers=2) as queue:
        mail, sweep = queue.task(name="mail")(work), queue.task(name="sweep")(work)
        for n in range(4):
            await mail.using(group="ada" if n % 2 else "bob").submit(n)
        await sweep.using(delay=100, group="ada").submit()
        await (await sweep.using(delay=100).submit()).cancel()
        stats = await queue.stats()
    running, queued, scheduled = JobState.RUNNING, JobState.QUEUED, JobState.SCHEDULED
    assert stats.by_task == {"mail": {running: 2, queued: 2}, "sweep": {scheduled: 1}}
    assert stats.by_group == {"ada": {running: 1, queued: 1, scheduled: 1}, "bob": {running: 1, queued: 1}}


async def test_an_empty_queue_has_no_depth_and_no_oldest_job():
    async with JobQueue() as queue:
        await queue.task(work).run()
        stats = await queue.stats()
    assert (stats.by_task, stats.by_group, stats.oldest_s) == ({}, {}, None)


async def test_the_oldest_job_is_the_first_that_is_live():
    async with JobQueue(workers=1) as queue:
        task = queue.task(work)
        first = await task.submit()
        await anyio.sleep(4)
        await task.submit()
        assert (await queue.stats()).oldest_s == pytest.approx(4)
        await first
        assert (await queue.stats()).oldest_s == pytest.approx(6)


async def test_a_job_that_was_rerun_is_as_old_as_its_submission():
    async with JobQueue() as queue:
        task = queue.task(work)
        handle = await task.submit()
        await handle
        await anyio.sleep(20)
        await queue.rerun(handle.id)
        assert (await queue.stats()).oldest_s == pytest.approx(30)


async def test_counting_many_groups_lets_the_loop_turn(monkeypatch: pytest.MonkeyPatch):
    ledger = Ledger()
    for n in range(1, 101):
        fact = f.Submitted(0.0, str(n), 0.0, n, "work", b"", JobOptions(group=f"group {n}"))
        fact.n = n
        ledger.apply(fact)
    monkeypatch.setattr(depth, "SLICE_S", 0.0)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        by_group, by_task = await depths(ledger, "group", "task")
        group.cancel_scope.cancel()
    assert by_task == {"work": {JobState.QUEUED: 100}}
    assert by_group == {f"group {n}": {JobState.QUEUED: 1} for n in range(1, 101)}
    assert turns > 50
