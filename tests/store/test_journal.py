"""Writing: what is said to be written outlives the process, what is said to be synced the power; all or none."""

from collections.abc import Callable
from typing import Any

import pytest

from actorq.core import facts as f
from actorq.core.job import JobOptions
from actorq.errors import StoreError, StoreFailed, StoreFull
from actorq.store import journal as module
from actorq.store import journal_codec
from actorq.store.journal import MARK, RESERVE, Journal, read_mark
from actorq.store.journal_codec import decode_mark
from actorq.store.recovery import recover
from actorq.store.segment import segment_name
from actorq.testing import Died, Fault, FaultyFiles, MemoryFiles

FIRST = segment_name(1)


def fact(n: int, payload: bytes = b"[]") -> f.Fact:
    made = f.Submitted(float(n), f"job-{n}", float(n), n, "t", payload, JobOptions())
    made.n = n
    return made


@pytest.fixture
def disk() -> MemoryFiles:
    return MemoryFiles()


@pytest.fixture
def faulty(disk: MemoryFiles, monkeypatch: pytest.MonkeyPatch) -> FaultyFiles:
    """What the journal writes through; with a reserve so small that it costs no time."""
    monkeypatch.setattr(module, "RESERVE_BYTES", 100)
    monkeypatch.setattr(module, "BATCH_BYTES", 100)
    return FaultyFiles(disk)


def start(files: Any, n: int = 0) -> Journal:
    journal = Journal(files, "mail", n, boot="boot", wall=lambda: 5.0)
    journal.open()
    return journal


@pytest.fixture
def journal(faulty: FaultyFiles) -> Journal:
    return start(faulty)


def asked(faulty: FaultyFiles, since: int = 0) -> list[str]:
    return [f"{one.kind} {one.name}".strip() for one in faulty.log[since:]]


def found(disk: Any) -> list[int]:
    """Return the facts that another life would find."""
    ledger = recover(disk.copy()).ledger
    return list(range(1, ledger.n + 1))


# ── to open ──────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_touched_before_it_is_opened(disk: MemoryFiles) -> None:
    Journal(disk, "mail", 0, boot="", wall=lambda: 1.0)
    assert disk.names() == []


def test_the_header_and_its_name_are_on_the_disk_before_anything_else_is_written(
    journal: Journal, faulty: FaultyFiles
) -> None:
    assert asked(faulty)[:4] == [f"create {FIRST}", f"write {FIRST}", f"sync {FIRST}", "sync_directory"]
    assert journal.where == f"/memory/{FIRST}"
    assert journal.has_reserve


def test_each_life_begins_a_segment_of_its_own(disk: MemoryFiles, journal: Journal, faulty: FaultyFiles) -> None:
    journal.append([[fact(1)]])
    journal.sync()
    before = disk.read(FIRST)
    second = start(faulty, 1)
    second.append([[fact(2)]])
    assert disk.read(FIRST) == before
    assert found(disk) == [1, 2]


def test_the_disk_is_not_asked_again_to_sync_what_is_synced(journal: Journal, faulty: FaultyFiles) -> None:
    journal.append([[fact(1)]])
    journal.sync()
    before = len(faulty.log)
    journal.sync()
    assert asked(faulty, before) == []


def test_a_segment_that_is_there_already_is_not_written_to(disk: MemoryFiles, journal: Journal) -> None:
    with pytest.raises(StoreError):
        start(disk)


@pytest.mark.parametrize("kind", ["create", "write", "sync"])
@pytest.mark.parametrize("how", [Fault.ERROR, Fault.FULL])
def test_a_segment_that_cannot_be_begun_is_removed(
    disk: MemoryFiles, faulty: FaultyFiles, kind: str, how: Fault
) -> None:
    faulty.fail(how, kind=kind, name=FIRST)
    with pytest.raises(StoreFull if how is Fault.FULL else StoreError, match="as the test wanted it"):
        start(faulty)
    assert FIRST not in disk.names()


@pytest.mark.parametrize("kind", ["write", "sync", "rename"])
def test_a_witness_that_cannot_be_begun_is_an_error(disk: MemoryFiles, faulty: FaultyFiles, kind: str) -> None:
    faulty.fail(Fault.ERROR, kind=kind, name="mark*")
    with pytest.raises(StoreError, match="as the test wanted it"):
        start(faulty)


# ── to append and to sync ────────────────────────────────────────────────────────────────────────


