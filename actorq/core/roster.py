"""The memory of the living: workers, the claims under which they run jobs, and their alarms.

It dies with the process, and nothing in it is needed to know what becomes of a job: what a crash leaves is
the ledger, and every job that runs there has lost its worker. So this memory follows facts and effects
rather than being derived from them, and may simply be changed where it only concerns the living (a beat, a
lent slot).

Heartbeats cost nothing while they come: a beat only notes its time, and the one alarm of the claim is set
anew when it rings early.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from math import inf

from attrs import define, evolve, field, frozen

from actorq.config import LENT_LIMIT, PROGRESS_INTERVAL_S, Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.heap import Heap
from actorq.core.job import NO_PROGRESS, Job, JobOptions, Progress, Reason

__all__ = ["Alarm", "Claim", "Death", "Roster"]


class Alarm(IntEnum):
    """What may ring for a claim."""

    DEADLINE = 1
    TIMEOUT = 2
    HEARTBEAT = 3
    GRACE = 4
    PROGRESS = 5


@define
class Claim:
    """One run of a job by one worker."""

    job: Job
    number: int
    worker: int
    heard_at: float
    """When it last gave a sign of life."""
    timeout_at: float = inf
    abort: Reason | None = None
    """Why it was asked to stop; the first reason stands."""
    abandon_at: float = inf
    """When nothing more is expected of it, once it was asked to stop."""
    is_lent: bool = False
    """It waits for another job, and its slot is used by an extra worker."""
    progress: Progress = NO_PROGRESS
    """The latest; what the ledger has of it may be older."""
    progress_told_at: float = -inf
    armed: set[Alarm] = field(factory=set[Alarm])


@frozen
class Death:
    """A worker, or the process that it used, is gone."""

    at: float
    task: str
    """Whose job ran there; empty: none."""
    cause: str


class Roster:
    """Who works on what."""

    def __init__(self, settings: Settings, *, holds_runs: bool = False) -> None:
        self.settings = settings
        self.holds_runs = holds_runs
        """Whether a run begins some time after its ``Started``, and :class:`~actorq.core.commands.Begin` says when."""
        self.target = settings.workers
        """How many workers there are to be, beside those for lent slots."""
        self.workers: dict[int, str | None] = {}
        """Each worker's job."""
        self.idle: list[int] = []
        self.claims: dict[str, Claim] = {}
        """By job."""
        self.alarms: Heap[tuple[str, Alarm]] = Heap()
        self.tasks: set[str] = set()
        """The tasks that have a function."""
        self.task_options: dict[str, JobOptions] = {}
        """Of the jobs that the core makes itself."""
        self.group_limits: dict[str, int] = {}
        """How many jobs of a group may run at a time."""
        self.is_draining = False
        self.late_reports = 0
        """Reports for a claim that was not running any more; they changed nothing."""
        self.lost_workers = 0
        """Workers that were abandoned or died."""
        self.abandoned: set[int] = set()
        """Workers whose functions go on though nothing is expected of them any more."""
        self.paused_tasks: dict[str, str] = {}
        """Tasks of which nothing starts, as too many workers died under their jobs; and how the last one did."""
        self.deaths: deque[Death] = deque()
        """Those of which it is still to be found out whether they were too many."""
        self._past_deaths: deque[Death] = deque()
        self._last_worker = 0
        self._lent = 0

    # -- what is asked of it ---------------------------------------------------------------------

    def claim_of(self, job_id: str, number: int) -> Claim | None:
        """Return the claim if it is the one that is running."""
        claim = self.claims.get(job_id)
        return claim if claim is not None and claim.number == number else None

    @property
    def wanted(self) -> int:
        """How many workers there should be now: none in place of an abandoned one, if those are too many."""
        return max(self.target + self._lent - self.abandoned_beyond, 0)

    @property
    def abandoned_beyond(self) -> int:
        """How many abandoned functions there are beyond those in whose place others may run."""
        return max(len(self.abandoned) - self.settings.max_abandoned, 0)

    @property
    def lent(self) -> int:
        """How many slots are lent."""
        return self._lent

    def next_worker(self) -> int:
        """Return a number that no worker had."""
        return self._last_worker + 1

    def deaths_within(self, now: float) -> int:
        """Return how many workers have died within the window of the restart budget."""
        since = now - self.settings.restarts.window_s
        while self._past_deaths and self._past_deaths[0].at <= since:
            self._past_deaths.popleft()
        return len(self._past_deaths)

    def deaths_of(self, task: str, now: float) -> int:
        """Return how many of them died under jobs of the task."""
        if not task or not self.deaths_within(now):
            return 0
        return sum(death.task == task for death in self._past_deaths)

    # -- what happens among the living ---------------------------------------------------------------

    def arm(self, claim: Claim, alarm: Alarm, at: float) -> None:
        """Let the alarm ring for the claim at ``at``, and not at any other time set before."""
        claim.armed.add(alarm)
        self.alarms.push(at, (claim.job.id, alarm))

    def forgive_silence(self, seconds: float) -> None:
        """Take the event loop's own lateness off the silence of every attempt."""
        for claim in self.claims.values():
            claim.heard_at += seconds

    def follow_command(self, command: c.Command, now: float) -> bool:
        """Note what the command means for the living; False if it is a late report, which means nothing."""
        if isinstance(command, c.Report):
            claim = self.claim_of(command.job_id, command.claim)
            if claim is None:
                self.late_reports += 1
                return False
            claim.heard_at = max(claim.heard_at, now)
            self._follow_report(command, claim, now)
        elif isinstance(command, c.Register):
            self.tasks.update(command.tasks)
            self.task_options.update(command.options)
        elif isinstance(command, c.SetWorkers):
            self.target = command.count
        elif isinstance(command, c.SetGroup):
            if command.limit is None:
                self.group_limits.pop(command.group, None)
            else:
                self.group_limits[command.group] = command.limit
        elif isinstance(command, c.ResumeTask):
            return self._resume_task(command.task)
        elif isinstance(command, c.Return):
            self.abandoned.discard(command.worker)
        elif isinstance(command, c.Drain):
            self.is_draining = True
        return True

    def _follow_report(self, report: c.Report, claim: Claim, now: float) -> None:
        match report:
            case c.Begin():
                self._arm_run(claim, now)
            case c.Extend() if claim.timeout_at < inf and claim.abort is None:
                claim.timeout_at += report.seconds
                self.arm(claim, Alarm.TIMEOUT, claim.timeout_at)
            case c.ShowProgress():
                claim.progress = _further(claim.progress, report)
                if now < claim.progress_told_at + PROGRESS_INTERVAL_S:
                    self.arm(claim, Alarm.PROGRESS, claim.progress_told_at + PROGRESS_INTERVAL_S)
            case c.Crash() if claim.abort is None:
                self._note_death(claim.job.task, f"{report.failure.reason}: {report.failure.message}", now)
            case c.Lend() if not claim.is_lent and self._lent < LENT_LIMIT:
                claim.is_lent = True
                self._lent += 1
            case c.TakeBack():
                self._take_back(claim)
            case _:
                pass

    def _take_back(self, claim: Claim) -> None:
        if claim.is_lent:
            claim.is_lent = False
            self._lent -= 1

    # -- following facts and effects ------------------------------------------------------------------

    def follow_fact(self, fact: f.Fact, job: Job) -> None:
        """Begin or end the claim that the fact speaks of."""
        kind = type(fact)
        if isinstance(fact, f.Started):
            self._begin(fact, job)
        elif (claim := self.claims.get(job.id)) is not None:
            if kind is f.Progressed:
                claim.progress_told_at = fact.at
            elif kind not in _WITHIN_A_RUN:
                self._end(claim)

    def follow_effect(self, effect: e.Effect, now: float) -> None:
        """Note what the shell is being told."""
        match effect:
            case e.Abort():
                claim = self.claims[effect.job_id]
                claim.abort = claim.abort or effect.reason
                claim.abandon_at = min(claim.abandon_at, now + effect.grace)
                self.arm(claim, Alarm.GRACE, claim.abandon_at)
            case e.Hire():
                self._last_worker = effect.worker
                self.workers[effect.worker] = None
                self.idle.append(effect.worker)
            case e.Retire():
                self._forget(effect.worker)
            case e.Abandon():
                self._abandon(effect, now)
            case e.PauseTask():
                self.paused_tasks[effect.task] = effect.cause
            case _:
                pass

    def _begin(self, fact: f.Started, job: Job) -> None:
        self.idle.pop()  # that is who it was given to
        self.workers[fact.worker] = job.id
        claim = self.claims[job.id] = Claim(job, fact.claim, fact.worker, fact.at)
        if not self.holds_runs and job.options.run_in != "process":  # which is started first, and says when it is ready
            self._arm_run(claim, fact.at)
        if job.options.deadline is not None:
            self.arm(claim, Alarm.DEADLINE, job.limits_from + job.options.deadline)

    def _arm_run(self, claim: Claim, now: float) -> None:
        """Let the limits of the attempt count from now."""
        options = claim.job.options
        if options.timeout is not None:
            claim.timeout_at = now + options.timeout
            self.arm(claim, Alarm.TIMEOUT, claim.timeout_at)
        if options.heartbeat_timeout is not None:
            self.arm(claim, Alarm.HEARTBEAT, now + options.heartbeat_timeout)

    def _end(self, claim: Claim) -> None:
        self._take_back(claim)
        del self.claims[claim.job.id]
        for alarm in claim.armed:
            self.alarms.remove((claim.job.id, alarm))
        if claim.worker in self.workers:
            self.workers[claim.worker] = None
            self.idle.append(claim.worker)

    def _abandon(self, effect: e.Abandon, now: float) -> None:
        job_id = self.workers[effect.worker]
        self._forget(effect.worker)
        if effect.goes_on:
            self.abandoned.add(effect.worker)
        self.lost_workers += 1
        if effect.counts:
            self._note_death("" if job_id is None else self.claims[job_id].job.task, effect.cause, now)

    def _resume_task(self, task: str) -> bool:
        """Begin anew with the task: the deaths that it was paused for count no more against it."""
        if self.paused_tasks.pop(task, None) is None:
            return False
        self._past_deaths = deque(evolve(d, task="") if d.task == task else d for d in self._past_deaths)
        return True

    def _note_death(self, task: str, cause: str, now: float) -> None:
        if not self.is_draining:  # at the end many are left to their jobs at once
            death = Death(now, task, cause)
            self.deaths.append(death)
            self._past_deaths.append(death)

    def _forget(self, worker: int) -> None:
        if self.workers.pop(worker) is None:
            self.idle.remove(worker)


_WITHIN_A_RUN = (f.Extended, f.Logged, f.LoopBlocked, f.Stalled, f.CancelRequested, f.Deduplicated)


def _further(progress: Progress, report: c.ShowProgress) -> Progress:
    """Return the progress, moved on: its value never goes down, and what is None stays as it was."""
    return Progress(
        max(progress.value, report.value or 0.0),
        progress.current if report.current is None else report.current,
        progress.total if report.total is None else report.total,
        progress.message if report.message is None else report.message,
    )
