"""Snapshots of a queue with a journal: from the files, in another process, and the loop has no part in it."""

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from actorq import JobQueue, JobState, QueueClosed, Retention, StoreError
from actorq.actors import compacting, scribe, snapshots, writer
from actorq.testing import MemoryFiles

HOUR = 3600.0

real_time = pytest.mark.real_time  # for the time of the other process


def make(*where: Any, **options: Any) -> JobQueue:
    queue = JobQueue(*where, retention=Retention(age_s=1e9), **options)

    @queue.task(name="work")
    async def work(value: int = 0, text: str = "", nap: float = 0.0) -> int:
        await anyio.sleep(nap)
        return value

    queue.work = work
    return queue


def names(path: Path, start: str) -> list[str]:
    return sorted(name for name in os.listdir(path) if name.startswith(start))  # noqa: PTH208


@real_time
async def test_snapshot_on_request_has_all_that_has_happened(tmp_path: Path) -> None:
    async with make(tmp_path) as queue:
        handle = await queue.work.submit(7)
        await handle
        await queue.snapshot()
        stats = await queue.stats()
        assert stats.snapshot_fact == stats.last_fact == 3
        assert stats.snapshot_age_s is not None
        assert names(tmp_path, "snap") == ["snap-00000000000000000003.jsonl"]
        assert [int(name[4:24]) for name in names(tmp_path, "wal")] == [1, 4], "the generation before is the journal"
    async with make(tmp_path) as queue:
        assert await queue.handle(handle.id) == 7


@real_time
async def test_snapshot_of_what_one_has_already_is_not_written_again(tmp_path: Path) -> None:
    async with make(tmp_path) as queue:
        await queue.work.run(7)
        await queue.snapshot()
        await queue.snapshot()
        assert len(names(tmp_path, "snap")) == 1


@real_time
async def test_what_happens_while_one_is_made_is_behind_it(tmp_path: Path) -> None:
    async with make(tmp_path) as queue, anyio.create_task_group() as group:
        await queue.work.run(1)
        group.start_soon(queue.snapshot)
        handles = [await queue.work.submit(n) for n in range(50)]
    async with make(tmp_path) as queue:
        assert [await queue.handle(handle.id) for handle in handles] == list(range(50))


@real_time
async def test_two_generations_are_kept_and_the_journal_between_them(tmp_path: Path) -> None:
    async with make(tmp_path) as queue:
        for n in range(4):
            await queue.work.run(n)
            await queue.snapshot()
        assert [int(name[5:25]) for name in names(tmp_path, "snap")] == [9, 12]
        assert [int(name[4:24]) for name in names(tmp_path, "wal")] == [10, 13]


async def test_files_in_memory_are_compacted_by_a_thread() -> None:
    files = MemoryFiles()
    async with make(files=files) as queue:
        handle = await queue.work.submit(7)
        await handle
        await queue.snapshot()
        assert "snap-00000000000000000003.jsonl" in files.names()
    async with make(files=files) as queue:
        assert await queue.handle(handle.id) == 7


@real_time
async def test_where_no_process_can_be_started_a_thread_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting.sys, "executable", "")
    async with make(tmp_path) as queue:
        await queue.work.run(7)
        await queue.snapshot()
        assert len(names(tmp_path, "snap")) == 1


async def test_one_is_made_some_time_after_the_first_change() -> None:
    files = MemoryFiles()

    def count() -> int:
        return sum(name.startswith("snap") for name in files.names())

    async with make(files=files, snapshot_interval=HOUR) as queue:
        await anyio.sleep(10 * HOUR)
        assert not count(), "nothing has changed"
        await queue.work.run(1)
        await anyio.sleep(HOUR - 1)
        assert not count()
        await anyio.sleep(2)
        await queue._house.scribe.snapshots.written()
        assert count() == 1
        await anyio.sleep(10 * HOUR)
        assert count() == 1, "nothing has changed since"


@real_time
async def test_one_is_made_sooner_when_the_journal_has_outgrown_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "GARBAGE_FLOOR", 100_000)
    async with make(tmp_path, snapshot_interval=1e9) as queue:
        snapshots_of = queue._house.scribe.snapshots
        for n in range(10):
            await queue.work.run(n, "x" * 5_000)
            await snapshots_of.written()
        assert not names(tmp_path, "snap")
        while not names(tmp_path, "snap"):
            await queue.work.run(0, "x" * 5_000)
            await snapshots_of.written()
        (first,) = names(tmp_path, "snap")
        assert 100_000 < (tmp_path / first).stat().st_size < 120_000
        for n in range(10):
            await queue.work.run(n, "x" * 5_000)
            await snapshots_of.written()
        assert names(tmp_path, "snap") == [first], "what is behind it is smaller than it"


