"""Find out what the directory holds, and trust nothing that is not whole.

The newest snapshot is the truth, if every line of it is right. If it is damaged, going back to the
one before forgets jobs that were accepted and runs others again, and nothing here may decide that
by itself:

* ``"strict"`` raises :class:`~actorq.errors.StoreCorrupt`: which file, which line, and what the
  other way would mean. Nothing was changed.
* ``"salvage"`` puts what is damaged into ``quarantine/``, where we never remove anything, goes on
  from the newest whole snapshot, or from nothing, and says so in the report.

A snapshot of a later format is not damaged: it is refused in both.

Before a file is read it is synced and dropped from memory. After a crash of the process the
operating system may show bytes that never reach the disk; to build on them and lose power
afterwards would undo a history that others have seen.

The garbage collector is off during the load (a million jobs load in about a half of the time) and
on again afterwards, if it was.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import frozen

from actorq.config import Recovery
from actorq.core.job import Job
from actorq.core.picture import Totals
from actorq.errors import StoreCorrupt, StoreTooNew
from actorq.store.codec import VERSION, Damage, NewerVersion
from actorq.store.files import Entry, Files
from actorq.store.snapshot import SnapshotReader, is_leftover, snapshots

__all__ = ["QUARANTINE", "Recovered", "Report", "SetAside", "collector_off", "recover"]

QUARANTINE = "quarantine"


@frozen
class SetAside:
    """A damaged file that was moved out of the way."""

    name: str
    moved_to: str
    line: int
    why: str


@frozen
class Report:
    """What was found."""

    path: str
    """The directory."""
    name: str | None = None
    """The snapshot that was loaded; None: there was none."""
    queue: str | None = None
    """The name of the queue that wrote it."""
    written_at: float | None = None
    """When, by the wall clock."""
    set_aside: tuple[SetAside, ...] = ()
    """What was damaged, the newest first."""

    @property
    def has_loss(self) -> bool:
        """Whether what came after the loaded snapshot was there, and is forgotten."""
        return bool(self.set_aside)

    def __str__(self) -> str:
        if self.name is None:
            found = f"{self.path}: no snapshot, so the queue begins empty."
        else:
            found = f"{self.path}: loaded {self.name}, written at {_when(self.written_at)}."
        lost = [
            f"DAMAGED: {file.name}, line {file.line}: {file.why}. It is now {file.moved_to}." for file in self.set_aside
        ]
        if lost:
            lost.append(
                "What happened after that is forgotten: jobs accepted since are lost, jobs ended since run again."
            )
        return "\n".join([found, *lost])


@frozen
class Recovered:
    """What to go on with."""

    totals: Totals
    jobs: list[Job]
    """In the order of acceptance, as ``Ledger`` and ``Machine.restore`` want them."""
    report: Report


def recover(files: Files, mode: Recovery = "strict") -> Recovered:
    """Load what the directory holds, which must be locked.

    Raises:
        StoreCorrupt: the newest snapshot is damaged, and the mode is strict. Nothing was changed.
        StoreTooNew: a later actorq wrote it. Nothing was changed.
        StoreError: the directory cannot be used.
    """
    with collector_off():
        return _recover(files, mode)


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


def _recover(files: Files, mode: Recovery) -> Recovered:
    entries = files.list()
    files.sync_directory()
    damaged: list[tuple[Entry, Damage]] = []
    whole: Recovered | None = None
    for entry in snapshots(entries):
        try:
            whole = _load(files, entry)
            break
        except Damage as found:
            damaged.append((entry, found))
    if damaged and mode == "strict":
        entry, damage = damaged[0]
        raise StoreCorrupt(files.where(entry.name), damage.line, damage.why, _advice(whole, damaged))
    report = Report(files.where()) if whole is None else whole.report
    totals, jobs = (Totals(), []) if whole is None else (whole.totals, whole.jobs)
    set_aside = _set_aside(files, damaged)
    _remove_leftovers(files, entries)
    report = Report(report.path, report.name, report.queue, report.written_at, set_aside)
    return Recovered(totals, jobs, report)


def _load(files: Files, entry: Entry) -> Recovered:
    """Return what a snapshot holds, or raise Damage."""
    if not entry.is_file:
        raise Damage("this is no regular file", line=1)
    files.settle(entry.name)
    reader = SnapshotReader(files, entry.name)
    jobs: list[Job] = []
    ids: set[str] = set()
    try:
        for job in reader.jobs():
            if job.id in ids:
                raise Damage(f"job {job.id} is there twice", reader.line)
            ids.add(job.id)
            jobs.append(job)
    except NewerVersion as newer:
        raise StoreTooNew(files.where(entry.name), newer.found, VERSION) from None
    header = reader.header
    totals = Totals(header.n, header.now, header.seq, header.seq - len(jobs))
    return Recovered(totals, jobs, Report(files.where(), entry.name, header.queue, header.wall))


def _advice(whole: Recovered | None, damaged: list[tuple[Entry, Damage]]) -> str:
    if whole is None:
        return (
            "There is no whole snapshot. Put back a copy of the directory; or open with "
            f"recovery='salvage' to set aside {len(damaged)} damaged and begin EMPTY."
        )
    report = whole.report
    return (
        f"Open with recovery='salvage' to set this one aside and to go on from {report.name}, "
        f"written at {_when(report.written_at)}: what came after is forgotten."
    )


def _set_aside(files: Files, damaged: list[tuple[Entry, Damage]]) -> tuple[SetAside, ...]:
    if not damaged:
        return ()
    files.make_directory(QUARANTINE)
    taken = {entry.name for entry in files.list(QUARANTINE)}
    moved: list[SetAside] = []
    for entry, damage in damaged:
        name, number = entry.name, 1
        while name in taken:
            number += 1
            name = f"{entry.name}.{number}"
        to = f"{QUARANTINE}/{name}"
        files.rename(entry.name, to)
        moved.append(SetAside(entry.name, files.where(to), damage.line, damage.why))
    files.sync_directory(QUARANTINE)
    files.sync_directory()
    return tuple(moved)


def _remove_leftovers(files: Files, entries: list[Entry]) -> None:
    for entry in entries:
        if is_leftover(entry):
            files.unlink(entry.name)


def _when(wall: float | None) -> str:
    try:
        return datetime.fromtimestamp(wall or 0.0, UTC).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return "an impossible time"
