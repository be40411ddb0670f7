"""Attempts, interruptions and snoozes, each counted by itself; and a task whose workers keep dying."""

import logging
from typing import Any

import anyio
import pytest

from actorq import (
    HoldReason,
    InvalidOption,
    JobFailed,
    JobHandle,
    JobQueue,
    JobState,
    ObstacleKind,
    Reason,
    RestartBudget,
    Retry,
    Snooze,
)
from actorq.testing import MemoryFiles

ONCE = Retry(max_attempts=1)


def deaf(queue: JobQueue, name: str) -> Any:
    """Declare a task that ignores its cancellation for an hour."""

    @queue.task(name=name, timeout=1, grace=0.1, retry=ONCE)
    async def ignore() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3600)

    return ignore


async def lose(task: Any, times: int) -> None:
    """Let so many workers die under jobs of the task."""
    for _ in range(times):
        with pytest.raises(JobFailed):
            await task.run()


# -- snoozes ---------------------------------------------------------------------------------------


async def test_a_job_that_snoozes_too_often_fails_and_says_so() -> None:
    queue = JobQueue()

    @queue.task(name="poll", max_snoozes=2)
    async def poll() -> None:
        raise Snooze(1)

    async with queue:
        handle = await poll.submit()
        with pytest.raises(JobFailed, match="more than 2 times") as caught:
            await handle
        record = await handle.record()
    assert caught.value.reason == Reason.SNOOZED
    assert (record.snoozes, len(record.attempts)) == (2, 3)


async def test_max_snoozes_0_forbids_them() -> None:
    queue = JobQueue()

    @queue.task(name="poll")
    async def poll() -> None:
        raise Snooze(1)

    async with queue:
        with pytest.raises(JobFailed):
            await poll.using(max_snoozes=0).run()


@pytest.mark.parametrize("option", ["max_snoozes", "max_interruptions", "memory_mb", "run_in"])
def test_budgets_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(InvalidOption, match=option):
        JobQueue().task(name="f", **{option: -1})(print)


def test_there_is_no_job_without_interruptions() -> None:
    with pytest.raises(InvalidOption):
        JobQueue().task(name="f", max_interruptions=0)(print)


# -- interruptions ---------------------------------------------------------------------------------


async def test_a_job_that_kills_the_program_at_each_start_is_set_aside_and_others_go_on() -> None:
    files = MemoryFiles()
    ran: list[str] = []
    for life in range(4):
        # A life that is cut off: the files are copied while the job runs, and the rest never reaches them.
        queue = JobQueue(files=files, workers=1, grace=0)
        begun = anyio.Event()

        @queue.task(name="killer", max_interruptions=3, priority=1)
        async def killer(begun: anyio.Event = begun) -> None:
            ran.append("killer")
            begun.set()
            await anyio.sleep_forever()

        @queue.task(name="other")
        async def other(life: int) -> int:
            return life

        async with queue:
            if life == 0:
                await killer.submit()
            if life == 3:
                break
            await begun.wait()
            if life == 2:
                await other.submit(life)
            files_after_kill = files.copy()
        files = files_after_kill
    queue = JobQueue(files=files, workers=1)
    assert ran == ["killer"] * 3

    @queue.task(name="other")
    async def last(life: int) -> int:
        return life

    async with queue:
        await queue.join()
        page = (await queue.find()).jobs
    ended = {record.task: (record.state, record.error and record.error.reason) for record in page}
    assert ended == {
        "killer": (JobState.FAILED, Reason.INTERRUPTED),
        "other": (JobState.SUCCEEDED, None),
    }


# -- a task whose workers keep dying ---------------------------------------------------------------


async def test_a_task_whose_workers_keep_dying_is_paused_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = JobQueue(workers=1, restarts=RestartBudget(task_deaths=2))
    bad = deaf(queue, "bad")

    @queue.task(name="good")
    async def good() -> int:
        return 1

    async with queue:
        with caplog.at_level(logging.ERROR, "actorq"):
            await lose(bad, 3)
        waits = await bad.submit()
        assert await good.run() == 1
        record = await waits.record()
        stats = await queue.stats()
        why = queue.explain(waits.id)
    assert "task bad is paused" in caplog.text
    assert (record.state, record.hold_reason) == (JobState.SCHEDULED, HoldReason.TASK_PAUSED)
    assert list(stats.paused_tasks) == ["bad"]
    assert [obstacle.kind for obstacle in why.obstacles] == [ObstacleKind.TASK_PAUSED]
    assert "ignored cancellation" in str(why)


async def test_resume_task_lets_it_go_on_with_a_fresh_budget() -> None:
    queue = JobQueue(workers=1, restarts=RestartBudget(task_deaths=2))
    bad = deaf(queue, "bad")
    async with queue:
        await lose(bad, 3)
        waits: JobHandle[None] = await bad.submit()
        assert await queue.resume_task(bad) is True
        with pytest.raises(JobFailed):
            await waits
        assert (await queue.stats()).paused_tasks == {}
        assert await queue.resume_task("bad") is False


async def test_the_next_start_lets_a_paused_task_go_on() -> None:
    files = MemoryFiles()
    queue = JobQueue(files=files, workers=1, grace=0.1, restarts=RestartBudget(task_deaths=1))
    bad = deaf(queue, "bad")
    async with queue:
        await lose(bad, 2)
        waits = await bad.submit()
        assert (await waits.record()).hold_reason is HoldReason.TASK_PAUSED
    again = JobQueue(files=files, workers=1)

    @again.task(name="bad")
    async def mended() -> str:
        return "mended"

    async with again:
        assert await again.handle(waits.id) == "mended"


async def test_deaths_that_lie_apart_pause_nothing() -> None:
    queue = JobQueue(workers=1, restarts=RestartBudget(task_deaths=1, window_s=5))
    bad = deaf(queue, "bad")
    async with queue:
        for _ in range(3):
            await lose(bad, 1)
            await anyio.sleep(5)
        assert (await queue.stats()).paused_tasks == {}


# -- functions that go on --------------------------------------------------------------------------


async def test_no_slot_is_lent_again_beyond_max_abandoned() -> None:
    queue = JobQueue(workers=1, max_abandoned=2)
    bad = deaf(queue, "bad")
    async with queue:
        await lose(bad, 3)
        waits = await bad.submit()
        await anyio.sleep(60)
        record, stats = await waits.record(), await queue.stats()
        assert (record.state, stats.abandoned, stats.idle_workers) == (JobState.QUEUED, 3, 0)
        assert "ignored their cancellation" in str(queue.explain(waits.id))


async def test_a_slot_comes_back_when_an_abandoned_function_ends() -> None:
    queue = JobQueue(workers=1, max_abandoned=0)
    bad = deaf(queue, "bad")

    @queue.task(name="good")
    async def good() -> float:
        return anyio.current_time()

    async with queue:
        began = anyio.current_time()
        await lose(bad, 1)
        assert await good.run() - began == pytest.approx(3600)
        assert (await queue.stats()).abandoned == 0
