"""Acknowledged is never lost: who is told what, and when, with a disk that waits for the test."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from actorq import (
    JobFailed,
    JobHandle,
    JobLost,
    JobQueue,
    JobState,
    QueueFull,
    Retention,
    Retry,
    StoreError,
    StoreFailed,
    StoreFull,
)
from actorq.actors import writer as writers
from actorq.store.files import DiskFiles, Files, NewFile
from actorq.testing import MemoryFiles

RETRY = Retry(max_attempts=2, delay=100, jitter=0)

DURABLE = pytest.mark.parametrize("durability", ["flush", "fsync"])


class Gate:
    """Stops the threads that come by while it is shut, and tells that one has come."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._came = threading.Event()

    def shut(self) -> None:
        self._came.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        self._came.set()
        assert self._open.wait(10)

    async def is_reached(self) -> None:
        assert await to_thread.run_sync(self._came.wait, 10)
        for _ in range(20):
            await checkpoint()


class SlowFiles(MemoryFiles):
    """A directory whose journal can be made to wait before a write, or before a sync; or to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.write_gate, self.sync_gate = Gate(), Gate()
        self.sync_error: Exception | None = None

    def create(self, name: str) -> NewFile:
        file: Any = super().create(name)
        if name.startswith("wal-"):
            write, sync = file.write, file.sync

            def slow_write(data: bytes) -> None:
                self.write_gate.pass_through()
                write(data)

            def slow_sync() -> None:
                self.sync_gate.pass_through()
                if self.sync_error is not None:
                    raise self.sync_error
                sync()

            file.write, file.sync = slow_write, slow_sync
        return file


def make(files: Files, **options: Any) -> JobQueue:
    queue = JobQueue(files=files, **options)
    queue.ran = []

    @queue.task(name="work", context=True)
    async def work(job: Any, value: int = 0, *, nap: float = 0.0, fail: bool = False) -> int:
        queue.ran.append((job.job_id, job.claim, job.attempt))
        await anyio.sleep(nap)
        if fail:
            raise ValueError(value)
        return value

    queue.work = work
    return queue


async def a_moment() -> None:
    """Let threads work for a while: their time is real, and is not the queue's."""
    await to_thread.run_sync(threading.Event().wait, 0.002)