@real_time
async def test_many_segments_of_short_lives_are_compacted_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "SEGMENTS_LIMIT", 3)
    for life in range(5):
        async with make(tmp_path) as queue:
            await queue.work.run(life)
            await anyio.sleep(0.01)
            await queue._house.scribe.snapshots.written()
            assert len(names(tmp_path, "snap")) == (life == 4)


@real_time
async def test_segment_that_is_full_is_completed_and_another_one_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SEGMENT_LIMIT", 10_000)
    async with make(tmp_path) as queue:
        handles = [await queue.work.submit(n, "x" * 1_000) for n in range(50)]
        await queue.join()
    segments = names(tmp_path, "wal")
    assert len(segments) > 5
    assert all(b'\n{"t":"end"' in (tmp_path / name).read_bytes() for name in segments)
    async with make(tmp_path) as queue:
        assert [await queue.handle(handle.id) for handle in handles] == list(range(50))


@real_time
async def test_failure_is_an_alarm_and_the_journal_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "_PROGRAM", "import sys; print('no luck today'); sys.exit(3)")
    async with make(tmp_path) as queue:
        assert await queue.work.run(1) == 1
        with pytest.raises(StoreError, match="no luck today"):
            await queue.snapshot()
        assert "no luck today" in str((await queue.stats()).snapshot_error)
        assert await queue.work.run(2) == 2
    async with make(tmp_path) as queue:
        assert (await queue.stats()).counts[JobState.SUCCEEDED] == 2


@real_time
async def test_where_the_process_does_not_know_what_to_do_a_thread_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "_PROGRAM", "import a_version_of_actorq_that_is_not_ours")
    async with make(tmp_path) as queue:
        await queue.work.run(1)
        await queue.snapshot()
        assert len(names(tmp_path, "snap")) == 1


@real_time
async def test_process_that_is_killed_is_a_failure_and_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = compacting._PROGRAM
    monkeypatch.setattr(compacting, "_PROGRAM", "import os; os.kill(os.getpid(), 9)")
    async with make(tmp_path) as queue:
        await queue.work.run(1)
        with pytest.raises(StoreError, match="exit -9"):
            await queue.snapshot()
        monkeypatch.setattr(compacting, "_PROGRAM", program)
        await queue.snapshot()
        assert (await queue.stats()).snapshot_error is None


@real_time
async def test_damage_in_a_sealed_segment_is_found_by_the_next_snapshot_and_loses_nothing(tmp_path: Path) -> None:
    async with make(tmp_path) as queue:
        await queue.work.run(1)
        (name,) = names(tmp_path, "wal")
        data = bytearray((tmp_path / name).read_bytes())
        data[-20] ^= 1
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StoreError, match="line 3"):
            await queue.snapshot()


@real_time
async def test_closing_does_not_wait_for_one_that_can_be_made_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "_PROGRAM", "import sys; sys.stdin.read()")  # as long as its owner lives
    async with make(tmp_path) as queue:
        await queue.work.run(1)
        errors: list[BaseException] = []

        async def snapshot() -> None:
            try:
                await queue.snapshot()
            except QueueClosed as closed:
                errors.append(closed)

        async with anyio.create_task_group() as group:
            group.start_soon(snapshot)
            maker = queue._house.scribe.snapshots._maker
            while maker._process is None:
                await to_thread.run_sync(maker._writer._last_news.is_set)
            await queue.close()
        assert len(errors) == 1
    async with make(tmp_path) as queue:
        assert (await queue.stats()).counts[JobState.SUCCEEDED] == 1


@real_time
async def test_closing_before_the_seal_comes_makes_none(tmp_path: Path) -> None:
    queue = make(tmp_path)
    await queue.__aenter__()
    await queue.work.run(1)
    supervisor = queue._house.supervisor
    supervisor.scribe.snapshots.begin(supervisor.machine.ledger, supervisor.clock.now())
    await queue.close()
    async with queue:
        assert (await queue.stats()).counts[JobState.SUCCEEDED] == 1