def test_what_is_appended_is_written_and_what_is_synced_is_synced(disk: MemoryFiles, journal: Journal) -> None:
    journal.append([[fact(1), fact(2)], [fact(3)]])
    assert (journal.written, journal.synced) == (3, 0)
    assert found(disk) == [1, 2, 3]
    assert journal.size == len(disk.read(FIRST))
    journal.sync()
    assert (journal.written, journal.synced) == (3, 3)


def test_the_watermark_says_how_far_the_disk_had_come(disk: MemoryFiles, journal: Journal) -> None:
    journal.append([[fact(1)]])
    journal.append([[fact(2)]])
    journal.sync()
    journal.append([[fact(3)]])
    assert [b'"d":%d' % d in line for d, line in zip((0, 0, 2), disk.read(FIRST).splitlines()[1:], strict=True)] == [
        True
    ] * 3


def test_nothing_to_append_is_nothing(journal: Journal) -> None:
    journal.append([])
    assert journal.written == 0


def test_a_large_batch_takes_several_writes_and_a_large_transaction_several_lines(
    journal: Journal, disk: MemoryFiles, faulty: FaultyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_codec, "LINE_TARGET", 10)
    before = len(faulty.log)
    journal.append([[fact(1), fact(2)], [fact(3)]])
    assert asked(faulty, before) == [f"write {FIRST}"] * 4
    assert found(disk) == [1, 2, 3]


def test_a_batch_that_finds_no_room_is_taken_back_from_the_disk_too(
    disk: MemoryFiles, journal: Journal, faulty: FaultyFiles
) -> None:
    journal.append([[fact(1)]])
    size = journal.size
    faulty.fail(Fault.FULL_WITHIN, kind="write", name="wal*", skip=1)
    before = len(faulty.log)
    with pytest.raises(StoreFull):
        journal.append([[fact(2)], [fact(3)]])
    assert (journal.written, journal.synced, journal.size, journal.failure) == (1, 1, size, None)
    assert len(disk.read(FIRST)) == size
    assert asked(faulty, before) == [f"write {FIRST}", f"write {FIRST}", f"cut {FIRST}", f"sync {FIRST}"]
    assert found(disk) == [1]


@pytest.mark.parametrize("kind", ["cut", "sync"])
def test_what_cannot_be_taken_back_poisons(journal: Journal, faulty: FaultyFiles, kind: str) -> None:
    faulty.fail(Fault.FULL, kind="write", name="wal*")
    faulty.fail(Fault.FULL, kind=kind, name="wal*")
    with pytest.raises(StoreFailed):
        journal.append([[fact(1)]])
    assert journal.failure is not None


@pytest.mark.parametrize("how", [Fault.ERROR, Fault.ERROR_WITHIN])
def test_a_write_that_fails_poisons(journal: Journal, faulty: FaultyFiles, how: Fault) -> None:
    faulty.fail(how, kind="write", name="wal*")
    with pytest.raises(StoreFailed) as caught:
        journal.append([[fact(1)]])
    assert caught.value is journal.failure
    assert "as the test wanted it" in str(caught.value)
    assert journal.written == 0


@pytest.mark.parametrize("how", [Fault.ERROR, Fault.FULL])
def test_a_sync_that_fails_is_never_tried_again(journal: Journal, faulty: FaultyFiles, how: Fault) -> None:
    journal.append([[fact(1)]])
    faulty.fail(how, kind="sync", name="wal*")
    verbs: list[Callable[[], object]] = [
        journal.sync,
        journal.sync,
        journal.renew,
        journal.rotate,
        journal.mark,
        lambda: journal.append([[fact(2)]]),
    ]
    for verb in verbs:
        with pytest.raises(StoreFailed) as caught:
            verb()
        assert caught.value is journal.failure
    journal.close()
    assert asked(faulty).count(f"sync {FIRST}") == 2, "the header's, and the one that failed"
    assert journal.synced == 0


def test_a_bug_while_writing_poisons_too(journal: Journal) -> None:
    with pytest.raises(StoreFailed):
        journal.append([[object()]])  # type: ignore[list-item]
    assert journal.failure is not None


def test_the_end_of_the_process_while_writing_is_not_held_up(journal: Journal, faulty: FaultyFiles) -> None:
    faulty.fail(Fault.DEATH, kind="write")
    with pytest.raises(Died):
        journal.append([[fact(1)]])
    assert journal.failure is not None