class Asked:
    """Something that is awaited in a task beside."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._done = anyio.Event()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    async def run(self, awaitable: Any) -> None:
        try:
            self.result = await awaitable
        except Exception as error:  # noqa: BLE001 - it is looked at
            self.error = error
        self._done.set()

    async def done(self) -> Any:
        await self._done.wait()
        return self.result


@asynccontextmanager
async def beside() -> AsyncIterator[Any]:
    """Yield what begins to await something in a task beside."""
    async with anyio.create_task_group() as group:

        def ask(awaitable: Any) -> Asked:
            asked = Asked()
            group.start_soon(asked.run, awaitable)
            return asked

        yield ask


async def reopened(files: MemoryFiles, job_id: str) -> JobState | None:
    """Return what a process that begins now would find of the job."""
    async with make(files.copy(), workers=1) as queue:
        record = await queue.get(job_id)
        return None if record is None else record.state


# -- who is told, and when -----------------------------------------------------------------------------


async def test_submit_returns_when_its_fact_is_synced() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        files.sync_gate.shut()
        submit = ask(queue.work.submit(1))
        await files.sync_gate.is_reached()
        assert not submit.is_done
        files.sync_gate.open()
        await submit.done()


async def test_submit_inside_a_job_returns_when_its_fact_is_synced() -> None:
    files = SlowFiles()
    queue = make(files)
    told = []

    @queue.task(name="parent")
    async def parent() -> None:
        await anyio.sleep(1)
        files.sync_gate.shut()
        told.append((await queue.work.submit(1)).id)

    async with queue:
        await parent.submit()
        await anyio.sleep(1)
        await files.sync_gate.is_reached()
        assert told == []
        files.sync_gate.open()
        await queue.join()
        assert len(told) == 1


async def test_flush_returns_when_the_fact_is_written_and_syncs_afterwards() -> None:
    files = SlowFiles()
    async with make(files, durability="flush", sync_interval=0.001) as queue, beside() as ask:
        files.sync_gate.shut()
        submit = ask(queue.work.submit(1))
        await files.sync_gate.is_reached()
        assert submit.is_done
        files.sync_gate.open()


async def test_job_begins_when_its_acceptance_is_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        files.sync_gate.shut()
        ask(queue.work.submit(1))
        await files.sync_gate.is_reached()
        assert queue.ran == []
        files.sync_gate.open()
        await queue.join()
        assert len(queue.ran) == 1


async def test_job_that_was_accepted_begins_when_that_is_written_and_does_not_wait_for_the_sync() -> None:
    files = SlowFiles()
    async with make(files) as queue:
        await queue.work.using(delay=10).submit(1)
        files.sync_gate.shut()
        await anyio.sleep(10)
        await files.sync_gate.is_reached()
        assert len(queue.ran) == 1
        files.sync_gate.open()


@DURABLE
async def test_job_does_not_begin_before_its_attempt_is_counted_where_a_dead_process_is_survived(
    durability: Any,
) -> None:
    files = SlowFiles()
    async with make(files, durability=durability) as queue:
        await queue.work.using(delay=10).submit(1)
        files.write_gate.shut()
        await anyio.sleep(10)
        await files.write_gate.is_reached()
        assert queue.ran == []
        files.write_gate.open()
        await queue.join()


async def test_waiter_hears_the_end_when_it_is_kept_also_one_that_comes_between() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        handle = await queue.work.submit(7, nap=1.0)
        first = ask(handle.result())
        files.sync_gate.shut()
        await anyio.sleep(1.0)
        await files.sync_gate.is_reached()
        second, state = ask(handle.result()), ask(handle.wait())
        for _ in range(20):
            await checkpoint()
        assert not any(asked.is_done for asked in (first, second, state))
        files.sync_gate.open()
        assert [await asked.done() for asked in (first, second, state)] == [7, 7, JobState.SUCCEEDED]


async def test_waiter_hears_the_end_as_it_was_though_the_job_was_rerun_before_it_was_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        handle = await queue.work.submit(7, nap=1.0)
        first = ask(handle.wait())
        files.sync_gate.shut()
        await anyio.sleep(1.0)
        await files.sync_gate.is_reached()
        rerun = ask(queue.rerun(handle.id))
        await checkpoint()
        files.sync_gate.open()
        assert await first.done() is JobState.SUCCEEDED
        await rerun.done()
        await queue.join()
        assert [claim for _, claim, _ in queue.ran] == [1, 2]


async def test_record_shows_nothing_that_is_not_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        handle = await queue.work.submit(7, nap=1.0)
        files.sync_gate.shut()
        await anyio.sleep(1.0)
        await files.sync_gate.is_reached()
        record = ask(handle.record())
        await checkpoint()
        assert not record.is_done
        files.sync_gate.open()
        assert (await record.done()).state is JobState.SUCCEEDED


async def test_watchers_see_nothing_that_is_not_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, queue.watch() as events, beside() as ask:
        files.sync_gate.shut()
        submit, event = ask(queue.work.submit(1)), ask(anext(events))
        await files.sync_gate.is_reached()
        assert not event.is_done
        files.sync_gate.open()
        await submit.done()
        assert (await event.done()).name == "submitted"


async def test_verbs_answer_when_what_they_did_is_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        handle = await queue.work.using(delay=1000).submit(1)
        files.sync_gate.shut()
        cancels = [ask(handle.cancel()), ask(handle.cancel())]
        await files.sync_gate.is_reached()
        assert not any(cancel.is_done for cancel in cancels), "that it is over already is not kept either"
        files.sync_gate.open()
        assert sorted([await cancel.done() for cancel in cancels]) == [False, True]


async def test_submit_asked_again_with_the_same_id_waits_for_the_first() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        request = queue.work.build(1)
        files.sync_gate.shut()
        first, second = ask(queue.submit_many([request])), ask(queue.submit_many([request]))
        await files.sync_gate.is_reached()
        assert not first.is_done
        assert not second.is_done
        files.sync_gate.open()
        await first.done()
        await second.done()
        await queue.join()
        assert len(queue.ran) == 1


async def test_submit_nowait_does_not_wait_and_what_is_acknowledged_after_it_vouches_for_it() -> None:
    files = SlowFiles()
    async with make(files) as queue:
        files.sync_gate.shut()
        handle = queue.work.using(delay=1000).submit_nowait(1)
        assert await reopened(files, handle.id) is None
        files.sync_gate.open()
        await queue.work.using(delay=1000).submit(2)
        assert await reopened(files, handle.id) is JobState.SCHEDULED
        await queue.cancel(handle.id)


async def test_submit_that_is_cancelled_on_its_way_is_unknown_and_here_it_is_accepted() -> None:
    files = SlowFiles()
    async with make(files) as queue:
        files.sync_gate.shut()
        with anyio.CancelScope() as scope:
            async with beside() as ask:
                ask(queue.work.submit(1))
                await files.sync_gate.is_reached()
                scope.cancel()
        files.sync_gate.open()
        await queue.join()
        assert len(queue.ran) == 1


async def test_join_returns_when_the_last_end_is_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        await queue.work.submit(7, nap=1.0)
        files.sync_gate.shut()
        await anyio.sleep(1.0)
        await files.sync_gate.is_reached()
        join = ask(queue.join())
        for _ in range(20):
            await checkpoint()
        assert not join.is_done
        files.sync_gate.open()
        await join.done()


async def test_stats_say_what_is_on_its_way() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        files.sync_gate.shut()
        ask(queue.work.using(delay=1000).submit(1))
        await files.sync_gate.is_reached()
        stats = await queue.stats()
        assert (stats.unkept, stats.store_error) == (1, None)
        assert stats.unkept_s > 0
        files.sync_gate.open()
        await queue.work.using(delay=1000).submit(1)
        stats = await queue.stats()
        assert (stats.unkept, stats.unkept_s) == (0, 0)


# -- what a crash leaves -------------------------------------------------------------------------------


@DURABLE
async def test_what_was_accepted_is_there_after_a_crash(durability: Any) -> None:
    files = MemoryFiles()
    async with make(files, durability=durability) as queue:
        handles = await queue.work.using(delay=1000).submit_many([queue.work.build(n) for n in range(3)])
        found = files.copy()
    async with make(found, durability=durability) as queue:
        assert [(await queue.get(handle.id)).args for handle in handles] == [(0,), (1,), (2,)]


@DURABLE
async def test_job_whose_end_was_told_does_not_run_again_and_its_result_can_be_read(durability: Any) -> None:
    files = MemoryFiles()
    async with make(files, durability=durability) as queue:
        good = await queue.work.submit(7)
        assert await good == 7
        bad = await queue.work.submit(8, fail=True)
        await queue.cancel(bad.id)
        await bad.wait()
        found = files.copy()
    async with make(found, durability=durability) as queue:
        await queue.join()
        assert queue.ran == []
        assert await queue.handle(good.id) == 7
        assert await queue.handle(bad.id).wait() in (JobState.CANCELLED, JobState.FAILED)


@DURABLE
async def test_run_that_died_was_counted_and_its_claim_is_not_given_again(durability: Any) -> None:
    files = MemoryFiles()
    job_id = ""
    for life in range(1, 5):
        queue = make(files, durability=durability)
        async with queue:
            handle = queue.handle(job_id) if job_id else await queue.work.submit(1, nap=1e6)
            job_id = handle.id
            await anyio.sleep(400)
            record = await handle.record()
            assert (record.state, record.claim, record.attempt) == (JobState.RUNNING, life, 1)
            assert record.interruptions == life - 1
            assert queue.ran[-1] == (handle.id, life, 1)
            files = files.copy()
            await handle.cancel()


async def test_waiter_that_comes_by_id_after_a_crash_hears_the_end() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        handle = await queue.work.submit(7, nap=100)
        found = files.copy()
    async with make(found) as queue:
        assert await queue.handle(handle.id) == 7


async def test_delays_deadlines_and_retries_go_on_over_a_crash() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        delayed = await queue.work.using(delay=100).submit(1)
        late = await queue.work.using(delay=100, deadline=50).submit(2)
        retried = await queue.work.using(retry=RETRY).submit(3, fail=True)
        await anyio.sleep(30)
        before = [await handle.record() for handle in (delayed, late, retried)]
        found = files.copy()
    async with make(found) as queue:
        after = [await queue.get(handle.id) for handle in (delayed, late, retried)]
        assert [one.due_at for one in after] == [one.due_at for one in before]
        assert after[2].attempt == 1
        with pytest.raises(JobFailed, match="deadline"):
            await queue.handle(late.id)
        await queue.handle(delayed.id)
        with pytest.raises(JobFailed):
            await queue.handle(retried.id)
        assert sorted(queue.ran) == sorted([(delayed.id, 1, 1), (retried.id, 2, 2)])


async def test_event_numbers_go_on_over_a_crash() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        await queue.work.run(1)
        last = (await queue.stats()).last_fact
        found = files.copy()
    async with make(found) as queue, queue.watch() as events:
        await queue.work.submit(1)
        assert (await anext(events)).number == last + 1


async def test_ephemeral_jobs_are_gone_after_a_crash_and_the_counts_balance() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        stored = await queue.work.submit(1, nap=10)
        ended = await queue.submit(anyio.sleep, 0)
        await ended
        running = await queue.submit(anyio.sleep, 10)
        found = files.copy()
    async with make(found) as queue:
        for handle in (ended, running):
            with pytest.raises(JobLost):
                await queue.handle(handle.id)
        assert await queue.handle(stored.id) == 1
        stats = await queue.stats()
        assert stats.submitted == sum(stats.counts.values()) + stats.removed == 3


async def test_clean_stop_loses_nothing_and_writes_no_snapshot() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        handle = await queue.work.submit(7)
        await queue.work.using(delay=1000).submit(8)
    assert not [name for name in files.names() if name.startswith("snap")]
    async with make(files) as queue:
        assert await queue.handle(handle.id) == 7
        assert (await queue.stats()).live == 1


async def test_many_tiny_jobs_in_one_submit_are_all_there_or_none() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        await queue.work.using(delay=1000).submit_many([queue.work.build(n) for n in range(3_000)])
        found = files.copy()
        (name,) = [name for name in found.names() if name.startswith("wal")]
        data = found.read(name)
        assert data.count(b'"more":true') > 2
    async with make(found) as queue:
        assert (await queue.stats()).submitted == 3_000
    cut = MemoryFiles()
    cut.put(name, data[: len(data) // 2])
    async with make(cut) as queue:
        assert (await queue.stats()).submitted == 0


# -- no room ---------------------------------------------------------------------------------------------


@DURABLE
async def test_full_disk_refuses_submissions_ends_jobs_and_goes_on_by_itself(durability: Any) -> None:
    files = MemoryFiles()
    options = {"durability": durability, "retention": Retention(age_s=1e9)}  # real time may be ages of the queue's
    async with make(files, **options) as queue:
        running = await queue.work.submit(7, nap=5.0)
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        with pytest.raises(StoreFull):
            await queue.work.submit(8)
        assert await running == 7
        with pytest.raises(StoreFull):
            queue.work.submit_nowait(9)
        assert "space" in str((await queue.stats()).store_error)
        files.room *= 10
        while (await queue.stats()).store_error:
            await a_moment()
        assert await queue.work.run(10) == 10
        found = files.copy()
    async with make(found, **options) as queue:
        stats = await queue.stats()
        assert stats.counts[JobState.SUCCEEDED] == 2
        assert stats.submitted == 2 + stats.removed


async def test_submission_that_found_no_room_leaves_no_trace() -> None:
    files = MemoryFiles()
    async with make(files, workers=1) as queue, beside() as ask:
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        nowait = queue.work.submit_nowait(1)
        waits, submits = ask(nowait.result()), [ask(queue.work.submit(n)) for n in range(3)]
        for asked in (waits, *submits):
            await asked.done()
        assert all(isinstance(asked.error, StoreFull) for asked in (waits, *submits))
        files.room *= 10
        while (await queue.stats()).store_error:
            await a_moment()
        assert (await queue.stats()).live == 0
        assert await queue.work.run(9) == 9, "the worker that was meant for them is free"
        assert len(queue.ran) == 1
        found = files.copy()
    async with make(found) as queue:
        await queue.join()
        assert queue.ran == []


async def test_closing_on_a_full_disk_says_so_and_ends() -> None:
    files = MemoryFiles()
    queue = make(files)
    async with queue:
        handle = await queue.work.submit(7, nap=5.0)
        files.unlink("reserve")
        files.room = 0
        await anyio.sleep(6)
        with pytest.raises(StoreFull):
            await queue.close()
    files.room = 1e9
    async with make(files) as queue:
        assert await queue.handle(handle.id) == 7, "its end was never told, so it runs again"
        assert len(queue.ran) == 1


async def test_whoever_is_answered_with_a_job_that_finds_no_room_hears_that_too() -> None:
    files = MemoryFiles()
    async with make(files, retention=Retention(age_s=1e9)) as queue, beside() as ask:
        await queue.work.submit(0)
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        keyed = queue.work.using(key="k")
        asked = [ask(keyed.submit(n)) for n in range(3)]
        for one in asked:
            await one.done()
        assert [type(one.error) for one in asked] == [StoreFull] * 3
        files.room *= 10


async def test_job_whose_place_was_taken_has_it_again_if_the_newcomer_finds_no_room() -> None:
    files = MemoryFiles()
    async with make(files, retention=Retention(age_s=1e9)) as queue, beside() as ask:
        old = await queue.work.using(key="k", delay=20).submit(1)
        end = ask(old.result())
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        with pytest.raises(StoreFull):
            await queue.work.using(key="k", on_conflict="replace").submit(2)
        files.room *= 10
        assert await end.done() == 1
        assert (await queue.stats()).counts[JobState.CANCELLED] == 0


async def test_waiter_of_an_end_that_finds_no_room_hears_that_when_the_queue_closes() -> None:
    files = MemoryFiles()
    queue = make(files)
    async with beside() as ask:
        await queue.__aenter__()
        end = ask((await queue.work.submit(7, nap=5.0)).result())
        files.unlink("reserve")
        files.room = 0
        await anyio.sleep(6)
        assert not end.is_done
        with pytest.raises(StoreFull):
            await queue.close()
    assert isinstance(end.error, StoreFull)


async def test_full_disk_from_the_first_byte_is_said_at_once_and_the_directory_is_free() -> None:
    files = MemoryFiles()
    files.room = 10
    with pytest.raises(StoreFull):
        await make(files).__aenter__()
    files.room = 1e9
    async with make(files) as queue:
        assert await queue.work.run(1) == 1


async def test_queue_that_finds_hardly_any_room_opens_and_takes_no_submissions_until_there_is_some() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        handle = await queue.work.using(delay=5).submit(1)
    files.unlink("reserve")
    files.room = sum(len(files.read(name)) for name in files.names()) + 100_000
    async with make(files) as queue:
        with pytest.raises(StoreFull):
            await queue.work.submit(2)
        assert await queue.handle(handle.id) == 1
        files.room = 1e9
        while (await queue.stats()).store_error:
            await a_moment()
        assert await queue.work.run(3) == 3


# -- a disk that fails -----------------------------------------------------------------------------------


@DURABLE
async def test_failed_sync_is_told_to_all_who_wait_and_nothing_is_acknowledged_any_more(durability: Any) -> None:
    files = SlowFiles()
    queue = make(files, durability=durability, sync_interval=0.001)
    await queue.__aenter__()
    async with beside() as ask:
        running = ask((await queue.work.submit(1, nap=1e6)).result())
        files.sync_error = StoreError("/disk", "cannot sync it: Input/output error.")
        submit = ask(queue.work.submit(2))
        await running.done()
        assert isinstance(running.error, StoreFailed)
        assert isinstance(submit.error, StoreFailed) or durability == "flush"
        for asked in (queue.work.submit(3), queue.cancel("x"), queue.get("x"), queue.join(), queue.snapshot()):
            with pytest.raises(StoreFailed):
                await asked
        with pytest.raises(StoreFailed):
            queue.work.submit_nowait(4)
        assert "Input/output error" in str((await queue.stats()).store_error)
    with pytest.raises(StoreFailed):
        await queue.close()
    async with make(files.copy(), durability=durability) as queue:
        await queue.join()


async def test_end_that_came_when_the_disk_had_failed_is_never_told() -> None:
    files = SlowFiles()
    queue = make(files)
    await queue.__aenter__()
    before, after = await queue.work.submit(1, nap=1.0), await queue.work.submit(2, nap=5.0)
    files.sync_error = StoreError("/disk", "cannot sync it: Input/output error.")
    await anyio.sleep(10)
    while (await queue.stats()).store_error is None:
        await a_moment()
    await anyio.sleep(10)
    for handle in (before, after):
        with pytest.raises(StoreFailed):
            await handle.wait()
        with pytest.raises(StoreFailed):
            await handle.record()
    with pytest.raises(StoreFailed):
        await queue.close()


async def test_what_runs_when_the_disk_fails_comes_to_its_end_and_nothing_more_begins() -> None:
    files = SlowFiles()
    queue = make(files, workers=1)
    ends = []

    @queue.task(name="slow")
    async def slow(n: int) -> None:
        await anyio.sleep(5)
        ends.append(n)

    await queue.__aenter__()
    for n in range(3):
        await slow.submit(n)
    files.sync_error = StoreError("/disk", "cannot sync it.")
    with pytest.raises(StoreFailed):
        await slow.submit(4)
    await anyio.sleep(20)
    assert ends == [0]
    with pytest.raises(StoreFailed):
        await queue.close()


async def test_limits_still_hold_when_the_disk_has_failed() -> None:
    files = SlowFiles()
    queue = make(files, workers=1, drain_timeout=1000)
    await queue.__aenter__()
    await queue.work.using(timeout=10).submit(1, nap=1e6)
    files.sync_error = StoreError("/disk", "cannot sync it.")
    with pytest.raises(StoreFailed):
        await queue.work.submit(4)
    before = anyio.current_time()
    with pytest.raises(StoreFailed):
        await queue.close()
    assert anyio.current_time() - before < 20


async def test_runs_that_have_not_begun_when_the_disk_fails_do_not_hold_up_closing() -> None:
    files = SlowFiles()
    queue = make(files)
    await queue.__aenter__()
    async with beside() as ask:
        files.sync_error = StoreError("/disk", "cannot sync it.")
        submits = [ask(queue.work.submit(n)) for n in range(20)]
        for submit in submits:
            await submit.done()
        before = anyio.current_time()
        with pytest.raises(StoreFailed):
            await queue.close()
        assert anyio.current_time() - before < 1
    assert queue.ran == []


async def test_segment_that_vanishes_while_it_is_written_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MARK_INTERVAL_S", 0.0)
    files = MemoryFiles()
    queue = make(files)
    await queue.__aenter__()
    for name in files.names():
        if name.startswith("wal"):
            files.unlink(name)

    async def submit_for_ever() -> None:
        while True:
            await queue.work.submit(1)
            await a_moment()

    with pytest.raises(StoreFailed, match="moved or removed"):
        await submit_for_ever()
    with pytest.raises(StoreFailed):
        await queue.close()


# -- back-pressure ---------------------------------------------------------------------------------------


async def test_submitters_wait_for_a_disk_that_is_behind_and_ends_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "BACKLOG_FACTS", 5)
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        running = await queue.work.submit(7, nap=1.0)
        later = queue.work.using(delay=1000)
        files.sync_gate.shut()
        submits = [ask(later.submit(n)) for n in range(12)]
        await files.sync_gate.is_reached()
        assert (await queue.stats()).submitted == 1 + 6
        with pytest.raises(QueueFull, match="behind"):
            later.submit_nowait(99)
        files.sync_gate.open()
        assert await running == 7
        ids = [(await submit.done()).id for submit in submits]
        assert len(set(ids)) == 12
        assert (await queue.stats()).submitted == 13


async def test_large_payloads_on_their_way_hold_up_submitters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "BACKLOG_BYTES", 1000)
    files = SlowFiles()
    queue = make(files)

    @queue.task(name="big")
    async def big(text: str) -> None: ...

    async with queue, beside() as ask:
        files.sync_gate.shut()
        ask(big.submit("x" * 2000))
        await files.sync_gate.is_reached()
        with pytest.raises(QueueFull, match="behind"):
            big.submit_nowait("y")
        files.sync_gate.open()
        await queue.join()
        big.submit_nowait("y")


# -- handles of an unknown life ---------------------------------------------------------------------------


async def test_handle_of_a_job_that_was_never_kept_says_that_it_is_lost() -> None:
    files = MemoryFiles()
    async with make(files) as queue:
        with pytest.raises(JobLost):
            await JobHandle("nobody", queue)


# -- what strict readers found ----------------------------------------------------------------------------


async def test_submitter_for_whom_there_is_room_before_it_is_told_that_there_is_none_does_not_wait() -> None:
    files = SlowFiles()
    queue = make(files, max_pending=1)
    go, more = anyio.Event(), anyio.Event()

    @queue.task(name="talks", context=True)
    async def talks(job: Any) -> None:
        await more.wait()
        job.log("one")
        await go.wait()

    async with queue, beside() as ask:
        await talks.submit()
        files.sync_gate.shut()
        more.set()
        await files.sync_gate.is_reached()
        submit = ask(queue.work.submit(1))
        await checkpoint()
        go.set()
        for _ in range(20):
            await checkpoint()
        files.sync_gate.open()
        with anyio.fail_after(5):
            await submit.done()


async def test_submitters_that_stood_in_line_share_a_sync() -> None:
    files = SlowFiles()
    async with make(files, max_pending=10, workers=10) as queue, beside() as ask:
        running = await queue.submit_many([queue.work.build(n, nap=1.0) for n in range(10)])
        submits = [ask(queue.work.submit(n)) for n in range(10)]
        await anyio.sleep(0.5)
        files.sync_gate.shut()
        await anyio.sleep(0.5)
        await files.sync_gate.is_reached()
        assert (await queue.stats()).submitted == 20, "none waits for the sync of another"
        assert not any(submit.is_done for submit in submits)
        files.sync_gate.open()
        for one in (*running, *[await submit.done() for submit in submits]):
            await one


async def test_record_is_of_the_moment_of_asking_or_kept() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        handle = await queue.work.using(delay=1000).submit(7)
        files.sync_gate.shut()
        other = ask(queue.work.using(delay=1000).submit(8))
        await files.sync_gate.is_reached()
        cancel, record = ask(handle.cancel()), ask(queue.get(handle.id))
        await checkpoint()
        await checkpoint()
        files.sync_gate.open()
        await other.done()
        told = (await record.done()).state
        assert told is JobState.SCHEDULED or cancel.is_done


async def test_what_is_kept_of_a_job_is_shown_though_others_are_on_their_way() -> None:
    files = SlowFiles()
    async with make(files) as queue, beside() as ask:
        handle = await queue.work.using(delay=1000).submit(7)
        files.sync_gate.shut()
        ask(queue.work.using(delay=1000).submit(8))
        await files.sync_gate.is_reached()
        assert (await queue.get(handle.id)).state is JobState.SCHEDULED
        assert await queue.get("nobody") is None
        files.sync_gate.open()


async def test_submission_that_was_refused_for_want_of_room_is_never_written_however_late_the_loop_is() -> None:
    files = MemoryFiles()
    async with make(files, workers=1) as queue:
        await queue.work.run(1)
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        handle = queue.work.submit_nowait(2)
        threading.Event().wait(0.5)  # the loop is blocked, and the thread has given up the reserve meanwhile
        with pytest.raises(StoreFull):
            await handle
        found = files.copy()
    async with make(found) as queue:
        await queue.join()
        assert queue.ran == []


async def test_limits_of_a_run_count_from_its_beginning_and_not_from_when_it_was_planned() -> None:
    files = SlowFiles()
    async with make(files) as queue:
        limited = queue.work.using(timeout=5, heartbeat_timeout=5, retry=Retry(max_attempts=1))
        handle = await limited.using(delay=10).submit(7, nap=4.0)
        files.write_gate.shut()
        await anyio.sleep(10)
        await files.write_gate.is_reached()
        await anyio.sleep(100)  # the disk takes its time
        files.write_gate.open()
        assert await handle == 7
        late = await limited.submit(8, nap=6.0)
        with pytest.raises(JobFailed, match="timeout"):
            await late


async def test_run_that_is_held_and_cancelled_never_begins_and_loses_no_worker() -> None:
    files = SlowFiles()
    async with make(files, workers=1) as queue, beside() as ask:
        handle = await queue.work.using(delay=10).submit(7)
        files.write_gate.shut()
        await anyio.sleep(10)
        await files.write_gate.is_reached()
        cancel = ask(handle.cancel())
        await checkpoint()
        files.write_gate.open()
        assert await cancel.done() is True
        assert await handle.wait() is JobState.CANCELLED
        assert queue.ran == []
        stats = await queue.stats()
        assert (stats.lost_workers, stats.idle_workers) == (0, 1)


async def test_job_waits_for_a_disk_that_is_behind_as_everybody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "BACKLOG_FACTS", 2)
    files = SlowFiles()
    queue = make(files)

    @queue.task(name="parent")
    async def parent() -> int:
        return len([await queue.work.submit(n) for n in range(20)])

    async with queue:
        assert await parent.run() == 20


async def test_nobody_waits_for_an_answer_that_will_not_come_before_there_is_room() -> None:
    files = MemoryFiles()
    queue = make(files)
    async with beside() as ask:
        await queue.__aenter__()
        handle = await queue.work.using(delay=1e6).submit(7)
        files.unlink("reserve")
        files.room = 0
        first = ask(handle.cancel())
        await first.done()
        assert isinstance(first.error, StoreFull)
        for asked in (handle.cancel(), queue.get(handle.id), queue.snapshot(), queue.rerun(handle.id)):
            with pytest.raises(StoreFull):
                await asked
        assert await queue.get("nobody") is None
        files.room = 1e9
        while (await queue.stats()).store_error:
            await a_moment()
        assert (await queue.get(handle.id)).state in (JobState.CANCELLED, JobState.SUCCEEDED, JobState.QUEUED)
        await queue.close()


class OddFloat(float):
    """As numpy's are."""


