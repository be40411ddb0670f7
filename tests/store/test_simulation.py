"""Many lives on the worst disk that the rules allow, each world from one seed; and the proof that it sees.

``ACTORQ_SIMULATION_SEEDS`` says how many worlds there are of each kind, at least 60: the long form. A failure names
its seed; ``live(seed, mode)`` of ``world`` lives it again, step by step the same.

The simulation is worth what it catches. So each mistake that one could make in the journal, the snapshot or the
recovery is planted here, and must be caught; one that was made and found is planted, too.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, cast

import pytest

from actorq.core.facts import Fact
from actorq.errors import StoreCorrupt, StoreError, StoreFailed
from actorq.store import recovery, snapshot
from actorq.store.files import Files
from actorq.store.journal import Journal
from actorq.store.journal_codec import _WRITERS, FactEncoder, encode_end, encode_mark
from actorq.store.segment import first_of, segments
from actorq.store.snapshot import SnapshotWriter
from actorq.store.snapshot_codec import Footer, encode_footer

from .world import Lie, Mode, World, live, make_small

SEEDS = max(60, int(os.environ.get("ACTORQ_SIMULATION_SEEDS", "0")))

BOUND = 400
"""Worlds in which a planted bug must be caught."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


@cache
def lived_in(mode: Mode) -> Counter[str]:
    """Live all worlds of a kind, and return what has happened in them."""
    return sum((live(seed, mode).seen for seed in range(SEEDS)), start=Counter[str]())


@pytest.mark.parametrize("mode", ["fsync", "flush"])
def test_nothing_acknowledged_is_lost_and_nothing_that_ended_comes_back(mode: Mode) -> None:
    lived_in(mode)


def test_the_worlds_have_seen_what_they_are_there_for() -> None:
    assert {
        "kill", "power cut", "torn tail", "rotation", "compaction", "put in place", "snapshot loaded", "refused",
        "room again", "no room in the middle", "no room at a rotation", "no room for a new segment", "end: closed",
        "end: death", "end: failure", "end: not opened", "end: no room to open", "death at write", "death at sync",
        "death at create", "death at rename", "death at sync_directory", "death at settle", "death at blocks",
        "death at unlink", "death at overwrite", *(kind.__name__ for kind in _WRITERS),
    } <= {*lived_in("fsync"), *lived_in("flush")}  # fmt: skip


def test_one_seed_is_one_fate() -> None:
    first, second = live(7, "flush"), live(7, "flush")
    assert first.trace == second.trace
    assert first.disk.names() == second.disk.names()
    assert all(first.disk.read(name) == second.disk.read(name) for name in first.disk.names())


# -- planted bugs ----------------------------------------------------------------------------------


class Without:
    """Something of which some methods do nothing."""

    def __init__(self, inner: Any, *lacks: str) -> None:
        self.inner = inner
        self.lacks = lacks

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in self.lacks else getattr(self.inner, name)


def nothing_is_synced(patch: pytest.MonkeyPatch) -> None:
    def sync(self: Journal) -> None:
        self.synced = self.written

    patch.setattr(Journal, "sync", sync)


def a_sync_is_tried_again(patch: pytest.MonkeyPatch) -> None:
    def sync(self: Journal) -> None:
        try:
            self._open_segment().sync()
        except StoreError:
            self._open_segment().sync()
        self.synced = self.written

    patch.setattr(Journal, "sync", sync)


def an_error_of_rotation_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    rotate = Journal.rotate

    def rotate_anyway(self: Journal) -> None:
        try:
            rotate(self)
        except StoreFailed:
            self.failure, self.synced = None, self.written
            self.renew()

    patch.setattr(Journal, "rotate", rotate_anyway)


def the_directory_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    begin = Journal._begin_segment

    def begin_without(self: Journal) -> None:
        files, self._files = self._files, Without(self._files, "sync_directory")
        try:
            begin(self)
        finally:
            self._files = files

    patch.setattr(Journal, "_begin_segment", begin_without)


