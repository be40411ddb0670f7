"""Files made to fail: what is counted, what fails, and what is left."""

from random import Random

import pytest

from actorq import JobQueue, JobState
from actorq.errors import StoreError, StoreFailed, StoreFull, StoreLocked
from actorq.store.files import Entry, MediumError
from actorq.testing import Died, Fault, FaultyFiles, MemoryFiles

EVERYTHING = [
    "1 make_directory d", "2 lock", "3 create a.tmp", "4 write a.tmp", "5 overwrite a.tmp", "6 cut a.tmp",
    "7 sync a.tmp", "8 is_in_place a.tmp", "9 close a.tmp", "10 settle a.tmp", "11 rename a", "12 sync_directory",
    "13 list", "14 blocks a", "15 unlink a", "16 unlock",
]  # fmt: skip


@pytest.fixture
def inner() -> MemoryFiles:
    return MemoryFiles()


@pytest.fixture
def faulty(inner: MemoryFiles) -> FaultyFiles:
    return FaultyFiles(inner)


def do_everything(files: FaultyFiles) -> None:
    files.make_directory("d")
    files.lock()
    file = files.create("a.tmp")
    file.write(b"12345678")
    file.overwrite(b"ABCD")
    file.cut(6)
    file.sync()
    assert file.is_in_place()
    file.close()
    files.settle("a.tmp")
    files.rename("a.tmp", "a")
    files.sync_directory()
    assert Entry("a", is_file=True) in files.list()
    assert list(files.blocks("a")) == [b"ABCD56"]
    files.unlink("a")
    files.unlock()


def test_without_a_fault_it_is_as_if_it_were_not_there_but_counts(faulty: FaultyFiles) -> None:
    do_everything(faulty)
    assert [str(operation) for operation in faulty.log] == EVERYTHING
    assert faulty.where("a") == "/memory/a"
    assert repr(faulty) == "<FaultyFiles 16 operations, <MemoryFiles 1 files>>"


@pytest.mark.parametrize("number", range(1, 17))
@pytest.mark.parametrize("how", [Fault.ERROR, Fault.FULL])
def test_each_operation_can_fail_by_its_number(faulty: FaultyFiles, number: int, how: Fault) -> None:
    faulty.fail(how, at=number)
    with pytest.raises(StoreFull if how is Fault.FULL else StoreError, match="as the test wanted it"):
        do_everything(faulty)
    assert [str(operation) for operation in faulty.log] == EVERYTHING[:number]


def test_what_is_meant_is_said_by_kind_and_name_and_counted(faulty: FaultyFiles) -> None:
    faulty.fail(Fault.ERROR, kind="create", name="b*", skip=1, times=2)
    faulty.create("a")
    faulty.create("b1")
    for name in ("b2", "b3"):
        with pytest.raises(StoreError):
            faulty.create(name)
    faulty.create("b4")
    assert [entry.name for entry in faulty.list()] == ["a", "b1", "b4"]


def test_what_is_healed_does_not_fail(faulty: FaultyFiles) -> None:
    faulty.fail(Fault.ERROR, times=100)
    faulty.heal()
    do_everything(faulty)


@pytest.mark.parametrize(
    ("how", "error", "left"),
    [
        (Fault.ERROR, StoreError, b""),
        (Fault.ERROR_WITHIN, StoreError, b"1234"),
        (Fault.FULL, StoreFull, b""),
        (Fault.FULL_WITHIN, StoreFull, b"1234"),
        (Fault.DEATH, Died, b""),
        (Fault.DEATH_WITHIN, Died, b"1234"),
        (Fault.DEATH_AFTER, Died, b"12345678"),
    ],
)
def test_a_write_fails_before_within_or_after(
    inner: MemoryFiles, faulty: FaultyFiles, how: Fault, error: type[BaseException], left: bytes
) -> None:
    faulty.fail(how, kind="write")
    file = faulty.create("a")
    with pytest.raises(error):
        file.write(b"12345678")
    assert inner.read("a") == left


def test_an_overwrite_can_be_torn(inner: MemoryFiles, faulty: FaultyFiles) -> None:
    faulty.fail(Fault.ERROR_WITHIN, kind="overwrite")
    file = faulty.create("a")
    file.write(b"12345678")
    with pytest.raises(StoreError):
        file.overwrite(b"ABCD")
    assert inner.read("a") == b"AB345678"


def test_how_much_of_a_write_is_left_is_drawn_by_lot() -> None:
    left = set()
    for seed in range(100):
        inner = MemoryFiles()
        faulty = FaultyFiles(inner, Random(seed))  # noqa: S311
        faulty.fail(Fault.FULL_WITHIN, kind="write")
        with pytest.raises(StoreFull):
            faulty.create("a").write(b"1234")
        left.add(inner.read("a"))
    assert left == {b"", b"1", b"12", b"123", b"1234"}


def test_what_cannot_be_read_is_the_fault_of_the_medium(inner: MemoryFiles, faulty: FaultyFiles) -> None:
    inner.put("a", b"1")
    faulty.fail(Fault.ERROR, kind="blocks")
    with pytest.raises(MediumError):
        list(faulty.blocks("a"))


def test_the_dead_do_nothing_any_more(inner: MemoryFiles, faulty: FaultyFiles) -> None:
    file = faulty.create("a")
    faulty.die()
    for act in (lambda: file.write(b"1"), faulty.list, faulty.lock, lambda: list(faulty.blocks("a"))):
        with pytest.raises(Died):
            act()
    assert inner.read("a") == b""
    assert "dead" in repr(faulty)
    do_everything(FaultyFiles(inner))


def test_what_the_dead_had_open_and_locked_is_closed_and_unlocked(inner: MemoryFiles, faulty: FaultyFiles) -> None:
    faulty.lock()
    file = faulty.create("a")
    faulty.fail(Fault.DEATH, kind="write")
    with pytest.raises(Died):
        file.write(b"1")
    inner.lock()
    file.close()
    faulty.unlock()
    with pytest.raises(StoreLocked):
        inner.lock()


async def test_a_queue_whose_writer_dies_closes_and_what_was_accepted_is_there() -> None:
    inner = MemoryFiles()
    faulty = FaultyFiles(inner)
    with pytest.raises(StoreFailed):  # noqa: PT012 - the closing raises it, too
        async with JobQueue(files=faulty) as queue:
            task = queue.task(name="do")(_do_nothing)
            job = await task.using(delay=3600).submit()
            faulty.fail(Fault.DEATH, kind="write", name="wal-*")
            await task.submit()
    async with JobQueue(files=inner) as queue:
        queue.task(name="do")(_do_nothing)
        assert (await queue.handle(job.id).record()).state is JobState.SCHEDULED


async def test_a_queue_on_a_failing_disk_says_so() -> None:
    faulty = FaultyFiles(MemoryFiles())
    with pytest.raises(StoreFailed):  # noqa: PT012 - the closing raises it, too
        async with JobQueue(files=faulty) as queue:
            task = queue.task(name="do")(_do_nothing)
            await task.submit()
            faulty.fail(Fault.ERROR, kind="sync", name="wal-*")
            await task.submit()


async def _do_nothing() -> None:
    pass
