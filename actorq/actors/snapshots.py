"""When snapshots are made, and how they stand.

One is due some time after the first change that the last one does not have, so an idle queue writes nothing;
and sooner, when the journal since the last one has grown beyond it. One that fails is an alarm, not an
outage: the last one stands, and the next is tried later and later.

How it is made is another's affair: from a picture of the ledger, taken on the loop (``slicing``), or from the
files, in another process (``compacting``).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, NamedTuple, Protocol

import anyio
from attrs import define

from actorq.actors.spawn import spawn
from actorq.config import GARBAGE_FLOOR, GARBAGE_RATIO
from actorq.core.ledger import Ledger
from actorq.errors import QueueClosed

__all__ = ["Made", "Maker", "SnapshotState", "Snapshots", "Stopped"]

log = logging.getLogger("actorq")

_BACKOFF_LIMIT: Final = 6
"""After snapshots that failed, the interval is doubled up to so many times."""


@define
class SnapshotState:
    """How the snapshots stand."""

    at: float | None = None
    """When the last one was put in place, in seconds since the epoch; of this life."""
    fact: int = 0
    """The last fact that it knows."""
    failures: int = 0
    """How many have failed since."""
    error: Exception | None = None
    """Why the last one failed."""


class Stopped(Exception):
    """The snapshot is not made, because the queue is closing; the next life makes it."""


class Made(NamedTuple):
    """A snapshot that is in place."""

    fact: int
    """The last fact that it knows."""
    size: int
    """Bytes."""


class Maker(Protocol):
    """Makes snapshots."""

    def begin(self, ledger: Ledger, *, gently: bool) -> Callable[[], Awaitable[Made]]:
        """Begin a snapshot of this moment, and return what makes it.

        Args:
            ledger: as it is now.
            gently: whether others serve meanwhile, and are to be given way.
        """
        ...

    def stop(self) -> None:
        """Let what can be made again from the files be :class:`Stopped`, now and from now on."""
        ...


class Snapshots:
    """One at a time, when it is due."""

    def __init__(
        self, maker: Maker | None, name: str, interval_s: float, known: int, size: int, journal: int = 0
    ) -> None:
        """Begin with the snapshot that is there; without a maker, none is ever due.

        Args:
            maker: makes them.
            name: of the queue.
            interval_s: from the first change that the last one does not have.
            known: the last fact that the last one knows.
            size: its bytes.
            journal: bytes of journal behind it.
        """
        self.state = SnapshotState(fact=known)
        self.next_at = inf
        """When the supervisor is to begin one."""
        self.tell_when_due: Callable[[], None] = _nothing
        """Is called when that was set outside a turn."""
        self._maker = maker
        self._name = name
        self._interval_s = interval_s
        self._size = size
        self._newest = known
        self._grown_from = -journal
        self._grown_to = 0
        self._writing: anyio.Event | None = None
        self._is_stopped = False

    def note(self, fact: int, now: float) -> None:
        """Note that something has happened, up to this fact."""
        self._newest = fact
        if self.next_at == inf and self._writing is None and self._maker is not None:
            self.next_at = now + self._interval_s

    def note_growth(self, size: int, now: float) -> None:
        """Note how many bytes of journal there are that count; a snapshot is due if they are too many."""
        self._grown_to = size
        grown = size - self._grown_from
        is_much = grown > max(GARBAGE_FLOOR, GARBAGE_RATIO * self._size)
        if is_much and self._writing is None and not self.state.failures and self.next_at > now:
            self.next_at = now
            self.tell_when_due()

    def begin(self, ledger: Ledger, now: float, *, gently: bool = True) -> None:
        """Begin a snapshot of the ledger as it is at this moment, unless one is being written."""
        self.next_at = inf
        if self._maker is None or self._writing is not None or self._is_stopped:
            return
        make = self._maker.begin(ledger, gently=gently)
        self._writing = anyio.Event()
        spawn(lambda: self._make(make, now), f"actorq {self._name} snapshot")

    async def snapshot(self, ledger: Ledger, now: Callable[[], float], *, gently: bool = True) -> None:
        """Return when a snapshot that has all facts up to now is in place; at once, if one has.

        Raises:
            StoreError: it could not be written.
        """
        wanted = ledger.n
        await self.written()  # one that was begun too early; that it fails says nothing of ours
        while self._maker is not None and self.state.fact < wanted:
            failures = self.state.failures
            self.begin(ledger, now(), gently=gently)
            await self.written()
            if self.state.failures > failures and self.state.error is not None:
                raise self.state.error
            if self._is_stopped:
                raise QueueClosed(self._name, "closing")

    def stop(self) -> None:
        """Make no more; one that can be made again from the files is not made to its end."""
        self._is_stopped = True
        if self._maker is not None:
            self._maker.stop()

    async def written(self) -> None:
        """Return when none is being written."""
        if self._writing is not None:
            await self._writing.wait()

    async def _make(self, make: Callable[[], Awaitable[Made]], now: float) -> None:
        assert self._writing is not None
        state, writing, grown = self.state, self._writing, self._grown_to
        try:
            made = await make()
            state.at, state.fact, state.failures, state.error = now, made.fact, 0, None
            self._size, self._grown_from = made.size, grown
        except Stopped:
            pass
        except Exception as error:
            state.failures += 1
            state.error = error
            log.exception("queue %s: no snapshot could be written (failure %d)", self._name, state.failures)
        finally:
            self._writing = None
            if self._newest > state.fact:
                self.next_at = now + self._interval_s * 2 ** min(state.failures, _BACKOFF_LIMIT)
                self.tell_when_due()
            writing.set()


def _nothing() -> None:
    """Tell nobody."""
