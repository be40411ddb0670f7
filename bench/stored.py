"""Directories with very many jobs in them, made by the store alone: a queue would take minutes.

The jobs are what clients leave that each submit one call with one argument: a line each, in a journal as in a
snapshot.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from actorq.config import SEGMENT_LIMIT
from actorq.core.facts import Submitted
from actorq.core.job import JobOptions
from actorq.core.ledger import Ledger
from actorq.store.files import DiskFiles, boot_id
from actorq.store.journal import Journal
from actorq.store.snapshot import SnapshotWriter, put_in_place

BATCH: Final = 1_000

QUEUE: Final = "default"

Source = Literal["snapshot", "journal"]


def store_jobs(path: Path, jobs: int, task: str, source: Source, *, delay: float = 0.0) -> None:
    """Make a directory in which so many jobs of this task wait, with the argument ``n`` from 0."""
    files = DiskFiles(path)
    files.make_directory()
    write = _write_snapshot if source == "snapshot" else _write_journal
    write(files, _accept(jobs, task, delay))


def size_of(path: Path) -> int:
    """Return the bytes in the snapshots and the journal."""
    return sum(file.stat().st_size for file in path.glob("*.jsonl"))


def _accept(jobs: int, task: str, delay: float) -> Iterator[list[Submitted]]:
    at, options = time.time(), JobOptions()
    for first in range(0, jobs, BATCH):
        facts = []
        for n in range(first, min(first + BATCH, jobs)):
            fact = Submitted(at, f"{int(at):012x}5eed5eed-{n:08x}", at + delay, n + 1, task, b"[[%d],{}]" % n, options)
            fact.n = n + 1
            facts.append(fact)
        yield facts


def _write_journal(files: DiskFiles, batches: Iterator[list[Submitted]]) -> None:
    journal = Journal(files, QUEUE, 0, boot=boot_id(), wall=time.time)
    journal.open()
    for facts in batches:
        journal.append([fact] for fact in facts)
        if journal.size >= SEGMENT_LIMIT:
            journal.rotate()
    journal.close()


def _write_snapshot(files: DiskFiles, batches: Iterator[list[Submitted]]) -> None:
    ledger = Ledger()
    for facts in batches:
        for fact in facts:
            ledger.apply(fact)
    picture = ledger.picture()
    writer = SnapshotWriter(files, picture.totals, QUEUE, wall=time.time(), boot=boot_id())
    writer.begin()
    while taken := picture.take(BATCH):
        writer.write(writer.encode(taken))
    writer.complete(lambda: None)
    put_in_place(files, writer.name)
