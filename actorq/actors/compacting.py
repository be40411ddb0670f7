"""Snapshots from the files: the journal is sealed, and another process folds what is behind the seal.

The loop has no part in it but to begin it and to hear that it is done. Where no other process can be had (the
files are not on a disk, the program is no Python that could be started again) a thread does the same, and
rests as long as it works.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from actorq.actors.snapshots import Made, Stopped
from actorq.actors.writer import Writer
from actorq.core.ledger import Ledger
from actorq.errors import StoreError
from actorq.store.compaction import REFUSED, compact
from actorq.store.files import DiskFiles, Files
from actorq.store.snapshot import is_leftover, put_in_place, rest

__all__ = ["Compacting"]

log = logging.getLogger("actorq")

T = TypeVar("T")

_PROGRAM: Final = "import sys; from actorq.store.compaction import main; sys.exit(main())"


class Compacting:
    """Makes snapshots from sealed segments."""

    def __init__(self, files: Files, name: str, writer: Writer, thread: anyio.CapacityLimiter) -> None:
        self._files = files
        self._name = name
        self._writer = writer
        self._thread = thread
        self._process: subprocess.Popen[str] | None = None
        self._sealed = anyio.Event()
        self._upto: int | None = None
        self._is_stopped = False

    def begin(self, ledger: Ledger, *, gently: bool) -> Callable[[], Awaitable[Made]]:
        """Ask for the seal: all that has happened until now stands before it."""
        del ledger, gently
        self._sealed, self._upto = anyio.Event(), None
        self._writer.seal(self._take_seal)
        return self._make

    def stop(self) -> None:
        """End the process: what it makes can be made from the same files at the next start."""
        self._is_stopped = True
        self._sealed.set()
        process = self._process
        if process is not None:
            process.kill()

    def _take_seal(self, n: int | None) -> None:
        self._upto = n
        self._sealed.set()

    async def _make(self) -> Made:
        await self._sealed.wait()
        upto = self._upto
        if self._is_stopped:
            raise Stopped
        if upto is None:
            raise self._writer.news.full or StoreError(self._files.where(), "the journal could not be sealed.")
        name, size = await self._in_thread(lambda: self._compact(upto))
        await self._in_thread(lambda: put_in_place(self._files, name))
        return Made(upto, size)

    def _compact(self, upto: int) -> tuple[str, int]:
        if self._is_stopped:
            raise Stopped
        for entry in self._files.list():  # of one that was killed; one is made at a time
            if is_leftover(entry):
                self._files.unlink(entry.name)
        if isinstance(self._files, DiskFiles):
            try:
                self._process = _start(self._files.where(), upto, self._name)
            except OSError as error:
                log.warning("queue %s: no process for the snapshot, so a thread makes it: %s", self._name, error)
            else:
                made = self._listen(self._process)
                if made is not None:
                    return made
        return compact(self._files, upto, self._name, self._rest)

    def _rest(self) -> None:
        """Give way to the loop, and to the end of the queue."""
        if self._is_stopped:
            raise Stopped
        rest()

    def _listen(self, process: subprocess.Popen[str]) -> tuple[str, int] | None:
        """Wait for the process, whose life hangs on the other end of its standard input; None: it cannot do it."""
        if self._is_stopped:
            process.kill()
        with process:
            assert process.stdout is not None
            said = process.stdout.read()
            process.wait()
        self._process = None
        if process.returncode and self._is_stopped:
            raise Stopped
        if process.returncode == REFUSED or process.returncode < 0:
            raise StoreError(self._files.where(), f"no snapshot was made (exit {process.returncode}): {said.strip()}")
        if process.returncode:  # it may be of another version than we are: somebody has upgraded us while we run
            log.warning("queue %s: a process could not make the snapshot, so a thread does: %s", self._name, said)
            return None
        name, size = said.split()[-2:]
        return name, int(size)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._thread)


def _start(path: str, upto: int, name: str) -> subprocess.Popen[str]:
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("this program is no interpreter")
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
        [sys.executable, "-c", _PROGRAM, path, str(upto), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a Ctrl-C is not meant for it
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
