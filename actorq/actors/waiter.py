"""Those who wait for the end of jobs.

A waiter always hears the end: of the job, or of the queue. And one who gives up leaves no trace.
"""

from __future__ import annotations

from collections import deque
from copy import copy

import anyio
from attrs import define

from actorq.core.job import Job
from actorq.errors import ActorqError

__all__ = ["Ended", "Waiter", "Waiters"]


@define
class Ended:
    """How waiting for a job ended: with the job as it then stood, or with why nobody will know."""

    job_id: str
    job: Job | None = None
    """None: not known any more."""
    cause: BaseException | None = None
    """The exception behind a failure, where it happened in this process."""
    error: ActorqError | None = None


class Waiter:
    """One who waits, for one job or for several."""

    __slots__ = ("_event", "_heard")

    def __init__(self) -> None:
        self._heard: deque[Ended] = deque()
        self._event: anyio.Event | None = None

    def hear(self, ended: Ended) -> None:
        """Be told of an end."""
        self._heard.append(ended)
        if self._event is not None:
            self._event.set()

    async def next(self) -> Ended:
        """Return the next end."""
        while not self._heard:
            self._event = anyio.Event()
            await self._event.wait()
        return self._heard.popleft()


class Waiters:
    """Who waits for what."""

    def __init__(self) -> None:
        self._by_job: dict[str, list[Waiter]] = {}

    def attach(self, job_id: str, waiter: Waiter) -> None:
        """Tell this waiter of the job's end."""
        self._by_job.setdefault(job_id, []).append(waiter)

    def detach(self, job_id: str, waiter: Waiter) -> None:
        """Tell it no more, if it has not been told already."""
        waiters = self._by_job.get(job_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._by_job[job_id]

    def tell(self, job: Job, cause: BaseException | None) -> None:
        """Tell those who wait for this job that it has ended."""
        waiters = self._by_job.pop(job.id, ())
        if waiters:
            ended = Ended(job.id, copy(job), cause)  # it may be rerun before they wake
            for waiter in waiters:
                waiter.hear(ended)

    def disappoint(self, job_id: str, error: ActorqError) -> None:
        """Tell those who wait for this job why nothing will come."""
        for waiter in self._by_job.pop(job_id, ()):
            waiter.hear(Ended(job_id, error=error))

    def dismiss(self, error: ActorqError) -> None:
        """Tell everybody that nothing more will come."""
        for job_id in list(self._by_job):
            self.disappoint(job_id, error)
