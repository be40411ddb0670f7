"""Find out what the directory holds, and trust nothing that is not whole.

The newest snapshot, if every line of it is right, and the facts of the journal behind it are folded to
the ledger that was. A torn tail, of which nobody had been told, is cut, and kept in ``quarantine/``.
Everything else that is wrong is damage, and forgetting what was accepted, or running again what had
ended, is nothing that may be decided here:

* ``"strict"`` raises :class:`~actorq.errors.StoreCorrupt`: which file, which line, and what the other
  way would mean. Nothing was changed.
* ``"salvage"`` keeps every line that verifies (see ``salvage``), and says in its report what is missing.

A file of a later format is not damaged: it is refused in both.

Before a file is read it is synced and dropped from memory. After a crash of the process the
operating system may show bytes that never reach the disk; to build on them and lose power
afterwards would undo a history that others have seen.

The garbage collector is off during the load (a million jobs load in about a half of the time) and
on again afterwards, if it was.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from attrs import define, field, frozen

from actorq.core.job import Job
from actorq.core.ledger import Ledger
from actorq.core.picture import Totals
from actorq.errors import InternalError, StoreCorrupt, StoreError, StoreTooNew
from actorq.store import journal_codec, snapshot_codec
from actorq.store.files import Entry, Files
from actorq.store.journal import read_mark
from actorq.store.line import Damage, NewerVersion
from actorq.store.segment import SegmentReader, first_of, segments
from actorq.store.snapshot import SnapshotReader, is_leftover, snapshots

__all__ = [
    "ADVICE", "QUARANTINE", "Flaw", "Folded", "Recovered", "Report", "collector_off", "fold", "free_name",
    "load_snapshot", "recover", "refusing_newer", "telling",
]  # fmt: skip

QUARANTINE: Final = "quarantine"

NAMED: Final = 20
"""Jobs that a message names; more are counted."""

ADVICE: Final = (
    "Put back a copy of the directory; or see what `python -m actorq verify` says, and open with recovery='salvage' "
    "to keep all that can be read, to run again what may not have ended, and to set the rest aside."
)


@frozen
class Flaw:
    """Something that is not as it should be."""

    name: str
    """Of the file."""
    line: int
    why: str
    is_torn: bool = False
    """Whether it is but a torn tail, of which nobody had been told."""
    moved_to: str = ""
    """Where it was set aside."""

    def __str__(self) -> str:
        word = "torn tail" if self.is_torn else "DAMAGED"
        moved = f" It is now {self.moved_to}." if self.moved_to else ""
        return f"{word}: {self.name}, line {self.line}: {self.why}.{moved}"


@define
class Report:
    """What was found."""

    path: str
    """The directory."""
    snapshot: str | None = None
    """The snapshot that was loaded; None: there was none."""
    queue: str | None = None
    """The name of the queue that wrote it all."""
    written_at: float | None = None
    """When the snapshot was written, by the wall clock."""
    segments: int = 0
    """How many files of the journal were read."""
    replayed: int = 0
    """How many facts were read behind the snapshot."""
    snapshot_bytes: int = 0
    journal_bytes: int = 0
    flaws: list[Flaw] = field(factory=list[Flaw])
    missing: list[tuple[int, int]] = field(factory=list[tuple[int, int]])
    """Facts that are lost, by number, from and to; only salvage goes on without."""
    doubtful: list[str] = field(factory=list[str])
    """Jobs of which facts are lost, or may be: those that have not ended, as far as can be read, run again."""

    @property
    def has_loss(self) -> bool:
        """Whether something that had been on the disk is gone."""
        return any(not flaw.is_torn for flaw in self.flaws)

    def __str__(self) -> str:
        if self.snapshot is None and not self.segments:
            found = f"{self.path}: nothing is there, so the queue begins empty."
        else:
            base = "no snapshot" if self.snapshot is None else f"{self.snapshot}, written at {_when(self.written_at)}"
            found = f"{self.path}: {base}, and {self.replayed} facts of {self.segments} segments of the journal."
        lines = [found, *map(str, self.flaws)]
        lines += [f"MISSING: facts {first} to {last}." for first, last in self.missing]
        if self.doubtful:
            more = f" and {len(self.doubtful) - NAMED} more" if len(self.doubtful) > NAMED else ""
            lines.append(f"Jobs that are in doubt, and may run again: {', '.join(self.doubtful[:NAMED])}{more}.")
        return "\n".join(lines)


@frozen
class Recovered:
    """What to go on with."""

    ledger: Ledger
    report: Report


@contextmanager
def collector_off() -> Generator[None]:
    """Switch the garbage collector off for a while, and on again if it was on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def recover(files: Files) -> Recovered:
    """Load what the directory holds, which must be locked, and tidy up what is left of an unfinished write.

    Raises:
        StoreCorrupt: something that had been on the disk is damaged or gone. Nothing was changed.
        StoreTooNew: a later actorq wrote it. Nothing was changed.
        StoreError: the directory cannot be used.
    """
    entries = files.list()
    files.sync_directory()
    with collector_off():
        found = fold(files, entries)
    if found.tear is not None:
        _keep_torn_tail(files, *found.tear)
    leftovers = [entry.name for entry in entries if is_leftover(entry)]
    for name in (*leftovers, *found.unused):
        files.unlink(name)
    files.sync_directory()
    return found.recovered