async def test_numbers_and_texts_of_other_kinds_do_not_reach_the_disk() -> None:
    files = MemoryFiles()
    odd = Retry(factor=OddFloat(3), jitter=OddFloat(0.5), delay=OddFloat(1))
    async with make(files) as queue:
        tagged = queue.work.using(retry=odd, timeout=OddFloat(9), tags={JobState.FAILED: JobState.QUEUED})
        handle = await tagged.submit(1)
        assert await handle == 1
        found = files.copy()
    async with make(found) as queue:
        record = await queue.get(handle.id)
        assert (record.options.retry.factor, record.tags) == (3.0, {"failed": "queued"})


@pytest.mark.parametrize("is_stored", [True, False])
def test_directory_of_a_loop_that_ended_with_the_queue_open_is_free(tmp_path: Path, is_stored: bool) -> None:
    queue = make(DiskFiles(tmp_path), durability="fsync" if is_stored else "snapshot")

    async def leave_open() -> None:
        await queue.__aenter__()
        await queue.work.run(1)

    async def open_again(one: JobQueue) -> int:
        async with one:
            return (await one.stats()).counts[JobState.SUCCEEDED]

    asyncio.run(leave_open())
    assert asyncio.run(open_again(queue)) == is_stored
    assert asyncio.run(open_again(make(DiskFiles(tmp_path)))) == is_stored
