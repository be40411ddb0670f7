"""Snapshots: when something has changed, bit by bit, and whatever the disk does."""

import os
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from actorq import JobQueue, JobState, StoreError
from actorq.actors import slicing
from actorq.store.files import DiskFiles, NewFile


class WatchedFiles(DiskFiles):
    """Know when snapshots were begun and put in place, and can be told to fail."""

    def __init__(self, path: Path, error: Exception | None = None) -> None:
        super().__init__(path)
        self.error = error
        self.begun: list[float] = []
        self.placed: list[str] = []

    def create(self, name: str) -> NewFile:
        if self.error is not None:
            raise self.error
        return super().create(name)

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self.placed.append(new)


FULL = StoreError("/disk", "cannot write it: No space left on device; make room on the disk.")


def watched(path: Path, **options: Any) -> tuple[JobQueue, WatchedFiles]:
    files = WatchedFiles(path)
    return JobQueue(files=files, durability="snapshot", **options), files


def keep_time(queue: JobQueue, files: WatchedFiles) -> None:
    snapshots, start = queue._house.scribe.snapshots, queue._house.supervisor.clock.now()
    begin = snapshots.begin

    def begin_and_note(ledger: Any, now: float, **how: Any) -> None:
        files.begun.append(round(now - start))
        begin(ledger, now, **how)

    snapshots.begin = begin_and_note


def names(path: Path, end: str) -> list[str]:
    return [name for name in os.listdir(path) if name.endswith(end)]  # noqa: PTH208


