"""Small limits, so that everything rare happens often; and planted bugs, each of which a layer of tests must see.

Imported by the programs that run as child processes, never by the tests themselves.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from actorq.actors.outbox import Outbox
from actorq.actors.writer import Writer
from actorq.errors import StoreFailed
from actorq.store import files
from actorq.store.journal import Journal
from actorq.store.journal_codec import Transaction, TransactionDecoder

SMALL: dict[str, float] = {
    "BATCH_BYTES": 4 * 1024,
    "FULL_RETRY_CAP_S": 0.1,
    "GARBAGE_FLOOR": 128 * 1024,
    "INTERRUPTION_DELAY_S": 0.01,
    "INTERRUPTION_DELAY_CAP_S": 0.05,
    "LINE_TARGET": 1024,
    "MARK_INTERVAL_S": 0.02,
    "RESERVE_BYTES": 16 * 1024,
    "SEGMENT_LIMIT": 32 * 1024,
    "SEGMENTS_LIMIT": 6,
}
"""Segments, lines, writes and the witness turn over many times a second."""


def set_limits(limits: dict[str, float]) -> None:
    """Give the bounds of these names another value, in every module that knows them."""
    modules = [module for name, module in sys.modules.items() if name.startswith("actorq.")]
    for limit, value in limits.items():
        for module in modules:
            if hasattr(module, limit):
                setattr(module, limit, value)


def compact_in_thread() -> None:
    """Let snapshots be made in this process, as where there is no interpreter that could be started."""
    sys.frozen = True  # type: ignore[attr-defined]


def tell_syncs(tell: Callable[..., None]) -> None:
    """Say when a sync of the journal begins, and when it has ended."""
    sync = Journal.sync

    def sync_and_tell(journal: Journal) -> None:
        tell("syncing")
        sync(journal)
        tell("synced")

    Journal.sync = sync_and_tell  # type: ignore[method-assign]


# -- planted bugs ----------------------------------------------------------------------------------


def _acknowledge_first() -> None:
    """Count as kept what was only handed to the thread."""
    setattr(Writer, "kept", property(lambda writer: writer.last))  # noqa: B010 - a type checker would object


def _run_first() -> None:
    """Let runs begin before it is written that they do."""
    release = Outbox.release

    def release_all(outbox: Outbox, written: int, kept: int) -> None:
        release(outbox, sys.maxsize, kept)
        del written

    Outbox.release = release_all  # type: ignore[method-assign]


def _split_transactions() -> None:
    """Take each line for a transaction, also those that say that more belongs to it."""
    decode = TransactionDecoder.decode

    def decode_alone(decoder: TransactionDecoder, data: bytes) -> object:
        said = decode(decoder, data)
        return evolve(said, has_more=False) if isinstance(said, Transaction) else said

    TransactionDecoder.decode = decode_alone  # type: ignore[method-assign, assignment]


def _do_not_sync() -> None:
    """Say that it is on the disk, and do nothing."""
    files._sync = lambda fd: None
    files._sync_directory = lambda path: None


def _do_not_sync_snapshots() -> None:
    """Rename a snapshot that the disk has not got; only where this process makes it."""
    compact_in_thread()
    sync, settle = files._DiskFile.sync, files.DiskFiles.settle

    def sync_others(file: Any) -> None:
        if not file._path.endswith(".tmp"):
            sync(file)

    def settle_others(directory: files.DiskFiles, name: str) -> None:
        if not name.endswith(".tmp"):
            settle(directory, name)

    files._DiskFile.sync = sync_others  # type: ignore[method-assign]
    files.DiskFiles.settle = settle_others  # type: ignore[method-assign]


def _sync_again() -> None:
    """Try a sync that failed once more, and believe it."""
    sync = files._sync

    def sync_twice(fd: int) -> None:
        try:
            sync(fd)
        except OSError:
            sync(fd)

    files._sync = sync_twice


def _swallow_failed_rotation() -> None:
    """Go on in the same segment when it could not be completed."""
    rotate = Journal.rotate

    def rotate_or_not(journal: Journal) -> None:
        try:
            rotate(journal)
        except StoreFailed:
            journal.failure = None

    Journal.rotate = rotate_or_not  # type: ignore[method-assign]


def _ignore_short_writes() -> None:
    """Write once, and take it for all."""
    os = files.os

    def write_once(file: Any, data: bytes) -> None:
        with files._telling(file._path, "write"):
            os.write(file._fd, data)

    files._DiskFile.write = write_once  # type: ignore[method-assign]


def _lose_ends() -> None:
    """Say that batches with the end of a job in them are written, and write nothing."""
    append = Journal.append

    def append_without_ends(journal: Journal, transactions: Sequence[Sequence[Any]]) -> None:
        if any(type(fact).__name__ == "Succeeded" for facts in transactions for fact in facts):
            journal.written = transactions[-1][-1].n
            return
        append(journal, transactions)

    Journal.append = append_without_ends  # type: ignore[method-assign, assignment]


BUGS: dict[str, Callable[[], None]] = {
    "acknowledge first": _acknowledge_first,
    "run first": _run_first,
    "split transactions": _split_transactions,
    "do not sync": _do_not_sync,
    "do not sync snapshots": _do_not_sync_snapshots,
    "sync again": _sync_again,
    "swallow failed rotation": _swallow_failed_rotation,
    "ignore short writes": _ignore_short_writes,
    "lose ends": _lose_ends,
}
