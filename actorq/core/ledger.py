"""Durable memory: the jobs, and where each of them stands. It is the fold of the facts.

:meth:`Ledger.apply` is its only writer, live and in recovery alike; so recovery is right if running is
right. It decides nothing: the table in ``lifecycle`` says where a fact leads, the functions below what it
leaves behind in the job.

Each job is in exactly one *place*, derived from its state: the ready, the delay heap, the parked, the blocked,
the paused, the running, the finished. How many there are of a state is the length of its place, so no counter
can drift.

Costs: submit, start, end O(log n); everything else O(1); nothing here looks at all jobs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Final, TypeVar

from actorq.config import ATTEMPT_HISTORY, JOB_LOG_LIMIT
from actorq.core import facts as f
from actorq.core.heap import Heap
from actorq.core.index import Index
from actorq.core.job import DONE, FINAL, NO_PROGRESS, Attempt, Failure, HoldReason, Job, JobState, Progress
from actorq.core.lifecycle import next_state
from actorq.core.picture import Pages, Picture, Totals
from actorq.core.ready import Ready
from actorq.errors import InternalError

__all__ = ["QUEUE", "Key", "Ledger"]

QUEUE: Final = ""
"""The scope of a pause that is the whole queue's; all others are names of groups."""

Key = tuple[str, str]
"""A task, and a key that is unique within it."""

S = TypeVar("S")


