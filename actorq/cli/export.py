"""``export``: every job as one line of JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from actorq.cli.answer import Answer, ExitCode, shown
from actorq.cli.verify import code_of, damage_fields, damage_text, owner_fields, owner_text
from actorq.core.job import Job
from actorq.core.ledger import Ledger
from actorq.record import record_of
from actorq.store.inspection import UnownedFiles, examine

__all__ = ["export"]


def export(path: str, write: Callable[[bytes], object], states: Sequence[str], tasks: Sequence[str]) -> Answer:
    """Write the jobs in the order of acceptance, of damage all that can be read; change nothing.

    Args:
        path: the directory.
        write: takes one job as JSON, without a newline.
        states: those wanted; none: all.
        tasks: those wanted; none: all.

    Returns:
        What is to be said beside the jobs.
    """
    found = examine(UnownedFiles(path))
    count = 0
    problems: list[str] = []
    for job in _wanted(found.ledger, states, tasks):
        try:
            line = orjson.dumps(record_of(job).to_dict())
        except (ValueError, TypeError, OverflowError, OSError) as error:  # nonsense with a right checksum
            problems.append(f"{job.id}: {error}")
        else:
            write(line)
            count += 1
    text = [*owner_text(found.owner), *damage_text(path, found)]
    text += [f"  cannot be shown: job {shown(problem)}" for problem in problems]
    fields: dict[str, Any] = {
        "owner": owner_fields(found.owner),
        "count": count,
        "not_shown": problems,
        **damage_fields(found),
    }
    return Answer(ExitCode.DAMAGED if problems else code_of(found), text, fields)


def _wanted(ledger: Ledger, states: Sequence[str], tasks: Sequence[str]) -> Iterator[Job]:
    for job in ledger.jobs.values():
        if (not states or job.state in states) and (not tasks or job.task in tasks):
            yield job
