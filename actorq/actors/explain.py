"""Finds out why a job is not running: asks of ledger and roster what the machine would ask, and says all answers.

Costs: O(queued jobs) for one that is queued, at the speed of comparing tuples (about 30 ns each): its place in the
order is counted, and not kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import nsmallest
from math import inf

from actorq.config import EXPLAIN_LIMIT
from actorq.core.decide import has_room
from actorq.core.job import HoldReason, Job, JobState
from actorq.core.ledger import QUEUE, Ledger
from actorq.core.ready import order_of
from actorq.core.roster import Roster
from actorq.explanation import Explanation, Holder, Obstacle, ObstacleKind
from actorq.record import instant

__all__ = ["explain"]

_BY_ITSELF = {ObstacleKind.DELAY, ObstacleKind.RETRY, ObstacleKind.AHEAD, ObstacleKind.NO_WORKER}
"""What passes without anybody's doing anything."""


def explain(
    job: Job, ledger: Ledger, roster: Roster, now: float, *, mean_run_s: float | None = None, disk: str | None = None
) -> Explanation:
    """Say why the job is not running.

    Args:
        job: one of the ledger's.
        ledger: the jobs.
        roster: the workers.
        now: seconds since the epoch.
        mean_run_s: how long a run takes, as far as is known.
        disk: why the disk holds up the job, if it does.
    """
    obstacles = tuple(_obstacles(job, ledger, roster))
    if disk is not None and not job.state.is_final:
        obstacles = (Obstacle(ObstacleKind.STORE, disk), *obstacles)
    return Explanation(job.id, job.state, obstacles, _starts_at(job, obstacles, roster, now, mean_run_s))


def _obstacles(job: Job, ledger: Ledger, roster: Roster) -> Iterator[Obstacle]:
    if job.state.is_final:
        yield Obstacle(ObstacleKind.ENDED, f"it has ended as {job.state}")
        return
    if job.state is JobState.RUNNING:
        yield _running(job)
        return
    if roster.is_draining:
        yield Obstacle(ObstacleKind.CLOSING, "the queue is closing, and starts nothing")
    if QUEUE in ledger.pauses:
        yield _pause(ObstacleKind.QUEUE_PAUSED, "the queue", ledger.pauses[QUEUE])
    if job.state is JobState.PAUSED:
        yield Obstacle(ObstacleKind.PAUSED, "it is paused until somebody resumes it")
    yield from _holds(job, ledger)
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


def _holds(job: Job, ledger: Ledger) -> Iterator[Obstacle]:
    match job.hold_reason:
        case None:
            return
        case HoldReason.DELAY | HoldReason.RETRY:
            due = instant(job.due_at)
            what = "its delay" if job.hold_reason is HoldReason.DELAY else "the wait before its next attempt"
            yield Obstacle(ObstacleKind(job.hold_reason.value), f"{what} ends at {due.isoformat()}", due)
        case HoldReason.KEY:
            rival = ledger.running_keys.get((job.task, job.key or ""))
            holders = () if rival is None else (_holder(rival),)
            yield Obstacle(
                ObstacleKind.KEY, f"another job with its key {job.key!r} is running", holders=holders, limit=1
            )
        case HoldReason.NO_TASK:
            yield Obstacle(ObstacleKind.NO_TASK, f"no task {job.task!r} is declared")
        case HoldReason.BAD_PAYLOAD:
            why = "" if job.failure is None else f": {job.failure.message}"
            yield Obstacle(ObstacleKind.BAD_PAYLOAD, f"its arguments do not fit its function{why}")


def _group(job: Job, ledger: Ledger, roster: Roster) -> Iterator[Obstacle]:
    group = job.options.group
    if group is None or has_room(group, ledger, roster):
        return
    if group in ledger.pauses:
        yield _pause(ObstacleKind.GROUP_PAUSED, f"group {group!r}", ledger.pauses[group])
    limit = roster.group_limits.get(group)
    running = ledger.running_groups.get(group, {})
    if limit is not None and len(running) >= limit:
        yield Obstacle(
            ObstacleKind.GROUP_LIMIT,
            f"{_run(len(running))} of group {group!r}, and its limit is {limit}",
            holders=_holders(running.values()),
            limit=limit,
        )


def _line(job: Job, ledger: Ledger, roster: Roster) -> Iterator[Obstacle]:
    mine = order_of(job)
    ahead = [entry for entry in ledger.ready.entries() if entry < mine]
    if ahead:
        first = tuple(entry[-1] for entry in nsmallest(EXPLAIN_LIMIT, ahead))
        yield Obstacle(ObstacleKind.AHEAD, f"{_come(len(ahead))} first", position=len(ahead), first=first)
    if not roster.idle:
        yield Obstacle(
            ObstacleKind.NO_WORKER,
            "the only worker is busy" if len(roster.workers) == 1 else f"all {len(roster.workers)} workers are busy",
            holders=_holders(ledger.running.values()),
            limit=roster.target,
        )


def _run(number: int) -> str:
    return "1 job runs" if number == 1 else f"{number} jobs run"


def _come(number: int) -> str:
    return "1 queued job comes" if number == 1 else f"{number} queued jobs come"


def _holders(jobs: Iterable[Job]) -> tuple[Holder, ...]:
    """Return those that have held it the longest."""
    return tuple(_holder(job) for job in nsmallest(EXPLAIN_LIMIT, jobs, key=lambda job: (job.started_at, job.seq)))


def _holder(job: Job) -> Holder:
    return Holder(job.id, job.task, job.worker, instant(job.started_at or 0.0))


def _starts_at(
    job: Job, obstacles: tuple[Obstacle, ...], roster: Roster, now: float, mean_run_s: float | None
) -> datetime | None:
    kinds = {obstacle.kind for obstacle in obstacles}
    if not kinds <= _BY_ITSELF:
        return None
    at = max(job.due_at, now) if kinds & {ObstacleKind.DELAY, ObstacleKind.RETRY} else now
    ahead = max((obstacle.position or 0 for obstacle in obstacles), default=0)
    if ObstacleKind.NO_WORKER in kinds or ahead:
        if mean_run_s is None:
            return None
        at += mean_run_s * (ahead + 1) / max(roster.target, 1)
    return instant(at)