def test_poison_from_outside_keeps_the_first_reason(journal: Journal) -> None:
    first = journal.poison(OSError("first"))
    assert journal.poison(OSError("second")) is first
    assert "first" in str(first)
    with pytest.raises(StoreFailed, match="first"):
        journal.append([])


# ── to go on in another segment ──────────────────────────────────────────────────────────────────


def test_rotating_completes_the_segment_and_begins_the_next(disk: MemoryFiles, journal: Journal) -> None:
    journal.append([[fact(1)]])
    journal.rotate()
    assert (journal.synced, journal.where) == (1, f"/memory/{segment_name(2)}")
    journal.append([[fact(2)]])
    assert b'"t":"end","n":1' in disk.read(FIRST)
    assert found(disk) == [1, 2]


def test_all_is_synced_before_the_line_that_says_so(journal: Journal, faulty: FaultyFiles) -> None:
    journal.append([[fact(1)]])
    before = len(faulty.log)
    journal.rotate()
    assert asked(faulty, before)[:4] == [f"sync {FIRST}", f"write {FIRST}", f"sync {FIRST}", f"close {FIRST}"]


@pytest.mark.parametrize("verb", ["rotate", "renew"])
def test_an_empty_segment_goes_on(disk: MemoryFiles, journal: Journal, verb: str) -> None:
    getattr(journal, verb)()
    assert journal.where == f"/memory/{FIRST}"
    journal.append([[fact(1)]])
    assert found(disk) == [1]


def test_renewing_leaves_the_segment_as_it_is_but_synced(
    disk: MemoryFiles, journal: Journal, faulty: FaultyFiles
) -> None:
    journal.append([[fact(1)]])
    before, since = disk.read(FIRST), len(faulty.log)
    journal.renew()
    assert disk.read(FIRST) == before
    assert asked(faulty, since)[0] == f"sync {FIRST}"
    journal.append([[fact(2)]])
    assert found(disk) == [1, 2]


def test_when_there_is_no_room_for_a_segment_it_is_tried_again(
    disk: MemoryFiles, journal: Journal, faulty: FaultyFiles
) -> None:
    journal.append([[fact(1)]])
    faulty.fail(Fault.FULL_WITHIN, kind="write", name=segment_name(2), times=2)
    with pytest.raises(StoreFull):
        journal.rotate()
    with pytest.raises(StoreFull):
        journal.renew()
    assert segment_name(2) not in disk.names()
    assert journal.failure is None
    journal.renew()
    journal.append([[fact(2)]])
    assert found(disk) == [1, 2]


def test_no_room_for_the_last_line_is_no_obstacle(disk: MemoryFiles, journal: Journal, faulty: FaultyFiles) -> None:
    journal.append([[fact(1)]])
    faulty.fail(Fault.FULL_WITHIN, kind="write", name=FIRST)
    journal.rotate()
    assert b'"end"' not in disk.read(FIRST)
    journal.append([[fact(2)]])
    assert found(disk) == [1, 2]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("sync", FIRST), ("write", FIRST), ("close", FIRST), ("create", "wal*"), ("write", segment_name(2)),
     ("sync", segment_name(2)), ("sync_directory", "")],
)  # fmt: skip
def test_an_error_while_rotating_poisons(journal: Journal, faulty: FaultyFiles, kind: str, name: str) -> None:
    journal.append([[fact(1)]])
    faulty.fail(Fault.ERROR, kind=kind, name=name)
    with pytest.raises(StoreFailed):
        journal.rotate()
    assert journal.failure is not None


# ── the witness ──────────────────────────────────────────────────────────────────────────────────


def witnessed(disk: MemoryFiles) -> int | None:
    return decode_mark(disk.read(MARK))


def test_the_witness_tells_only_what_was_synced(disk: MemoryFiles, journal: Journal, faulty: FaultyFiles) -> None:
    assert witnessed(disk) == 0
    journal.append([[fact(1)]])
    journal.mark()
    assert witnessed(disk) == 0
    journal.sync()
    journal.mark()
    assert (witnessed(disk), journal.marked) == (1, 1)
    assert read_mark(disk, disk.list()) == 1
    before = len(faulty.log)
    journal.mark()
    assert asked(faulty, before) == [f"is_in_place {FIRST}"], "there is nothing new to tell"
    journal.append([[fact(2)]])
    journal.sync()
    journal.append([[fact(3)]])
    journal.mark()
    assert witnessed(disk) == 2


