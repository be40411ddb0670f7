"""What the child processes have in common: how they say something, and how they show what a start has found.

Imported by programs that are run as scripts.
"""

import os
from typing import Any

from actorq import JobQueue
from actorq.core.job import Job


def tell(*words: object) -> None:
    """Say a line; once this returns, it is in the pipe, and outlives the process."""
    line = " ".join(map(str, words)) + "\n"
    os.write(1, line.encode())


def jobs_of(queue: JobQueue) -> list[Job]:
    """Return all jobs, as they stand at this moment."""
    house: Any = queue._house
    return list(house.supervisor.machine.ledger.jobs.values())


def tell_found(queue: JobQueue) -> None:
    """Say what a start has found, before anything else can happen."""
    jobs = jobs_of(queue)
    for job in jobs:
        tell("found", job.id, job.state, job.claim, job.attempt, job.interruptions)
    house: Any = queue._house
    tell("opened", house.supervisor.machine.ledger.seq, len(jobs))
