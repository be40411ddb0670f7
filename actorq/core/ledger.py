"""Durable memory: the jobs, and where each of them stands. It is the fold of the facts.

:meth:`Ledger.apply` is its only writer, live and in recovery alike; so recovery is right if running is
right. It decides nothing: the table in ``lifecycle`` says where a fact leads, the functions below what it
leaves behind in the job.

Each job is in exactly one *place*, derived from its state: the ready heap, the delay heap, the parked, the
running, the finished. How many there are of a state is the length of its place, so no counter can drift.

Costs: submit, start, end O(log n); everything else O(1); nothing here looks at all jobs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from actorq.config import ATTEMPT_HISTORY, JOB_LOG_LIMIT
from actorq.core import facts as f
from actorq.core.heap import Heap
from actorq.core.job import DONE, FINAL, NO_PROGRESS, Attempt, Failure, HoldReason, Job, JobState, Progress
from actorq.core.lifecycle import next_state
from actorq.core.picture import Pages, Picture, Totals
from actorq.errors import InternalError

__all__ = ["Ledger"]


class Ledger:
    """All that must outlive the process."""

    def __init__(self, totals: Totals | None = None, jobs: Iterable[Job] = ()) -> None:
        """Begin empty, or where a picture left off: ``jobs`` in the order of their ``seq``."""
        totals = totals or Totals()
        self.n = totals.n
        """The number of the last fact."""
        self.now = totals.now
        """The time of the last fact."""
        self.seq = totals.seq
        """The sequence number of the last job that was accepted."""
        self.removed = totals.removed
        """How many jobs are gone; those accepted are ``seq``."""
        self.jobs: dict[str, Job] = {}
        self.ready: Heap[str] = Heap()
        self.delayed: Heap[str] = Heap()
        self.limits: Heap[str] = Heap()
        """``expires`` and ``deadline`` of jobs that wait; the roster watches over those that run."""
        self.parked: dict[str, dict[str, Job]] = {}
        """By task."""
        self.running: dict[str, Job] = {}
        self.finished: dict[JobState, OrderedDict[str, Job]] = {state: OrderedDict() for state in FINAL}
        """In the order of their end. (A plain dict from whose front is taken slows down with every take.)"""
        self._pages = Pages()
        self._picture: Picture | None = None
        for job in jobs:
            self._add(job)
        for state in FINAL:
            ended = sorted(self.finished[state].values(), key=lambda job: (job.ended_at, job.seq))
            self.finished[state] = OrderedDict((job.id, job) for job in ended)

    def apply(self, fact: f.Fact) -> Job:
        """Let the fact change the ledger, and return the job it speaks of (even if it is gone now).

        Raises:
            InternalError: the fact is not the next one, or cannot happen; nothing was changed.
        """
        if fact.n != self.n + 1 or fact.at < self.now:
            raise InternalError(f"fact {fact.n} at {fact.at} cannot follow fact {self.n} at {self.now}")
        job = self.jobs.get(fact.job_id)
        before = None if job is None else job.state
        after = next_state(before, fact)
        if job is None:
            job = self._accept(fact, after)
        else:
            if self._picture is not None:
                self._picture.keep(job)
            self._change(job, fact, after)
        self.n = fact.n
        self.now = fact.at
        return job

    def picture(self) -> Picture:
        """Begin to take a picture of the ledger as it is now; one at a time.

        Raises:
            InternalError: another is being taken.
        """
        if self._picture is not None:
            raise InternalError("two pictures of one ledger at a time")
        self._picture = Picture(Totals(self.n, self.now, self.seq, self.removed), self._pages, self._put_away)
        return self._picture

    # -- what is asked of it ---------------------------------------------------------------------

    @property
    def live(self) -> int:
        """How many jobs have not ended."""
        return len(self.ready) + len(self.delayed) + self.parked_count + len(self.running)

    @property
    def parked_count(self) -> int:
        """How many jobs wait for code that fits them."""
        return sum(map(len, self.parked.values()))

    def count(self) -> dict[JobState, int]:
        """Return how many jobs there are in each state."""
        counts = {state: len(jobs) for state, jobs in self.finished.items()}
        counts[JobState.SCHEDULED] = len(self.delayed) + self.parked_count
        counts[JobState.QUEUED] = len(self.ready)
        counts[JobState.RUNNING] = len(self.running)
        return counts

    # -- how facts change it ---------------------------------------------------------------------

    def _accept(self, fact: f.Fact, state: JobState | None) -> Job:
        if not isinstance(fact, f.Submitted) or state is None or fact.seq != self.seq + 1:
            raise InternalError(f"fact {fact.n} does not accept a job in turn")
        job = Job(
            fact.job_id, fact.seq, fact.task, fact.payload, fact.options, state, fact.at, fact.due_at, fact.ephemeral
        )
        job.limits_from = fact.at
        if state is JobState.SCHEDULED:
            job.hold_reason = HoldReason.DELAY
        self.seq = fact.seq
        self._add(job)
        return job

    def _change(self, job: Job, fact: f.Fact, state: JobState | None) -> None:
        moves = state is not job.state
        if moves:
            self._leave(job)
        _CHANGES[type(fact)](job, fact)
        if state is None:
            del self.jobs[job.id]
            self._pages.remove(job)
            self.removed += 1
        elif moves:
            if state is not JobState.SCHEDULED:
                job.hold_reason = None
            job.state = state
            self._enter(job)

    # -- places ----------------------------------------------------------------------------------

    def _add(self, job: Job) -> None:
        self.jobs[job.id] = job
        self._pages.add(job)
        self._enter(job)

    def _enter(self, job: Job) -> None:
        match job.state:
            case JobState.RUNNING:
                self.running[job.id] = job
                return
            case JobState.QUEUED:
                self.ready.push(-job.options.priority, job.due_at, job.seq, job.id)
            case JobState.SCHEDULED:
                if job.hold_reason is not None and job.hold_reason.is_parked:
                    self.parked.setdefault(job.task, {})[job.id] = job
                else:
                    self.delayed.push(job.due_at, job.seq, job.id)
            case _:
                self.finished[job.state][job.id] = job
                return
        limit_at = job.limit_at()
        if limit_at < inf:
            self.limits.push(limit_at, job.seq, job.id)

    def _leave(self, job: Job) -> None:
        match job.state:
            case JobState.RUNNING:
                del self.running[job.id]
                return
            case JobState.QUEUED:
                self.ready.remove(job.id)
            case JobState.SCHEDULED:
                if not self.delayed.remove(job.id):
                    shelf = self.parked[job.task]
                    del shelf[job.id]
                    if not shelf:
                        del self.parked[job.task]
            case _:
                del self.finished[job.state][job.id]
                return
        self.limits.remove(job.id)

    def _put_away(self) -> None:
        self._picture = None


# -- what each fact leaves behind in its job -------------------------------------------------------


_OUTCOMES: dict[type[f.Fact], str] = {
    f.RetryScheduled: "retry_scheduled",
    f.Snoozed: "snoozed",
    f.Interrupted: "interrupted",
    f.Released: "released",
    f.Parked: "parked",
}


def _end_run(job: Job, fact: f.Fact, failure: Failure | None = None) -> None:
    """File the run that ends here among the attempts: the job goes on."""
    assert job.started_at is not None
    outcome = _OUTCOMES[type(fact)]
    run = Attempt(job.attempt, job.claim, job.worker, job.started_at, fact.at, outcome, failure)
    job.attempts = (*job.attempts, run)[-ATTEMPT_HISTORY:]
    job.stalled = False
    job.cancel_requested = None


def _became_due(job: Job, fact: f.BecameDue) -> None:
    del job, fact  # its place in the order is since when it was due, not when that was seen


def _started(job: Job, fact: f.Started) -> None:
    job.attempt = fact.attempt
    job.claim = fact.claim
    job.worker = fact.worker
    job.started_at = fact.at
    if job.first_started_at is None:
        job.first_started_at = fact.at
    job.progress = NO_PROGRESS


def _progressed(job: Job, fact: f.Progressed) -> None:
    job.progress = fact.progress


def _logged(job: Job, fact: f.Logged) -> None:
    job.log = (*job.log, (fact.at, fact.level, fact.message, fact.data))[-JOB_LOG_LIMIT:]


def _stalled(job: Job, fact: f.Stalled) -> None:
    del fact
    job.stalled = True


def _cancel_requested(job: Job, fact: f.CancelRequested) -> None:
    job.cancel_requested = fact.message


def _retry_scheduled(job: Job, fact: f.RetryScheduled) -> None:
    _end_run(job, fact, fact.failure)
    job.failure = fact.failure
    job.due_at = fact.due_at
    job.hold_reason = HoldReason.RETRY


def _snoozed(job: Job, fact: f.Snoozed) -> None:
    _end_run(job, fact)
    job.attempt -= 1
    job.snoozes += 1
    job.due_at = fact.due_at
    job.hold_reason = HoldReason.DELAY


def _interrupted(job: Job, fact: f.Interrupted) -> None:
    _end_run(job, fact)
    job.attempt -= 1
    job.interruptions += 1
    job.due_at = fact.due_at
    job.hold_reason = HoldReason.RETRY


def _released(job: Job, fact: f.Released) -> None:
    _end_run(job, fact)
    job.attempt -= 1
    job.due_at = fact.at


def _parked(job: Job, fact: f.Parked) -> None:
    if job.state is JobState.RUNNING:
        _end_run(job, fact, fact.failure)
        job.attempt -= 1
    job.failure = fact.failure
    job.hold_reason = HoldReason(fact.failure.reason.value)


def _unparked(job: Job, fact: f.Unparked) -> None:
    job.failure = None
    job.due_at = fact.at


def _succeeded(job: Job, fact: f.Succeeded) -> None:
    job.result = fact.result
    job.failure = None
    seen = job.progress
    job.progress = DONE if seen is NO_PROGRESS else Progress(1.0, seen.current, seen.total, seen.message)
    job.stalled = False
    job.ended_at = fact.at


def _ended_badly(job: Job, fact: f.Failed | f.DeadLettered | f.Cancelled) -> None:
    job.failure = fact.failure
    job.stalled = False
    job.cancel_requested = None
    job.ended_at = fact.at


def _requeued(job: Job, fact: f.Requeued) -> None:
    is_filed = bool(job.attempts) and job.attempts[-1].claim == job.claim
    if job.started_at is not None and job.ended_at is not None and not is_filed:
        run = Attempt(job.attempt, job.claim, job.worker, job.started_at, job.ended_at, job.state.value, job.failure)
        job.attempts = (*job.attempts, run)[-ATTEMPT_HISTORY:]
    job.attempt = job.interruptions = job.snoozes = 0
    job.first_started_at = job.started_at = job.ended_at = None
    job.result = job.failure = None
    job.progress = NO_PROGRESS
    job.due_at = job.limits_from = fact.at


def _gone(job: Job, fact: f.Removed | f.Dropped) -> None:
    del job, fact  # the ledger lets go of it


_CHANGES: dict[type[f.Fact], Callable[[Job, Any], None]] = {
    f.BecameDue: _became_due,
    f.Started: _started,
    f.Progressed: _progressed,
    f.Logged: _logged,
    f.Stalled: _stalled,
    f.CancelRequested: _cancel_requested,
    f.RetryScheduled: _retry_scheduled,
    f.Snoozed: _snoozed,
    f.Interrupted: _interrupted,
    f.Released: _released,
    f.Parked: _parked,
    f.Unparked: _unparked,
    f.Succeeded: _succeeded,
    f.Failed: _ended_badly,
    f.DeadLettered: _ended_badly,
    f.Cancelled: _ended_badly,
    f.Requeued: _requeued,
    f.Removed: _gone,
    f.Dropped: _gone,
}