def test_the_witness_of_this_life_begins_where_the_last_one_ended(disk: MemoryFiles, faulty: FaultyFiles) -> None:
    disk.put(MARK, b"of an earlier life")
    disk.put(MARK + ".tmp", b"left")
    start(faulty, 7)
    assert witnessed(disk) == 7
    assert disk.names() == [MARK, RESERVE, segment_name(8)]


@pytest.mark.parametrize("kind", ["overwrite", "sync"])
def test_a_witness_that_fails_is_no_obstacle(journal: Journal, faulty: FaultyFiles, kind: str) -> None:
    journal.append([[fact(1)]])
    journal.sync()
    faulty.fail(Fault.ERROR, kind=kind, name="mark*")
    journal.mark()
    assert (journal.marked, journal.failure) == (0, None)
    journal.mark()
    assert journal.marked == 1


def test_a_segment_that_was_moved_away_poisons(disk: MemoryFiles, journal: Journal) -> None:
    disk.rename(FIRST, "elsewhere")
    with pytest.raises(StoreFailed, match="was moved or removed while it was being written"):
        journal.mark()


@pytest.mark.parametrize("data", [b"", b"torn", b"\0" * 64])
def test_a_torn_witness_tells_nothing(disk: MemoryFiles, data: bytes) -> None:
    assert read_mark(disk, disk.list()) == 0
    disk.put(MARK, data)
    assert read_mark(disk, disk.list()) == 0
    disk.odd.add(MARK)
    assert read_mark(disk, disk.list()) == 0


# ── room ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_reserve_is_real_bytes_and_is_given_up(disk: MemoryFiles, journal: Journal) -> None:
    assert len(disk.read(RESERVE)) == 100
    assert journal.hold_reserve()
    journal.give_up_reserve()
    assert not journal.has_reserve
    assert RESERVE not in disk.names()
    assert journal.hold_reserve()
    assert len(disk.read(RESERVE)) == 100


def test_a_reserve_makes_room_for_what_must_be_written(disk: MemoryFiles, journal: Journal) -> None:
    disk.room = sum(len(disk.read(name)) for name in disk.names())
    with pytest.raises(StoreFull):
        journal.append([[fact(1)]])
    journal.give_up_reserve()
    journal.renew()
    with pytest.raises(StoreFull):
        journal.append([[fact(1, b'"%s"' % (b"x" * 200))]])
    journal.renew()
    disk.room += 200
    journal.append([[fact(1)]])
    assert found(disk) == [1]


def test_without_room_for_a_reserve_there_is_none_and_no_part_of_one(disk: MemoryFiles, faulty: FaultyFiles) -> None:
    faulty.fail(Fault.FULL_WITHIN, kind="write", name=RESERVE)
    journal = start(faulty)
    assert not journal.has_reserve
    assert RESERVE not in disk.names()


@pytest.mark.parametrize("kind", ["unlink", "sync_directory"])
def test_an_error_about_the_reserve_is_no_obstacle(journal: Journal, faulty: FaultyFiles, kind: str) -> None:
    faulty.fail(Fault.ERROR, kind=kind)
    journal.give_up_reserve()
    assert journal.failure is None
    assert not journal.has_reserve


# ── to close ─────────────────────────────────────────────────────────────────────────────────────


def test_closing_completes_the_segment_and_tells_the_witness(disk: MemoryFiles, journal: Journal) -> None:
    journal.append([[fact(1)]])
    journal.close()
    assert (journal.synced, witnessed(disk)) == (1, 1)
    assert disk.read(FIRST).splitlines()[-1].startswith(b'{"t":"end","n":1')
    journal.close()


def test_abandoning_leaves_the_files_as_they_are(disk: MemoryFiles, journal: Journal, faulty: FaultyFiles) -> None:
    journal.append([[fact(1)]])
    before = disk.read(FIRST)
    faulty.fail(Fault.ERROR, kind="close", times=2)
    journal.abandon()
    assert disk.read(FIRST) == before
    journal.abandon()


def test_an_error_while_closing_poisons_and_lets_go(journal: Journal, faulty: FaultyFiles) -> None:
    journal.append([[fact(1)]])
    faulty.fail(Fault.ERROR, kind="sync", name="wal*")
    with pytest.raises(StoreFailed):
        journal.close()
    assert [one for one in asked(faulty) if one.startswith("close")][-2:] == [f"close {FIRST}", f"close {MARK}.tmp"]
