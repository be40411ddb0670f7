"""P13: what does it cost to find jobs by their tags among 100,000, and what does a job pay for that?

Found is one page of 100 jobs by task, tag and state, the newest first; the baseline looks at the jobs one after
the other, as a queue without an index does, until it has the same hundred. What a job pays is what the index takes
from its acceptance to its removal, with three changes of state; beside it stands the life of that job in a machine,
which includes the index.
"""

import asyncio
from itertools import islice
from typing import Any

import pytest
from attrs import evolve

from actorq.actors.search import count, find
from actorq.config import Settings
from actorq.core import commands as c
from actorq.core.index import Index
from actorq.core.job import Job, JobOptions, JobState
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine
from actorq.core.picture import Totals
from actorq.query import Filter
from actorq.record import JobRecord, record_of

USERS = 1_000
WHERE = Filter(task="mail", tags={"user": "7", "kind": "bill"}, state="queued")


def make_job(seq: int) -> Job:
    """Return one of many jobs: each user has some of each task, kind and state."""
    tags = {"user": str(seq % USERS), "kind": ("bill", "news")[seq // USERS % 2], "city": "Rome"}
    state = (JobState.QUEUED, JobState.SUCCEEDED)[seq // USERS // 2 % 2]
    task = ("mail", "print")[seq // USERS // 4 % 2]
    return Job(f"job-{seq}", seq, task, b"[[],{}]", JobOptions(tags=tags), state, 0.0, 0.0, ended_at=0.0)


def scan(ledger: Ledger, most: int) -> list[JobRecord]:
    """Look at every job, the newest first, and return the first that are meant."""

    def is_meant(job: Job) -> bool:
        tags = job.options.tags
        return (
            job.state is JobState.QUEUED
            and job.task == "mail"
            and tags.get("user") == "7"
            and tags.get("kind") == "bill"
        )

    return list(map(record_of, islice(filter(is_meant, reversed(ledger.jobs.values())), most)))


@pytest.mark.benchmark(group="P13 a page of jobs by task, tags and state among 100,000")
def bench_find(pick: Any, race: Any, tell: Any, frozen_heap: Any) -> None:
    jobs, rounds = pick(quick=10_000, full=100_000), pick(quick=5, full=15)
    ledger = Ledger(Totals(n=1, seq=jobs), map(make_job, range(1, jobs + 1)))
    frozen_heap()
    with asyncio.Runner() as runner:
        page = runner.run(find(ledger, WHERE, limit=100, order="newest"))
        assert list(page) == scan(ledger, 100)
        ours, base = race(
            lambda: runner.run(find(ledger, WHERE, limit=100, order="newest")), lambda: scan(ledger, 100), rounds=rounds
        )
        tell("P13", f"find {len(page)} of {jobs:,}", ours * 1e3, base * 1e3, "ms")
        meant = len(scan(ledger, jobs))
        assert runner.run(count(ledger, WHERE)) == meant


@pytest.mark.benchmark(group="P13 a page of jobs by task, tags and state among 100,000")
def bench_count(pick: Any, race: Any, tell: Any, frozen_heap: Any) -> None:
    jobs, rounds = pick(quick=10_000, full=100_000), pick(quick=5, full=15)
    ledger = Ledger(Totals(n=1, seq=jobs), map(make_job, range(1, jobs + 1)))
    frozen_heap()
    with asyncio.Runner() as runner:
        where = Filter(state="queued")
        meant = sum(job.state is JobState.QUEUED for job in ledger.jobs.values())
        assert runner.run(count(ledger, where)) == meant
        ours, base = race(
            lambda: runner.run(count(ledger, where)),
            lambda: sum(job.state is JobState.QUEUED for job in ledger.jobs.values()),
            rounds=rounds,
        )
        tell("P13", f"count {meant:,} of {jobs:,}", ours * 1e3, base * 1e3, "ms")


# -- what a job pays ---------------------------------------------------------------------------------

PLAIN = JobOptions()

LIFE = (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)


def index_lives(jobs: list[Job]) -> None:
    """Tell an index of the whole life of each job."""
    index = Index()
    for job in jobs:
        index.add(job)
        for state in LIFE:
            job.state = state
            index.enter(job)
            index.leave(job)
        index.remove(job)
    assert not index.terms()


def live(jobs: list[Job]) -> None:
    """Let a machine run each job."""
    machine = Machine(Settings(workers=1, max_pending=len(jobs)))
    machine.step([c.Register(("mail", "print"))], 0.0)
    for now, job in enumerate(jobs):
        machine.step([c.Submit((c.NewJob(job.id, job.task, job.payload, job.options),))], float(now))
        machine.step([c.Finish(job.id, 1, b"null")], float(now))
    assert machine.ledger.count()[JobState.SUCCEEDED] + machine.ledger.removed == len(jobs)


@pytest.mark.benchmark(group="P13 what the index takes of a job")
@pytest.mark.parametrize("tags", [0, 3])
def bench_index(tags: int, pick: Any, race: Any, tell: Any, frozen_heap: Any) -> None:
    number, rounds = pick(quick=2_000, full=10_000), pick(quick=3, full=9)
    jobs = [make_job(seq) for seq in range(1, number + 1)]
    if not tags:
        jobs = [evolve(job, options=PLAIN) for job in jobs]
    frozen_heap()
    ours, base = race(lambda: index_lives(jobs), lambda: live(jobs), rounds=rounds)
    tell("P13", f"index of a job with {tags} tags, beside its life", ours / number * 1e6, base / number * 1e6, "µs/job")
