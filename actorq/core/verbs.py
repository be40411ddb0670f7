"""What callers may ask of jobs, of groups and of the queue, and what fits which state.

A verb that does not fit the state of its job is answered with an error that names both.
"""

from __future__ import annotations

from math import inf
from typing import Final

from attrs import evolve

from actorq.config import PAUSES_LIMIT
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.decision import TAKEN, Decision, Rule
from actorq.core.ending import abort, cancelled
from actorq.core.intake import Intake
from actorq.core.job import HoldReason, Job, JobState, Reason
from actorq.core.ledger import QUEUE, Ledger
from actorq.core.roster import Claim, Roster
from actorq.errors import ActorqError, DuplicateJob, InvalidOption, InvalidState, JobNotFound, QueueClosed, QueueFull

__all__ = ["VERBS"]


def submit(command: c.Submit, ledger: Ledger, roster: Roster, now: float) -> Decision:
    if roster.is_draining:
        return Decision(answer=QueueClosed(roster.settings.name, "closing"))
    intake = Intake(ledger, now)
    try:
        for job in command.jobs:
            intake.take(job)
    except DuplicateJob as duplicate:
        return Decision(answer=duplicate)
    full = _no_room(intake.growth, ledger, roster)
    return Decision(answer=full) if full is not None else Decision(intake.facts, answer=tuple(intake.ids))


def _no_room(asked: int, ledger: Ledger, roster: Roster) -> QueueFull | None:
    limit = roster.settings.max_pending
    room = limit - ledger.live
    if asked <= room:
        return None
    advice = "So many will never fit: submit fewer at a time, or raise max_pending." if asked > limit else None
    return QueueFull(asked, max(room, 0), limit, advice=advice)


def cancel(command: c.Cancel, ledger: Ledger, roster: Roster, now: float) -> Decision:
    job = ledger.jobs.get(command.job_id)
    if job is None:
        return Decision(answer=JobNotFound(command.job_id))
    if job.state.is_final:
        return Decision(answer=False)
    if job.state is not JobState.RUNNING:
        return Decision([cancelled(job, command.message, now)], answer=True)
    if job.cancel_requested is not None:
        return TAKEN
    requested = f.CancelRequested(now, job.id, command.message)
    return Decision([requested], abort(roster.claims[job.id], Reason.CLIENT_REQUEST), answer=True)


def rerun(command: c.Rerun, ledger: Ledger, roster: Roster, now: float) -> Decision:
    job = ledger.jobs.get(command.job_id)
    if job is None or not job.state.is_final:
        return _unfit(job, command.job_id, "rerun")
    if job.ephemeral:
        return Decision(answer=InvalidState(job.id, f"{job.state.value}, and its function was not kept", "rerun"))
    if command.clone_id in ledger.jobs:  # asked again: made once
        return Decision(answer=command.clone_id)
    closed = QueueClosed(roster.settings.name, "closing") if roster.is_draining else _no_room(1, ledger, roster)
    if closed is not None:
        return Decision(answer=closed)
    due_at = now + command.delay
    if command.clone_id is None:
        return Decision([f.Requeued(now, job.id, due_at)], answer=job.id)
    clone = f.Submitted(
        now,
        command.clone_id,
        due_at,
        ledger.seq + 1,
        job.task,
        job.payload,
        job.options,
        key=job.key,
        retry_of=job.id,
    )
    return Decision([clone], answer=clone.job_id)


