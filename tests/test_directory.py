"""Directories that are not as they should be, and payloads that would like to be lines of a file."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from actorq import JobQueue, JobState, PayloadError, StoreCorrupt, StoreError, StoreFailed, StoreLocked
from actorq.actors import writer
from actorq.store.files import DiskFiles
from actorq.testing import MemoryFiles


def make(*where: Any, **options: Any) -> JobQueue:
    queue = JobQueue(*where, **options)

    @queue.task(name="echo")
    async def echo(value: Any = None) -> Any:
        return value

    queue.echo = echo
    return queue


# -- the directory ---------------------------------------------------------------------------------------


async def test_second_queue_of_the_same_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with make(tmp_path) as first:
        with pytest.raises(StoreLocked, match="pid"):
            await make(tmp_path).__aenter__()
        assert await first.echo.run(1) == 1


async def test_child_that_was_left_behind_with_the_lock_is_named_as_a_possibility(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    files.lock()
    assert files._lock is not None
    child = subprocess.Popen(  # noqa: ASYNC220 - it is started, and not waited for
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[files._lock]
    )
    with child:
        os.close(files._lock)  # as when the owner dies
        with pytest.raises(StoreLocked, match="a child that it left behind"):
            await make(tmp_path).__aenter__()
        child.kill()
    async with make(tmp_path):
        pass


async def test_lock_that_was_let_go_is_free_though_a_child_has_it_open(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    files.lock()
    assert files._lock is not None
    child = subprocess.Popen(  # noqa: ASYNC220 - it is started, and not waited for
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[files._lock]
    )
    with child:
        files.unlock()
        async with make(tmp_path):
            pass
        child.kill()


async def test_files_are_private(tmp_path: Path) -> None:
    async with make(tmp_path / "queue") as queue:
        await queue.echo.run(1)
        await queue.snapshot()
    assert mode(tmp_path / "queue") == 0o700
    assert {mode(path) for path in (tmp_path / "queue").glob("*")} == {0o600}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_directory_in_which_everybody_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)  # noqa: ASYNC240 - a test may wait
    with pytest.raises(StoreError, match="chmod o-w"):
        await make(tmp_path).__aenter__()
    tmp_path.chmod(0o755)  # noqa: ASYNC240
    async with make(tmp_path):
        pass


async def test_directory_that_is_removed_while_it_is_used_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MARK_INTERVAL_S", 0.0)
    queue = make(tmp_path / "queue")
    await queue.__aenter__()
    shutil.rmtree(tmp_path / "queue")

    async def run_for_ever() -> None:
        while True:
            await queue.echo.run(1)

    with pytest.raises(StoreFailed, match="moved or removed"):
        await run_for_ever()
    with pytest.raises(StoreFailed):
        await queue.close()
    async with queue:
        assert (await queue.stats()).submitted == 0


@pytest.mark.real_time
async def test_copy_made_while_it_is_used_is_opened_as_it_was_or_refused_and_salvaged(tmp_path: Path) -> None:
    """Files are copied one after the other, so a copy may show a history that never was."""
    async with make(tmp_path / "queue") as queue:

        async def work() -> None:
            while True:
                await queue.echo.run(1)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(work)
            for number in range(5):
                await anyio.to_thread.run_sync(shutil.copytree, tmp_path / "queue", tmp_path / str(number))
            group.cancel_scope.cancel()
    for number in range(5):
        copy = tmp_path / str(number)
        try:
            async with make(copy) as queue:
                stats = await queue.stats()
        except StoreCorrupt:
            async with make(copy, recovery="salvage") as queue:
                stats = await queue.stats()
        assert stats.submitted == sum(stats.counts.values()) + stats.removed


async def test_queue_is_opened_again_and_again(tmp_path: Path) -> None:
    queue = make(tmp_path)
    for life in range(10):
        async with queue:
            await queue.echo.run(life)
            assert (await queue.stats()).counts[JobState.SUCCEEDED] == life + 1


async def test_setting_may_change_from_life_to_life(tmp_path: Path) -> None:
    for life, durability in enumerate(["fsync", "snapshot", "flush", "snapshot", "snapshot", "fsync", "fsync"]):
        async with make(tmp_path, durability=durability) as queue:
            assert (await queue.stats()).counts[JobState.SUCCEEDED] == life
            await queue.echo.run(life)


# -- payloads --------------------------------------------------------------------------------------------


STRANGE = [
    '","c":"00000000"}',
    '\n{"n":1,"d":99,"at":0,"facts":[],"c":"00000000"}\n',
    '{"t":"end","n":9,"d":9,"c":"00000000"}',
    "\u2028\u2029\x00\x1b[31m\ufeff",
    "😀" * 100,
    -0.0,
    2**63,
    -(2**63),
    2**53 + 1,
    1e308,
    {"n": 1, "d": 2, "t": "end", "c": "00000000", "more": True, "": None, "facts": []},
    [[[[[[]]]]], {}],
    [0] * 50_000,
]


async def test_strange_payloads_and_results_come_through_a_crash_as_they_were() -> None:
    files = MemoryFiles()
    async with make(files=files) as queue:
        later = [await queue.echo.using(delay=1000).submit(value) for value in STRANGE]
        ended = [await queue.echo.submit(value) for value in STRANGE]
        for handle, value in zip(ended, STRANGE, strict=True):
            assert await handle == value
        found = files.copy()
    async with make(files=found) as queue:
        for first, second, value in zip(later, ended, STRANGE, strict=True):
            assert (await queue.get(first.id)).args == (value,)
            assert await queue.handle(second.id) == value


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "build",
    [
        lambda: nested(254),
        lambda: nested(10_000),
        lambda: "x" * 100_000_000,
        lambda: b"x" * 100_000_000,
        lambda: [[]] * 3_000_000,
        lambda: (value for value in [1]),
    ],
    ids=["deep", "deeper", "long text", "long bytes", "many lists", "generator"],
)
async def test_what_cannot_be_stored_is_refused_at_the_door_and_nothing_is_written(build: Any) -> None:
    files = MemoryFiles()
    async with make(files=files) as queue:
        with pytest.raises(PayloadError):
            await queue.echo.submit(build())
        assert (await queue.stats()).last_fact == 0
        assert await queue.echo.run("fine") == "fine"


def test_large_argument_is_refused_before_it_is_encoded() -> None:
    with pytest.raises(PayloadError, match="100000000 characters or elements, the limit is"):
        make().echo.build("x" * 100_000_000)


async def test_result_that_is_too_large_fails_the_job_which_does_not_run_again(tmp_path: Path) -> None:
    queue = make(tmp_path)
    runs = []

    @queue.task(name="talkative")
    async def talkative() -> str:
        runs.append(1)
        return "x" * 1_000_000

    async with queue:
        handle = await talkative.submit()
        assert await handle.wait() is JobState.FAILED
        assert (await handle.record()).error.reason == "bad_result"
    async with queue:
        await queue.join()
    assert len(runs) == 1
