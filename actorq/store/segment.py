"""Segments of the journal, read with suspicion.

A segment is one file, ``wal-<first>.jsonl``: a header, a line for each transaction, and, if it was
completed, a line that says so. It is read up to the first line that is not right, and then there is
one question: was that line ever on the disk, so that somebody may build on it, or did the process end
while it was on its way? Between two syncs a disk may keep any part of what was written, so what
stands behind the line says nothing by itself. But each line carries a watermark:

    Line k is bad. If any later line that verifies has a watermark of k or more, or says that the
    segment is complete, or a later segment begins beyond k, or the witness has seen k, then k had been
    on the disk: it is *damage*, and nothing is guessed. Otherwise nobody was ever told of k or of
    anything behind it: it is a *torn tail*, and the journal ends there.

A later line is looked for within bad lines, too: where newlines were lost, several lines are one.

A file with nothing in it but a broken header was never used: the header is on the disk before the
first line is written.

Source: the rule stands on etcd's discussion of torn writes; that watermarks decide it is our own.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from actorq.core.facts import Fact
from actorq.store.files import Entry, Files, MediumError
from actorq.store.journal_codec import End, Header, Transaction, TransactionDecoder, decode_header
from actorq.store.line import Damage, Line, read_lines, unframe, whole

__all__ = ["SegmentReader", "first_of", "pieces", "record_starts", "segment_name", "segments"]

_NAME = re.compile(r"wal-([0-9]{20})\.jsonl", re.ASCII)

_START = re.compile(rb'\{"(?:n":[0-9]+,"d":[0-9]|t":"end")')

_END = re.compile(rb',"c":"[0-9a-f]{8}"\}')

_ENDS_TRIED: Final = 3
"""Where a line seems to end, it may be only an object of a user's that does: so many are tried."""

_GLUED_LIMIT: Final = 1_000
"""The most places of one bad line at which another is looked for, if they are not where one has ended."""


def segment_name(first: int) -> str:
    """Return the name of the segment that begins with fact ``first``."""
    return f"wal-{first:020}.jsonl"


def first_of(entry: Entry) -> int:
    """Return the number of the first fact that may stand in the segment."""
    return int(entry.name[4:24])


def segments(entries: Iterable[Entry]) -> list[Entry]:
    """Return what has the name of a segment, whatever it may be, the oldest first."""
    return sorted((entry for entry in entries if _NAME.fullmatch(entry.name)), key=lambda entry: entry.name)


