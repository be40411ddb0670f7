"""Finds out why a job is not running: asks of ledger and roster what the machine would ask, and says all answers.

What the machine finds out only when a job's turn comes (its key, its task) is asked here beforehand.

Costs: O(queued jobs) for one that is queued, at the speed of comparing tuples (about 30 ns each): its place in the
order is counted, and not kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import nsmallest
from math import inf
from typing import Any

from actorq.config import EXPLAIN_LIMIT
from actorq.core.decide import has_room
from actorq.core.job import HoldReason, Job, JobState
from actorq.core.ledger import QUEUE, Ledger
from actorq.core.ready import order_of
from actorq.core.roster import Roster
from actorq.explanation import Explanation, Holder, Obstacle, ObstacleKind
from actorq.record import instant

__all__ = ["explain"]

_LINE = (ObstacleKind.AHEAD, ObstacleKind.NO_WORKER)
"""What passes as jobs come to their ends."""


def explain(
    job: Job,
    ledger: Ledger,
    roster: Roster,
    now: float,
    *,
    mean_run_s: float | None = None,
    disk: str | None = None,
) -> Explanation:
    """Say why the job is not running.

    Args:
        job: one of the ledger's.
        ledger: the jobs.
        roster: the workers.
        now: seconds since the epoch.
        mean_run_s: how long a run takes, as far as is known.
        disk: why the disk keeps the job from its run, if it does.
    """
    obstacles = tuple(_obstacles(job, ledger, roster, now, disk))
    return Explanation(job.id, job.state, obstacles, _starts_at(obstacles, roster, now, mean_run_s))


def _obstacles(job: Job, ledger: Ledger, roster: Roster, now: float, disk: str | None) -> Iterator[Obstacle]:
    if job.state.is_final:
        yield Obstacle(ObstacleKind.ENDED, f"it has ended as {job.state}")
        return
    if disk is not None:
        yield Obstacle(ObstacleKind.STORE, disk)
    if job.state is JobState.RUNNING:
        if disk is None:
            yield _running(job)
        return
    if roster.is_draining:
        yield Obstacle(ObstacleKind.CLOSING, "the queue is closing, and starts nothing")
    if QUEUE in ledger.pauses:
        yield _pause(ObstacleKind.QUEUE_PAUSED, "the queue", ledger.pauses[QUEUE])
    if job.state is JobState.PAUSED:
        yield Obstacle(ObstacleKind.PAUSED, "it is paused until somebody resumes it")
    yield from _holds(job, ledger, roster, now)
    yield from _group(job, ledger, roster)
    if job.state is JobState.QUEUED:
        yield from _line(job, ledger, roster)


def _running(job: Job) -> Obstacle:
    if job.cancel_requested is not None:
        return Obstacle(ObstacleKind.RUNNING, "it runs, and has been asked to stop", holders=(_holder(job),))
    silent = ", and has been silent for too long" if job.stalled else ""
    return Obstacle(ObstacleKind.RUNNING, f"it runs{silent}", holders=(_holder(job),))


def _pause(kind: ObstacleKind, what: str, until: float) -> Obstacle:
    if until == inf:
        return Obstacle(kind, f"{what} is paused until somebody resumes it")
    return Obstacle(kind, f"{what} is paused until {instant(until).isoformat()}", instant(until))


def _holds(job: Job, ledger: Ledger, roster: Roster, now: float) -> Iterator[Obstacle]:
    held = job.hold_reason
    if held is not None and held.is_timed and job.due_at > now:  # a paused job keeps what held it, though it be over
        due = instant(job.due_at)
        what = "its delay" if held is HoldReason.DELAY else "the wait before its next attempt"
        yield Obstacle(ObstacleKind(held.value), f"{what} ends at {due.isoformat()}", due)
    rival = None if job.key is None else ledger.running_keys.get((job.task, job.key))
    if rival is not None:
        message = f"another job with its key {job.key!r} is running"
        yield Obstacle(ObstacleKind.KEY, message, holders=(_holder(rival),), limit=1)
    elif held is HoldReason.KEY and job.state is JobState.SCHEDULED:
        yield Obstacle(ObstacleKind.KEY, f"another job with its key {job.key!r} comes first", limit=1)
    if job.task not in roster.tasks and not job.ephemeral:
        yield Obstacle(ObstacleKind.NO_TASK, f"no task {job.task!r} is declared")
    if job.task in roster.paused_tasks:
        cause = roster.paused_tasks[job.task]
        message = f"task {job.task!r} is paused until resume_task(): too many workers died (the last: {cause})"
        yield Obstacle(ObstacleKind.TASK_PAUSED, message)
    if held is HoldReason.BAD_PAYLOAD:
        why = "" if job.failure is None else f": {job.failure.message}"
        yield Obstacle(ObstacleKind.BAD_PAYLOAD, f"its arguments do not fit its function{why}")


def _group(job: Job, ledger: Ledger, roster: Roster) -> Iterator[Obstacle]:
    group = job.options.group
    if group is None:
        return
    if group in ledger.pauses:
        yield _pause(ObstacleKind.GROUP_PAUSED, f"group {group!r}", ledger.pauses[group])
    limit = roster.group_limits.get(group)
    running = ledger.running_groups.get(group, {})
    if limit is not None and len(running) >= limit:
        run = f"1 job of group {group!r} runs" if len(running) == 1 else f"{len(running)} jobs of group {group!r} run"
        yield Obstacle(
            ObstacleKind.GROUP_LIMIT,
            f"{run}, and its limit is {limit}",
            holders=_holders(running.values()),
            limit=limit,
        )


def _line(job: Job, ledger: Ledger, roster: Roster) -> Iterator[Obstacle]:
    ahead = _ahead(job, ledger, roster)
    if ahead:
        come = "1 queued job comes" if len(ahead) == 1 else f"{len(ahead)} queued jobs come"
        first = tuple(entry[-1] for entry in nsmallest(EXPLAIN_LIMIT, ahead))
        yield Obstacle(ObstacleKind.AHEAD, f"{come} first", position=len(ahead), first=first)
    if not roster.idle:
        yield Obstacle(
            ObstacleKind.NO_WORKER,
            _busy(roster),
            holders=_holders(ledger.running.values()),
            limit=roster.target,
        )


def _busy(roster: Roster) -> str:
    workers, lent = len(roster.workers), roster.abandoned_beyond
    if lent:
        return f"{lent} slots are held by functions that ignored their cancellation, and all other workers are busy"
    return "the only worker is busy" if workers == 1 else f"all {workers} workers are busy"


def _ahead(job: Job, ledger: Ledger, roster: Roster) -> list[tuple[Any, ...]]:
    """Return the entries of the queued jobs that come first; those of another group without room are passed by."""
    mine = order_of(job)
    ahead = [entry for entry in ledger.ready.entries() if entry < mine]
    limited = {*ledger.pauses, *(group for group in ledger.running_groups if group in roster.group_limits)}
    passed_by = {group for group in limited if not has_room(group, ledger, roster)} - {job.options.group}
    if not passed_by:
        return ahead
    return [entry for entry in ahead if ledger.jobs[entry[-1]].options.group not in passed_by]


def _holders(jobs: Iterable[Job]) -> tuple[Holder, ...]:
    """Return those that have held it the longest."""
    return tuple(_holder(job) for job in nsmallest(EXPLAIN_LIMIT, jobs, key=lambda job: (job.started_at, job.seq)))


def _holder(job: Job) -> Holder:
    return Holder(job.id, job.task, job.worker, instant(job.started_at or 0.0))


def _starts_at(
    obstacles: tuple[Obstacle, ...], roster: Roster, now: float, mean_run_s: float | None
) -> datetime | None:
    """Estimate the start from the ends of holds that are known, and from how fast those in the line are dealt with."""
    if any(obstacle.until is None and obstacle.kind not in _LINE for obstacle in obstacles):
        return None
    at = max([now, *(obstacle.until.timestamp() for obstacle in obstacles if obstacle.until is not None)])
    ahead = max((obstacle.position or 0 for obstacle in obstacles), default=0)
    is_in_line = any(obstacle.kind in _LINE for obstacle in obstacles)
    ends_first = max(ahead + 1 - len(roster.idle), 0) if is_in_line else 0
    if ends_first and mean_run_s is None:
        return None
    return instant(at + ends_first * (mean_run_s or 0.0) / max(roster.target, 1))
