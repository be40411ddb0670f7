"""Small lives: a machine whose facts go into a journal, and what was known of them at each moment."""

import os
from copy import copy
from pathlib import Path
from typing import Any

from attrs import evolve

from actorq.config import RestartBudget, Retention, Settings
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.index import Query
from actorq.core.job import Failure, JobOptions, Reason
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine, replay
from actorq.core.retry import Retry
from actorq.store.files import Files
from actorq.store.journal import Journal
from actorq.store.snapshot import SnapshotWriter

EPOCH = 1_700_000_000.25

BAD = Failure(Reason.ERROR, "ValueError", "no")

PATIENT = JobOptions(retry=Retry(max_attempts=2, delay=5.0, jitter=0.0))


class Life:
    """One process: what is asked of it is decided, written, and, if not told otherwise, synced."""

    def __init__(self, files: Files, ledger: Ledger | None = None) -> None:
        settings = Settings(workers=2, retention=Retention(count=3), restarts=RestartBudget(task_deaths=2))
        self.machine = Machine(settings, ledger or Ledger())
        self.files = files
        self.facts: list[f.Fact] = []
        """What was written in this life."""
        self.now = EPOCH + self.machine.ledger.n
        self.journal = Journal(files, "mail", self.machine.ledger.n, boot="boot", wall=lambda: 1.0)
        self.journal.open()
        self.do(c.Register(("mail",), {"mail": PATIENT}), c.Recover())

    def do(self, *commands: c.Command, sync: bool = True) -> list[f.Fact]:
        """Make a step; return its facts."""
        self.now += 1.0
        facts = self.machine.step(commands, self.now).facts
        if facts:
            self.facts += facts
            self.journal.append([facts])
            if sync:
                self.journal.sync()
        return facts

    def submit(self, *names: str, sync: bool = True, **how: Any) -> list[f.Fact]:
        """Accept jobs of these ids."""
        return self.do(c.Submit(tuple(new_job(name, **how) for name in names)), sync=sync)

    def finish(self, name: str, *, sync: bool = True) -> list[f.Fact]:
        """Let the job that runs succeed."""
        return self.do(c.Finish(name, self.machine.ledger.jobs[name].claim, b'"done"'), sync=sync)

    def fail(self, name: str, *, sync: bool = True) -> list[f.Fact]:
        """Let the attempt that runs fail."""
        return self.do(c.Fail(name, self.machine.ledger.jobs[name].claim, BAD), sync=sync)


def controlled(life: Life) -> Life:
    """Let much be asked for: pauses, one with an end, keys and groups."""
    life.submit("a", key="k", group="red")
    life.submit("b", key="k")
    life.submit("c", key="l", delay=20.0)
    life.submit("d", delay=60.0, group="blue")
    life.do(c.PauseAll("blue"), c.PauseAll("green", life.now + 90.0), c.Pause("c"), c.Pause("d"))
    return life


def new_job(
    name: str,
    *,
    delay: float = 0.0,
    payload: bytes = b"[[],{}]",
    ephemeral: bool = False,
    key: str | None = None,
    on_conflict: c.OnConflict = "keep_last",
    **options: Any,
) -> c.NewJob:
    """Return a job to submit."""
    return c.NewJob(
        name,
        "mail",
        b"" if ephemeral else payload,
        evolve(PATIENT, **options),
        delay,
        ephemeral=ephemeral,
        key=key,
        on_conflict=on_conflict,
    )


def ledger_of(facts: list[f.Fact]) -> Ledger:
    """Return the ledger that these facts fold to."""
    return replay(map(copy, facts))


def state_of(ledger: Ledger) -> Any:
    """Return all that a ledger is, to be compared."""
    jobs = [copy(job) for job in ledger.jobs.values()]
    totals = ledger.n, ledger.now, ledger.seq, ledger.removed, dict(ledger.pauses)
    return totals, sorted(jobs, key=lambda job: job.seq), places_of(ledger)


def places_of(ledger: Ledger) -> Any:
    """Return where its jobs stand, to be compared: what is derived from them."""
    shelves = (ledger.parked, ledger.blocked, ledger.queued_keys, ledger.running_groups, ledger.keys)
    heaps = (ledger.ready, ledger.delayed, ledger.limits, ledger.pause_ends)
    return (
        [{shelf: set(jobs) for shelf, jobs in of_kind.items()} for of_kind in shelves],
        [sorted(heap.entries()) for heap in heaps],
        [set(ledger.paused), set(ledger.running)],
        {key: job.id for key, job in ledger.running_keys.items()},
        {state: set(jobs) for state, jobs in ledger.finished.items()},
        sorted((term, ledger.index.count(Query(((term,),)))) for term in ledger.index.terms()),
    )


def contents(files: Any) -> dict[str, bytes]:
    """Return every byte of a directory in memory."""
    return {name: files.read(name) for name in files.names()}


def restore(files: Any, was: dict[str, bytes]) -> Any:
    """Let the directory be what it was."""
    for name in files.names():
        files.unlink(name)
    for name, data in was.items():
        files.put(name, data)
    return files


def photograph(life: Life) -> str:
    """Write a snapshot of the life as it is now."""
    picture = life.machine.ledger.picture()
    writer = SnapshotWriter(life.files, picture.totals, "mail", wall=1_700_000_200.0)
    writer.begin()
    while jobs := picture.take(10):
        writer.write(writer.encode(jobs))
    writer.finish(lambda: None)
    return writer.name


def make_odd(path: Path, kind: str, target: str) -> None:
    """Put something in the place of a file."""
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(target if kind == "symlink" else "nowhere")
