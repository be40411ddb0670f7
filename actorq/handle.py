"""What the submitter holds: one job, and the ways to wait for it.

Dropping a handle never drops the job, and a waiter who gives up never hurts it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, Protocol, Self, TypeVar, cast, overload

import anyio
from attrs import field, frozen

from actorq.actors.context import JobContext, running_attempt
from actorq.actors.waiter import Ended, Waiter
from actorq.config import LENT_LIMIT, duration
from actorq.core import commands as c
from actorq.core.job import Job, JobState, Reason
from actorq.errors import ActorqError, InvalidState, JobCancelled, JobFailed, JobLost, QueueFull
from actorq.event import EventsMissed, JobEvent
from actorq.function import Function, Misfit, plain
from actorq.record import JobRecord

__all__ = ["JobHandle", "as_completed", "gather"]

R = TypeVar("R")
R1 = TypeVar("R1")
R2 = TypeVar("R2")
R3 = TypeVar("R3")
R4 = TypeVar("R4")
R_co = TypeVar("R_co", covariant=True)


class Desk(Protocol):
    """What a handle needs of the queue."""

    def tell(self, command: c.Command) -> Any:
        """Post a command."""
        ...

    def attach(self, waiter: Waiter, job_id: str) -> None:
        """Let the waiter hear the end of the job."""
        ...

    def detach(self, waiter: Waiter, job_id: str) -> None:
        """Let it hear no more."""
        ...

    def function_of(self, task: str) -> Function | None:
        """Return the function of the task, if there is one."""
        ...

    def is_live(self, job_id: str) -> bool:
        """Tell whether the job is there and has not ended."""
        ...

    async def get(self, job_id: str) -> JobRecord | None:
        """Return the job's record."""
        ...

    async def cancel(self, which: str, /, reason: str = "") -> bool:
        """Cancel the job."""
        ...

    def watch_job(
        self, job_id: str, names: Collection[str], after: int | None
    ) -> AbstractAsyncContextManager[AsyncIterator[JobEvent | EventsMissed]]:
        """Watch the job's events."""
        ...


@frozen(eq=True)
class JobHandle(Generic[R_co]):
    """A job that was submitted; ``await handle`` is its result."""

    id: str
    desk: Desk = field(repr=False, eq=False)
    """Its queue."""
    _function: Function | None = field(default=None, repr=False, eq=False)
    """Builds the result; None: whatever the queue has under the job's task."""

    def __await__(self) -> Generator[Any, Any, R_co]:
        return self.result().__await__()

    async def result(self, timeout: float | None = None) -> R_co:
        """Wait for the end of the job, and return its result.

        Args:
            timeout: seconds to wait at most; the job goes on.

        Raises:
            JobFailed: it ended without a result; or with one that does not fit the return annotation, ``bad_result``.
            JobCancelled: it was cancelled.
            JobLost: it is not known any more.
            QueueClosed: the queue was closed first; the job goes on when it is opened again.
            TimeoutError: it has not ended in time.
        """
        ended = await self._end(timeout)
        if ended.job is None:
            raise JobLost(self.id)
        return cast(R_co, self._result_of(ended.job, ended.cause))

    async def wait(self, timeout: float | None = None) -> JobState:
        """Wait for the end of the job, and return its state; its own error is not raised.

        Raises:
            JobLost, QueueClosed, TimeoutError: as :meth:`result`.
        """
        ended = await self._end(timeout)
        if ended.job is None:
            raise JobLost(self.id)
        return ended.job.state

    async def record(self) -> JobRecord:
        """Return a picture of the job as it is now.

        Raises:
            JobLost: it is not known any more.
        """
        record = await self.desk.get(self.id)
        if record is None:
            raise JobLost(self.id)
        return record

    async def cancel(self, reason: str = "") -> bool:
        """Ask for the end of the job; False if it has ended already.

        A job that waits is cancelled at once. One that runs is asked to stop, and abandoned after its grace.

        Raises:
            JobNotFound: it is not known any more.
        """
        return await self.desk.cancel(self.id, reason)

    def watch(
        self, *names: str, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[JobEvent | EventsMissed]]:
        """Watch what happens to this job, until it ends; see :meth:`JobQueue.watch`.

        With names, only events of these; it comes to its end with the job all the same.
        """
        return self.desk.watch_job(self.id, names, after)

    def _result_of(self, job: Job, cause: BaseException | None) -> Any:
        if job.state is JobState.SUCCEEDED:
            assert job.result is not None
            function = self._function or self.desk.function_of(job.task)
            try:
                return plain(job.result) if function is None else function.decode_result(job.result)
            except Misfit as misfit:
                raise JobFailed(job.id, job.task, Reason.BAD_RESULT, "Misfit", str(misfit), "", job.attempt) from misfit
        failure = job.failure
        assert failure is not None
        if job.state is JobState.CANCELLED:
            raise JobCancelled(job.id, job.task, failure.reason, failure.message)
        raise JobFailed(
            job.id, job.task, failure.reason, failure.type, failure.message, failure.traceback, job.attempt
        ) from cause

    async def _end(self, timeout: float | None) -> Ended:
        with _Waiting([self]) as waiting:
            if timeout is None:
                ended = await waiting.next()
            else:
                with anyio.fail_after(duration("timeout", timeout)):
                    ended = await waiting.next()
        if ended.error is not None:
            raise ended.error
        return ended


