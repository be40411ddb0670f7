"""Sets of jobs, as bits: one for each sequence number, on pages like those on which the jobs stand.

A page is a whole number of Python's, of as many bits as a page has places. So all jobs on a page that are queued
*and* of one task are found by one ``&``, the sets come in the order of acceptance without being sorted, and a page
on which no bit is set takes no room.

Costs: adding and discarding O(1), about 0.1 µs; a set of n jobs that stand close together takes about n / 5 bytes,
one whose jobs stand far apart about 130 bytes a job.

Source of the idea: the bitmap indexes of databases, and the pages of roaring bitmaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from actorq.core.picture import PAGE

__all__ = ["Bitmap", "places"]

_BITS: Final = tuple(1 << place for place in range(PAGE))
_REST: Final = tuple(~bit for bit in _BITS)


class Bitmap:
    """A set of sequence numbers."""

    __slots__ = ("pages",)

    def __init__(self, seqs: Iterable[int] = ()) -> None:
        self.pages: dict[int, int] = {}
        """The bits of each page that has one. To be read only, and at once: an empty page is dropped."""
        for seq in seqs:
            self.add(seq)

    def __len__(self) -> int:
        return sum(map(int.bit_count, self.pages.values()))

    def __bool__(self) -> bool:
        return bool(self.pages)

    def __contains__(self, seq: int) -> bool:
        return bool(self.pages.get(seq // PAGE, 0) & _BITS[seq % PAGE])

    def __iter__(self) -> Iterator[int]:
        for number in sorted(self.pages):
            yield from places(number, self.pages[number])

    def __repr__(self) -> str:
        return f"<Bitmap of {len(self)} on {len(self.pages)} pages>"

    def add(self, seq: int) -> None:
        """Put the number in, if it is not."""
        number = seq // PAGE
        self.pages[number] = self.pages.get(number, 0) | _BITS[seq % PAGE]

    def discard(self, seq: int) -> None:
        """Take the number out, if it is in."""
        number = seq // PAGE
        rest = self.pages.get(number, 0) & _REST[seq % PAGE]
        if rest:
            self.pages[number] = rest
        else:
            self.pages.pop(number, None)


def places(number: int, bits: int, *, descending: bool = False) -> Iterator[int]:
    """Yield the sequence numbers whose bits are set on the page of this number, in their order."""
    first = number * PAGE
    while bits:
        place = (bits if descending else bits & -bits).bit_length() - 1
        yield first + place
        bits ^= _BITS[place]
