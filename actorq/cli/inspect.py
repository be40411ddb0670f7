"""``inspect``: what is in the directory?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actorq.cli.answer import Answer, count_of, counts_text, pause_fields, shown, state_counts, when
from actorq.cli.verify import code_of, damage_fields, damage_text, owner_fields, owner_text, tail_text
from actorq.core.job import Job, JobState
from actorq.core.ledger import Ledger
from actorq.store.inspection import Finding, Taken, UnownedFiles, examine

__all__ = ["inspect"]


def inspect(path: str) -> Answer:
    """Count, and change nothing."""
    found = examine(UnownedFiles(path))
    fields = {
        "owner": owner_fields(found.owner),
        "queue": found.queue,
        "last_fact": found.last,
        "last_fact_at": when(found.ledger.now) if found.last else None,
        "mark": found.mark,
        "paused": pause_fields(found.ledger),
        "jobs": _job_fields(found.ledger),
        "files": {
            "snapshots": {"count": found.snapshots.count, "bytes": found.snapshots.size},
            "segments": {"count": found.segments.count, "bytes": found.segments.size},
            "leftovers": found.leftovers,
        },
        **damage_fields(found),
    }
    text = [*_text(path, found, fields), *tail_text(found), *damage_text(path, found)]
    return Answer(code_of(found), text, fields)


def _job_fields(ledger: Ledger) -> dict[str, Any]:
    by_task: dict[str, list[Job]] = {}
    by_group: dict[str, list[Job]] = {}
    for job in ledger.jobs.values():
        by_task.setdefault(job.task, []).append(job)
        if job.options.group is not None:
            by_group.setdefault(job.options.group, []).append(job)
    queued = [job for job in ledger.jobs.values() if job.state is JobState.QUEUED]
    delayed = ledger.delayed.peek()
    return {
        "accepted": ledger.seq,
        "removed": ledger.removed,
        "kept": len(ledger.jobs),
        "live": ledger.live,
        "parked": ledger.parked_count,
        "blocked": ledger.blocked_count,
        "keys": len(ledger.keys),
        "interrupted": sum(job.interruptions > 0 for job in ledger.jobs.values() if not job.state.is_final),
        "by_state": state_counts(ledger.jobs.values()),
        "by_task": {task: state_counts(jobs) for task, jobs in sorted(by_task.items())},
        "by_group": {group: state_counts(jobs) for group, jobs in sorted(by_group.items())},
        "oldest_queued": _fields_of(min(queued, key=lambda job: (job.due_at, job.seq), default=None)),
        "next_due": None if delayed is None else _fields_of(ledger.jobs[delayed[-1]]),
        "running": [_fields_of(job) for job in ledger.running.values()],
    }


def _fields_of(job: Job | None) -> dict[str, Any] | None:
    if job is None:
        return None
    return {
        "id": job.id,
        "task": job.task,
        "group": job.options.group,
        "key": job.key,
        "due_at": when(job.due_at),
        "started_at": when(job.started_at),
        "attempt": job.attempt,
        "interruptions": job.interruptions,
    }


# -- for people ------------------------------------------------------------------------------------


def _text(path: str, found: Finding, fields: dict[str, Any]) -> Iterable[str]:
    jobs = fields["jobs"]
    queue = "" if found.queue is None else f" queue {shown(found.queue)!r},"
    yield f"{shown(path)}:{queue} {'whole' if found.is_whole else 'DAMAGED'}"
    yield from owner_text(found.owner) or ["  in use by nobody"]
    yield from map(_pause_text, fields["paused"])
    yield f"  jobs:      {jobs['kept']:,} kept, {jobs['live']:,} of them live; {jobs['accepted']:,} ever accepted"
    yield from _counts_text(jobs)
    for name, job in (("oldest queued", jobs["oldest_queued"]), ("next due", jobs["next_due"])):
        if job is not None:
            yield f"  {name}: {_name(job)}, due {job['due_at']}"
    if jobs["running"]:
        word = "running" if found.owner else "was running (the next opening interrupts it, and it runs again)"
        for job in jobs["running"]:
            yield f"  {word}: {_name(job)}, attempt {job['attempt']} since {job['started_at']}"
    yield f"  files:     {_taken(found.snapshots, 'snapshot')}, {_taken(found.segments, 'segment')}"
    mark = "no witness" if found.mark is None else f"seen on the disk up to fact {found.mark}"
    at = "" if fields["last_fact_at"] is None else f" at {fields['last_fact_at']}"
    yield f"  last fact: {found.last}{at}; {mark}"
    if found.leftovers:
        yield f"  unfinished, to be removed by the next opening: {', '.join(map(shown, found.leftovers))}"


def _counts_text(jobs: dict[str, Any]) -> Iterable[str]:
    yield f"  by state:  {counts_text(jobs['by_state']) or 'none'}"
    for noun in ("task", "group"):
        for name, counts in jobs[f"by_{noun}"].items():
            yield f"  {noun:10} {shown(name)}: {counts_text(counts)}"
    if jobs["keys"]:
        yield f"  keys:      {jobs['keys']:,}"
    if jobs["blocked"]:
        yield f"  blocked:   {jobs['blocked']:,}, waiting for the end of another job with their key"
    if jobs["parked"]:
        yield f"  parked:    {jobs['parked']:,}, waiting for code that fits them"
    if jobs["interrupted"]:
        yield f"  interrupted: {jobs['interrupted']:,} live jobs have been, at least once"


def _pause_text(pause: dict[str, Any]) -> str:
    what = "the whole queue" if pause["group"] is None else f"group {shown(pause['group'])}"
    return f"  paused:    {what}, until {pause['until'] or 'it is resumed'}"


def _name(job: dict[str, Any]) -> str:
    return f"{shown(job['id'])} ({shown(job['task'])})"


def _taken(files: Taken, noun: str) -> str:
    return f"{count_of(files.count, noun)} ({files.size:,} bytes)"
