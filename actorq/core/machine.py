"""One step of the house: advance to now, decide what was asked, assign work, let go of the old.

::

    step = machine.step(commands, now)

The duties of whoever turns the machine, in this order:

1. write ``step.facts``, as the durability setting promises;
2. publish them to whoever watches;
3. carry out ``step.effects``;
4. give the ``step.answers``, one a command, and tell those who wait for ``step.ended``;
5. come back at ``next_deadline()`` if nothing else comes before. There is no other reason to wake.

Source of the shape: etcd raft's ``Ready``, whose comments fix the order in which it is to be acted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from math import inf
from typing import Any

from attrs import define

from actorq.config import STEP_LIMIT, Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.decide import alarm_rang, consequences, decide, has_room, may_start, over_budget
from actorq.core.decision import Decision
from actorq.core.ending import limit_passed
from actorq.core.job import FINAL, Job
from actorq.core.ledger import QUEUE, Ledger
from actorq.core.roster import Alarm, Claim, Roster

__all__ = ["Machine", "Step"]

_RETENTION_SLACK_CAP_S = 60.0
"""Old jobs are let go of together, up to so much late (a tenth of their age, at most): few wake-ups."""


@define
class Step:
    """All that came of one step, to be acted on in the order of the fields."""

    now: float
    facts: list[f.Fact]
    jobs: list[Job | None]
    """The job that each fact speaks of; None: it is about the queue or a group."""
    effects: list[e.Effect]
    answers: list[Any]
    """One for each command; a refusal is an exception."""
    ended: list[Job]
    """Jobs that ended in this step, as they then stood."""


class Machine:
    """Ledger and roster, and the way they go on together."""

    def __init__(self, settings: Settings, ledger: Ledger | None = None, *, holds_runs: bool = False) -> None:
        """Go on with this ledger.

        Args:
            settings: of the queue.
            ledger: as it was left; None: begin empty.
            holds_runs: whether the shell holds each run until its start is written, and then says ``Begin``.
        """
        self.ledger = ledger or Ledger()
        self.roster = Roster(settings, holds_runs=holds_runs)
        self._keep = {state: settings.retention.of(state) for state in FINAL}
        self._now = self.ledger.now
        self._has_more = False
        self._old_go_at = self._when_old_go()
        self._deadline = self._next_deadline()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.ledger.count().items() if count)
        roster = self.roster
        idle = f"{len(roster.idle)} of {len(roster.workers)} workers idle"
        return f"<Machine n={self.ledger.n} now={self.ledger.now:.6f} [{counts}] {idle}>"

    def step(self, commands: Sequence[c.Command], now: float, *, late: float = 0.0) -> Step:
        """Go on to ``now`` (never back), and deal with the commands in their order.

        Args:
            commands: one batch.
            now: seconds since the epoch.
            late: how many seconds the event loop was blocked before this step; silence meanwhile is not held
                against any attempt.
        """
        self._now = max(now, self._now)
        step = Step(self._now, [], [], [], [], [])
        if late:
            self.roster.forgive_silence(late)
        self._has_more = False
        if step.now >= self._deadline:
            self._advance(step, is_quiet=not commands)
        for command in commands:
            if self.roster.follow_command(command, step.now):
                decision = decide(command, self.ledger, self.roster, step.now)
                self._commit(decision, step)
                step.answers.append(decision.answer)
                if type(command) is c.SetGroup:
                    self.ledger.ready.bring_back(command.group)
            else:
                step.answers.append(False)  # a late report
        self._staff(step)
        self._assign(step)
        if step.ended or step.now >= self._old_go_at:
            self._let_go(step)
        self._deadline = self._next_deadline()
        return step

    def next_deadline(self) -> float:
        """Return when something will happen by itself; infinity if nothing will."""
        return self._deadline

    def _next_deadline(self) -> float:
        if self._has_more:
            return self._now
        at = self._old_go_at
        ledger = self.ledger
        for heap in (ledger.delayed, ledger.limits, ledger.pause_ends, self.roster.alarms):
            entry = heap.peek()
            if entry is not None and entry[0] < at:
                at = entry[0]
        return at

    # -- advance -----------------------------------------------------------------------------------

    def _advance(self, step: Step, *, is_quiet: bool) -> None:
        """Let happen what time brings: limits before delays, so that what is over never starts.

        Silence counts only in a step in which nobody says anything. Else the loop has just come to hear again, and
        whoever it kept from speaking may be next: he has until the step that follows, when it has turned.
        """
        unheard: list[Claim] = []
        ledger, now = self.ledger, step.now
        left = STEP_LIMIT
        while left and (entry := ledger.limits.peek()) is not None and entry[0] <= now:
            self._happen(limit_passed(ledger.jobs[entry[-1]], now), step)
            left -= 1
        while left and (entry := ledger.delayed.peek()) is not None and entry[0] <= now:
            self._happen(f.BecameDue(now, entry[-1]), step)
            left -= 1
        while left and (entry := ledger.pause_ends.peek()) is not None and entry[0] <= now:
            self._happen(f.QueueResumed(now) if entry[-1] == QUEUE else f.GroupResumed(now, entry[-1]), step)
            left -= 1
        while left and (entry := self.roster.alarms.peek()) is not None and entry[0] <= now:
            self.roster.alarms.pop()
            job_id, alarm = entry[-1]
            if alarm is Alarm.HEARTBEAT and not is_quiet:
                claim = self.roster.claims[job_id]
                claim.armed.discard(alarm)
                unheard.append(claim)
            else:
                self._ring(job_id, alarm, step)
            left -= 1
        for claim in unheard:
            if self.roster.claims.get(claim.job.id) is claim:
                self.roster.arm(claim, Alarm.HEARTBEAT, now)
        self._has_more = self._has_more or not left

    def _ring(self, job_id: str, alarm: Alarm, step: Step) -> None:
        claim = self.roster.claims[job_id]
        claim.armed.discard(alarm)
        if alarm is Alarm.HEARTBEAT and claim.job.options.heartbeat_timeout is not None:
            silent_at = claim.heard_at + claim.job.options.heartbeat_timeout
            if claim.is_lent:  # it waits for another job, and we know it
                silent_at = step.now + claim.job.options.heartbeat_timeout
            if silent_at > step.now:
                self.roster.arm(claim, alarm, silent_at)
                return
        self._commit(alarm_rang(claim, alarm, step.now), step)

    # -- staff and assign ----------------------------------------------------------------------------

    def _staff(self, step: Step) -> None:
        """Hire or retire until there are as many workers as there should be; the busy stay until they are idle."""
        roster = self.roster
        while len(roster.workers) < roster.wanted:
            self._commit(Decision(effects=[e.Hire(roster.next_worker())]), step)
        while len(roster.workers) > roster.wanted and roster.idle:
            self._commit(Decision(effects=[e.Retire(roster.idle[-1])]), step)

    def _assign(self, step: Step) -> None:
        """Give the first ready jobs to the idle workers."""
        ledger, roster = self.ledger, self.roster
        parked = 0
        while roster.idle and not roster.is_draining and QUEUE not in ledger.pauses:
            job_id = ledger.ready.peek()
            if job_id is None:
                break
            job = ledger.jobs[job_id]
            if job.options.group is not None and not has_room(job.options.group, ledger, roster):
                ledger.ready.set_aside(job.options.group)
                continue
            hindrance = may_start(job, ledger, roster, step.now)
            if hindrance is not None:
                self._happen(hindrance, step)
                parked += 1
                if parked == STEP_LIMIT:
                    self._has_more = True
                    break
                continue
            started = f.Started(step.now, job.id, job.attempt + 1, job.claim + 1, roster.idle[-1])
            self._happen(started, step)
            step.effects.append(e.Dispatch(started.worker, job.id, started.claim))

    # -- let go --------------------------------------------------------------------------------------

    def _let_go(self, step: Step) -> None:
        """Remove finished jobs beyond their count, and those beyond their age once that is worth a wake-up."""
        is_time = self._old_go_at <= step.now
        left = STEP_LIMIT
        for state, jobs in self.ledger.finished.items():
            keep = self._keep[state]
            while left and jobs:
                oldest = next(iter(jobs.values()))
                is_old = is_time and _ended_at(oldest) + keep.age_s <= step.now
                if not is_old and len(jobs) <= keep.count:
                    break
                self._happen(f.Removed(step.now, oldest.id), step)
                left -= 1
        self._has_more = self._has_more or not left
        self._old_go_at = self._when_old_go()

    def _when_old_go(self) -> float:
        """Return when the jobs that have ended are next looked through for old ones."""
        at = inf
        for state, jobs in self.ledger.finished.items():
            if jobs:
                age_s = self._keep[state].age_s
                oldest = next(iter(jobs.values()))
                at = min(at, _ended_at(oldest) + age_s + min(age_s / 10, _RETENTION_SLACK_CAP_S))
        return at

    # -- make it so ----------------------------------------------------------------------------------

    def _commit(self, decision: Decision, step: Step) -> None:
        for effect in decision.effects:
            self._do(effect, step)
        while self.roster.deaths:
            for effect in over_budget(self.roster.deaths.popleft(), self.roster, step.now):
                self._do(effect, step)
        for fact in decision.facts:
            self._happen(fact, step)

    def _do(self, effect: e.Effect, step: Step) -> None:
        self.roster.follow_effect(effect, step.now)
        step.effects.append(effect)

    def _happen(self, fact: f.Fact, step: Step) -> None:
        fact.n = self.ledger.n + 1
        if type(fact) in (f.Requeued, f.Reinstated):  # perhaps in one step with its end: let that be told as it was
            step.ended = [copy(job) if job.id == fact.job_id else job for job in step.ended]
        job = self.ledger.apply(fact)
        step.facts.append(fact)
        step.jobs.append(job)
        if job is None:
            return
        self.roster.follow_fact(fact, job)
        if type(fact) in ENDS:
            step.ended.append(job)
        for follows in consequences(fact, job, self.ledger, self.roster):
            self._happen(follows, step)


ENDS = (f.Succeeded, f.Failed, f.DeadLettered, f.Cancelled)


def _ended_at(job: Job) -> float:
    return job.ended_at or 0.0


def replay(facts: Iterable[f.Fact], ledger: Ledger | None = None) -> Ledger:
    """Return the ledger that these facts fold to."""
    ledger = ledger or Ledger()
    for fact in facts:
        ledger.apply(fact)
    return ledger