def the_header_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    begin = Journal._begin_segment

    def begin_without(self: Journal) -> None:
        files, self._files = self._files, Without(self._files)
        self._files.create = lambda name: Without(files.create(name), "sync")
        try:
            begin(self)
            if isinstance(self._segment, Without):
                self._segment = self._segment.inner
        finally:
            self._files = files

    patch.setattr(Journal, "_begin_segment", begin_without)


def a_short_write_is_not_cut_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "_cut", lambda self, size: None)


def what_is_cut_off_may_come_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "_cut", lambda self, size: self._open_segment().cut(size))


def a_segment_is_called_complete_before_it_is_synced(patch: pytest.MonkeyPatch) -> None:
    def complete(self: Journal) -> None:
        with self._poisoning(full_too=True):
            self._open_segment().write(encode_end(self.written, self._salt))
            self._open_segment().sync()
        self.synced = self.written

    patch.setattr(Journal, "_complete", complete)


def the_mark_runs_ahead(patch: pytest.MonkeyPatch) -> None:
    def mark(self: Journal) -> None:
        assert self._mark is not None
        self._mark.overwrite(encode_mark(self.written))
        self._mark.sync()

    patch.setattr(Journal, "mark", mark)


def the_watermark_says_too_much(patch: pytest.MonkeyPatch) -> None:
    encode = FactEncoder.encode

    def encode_too_much(self: FactEncoder, facts: list[Fact], durable: int) -> Iterator[bytes]:
        return encode(self, facts, facts[0].n - 1)

    patch.setattr(FactEncoder, "encode", encode_too_much)


def recovery_believes_its_memory(patch: pytest.MonkeyPatch) -> None:
    fold = recovery.fold
    patch.setattr(recovery, "fold", lambda files, entries: fold(cast("Files", Without(files, "settle")), entries))


def a_snapshot_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    def complete(self: SnapshotWriter, rest: Callable[[], None]) -> None:
        footer = Footer(self.count, 0, self._totals.n, f"{self._digest:08x}")
        self._file.write(self._add(encode_footer(footer, self._salt)))
        self._file.close()
        self._read_back(rest)

    patch.setattr(SnapshotWriter, "complete", complete)


def old_segments_go_before_the_snapshot_is_in_place(patch: pytest.MonkeyPatch) -> None:
    def put_in_place(files: Any, name: str) -> None:
        journal_of_old = segments(files.list())
        for entry in journal_of_old:
            if first_of(entry) <= snapshot.n_of(name):
                files.unlink(entry.name)
        files.rename(name + ".tmp", name)
        files.sync_directory()

    patch.setattr(snapshot, "put_in_place", put_in_place)


def it_is_told_before_it_is_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(World, "hears_too_early", True)


BUGS: list[tuple[Callable[[pytest.MonkeyPatch], None], Mode]] = [
    (nothing_is_synced, "fsync"),
    (it_is_told_before_it_is_synced, "fsync"),
    (a_sync_is_tried_again, "fsync"),
    (an_error_of_rotation_is_swallowed, "flush"),
    (the_directory_is_not_synced, "fsync"),
    (the_header_is_not_synced, "fsync"),
    (a_short_write_is_not_cut_off, "fsync"),
    (what_is_cut_off_may_come_back, "fsync"),
    (a_segment_is_called_complete_before_it_is_synced, "flush"),
    (the_mark_runs_ahead, "flush"),
    (the_watermark_says_too_much, "flush"),
    (recovery_believes_its_memory, "flush"),
    (a_snapshot_is_not_synced, "fsync"),
    (old_segments_go_before_the_snapshot_is_in_place, "fsync"),
]


def first_lie(mode: Mode) -> BaseException | None:
    for seed in range(BOUND):
        try:
            live(seed, mode)
        except AssertionError as caught:
            return caught.__cause__
    return None


@pytest.mark.parametrize(("bug", "mode"), BUGS, ids=[bug.__name__ for bug, _ in BUGS])
def test_a_planted_bug_is_caught(
    bug: Callable[[pytest.MonkeyPatch], None], mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    assert isinstance(first_lie(mode), Lie | StoreCorrupt)
