"""Goes through the jobs that a filter means, in turns of about a millisecond, while life goes on.

A walk looks at each job once, when its turn comes, and moves in the order of acceptance: what it has passed, it
never comes back to, and jobs that are accepted after it has begun are not on its way. What the index knows is
asked for a page of jobs at a time, anew in each turn, for jobs change in between; the rest is looked at job by job.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, Self, TypeVar

from anyio.lowlevel import checkpoint
from attrs import evolve

from actorq.config import FIND_LIMIT, SLICE_S, one_of, whole
from actorq.core.bitmap import Bitmap, places
from actorq.core.job import Job
from actorq.core.ledger import Ledger
from actorq.core.picture import PAGE
from actorq.errors import InvalidOption
from actorq.matching import Matcher
from actorq.query import ORDERS, Filter, Order, Page, cursor_of, read_cursor
from actorq.record import record_of

__all__ = ["Walk", "count", "find", "matching_ids"]

T = TypeVar("T")

_CHUNK: Final = 1_000
"""Jobs that are counted one by one before they are let go of."""


class Walk:
    """A way through the jobs that a filter means, from one end to the other."""

    def __init__(
        self,
        ledger: Ledger,
        where: Filter,
        order: Order = "oldest",
        cursor: str | None = None,
        *,
        slice_s: float = SLICE_S,
    ) -> None:
        """Begin at one end, or behind the cursor.

        Raises:
            InvalidOption: no filter, or no order.
            InvalidCursor: the cursor is not of this filter and order.
        """
        if not isinstance(where, Filter):  # pyright: ignore[reportUnnecessaryIsInstance] - not all have type checkers
            raise InvalidOption("where", where, "wants a Filter")
        one_of("order", order, ORDERS)
        self.is_over = False
        self._ledger = ledger
        self._matcher = Matcher(where)
        self._query = self._matcher.query
        if self._matcher.ids is not None:
            jobs = map(ledger.jobs.get, self._matcher.ids)
            self._query = evolve(self._query, among=Bitmap(job.seq for job in jobs if job is not None))
        self._descending = order == "newest"
        self._first, self._last = 0, ledger.seq
        if cursor is not None:
            self._move_past(read_cursor(cursor, where, order))
        self._slice_s = slice_s
        self._turn_ends_at = 0.0
        self._turn_began_with = 0

    async def take(self, most: int, view: Callable[[Job], T]) -> list[T]:
        """Return the next ``most`` jobs, each as ``view`` shows it when its turn comes; fewer only at the end."""
        taken: list[T] = []
        while not self.is_over and len(taken) < most:
            taken += self._look(most - len(taken), view)
            await checkpoint()
        return taken

    async def count(self) -> int:
        """Return how many are left."""
        total = 0
        if self._matcher.checks:
            while some := await self.take(_CHUNK, _seq_of):
                total += len(some)
        while not self.is_over:
            total += sum(bits.bit_count() for _, bits in self._pages())
            await checkpoint()
        return total

    def _look(self, most: int, view: Callable[[Job], T]) -> list[T]:
        """Look at jobs until there are so many, or the turn is over."""
        found: list[T] = []
        for number, bits in self._pages():
            for seq in places(number, bits, descending=self._descending):
                self._move_past(seq)
                job = self._ledger.job_of(seq)
                if job is not None and self._matcher.passes(job):
                    found.append(view(job))
                if len(found) == most or self._is_turn_over():
                    return found
        return found

    def _pages(self) -> Iterator[tuple[int, int]]:
        """Begin a turn: yield pages, and move past each, until the turn is over, or the walk."""
        self._turn_ends_at = time.perf_counter() + self._slice_s
        self._turn_began_with = self._ledger.n
        index = self._ledger.index
        for number, bits in index.pages(self._query, self._first, self._last, descending=self._descending):
            yield number, bits
            self._move_past(number * PAGE + (0 if self._descending else PAGE - 1))
            if self._is_turn_over():
                return
        self.is_over = True

    def _is_turn_over(self) -> bool:
        """Tell whether time is up; or the filter's own function has made the ledger change under us."""
        return self._ledger.n != self._turn_began_with or time.perf_counter() >= self._turn_ends_at

    def _move_past(self, seq: int) -> None:
        if self._descending:
            self._last = seq - 1
        else:
            self._first = seq + 1


async def find(
    ledger: Ledger, where: Filter, *, limit: int = 100, cursor: str | None = None, order: Order = "oldest"
) -> Page:
    """Return the first jobs that the filter means, or those behind the cursor.

    Raises:
        InvalidOption: a value out of range.
        InvalidCursor: the cursor is not of this filter and order.
    """
    whole("limit", limit, 1, FIND_LIMIT)
    walk = Walk(ledger, where, order, cursor)
    jobs = await walk.take(limit, record_of)
    has_more = bool(await walk.take(1, _seq_of))
    return Page(tuple(jobs), cursor_of(where, order, jobs[-1].seq) if has_more else None)


async def count(ledger: Ledger, where: Filter) -> int:
    """Return how many jobs the filter means."""
    return await Walk(ledger, where).count()


class _Chunks:
    """Iterates over what :func:`matching_ids` promises; no generator, for that would have to be closed."""

    def __init__(self, walk: Walk, most: int) -> None:
        self._walk = walk
        self._most = most

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[str]:
        ids = await self._walk.take(self._most, _id_of)
        if not ids:
            raise StopAsyncIteration
        return ids


def matching_ids(ledger: Ledger, where: Filter, most: int) -> AsyncIterator[list[str]]:
    """Return an async iterator over the ids of the jobs that the filter means, so many at a time.

    Each job comes at most once, whatever is done to the jobs meanwhile; none that is submitted from now on comes.
    """
    return _Chunks(Walk(ledger, where), most)


def _seq_of(job: Job) -> int:
    return job.seq


def _id_of(job: Job) -> str:
    return job.id
