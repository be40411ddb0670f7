"""Where a directory is damaged: every file read by itself, and every place measured.

Recovery stops at the first damage, which is all that it needs to know. Who has to decide what to do wants to
know of each place where it begins, which facts stood there, and how much behind it is intact; and he wants to
know of rot in the generation before the newest snapshot, too, before that is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise, zip_longest
from typing import Any

from attrs import frozen

from actorq.errors import StoreCorrupt, StoreError
from actorq.store.files import Entry, Files
from actorq.store.line import HEADER_SEED, Damage, Line, read_lines, unframe
from actorq.store.recovery import telling
from actorq.store.segment import SegmentReader, first_of, record_starts, segments
from actorq.store.snapshot import SnapshotReader, n_of, snapshots

__all__ = ["Spot", "damaged_spots", "measured", "spares"]


@frozen
class Spot:
    """A place where something is not as it should be."""

    name: str
    """Of the file."""
    line: int
    why: str
    byte: int | None = None
    """Where the line begins, or the file ends; None: that cannot be known."""
    facts: tuple[int, int] | None = None
    """Which facts stood there, from and to; None: none, or that cannot be known."""
    intact: int | None = None
    """How many lines that verify follow in the file; None: its first line, which proves them, is not right."""
    is_needed: bool = True
    """Whether an opening would read it; else it is of the generation before."""


def spares(entries: list[Entry]) -> list[Entry]:
    """Return the snapshots and segments that an opening does not read, because the newest snapshot knows it all."""
    pictures = snapshots(entries)
    if not pictures:
        return []
    next_n = n_of(pictures[0].name) + 1
    return [*pictures[1:], *(one for one, behind in pairwise(segments(entries)) if first_of(behind) <= next_n)]


def damaged_spots(files: Files, entries: list[Entry], unread: list[Entry], mark: int) -> Iterator[Spot]:
    """Yield what is wrong with each of the ``unread`` files by itself: its first damage.

    Raises:
        StoreTooNew: a later actorq wrote it.
        StoreError: it cannot be opened.
    """
    spare = {entry.name for entry in spares(entries)}
    for entry in snapshots(unread):
        try:
            _read_snapshot(files, entry)
        except StoreCorrupt as error:
            yield measured(files, entry.name, error, is_needed=entry.name not in spare)
    journal = segments(entries)
    for entry, next_one in zip_longest(journal, journal[1:]):
        if entry in unread:
            proven = mark if next_one is None else first_of(next_one) - 1
            reader = SegmentReader(files, entry, proven)
            try:
                _read_segment(files, reader, entry)
            except StoreCorrupt as error:
                lost = (reader.next, proven)
                yield measured(files, entry.name, error, lost=lost, is_needed=entry.name not in spare)


def _read_snapshot(files: Files, entry: Entry) -> None:
    with telling(files, entry.name):
        if not entry.is_file:
            raise Damage("this is no regular file", 1)
        files.settle(entry.name)
        for _ in SnapshotReader(files, entry.name).jobs():
            pass


def _read_segment(files: Files, reader: SegmentReader, entry: Entry) -> None:
    with telling(files, entry.name):
        if entry.is_file:
            files.settle(entry.name)
        for _ in reader.transactions():
            pass


def measured(
    files: Files,
    name: str,
    error: StoreCorrupt,
    *,
    lost: tuple[int, int] | None = None,
    is_needed: bool = True,
) -> Spot:
    """Measure the damage: where the line begins, what follows, and which facts stood between.

    Args:
        files: where it is.
        name: of the file.
        error: line, and reason.
        lost: the first fact that could not be read, and the last that had been on the disk.
        is_needed: see :class:`Spot`.
    """
    byte: int | None = None
    behind: list[int] | None = None
    with suppress(StoreError):  # no regular file, or one that cannot be read: the reason says so
        byte = _offset(files, name, error.line)
        behind = _behind(files, name, error.line)
    facts: tuple[int, int] | None = None
    if lost is not None:
        following = next((n for n in behind or () if n >= lost[0]), lost[1] + 1)
        facts = (lost[0], following - 1) if lost[0] < following else None
    return Spot(name, error.line, error.why, byte, facts, None if behind is None else len(behind), is_needed)


def _offset(files: Files, name: str, number: int) -> int:
    """Return where the line begins, or the file ends."""
    end = 0
    for line in read_lines(files, name):
        if line.number == number:
            return line.offset
        end = line.offset + len(line.data) + 1
    return end


def _behind(files: Files, name: str, number: int) -> list[int] | None:
    """Return, for each line behind that verifies, the number of its first fact, or -1; None: none can be verified."""
    found: list[int] = []
    seed: int | None = None
    for line in read_lines(files, name):
        if line.number == 1:
            seed = _seed(line)
        if seed is None:
            return None
        if line.number >= number:
            found += (_number(fields) for fields in _records(line, seed, is_bad=line.number == number))
    return found


def _number(fields: dict[str, Any]) -> int:
    n = fields.get("n")
    return n if type(n) is int and "facts" in fields else -1


def _seed(first: Line) -> int | None:
    try:
        salt = unframe(first.data, HEADER_SEED).get("salt")
    except Damage:
        return None
    return salt if type(salt) is int else None


def _records(line: Line, seed: int, *, is_bad: bool) -> Iterator[dict[str, Any]]:
    """Yield what verifies in a line; of a bad one, what was glued to it when a newline was lost."""
    for start in filter(None, record_starts(line.data)) if is_bad else (0,):
        with suppress(Damage):
            yield unframe(line.data[start:], seed)
