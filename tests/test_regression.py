"""What a strict reader found, each held by the test that failed before it was mended."""

import asyncio
import threading
import time
from types import MappingProxyType
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import (
    CancelJob,
    InvalidOption,
    JobContext,
    JobFailed,
    JobQueue,
    JobState,
    QueueClosed,
    QueueFull,
    Reason,
    Retry,
    UnstorableTask,
    WrongThread,
    as_completed,
)

ONCE = Retry(max_attempts=1)


async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


async def one() -> int:
    await checkpoint()
    return 1


async def test_workers_cannot_be_changed_while_closing():
    queue = JobQueue(drain_timeout=5)
    task = queue.task(name="nap")(nap)
    await queue.__aenter__()
    await task.submit(2.0)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.close)
        await anyio.sleep(1)
        with pytest.raises(QueueClosed):
            await queue.set_workers(3)


async def test_each_waiter_hears_the_end_he_waited_for_though_another_reruns_the_job():
    heard: list[Any] = []

    async with JobQueue() as queue:
        handle = await queue.task(name="one")(one).submit()

        async def wait() -> None:
            heard.append(await handle.wait())
            await queue.rerun(handle.id)

        async def listen() -> None:
            heard.append(await handle)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(listen)
        assert sorted(map(str, heard)) == ["1", "succeeded"]


async def test_jobs_left_behind_at_a_clean_close_are_no_reason_to_give_up():
    queue = JobQueue(workers=120, drain_timeout=0, grace=0)
    async with queue:
        task = queue.task(name="nap")(nap)
        await task.submit_many([task.build(1_000.0) for _ in range(120)])
        await anyio.sleep(1)


@pytest.mark.real_time
async def test_a_call_from_another_thread_is_refused_and_harms_nobody():
    refused: list[BaseException] = []

    async with JobQueue() as queue:
        task = queue.task(name="one")(one)

        def call() -> None:
            try:
                task.submit_nowait()
            except WrongThread as error:
                refused.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        assert len(refused) == 1
        assert await task.run() == 1


class Mute(CancelJob):
    def __init__(self) -> None:
        pass


class Deaf:
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize("verdict", [Mute(), CancelJob(Deaf())])  # type: ignore[arg-type]
async def test_a_verdict_that_is_broken_is_a_failure(verdict: CancelJob):
    async def work() -> None:
        await checkpoint()
        raise verdict

    async with JobQueue() as queue:
        handle = await queue.task(name="work", retry=ONCE)(work).submit()
        assert await handle.wait() is JobState.FAILED
        assert (await queue.stats()).lost_workers == 0


async def test_the_line_counts_only_jobs_that_are_new():
    async with JobQueue(max_pending=2) as queue:
        task = queue.task(name="nap")(nap)
        first, second, third = (task.build(1.0) for _ in range(3))
        await task.submit_many([first, second])
        with anyio.fail_after(5):
            await task.submit_many([first, second, third])


async def test_a_rerun_does_not_pass_those_who_wait_for_room():
    async with JobQueue(max_pending=2, workers=1) as queue:
        task = queue.task(name="nap")(nap)
        done = await task.submit(0.0)
        await done
        await task.submit(10.0)
        async with anyio.create_task_group() as group:
            group.start_soon(task.submit_many, [task.build(0.0), task.build(0.0)])
            await anyio.sleep(1)
            with pytest.raises(QueueFull):
                await queue.rerun(done.id)


@pytest.mark.asyncio_only
async def test_a_timeout_of_the_jobs_own_does_not_hide_the_cancellation():
    reached = asyncio.Event()

    async def work() -> None:
        try:
            async with asyncio.timeout(1):
                reached.set()
                await asyncio.sleep(100)
        except TimeoutError:
            await asyncio.sleep(100)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", retry=ONCE, grace=5)(work).submit()
        await reached.wait()
        await anyio.sleep(1)  # at the very moment
        await handle.cancel()
        await handle.wait(timeout=3)
        assert (await queue.stats()).lost_workers == 0


