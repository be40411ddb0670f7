"""Callbacks: each is called for the events it wants, in their order, by a task of its own.

So a slow one keeps neither the queue nor another one waiting. It is only a reader of the feed: if it falls too far
behind, it misses events as every reader does, and whoever asked for ``missed`` is told. What a callback raises is
its own affair: it is told in the log, and the next event comes.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from actorq.actors.feed import Feed, Reader
from actorq.actors.spawn import current, spawn
from actorq.config import LET_GO_S, LISTENERS_LIMIT, one_of
from actorq.errors import InvalidOption
from actorq.event import EVENT_NAMES, EventsMissed, JobEvent

__all__ = ["ALL", "MISSED", "Listeners"]

log = logging.getLogger("actorq")

ALL: Final = "*"
MISSED: Final = "missed"


class Listeners:
    """The callbacks of one queue, over all its lives."""

    def __init__(self, queue: str) -> None:
        self.errors = 0
        """How many exceptions they have raised."""
        self.queue = queue
        self._listeners: list[_Listener] = []
        self._running: set[_Listener] = set()
        """Those that have a task; also those that are called no more, but have not come to their end."""
        self._feed: Feed | None = None

    def add(self, name: str, fn: Callable[[Any], object]) -> Callable[[], None]:
        """Call ``fn`` for each event of this name, until what is returned is called; see :meth:`JobQueue.on`.

        Raises:
            InvalidOption: there is no event of this name, or there are too many callbacks already.
        """
        one_of("event", name, (*EVENT_NAMES, ALL, MISSED))
        if not callable(fn):
            raise InvalidOption("fn", fn, "wants a function of one argument: the event")
        if len(self._listeners) >= LISTENERS_LIMIT:
            raise InvalidOption("fn", fn, f"a queue has at most {LISTENERS_LIMIT} callbacks")
        listener = _Listener(name, fn)
        self._listeners.append(listener)
        if self._feed is not None:
            self._begin(listener, self._feed)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)
                listener.finish()

        return remove

    def start(self, feed: Feed) -> None:
        """Let them hear what is published from now on, until the feed is closed."""
        self._feed = feed
        self._running = set()
        for listener in self._listeners:
            self._begin(listener, feed)

    async def heard(self) -> None:
        """Wait until they have heard what happened before the feed was closed."""
        for listener in list(self._running):
            await listener.ended.wait()

    async def stop(self) -> None:
        """Cancel those that have not, and wait a moment for them."""
        self._feed = None
        for listener in self._running:
            listener.scope.cancel()
        with anyio.move_on_after(LET_GO_S):
            await self.heard()
        for listener in self._running:
            log.warning("queue %s: callback %r is left behind: it ignores cancellation", self.queue, listener.fn)

    def _begin(self, listener: _Listener, feed: Feed) -> None:
        """Give it a task; those who only want to hear what others missed are called by these."""
        if listener.name == MISSED:
            return
        reader = listener.begin(feed)
        running = self._running  # of this life
        running.add(listener)

        async def listen() -> None:
            try:
                with listener.scope:
                    await self._listen(listener, reader)
            finally:
                running.discard(listener)
                listener.ended.set()

        spawn(listen, f"actorq {self.queue} callback")

    async def _listen(self, listener: _Listener, reader: Reader) -> None:
        while (news := await reader.next()) is not None:
            if isinstance(news, EventsMissed):
                await self._tell_missed(listener, news)
            else:
                await self._call(listener.fn, news)
            await checkpoint()  # a burst of events holds up nobody

    async def _tell_missed(self, listener: _Listener, missed: EventsMissed) -> None:
        """Let those hear it who asked for it; if nobody did, the log."""
        concerned = [each.fn for each in self._listeners if each.name == MISSED]
        for fn in concerned:
            await self._call(fn, missed)
        if not concerned:
            count = missed.last - missed.first + 1
            log.warning("queue %s: callback %r was too slow, and missed %d events", self.queue, listener.fn, count)

    async def _call(self, fn: Callable[[Any], object], news: JobEvent | EventsMissed) -> None:
        try:
            result = fn(news)
            if inspect.isawaitable(result):
                await result
        except GeneratorExit:
            raise  # the loop is gone
        except BaseException as error:
            if isinstance(error, anyio.get_cancelled_exc_class()) and current().is_being_torn_down():
                raise
            self.errors += 1
            log.exception("queue %s: callback %r raised on %r", self.queue, fn, news)


class _Listener:
    """One callback."""

    def __init__(self, name: str, fn: Callable[[Any], object]) -> None:
        self.name = name
        self.fn = fn
        self.ended: anyio.Event
        """Of its task in this life of the queue, as is ``scope``."""
        self.scope: anyio.CancelScope
        self._reader: Reader | None = None

    def begin(self, feed: Feed) -> Reader:
        """Return where it reads from now on."""
        self.ended, self.scope = anyio.Event(), anyio.CancelScope()
        self._reader = feed.reader(names=() if self.name == ALL else (self.name,))
        return self._reader

    def finish(self) -> None:
        """Read no further; a call that is on comes to its end."""
        if self._reader is not None:
            self._reader.close()