@frozen
class Folded:
    """What was folded, and what recovery has to do about it."""

    recovered: Recovered
    unused: tuple[str, ...] = ()
    """The last segment, if no fact is in it: the next life begins one of the same name."""
    tear: tuple[str, int] | None = None
    """The last segment, if it has a torn tail, and where that begins; older ones have been looked at."""


def fold(files: Files, entries: list[Entry], upto: int | None = None) -> Folded:
    """Fold snapshot and journal to the ledger; change nothing.

    Args:
        files: where they are.
        entries: what is there.
        upto: leave out the segment that begins behind this fact, because it is being written.

    Raises:
        StoreCorrupt, StoreTooNew, StoreError: as :func:`recover`.
    """
    report = Report(files.where())
    ledger = Ledger()
    for entry in snapshots(entries)[:1]:
        with telling(files, entry.name):
            ledger = load_snapshot(files, entry, report)
    journal = [entry for entry in segments(entries) if upto is None or first_of(entry) <= upto]
    mark = read_mark(files, entries) if upto is None else upto
    unused: tuple[str, ...] = ()
    tear: tuple[str, int] | None = None
    for place, entry in enumerate(journal):
        next_first = first_of(journal[place + 1]) if place + 1 < len(journal) else None
        if next_first is not None and next_first <= ledger.n + 1:
            continue  # the snapshot knows it all
        reader = SegmentReader(files, entry, mark if next_first is None else next_first - 1)
        with telling(files, entry.name):
            if entry.is_file:  # else the reader says so
                files.settle(entry.name)
            _fold_segment(reader, next_first, ledger, report)
        if next_first is None:
            unused = (entry.name,) if ledger.n < first_of(entry) else ()
            if reader.tear is not None:
                tear = (entry.name, reader.tear)
                report.flaws.append(Flaw(entry.name, reader.line, "it was never written to its end", is_torn=True))
    if mark > ledger.n:
        with telling(files, journal[-1].name if journal else ""):
            raise Damage(f"the journal ends with fact {ledger.n}, and fact {mark} had been on the disk", 1)
    return Folded(Recovered(ledger, report), unused, tear)


def _fold_segment(reader: SegmentReader, next_first: int | None, ledger: Ledger, report: Report) -> None:
    if reader.next > ledger.n + 1:
        raise Damage(f"facts {ledger.n + 1} to {reader.next - 1} are missing before it", 1)
    for facts in reader.transactions():
        for fact in facts:
            if fact.n > ledger.n:
                if fact.n == next_first:
                    raise Damage(f"fact {fact.n} stands in it, and the next file begins with another one", reader.line)
                try:
                    ledger.apply(fact)
                except InternalError as error:
                    raise Damage(f"it tells what cannot have happened: {error}", reader.line) from error
                report.replayed += 1
    report.segments += 1
    report.journal_bytes += reader.size
    if reader.header is not None:
        report.queue = reader.header.queue


def load_snapshot(files: Files, entry: Entry, report: Report) -> Ledger:
    """Return what a snapshot holds.

    Raises:
        Damage: it cannot be trusted.
        NewerVersion: it was written by a later actorq.
    """
    if not entry.is_file:
        raise Damage("this is no regular file", line=1)
    files.settle(entry.name)
    reader = SnapshotReader(files, entry.name)
    jobs: list[Job] = []
    ids: set[str] = set()
    for job in reader.jobs():
        if job.id in ids:
            raise Damage(f"job {job.id} is there twice", reader.line)
        ids.add(job.id)
        jobs.append(job)
    header = reader.header
    report.snapshot, report.queue, report.written_at = entry.name, header.queue, header.wall
    report.snapshot_bytes = reader.size
    return Ledger(Totals(header.n, header.now, header.seq, header.seq - len(jobs), header.pauses), jobs)


@contextmanager
def refusing_newer(files: Files, name: str) -> Generator[None]:
    """Turn what a later actorq wrote into an error."""
    try:
        yield
    except NewerVersion as newer:
        supported = snapshot_codec.VERSION if name.startswith("snap") else journal_codec.VERSION
        raise StoreTooNew(files.where(name), newer.found, supported) from None


@contextmanager
def telling(files: Files, name: str) -> Generator[None]:
    """Turn what is wrong with a file into an error that says what to do."""
    try:
        with refusing_newer(files, name):
            yield
    except Damage as damage:
        raise StoreCorrupt(files.where(name), damage.line, damage.why, ADVICE) from None


# -- tidying up ------------------------------------------------------------------------------------


def free_name(name: str, taken: set[str]) -> str:
    """Return this name, or one like it that is not taken; it is taken now."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    taken.add(free)
    return free


def _keep_torn_tail(files: Files, name: str, tear: int) -> None:
    """Copy a torn tail into the quarantine; the file itself is not touched."""
    with suppress(StoreError):  # evidence is worth having, and not worth failing for
        files.make_directory(QUARANTINE)
        taken = {entry.name for entry in files.list(QUARANTINE)}
        copy = files.create(f"{QUARANTINE}/{free_name(f'{name}.tail-{tear}', taken)}")
        try:
            for block in _from(files, name, tear):
                copy.write(block)
            copy.sync()
        finally:
            copy.close()
        files.sync_directory(QUARANTINE)


def _from(files: Files, name: str, offset: int) -> Iterator[bytes]:
    for block in files.blocks(name):
        if offset < len(block):
            yield block[offset:]
        offset = max(offset - len(block), 0)


def _when(wall: float | None) -> str:
    try:
        return datetime.fromtimestamp(wall or 0.0, UTC).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return "an impossible time"
