"""A snapshot made of the last one and of the journal behind it: recovery, in another process.

The event loop has no part in it: what is folded is on the disk, in files that nobody writes to any more,
by the code that folds it at every start. It runs beside the queue in an interpreter that calls :func:`main`, and
only writes the file beside; to put that in its place is for the owner of the directory. So one whose
owner is gone can do no harm; it ends as soon as it sees that, by the end of its standard input.

Measured for a million jobs (docs/performance.md): while it runs, the loop is as punctual as without it.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from typing import Final

from actorq.errors import StoreError
from actorq.store.files import DiskFiles, Files, boot_id
from actorq.store.recovery import collector_off, fold
from actorq.store.snapshot import SnapshotWriter

__all__ = ["REFUSED", "compact", "main"]

REFUSED: Final = 3
"""The exit code that says that the files are at fault, and another way would not help."""

SLICE: Final = 100
"""Jobs encoded between two rests."""

NICENESS: Final = 5
"""The loop goes first where both want the processor."""


def compact(files: Files, upto: int, queue: str, rest: Callable[[], None]) -> tuple[str, int]:
    """Write the snapshot of all facts up to ``upto`` beside; return its name and its size in bytes.

    Args:
        files: of the queue; the segment behind ``upto`` is not looked at.
        upto: the last fact of a segment that is complete.
        queue: its name.
        rest: is called now and then.

    Raises:
        StoreCorrupt: what is to be folded is damaged.
        StoreError: it could not be written.
    """
    ledger = fold(files, files.list(), upto).recovered.ledger
    picture = ledger.picture()
    writer = SnapshotWriter(files, picture.totals, queue, wall=time.time(), boot=boot_id())
    try:
        writer.begin()
        while jobs := picture.take(SLICE):
            writer.write(writer.encode(jobs))
            rest()
        writer.complete(rest)
    except BaseException:
        writer.abandon()
        raise
    return writer.name, writer.size


def main() -> int:
    """Compact the directory that the command line names; say the snapshot's name and size, or what went wrong."""
    path, upto, queue = sys.argv[1:]
    os.nice(NICENESS)
    try:
        with collector_off():
            made = compact(DiskFiles(path), int(upto), queue, _end_with_owner)
        print(*made)  # noqa: T201 - the owner reads it
    except StoreError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the owner reads it
        return REFUSED
    return 0


def _end_with_owner() -> None:
    """End at once if whoever holds the other end of the standard input is gone."""
    if select.select([sys.stdin], [], [], 0)[0]:
        raise SystemExit(2)
