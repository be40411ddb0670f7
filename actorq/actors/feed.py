"""Facts to whoever watches.

The feed remembers the last facts, numbered, once for all. A subscriber is a place in that memory: he reads at
his own pace, and if he is so slow that his place is forgotten he loses it, not us, and is told how many
facts he missed. Publishing costs the same whether a thousand watch or none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import anyio

from actorq.config import FEED_BYTES, FEED_HISTORY
from actorq.core.facts import Fact

__all__ = ["Feed", "Missed", "Published", "Reader"]


class Published(NamedTuple):
    """A fact, and the task of the job it speaks of."""

    fact: Fact
    task: str


class Missed(NamedTuple):
    """The facts ``first`` to ``last`` are forgotten: the reader was too slow, or came too late."""

    first: int
    last: int


class Feed:
    """The last facts, in the order of their numbers."""

    def __init__(self, last: int) -> None:
        """Begin behind fact ``last``."""
        self._history: deque[Published] = deque()
        self.last = last
        """The number of the last fact."""
        self._news: anyio.Event | None = None
        self._bytes = 0
        self._is_closed = False

    def publish(self, news: Iterable[Published]) -> None:
        """Show the facts to whoever watches. Never waits."""
        for published in news:
            self._history.append(published)
            self._bytes += published.fact.weight
            self.last = published.fact.n
        while len(self._history) > FEED_HISTORY or self._bytes > FEED_BYTES:
            self._bytes -= self._history.popleft().fact.weight
        self._wake()

    def close(self) -> None:
        """Let every reader come to the end."""
        self._is_closed = True
        self._wake()

    def reader(self, after: int | None, until: int | None = None) -> Reader:
        """Return one who reads what is published after number ``after`` (None: from now on), up to ``until``."""
        return Reader(self, self.last if after is None else after, until)

    def next(self, place: int) -> Published | Missed | None:
        """Return what comes behind this number; None: nothing yet, or nothing more."""
        if place >= self.last:
            return None
        first = self.last - len(self._history) + 1
        if place + 1 < first:
            return Missed(place + 1, first - 1)
        return self._history[place + 1 - first]

    async def wait(self) -> bool:
        """Wait for news; False: there will be none."""
        if self._is_closed:
            return False
        if self._news is None:
            self._news = anyio.Event()
        await self._news.wait()
        return True

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None


class Reader:
    """A place in the feed."""

    def __init__(self, feed: Feed, place: int, until: int | None) -> None:
        self._feed = feed
        self._place = place
        self._until = until

    async def next(self) -> Published | Missed | None:
        """Return what comes next; None at the end, or when the feed is closed."""
        if self._until is not None and self._place >= self._until:
            return None
        while (news := self._feed.next(self._place)) is None:
            if not await self._feed.wait():
                return None
        self._place = news.last if isinstance(news, Missed) else news.fact.n
        return news