class Ledger:
    """All that must outlive the process."""

    def __init__(self, totals: Totals | None = None, jobs: Iterable[Job] = ()) -> None:
        """Begin empty, or where a picture left off: ``jobs`` in the order of their ``seq``."""
        totals = totals or Totals()
        self.n: int = totals.n
        """The number of the last fact."""
        self.now = totals.now
        """The time of the last fact."""
        self.seq = totals.seq
        """The sequence number of the last job that was accepted."""
        self.removed = totals.removed
        """How many jobs are gone; those accepted are ``seq``."""
        self.jobs: dict[str, Job] = {}
        self.ready = Ready()
        self.delayed: Heap[str] = Heap()
        self.limits: Heap[str] = Heap()
        """``expires`` and ``deadline`` of jobs that wait; the roster watches over those that run."""
        self.parked: dict[str, dict[str, Job]] = {}
        """By task."""
        self.blocked: dict[Key, dict[str, dict[str, Job]]] = {}
        """By group, those of none under the empty name."""
        self.paused: dict[str, Job] = {}
        self.running: dict[str, Job] = {}
        self.running_keys: dict[Key, Job] = {}
        """At most one job of a key runs at a time."""
        self.queued_keys: dict[tuple[str, str, str], dict[str, Job]] = {}
        """By task, key and group."""
        self.running_groups: dict[str, dict[str, Job]] = {}
        self.finished: dict[JobState, OrderedDict[str, Job]] = {state: OrderedDict() for state in FINAL}
        """In the order of their end. (A plain dict from whose front is taken slows down with every take.)"""
        self.keys: dict[Key, dict[str, Job]] = {}
        """All jobs of a key, in the order of their acceptance."""
        self.pauses: dict[str, float] = dict(totals.pauses)
        """Until when no job of a group starts, or of the queue (:data:`QUEUE`); infinity: until it is resumed."""
        self.pause_ends: Heap[str] = Heap()
        for scope, until in self.pauses.items():
            self.pause_ends.push(until, scope)
        self.index = Index()
        """The jobs by what can be asked for."""
        self._pages = Pages()
        self._picture: Picture | None = None
        for job in jobs:
            self._add(job)
        for state in FINAL:
            ended = sorted(self.finished[state].values(), key=lambda job: (job.ended_at, job.seq))
            self.finished[state] = OrderedDict((job.id, job) for job in ended)

    def apply(self, fact: f.Fact) -> Job | None:
        """Let the fact change the ledger, and return the job it speaks of, if it does (even if it is gone now).

        Raises:
            InternalError: the fact is not the next one, or cannot happen; nothing was changed.
        """
        if fact.n != self.n + 1 or fact.at < self.now:
            raise InternalError(f"fact {fact.n} at {fact.at} cannot follow fact {self.n} at {self.now}")
        job = self._apply_to_queue(fact) if isinstance(fact, f.QueueFact) else self._apply_to_job(fact)
        self.n = fact.n
        self.now = fact.at
        return job

    def _apply_to_job(self, fact: f.Fact) -> Job:
        job = self.jobs.get(fact.job_id)
        before = None if job is None else job.state
        after = next_state(before, fact)
        if job is None:
            return self._accept(fact, after)
        if type(fact) is f.Blocked and job.key is None:
            raise InternalError(f"job {job.id} has no key, and cannot be blocked by one")
        if self._picture is not None:
            self._picture.keep(job)
        self._change(job, fact, after)
        return job

    def _apply_to_queue(self, fact: f.QueueFact) -> Job | None:
        match fact:
            case f.QueuePaused(until=until):
                self._pause(QUEUE, until)
            case f.GroupPaused(group=group, until=until):
                self._pause(group, until)
            case f.QueueResumed():
                self._resume(QUEUE)
            case f.GroupResumed(group=group):
                self._resume(group)
            case f.LoopBlocked():
                pass
            case _:
                raise InternalError(f"{type(fact).__name__} cannot happen to a queue")
        return self.jobs.get(fact.job_id)

    def picture(self) -> Picture:
        """Begin to take a picture of the ledger as it is now; one at a time.

        Raises:
            InternalError: another is being taken.
        """
        if self._picture is not None:
            raise InternalError("two pictures of one ledger at a time")
        totals = Totals(self.n, self.now, self.seq, self.removed, tuple(self.pauses.items()))
        self._picture = Picture(totals, self._pages, self._put_away)
        return self._picture

    # -- what is asked of it ---------------------------------------------------------------------

    @property
    def live(self) -> int:
        """How many jobs have not ended."""
        return len(self.jobs) - sum(map(len, self.finished.values()))

    @property
    def parked_count(self) -> int:
        """How many jobs wait for code that fits them, or for somebody who lets their task go on."""
        return sum(map(len, self.parked.values()))

    @property
    def blocked_count(self) -> int:
        """How many jobs wait for the end of another one of their key."""
        return sum(len(jobs) for groups in self.blocked.values() for jobs in groups.values())

    def free_of(self, key: Key) -> list[str]:
        """Return the jobs that nothing of their key hinders any more: the first that is blocked of each group.

        None while one runs; and none of a group of which one is queued, and will go first. One of another group may
        be a long way from running: nobody waits for that.
        """
        if key in self.running_keys:
            return []
        groups = self.blocked.get(key, {})
        return [next(iter(jobs)) for group, jobs in groups.items() if (*key, group) not in self.queued_keys]

    def holder(self, task: str, key: str) -> Job | None:
        """Return the newest job of the task with this key."""
        jobs = self.keys.get((task, key))
        return next(reversed(jobs.values())) if jobs else None

    def job_of(self, seq: int) -> Job | None:
        """Return the job with this sequence number."""
        return self._pages.get(seq)

    def count(self) -> dict[JobState, int]:
        """Return how many jobs there are in each state."""
        counts = {state: len(jobs) for state, jobs in self.finished.items()}
        counts[JobState.SCHEDULED] = len(self.delayed) + self.parked_count + self.blocked_count
        counts[JobState.QUEUED] = len(self.ready)
        counts[JobState.PAUSED] = len(self.paused)
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
        job.key, job.retry_of, job.dead_letter_of = fact.key, fact.retry_of, fact.dead_letter_of
        if state is JobState.SCHEDULED:
            job.hold_reason = HoldReason.DELAY
        self.seq = fact.seq
        self._add(job)
        self._link_to_origin(job)
        return job

    def _origin_of(self, job: Job) -> Job | None:
        """Return the job that this one was made of, about to be changed."""
        origin = self.jobs.get(job.retry_of or job.dead_letter_of or "")
        if origin is not None and self._picture is not None:
            self._picture.keep(origin)
        return origin

    def _link_to_origin(self, job: Job) -> None:
        origin = self._origin_of(job)
        if origin is None:
            return
        if job.retry_of is not None:
            origin.retried_by = job.id
        else:
            origin.dead_letter_job_id = job.id

    def _unlink_from_origin(self, job: Job) -> None:
        """Let it never have been; a newer link stands."""
        origin = self._origin_of(job)
        if origin is None:
            return
        if origin.retried_by == job.id:
            origin.retried_by = None
        if origin.dead_letter_job_id == job.id:
            origin.dead_letter_job_id = None

    def _change(self, job: Job, fact: f.Fact, state: JobState | None) -> None:
        moves = state is not job.state or type(fact) is f.Edited
        options = job.options
        if moves:
            self._leave(job)
        _CHANGES[type(fact)](job, fact)
        if job.options is not options:
            self.index.retag(job, options)
        if state is None:
            self._forget(job)
            if type(fact) is f.Dropped:
                self._unlink_from_origin(job)
        elif moves:
            if state is not JobState.SCHEDULED and state is not JobState.PAUSED:
                job.hold_reason = None
            job.state = state
            self._enter(job)

    def _pause(self, scope: str, until: float | None) -> None:
        self.pauses[scope] = inf if until is None else until
        self.pause_ends.push(self.pauses[scope], scope)

    def _resume(self, scope: str) -> None:
        if self.pauses.pop(scope, None) is None:
            raise InternalError("what is not paused cannot be resumed")
        self.pause_ends.remove(scope)
        self.ready.bring_back(scope)

    # -- places ----------------------------------------------------------------------------------

    def _add(self, job: Job) -> None:
        self.jobs[job.id] = job
        self._pages.add(job)
        if job.key is not None:
            self.keys.setdefault((job.task, job.key), {})[job.id] = job
        self.index.add(job)
        self._enter(job)

    def _forget(self, job: Job) -> None:
        del self.jobs[job.id]
        self._pages.remove(job)
        self.index.remove(job)
        if job.key is not None:
            _take_off(self.keys, (job.task, job.key), job)
        self.removed += 1

    def _enter(self, job: Job) -> None:
        self.index.enter(job)
        match job.state:
            case JobState.RUNNING:
                self._enter_running(job)
                return
            case JobState.QUEUED:
                self.ready.push(job)
                if job.key is not None:
                    self.queued_keys.setdefault((job.task, job.key, job.options.group or ""), {})[job.id] = job
            case JobState.SCHEDULED:
                self._enter_scheduled(job)
            case JobState.PAUSED:
                self.paused[job.id] = job
            case _:
                self.finished[job.state][job.id] = job
                return
        limit_at = job.limit_at()
        if limit_at < inf:
            self.limits.push(limit_at, job.seq, job.id)

    def _enter_scheduled(self, job: Job) -> None:
        reason = job.hold_reason
        if reason is None or reason.is_timed:
            self.delayed.push(job.due_at, job.seq, job.id)
        elif reason.is_parked:
            self.parked.setdefault(job.task, {})[job.id] = job
        else:
            groups = self.blocked.setdefault((job.task, job.key or ""), {})
            groups.setdefault(job.options.group or "", {})[job.id] = job

    def _enter_running(self, job: Job) -> None:
        self.running[job.id] = job
        if job.key is not None:
            self.running_keys[job.task, job.key] = job
        if job.options.group is not None:
            self.running_groups.setdefault(job.options.group, {})[job.id] = job

    def _leave(self, job: Job) -> None:
        self.index.leave(job)
        match job.state:
            case JobState.RUNNING:
                self._leave_running(job)
                return
            case JobState.QUEUED:
                self.ready.remove(job)
                if job.key is not None:
                    _take_off(self.queued_keys, (job.task, job.key, job.options.group or ""), job)
            case JobState.SCHEDULED:
                self._leave_scheduled(job)
            case JobState.PAUSED:
                del self.paused[job.id]
            case _:
                del self.finished[job.state][job.id]
                return
        self.limits.remove(job.id)

    def _leave_scheduled(self, job: Job) -> None:
        reason = job.hold_reason
        if reason is None or reason.is_timed:
            self.delayed.remove(job.id)
        elif reason.is_parked:
            _take_off(self.parked, job.task, job)
        else:
            key = job.task, job.key or ""
            _take_off(self.blocked[key], job.options.group or "", job)
            if not self.blocked[key]:
                del self.blocked[key]

    def _leave_running(self, job: Job) -> None:
        del self.running[job.id]
        if job.key is not None:
            self.running_keys.pop((job.task, job.key), None)
        if job.options.group is not None:
            _take_off(self.running_groups, job.options.group, job)
            self.ready.bring_back(job.options.group)

    def _put_away(self) -> None:
        self._picture = None


