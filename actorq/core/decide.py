"""The rules: command + ledger + roster + now → facts, effects, and an answer.

Nothing here changes anything. A refusal is an answer that is an error, with no facts and no effects. What
the clock brings about is decided at the end of the file, in the same terms: ``limit_passed`` and
``alarm_rang`` are to time what the others are to callers.

Two rules settle every race. A report counts only for the claim that is running: the machine has dropped the
late ones before they come here. And what was said first stands: once a run was asked to stop, its end is
decided by the reason it was asked for, whatever it reports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.job import Failure, HoldReason, Job, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.roster import Alarm, Claim, Roster
from actorq.errors import InvalidState, JobNotFound, QueueClosed, QueueFull

__all__ = ["Decision", "alarm_rang", "decide", "limit_passed", "may_start"]


class Decision(NamedTuple):
    """What follows from a command: first these facts, then these effects, then this answer."""

    facts: Sequence[f.Fact] = ()
    effects: Sequence[e.Effect] = ()
    answer: Any = None


Rule = Callable[[Any, Ledger, Roster, float], Decision]

INTERRUPTION_DELAY_S = 1.0
"""The second interruption of a job delays it by so much, and each further one by twice the last …"""
INTERRUPTION_DELAY_CAP_S = 300.0
"""… up to this. The first returns at once."""

_LATE = Decision(answer=False)
_TAKEN = Decision(answer=True)


def decide(command: c.Command, ledger: Ledger, roster: Roster, now: float) -> Decision:
    """Say what follows from the command."""
    return _RULES[type(command)](command, ledger, roster, now)


# -- callers ---------------------------------------------------------------------------------------


def _submit(command: c.Submit, ledger: Ledger, roster: Roster, now: float) -> Decision:
    if roster.is_draining:
        return Decision(answer=QueueClosed(roster.settings.name, "closing"))
    limit = roster.settings.max_pending
    new = {job.id: job for job in command.jobs if job.id not in ledger.jobs}  # asked again: accepted once
    room = limit - ledger.live
    if len(new) > room:
        advice = "So many will never fit: submit fewer at a time, or raise max_pending." if len(new) > limit else None
        return Decision(answer=QueueFull(len(new), max(room, 0), limit, advice=advice))
    facts = [
        f.Submitted(
            now,
            job.id,
            now + job.delay if job.run_at is None else job.run_at,
            seq,
            job.task,
            job.payload,
            job.options,
            job.ephemeral,
        )
        for seq, job in enumerate(new.values(), ledger.seq + 1)
    ]
    return Decision(facts)


def _cancel(command: c.Cancel, ledger: Ledger, roster: Roster, now: float) -> Decision:
    job = ledger.jobs.get(command.job_id)
    if job is None:
        return Decision(answer=JobNotFound(command.job_id))
    if job.state.is_final:
        return Decision(answer=False)
    if job.state is not JobState.RUNNING:
        return Decision([_cancelled(job, command.message, now)], answer=True)
    if job.cancel_requested is not None:
        return _TAKEN
    requested = f.CancelRequested(now, job.id, command.message)
    return Decision([requested], _abort(roster.claims[job.id], Reason.CLIENT_REQUEST), answer=True)


def _rerun(command: c.Rerun, ledger: Ledger, roster: Roster, now: float) -> Decision:
    job = ledger.jobs.get(command.job_id)
    if job is None:
        return Decision(answer=JobNotFound(command.job_id))
    if not job.state.is_final:
        return Decision(answer=InvalidState(job.id, job.state.value, "rerun"))
    if job.ephemeral:
        return Decision(answer=InvalidState(job.id, f"{job.state.value}, and its function was not kept", "rerun"))
    if roster.is_draining:
        return Decision(answer=QueueClosed(roster.settings.name, "closing"))
    if ledger.live >= roster.settings.max_pending:
        return Decision(answer=QueueFull(1, 0, roster.settings.max_pending))
    return Decision([f.Requeued(now, job.id)])


def _register(command: c.Register, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    return Decision(
        [
            f.Unparked(now, job.id)
            for task in dict.fromkeys(command.tasks)  # named twice: unparked once
            for job in ledger.parked.get(task, {}).values()
            if job.hold_reason is HoldReason.NO_TASK
        ]
    )


# -- workers, about the attempt they run -----------------------------------------------------------


def _end_of_run(command: c.Report, roster: Roster, now: float, fact: Callable[[Job], f.Fact]) -> Decision:
    """End the claim by this fact, unless it had been asked to stop; but first tell the progress not yet told."""
    claim = roster.claims[command.job_id]
    end = fact(claim.job) if claim.abort is None else _end_of_aborted(claim, claim.abort, now)
    if Alarm.PROGRESS in claim.armed:
        return Decision([f.Progressed(now, claim.job.id, claim.progress), end], answer=True)
    return Decision([end], answer=True)


def _finish(command: c.Finish, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: f.Succeeded(now, job.id, command.result))


def _fail(command: c.Fail, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    failure, retryable, delay = command.failure, command.retryable, command.delay
    return _end_of_run(
        command, roster, now, lambda job: _failed_attempt(job, failure, now, retryable=retryable, delay=delay)
    )


def _snooze(command: c.Snooze, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: f.Snoozed(now, job.id, now + command.delay))


def _quit(command: c.Quit, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: _cancelled(job, command.message, now, Reason.HANDLER))


def _park(command: c.Park, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: f.Parked(now, job.id, command.failure))


def _show_progress(command: c.ShowProgress, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    claim = roster.claims[command.job_id]
    if Alarm.PROGRESS in claim.armed:
        return _TAKEN  # merged with what came before; the alarm tells it
    return Decision([f.Progressed(now, claim.job.id, claim.progress)], answer=True)


def _log(command: c.Log, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger, roster
    return Decision([f.Logged(now, command.job_id, command.level, command.message, command.data)], answer=True)


def _lend(command: c.Lend, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger, now
    return Decision(answer=roster.claims[command.job_id].is_lent)


def _heard(command: c.Command, ledger: Ledger, roster: Roster, now: float) -> Decision:
    """Take what concerns only the living: the roster has already followed it."""
    del command, ledger, roster, now
    return _TAKEN


# -- the shell -------------------------------------------------------------------------------------


def _recover(command: c.Recover, ledger: Ledger, roster: Roster, now: float) -> Decision:
    """Take back what ran when the process died, and try again what the code as it was could not run."""
    del command
    facts: list[f.Fact] = [f.Dropped(now, job.id) for job in ledger.jobs.values() if job.ephemeral]
    facts.extend(_end_of_lost(job, now) for job in ledger.running.values() if not job.ephemeral)
    for jobs in ledger.parked.values():
        facts.extend(
            f.Unparked(now, job.id)
            for job in jobs.values()
            if (job.task in roster.tasks or job.hold_reason is HoldReason.BAD_PAYLOAD) and not job.ephemeral
        )
    return Decision(facts)


def _withdraw(command: c.Withdraw, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    return Decision([f.Dropped(now, job_id) for job_id in dict.fromkeys(command.job_ids) if job_id in ledger.jobs])


def _bury(command: c.Bury, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    if command.worker not in roster.workers:
        return _LATE  # it was abandoned before it died
    job_id = roster.workers[command.worker]
    facts: list[f.Fact] = []
    if job_id is not None:
        claim = roster.claims[job_id]
        facts.append(_end_of_lost(claim.job, now) if claim.abort is None else _end_of_aborted(claim, claim.abort, now))
    return Decision(facts, [e.Abandon(command.worker, command.cause)], answer=True)


def _halt(command: c.Halt, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger, now
    return Decision(
        effects=[
            e.Abort(
                claim.worker, claim.job.id, claim.number, Reason.SHUTDOWN, min(claim.job.options.grace, command.grace)
            )
            for claim in roster.claims.values()
        ]
    )


_RULES: dict[type[c.Command], Rule] = {
    c.Submit: _submit,
    c.Cancel: _cancel,
    c.Rerun: _rerun,
    c.SetWorkers: _heard,
    c.Register: _register,
    c.Finish: _finish,
    c.Fail: _fail,
    c.Snooze: _snooze,
    c.Quit: _quit,
    c.Park: _park,
    c.Begin: _heard,
    c.Beat: _heard,
    c.Extend: _heard,
    c.ShowProgress: _show_progress,
    c.Log: _log,
    c.Lend: _lend,
    c.TakeBack: _heard,
    c.Recover: _recover,
    c.Bury: _bury,
    c.Withdraw: _withdraw,
    c.Drain: _heard,
    c.Halt: _halt,
}


# -- the clock -------------------------------------------------------------------------------------


def limit_passed(job: Job, now: float) -> f.Fact:
    """End a waiting job whose ``expires`` or ``deadline`` has passed."""
    reason = job.limit_reason()
    failure = Failure(reason, *_LIMITS[reason], attempt=job.attempt, at=now)
    return _final_failure(job, failure, now)


def alarm_rang(claim: Claim, alarm: Alarm, now: float) -> Decision:
    """Say what follows from an alarm of a running claim."""
    match alarm:
        case Alarm.DEADLINE:
            return Decision(effects=_abort(claim, Reason.DEADLINE))
        case Alarm.TIMEOUT:
            return Decision(effects=_abort(claim, Reason.TIMEOUT))
        case Alarm.HEARTBEAT:
            if claim.abort is not None:
                return Decision()
            return Decision([f.Stalled(now, claim.job.id)], _abort(claim, Reason.HEARTBEAT))
        case Alarm.PROGRESS:
            return Decision([f.Progressed(now, claim.job.id, claim.progress)])
        case _:  # GRACE, which only an abort arms
            reason = claim.abort or Reason.CLIENT_REQUEST
            cause = f"job {claim.job.id} ignored cancellation ({reason})"
            return Decision([_end_of_aborted(claim, reason, now)], [e.Abandon(claim.worker, cause)])


def may_start(job: Job, roster: Roster, now: float) -> f.Fact | None:
    """Return None if the job may start now, or the fact that keeps it from it.

    A run can end when its job's limit has passed already, and leave the job ready in the same step: its
    ``deadline`` passed under an abort for another reason, or while no process was there.
    """
    if job.limit_at() <= now:
        return limit_passed(job, now)
    if job.task in roster.tasks or job.ephemeral:
        return None
    failure = Failure(Reason.NO_TASK, "UnknownTask", f"no task {job.task!r} is registered", attempt=job.attempt, at=now)
    return (
        _final_failure(job, failure, now)
        if roster.settings.on_unknown_task == "fail"
        else f.Parked(now, job.id, failure)
    )


# -- how a run or a job ends -----------------------------------------------------------------------


def _abort(claim: Claim, reason: Reason) -> list[e.Effect]:
    if claim.abort is not None:
        return []  # it was asked already, and the first reason stands
    return [e.Abort(claim.worker, claim.job.id, claim.number, reason, claim.job.options.grace)]


def _end_of_aborted(claim: Claim, reason: Reason, now: float) -> f.Fact:
    """End a run that was asked to stop; an accepted cancel request goes before every other reason."""
    job = claim.job
    if job.cancel_requested is not None:
        return _cancelled(job, job.cancel_requested, now)
    if reason is Reason.SHUTDOWN:
        return f.Released(now, job.id)
    failure = Failure(reason, *_LIMITS[reason], attempt=job.attempt, at=now)
    if reason is Reason.DEADLINE:
        return _final_failure(job, failure, now)
    return _failed_attempt(job, failure, now)


_LIMITS = {
    Reason.EXPIRED: ("Expired", "the job was not started in time"),
    Reason.DEADLINE: ("DeadlinePassed", "the job took longer than its deadline"),
    Reason.TIMEOUT: ("TimeoutPassed", "the attempt ran longer than its timeout"),
    Reason.HEARTBEAT: ("HeartbeatMissed", "the attempt was silent longer than its heartbeat_timeout"),
}


def _failed_attempt(
    job: Job, failure: Failure, now: float, *, retryable: bool = True, delay: float | None = None
) -> f.Fact:
    retry = job.options.retry
    if not retryable or job.attempt >= retry.max_attempts:
        return _final_failure(job, failure, now)
    wait = retry.wait(job.id, job.attempt) if delay is None else delay
    return f.RetryScheduled(now, job.id, now + wait, failure)


def _final_failure(job: Job, failure: Failure, now: float) -> f.Fact:
    kind = f.DeadLettered if job.options.dead_letter else f.Failed
    return kind(now, job.id, failure)


def _cancelled(job: Job, message: str, now: float, reason: Reason = Reason.CLIENT_REQUEST) -> f.Fact:
    return f.Cancelled(now, job.id, Failure(reason, "Cancelled", message, attempt=job.attempt, at=now))


def _end_of_lost(job: Job, now: float) -> f.Fact:
    """End a run whose worker or process died: the function has not failed."""
    if job.cancel_requested is not None:
        return _cancelled(job, job.cancel_requested, now)
    n = job.interruptions
    wait = 0.0 if n == 0 else min(INTERRUPTION_DELAY_S * 2.0 ** min(n - 1, 30), INTERRUPTION_DELAY_CAP_S)
    return f.Interrupted(now, job.id, now + wait)
