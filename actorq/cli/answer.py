"""What a command answers: an exit code, fields for programs, lines for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from attrs import field, frozen

from actorq.core.job import Job, JobState
from actorq.core.ledger import Ledger

__all__ = [
    "Answer", "ExitCode", "count_of", "counts_text", "facts_of", "job_fields", "pause_fields", "shown", "state_counts",
    "when",
]  # fmt: skip


class ExitCode(IntEnum):
    """How it went. The values are promised."""

    WHOLE = 0
    """Nothing is wrong. A torn tail, of which nobody had been told, is not wrong."""
    DAMAGED = 1
    """Something that had been on the disk is damaged or gone."""
    USAGE = 2
    """The command line makes no sense."""
    UNREADABLE = 3
    """No such directory, no queue in it, no permission, or no room."""
    TOO_NEW = 4
    """A later actorq wrote it."""
    OWNED = 5
    """A living process owns the directory, and only its owner may change it."""
    INTERRUPTED = 130
    """Ctrl-C."""
    UNHEARD = 141
    """Whoever read the output has gone."""


@frozen
class Answer:
    """What there is to say."""

    code: ExitCode
    text: list[str]
    fields: dict[str, Any] = field(factory=dict[str, Any])
    """As JSON; behind command, path, status and exit_code, which all have."""


def shown(text: str) -> str:
    """Return a text from a file so that it cannot do anything to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def when(at: float | None) -> str | None:
    """Return an instant in ISO 8601; None if there is none, or none that a calendar has."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


def count_of(number: int, noun: str) -> str:
    """Return the number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def counts_text(counts: dict[str, int]) -> str:
    """Return what there is of each kind, and nothing of which there is none."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def facts_of(first: int, last: int) -> str:
    """Return how one speaks of these facts."""
    return f"fact {first}" if first == last else f"facts {first} to {last}"


def state_counts(jobs: Iterable[Job]) -> dict[str, int]:
    """Return how many jobs there are in each state that can be stored, also where there are none."""
    counts = {state.value: 0 for state in JobState if state is not JobState.CREATED}
    for job in jobs:
        counts[job.state.value] += 1
    return counts


def job_fields(ledger: Ledger, job_id: str) -> dict[str, Any]:
    """Return who a job is; without task and state, if it is not there any more."""
    job = ledger.jobs.get(job_id)
    if job is None:
        return {"id": job_id, "task": None, "state": None, "runs_again": False}
    return {"id": job_id, "task": job.task, "state": job.state.value, "runs_again": not job.state.is_final}


def pause_fields(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what is paused, the queue first; its group is None. Until None: until it is resumed."""
    return [{"group": scope or None, "until": when(until)} for scope, until in sorted(ledger.pauses.items())]
