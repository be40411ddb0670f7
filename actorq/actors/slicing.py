"""Snapshots from a picture of the ledger, taken and encoded on the loop in slices of at most a millisecond.

For a queue without a journal this is the only way, because the ledger is nowhere but in memory. The files are
written by a thread.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from actorq.actors.snapshots import Made
from actorq.config import SLICE_S
from actorq.core.ledger import Ledger
from actorq.core.picture import Picture
from actorq.errors import StoreError
from actorq.store.files import Files, boot_id
from actorq.store.snapshot import SnapshotWriter, rest

__all__ = ["Slicing"]

T = TypeVar("T")

_JOBS_A_LOOK: Final = 1
"""Jobs encoded between two looks at the clock: a large one takes a millisecond by itself."""

_CHUNK_LIMIT: Final = 1024 * 1024
"""Bytes encoded before the thread writes them."""


class Slicing:
    """Makes snapshots from pictures."""

    def __init__(self, files: Files, name: str, thread: anyio.CapacityLimiter) -> None:
        self._files = files
        self._name = name
        self._thread = thread

    def begin(self, ledger: Ledger, *, gently: bool) -> Callable[[], Awaitable[Made]]:
        """Begin a picture; gently: the thread that reads the file back rests as long as it works."""
        picture = ledger.picture()
        return lambda: self._make(picture, rest if gently else _nothing)

    def stop(self) -> None:
        """Go on: what is not in this one is nowhere."""

    async def _make(self, picture: Picture, rest: Callable[[], None]) -> Made:
        try:
            writer = await self._in_thread(lambda: self._writer_of(picture))
            try:
                await self._in_thread(writer.begin)
                await self._write_jobs(picture, writer)
                await self._in_thread(partial(writer.finish, rest))
            except BaseException:
                with anyio.CancelScope(shield=True), suppress(StoreError):  # the first error is the one to tell
                    await self._in_thread(writer.abandon)
                raise
        finally:
            picture.close()
        return Made(picture.totals.n, writer.size)

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
        return SnapshotWriter(self._files, picture.totals, self._name, wall=time.time(), boot=boot_id())

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._thread)


def _nothing() -> None:
    """Rest for no time."""
