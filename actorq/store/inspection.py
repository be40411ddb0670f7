"""Look at a directory and leave it as it is: what it holds, what is wrong with it, and whose it is.

It is folded as an opening would fold it; what that does not read, or stumbles over, is read by itself (see
``spot``); and of what is damaged it is told what salvage would make of it.

The directory may be in use. Then files grow and go while they are read, and what looks like damage may be
a picture of two moments; so one that is not whole is looked at again, up to ``LOOKS`` times.

Whether it is in use is asked of the lock itself, shared and for an instant, because the card in it stays
when its owner goes. An owner who comes in that very instant is refused; he may come again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import Any, Final

import orjson
from attrs import define, evolve, field, frozen

from actorq.core.ledger import Ledger
from actorq.errors import StoreCorrupt, StoreError
from actorq.store.files import DiskFiles, Entry
from actorq.store.journal import MARK, read_mark
from actorq.store.journal_codec import decode_mark
from actorq.store.line import HEADER_SEED, Damage, read_lines, unframe
from actorq.store.recovery import Report, collector_off, fold
from actorq.store.salvage import keep_what_can_be_read
from actorq.store.segment import first_of, segments
from actorq.store.snapshot import is_leftover, snapshots
from actorq.store.spot import Spot, damaged_spots, measured, spares

__all__ = ["Finding", "Owner", "Taken", "UnownedFiles", "examine", "refuse_other_directories"]

LOCK: Final = "lock"

LOOKS: Final = 3
"""How often a directory in use is looked at before it is called damaged."""

CARD_LIMIT: Final = 4096
"""Bytes of the lock that are read."""

CANNOT_SYNC: Final = (errno.EINVAL, errno.EROFS, errno.ENOTSUP)
"""How file systems answer a sync that have nothing to write, because nobody can write to them."""


# -- a directory that is not ours ------------------------------------------------------------------


@frozen
class Owner:
    """Who holds the lock, as far as he has said."""

    pid: int | None = None
    host: str | None = None
    started: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        return f"pid {self.pid} on {self.host} since {self.started}"


class UnownedFiles(DiskFiles):
    """A directory that is only read, on any file system, with or without its owner."""

    def settle(self, name: str) -> None:
        """Settle the file, unless nothing can be written to where it is: then it is settled."""
        try:
            super().settle(name)
        except StoreError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in CANNOT_SYNC:
                raise

    def size(self, name: str) -> int:
        """Return how many bytes there are in the file; 0 if it has just gone."""
        try:
            return os.lstat(self.where(name)).st_size
        except OSError:
            return 0

    def owner(self) -> Owner | None:
        """Return who owns the directory at this moment; None: nobody does."""
        try:
            fd = os.open(self.where(LOCK), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None  # nobody ever did; or we may not know, and then may not read anything else either
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _owner_of(os.pread(fd, CARD_LIMIT, 0))
        finally:
            os.close(fd)
        return None


def _owner_of(card: bytes) -> Owner:
    """Return who a card speaks of; it may be half written, or anything."""
    try:
        fields: Any = orjson.loads(card)
        return Owner(int(fields["pid"]), str(fields["host"]), str(fields["started"]))
    except (ValueError, KeyError, TypeError):
        return Owner()


# -- what is found ---------------------------------------------------------------------------------


@frozen
class Taken:
    """How many files there are of a kind, and how large they are together."""

    count: int
    size: int


@define
class Finding:
    """All that was found."""

    path: str
    owner: Owner | None
    mark: int | None
    """Up to which fact the disk was seen to have come; None: there is no witness, or it is torn."""
    snapshots: Taken
    segments: Taken
    leftovers: list[str]
    """Files that were never finished; the next opening removes them."""
    queue: str | None
    """The name of the queue, if any file can tell it."""
    ledger: Ledger = field(factory=Ledger)
    """What an opening gives; of damage, what salvage gives."""
    report: Report = field(factory=lambda: Report(""))
    refusal: StoreCorrupt | None = None
    """What a strict opening raises; None: it opens."""
    damage: list[Spot] = field(factory=list[Spot])
    tail: Spot | None = None
    """The torn tail."""
    last: int = 0
    """The last fact that is there."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong; a torn tail is not wrong."""
        return self.refusal is None and not self.damage

    @property
    def run_again(self) -> list[str]:
        """Doubtful jobs that salvage lets run, perhaps for a second time."""
        jobs = self.ledger.jobs
        return [job_id for job_id in self.report.doubtful if job_id in jobs and not jobs[job_id].state.is_final]


