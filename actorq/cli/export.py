"""``export``: every job as one line of JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from actorq.cli.answer import Answer, ExitCode, pause_fields, shown
from actorq.cli.verify import code_of, damage_fields, damage_text, owner_fields, owner_text
from actorq.core.job import Job
from actorq.core.ledger import Ledger
from actorq.record import record_of
from actorq.store.inspection import UnownedFiles, examine

__all__ = ["FILTERS", "export"]

FILTERS: Final[dict[str, Callable[[Job], str | None]]] = {
    "state": lambda job: job.state,
    "task": lambda job: job.task,
    "group": lambda job: job.options.group,
    "key": lambda job: job.key,
}
"""By what jobs can be chosen."""


def export(path: str, write: Callable[[bytes], object], only: Mapping[str, Sequence[str]]) -> Answer:
    """Write the jobs in the order of acceptance, of damage all that can be read; change nothing.

    Args:
        path: the directory.
        write: takes one job as JSON, without a newline.
        only: the states, tasks, groups and keys that are wanted; none of a kind: all.

    Returns:
        What is to be said beside the jobs.
    """
    found = examine(UnownedFiles(path))
    count = 0
    problems: list[str] = []
    for job in _wanted(found.ledger, only):
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
        "paused": pause_fields(found.ledger),
        "count": count,
        "not_shown": problems,
        **damage_fields(found),
    }
    return Answer(ExitCode.DAMAGED if problems else code_of(found), text, fields)


def _wanted(ledger: Ledger, only: Mapping[str, Sequence[str]]) -> Iterator[Job]:
    asked = [(FILTERS[name], values) for name, values in only.items() if values]
    return (job for job in ledger.jobs.values() if all(of(job) in values for of, values in asked))
