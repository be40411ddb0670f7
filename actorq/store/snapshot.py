"""Snapshots: written beside, read back, renamed; read whole or not at all.

A snapshot is one file, ``snap-<n>.jsonl``: a header, a line for each job in the order of
acceptance, a footer with the number of jobs and a digest of every byte before it. ``n`` is the
number of the last fact that it knows, so the names sort in the order of history.

The steps of writing, each of which may be the last one of this process:

1. write ``snap-<n>.jsonl.tmp``, and sync it;
2. drop it from memory, read it back from the disk *with the reader that recovery uses*, and compare
   it with what was meant to be written, byte for byte by its digest;
3. rename it, and sync the directory: from here on it is the newest snapshot;
4. remove the generations before, but for one, and the journal that not even that one needs.

So a name that ends in ``.jsonl`` is only ever given to a file that was found whole and readable,
and at no step is there less than one of them. A file that ends in ``.tmp`` is nothing.

The work is split between two threads: :meth:`SnapshotWriter.encode` is pure and runs on the event
loop, for only there do the jobs hold still; all else waits for the disk, and runs in the thread of
the scribe. Reading back takes the interpreter as long as loading does, so it rests between short
turns.

**What balances.** Accepted (``seq``) = jobs + removed; a file that does not balance is damaged. Ephemeral
jobs have their line, too, because facts about them may follow; that their calls are lost with the
process is the machine's affair. (Version 1 left them out, and said how many; they count as removed.)

Source: write beside, sync, rename is how every careful program replaces a file; reading back before
the rename is our own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final
from zlib import crc32

from actorq.config import SLICE_S, SNAPSHOTS_KEPT
from actorq.core.job import Job
from actorq.core.picture import Totals
from actorq.errors import StoreError
from actorq.store.files import Entry, Files, MediumError, NewFile
from actorq.store.line import Damage, draw_salt, read_lines, unframe
from actorq.store.segment import first_of, segments
from actorq.store.snapshot_codec import (
    Footer,
    Header,
    JobDecoder,
    JobEncoder,
    decode_footer,
    decode_header,
    encode_footer,
    encode_header,
)

__all__ = ["SnapshotReader", "SnapshotWriter", "is_leftover", "n_of", "put_in_place", "remove_older", "snapshots"]

TMP: Final = ".tmp"

_NAME = re.compile(r"snap-[0-9]{20}\.jsonl", re.ASCII)


def snapshot_name(n: int) -> str:
    """Return the name of the snapshot that knows the facts up to ``n``."""
    return f"snap-{n:020}.jsonl"


def n_of(name: str) -> int:
    """Return the last fact that the snapshot of this name knows."""
    return int(name[5:25])


def snapshots(entries: Iterable[Entry]) -> list[Entry]:
    """Return what has the name of a snapshot, whatever it may be, the newest first."""
    found = [entry for entry in entries if _NAME.fullmatch(entry.name)]
    return sorted(found, key=lambda entry: entry.name, reverse=True)


def is_leftover(entry: Entry) -> bool:
    """Tell whether this is a file that was never finished."""
    return entry.is_file and entry.name.endswith(TMP)


# -- writing ---------------------------------------------------------------------------------------


def rest() -> None:
    """Let the other threads of the interpreter have their turn."""
    time.sleep(SLICE_S)


class SnapshotWriter:
    """Writes one snapshot: begin, then encode and write in turns, then finish; or else abandon."""

    def __init__(
        self,
        files: Files,
        totals: Totals,
        queue: str,
        *,
        wall: float,
        boot: str = "",
        salt: int | None = None,
    ) -> None:
        """Prepare to write; no file is touched.

        Args:
            totals: of the picture that is written.
            queue: its name, for whoever finds the file.
            wall: the time on the wall clock, for messages.
            boot: see :func:`~actorq.store.files.boot_id`.
            salt: 32 random bits; drawn if not given.
        """
        if salt is None:
            salt = draw_salt()
        self.name = snapshot_name(totals.n)
        self.count = 0
        """Jobs encoded so far."""
        self.size = 0
        """Bytes encoded so far."""
        self._files = files
        self._totals = totals
        self._salt = salt
        self._encoder = JobEncoder(salt)
        self._file: NewFile
        self._is_begun = False
        self._digest = 0
        header = Header(totals.n, totals.now, totals.seq, totals.removed, salt, queue, boot, wall, totals.pauses)
        self._header = self._add(encode_header(header))

    @property
    def _tmp(self) -> str:
        return self.name + TMP

    def begin(self) -> None:
        """Create the file beside, and write its first line; in the thread."""
        self._files.unlink(self._tmp)
        self._file = self._files.create(self._tmp)
        self._is_begun = True
        self._file.write(self._header)

    def encode(self, jobs: Iterable[Job]) -> bytes:
        """Return the lines of the next jobs; on the event loop.

        All that is returned must be handed to :meth:`write`, in this order. Takes about 3 µs a job,
        touches no file and keeps no job.
        """
        lines = [self._encoder.encode(job) for job in jobs]
        self.count += len(lines)
        return self._add(b"".join(lines))

    def write(self, data: bytes) -> None:
        """Append what :meth:`encode` returned; in the thread."""
        self._file.write(data)

    def finish(self, rest: Callable[[], None] = rest) -> None:
        """Put the snapshot in place, and remove what it makes needless; in the thread.

        Args:
            rest: is called every millisecond or so while the file is read back.

        Raises:
            StoreError: it is not in place, and :meth:`abandon` is to be called; or it is, and an
                older one could not be removed. If there was a whole snapshot before, there is now.
        """
        self.complete(rest)
        put_in_place(self._files, self.name)

    def complete(self, rest: Callable[[], None] = rest) -> None:
        """Finish the file beside, and see that it is what was meant; steps 1 and 2.

        Raises:
            StoreError: it is not, and :meth:`abandon` is to be called.
        """
        footer = Footer(self.count, 0, self._totals.n, f"{self._digest:08x}")
        self._file.write(self._add(encode_footer(footer, self._salt)))
        self._file.sync()
        self._file.close()
        self._files.settle(self._tmp)
        self._read_back(rest)

    def abandon(self) -> None:
        """Remove what was written; does nothing after :meth:`finish`; in the thread."""
        if self._is_begun:
            self._file.close()
            self._files.unlink(self._tmp)

    def _add(self, data: bytes) -> bytes:
        self._digest = crc32(data, self._digest)
        self.size += len(data)
        return data

    def _read_back(self, rest: Callable[[], None]) -> None:
        reader = SnapshotReader(self._files, self._tmp)
        until = time.monotonic() + SLICE_S
        try:
            for _ in reader.jobs():
                if time.monotonic() >= until:
                    rest()
                    until = time.monotonic() + SLICE_S
        except Damage as damage:
            raise self._unlike(f"in line {damage.line}, {damage.why}") from None
        if (reader.size, reader.digest) != (self.size, self._digest):
            raise self._unlike("it is another file")

    def _unlike(self, what: str) -> StoreError:
        return StoreError(
            self._files.where(self._tmp),
            f"was not read back as it was meant: {what}. It is not used, and the snapshot "
            "before it stands. If this happens again, the disk fails, or this is a bug in actorq.",
        )


def put_in_place(files: Files, name: str, *, remove: bool = True) -> None:
    """Let the completed file beside be the newest snapshot, and remove what it makes needless; steps 3 and 4."""
    files.rename(name + TMP, name)
    files.sync_directory()
    if remove:
        remove_older(files, name)


def remove_older(files: Files, name: str) -> None:
    """Remove the snapshots before this one but for one, and the segments that not even that one needs.

    Behind the first snapshot of all stands the whole journal: it is the generation before.
    """
    entries = files.list()
    older = [entry for entry in snapshots(entries) if entry.is_file and entry.name < name]
    for entry in older[SNAPSHOTS_KEPT - 1 :]:
        files.unlink(entry.name)
    if not older:
        return
    kept = older[: SNAPSHOTS_KEPT - 1][-1].name
    journal = segments(entries)
    for entry, next_one in pairwise(journal):
        if entry.is_file and first_of(next_one) <= n_of(kept) + 1:
            files.unlink(entry.name)


# -- reading ---------------------------------------------------------------------------------------


class SnapshotReader:
    """Reads one snapshot, and believes nothing of it that does not fit."""

    def __init__(self, files: Files, name: str) -> None:
        self.name = name
        self.line = 0
        """The number of the line that was read last, from 1."""
        self.size = 0
        """Bytes read so far."""
        self.digest = 0
        """CRC-32 of the bytes read so far."""
        self.header: Header
        """Once the first job was asked for."""
        self.footer: Footer
        """Once the last job was read."""
        self._files = files

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs. Whether they can be trusted is known when the last one was.

        Raises:
            Damage: the file cannot be trusted; says in which line.
            NewerVersion: it was written by a later actorq.
            StoreError: it cannot be opened.
        """
        try:
            yield from self._jobs()
        except Damage as damage:
            damage.line = damage.line or self.line or 1
            raise
        except MediumError as error:
            raise Damage(f"it cannot be read: {error}", self.line + 1) from error

    def _jobs(self) -> Iterator[Job]:
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            raise Damage("the file is empty")
        header = self.header = decode_header(first)
        if self.name.removesuffix(TMP) != snapshot_name(header.n):
            raise Damage("the file has the name of another one")
        decoder = JobDecoder()
        before = self.digest
        count = seq = 0
        for line in lines:
            fields = unframe(line, header.salt)
            kind = fields.get("t")
            if kind == "job":
                job = decoder.decode(fields)
                self._check_place(job, seq)
                seq = job.seq
                count += 1
                yield job
            elif kind == "end":
                self.footer = decode_footer(fields)
                self._check_end(count, before)
                break
            elif fields.get("must") is True:
                raise Damage("the line must be understood, and is of a kind that is not known here")
            before = self.digest
        else:
            raise Damage("the file ends without its last line")
        if next(lines, None) is not None:
            raise Damage("the file goes on behind its last line")

    def _check_place(self, job: Job, before: int) -> None:
        if not before < job.seq <= self.header.seq:
            raise Damage(f"seq {job.seq} is not in its order")

    def _check_end(self, count: int, digest: int) -> None:
        header, footer = self.header, self.footer
        if footer.digest != f"{digest:08x}":
            raise Damage("the digest of the file is wrong")
        if footer.count != count:
            raise Damage(f"there are {count} jobs, and there should be {footer.count}")
        if footer.count + footer.left_out + header.removed != header.seq:
            raise Damage("the number of jobs does not balance")
        if footer.upto < header.n:
            raise Damage("the file knows less than its name says")

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines without their newlines, and keep account of them."""
        for line in read_lines(self._files, self.name):
            if line.why:
                raise Damage(line.why, line.number)
            self.line = line.number
            self.digest = crc32(b"\n", crc32(line.data, self.digest))
            self.size += len(line.data) + 1
            yield line.data