class _Waiting:
    """Waits for the ends of jobs, one after the other.

    If it is a job of the same queue that waits, its slot is lent while it does, or nobody might run what it waits
    for.
    """

    def __init__(self, handles: Sequence[JobHandle[Any]]) -> None:
        self._handles = handles
        self._waiter = Waiter()

    def __enter__(self) -> Self:
        try:
            for handle in self._handles:
                handle.desk.attach(self._waiter, handle.id)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        for handle in self._handles:
            handle.desk.detach(self._waiter, handle.id)

    async def next(self) -> Ended:
        """Return the next end."""
        attempt = running_attempt.get()
        lender = None if attempt is None or attempt.is_over else self._lend(attempt)
        if attempt is None or lender is None:
            return await self._waiter.next()
        try:
            return await self._waiter.next()
        finally:
            attempt.waits -= 1
            if not attempt.waits:
                with suppress(ActorqError):  # the queue has ended: there is no slot to take back
                    lender.tell(c.TakeBack(attempt.job_id, attempt.claim))

    def _lend(self, attempt: JobContext) -> Desk | None:
        """Lend the slot of the attempt if it waits for a live job of its own queue; return that queue."""
        for handle in self._handles:
            desk = handle.desk
            if desk is not attempt.queue or not desk.is_live(handle.id):
                continue
            if handle.id == attempt.job_id:
                raise InvalidState(handle.id, "running, and waits for itself: it would never end", "await")
            if not desk.tell(c.Lend(attempt.job_id, attempt.claim)) and attempt.cancel_reason is None:
                raise QueueFull(1, 0, LENT_LIMIT, advice="So many jobs wait for other jobs: await fewer levels deep.")
            attempt.waits += 1
            return desk
        return None


@overload
async def gather(h1: JobHandle[R1], /) -> tuple[R1]: ...
@overload
async def gather(h1: JobHandle[R1], h2: JobHandle[R2], /) -> tuple[R1, R2]: ...
@overload
async def gather(h1: JobHandle[R1], h2: JobHandle[R2], h3: JobHandle[R3], /) -> tuple[R1, R2, R3]: ...
@overload
async def gather(
    h1: JobHandle[R1], h2: JobHandle[R2], h3: JobHandle[R3], h4: JobHandle[R4], /
) -> tuple[R1, R2, R3, R4]: ...
@overload
async def gather(*handles: JobHandle[R]) -> tuple[R, ...]: ...
async def gather(*handles: JobHandle[Any]) -> tuple[Any, ...]:
    """Wait for all of them, and return their results in their order.

    Raises:
        JobFailed, JobCancelled, JobLost, QueueClosed: of the first in order that ended so; the other jobs go on.
    """
    return tuple([await handle for handle in handles])


async def as_completed(handles: Iterable[JobHandle[R]]) -> AsyncIterator[JobHandle[R]]:
    """Yield the handles in the order in which their jobs end, however they end; those that are lost, too.

    Raises:
        QueueClosed: the queue was closed first.
    """
    by_id = {handle.id: handle for handle in handles}
    with _Waiting(list(by_id.values())) as waiting:
        for _ in by_id:
            ended = await waiting.next()
            if ended.error is not None:
                raise ended.error
            yield by_id[ended.job_id]