async def test_a_bug_leaves_the_last_snapshot_alone(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    queue = JobQueue(tmp_path)
    await queue.__aenter__()
    task = queue.task(name="one")(one)
    await queue.snapshot()
    before = sorted(path.name for path in tmp_path.glob("snap-*"))
    monkeypatch.setattr(queue._house.supervisor.machine, "_assign", lambda step: 1 / 0)
    for act in (task.submit, queue.snapshot, queue.close):
        with pytest.raises(Exception, match="ZeroDivisionError"):
            await act()
    assert sorted(path.name for path in tmp_path.glob("snap-*")) == before


async def test_as_completed_inside_a_job_lends_the_slot_only_while_it_waits():
    at_work, most = 0, 0

    async with JobQueue(workers=1) as queue:
        child = queue.task(name="nap")(nap)

        @queue.task(name="parent")
        async def parent() -> None:
            nonlocal at_work, most
            handles = [await child.submit(1.0) for _ in range(3)]
            async for _ in as_completed(handles):
                assert (await queue.stats()).lent_slots == 0

        await parent.run()


async def test_tags_cannot_be_changed_by_who_sees_them():
    async with JobQueue() as queue:

        @queue.task(name="seen", tags={"a": "b"}, context=True)
        async def seen(ctx: JobContext) -> bool:
            await checkpoint()
            return isinstance(ctx.tags, MappingProxyType)

        assert await seen.run()


async def test_submitting_lets_the_loop_turn_and_can_be_cancelled():
    submitted = 0

    async with JobQueue(workers=1) as queue:
        task = queue.task(name="nap")(nap)
        with anyio.move_on_after(1) as scope:
            await task.submit(1_000.0)
            scope.cancel()
            while submitted < 1_000:
                await task.submit(0.0)
                submitted += 1
        assert submitted < 100


@pytest.mark.asyncio_only
async def test_a_close_that_is_cancelled_twice_leaves_a_queue_that_can_be_opened_again():
    queue = JobQueue(drain_timeout=100, grace=100)
    await queue.__aenter__()
    await queue.task(name="nap")(nap).submit(1_000.0)
    closing = asyncio.create_task(queue.close())
    await anyio.sleep(1)
    closing.cancel()
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await anyio.sleep(5)
    async with queue:
        pass


@pytest.mark.real_time
async def test_jobs_that_never_wait_let_the_loop_turn():
    turns = 0

    async def crime() -> None:
        time.sleep(0.01)  # noqa: ASYNC251 - the crime itself

    async with JobQueue(workers=1) as queue, anyio.create_task_group() as group:
        task = queue.task(name="crime")(crime)
        await task.submit_many([task.build() for _ in range(20)])

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await checkpoint()

        group.start_soon(turn)
        await queue.join()
        group.cancel_scope.cancel()
    assert turns >= 10


async def test_a_result_that_does_not_fit_its_annotation_fails_the_job():
    async def work() -> int:
        await checkpoint()
        return "three"  # type: ignore[return-value]

    async with JobQueue() as queue:
        handle = await queue.task(name="work")(work).submit()
        assert await handle.wait() is JobState.FAILED
        with pytest.raises(JobFailed) as failed:
            await handle
        assert failed.value.reason == Reason.BAD_RESULT
        assert failed.value.attempts == 1


async def test_the_watch_of_a_job_ends_with_the_job():
    async with JobQueue() as queue:
        handle = await queue.task(name="nap")(nap).submit(1.0)
        async with handle.watch(after=0) as events:
            names = [event.name async for event in events]  # type: ignore[union-attr]
        assert names == ["submitted", "started", "succeeded"]
        async with handle.watch() as events:
            assert [event async for event in events] == []


async def test_a_task_is_not_submitted_as_a_plain_function():
    async with JobQueue() as queue:
        task = queue.task(name="one")(one)
        with pytest.raises(UnstorableTask, match="its own submit"):
            await queue.submit(task)


def test_options_that_name_nothing_are_refused():
    with pytest.raises(InvalidOption):
        Retry(on="OSError")
    with pytest.raises(InvalidOption):
        JobQueue("")
    with pytest.raises(InvalidOption, match="all others one"):
        JobQueue(durability="snapshot")


async def test_a_record_can_be_told_as_json():
    async with JobQueue() as queue:
        handle = await queue.task(name="one", tags=["a"])(one).submit()
        await handle
        told = (await handle.record()).to_dict()
        assert (told["state"], told["result"], told["options"]["tags"]) == ("succeeded", 1, {"a": ""})
        assert told["submitted_at"].endswith("+00:00")