def refuse_other_directories(files: UnownedFiles) -> None:
    """Return if a queue has ever opened the directory.

    Raises:
        StoreError: none has, or it cannot be listed.
    """
    entries = files.list()
    if not (snapshots(entries) or segments(entries) or any(entry.name in (LOCK, MARK) for entry in entries)):
        raise StoreError(
            files.where(),
            "holds no queue: none of the files is there that one would have made. Name the directory of a queue.",
        )


def examine(files: UnownedFiles, *, is_ours: bool = False) -> Finding:
    """Look at everything, and change nothing.

    Args:
        files: the directory.
        is_ours: whether it is we who hold its lock.

    Raises:
        StoreTooNew: a later actorq wrote it.
        StoreError: there is no queue in it, or it cannot be read.
    """
    refuse_other_directories(files)
    if is_ours:
        return _look(files, None)
    for _ in range(LOOKS - 1):
        owner = files.owner()
        try:
            finding = _look(files, owner)
        except StoreError:
            if files.owner() is None:
                raise
            continue  # perhaps a file went after it was listed
        if finding.is_whole or owner is None:
            return finding
    return _look(files, files.owner())


def _look(files: UnownedFiles, owner: Owner | None) -> Finding:
    entries = files.list()
    mark = read_mark(files, entries)
    finding = Finding(
        files.where(),
        owner,
        mark=_witness(files, entries),
        snapshots=_taken(files, snapshots(entries)),
        segments=_taken(files, segments(entries)),
        leftovers=[entry.name for entry in entries if is_leftover(entry)],
        queue=_queue_of(files, entries),
    )
    with collector_off():
        try:
            _look_strictly(files, entries, mark, finding)
        except StoreCorrupt as refusal:
            _look_closely(files, entries, mark, finding, refusal)
    return finding


def _look_strictly(files: UnownedFiles, entries: list[Entry], mark: int, finding: Finding) -> None:
    folded = fold(files, entries)
    finding.ledger, finding.report = folded.recovered.ledger, folded.recovered.report
    finding.last = finding.ledger.n
    if folded.tear is not None:
        torn = next(flaw for flaw in finding.report.flaws if flaw.is_torn)
        finding.tail = Spot(torn.name, torn.line, torn.why, folded.tear[1])
    finding.damage = list(damaged_spots(files, entries, spares(entries), mark))


def _look_closely(
    files: UnownedFiles, entries: list[Entry], mark: int, finding: Finding, refusal: StoreCorrupt
) -> None:
    damage = list(damaged_spots(files, entries, entries, mark))
    kept = keep_what_can_be_read(files)
    finding.ledger, finding.report = kept.ledger, kept.report
    finding.last = kept.ledger.n - 1  # salvage goes on under a number that no fact has had
    name = MARK if refusal.path == files.where() else os.path.basename(refusal.path)  # noqa: PTH119
    first = [spot for spot in damage if (spot.name, spot.line) == (name, refusal.line)]
    if not first:  # no file shows it by itself
        ends = {mark, *(first_of(entry) - 1 for entry in segments(entries) if entry.name == name)}
        gap = next((gap for gap in kept.report.missing if gap[1] in ends), None)
        first = [evolve(measured(files, name, refusal), facts=gap)]
    finding.refusal = refusal
    finding.damage = [*first, *(spot for spot in damage if spot not in first)]


def _witness(files: UnownedFiles, entries: list[Entry]) -> int | None:
    if any(entry.name == MARK and entry.is_file for entry in entries):
        return decode_mark(next(files.blocks(MARK), b""))
    return None


def _queue_of(files: UnownedFiles, entries: list[Entry]) -> str | None:
    """Return what the newest first line that can be read says."""
    for entry in (*reversed(segments(entries)), *snapshots(entries)):
        with suppress(StoreError, Damage):
            first = next(read_lines(files, entry.name), None)
            name = None if first is None else unframe(first.data, HEADER_SEED).get("queue")
            if isinstance(name, str):
                return name
    return None


def _taken(files: UnownedFiles, entries: list[Entry]) -> Taken:
    return Taken(len(entries), sum(files.size(entry.name) for entry in entries))
