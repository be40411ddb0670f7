"""A worker's inbox: a memory channel with one place.

An anyio stream takes a turn of the event loop before it looks whether anything is there, and two exceptions
to say that nothing is; with a round trip of two hops that was most of its time. This one hands over what is
there at once, and waits on one event.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """Holds at most one thing, for one reader."""

    __slots__ = ("_closed", "_news", "_thing")

    def __init__(self) -> None:
        self._thing: T | None = None
        self._news: anyio.Event | None = None
        self._closed = False

    @property
    def is_empty(self) -> bool:
        """Whether :meth:`get` would wait."""
        return self._thing is None

    def put(self, thing: T) -> None:
        """Put something in; the inbox is empty, or somebody has spoken out of turn."""
        assert self._thing is None, "an inbox has one place"
        self._thing = thing
        if self._news is not None:
            self._news.set()

    def close(self) -> None:
        """Put nothing more in."""
        self._closed = True
        if self._news is not None:
            self._news.set()

    async def get(self) -> T | None:
        """Return what is there, or will be; None when it is closed. Cancelled, it loses nothing."""
        while self._thing is None:
            if self._closed:
                return None
            self._news = anyio.Event()
            await self._news.wait()
        thing, self._thing = self._thing, None
        return thing
