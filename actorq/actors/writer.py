"""A thread that owns the journal: many transactions, one sync.

The loop puts transactions into its inbox and never waits for it. What has gathered there while the disk
was busy is one batch: one write, one sync, one report. There is no timer to make batches larger; the disk
sets the pace.

It reports by calling into the loop: how far everything is written, how far it is synced, that there is no
room, that the journal is poisoned. On a full disk it keeps what it could not write, gives up the reserve, and
goes on in a new segment as soon as there is room, in the order in which it was told.

The thread is a daemon: a program that ends without closing its queue is not held up by it. That is what the
journal is for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from typing import Final
from weakref import WeakSet

import anyio
from attrs import define, frozen

from actorq.actors.spawn import caller
from actorq.config import (
    BACKLOG_BYTES,
    BACKLOG_FACTS,
    FULL_RETRY_CAP_S,
    FULL_RETRY_S,
    MARK_INTERVAL_S,
    SEGMENT_LIMIT,
    SLOW_SYNC_S,
)
from actorq.core.facts import Fact
from actorq.errors import StoreFailed, StoreFull
from actorq.store.journal import Journal

__all__ = ["News", "Writer", "writers"]

log = logging.getLogger("actorq")

writers: Final = WeakSet["Writer"]()
"""All that are at work in this process; for clocks that tests own."""


@frozen
class News:
    """How the journal stands."""

    written: int
    """Every fact up to this one is with the operating system."""
    synced: int
    """Every fact up to this one is on the disk."""
    size: int
    """Bytes written in this life."""
    full: StoreFull | None = None
    """Why no more submissions are taken: there is no room, or not enough."""
    failure: StoreFailed | None = None
    """Why nothing is written any more."""
    is_stuck: bool = False
    """Whether the reserve is used up, too, and nothing at all is written until there is room."""


@define
class _Transaction:
    facts: Sequence[Fact]
    is_urgent: bool
    """Whether to report that it is written, before it is synced."""


@frozen
class _Seal:
    """Complete the segment, and say which fact is the last in it; None: it cannot be done."""

    done: Callable[[int | None], None]


class _GoOn:
    """The loop knows that there is no room, and has refused what it will refuse: write what is left."""


@frozen
class _Close:
    """Complete the journal, and end."""

    then: Callable[[], None]
    """Is called as the last thing, in the thread."""


_Letter = _Transaction | _Seal | _GoOn | _Close


class Writer:
    """The loop's side of the thread, and the thread."""

    def __init__(
        self, journal: Journal, name: str, sync_interval_s: float | None, hear: Callable[[News], None]
    ) -> None:
        """Begin to work on a journal that is open.

        Args:
            journal: is the thread's from now on.
            name: of the queue.
            sync_interval_s: how long what is written may wait for a sync; None: it does not, each batch is synced.
            hear: is called on the loop when there is news.
        """
        self.news = News(journal.written, journal.synced, 0, None if journal.has_reserve else _no_reserve(journal))
        """The last."""
        self.last = journal.written
        """The last fact that was handed over."""
        self.is_closed = False
        self._weights = deque[tuple[int, float, int]]()
        """Of what is on its way: last fact, when it was handed over, bytes."""
        self._weight = 0
        self._seals_due = 0
        self._last_news = anyio.Event()
        self._last_words: Callable[[], None] | None = None
        """What could not be told, because the loop was gone."""
        self._journal = journal
        self._name = name
        self._sync_interval_s = sync_interval_s
        self._hear = hear
        self._call = caller()
        self._inbox = SimpleQueue[_Letter]()
        # From here on the thread's own.
        self._left: list[_Transaction] = []
        self._seals: list[_Seal] = []
        self._size = 0
        self._full: StoreFull | None = self.news.full
        self._must_renew = False
        self._is_stuck = False
        self._awaits_loop = False
        self._then: Callable[[], None] = _nothing
        self._retry_s = FULL_RETRY_S
        self._retry_at = time.monotonic() + FULL_RETRY_S if self._full else inf
        self._sync_at = inf
        self._mark_at = inf
        self._is_closing = False
        writers.add(self)
        self._thread = threading.Thread(target=self._run, name=f"actorq {name} journal", daemon=True)
        self._thread.start()

    # -- on the loop ---------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether news is to be expected soon."""
        is_able = self.news.failure is None and not self.is_closed
        return is_able and (self.last > self.kept or self._seals_due > 0)

    @property
    def is_behind(self) -> bool:
        """Whether so much is on its way that submitters are to wait."""
        return self.last - self.kept > BACKLOG_FACTS or self._weight > BACKLOG_BYTES

    @property
    def behind_s(self) -> float:
        """How long the oldest fact has been on its way."""
        return time.monotonic() - self._weights[0][1] if self._weights else 0.0

    @property
    def kept(self) -> int:
        """The last fact that is as durable as was promised."""
        return self.news.written if self._sync_interval_s is not None else self.news.synced

    def write(self, facts: Sequence[Fact], *, is_urgent: bool) -> None:
        """Write the facts of one step, which stand in one transaction; they are numbered, and change no more.

        Args:
            facts: of the step.
            is_urgent: whether it is to be said that they are written, before they are synced.
        """
        self.last = facts[-1].n
        weight = sum(fact.weight for fact in facts)
        self._weights.append((self.last, time.monotonic(), weight))
        self._weight += weight
        self._inbox.put(_Transaction(facts, is_urgent))

    def seal(self, done: Callable[[int | None], None]) -> None:
        """Complete the segment; ``done`` is called on the loop with the last fact in it; None: there is no room."""
        self._seals_due += 1
        self._inbox.put(_Seal(done))

    def go_on(self) -> None:
        """Write what is left, once there is room: the submissions in it that were refused say so by now."""
        self._inbox.put(_GoOn())

    def close(self, then: Callable[[], None] | None = None) -> None:
        """Write what is left, complete the journal, and end the thread; :meth:`join` waits for that."""
        self._inbox.put(_Close(then or _nothing))

    async def heard(self) -> None:
        """Return when the last news has been heard, once the thread has ended."""
        if self._last_words is not None:
            self._last_words()
        await self._last_news.wait()

    def join(self, at_most_s: float | None = None) -> None:
        """Wait for the end of the thread; not on a loop that others need."""
        self._thread.join(at_most_s)

    def _take(self, news: News, *, is_last: bool) -> None:
        self.news = news
        kept = self.kept
        while self._weights and self._weights[0][0] <= kept:
            self._weight -= self._weights.popleft()[2]
        if is_last:
            self._last_news.set()
        self._hear(news)

    def _take_seal(self, seal: _Seal, n: int | None) -> None:
        self._seals_due -= 1
        seal.done(n)

    # -- in the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        journal = self._journal
        try:
            while not self._is_closing:
                self._gather()
                self._work()
            journal.close()
        except StoreFailed as failure:
            log.critical("queue %s: %s", self._name, failure)
        except BaseException as bug:
            journal.poison(bug)
            log.critical("queue %s: the journal has stopped by a bug in actorq", self._name, exc_info=bug)
        finally:
            try:
                journal.abandon()
                self._then()
            finally:
                self.is_closed = True
                self._report(is_last=True)

    def _gather(self) -> None:
        """Wait until there is something to do, and take all that is there."""
        mark_at = inf if self._must_renew else self._mark_at
        wait_s = min(self._sync_at, mark_at, self._retry_at) - time.monotonic()
        try:
            self._sort(self._inbox.get(timeout=None if wait_s == inf else max(wait_s, 0.0)))
            while True:
                self._sort(self._inbox.get_nowait())
        except Empty:
            pass

    def _sort(self, letter: _Letter) -> None:
        match letter:
            case _Transaction():
                self._left.append(letter)
            case _Seal():
                self._seals.append(letter)
            case _GoOn():
                self._awaits_loop = False
                self._retry_at = time.monotonic() + self._retry_s
            case _Close():
                self._is_closing = True
                self._then = letter.then

    def _work(self) -> None:
        """Do what is due, in the order that the promises ask for."""
        now = time.monotonic()
        if now >= self._retry_at or self._is_closing:
            self._look_for_room()
        if self._left and not self._must_renew:
            self._write()
        if now >= self._sync_at:
            self._sync()
        if now >= self._mark_at and not self._must_renew:
            self._journal.mark()
            self._mark_at = inf
        if not self._must_renew and (self._journal.size >= SEGMENT_LIMIT or (self._seals and not self._left)):
            self._rotate()

    def _write(self) -> None:
        size = self._journal.size
        try:
            self._journal.append([transaction.facts for transaction in self._left])
        except StoreFull as full:
            self._find_no_room(full)
            return
        is_urgent = any(transaction.is_urgent for transaction in self._left)
        self._left = []
        self._is_stuck = False
        self._size += self._journal.size - size
        if self._sync_interval_s is None:
            if is_urgent:
                self._report()
            self._sync()
        else:
            self._sync_at = min(self._sync_at, time.monotonic() + self._sync_interval_s)
            self._report()

    def _sync(self) -> None:
        began_at = time.monotonic()
        self._journal.sync()
        took_s = time.monotonic() - began_at
        if took_s > SLOW_SYNC_S:
            log.warning("queue %s: the disk took %.1f s for a sync", self._name, took_s)
        self._sync_at = inf
        self._mark_at = min(self._mark_at, time.monotonic() + MARK_INTERVAL_S)
        self._report()

    def _rotate(self) -> None:
        try:
            self._journal.rotate()
        except StoreFull as full:
            self._find_no_room(full)
            return
        self._sync_at = inf
        self._report()
        self._answer_seals(self._journal.synced)

    def _answer_seals(self, n: int | None) -> None:
        seals, self._seals = self._seals, []
        for seal in seals:
            self._call_loop(partial(self._take_seal, seal, n))

    # -- no room ---------------------------------------------------------------------------------------

    def _find_no_room(self, full: StoreFull) -> None:
        self._must_renew = True
        if self._full is None:
            log.error("queue %s takes no more jobs, and lives on its reserve: %s", self._name, full)
            self._retry_s = FULL_RETRY_S
            self._awaits_loop = True
        elif not self._is_stuck:
            log.error("queue %s: the reserve is used up, and nothing is written until there is room", self._name)
            self._is_stuck = True
        self._full = full
        self._journal.give_up_reserve()
        self._retry_at = inf if self._awaits_loop else time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, FULL_RETRY_CAP_S)
        self._report()
        if self._is_stuck:
            self._answer_seals(None)

    def _look_for_room(self) -> None:
        """Go on in a new segment, and once what was left is written, take submissions again if the reserve fits in."""
        self._retry_at = inf
        if self._awaits_loop:
            return  # what it will refuse must not be written as if it had been accepted
        if self._must_renew:
            try:
                self._journal.renew()
            except StoreFull as full:
                self._find_no_room(full)
                return
            self._must_renew = False
            if self._left:
                self._write()
            self._is_stuck = self._must_renew
        if self._full is None or self._must_renew:
            return
        if self._journal.hold_reserve(spare=True):
            log.warning("queue %s: there is room again", self._name)
            self._full = None
            self._report()
        else:
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, FULL_RETRY_CAP_S)

    # -- reports ---------------------------------------------------------------------------------------

    def _report(self, *, is_last: bool = False) -> None:
        journal = self._journal
        news = News(journal.written, journal.synced, self._size, self._full, journal.failure, self._is_stuck)
        self._call_loop(partial(self._take, news, is_last=is_last))

    def _call_loop(self, call: Callable[[], None]) -> None:
        try:
            self._call(call)
        except RuntimeError:  # the loop is gone, and with it everybody who would want to know
            self._is_closing = True
            self._last_words = call


def _nothing() -> None:
    """Do nothing more."""


def _no_reserve(journal: Journal) -> StoreFull:
    return StoreFull(journal.where, "there is hardly any room: make room on the disk.")
