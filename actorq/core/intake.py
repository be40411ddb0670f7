"""What becomes of the jobs that are submitted: accepted, or stood for by another that has their key.

A key names the work among the jobs of one task. Of all jobs that have a key, the newest *holds* it, for as long
as it is retained. What happens when it is asked for again is for the newcomer to say (``on_conflict``):

- ``return_existing``: the holder stands for the newcomer.
- ``strict_body``: so it does, if the arguments are the same; else the newcomer is refused.
- ``reject``: the newcomer is refused.
- ``replace``: the newcomer takes the place of whatever waits under the key; while the holder runs, it is refused.
- ``keep_last``: the newcomer takes the place of whatever waits under the key, and waits for the end of one that runs.

There is no lock and no list of keys in use: the holder is found among the jobs, so nothing can be left behind.
"""

from __future__ import annotations

from typing import NamedTuple

from actorq.core import facts as f
from actorq.core.bitmap import places
from actorq.core.commands import NewJob
from actorq.core.ending import superseded
from actorq.core.index import Query
from actorq.core.job import JobState
from actorq.core.ledger import Key, Ledger
from actorq.errors import DuplicateJob

__all__ = ["Intake"]


_WAITING = tuple(("state", state.value) for state in (JobState.SCHEDULED, JobState.QUEUED, JobState.PAUSED))


class _Holder(NamedTuple):
    id: str
    state: JobState
    payload: bytes
    attempt: int


class Intake:
    """The facts of one submission, gathered job by job."""

    def __init__(self, ledger: Ledger, now: float) -> None:
        self.facts: list[f.Fact] = []
        self.ids: list[str] = []
        """Of the jobs that were asked for, or of those that stand for them."""
        self.growth = 0
        """By how many live jobs the ledger will grow."""
        self._ledger = ledger
        self._now = now
        self._seq = ledger.seq
        self._accepted: set[str] = set()
        self._superseded: set[str] = set()
        self._holders: dict[Key, _Holder] = {}
        """Those of this submission."""

    def take(self, job: NewJob) -> None:
        """Accept the job, or find the one that stands for it.

        Raises:
            DuplicateJob: its key is held, and it does not agree to that.
        """
        if job.id in self._ledger.jobs or job.id in self._accepted:  # asked again: accepted once
            self.ids.append(job.id)
            return
        holder = None if job.key is None else self._holder((job.task, job.key))
        if holder is not None and _stands_for(holder, job):
            self.facts.append(f.Deduplicated(self._now, holder.id))
            self.ids.append(holder.id)
            return
        waiting = self._waiting((job.task, job.key)) if holder is not None and job.key is not None else []
        for older in waiting:
            self._supersede(older, job)
        is_paused = any(older.state is JobState.PAUSED for older in waiting)
        self._accept(job, is_paused=is_paused)

    def _holder(self, key: Key) -> _Holder | None:
        holder = self._holders.get(key)
        if holder is not None:
            return holder
        job = self._ledger.holder(*key)
        return None if job is None else _Holder(job.id, job.state, job.payload, job.attempt)

    def _waiting(self, key: Key) -> list[_Holder]:
        """Return all that wait under the key: the holder, and older ones that were rerun or are to be retried."""
        ledger, mine = self._ledger, self._holders.get(key)
        query = Query((_WAITING, (("task", key[0]),), (("key", key[1]),)))
        seqs = [seq for number, bits in ledger.index.pages(query) for seq in places(number, bits)]
        jobs = [job for seq in seqs if (job := ledger.job_of(seq)) is not None and job.id not in self._superseded]
        found = [_Holder(job.id, job.state, job.payload, job.attempt) for job in jobs]
        return found if mine is None or mine.id in self._superseded else [*found, mine]

    def _supersede(self, holder: _Holder, job: NewJob) -> None:
        self.facts.append(superseded(holder.id, holder.attempt, job.id, self._now))
        self._superseded.add(holder.id)
        self.growth -= 1

    def _accept(self, job: NewJob, *, is_paused: bool) -> None:
        self._seq += 1
        due_at = self._now + job.delay if job.run_at is None else job.run_at
        submitted = f.Submitted(
            self._now, job.id, due_at, self._seq, job.task, job.payload, job.options, job.ephemeral, job.key
        )
        self.facts.append(submitted)
        self.ids.append(job.id)
        self.growth += 1
        self._accepted.add(job.id)
        if is_paused:  # it was held by hand, and nobody has let go of it
            self.facts.append(f.Paused(self._now, job.id))
        if job.key is not None:
            state = JobState.PAUSED if is_paused else JobState.QUEUED
            self._holders[job.task, job.key] = _Holder(job.id, state, job.payload, 0)


def _stands_for(holder: _Holder, job: NewJob) -> bool:
    """Tell whether the newcomer agrees that the holder stands for it.

    Raises:
        DuplicateJob: it does not, and wants no place of its own either.
    """
    policy = job.on_conflict
    if policy == "return_existing" or (policy == "strict_body" and holder.payload == job.payload):
        return True
    if policy == "keep_last" or (policy == "replace" and holder.state is not JobState.RUNNING):
        return False
    raise DuplicateJob(job.task, job.key or "", holder.id, _WHY[policy])


_WHY = {
    "reject": "on_conflict='reject' takes no second one while the first is retained",
    "replace": "it is running, and on_conflict='replace' replaces only what waits",
    "strict_body": "on_conflict='strict_body' wants the same arguments, and these are others",
}