class SegmentReader:
    """Reads one segment, up to its end, its tear or its damage."""

    def __init__(self, files: Files, entry: Entry, proven: int) -> None:
        """Prepare to read.

        Args:
            files: where it is.
            entry: which it is.
            proven: every fact up to this one is known to have been on the disk.
        """
        self.name = entry.name
        self.line = 0
        """The number of the line that was read last, from 1."""
        self.header: Header | None = None
        self.next = first_of(entry)
        """The number of the fact that would come next."""
        self.size = 0
        """Bytes read that can be trusted."""
        self.is_complete = False
        """Whether it was closed."""
        self.is_unused = False
        """Whether there is nothing in it but a header that was never finished."""
        self.tear: int | None = None
        """Where the torn tail begins, in bytes; None: there is none."""
        self._files = files
        self._entry = entry
        self._proven = proven

    def transactions(self) -> Iterator[list[Fact]]:
        """Yield the facts of each transaction that is whole.

        Raises:
            Damage: what stands in ``line`` had been on the disk, and is not right any more.
            NewerVersion: it was written by a later actorq.
            StoreError: it cannot be opened.
        """
        try:
            yield from self._transactions()
        except Damage as damage:
            damage.line = damage.line or self.line or 1
            raise
        except MediumError as error:
            raise Damage(f"it cannot be read: {error}", self.line + 1) from error

    def _transactions(self) -> Iterator[list[Fact]]:
        if not self._entry.is_file:
            raise Damage("this is no regular file")
        lines = read_lines(self._files, self.name)
        header = self._read_header(lines)
        if header is None:
            return
        self.header = header
        decoder = TransactionDecoder(header.salt)
        facts: list[Fact] = []
        for line in lines:
            self.line = line.number
            try:
                said = self._decode(line, decoder, len(facts))
            except Damage as damage:
                self._tear_or_damage(damage, line, lines)
                return
            if isinstance(said, Transaction):
                facts += said.facts
                if said.has_more:
                    continue
                self.next += len(facts)
                yield facts
                facts = []
            elif isinstance(said, End):
                self.is_complete = True
                self.size = line.offset + len(line.data) + 1
                break
            if not facts:
                self.size = line.offset + len(line.data) + 1
        self._check_end(lines)
        if facts:
            self.tear = self.size

    def _check_end(self, lines: Iterator[Line]) -> None:
        if self.is_complete and next(lines, None) is not None:
            raise Damage("the file goes on behind its last line", self.line + 1)
        if not self.is_complete and self.next <= self._proven:
            raise Damage(f"the file ends before fact {self.next}, which had been on the disk", self.line + 1)

    def _read_header(self, lines: Iterator[Line]) -> Header | None:
        first = next(lines, Line(1, 0, b"", "the file is empty"))
        self.line = 1
        try:
            header = decode_header(whole(first))
        except Damage:
            is_used = first.is_endless or _START.search(first.data) or next(lines, None) is not None
            if is_used or self._proven >= self.next:
                raise
            self.is_unused = True
            return None
        if header.first != self.next:
            raise Damage("the file has the name of another one")
        self.size = len(first.data) + 1
        return header

    def _decode(self, line: Line, decoder: TransactionDecoder, before: int) -> object:
        said = decoder.decode(whole(line))
        if isinstance(said, Transaction) and said.n != self.next + before:
            raise Damage(f"fact {said.n} stands where fact {self.next + before} should be")
        if isinstance(said, End) and (before or said.n != self.next - 1):
            raise Damage(f"the file is complete with fact {said.n}, and not all that is before is there")
        return said

    def _tear_or_damage(self, damage: Damage, bad: Line, lines: Iterator[Line]) -> None:
        """Raise the damage if the bad line can be shown to have been on the disk."""
        k = self.next
        assert self.header is not None
        if self._proven >= k:
            raise damage
        proven = watermark(bad.data, self.header.salt)  # it may be the last line, with no fact of its own to lose
        if bad.is_endless:
            raise damage  # what stands behind cannot be read, and may prove it
        for line in lines:
            if line.is_endless:
                raise Damage(f"{damage.why}; and line {line.number} has no end", bad.number)
            proven = max(proven, watermark(line.data, self.header.salt, k))
        if proven >= k:
            raise Damage(f"{damage.why}; and a later line says that it had been on the disk", bad.number)
        self.tear = self.size


def record_starts(data: bytes) -> Iterator[int]:
    """Yield where a line may begin within a stretch of bytes: a few of the places, if there are very many."""
    for match in islice(_START.finditer(data), _GLUED_LIMIT):
        yield match.start()


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield what may be a line within a stretch of bytes: of lines that lost their newlines, or of what is left."""
    yield data
    starts = [match.start() for match in _START.finditer(data)]
    ends = [match.end() for match in _END.finditer(data)]
    first, tried = 0, -1
    for place in range(len(ends) + 1):
        if first > tried:
            for end in ends[place : place + _ENDS_TRIED]:
                yield data[first:end]
            tried = first
        if place < len(ends) and (behind := bisect_left(starts, ends[place])) < len(starts):
            first = starts[behind]
    for start in record_starts(data):
        yield data[start:]


def watermark(data: bytes, salt: int, complete: int = -1) -> int:
    """Return the highest watermark of the lines that verify within a stretch of bytes; -1 if there is none.

    Args:
        data: a line, or lines without newlines between them, or what is left of them.
        salt: of the file.
        complete: what a line that says that the segment is complete proves, beside what it says.
    """
    highest = -1
    for piece in pieces(data):
        try:
            fields = unframe(piece, salt)
        except Damage:
            continue
        d = fields.get("d")
        highest = max(highest, d if type(d) is int else -1, complete if fields.get("t") == "end" else -1)
    return highest
