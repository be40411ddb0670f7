"""The journal: transactions are appended, one sync makes many of them durable, and nothing is written twice.

One thread owns it, and it decides nothing: it does what it is told, and says up to which fact
everything is ``written`` (with the operating system: it outlives the process) and ``synced`` (on the
disk: it outlives the power).

The rules, each of which closes a hole that a test has found:

* No file of an earlier life is ever written to. Each life begins a segment of its own.
* The header of a segment is on the disk, and so is its name, before its first transaction is written.
* A sync that failed is never tried again: the operating system may answer success although the bytes
  are gone. From then on the journal is poisoned, and so it is by every error after which nobody knows
  what stands in the file.
* No room is not such an error. What was written of the batch is cut off, the segment is left as it is,
  and :meth:`Journal.renew` goes on in another one when there is room. To have some for the ends of
  jobs, a reserve of real bytes is held, and given up first.
* The witness, ``mark``, is only ever written after the sync it tells of, and says how far the disk has
  come, so that a tail that vanished whole is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from actorq.config import BATCH_BYTES, RESERVE_BYTES
from actorq.core.facts import Fact
from actorq.errors import StoreError, StoreFailed, StoreFull
from actorq.store.files import Entry, Files, NewFile
from actorq.store.journal_codec import (
    FactEncoder,
    Header,
    decode_mark,
    encode_end,
    encode_header,
    encode_mark,
)
from actorq.store.line import draw_salt
from actorq.store.segment import segment_name

__all__ = ["MARK", "RESERVE", "Journal", "read_mark"]

MARK: Final = "mark"

RESERVE: Final = "reserve"

TMP: Final = ".tmp"


def read_mark(files: Files, entries: Iterable[Entry]) -> int:
    """Return up to which fact the witness has seen the disk; 0 if there is none, or it is torn."""
    if not any(entry.name == MARK and entry.is_file for entry in entries):
        return 0
    files.settle(MARK)
    data = next(files.blocks(MARK), b"")
    return decode_mark(data) or 0


class Journal:
    """The segment that is being written, and the small files beside it."""

    def __init__(self, files: Files, queue: str, n: int, *, boot: str, wall: Callable[[], float]) -> None:
        """Go on behind fact ``n``; no file is touched before :meth:`open`."""
        self.written = n
        """Every fact up to this one is with the operating system."""
        self.synced = n
        """Every fact up to this one is on the disk."""
        self.marked = n
        """Every fact up to this one has been witnessed."""
        self.size = 0
        """Bytes in the segment."""
        self.failure: StoreFailed | None = None
        """Why nothing more can be written, ever."""
        self.has_reserve = False
        """Whether there is room enough."""
        self._files = files
        self._queue = queue
        self._boot = boot
        self._wall = wall
        self._segment: NewFile | None = None
        self._name = ""
        self._salt = 0
        self._first = n + 1
        self._encoder: FactEncoder
        self._mark: NewFile | None = None

    @property
    def where(self) -> str:
        """The path of the segment, for messages."""
        return self._files.where(self._name)

    def open(self) -> None:
        """Begin a segment, a witness and the reserve.

        Raises:
            StoreFull: there is no room even for a segment; nothing is open.
            StoreError: the directory cannot be used.
        """
        self._begin_segment()
        try:
            self._mark = self._begin_mark()
        except BaseException:
            self.abandon()
            raise
        self.hold_reserve()

    # -- writing -------------------------------------------------------------------------------------

    def append(self, transactions: Iterable[Sequence[Fact]]) -> None:
        """Write the transactions, all or none.

        Raises:
            StoreFull: there is no room; the segment is as it was. Next, :meth:`renew`.
            StoreFailed: the journal is poisoned.
        """
        last, size = self.written, self.size
        try:
            with self._poisoning():
                segment = self._open_segment()
                for lines, upto in self._encoded(transactions):
                    segment.write(lines)
                    self.size += len(lines)
                    last = upto
        except StoreFull:
            self._cut(size)
            raise
        self.written = last

    def sync(self) -> None:
        """Return when all that is written is on the disk.

        Raises:
            StoreFailed: it is not, and the journal is poisoned.
        """
        written = self.written
        with self._poisoning(full_too=True):
            if self.synced < written:
                self._open_segment().sync()
        self.synced = written

    def rotate(self) -> None:
        """Complete the segment, and begin another one; all is synced.

        Raises:
            StoreFull: there is no room; next, :meth:`renew`.
            StoreFailed: the journal is poisoned.
        """
        if not self._is_empty:
            self._complete()
        self.renew()

    def renew(self) -> None:
        """Go on in another segment, if there is anything in this one.

        Raises:
            StoreFull: there is no room; to be tried again.
            StoreFailed: the journal is poisoned.
        """
        if self.synced < self.written:
            self.sync()
        with self._poisoning():
            if self._segment is not None:
                if self._is_empty:
                    return
                self._segment.close()
                self._segment = None
            self._begin_segment()

    def mark(self) -> None:
        """Bring the witness up to date, and see that the segment still is where it should be.

        Raises:
            StoreFailed: the segment is not there: somebody has moved or removed the directory.
        """
        with self._poisoning(full_too=True):
            if not self._open_segment().is_in_place():
                raise StoreError(self._files.where(self._name), "was moved or removed while it was being written.")
        if self.marked < self.synced and self._mark is not None:
            with suppress(StoreError):  # without a witness less is noticed, and nothing is lost
                self._mark.overwrite(encode_mark(self.synced))
                self._mark.sync()
                self.marked = self.synced

    def close(self) -> None:
        """Complete the segment, and let go of the files.

        Raises:
            StoreFailed: the journal is poisoned.
        """
        try:
            if self.failure is None and self._segment is not None:
                self._complete()
                self.mark()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the files as they are."""
        for file in (self._segment, self._mark):
            if file is not None:
                with suppress(StoreError):  # what matters has been synced
                    file.close()
        self._segment = self._mark = None

    # -- room ----------------------------------------------------------------------------------------

    def hold_reserve(self, *, spare: bool = False) -> bool:
        """See to it that there is a reserve; tell whether there is room for one.

        Args:
            spare: whether there must be room for as much again: what was just given up is no news.
        """
        size = RESERVE_BYTES * (2 if spare else 1)
        if not self.has_reserve:
            try:
                self._files.unlink(RESERVE)
                reserve = self._files.create(RESERVE)
                try:
                    for _ in range(0, size, BATCH_BYTES):
                        reserve.write(bytes(BATCH_BYTES))
                    reserve.cut(RESERVE_BYTES)
                    reserve.sync()
                finally:
                    reserve.close()
                self.has_reserve = True
            except StoreError:  # no room, or a disk that has worse to tell when it matters
                self.give_up_reserve()
        return self.has_reserve

    def give_up_reserve(self) -> None:
        """Let the disk have the room back."""
        self.has_reserve = False
        with suppress(StoreError):  # it was not there, or the disk has worse to tell
            self._files.unlink(RESERVE)
            self._files.sync_directory()

    # -- inside ----------------------------------------------------------------------------------------

    def _encoded(self, transactions: Iterable[Sequence[Fact]]) -> Iterator[tuple[bytes, int]]:
        """Yield what is to be written at a time, and the last fact in it."""
        lines: list[bytes] = []
        size, last = 0, self.written
        for facts in transactions:
            for line in self._encoder.encode(facts, self.synced):
                lines.append(line)
                size += len(line)
                if size >= BATCH_BYTES:
                    yield b"".join(lines), last
                    lines, size = [], 0
            last = facts[-1].n
        yield b"".join(lines), last

    def _open_segment(self) -> NewFile:
        assert self._segment is not None, "the journal is not open"
        return self._segment

    @property
    def _is_empty(self) -> bool:
        return self._first == self.written + 1

    def _begin_segment(self) -> None:
        name, salt = segment_name(self.written + 1), draw_salt()
        header = encode_header(Header(self.written + 1, salt, self._queue, self._boot, self._wall()))
        segment = self._files.create(name)
        try:
            segment.write(header)
            segment.sync()
            self._files.sync_directory()
        except BaseException:
            with suppress(StoreError):  # the first error is the one to tell; recovery removes what is left
                segment.close()
                self._files.unlink(name)
            raise
        self._segment, self._name, self._salt, self.size = segment, name, salt, len(header)
        self._first = self.written + 1
        self._encoder = FactEncoder(salt)

    def _begin_mark(self) -> NewFile:
        self._files.unlink(MARK + TMP)
        mark = self._files.create(MARK + TMP)
        try:
            mark.write(encode_mark(self.synced))
            mark.sync()
            self._files.rename(MARK + TMP, MARK)
            self._files.sync_directory()
        except BaseException:
            with suppress(StoreError):
                mark.close()
            raise
        return mark

    def _cut(self, size: int) -> None:
        """Take back what was written of a batch, from the disk, too: it is refused, and must not come back."""
        with self._poisoning(full_too=True):
            segment = self._open_segment()
            segment.cut(size)
            segment.sync()
        self.size = size
        self.synced = self.written

    def _complete(self) -> None:
        if self.synced < self.written:
            self.sync()  # before the last line, which says that all is on the disk
        with self._poisoning(full_too=True):
            segment = self._open_segment()
            try:
                segment.write(encode_end(self.written, self._salt))
            except StoreFull:
                segment.cut(self.size)  # what follows says as well where it ended
            segment.sync()
        self.synced = self.written

    def _poisoning(self, *, full_too: bool = False) -> _Poisoning:
        if self.failure is not None:
            raise self.failure
        return _Poisoning(self, full_too=full_too)

    def poison(self, error: BaseException) -> StoreFailed:
        """Write nothing more, ever."""
        if self.failure is None:
            self.failure = StoreFailed(self._files.where(self._name), str(error))
            self.failure.__cause__ = error
        return self.failure


class _Poisoning:
    """Turns every error in its block into the end of the journal, but for one: that there is no room."""

    def __init__(self, journal: Journal, *, full_too: bool) -> None:
        self._journal = journal
        self._full_too = full_too

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and (self._full_too or not isinstance(error, StoreFull)):
            failure = self._journal.poison(error)
            if isinstance(error, Exception):  # else the thread or the process is to end, and it is not for us to say no
                raise failure from error