def pause(command: c.Pause, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    job = ledger.jobs.get(command.job_id)
    if job is None or job.state not in (JobState.SCHEDULED, JobState.QUEUED):
        return _unfit(job, command.job_id, "pause")
    return Decision([f.Paused(now, job.id)])


def resume(command: c.Resume, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    job = ledger.jobs.get(command.job_id)
    if job is None or job.state is not JobState.PAUSED:
        return _unfit(job, command.job_id, "resume")
    return Decision([f.Resumed(now, job.id, job.due_at)])


def promote(command: c.Promote, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    job = ledger.jobs.get(command.job_id)
    if job is None or job.state is not JobState.SCHEDULED:
        return _unfit(job, command.job_id, "promote")
    if job.hold_reason is not None and not job.hold_reason.is_timed:
        return Decision(answer=InvalidState(job.id, f"scheduled for want of {_WANTS[job.hold_reason]}", "promote"))
    return Decision([f.Promoted(now, job.id)])


_WANTS = {
    HoldReason.KEY: "its key, under which another job runs",
    HoldReason.NO_TASK: "a task of its name",
    HoldReason.BAD_PAYLOAD: "code that its arguments fit",
    HoldReason.TASK_PAUSED: "its task, which is paused",
}


def edit(command: c.Edit, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    job = ledger.jobs.get(command.job_id)
    if job is None or job.state.is_final or job.state is JobState.RUNNING:
        return _unfit(job, command.job_id, "edit")
    if job.ephemeral and command.payload is not None:
        return Decision(answer=InvalidState(job.id, f"{job.state.value}, and its call is not stored", "edit"))
    due_at = job.due_at
    if command.run_at is not None:
        due_at = command.run_at
    elif command.delay is not None:
        due_at = now + command.delay
    options = evolve(job.options, **command.options) if command.options else None
    return Decision([f.Edited(now, job.id, due_at, command.payload, options)])


def remove(command: c.Remove, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    job = ledger.jobs.get(command.job_id)
    if job is None or not job.state.is_final:
        return _unfit(job, command.job_id, "remove")
    return Decision([f.Removed(now, job.id)])


def _unfit(job: Job | None, job_id: str, verb: str) -> Decision:
    """Refuse what does not fit the state of the job."""
    answer: ActorqError = JobNotFound(job_id) if job is None else InvalidState(job_id, job.state.value, verb)
    return Decision(answer=answer)


def pause_all(command: c.PauseAll, ledger: Ledger, roster: Roster, now: float) -> Decision:
    scope = command.group or QUEUE
    until = None if command.until is None else max(command.until, now)
    effects = [effect for claim in roster.claims.values() if _is_in(claim, scope) for effect in _take_back(claim)]
    before = ledger.pauses.get(scope)
    facts: list[f.Fact] = []
    if before is None and scope != QUEUE and len(ledger.pauses) >= PAUSES_LIMIT:
        return Decision(answer=InvalidOption("group", scope, f"no more than {PAUSES_LIMIT} can be paused at a time"))
    if before != (inf if until is None else until):
        facts.append(f.QueuePaused(now, until) if scope == QUEUE else f.GroupPaused(now, scope, until))
    return Decision(facts, effects if command.stop else (), answer=before is None)


def _is_in(claim: Claim, scope: str) -> bool:
    return scope in (QUEUE, claim.job.options.group)


def _take_back(claim: Claim) -> list[e.Effect]:
    return abort(claim, Reason.PAUSED)


def resume_all(command: c.ResumeAll, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    scope = command.group or QUEUE
    if scope not in ledger.pauses:
        return Decision(answer=False)
    return Decision([f.QueueResumed(now) if scope == QUEUE else f.GroupResumed(now, scope)], answer=True)


def resume_task(command: c.ResumeTask, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster  # it has let the task go on by now
    parked = ledger.parked.get(command.task, {}).values()
    facts = [f.Unparked(now, job.id) for job in parked if job.hold_reason is HoldReason.TASK_PAUSED]
    return Decision(facts, answer=True)


def register(command: c.Register, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    return Decision(
        [
            f.Unparked(now, job.id)
            for task in dict.fromkeys(command.tasks)  # named twice: unparked once
            for job in ledger.parked.get(task, {}).values()
            if job.hold_reason is HoldReason.NO_TASK
        ]
    )


VERBS: Final[dict[type[c.Command], Rule]] = {
    c.Submit: submit,
    c.Cancel: cancel,
    c.Rerun: rerun,
    c.Pause: pause,
    c.Resume: resume,
    c.Promote: promote,
    c.Edit: edit,
    c.Remove: remove,
    c.PauseAll: pause_all,
    c.ResumeAll: resume_all,
    c.ResumeTask: resume_task,
    c.Register: register,
}