def _take_off(shelves: dict[S, dict[str, Job]], shelf: S, job: Job) -> None:
    """Take the job off its shelf, and the shelf away if it is empty."""
    jobs = shelves[shelf]
    del jobs[job.id]
    if not jobs:
        del shelves[shelf]


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


def _blocked(job: Job, fact: f.Blocked) -> None:
    del fact
    job.hold_reason = HoldReason.KEY


def _paused(job: Job, fact: f.Paused) -> None:
    del job, fact  # what held it, if anything did, holds it again when it is resumed


def _resumed(job: Job, fact: f.Resumed) -> None:
    _wait_until(job, fact)


def _promoted(job: Job, fact: f.Promoted) -> None:
    job.due_at = fact.at


def _edited(job: Job, fact: f.Edited) -> None:
    _wait_until(job, fact)
    if fact.payload is not None:
        job.payload = fact.payload
    if fact.options is not None:
        job.options = fact.options


def _wait_until(job: Job, fact: f.Placed) -> None:
    """Let the job wait for its time, and for nothing else: what else there was is found out anew."""
    job.due_at = fact.due_at
    held = job.hold_reason
    if held is None or not held.is_timed:
        job.hold_reason = HoldReason.DELAY if fact.due_at > fact.at else None
    if held is not None and held.is_parked:
        job.failure = None


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
    _end_run(job, fact, fact.failure)
    job.attempt -= 1
    job.interruptions += 1
    job.failure = fact.failure or job.failure
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
    if fact.failure.reason.is_interruption:
        job.interruptions += 1
    job.failure = fact.failure
    job.stalled = False
    job.cancel_requested = None
    job.ended_at = fact.at


