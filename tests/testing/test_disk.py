"""The worst disk that the rules allow: what it must keep, what it may keep, and that it may do each of these."""

from collections import Counter
from random import Random

import pytest

from actorq import JobQueue, JobState
from actorq.errors import StoreError
from actorq.testing import Fault, FaultyFiles, SimulatedDisk

SEEDS = range(200)


def disks() -> list[SimulatedDisk]:
    return [SimulatedDisk(Random(seed)) for seed in SEEDS]  # noqa: S311


def put(disk: SimulatedDisk, name: str, data: bytes = b"data", *, synced: bool = True) -> None:
    file = disk.create(name)
    file.write(data)
    if synced:
        file.sync()


def after_power_cut(disk: SimulatedDisk) -> tuple[str, ...]:
    disk.power_cut()
    return tuple(disk.names())


def test_what_was_synced_with_its_name_outlives_a_power_cut() -> None:
    for disk in disks():
        disk.lock()
        put(disk, "a")
        disk.make_directory("d")
        disk.sync_directory()
        disk.power_cut()
        assert disk.read("a") == b"data"
        assert disk.list("d") == []
        disk.lock()


def test_everything_outlives_a_kill() -> None:
    for disk in disks():
        disk.lock()
        put(disk, "a", synced=False)
        disk.kill()
        assert disk.read("a") == b"data"
        disk.lock()


def test_of_names_that_were_not_synced_a_power_cut_keeps_any() -> None:
    left = Counter[tuple[str, ...]]()
    for disk in disks():
        put(disk, "a")
        put(disk, "b")
        left[after_power_cut(disk)] += 1
    assert set(left) == {(), ("a",), ("b",), ("a", "b")}


def test_a_rename_is_kept_whole_or_not_at_all() -> None:
    left = Counter[tuple[str, ...]]()
    for disk in disks():
        put(disk, "a.tmp")
        disk.sync_directory()
        disk.rename("a.tmp", "a")
        left[after_power_cut(disk)] += 1
    assert set(left) == {("a.tmp",), ("a",)}


def test_a_rename_into_another_directory_is_two_changes() -> None:
    left = Counter[tuple[str, ...]]()
    for disk in disks():
        put(disk, "a")
        disk.make_directory("d")
        disk.sync_directory()
        disk.rename("a", "d/a")
        left[after_power_cut(disk)] += 1
    assert set(left) == {("a",), ("d/a",), ("a", "d/a"), ()}


def test_what_was_removed_may_be_back() -> None:
    left = Counter[tuple[str, ...]]()
    for disk in disks():
        put(disk, "a")
        disk.sync_directory()
        disk.unlink("a")
        left[after_power_cut(disk)] += 1
    assert set(left) == {("a",), ()}


def test_of_bytes_that_were_not_synced_a_power_cut_keeps_none_some_all_or_all_with_holes() -> None:
    data = bytes(range(1, 251))
    left = Counter[str]()
    for disk in disks():
        file = disk.create("a")
        file.write(b"synced")
        file.sync()
        disk.sync_directory()
        file.write(data)
        disk.power_cut()
        found = disk.read("a")
        assert found.startswith(b"synced")
        rest = found[6:]
        kind = "none" if not rest else "all" if rest == data else "first" if data.startswith(rest) else "holes"
        left[kind] += 1
        for start in range(0, len(rest) if kind == "holes" else 0, 64):
            assert rest[start : start + 64] in (data[start : start + 64], bytes(len(rest[start : start + 64])))
    assert set(left) == {"none", "first", "all", "holes"}


def test_a_cut_that_was_not_synced_may_not_have_happened() -> None:
    left = set()
    for disk in disks():
        put(disk, "a", b"kept, and cut")
        disk.sync_directory()
        file = disk.create("b")
        file.write(b"kept, and cut")
        file.sync()
        disk.sync_directory()
        file.cut(4)
        disk.power_cut()
        left.add(disk.read("b"))
    assert left == {b"kept", b"kept, and cut"}


def test_an_overwrite_that_was_not_synced_may_be_torn() -> None:
    left = set()
    for disk in disks():
        file = disk.create("mark")
        file.write(b"a" * 128)
        file.sync()
        disk.sync_directory()
        file.overwrite(b"b" * 128)
        disk.power_cut()
        left.add(disk.read("mark"))
    assert {b"a" * 128, b"b" * 128, b"a" * 64 + b"b" * 64} < left
    assert {len(one) for one in left} == {128}


def test_after_a_sync_that_failed_bytes_are_shown_that_are_gone_and_the_next_sync_succeeds() -> None:
    left = set()
    for disk in disks():
        faulty = FaultyFiles(disk)
        file = faulty.create("a")
        faulty.sync_directory()
        file.write(b"data")
        faulty.fail(Fault.ERROR, kind="sync")
        with pytest.raises(StoreError):
            file.sync()
        assert disk.read("a") == b"data"
        file.sync()
        assert disk.read("a") == b"data"
        disk.power_cut()
        left.add(disk.read("a"))
    assert left == {b"data", bytes(4)}


def test_what_is_settled_is_shown_as_the_disk_has_it() -> None:
    left = set()
    for disk in disks():
        faulty = FaultyFiles(disk)
        file = faulty.create("a")
        faulty.sync_directory()
        file.write(b"data")
        faulty.fail(Fault.ERROR, kind="sync")
        with pytest.raises(StoreError):
            file.sync()
        disk.settle("a")
        shown = disk.read("a")
        disk.power_cut()
        assert disk.read("a") == shown
        left.add(shown)
    assert left == {b"data", bytes(4)}


def test_what_was_put_there_is_on_the_disk() -> None:
    for disk in disks():
        disk.put("a", b"data")
        disk.power_cut()
        assert disk.read("a") == b"data"


def test_one_seed_is_one_fate() -> None:
    def fate(seed: int) -> list[tuple[str, bytes]]:
        disk = SimulatedDisk(Random(seed))  # noqa: S311
        for number in range(20):
            put(disk, f"{number}", b"%d" % number * 100, synced=False)
            if number % 2:
                disk.sync_directory()
        disk.power_cut()
        return [(name, disk.read(name)) for name in disk.names()]

    assert fate(1) == fate(1)
    assert fate(1) != fate(2)


def test_a_copy_has_the_same_fate_and_goes_its_own_way() -> None:
    for disk in disks():
        put(disk, "a")
        put(disk, "b", synced=False)
        copy = disk.copy()
        put(disk, "c")
        disk.unlink("c")
        copy.power_cut()
        again = copy.copy()
        assert again.names() == copy.names()
        assert disk.read("b") == b"data"
        assert set(copy.names()) <= {"a", "b"}


@pytest.mark.parametrize("seed", range(5))
async def test_what_a_queue_has_accepted_outlives_a_power_cut(seed: int) -> None:
    disk = SimulatedDisk(Random(seed))  # noqa: S311
    async with JobQueue(files=disk) as queue:
        task = queue.task(name="do")(_do_nothing)
        jobs = [await task.using(delay=3600).submit() for _ in range(3)]
        left = disk.copy()
        await queue.cancel(jobs[0].id)
    left.power_cut()
    async with JobQueue(files=left) as queue:
        queue.task(name="do")(_do_nothing)
        assert [(await queue.handle(job.id).record()).state for job in jobs] == [JobState.SCHEDULED] * 3


async def _do_nothing() -> None:
    pass