def sleeper(queue: JobQueue) -> Any:
    @queue.task(name="nap")
    async def nap(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    return nap


async def test_idle_queue_writes_nothing_in_an_hour(tmp_path: Path) -> None:
    queue, files = watched(tmp_path)
    async with queue:
        await anyio.sleep(3600)
        assert files.placed == []
    assert files.placed == [], "nor when it is closed"


async def test_one_snapshot_follows_each_burst_of_changes(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=30)
    nap = sleeper(queue)
    async with queue:
        keep_time(queue, files)
        for _ in range(3):
            for _ in range(10):
                await nap.submit(1.0)
            await anyio.sleep(1000)
        assert files.begun == [30, 1030, 2030]
        assert len(files.placed) == 3
    assert len(files.placed) == 3, "the last one has it all: closing writes none"


async def test_busy_queue_writes_one_snapshot_an_interval(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    async with queue:
        keep_time(queue, files)
        for _ in range(100):
            await nap.submit(0.0)
            await anyio.sleep(1)
        assert 9 <= len(files.begun) <= 10


async def test_closing_writes_what_the_last_snapshot_does_not_have(tmp_path: Path) -> None:
    queue, files = watched(tmp_path)
    nap = sleeper(queue)
    async with queue:
        await nap.run(1.0)
    assert len(files.placed) == 1


async def test_snapshot_on_request_has_all_that_has_happened(tmp_path: Path) -> None:
    queue, files = watched(tmp_path)
    nap = sleeper(queue)
    async with queue:
        await nap.run(1.0)
        await queue.snapshot()
        await queue.snapshot()
        stats = await queue.stats()
        assert stats.snapshot_fact == stats.last_fact
        assert stats.snapshot_age_s == pytest.approx(0, abs=1)
        assert len(files.placed) == 1


async def test_queue_in_memory_takes_no_snapshots() -> None:
    async with JobQueue() as queue:
        await sleeper(queue).run(1.0)
        await queue.snapshot()
        stats = await queue.stats()
        assert (stats.snapshot_fact, stats.snapshot_age_s, stats.snapshot_error) == (0, None, None)


async def test_two_snapshots_are_kept(tmp_path: Path) -> None:
    async with JobQueue(tmp_path, durability="snapshot") as queue:
        nap = sleeper(queue)
        for _ in range(5):
            await nap.run(1.0)
            await queue.snapshot()
    assert len(names(tmp_path, ".jsonl")) == 2
    assert not names(tmp_path, ".tmp")


async def test_snapshot_lets_others_run_between_its_slices_and_shows_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicing, "SLICE_S", 1e-6)
    is_over = False
    turns = 0

    async def disturb() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            if handles:
                await handles.pop().cancel()
            await anyio.sleep(1e-6)

    async with JobQueue(tmp_path / "one", durability="snapshot") as queue:
        nap = sleeper(queue).using(delay=1e6)
        handles = await nap.submit_many([nap.build(1.0) for _ in range(2000)])
        async with anyio.create_task_group() as group:
            group.start_soon(disturb)
            await queue.snapshot()
            is_over = True
        first = min((tmp_path / "one").glob("snap-*"))
        (tmp_path / "two").mkdir()
        shutil.copy(first, tmp_path / "two")
        assert len(handles) < 2000
    assert turns > 2000 / 32
    async with JobQueue(tmp_path / "two") as copy:
        counts = (await copy.stats()).counts
        assert sum(counts.values()) == 2000
        assert counts[JobState.CANCELLED] <= 1, "what happened while it was written is not in it"


async def test_failing_disk_is_an_alarm_and_no_outage(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    async with queue:
        files.error = FULL
        assert await nap.run(20.0) == 20.0
        assert "make room" in str((await queue.stats()).snapshot_error)
        assert await nap.run(1.0) == 1.0
        files.error = None
        await anyio.sleep(100)
        stats = await queue.stats()
        assert stats.snapshot_error is None
        assert stats.snapshot_fact == stats.last_fact


async def test_snapshot_that_failed_is_tried_later_and_later(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    async with queue:
        keep_time(queue, files)
        files.error = FULL
        await nap.submit(0.0)
        await anyio.sleep(4000)
        assert files.begun == [10, 30, 70, 150, 310, 630, 1270, 1910, 2550, 3190, 3830]
        files.error = None


async def test_snapshot_on_request_says_that_it_failed(tmp_path: Path) -> None:
    queue, files = watched(tmp_path)
    async with queue:
        files.error = FULL
        await sleeper(queue).run(1.0)
        with pytest.raises(StoreError, match="make room"):
            await queue.snapshot()
        files.error = None
        await queue.snapshot()


async def test_closing_says_that_the_last_snapshot_failed_and_gives_up_the_directory(tmp_path: Path) -> None:
    queue, files = watched(tmp_path)
    nap = sleeper(queue)
    await queue.__aenter__()
    await nap.run(1.0)
    files.error = FULL
    with pytest.raises(StoreError, match="make room"):
        await queue.close()
    files.error = None
    async with JobQueue(tmp_path) as second:
        assert (await second.stats()).submitted == 0


async def test_bug_in_the_way_of_a_snapshot_is_an_alarm_too(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    await queue.__aenter__()
    files.error = ValueError("a bug")
    assert await nap.run(20.0) == 20.0
    assert "a bug" in str((await queue.stats()).snapshot_error)
    with pytest.raises(Exception, match="a bug"):
        await queue.close()
    files.error = None
    async with JobQueue(tmp_path):
        pass


async def test_closing_tries_for_itself_when_the_snapshot_that_was_being_written_fails(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    await queue.__aenter__()
    await nap.run(1.0)
    scribe = queue._house.scribe
    files.error = FULL
    scribe.snapshots.begin(queue._house.supervisor.machine.ledger, queue._house.supervisor.clock.now())
    create, files.create = files.create, lambda name: fail_once(files, create, name)
    await queue.close()
    assert len(files.placed) == 1


def fail_once(files: WatchedFiles, create: Any, name: str) -> Any:
    try:
        return create(name)
    finally:
        files.error = None


async def test_what_happens_while_a_snapshot_is_written_is_in_the_next(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    async with queue:
        await nap.run(1.0)
        scribe, supervisor = queue._house.scribe, queue._house.supervisor
        scribe.snapshots.begin(supervisor.machine.ledger, supervisor.clock.now())
        await nap.run(0.0)
        await anyio.sleep(30)
        assert len(files.placed) == 2
        stats = await queue.stats()
        assert stats.snapshot_fact == stats.last_fact


async def test_closing_waits_for_the_snapshot_that_is_being_written(tmp_path: Path) -> None:
    queue, files = watched(tmp_path, snapshot_interval=10)
    nap = sleeper(queue)
    async with queue:
        await nap.run(1.0)
        queue._house.scribe.snapshots.begin(queue._house.supervisor.machine.ledger, queue._house.supervisor.clock.now())
    assert len(files.placed) == 1
    async with JobQueue(tmp_path):
        pass
