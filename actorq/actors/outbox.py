"""What a step leads to waits here until its facts are written as was promised.

What speaks (answers, ends, events) goes out when the step is *kept*: as durable as was promised. A run begins
when the fact that counts it is *written*, that is, when the process may die without its being forgotten, and
the acceptance of its job is kept: nothing runs that was not accepted. Each in the order of the steps. All other
effects concern only the living, begin nothing and speak to nobody outside, and so need not wait.

Without a journal every fact counts as kept at once, and nothing ever waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from copy import copy

from attrs import define

from actorq.actors.mailbox import Letter
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.job import Job
from actorq.core.machine import Step

__all__ = ["Outbox", "Parcel"]


@define(eq=False)
class Parcel:
    """What one step has to say."""

    n: int
    """The last fact that it stands on."""
    step: Step | None
    letters: Sequence[Letter]
    ended: Sequence[Job]
    """As they stood at their end."""


class Outbox:
    """Holds parcels and runs, in the order of the steps."""

    def __init__(self, carry_out: Callable[[e.Effect], None], tell: Callable[[Parcel], None]) -> None:
        """Let ``carry_out`` do effects, and ``tell`` what speaks."""
        self._carry_out = carry_out
        self._tell = tell
        self._to_tell: deque[Parcel] = deque()
        self._to_run: deque[tuple[int, e.Dispatch]] = deque()
        """Until what counts them is written."""
        self._to_accept: deque[tuple[int, e.Dispatch]] = deque()
        """Until the acceptance of their jobs is kept."""
        self._accepted: dict[str, int] = {}
        """By which fact jobs were accepted, until that is kept."""
        self._ended: dict[str, int] = {}
        """By which fact jobs ended, until that is told."""
        self._touched: dict[str, int] = {}
        """The last fact of each job that is not kept."""

    @property
    def parcels(self) -> Sequence[Parcel]:
        """What is still to be told."""
        return self._to_tell

    def last_of(self, job_id: str) -> int:
        """Return the last fact of the job that is not kept; 0: all are."""
        return self._touched.get(job_id, 0)

    def hides_end_of(self, job_id: str) -> bool:
        """Tell whether the job has ended, and nobody has been told."""
        return job_id in self._ended

    def put(self, n: int, step: Step, letters: Sequence[Letter], written: int, kept: int) -> None:
        """Take what a step leads to, and let out what may leave."""
        if kept >= n and not self._to_tell:
            for effect in step.effects:
                self._carry_out(effect)
            self._tell(Parcel(n, step, letters, step.ended))
            return
        # What has ended may be rerun, or be gone, before it is told.
        self._to_tell.append(Parcel(n, step, letters, [copy(job) for job in step.ended]))
        for fact in step.facts:
            if fact.job_id:
                self._touched[fact.job_id] = n
            if isinstance(fact, f.Submitted | f.Requeued):
                self._accepted[fact.job_id] = n
        for job in step.ended:
            self._ended[job.id] = n
        for effect in step.effects:
            if isinstance(effect, e.Dispatch):
                self._to_run.append((n, effect))
            else:
                self._carry_out(effect)
        self.release(written, kept)

    def put_letter(self, n: int, letter: Letter) -> None:
        """Answer the letter when all facts up to ``n`` are kept."""
        self._to_tell.append(Parcel(n, None, (letter,), ()))

    def release(self, written: int, kept: int) -> None:
        """Let out what may leave, now that so much is written, and so much kept."""
        while self._to_tell and self._to_tell[0].n <= kept:
            parcel = self._to_tell.popleft()
            self._forget(parcel)
            self._tell(parcel)
        while self._to_accept and self._to_accept[0][0] <= kept:
            self._carry_out(self._to_accept.popleft()[1])
        while self._to_run and self._to_run[0][0] <= written:
            dispatch = self._to_run.popleft()[1]
            accepted = self._accepted.get(dispatch.job_id, 0)
            if accepted <= kept:
                self._carry_out(dispatch)
            else:
                self._to_accept.append((accepted, dispatch))

    def unsay_ends(self, job_ids: Collection[str]) -> None:
        """Tell nobody of these ends: they are taken back."""
        for parcel in self._to_tell:
            parcel.ended = [job for job in parcel.ended if job.id not in job_ids]
        for job_id in job_ids:
            self._ended.pop(job_id, None)

    def holds_run(self, job_id: str) -> bool:
        """Tell whether a run of the job is still to begin."""
        return any(run.job_id == job_id for held in (self._to_accept, self._to_run) for _, run in held)

    def take_run(self, job_id: str, claim: int) -> e.Dispatch | None:
        """Return a run that is held, and hold it no more: it is over before it has begun."""
        for held in (self._to_accept, self._to_run):
            for entry in held:
                if (entry[1].job_id, entry[1].claim) == (job_id, claim):
                    held.remove(entry)
                    return entry[1]
        return None

    def drain(self) -> tuple[list[e.Dispatch], list[Parcel]]:
        """Return all that is held, and hold it no more: nothing will be written any more. What is hidden stays so."""
        runs = [run for _, run in (*self._to_accept, *self._to_run)]
        parcels = list(self._to_tell)
        for held in (self._to_accept, self._to_run, self._to_tell, self._accepted, self._touched):
            held.clear()
        return runs, parcels

    def _forget(self, parcel: Parcel) -> None:
        """Hide no longer what is told now; what has happened to the same job since stays hidden."""
        for job in parcel.ended:
            if self._ended.get(job.id) == parcel.n:
                del self._ended[job.id]
        for fact in parcel.step.facts if parcel.step is not None else ():
            if self._accepted.get(fact.job_id) == parcel.n:
                del self._accepted[fact.job_id]
            if self._touched.get(fact.job_id) == parcel.n:
                del self._touched[fact.job_id]
