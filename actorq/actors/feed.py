"""Facts to whoever watches.

The feed remembers the last facts, numbered, once for all. A subscriber is a place in that memory: he reads at
his own pace, and if he is so slow that his place is forgotten he loses it, not us, and is told how many
facts he missed. Who watches one job is woken by the facts of that job alone. So publishing costs the same whether
a thousand watch or none.

That the queue has nothing left to do is no fact, for nothing is changed by it. So it has no number and no place:
it is told along with the fact behind which it was so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from actorq.config import FEED_BYTES, FEED_EAGER, FEED_HISTORY
from actorq.core.facts import Dropped, Fact
from actorq.core.job import Job
from actorq.event import ENDS, IDLE, EventsMissed, JobEvent, event_of, idle_after, name_of

__all__ = ["Feed", "Published", "Reader"]


class Published(NamedTuple):
    """A fact, as it is remembered."""

    fact: Fact
    task: str
    """Of the job it speaks of."""
    leaves_idle: bool


@define(eq=False)
class _News:
    """What somebody who watches one job waits for."""

    come: anyio.Event = field(factory=anyio.Event)
    n: int = 0
    """The fact with which they came; 0: with none, but there is reason to look."""


class Feed:
    """The last facts, in the order of their numbers."""

    def __init__(self, last: int) -> None:
        """Begin behind fact ``last``."""
        self._history: deque[Published] = deque()
        self.last = last
        """The number of the last fact."""
        self._news: anyio.Event | None = None
        self._job_news: dict[str, _News] = {}
        self._bytes = 0
        self._is_closed = False
        self._is_idle = True
        self._idle_behind: deque[int] = deque()
        """Behind which facts, not published yet, there was nothing left to do."""

    def expect(self, n: int, *, is_idle: bool) -> None:
        """Hear how the queue stands behind fact ``n``, which has happened, and will be published when it is kept."""
        if is_idle and not self._is_idle:
            self._idle_behind.append(n)
        self._is_idle = is_idle

    def publish(self, facts: Iterable[Fact], jobs: Iterable[Job | None]) -> None:
        """Show the facts, and of which job each speaks, to whoever watches. Never waits."""
        for fact, job in zip(facts, jobs, strict=True):
            self._history.append(Published(fact, "" if job is None else job.task, self._leaves_idle(fact.n)))
            self._bytes += fact.weight
            self.last = fact.n
            if self._job_news:
                self.wake_job(fact.job_id, fact.n)
        while len(self._history) > FEED_HISTORY or self._bytes > FEED_BYTES:
            self._bytes -= self._history.popleft().fact.weight
        self.wake()

    def close(self) -> None:
        """Let every reader come to the end."""
        self._is_closed = True
        self.wake()
        for job_id in list(self._job_news):
            self.wake_job(job_id)

    def reader(
        self,
        after: int | None = None,
        until: int | None = None,
        *,
        names: Collection[str] = (),
        job_id: str | None = None,
    ) -> Reader:
        """Return one who reads what is published after number ``after`` (None: from now on), up to ``until``.

        Args:
            after: a number that was seen.
            until: the last number to read.
            names: only events of these names; empty: of all.
            job_id: only events of this job, until it ends.
        """
        return Reader(self, self.last if after is None else after, until, names, job_id)

    def next(self, place: int) -> Published | EventsMissed | None:
        """Return what comes behind this number; None: nothing yet, or nothing more."""
        if place >= self.last:
            return None
        first = self.last - len(self._history) + 1
        if place + 1 < first:
            return EventsMissed(place + 1, first - 1)
        return self._history[place + 1 - first]

    async def wait(self) -> bool:
        """Wait for news; False: there will be none."""
        if self._is_closed:
            return False
        if self._news is None:
            self._news = anyio.Event()
        await self._news.wait()
        return True

    async def wait_for_job(self, job_id: str) -> int | None:
        """Wait for a fact of the job, and return its number; 0: look again; None: there will be none."""
        if self._is_closed:
            return None
        news = self._job_news.setdefault(job_id, _News())
        await news.come.wait()
        return news.n

    def wake_job(self, job_id: str, n: int = 0) -> None:
        """Let those who wait for facts of the job look again, because of this one."""
        news = self._job_news.pop(job_id, None)
        if news is not None:
            news.n = n
            news.come.set()

    def wake(self) -> None:
        """Let those who wait look again."""
        if self._news is not None:
            self._news.set()
            self._news = None

    def _leaves_idle(self, n: int) -> bool:
        if not self._idle_behind or self._idle_behind[0] != n:
            return False
        self._idle_behind.popleft()
        return True


class Reader:
    """A place in the feed, and what is wanted of what comes there."""

    def __init__(self, feed: Feed, place: int, until: int | None, names: Collection[str], job_id: str | None) -> None:
        self._feed = feed
        self._place = place
        self._until = until
        self._names = names
        self._job_id = job_id
        self._idle: JobEvent | None = None
        """To be told next."""
        self._is_over = False
        self._began_at = feed.last
        """An end that was published before was the end of a former life of the job, if it is watched still."""
        self._looked = 0

    async def next(self) -> JobEvent | EventsMissed | None:
        """Return what comes next; None at the end, or when the feed is closed."""
        while True:
            if self._idle is not None:
                idle, self._idle = self._idle, None
                return idle
            if self._is_over or (self._until is not None and self._place >= self._until):
                return None
            self._looked += 1
            if self._looked % FEED_EAGER == 0:
                await checkpoint()
            news = self._feed.next(self._place)
            if news is None:
                if not await self._wait():
                    return None
            elif isinstance(news, EventsMissed):
                self._place = news.last
                return news
            elif (event := self._read(news)) is not None:
                return event

    def close(self) -> None:
        """Come to the end; whoever waits in :meth:`next` is told so."""
        self._is_over = True
        self._idle = None
        if self._job_id is None:
            self._feed.wake()
        else:
            self._feed.wake_job(self._job_id)

    async def _wait(self) -> bool:
        """Wait for news; False: there will be none."""
        if self._job_id is None:
            return await self._feed.wait()
        n = await self._feed.wait_for_job(self._job_id)
        if n is not None:
            self._place = max(self._place, n - 1)  # what was published meanwhile is about others
        return n is not None

    def _read(self, news: Published) -> JobEvent | None:
        """Go on behind the fact, and return its event if it is wanted."""
        fact, job_id = news.fact, self._job_id
        self._place = fact.n
        if job_id is None:
            if news.leaves_idle and self._wants(IDLE):
                self._idle = idle_after(fact)
        elif fact.job_id != job_id:
            return None
        else:
            self._is_over = fact.n > self._began_at and isinstance(fact, (*ENDS, Dropped))
        return event_of(fact, news.task) if self._wants(name_of(type(fact))) else None

    def _wants(self, name: str) -> bool:
        return not self._names or name in self._names
