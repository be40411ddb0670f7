"""The rules: command + ledger + roster + now → facts, effects, and an answer.

Nothing here changes anything. A refusal is an answer that is an error, with no facts and no effects. What
the clock brings about is decided at the end of the file, in the same terms: ``limit_passed`` and
``alarm_rang`` are to time what the others are to callers.

Two rules settle every race. A report counts only for the claim that is running: the machine has dropped the
late ones before they come here. And what was said first stands: once a run was asked to stop, its end is
decided by the reason it was asked for, whatever it reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf

from attrs import evolve

from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.decision import LATE, TAKEN, Decision, Rule
from actorq.core.ending import (
    abort,
    cancelled,
    end_of_aborted,
    end_of_crashed,
    end_of_lost,
    failed_attempt,
    final_failure,
    limit_passed,
    paused_by,
    snoozed,
    took_its_place,
)
from actorq.core.job import Failure, HoldReason, Job, JobOptions, JobState, Reason
from actorq.core.ledger import Key, Ledger
from actorq.core.letter import dead_letter_of
from actorq.core.roster import Alarm, Claim, Death, Roster
from actorq.core.verbs import VERBS
from actorq.errors import WorkersKeepDying

__all__ = ["alarm_rang", "consequences", "decide", "has_room", "may_start", "over_budget"]


def decide(command: c.Command, ledger: Ledger, roster: Roster, now: float) -> Decision:
    """Say what follows from the command."""
    return _RULES[type(command)](command, ledger, roster, now)


# -- workers, about the attempt they run -----------------------------------------------------------


def _end_of_run(command: c.Report, roster: Roster, now: float, fact: Callable[[Job], f.Fact]) -> Decision:
    """End the claim by this fact, unless it had been asked to stop; but first tell the progress not yet told."""
    claim = roster.claims[command.job_id]
    end = fact(claim.job) if claim.abort is None else end_of_aborted(claim, claim.abort, now)
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
        command, roster, now, lambda job: failed_attempt(job, failure, now, retryable=retryable, delay=delay)
    )


def _snooze(command: c.Snooze, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: snoozed(job, command.delay, now))


def _crash(command: c.Crash, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: end_of_crashed(job, command.failure, now))


def _quit(command: c.Quit, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: cancelled(job, command.message, now, Reason.HANDLER))


def _park(command: c.Park, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    return _end_of_run(command, roster, now, lambda job: f.Parked(now, job.id, command.failure))


def _show_progress(command: c.ShowProgress, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    claim = roster.claims[command.job_id]
    if Alarm.PROGRESS in claim.armed:
        return TAKEN  # merged with what came before; the alarm tells it
    return Decision([f.Progressed(now, claim.job.id, claim.progress)], answer=True)


def _extend(command: c.Extend, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    claim = roster.claims[command.job_id]
    has_limit = claim.timeout_at < inf and claim.abort is None
    return Decision([f.Extended(now, command.job_id, command.seconds)] if has_limit else (), answer=True)


def _log(command: c.Log, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger, roster
    return Decision([f.Logged(now, command.job_id, command.level, command.message, command.data)], answer=True)


def _lend(command: c.Lend, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger, now
    return Decision(answer=roster.claims[command.job_id].is_lent)


def _heard(command: c.Command, ledger: Ledger, roster: Roster, now: float) -> Decision:
    """Take what concerns only the living: the roster has already followed it."""
    del command, ledger, roster, now
    return TAKEN


# -- the shell -------------------------------------------------------------------------------------


def _recover(command: c.Recover, ledger: Ledger, roster: Roster, now: float) -> Decision:
    """Take back what ran when the process died, and try again what the code as it was could not run."""
    del command
    facts: list[f.Fact] = [f.Dropped(now, job.id) for job in ledger.jobs.values() if job.ephemeral]
    cause = "the program ended while it ran"
    facts.extend(end_of_lost(job, cause, now) for job in ledger.running.values() if not job.ephemeral)
    facts.extend(f.Unblocked(now, job_id) for key in ledger.blocked for job_id in ledger.free_of(key))
    for jobs in ledger.parked.values():
        facts.extend(
            f.Unparked(now, job.id)
            for job in jobs.values()
            if (job.task in roster.tasks or job.hold_reason is not HoldReason.NO_TASK) and not job.ephemeral
        )
    return Decision(facts)


def _withdraw(command: c.Withdraw, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del roster
    facts: list[f.Fact] = []
    withdrawn = [ledger.jobs[job_id] for job_id in dict.fromkeys(command.job_ids) if job_id in ledger.jobs]
    for job in withdrawn:
        facts.append(f.Dropped(now, job.id))
        for older in _superseded_by(job, ledger, withdrawn):
            facts.append(f.Reinstated(now, older.id, older.due_at))
            if job.state is JobState.PAUSED:  # as was the one whose place it took
                facts.append(f.Paused(now, older.id))
    return Decision(facts)


def _superseded_by(job: Job, ledger: Ledger, withdrawn: Sequence[Job]) -> Iterator[Job]:
    """Yield the jobs whose place it took: they have it again."""
    for older in ledger.keys.get((job.task, job.key or ""), {}).values():
        why = older.failure
        is_over = older.state is JobState.CANCELLED and older not in withdrawn
        if is_over and why and why.reason is Reason.SUPERSEDED and why.message == took_its_place(job.id):
            yield older


def _bury(command: c.Bury, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger
    if command.worker not in roster.workers:
        return LATE  # it was abandoned before it died
    job_id = roster.workers[command.worker]
    facts: list[f.Fact] = []
    if job_id is not None:
        claim, cause = roster.claims[job_id], f"its worker died: {command.cause}"
        abort = claim.abort
        facts.append(end_of_lost(claim.job, cause, now) if abort is None else end_of_aborted(claim, abort, now))
    return Decision(facts, [e.Abandon(command.worker, command.cause, goes_on=False)], answer=True)


def _report_block(command: c.ReportBlock, ledger: Ledger, roster: Roster, now: float) -> Decision:
    del ledger, roster
    return Decision([f.LoopBlocked(now, command.job_id, command.seconds, command.stack)])


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
    **VERBS,
    c.SetGroup: _heard,
    c.SetWorkers: _heard,
    c.Finish: _finish,
    c.Fail: _fail,
    c.Snooze: _snooze,
    c.Quit: _quit,
    c.Park: _park,
    c.Crash: _crash,
    c.Begin: _heard,
    c.Beat: _heard,
    c.Extend: _extend,
    c.ShowProgress: _show_progress,
    c.Log: _log,
    c.Lend: _lend,
    c.TakeBack: _heard,
    c.Recover: _recover,
    c.Bury: _bury,
    c.Return: _heard,
    c.ReportBlock: _report_block,
    c.Withdraw: _withdraw,
    c.Drain: _heard,
    c.Halt: _halt,
}


# -- the clock -------------------------------------------------------------------------------------


def alarm_rang(claim: Claim, alarm: Alarm, now: float) -> Decision:
    """Say what follows from an alarm of a running claim."""
    match alarm:
        case Alarm.DEADLINE:
            return Decision(effects=abort(claim, Reason.DEADLINE))
        case Alarm.TIMEOUT:
            return Decision(effects=abort(claim, Reason.TIMEOUT))
        case Alarm.HEARTBEAT:
            if claim.abort is not None:
                return Decision()
            return Decision([f.Stalled(now, claim.job.id)], abort(claim, Reason.HEARTBEAT))
        case Alarm.PROGRESS:
            return Decision([f.Progressed(now, claim.job.id, claim.progress)])
        case _:  # GRACE, which only an abort arms
            reason = claim.abort or Reason.CLIENT_REQUEST
            cause = f"job {claim.job.id} ignored cancellation ({reason})"
            return Decision(
                [end_of_aborted(claim, reason, now)], [e.Abandon(claim.worker, cause, reason is not Reason.PAUSED)]
            )


def may_start(job: Job, ledger: Ledger, roster: Roster, now: float) -> f.Fact | None:
    """Return None if the job may start now, or the fact that keeps it from it.

    A run can end when its job's limit has passed already, and leave the job ready in the same step: its
    ``deadline`` passed under an abort for another reason, or while no process was there.
    """
    if job.limit_at() <= now:
        return limit_passed(job, now)
    if job.key is not None and (job.task, job.key) in ledger.running_keys:
        return f.Blocked(now, job.id)
    if job.task in roster.paused_tasks:
        return f.Parked(now, job.id, paused_by(roster.paused_tasks[job.task], job, now))
    if job.task in roster.tasks or job.ephemeral:
        return None
    failure = Failure(Reason.NO_TASK, "UnknownTask", f"no task {job.task!r} is registered", attempt=job.attempt, at=now)
    return (
        final_failure(job, failure, now)
        if roster.settings.on_unknown_task == "fail"
        else f.Parked(now, job.id, failure)
    )


def has_room(group: str, ledger: Ledger, roster: Roster) -> bool:
    """Tell whether one more job of the group may run."""
    if group in ledger.pauses:
        return False
    limit = roster.group_limits.get(group)
    return limit is None or len(ledger.running_groups.get(group, ())) < limit


def over_budget(death: Death, roster: Roster, now: float) -> Iterator[e.Effect]:
    """Yield what follows from the death of a worker, if too many have died.

    Source: the restart intensity of Erlang/OTP supervisors, once for each task, and once for all.
    """
    budget = roster.settings.restarts
    if death.task not in roster.paused_tasks and roster.deaths_of(death.task, now) > budget.task_deaths:
        yield e.PauseTask(death.task, death.cause)
    if roster.deaths_within(now) > budget.deaths:
        yield e.GiveUp(WorkersKeepDying(budget.deaths, budget.window_s, death.cause))


# -- what follows from a fact by itself -------------------------------------------------------------


def consequences(fact: f.Fact, job: Job, ledger: Ledger, roster: Roster) -> Sequence[f.Fact]:
    """Return what happens because this has happened."""
    unblocked = () if job.key is None else _unblocked(fact, (job.task, job.key), ledger)
    task = job.options.dead_letter
    if type(fact) is f.DeadLettered and isinstance(task, str) and not job.ephemeral:
        return [*unblocked, _letter(fact, job, task, ledger, roster)]
    return unblocked


def _unblocked(fact: f.Fact, key: Key, ledger: Ledger) -> Sequence[f.Fact]:
    """Let those go on that nothing of their key hinders any more, one of a group at a time.

    The next one follows when that one has run, or has left the line in some other way; to let all go at once would
    cost as many facts as there are, for each that runs.
    """
    if key not in ledger.blocked or type(fact) is f.Unblocked:
        return ()
    return [f.Unblocked(fact.at, job_id) for job_id in ledger.free_of(key)]


def _letter(fact: f.Fact, job: Job, task: str, ledger: Ledger, roster: Roster) -> f.Fact:
    """Make a job of the dead one."""
    options = roster.task_options.get(task, _PLAIN)
    if isinstance(options.dead_letter, str):  # the dead are not buried twice
        options = evolve(options, dead_letter=True)
    seq = ledger.seq + 1
    return f.Submitted(
        fact.at, f"{job.id}-d{seq}", fact.at, seq, task, dead_letter_of(job), options, dead_letter_of=job.id
    )


_PLAIN = JobOptions()
