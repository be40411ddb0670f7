"""A directory in memory: what the port asks for, as a real one gives it."""

from pathlib import Path

import pytest

from actorq import JobQueue, JobState
from actorq.errors import StoreError, StoreFull, StoreLocked
from actorq.store.files import DiskFiles, Entry, Files
from actorq.testing import MemoryFiles


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


@pytest.fixture(params=["memory", "disk"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """What holds for one holds for the other."""
    either = MemoryFiles() if request.param == "memory" else DiskFiles(tmp_path)
    either.make_directory()
    return either


def put(files: Files, name: str, data: bytes = b"") -> None:
    file = files.create(name)
    file.write(data)
    file.sync()
    file.close()


def read(files: Files, name: str) -> bytes:
    return b"".join(files.blocks(name))


# -- the port ----------------------------------------------------------------------------------------


def test_what_is_written_is_read(either: Files) -> None:
    put(either, "a", b"eight by")
    either.settle("a")
    assert read(either, "a") == b"eight by"


def test_what_is_written_behind_a_cut_stands_behind_it(either: Files) -> None:
    file = either.create("a")
    file.write(b"eight by")
    file.cut(5)
    file.write(b"!")
    assert read(either, "a") == b"eight!"


def test_what_is_overwritten_keeps_its_size_and_what_follows_stands_at_the_end(either: Files) -> None:
    file = either.create("a")
    file.write(b"eight by")
    file.overwrite(b"E")
    file.write(b"te")
    assert read(either, "a") == b"Eight byte"


def test_an_existing_name_is_not_created_again(either: Files) -> None:
    put(either, "a")
    either.make_directory("d")
    for name in ("a", "d"):
        with pytest.raises(StoreError):
            either.create(name)


def test_a_rename_puts_the_new_file_in_the_place_of_the_old(either: Files) -> None:
    put(either, "old", b"old")
    file = either.create("new")
    file.write(b"new")
    either.rename("new", "old")
    assert either.list() == [Entry("old", is_file=True)]
    file.write(b"er")
    assert read(either, "old") == b"newer"
    assert not file.is_in_place()  # under the name that it was created with


def test_a_file_is_in_place_until_it_is_removed_or_replaced(either: Files) -> None:
    file = either.create("a")
    assert file.is_in_place()
    either.unlink("a")
    assert not file.is_in_place()
    put(either, "a", b"another")
    assert not file.is_in_place()
    file.write(b"unseen")
    assert read(either, "a") == b"another"


def test_removing_what_is_not_there_is_no_error(either: Files) -> None:
    either.unlink("a")
    put(either, "a")
    either.unlink("a")
    assert either.list() == []


def test_directories_hold_files_of_their_own(either: Files) -> None:
    either.make_directory("d")
    either.make_directory("d")
    put(either, "a", b"moved")
    put(either, "d/b")
    either.rename("a", "d/c")
    either.sync_directory("d")
    either.sync_directory()
    assert either.list() == [Entry("d", is_file=False)]
    assert either.list("d") == [Entry("b", is_file=True), Entry("c", is_file=True)]
    assert read(either, "d/c") == b"moved"


def test_what_is_missing_or_of_the_wrong_kind_is_a_store_error(either: Files) -> None:
    either.make_directory("d")
    put(either, "a")
    for wrong in (
        lambda: either.list("nowhere"),
        lambda: either.sync_directory("nowhere"),
        lambda: either.create("nowhere/a"),
        lambda: either.rename("b", "c"),
        lambda: either.rename("a", "nowhere/a"),
        lambda: either.rename("a", "d"),
        lambda: either.settle("b"),
        lambda: read(either, "b"),
        lambda: read(either, "d"),
        lambda: either.settle("d"),
        lambda: either.unlink("d"),
        lambda: either.make_directory("a"),
    ):
        with pytest.raises(StoreError):
            wrong()
    assert [entry.name for entry in either.list()] == ["a", "d"]


def test_one_owns_it_at_a_time(files: MemoryFiles) -> None:
    files.lock()
    with pytest.raises(StoreLocked):
        files.lock()
    assert "locked" in repr(files)
    files.unlock()
    files.unlock()
    files.lock()


def test_a_path_is_for_messages(files: MemoryFiles) -> None:
    assert (files.where(), files.where("a")) == ("/memory", "/memory/a")


# -- what a test asks --------------------------------------------------------------------------------


def test_a_copy_is_another_directory_and_not_locked(files: MemoryFiles) -> None:
    file = files.create("a")
    file.write(b"before")
    files.make_directory("d")
    files.lock()
    copy = files.copy()
    copy.lock()
    file.write(b" after")
    copy.unlink("lock")
    assert copy.read("a") == b"before"
    assert copy.list() == [Entry("a", is_file=True), Entry("d", is_file=False)]
    assert files.names() == ["a", "lock"]


def test_a_file_is_read_in_blocks(files: MemoryFiles) -> None:
    files.put("a", b"eight by")
    files.block = 3
    assert list(files.blocks("a")) == [b"eig", b"ht ", b"by"]


def test_what_is_odd_is_no_regular_file(files: MemoryFiles) -> None:
    files.put("fifo")
    files.odd.add("fifo")
    assert files.list() == [Entry("fifo", is_file=False)]
    with pytest.raises(StoreError, match="no regular file"):
        read(files, "fifo")


def test_what_finds_no_room_is_written_in_part(files: MemoryFiles) -> None:
    put(files, "a", b"four")
    files.room = 7
    file = files.create("b")
    with pytest.raises(StoreFull):
        file.write(b"four")
    assert files.read("b") == b"fou"
    files.unlink("a")
    file.cut(0)
    file.write(b"four")
    assert files.read("b") == b"four"


# -- with a queue ------------------------------------------------------------------------------------


async def test_a_queue_goes_on_from_what_another_left() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        job = await queue.task(name="do")(_do_nothing).submit()
        await job
    async with JobQueue(files=files) as queue:
        queue.task(name="do")(_do_nothing)
        assert (await queue.handle(job.id).record()).state is JobState.SUCCEEDED


async def test_a_copy_is_what_a_crash_would_leave() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        job = await queue.task(name="do")(_do_nothing).using(delay=3600).submit()
        left = files.copy()
        await job.cancel()
    async with JobQueue(files=left) as queue:
        queue.task(name="do")(_do_nothing)
        assert (await queue.handle(job.id).record()).state is JobState.SCHEDULED


async def _do_nothing() -> None:
    pass