def _requeued(job: Job, fact: f.Requeued) -> None:
    job.hold_reason = HoldReason.DELAY
    is_filed = bool(job.attempts) and job.attempts[-1].claim == job.claim
    if job.started_at is not None and job.ended_at is not None and not is_filed:
        run = Attempt(job.attempt, job.claim, job.worker, job.started_at, job.ended_at, job.state.value, job.failure)
        job.attempts = (*job.attempts, run)[-ATTEMPT_HISTORY:]
    job.attempt = job.interruptions = job.snoozes = 0
    job.first_started_at = job.started_at = job.ended_at = None
    job.result = job.failure = None
    job.progress = NO_PROGRESS
    job.due_at = job.limits_from = fact.due_at


def _reinstated(job: Job, fact: f.Reinstated) -> None:
    """Undo what its end left behind: what held it is found in its last attempt, and all else was kept."""
    last = job.attempts[-1] if job.attempts else None
    is_retry = last is not None and last.outcome in ("retry_scheduled", "interrupted")
    job.hold_reason = HoldReason.RETRY if is_retry else HoldReason.DELAY
    job.failure = None if last is None else last.failure
    job.due_at = fact.due_at
    job.ended_at = None


def _unchanged(job: Job, fact: f.Deduplicated | f.Unblocked | f.Extended) -> None:
    del job, fact


def _gone(job: Job, fact: f.Removed | f.Dropped) -> None:
    del job, fact  # the ledger lets go of it


_CHANGES: dict[type[f.Fact], Callable[[Job, Any], None]] = {
    f.Deduplicated: _unchanged,
    f.BecameDue: _became_due,
    f.Blocked: _blocked,
    f.Unblocked: _unchanged,
    f.Paused: _paused,
    f.Resumed: _resumed,
    f.Promoted: _promoted,
    f.Edited: _edited,
    f.Started: _started,
    f.Progressed: _progressed,
    f.Extended: _unchanged,
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
    f.Reinstated: _reinstated,
    f.Removed: _gone,
    f.Dropped: _gone,
}
