"""The scribe owns the files.

Facts come to him in batches, and what follows from them may leave the house when he says so
(:meth:`Scribe.write`): at once, as long as the promise is that of snapshots. That is the seam where a journal
stands.

A snapshot is a picture of the ledger, taken and encoded on the loop in slices of at most a millisecond, and
written by a thread of his own. It is due some time after the first change that the last one does not
have, so an idle queue writes nothing. One that fails is an alarm, not an outage: the last one stands, and the
next is tried later and later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from attrs import define

from actorq.actors.spawn import spawn
from actorq.config import SLICE_S, Recovery
from actorq.core.facts import Fact
from actorq.core.ledger import Ledger
from actorq.core.picture import Picture
from actorq.errors import StoreError
from actorq.store.files import Files, boot_id
from actorq.store.recovery import Report, collector_off, recover
from actorq.store.snapshot import SnapshotWriter, rest

__all__ = ["Scribe", "SnapshotState"]

log = logging.getLogger("actorq")

T = TypeVar("T")

_JOBS_A_LOOK: Final = 1
"""Jobs encoded between two looks at the clock: a large one takes a millisecond by itself."""

_CHUNK_LIMIT: Final = 1024 * 1024
"""Bytes encoded before the thread writes them."""

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


class Scribe:
    """Keeps what must outlive the process; without a directory, nothing."""

    def __init__(self, files: Files | None, name: str, interval_s: float, known: int) -> None:
        self.state = SnapshotState(fact=known)
        self.report: Report | None = None
        """What recovery found."""
        self.next_snapshot_at = inf
        """When the supervisor is to begin one."""
        self.tell_when_due: Callable[[], None] = _nothing
        """Is called when that was set outside a turn."""
        self._files = files
        self._name = name
        self._interval_s = interval_s
        self._newest = known
        self._thread = anyio.CapacityLimiter(1)
        self._writing: anyio.Event | None = None

    @classmethod
    async def open(cls, files: Files | None, name: str, interval_s: float, recovery: Recovery) -> tuple[Scribe, Ledger]:
        """Take the directory, and return the scribe and what was left in it.

        Raises:
            StoreError: the directory cannot be used; it is as it was.
        """
        scribe = cls(files, name, interval_s, 0)
        if files is None:
            return scribe, Ledger()
        ledger, report = await scribe._take(files, recovery)
        scribe.report = report
        scribe.state.fact = scribe._newest = ledger.n
        if report.has_loss:
            log.error("queue %s: %s", name, report)
        return scribe, ledger

    async def _take(self, files: Files, recovery: Recovery) -> tuple[Ledger, Report]:
        """Open the directory in a task of its own: who is cancelled meanwhile must not leave it locked."""
        found: list[tuple[Ledger, Report] | BaseException] = []
        is_wanted, is_done = True, anyio.Event()

        async def take() -> None:
            try:
                found.append(await self._in_thread(lambda: _open(files, recovery)))
                if not is_wanted:
                    await self._in_thread(files.unlock)
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
                await self._in_thread(files.unlock)
            raise
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def write(self, facts: Sequence[Fact], now: float, then: Callable[[], None]) -> None:
        """Take the facts of a step; call ``then`` when they are written as was promised."""
        if facts and self._files is not None:
            self._newest = facts[-1].n
            if self.next_snapshot_at == inf and self._writing is None:
                self.next_snapshot_at = now + self._interval_s
        then()

    def begin_snapshot(self, ledger: Ledger, now: float, *, gently: bool = True) -> None:
        """Begin a snapshot of the ledger as it is at this moment, unless one is being written.

        Gently: the thread that reads it back rests as long as it works, for those who serve meanwhile.
        """
        self.next_snapshot_at = inf
        if self._files is None or self._writing is not None:
            return
        picture = ledger.picture()
        self._writing = anyio.Event()
        spawn(lambda: self._snapshot(picture, now, rest if gently else _nothing), f"actorq {self._name} scribe")

    async def snapshot(self, ledger: Ledger, now: Callable[[], float], *, gently: bool = True) -> None:
        """Return when a snapshot that has all facts up to now is in place; at once, if one has.

        Raises:
            StoreError: it could not be written.
        """
        wanted = ledger.n
        await self._written()  # one that was begun too early; that it fails says nothing of ours
        while self._files is not None and self.state.fact < wanted:
            failures = self.state.failures
            self.begin_snapshot(ledger, now(), gently=gently)
            await self._written()
            if self.state.failures > failures and self.state.error is not None:
                raise self.state.error

    async def close(self) -> None:
        """Give up the directory, when what is being written is written."""
        await self._written()
        if self._files is not None:
            await self._in_thread(self._files.unlock)

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing.wait()

    # -- a snapshot --------------------------------------------------------------------------------------

    async def _snapshot(self, picture: Picture, now: float, rest: Callable[[], None]) -> None:
        assert self._writing is not None
        state, writing = self.state, self._writing
        try:
            await self._write(picture, rest)
            state.at, state.fact, state.failures, state.error = now, picture.totals.n, 0, None
        except Exception as error:
            state.failures += 1
            state.error = error
            log.exception("queue %s: no snapshot could be written (failure %d)", self._name, state.failures)
        finally:
            picture.close()
            self._writing = None
            if self._newest > state.fact:
                self.next_snapshot_at = now + self._interval_s * 2 ** min(state.failures, _BACKOFF_LIMIT)
                self.tell_when_due()
            writing.set()

    async def _write(self, picture: Picture, rest: Callable[[], None]) -> None:
        writer = await self._in_thread(lambda: self._writer_of(picture))
        try:
            await self._in_thread(writer.begin)
            await self._write_jobs(picture, writer)
            await self._in_thread(partial(writer.finish, rest))
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(StoreError):  # the first error is the one to tell
                await self._in_thread(writer.abandon)
            raise

    async def _write_jobs(self, picture: Picture, writer: SnapshotWriter) -> None:
        chunk = bytearray()
        has_more = True
        while has_more:
            until = time.perf_counter() + SLICE_S
            while has_more and time.perf_counter() < until:
                jobs = picture.take(_JOBS_A_LOOK)
                has_more = bool(jobs)
                chunk += writer.encode(jobs)
            if len(chunk) >= _CHUNK_LIMIT or not has_more:
                await self._in_thread(partial(writer.write, bytes(chunk)))
                chunk.clear()
            else:
                await anyio.sleep(SLICE_S)

    def _writer_of(self, picture: Picture) -> SnapshotWriter:
        assert self._files is not None
        return SnapshotWriter(self._files, picture.totals, self._name, wall=time.time(), boot=boot_id())

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._thread)


def _nothing() -> None:
    """Rest for no time; tell nobody."""


def _open(files: Files, recovery: Recovery) -> tuple[Ledger, Report]:
    files.make_directory()
    files.lock()
    try:
        with collector_off():
            found = recover(files, recovery)
            return Ledger(found.totals, found.jobs), found.report
    except BaseException:
        files.unlock()
        raise
