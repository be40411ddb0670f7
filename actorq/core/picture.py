"""A picture of the ledger at one moment, taken bit by bit while life goes on.

Copying a million jobs at once would stop the event loop for seconds, and jobs written down one after the
other as they happen to be then would show a state that never was: a parent already done, its child not yet
there. So the ledger is asked, before it changes a job, to keep the old one for the picture that is being
taken, if that has not come by yet (copy on write). What is kept is bounded by what changes meanwhile.

Jobs stand in pages by their sequence number, so a picture needs no list of them all: a million jobs are two
thousand pages, and a page costs eight bytes a job.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

from attrs import frozen

from actorq.core.job import Job

__all__ = ["Pages", "Picture", "Totals"]

PAGE = 512
"""Jobs on a page."""


@frozen
class Totals:
    """What a ledger is beside its jobs."""

    n: int = 0
    """The number of the last fact: replay goes on behind it."""
    now: float = 0.0
    """The time of the last fact."""
    seq: int = 0
    """How many jobs were ever accepted."""
    removed: int = 0
    """How many of them are gone."""
    pauses: tuple[tuple[str, float], ...] = ()
    """What is paused (a group, or empty: the queue), and until when."""


class Pages:
    """Jobs by sequence number; a page on which no job is left is dropped."""

    __slots__ = ("_counts", "_pages")

    def __init__(self) -> None:
        self._pages: dict[int, list[Job | None]] = {}
        self._counts: dict[int, int] = {}

    def add(self, job: Job) -> None:
        """Put the job in its place."""
        number, place = divmod(job.seq, PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = [None] * PAGE
            self._counts[number] = 0
        page[place] = job
        self._counts[number] += 1

    def remove(self, job: Job) -> None:
        """Take the job out."""
        number, place = divmod(job.seq, PAGE)
        self._pages[number][place] = None
        self._counts[number] -= 1
        if not self._counts[number]:
            del self._pages[number], self._counts[number]

    def numbers(self) -> list[int]:
        """Return the numbers of the pages in use, in order."""
        return sorted(self._pages)

    def get(self, seq: int) -> Job | None:
        """Return the job with this sequence number, if it is there."""
        number, place = divmod(seq, PAGE)
        page = self._pages.get(number)
        return None if page is None else page[place]


class Picture:
    """The jobs as they stood when it was begun, in the order of their sequence numbers."""

    def __init__(self, totals: Totals, pages: Pages, put_away: Callable[[], None]) -> None:
        self.totals = totals
        self._pages = pages
        self._put_away = put_away
        self._left = pages.numbers()[::-1]
        self._next = self._left[-1] * PAGE if self._left else 0
        self._kept: dict[int, Job] = {}
        self._is_open = True

    def keep(self, job: Job) -> None:
        """Take the job into the picture as it is: it is about to change."""
        if self._next <= job.seq <= self.totals.seq and job.seq not in self._kept:
            self._kept[job.seq] = copy(job)

    def take(self, most: int) -> list[Job]:
        """Return the next jobs; an empty list at the end. Look at up to ``most`` places.

        The jobs are those of the ledger: to be read before it is asked to apply anything more.
        """
        jobs: list[Job] = []
        while self._left and not jobs:
            end = min((self._left[-1] + 1) * PAGE, self._next + most)
            for seq in range(self._next, min(end, self.totals.seq + 1)):
                job = self._kept.pop(seq, None) or self._pages.get(seq)
                if job is not None:
                    jobs.append(job)
            self._next = end
            if end % PAGE == 0:
                self._left.pop()
                if self._left:
                    self._next = self._left[-1] * PAGE
        if not jobs:
            self.close()
        return jobs

    def close(self) -> None:
        """Stop keeping old jobs for it, finished or not."""
        if self._is_open:
            self._is_open = False
            self._kept.clear()
            self._put_away()
