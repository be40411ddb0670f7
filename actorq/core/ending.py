"""How a run ends, and how a job does.

One rule goes before all others: an accepted cancel request. Then comes why the run was asked to stop, and then
what it reports.
"""

from __future__ import annotations

from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.job import Failure, Job, Reason
from actorq.core.roster import Claim

__all__ = [
    "abort", "cancelled", "end_of_aborted", "end_of_crashed", "end_of_lost", "failed_attempt", "final_failure",
    "limit_passed", "paused_by", "snoozed", "superseded", "took_its_place",
]  # fmt: skip

INTERRUPTION_DELAY_S = 1.0
"""The second interruption of a job delays it by so much, and each further one by twice the last …"""
INTERRUPTION_DELAY_CAP_S = 300.0
"""… up to this. The first returns at once."""


def limit_passed(job: Job, now: float) -> f.Fact:
    """End a waiting job whose ``expires`` or ``deadline`` has passed."""
    reason = job.limit_reason()
    failure = Failure(reason, *_LIMITS[reason], attempt=job.attempt, at=now)
    return final_failure(job, failure, now)


def abort(claim: Claim, reason: Reason) -> list[e.Effect]:
    """Ask the run to stop, if it has not been asked."""
    if claim.abort is not None:
        return []  # it was asked already, and the first reason stands
    return [e.Abort(claim.worker, claim.job.id, claim.number, reason, claim.job.options.grace)]


def end_of_aborted(claim: Claim, reason: Reason, now: float) -> f.Fact:
    """End a run that was asked to stop; an accepted cancel request goes before every other reason."""
    job = claim.job
    if job.cancel_requested is not None:
        return cancelled(job, job.cancel_requested, now)
    if reason in (Reason.SHUTDOWN, Reason.PAUSED):
        return f.Released(now, job.id)
    failure = Failure(reason, *_LIMITS[reason], attempt=job.attempt, at=now)
    if reason is Reason.DEADLINE:
        return final_failure(job, failure, now)
    return failed_attempt(job, failure, now)


_LIMITS = {
    Reason.EXPIRED: ("Expired", "the job was not started in time"),
    Reason.DEADLINE: ("DeadlinePassed", "the job took longer than its deadline"),
    Reason.TIMEOUT: ("TimeoutPassed", "the attempt ran longer than its timeout"),
    Reason.HEARTBEAT: ("HeartbeatMissed", "the attempt was silent longer than its heartbeat_timeout"),
}


def failed_attempt(
    job: Job, failure: Failure, now: float, *, retryable: bool = True, delay: float | None = None
) -> f.Fact:
    """Try the job again, if that is to be; else let it fail."""
    retry = job.options.retry
    if not retryable or job.attempt >= retry.max_attempts:
        return final_failure(job, failure, now)
    wait = retry.wait(job.id, job.attempt) if delay is None else delay
    return f.RetryScheduled(now, job.id, now + wait, failure)


def final_failure(job: Job, failure: Failure, now: float) -> f.Fact:
    """Let the job fail for good."""
    kind = f.DeadLettered if job.options.dead_letter else f.Failed
    return kind(now, job.id, failure)


def cancelled(job: Job, message: str, now: float, reason: Reason = Reason.CLIENT_REQUEST) -> f.Fact:
    """Let the job end as cancelled."""
    return f.Cancelled(now, job.id, Failure(reason, "Cancelled", message, attempt=job.attempt, at=now))


def end_of_lost(job: Job, cause: str, now: float) -> f.Fact:
    """End a run whose program or worker died: the function has not failed."""
    return _interrupted(job, Failure(Reason.INTERRUPTED, "Interrupted", cause, attempt=job.attempt, at=now), now)


def end_of_crashed(job: Job, failure: Failure, now: float) -> f.Fact:
    """End a run whose process is gone: it died, or used more memory than it may, which is the function's failure."""
    if failure.reason.is_interruption:
        return _interrupted(job, failure, now)
    return failed_attempt(job, failure, now)


def _interrupted(job: Job, failure: Failure, now: float) -> f.Fact:
    if job.cancel_requested is not None:
        return cancelled(job, job.cancel_requested, now)
    before = job.interruptions
    if before + 1 >= job.options.max_interruptions:
        return final_failure(job, failure, now)
    wait = 0.0 if before == 0 else min(INTERRUPTION_DELAY_S * 2.0 ** min(before - 1, 30), INTERRUPTION_DELAY_CAP_S)
    return f.Interrupted(now, job.id, now + wait, failure)


def snoozed(job: Job, delay: float, now: float) -> f.Fact:
    """Let the job wait as its function asks, if it has not done so too often."""
    most = job.options.max_snoozes
    if most is not None and job.snoozes >= most:
        message = f"the function handed the job back more than {most} times"
        return final_failure(job, Failure(Reason.SNOOZED, "Snoozed", message, attempt=job.attempt, at=now), now)
    return f.Snoozed(now, job.id, now + delay)


def paused_by(cause: str, job: Job, now: float) -> Failure:
    """Say why no job of the task starts."""
    message = f"task {job.task!r} is paused: too many workers died under its jobs (the last: {cause})"
    return Failure(Reason.TASK_PAUSED, "TaskPaused", message, attempt=job.attempt, at=now)


def superseded(job_id: str, attempt: int, newcomer: str, now: float) -> f.Cancelled:
    """Let the job make room for a newcomer with its key."""
    failure = Failure(Reason.SUPERSEDED, "Superseded", took_its_place(newcomer), attempt=attempt, at=now)
    return f.Cancelled(now, job_id, failure)


def took_its_place(newcomer: str) -> str:
    """Return what is said of a job that was superseded: by it, it is found again if the newcomer is withdrawn."""
    return f"job {newcomer} took its place"
