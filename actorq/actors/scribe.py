"""The scribe owns the files.

Facts come to him step by step, and what follows from them may leave the house when he says so: how far they
are ``written`` (a crash of the process does not harm them) and how far they are ``kept`` (as durable as was
promised). With a journal that is the business of a thread (``writer``); without one, every fact counts as kept
at once, and a snapshot now and then is all there is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import TypeVar

import anyio
import anyio.to_thread
from attrs import frozen

from actorq.actors.compacting import Compacting
from actorq.actors.slicing import Slicing
from actorq.actors.snapshots import Maker, Snapshots
from actorq.actors.spawn import spawn
from actorq.actors.writer import News, Writer
from actorq.config import ABANDON_S, SEGMENTS_LIMIT, Durability, Recovery
from actorq.core.facts import Fact
from actorq.core.ledger import Ledger
from actorq.errors import StoreError, StoreFailed, StoreFull
from actorq.store.files import Files, boot_id
from actorq.store.journal import Journal
from actorq.store.recovery import Recovered, Report, collector_off, recover
from actorq.store.salvage import salvage
from actorq.store.snapshot import n_of

__all__ = ["Keeping", "Scribe"]

log = logging.getLogger("actorq")

T = TypeVar("T")


@frozen
class Keeping:
    """How the queue is to be kept."""

    files: Files | None
    """None: memory only."""
    durability: Durability
    sync_interval_s: float
    """For ``"flush"``: how long what is written may wait for a sync."""
    snapshot_interval_s: float
    recovery: Recovery

    @property
    def has_journal(self) -> bool:
        """Whether facts are written one by one."""
        return self.files is not None and self.durability in ("flush", "fsync")


class Scribe:
    """Keeps what must outlive the process; without a directory, nothing."""

    def __init__(self, keeping: Keeping, name: str) -> None:
        self.report: Report | None = None
        """What recovery found."""
        self.snapshots = Snapshots(None, name, inf, 0, 0)
        self.hear: Callable[[], None] = _nothing
        """Is called on the loop when ``written``, ``kept``, ``full`` or ``failure`` have changed."""
        self._keeping = keeping
        self._name = name
        self._newest = 0
        self._writer: Writer | None = None
        self._thread = anyio.CapacityLimiter(1)
        self._now: Callable[[], float] = time.time

    @classmethod
    async def open(cls, keeping: Keeping, name: str) -> tuple[Scribe, Ledger]:
        """Take the directory, and return the scribe and what was left in it.

        Raises:
            StoreError: the directory cannot be used; it is as it was.
        """
        scribe = cls(keeping, name)
        files = keeping.files
        if files is None:
            return scribe, Ledger()
        opened = await scribe._take(files)
        scribe._begin(files, opened)
        return scribe, opened.recovered.ledger

    def _begin(self, files: Files, opened: _Opened) -> None:
        report, ledger = opened.recovered.report, opened.recovered.ledger
        self.report = report
        self._newest = ledger.n
        if report.has_loss:
            log.error("queue %s: %s", self._name, report)
        elif report.flaws:
            log.warning("queue %s: %s", self._name, report)
        maker: Maker = Slicing(files, self._name, self._thread)
        if opened.journal is not None:
            interval_s = self._keeping.sync_interval_s if self._keeping.durability == "flush" else None
            self._writer = Writer(opened.journal, self._name, interval_s, self._take_news)
            maker = Compacting(files, self._name, self._writer, self._thread)
        known = 0 if report.snapshot is None else n_of(report.snapshot)
        self.snapshots = Snapshots(
            maker, self._name, self._keeping.snapshot_interval_s, known, report.snapshot_bytes, report.journal_bytes
        )
        if report.segments > SEGMENTS_LIMIT or (opened.journal is None and known < ledger.n):
            self.snapshots.note(ledger.n, -inf)

    async def _take(self, files: Files) -> _Opened:
        """Open the directory in a task of its own: who is cancelled meanwhile must not leave it locked."""
        found: list[_Opened | BaseException] = []
        is_wanted, is_done = True, anyio.Event()

        async def take() -> None:
            try:
                found.append(await self._in_thread(lambda: _open(files, self._keeping, self._name)))
                if not is_wanted:
                    await self._in_thread(lambda: _give_up(files, found))
            except BaseException as error:  # noqa: BLE001 - it is handed on
                found.append(error)
            finally:
                is_done.set()

        spawn(take, f"actorq {self._name} opening")
        try:
            await is_done.wait()
        except BaseException:
            is_wanted = False
            with anyio.CancelScope(shield=True):
                await is_done.wait()
                await self._in_thread(lambda: _give_up(files, found))
            raise
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    # -- facts -----------------------------------------------------------------------------------------

    @property
    def has_journal(self) -> bool:
        """Whether facts are written one by one."""
        return self._writer is not None

    @property
    def written(self) -> int:
        """The last fact that a crash of the process does not harm any more."""
        return self._newest if self._writer is None else self._writer.news.written

    @property
    def kept(self) -> int:
        """The last fact that is as durable as was promised."""
        return self._newest if self._writer is None else self._writer.kept

    @property
    def is_behind(self) -> bool:
        """Whether so much is on its way to the disk that submitters are to wait."""
        return self._writer is not None and self._writer.is_behind

    @property
    def behind_s(self) -> float:
        """How long the oldest fact that is not kept has been on its way, in seconds."""
        return 0.0 if self._writer is None else self._writer.behind_s

    @property
    def full(self) -> StoreFull | None:
        """Why there is no room for submissions, if there is none."""
        return None if self._writer is None else self._writer.news.full

    @property
    def is_stuck(self) -> bool:
        """Whether nothing at all is written until there is room."""
        return self._writer is not None and self._writer.news.is_stuck

    def go_on(self) -> None:
        """Let what is left be written once there is room: what is refused of it says so by now."""
        if self._writer is not None:
            self._writer.go_on()

    @property
    def failure(self) -> StoreFailed | None:
        """Why nothing is kept any more, if that is so."""
        return None if self._writer is None else self._writer.news.failure

    def write(self, facts: Sequence[Fact], now: float, *, is_urgent: bool) -> None:
        """Take the facts of a step.

        Args:
            facts: of one step.
            now: seconds since the epoch.
            is_urgent: whether something waits for them to be ``written``, and not only for them to be ``kept``.
        """
        if facts:
            self._newest = facts[-1].n
            if self._writer is not None:
                self._writer.write(facts, is_urgent=is_urgent)
            self.snapshots.note(self._newest, now)

    def use_clock(self, now: Callable[[], float]) -> None:
        """Tell the time by this clock."""
        self._now = now

    def _take_news(self, news: News) -> None:
        self.snapshots.note_growth(news.size, self._now())
        if news.failure is not None:
            self.snapshots.stop()
        self.hear()

    # -- the end ---------------------------------------------------------------------------------------

    async def finish(self) -> StoreError | None:
        """Let all that was taken be written, and complete the journal; return why it was not, if it was not."""
        writer = self._writer
        if writer is None:
            return None
        self.snapshots.stop()
        await self.snapshots.written()
        writer.close()
        with anyio.CancelScope(shield=True):
            await self._in_thread(writer.join)
            await writer.heard()
        if writer.news.failure is None and writer.kept == writer.last:
            return None
        return writer.news.failure or writer.news.full

    def abandon(self) -> None:
        """Let what was taken be written, and give up the directory; nobody will hear of it, as the loop is closing."""
        self.snapshots.stop()
        files = self._keeping.files
        if self._writer is not None and files is not None:
            self._writer.close(files.unlock)
            self._writer.join(ABANDON_S)
        elif files is not None:
            files.unlock()

    async def close(self) -> None:
        """Give up the directory, when what is being written is written."""
        await self.snapshots.written()
        await self.finish()
        files = self._keeping.files
        if files is not None:
            await self._in_thread(files.unlock)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._thread)


def _nothing() -> None:
    """Tell nobody."""


# -- opening, in a thread --------------------------------------------------------------------------------


@frozen
class _Opened:
    """A directory that is ours."""

    recovered: Recovered
    journal: Journal | None


def _open(files: Files, keeping: Keeping, name: str) -> _Opened:
    files.make_directory()
    files.lock()
    try:
        with collector_off():
            if keeping.recovery == "salvage":
                recovered = salvage(files, name, wall=time.time(), boot=boot_id())
            else:
                recovered = recover(files)
        journal = None
        if keeping.has_journal:
            journal = Journal(files, name, recovered.ledger.n, boot=boot_id(), wall=time.time)
            journal.open()
    except BaseException:
        files.unlock()
        raise
    return _Opened(recovered, journal)


def _give_up(files: Files, found: Sequence[_Opened | BaseException]) -> None:
    for one in found:
        if isinstance(one, _Opened) and one.journal is not None:
            one.journal.abandon()
    files.unlock()
