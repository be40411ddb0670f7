"""What can be asked of jobs: one by its id, or all that match a filter.

Each verb is decided by the machine, job by job; one that does not fit the state of a job is refused with an
error that names both, and changes nothing. With a filter, a verb goes through the jobs that match at the
beginning, so many in a turn of the queue, and says in the end how many it touched and which refused, and why.
``dry_run=True`` asks the machine the same questions and changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Unpack, overload

from attrs import define, field, frozen

from actorq.actors.context import running_attempt
from actorq.actors.search import matching_ids
from actorq.actors.supervisor import Supervisor
from actorq.config import (
    BULK_CHUNK,
    BULK_REFUSED,
    LONGEST_S,
    WORKERS_LIMIT,
    Seconds,
    duration,
    name,
    number,
    text,
    whole,
)
from actorq.core import commands as c
from actorq.errors import ActorqError, InvalidOption, InvalidState, JobLost, JobNotFound, QueueClosed, UnknownTask
from actorq.function import Function
from actorq.handle import JobHandle
from actorq.query import Filter
from actorq.task import EditOptions, Named, checked, job_options, placement, to_instant

__all__ = ["Control", "Outcome"]


@frozen
class Outcome:
    """What a verb over a filter has done, or with ``dry_run=True`` would have."""

    touched: int
    """Jobs of which it was done."""
    refused: Mapping[str, ActorqError]
    """Why not, by job; bounded: the first ones."""
    refusals: int
    """Jobs of which it was not."""
    dry_run: bool

    @property
    def matched(self) -> int:
        """Jobs that the filter matched, and that were still there."""
        return self.touched + self.refusals


@define
class _Tally:
    touched: int = 0
    refusals: int = 0
    refused: dict[str, ActorqError] = field(factory=dict[str, ActorqError])

    def note(self, job_id: str, answer: object) -> None:
        if not isinstance(answer, ActorqError):
            self.touched += 1
            return
        if isinstance(answer, JobNotFound):
            return  # it has gone meanwhile
        self.refusals += 1
        if len(self.refused) < BULK_REFUSED:
            self.refused[job_id] = answer

    def outcome(self, *, dry_run: bool) -> Outcome:
        return Outcome(self.touched, self.refused, self.refusals, dry_run)


class Control(ABC):
    """The verbs of a queue."""

    name: str

    @property
    @abstractmethod
    def _supervisor(self) -> Supervisor:
        """Whom to ask, while the queue is open."""

    @abstractmethod
    def handle(self, job_id: str) -> JobHandle[Any]:
        """Return a handle of the job."""

    @abstractmethod
    def function_of(self, task: str) -> Function | None:
        """Return the function of the task, if there is one."""

    # -- of jobs ---------------------------------------------------------------------------------------

    @overload
    async def cancel(self, which: str, /, reason: str = "", *, dry_run: bool = False) -> bool: ...
    @overload
    async def cancel(self, which: Filter, /, reason: str = "", *, dry_run: bool = False) -> Outcome: ...
    async def cancel(self, which: str | Filter, /, reason: str = "", *, dry_run: bool = False) -> bool | Outcome:
        """Ask for the end of a job; False if it has ended already. Or of all that match.

        A job that waits is cancelled at once. One that runs is asked to stop, and abandoned after its grace.

        Raises:
            JobNotFound: it is not known.
        """
        message = text("reason", reason)
        answer = await self._ask(which, lambda job_id, _: c.Cancel(job_id, message), dry_run=dry_run)
        return answer if isinstance(answer, Outcome) else bool(answer)

    @overload
    async def pause(self, which: str, /, *, dry_run: bool = False) -> None: ...
    @overload
    async def pause(self, which: Filter, /, *, dry_run: bool = False) -> Outcome: ...
    async def pause(self, which: str | Filter, /, *, dry_run: bool = False) -> Outcome | None:
        """Hold a job that waits, or all that match, until they are resumed; also over a restart.

        Time limits go on: ``expires`` and ``deadline`` end a paused job, too.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it is neither scheduled nor queued.
        """
        return _outcome(await self._ask(which, lambda job_id, _: c.Pause(job_id), dry_run=dry_run))

    @overload
    async def resume(self, which: str, /, *, dry_run: bool = False) -> None: ...
    @overload
    async def resume(self, which: Filter, /, *, dry_run: bool = False) -> Outcome: ...
    async def resume(self, which: str | Filter, /, *, dry_run: bool = False) -> Outcome | None:
        """Let go of a job that was paused, or of all that match; they are where they would be, with all they had.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it is not paused.
        """
        return _outcome(await self._ask(which, lambda job_id, _: c.Resume(job_id), dry_run=dry_run))

    @overload
    async def promote(self, which: str, /, *, dry_run: bool = False) -> None: ...
    @overload
    async def promote(self, which: Filter, /, *, dry_run: bool = False) -> Outcome: ...
    async def promote(self, which: str | Filter, /, *, dry_run: bool = False) -> Outcome | None:
        """Let a job that waits for its time (a delay, or a retry) run now; or all that match.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it does not wait for its time.
        """
        return _outcome(await self._ask(which, lambda job_id, _: c.Promote(job_id), dry_run=dry_run))

    @overload
    async def rerun(
        self, which: str, /, *, delay: Seconds = 0.0, clone: bool = False, dry_run: bool = False
    ) -> JobHandle[Any]: ...
    @overload
    async def rerun(
        self,
        which: Filter,
        /,
        *,
        delay: Seconds = 0.0,
        clone: bool = False,
        per_second: float | None = None,
        dry_run: bool = False,
    ) -> Outcome: ...
    async def rerun(
        self,
        which: str | Filter,
        /,
        *,
        delay: Seconds = 0.0,
        clone: bool = False,
        per_second: float | None = None,
        dry_run: bool = False,
    ) -> JobHandle[Any] | Outcome:
        """Queue a job that has ended again, attempts fresh; or all that match.

        Args:
            which: the job, or which jobs.
            delay: seconds until it may run.
            clone: leave it as it is, and submit a new one like it, linked by ``retry_of`` and ``retried_by``.
            per_second: at most so many of them become due in a second. The delays are stored with the jobs: the
                rate holds over a restart.
            dry_run: change nothing.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it has not ended; or its function was not kept.
            QueueFull: there is no room.
        """
        first, rate = duration("delay", delay), number("per_second", per_second)
        if rate is not None and not rate > 0.0:
            raise InvalidOption("per_second", rate, "must be more than zero")
        if rate is not None and isinstance(which, str):
            raise InvalidOption("per_second", rate, "is for a filter; one job has a delay=")
        if not dry_run:
            self._supervisor.door.refuse_to_pass(1)

        def command(job_id: str, n: int) -> c.Rerun:
            wait = first if rate is None else min(first + n / rate, LONGEST_S)
            return c.Rerun(job_id, wait, self.next_id() if clone else None)

        answer = await self._ask(which, command, dry_run=dry_run)
        if isinstance(answer, Outcome):
            return answer
        return self.handle(str(which) if dry_run else answer)  # no clone was made

    @overload
    async def edit(
        self,
        which: str,
        /,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        dry_run: bool = False,
        **options: Unpack[EditOptions],
    ) -> None: ...
    @overload
    async def edit(self, which: Filter, /, *, dry_run: bool = False, **options: Unpack[EditOptions]) -> Outcome: ...
    async def edit(
        self,
        which: str | Filter,
        /,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        dry_run: bool = False,
        **options: Unpack[EditOptions],
    ) -> Outcome | None:
        """Change a job that does not run and has not ended, or all that match.

        Args:
            which: the job, or which jobs.
            args: with ``kwargs`` its new arguments; both are replaced.
            kwargs: see ``args``.
            dry_run: change nothing.
            options: those that change; with ``delay`` or ``run_at`` also when it may run.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it runs, or has ended.
            InvalidOption: a value out of range.
            PayloadError, TypeError: the arguments cannot be stored, or do not fit the function.
            UnknownTask: its task is not declared, so nobody can tell whether the arguments fit.
        """
        known = checked(options, EditOptions)
        delay, run_at = placement(known)
        stored = job_options(known)
        changes = {option: getattr(stored, option) for option in known if option not in ("delay", "run_at")}
        payload = None
        if args is not None or kwargs is not None:
            if not isinstance(which, str):
                raise TypeError("args and kwargs are for one job; a filter takes options only")
            payload = self._encode(which, args or (), kwargs or {})
        return _outcome(
            await self._ask(which, lambda job_id, _: c.Edit(job_id, payload, changes, delay, run_at), dry_run=dry_run)
        )

    @overload
    async def remove(self, which: str, /, *, force: bool = False, dry_run: bool = False) -> None: ...
    @overload
    async def remove(self, which: Filter, /, *, force: bool = False, dry_run: bool = False) -> Outcome: ...
    async def remove(self, which: str | Filter, /, *, force: bool = False, dry_run: bool = False) -> Outcome | None:
        """Forget a job that has ended, or all that match.

        Args:
            which: the job, or which jobs.
            force: those that have not ended are cancelled first, and waited for.
            dry_run: change nothing.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it has not ended, and ``force`` is not given; or it is the job that asks.
        """
        if force and dry_run:
            return _outcome(await self._ask(which, lambda job_id, _: c.Cancel(job_id), dry_run=True, minds_ended=False))
        was_there = isinstance(which, str) and self._supervisor.job(which) is not None
        first = self._end if force else None
        try:
            return _outcome(await self._ask(which, lambda job_id, _: c.Remove(job_id), dry_run=dry_run, first=first))
        except JobNotFound:
            if force and was_there:  # retention was faster
                return None
            raise

    # -- of the queue, and of groups --------------------------------------------------------------------

    async def pause_queue(self, *, until: datetime | float | None = None, stop: bool = False) -> bool:
        """Start no more jobs, also after a restart; submitting goes on. False: it was paused already.

        Args:
            until: go on by itself at this time.
            stop: take back what runs, too: it is cancelled (reason ``paused``), and runs again when the queue is
                resumed, no attempt used. Without, it comes to its end; :meth:`drain` waits for that.

        Raises:
            InvalidOption: a time without a time zone.
        """
        return bool(await self._supervisor.ask(c.PauseAll("", self._future(until), stop)))

    async def resume_queue(self) -> bool:
        """Start jobs again. False: it was not paused."""
        return bool(await self._supervisor.ask(c.ResumeAll()))

    async def pause_group(self, group: str, *, until: datetime | float | None = None, stop: bool = False) -> bool:
        """Start no more jobs of the group; see :meth:`pause_queue`."""
        return bool(await self._supervisor.ask(c.PauseAll(name("group", group), self._future(until), stop)))

    async def resume_group(self, group: str) -> bool:
        """Start jobs of the group again. False: it was not paused."""
        return bool(await self._supervisor.ask(c.ResumeAll(name("group", group))))

    async def resume_task(self, task: str | Named) -> bool:
        """Let jobs of the task start again, which was paused because too many workers died under them.

        What has died so far is forgotten: it is paused again if as many die anew. False: it was not paused.
        """
        return bool(await self._supervisor.ask(c.ResumeTask(name("task", getattr(task, "name", task)))))

    async def drain(self) -> None:
        """Wait until no job runs. While the queue is not paused, others may have begun by then.

        Raises:
            QueueClosed, InternalError, WorkersKeepDying: the queue ended first.
            InvalidState: a job of this queue asks for it, and would wait for itself.
        """
        running = self._supervisor.machine.ledger.running
        await self._until(lambda: not running, "drain the queue from")

    async def set_workers(self, workers: int) -> None:
        """Change how many jobs run at a time; those that are too many finish what they run.

        Raises:
            InvalidOption: not a whole number from 1.
        """
        supervisor = self._supervisor
        if supervisor.machine.roster.is_draining:
            raise QueueClosed(self.name, "closing")
        await supervisor.ask(c.SetWorkers(whole("workers", workers, 1, WORKERS_LIMIT)))

    async def join(self) -> None:
        """Wait until every job has ended, but for those that are parked or paused.

        Raises:
            QueueClosed, InternalError, WorkersKeepDying: the queue ended first.
            InvalidState: a job of this queue asks for it, and would wait for itself.
        """
        ledger = self._supervisor.machine.ledger
        await self._until(lambda: ledger.live == ledger.parked_count + len(ledger.paused), "join the queue from")

    async def snapshot(self) -> None:
        """Make a snapshot now, and return when all that has happened until now is in it.

        With a journal that only makes the next start faster; without one, it makes safe what is in it.

        Raises:
            StoreError: it could not be written.
            QueueClosed: the queue was closed meanwhile.
        """
        supervisor = self._supervisor
        if supervisor.trouble is not None:
            raise supervisor.trouble
        await supervisor.scribe.snapshots.snapshot(supervisor.machine.ledger, supervisor.clock.now)

    # -- how --------------------------------------------------------------------------------------------

    async def _until(self, is_so: Callable[[], bool], verb: str) -> None:
        """Wait until something is so, and that is kept; or there is trouble, and raise it."""
        self._refuse_in_a_job(verb)
        supervisor = self._supervisor
        await supervisor.until(lambda: supervisor.trouble is not None or is_so())
        await supervisor.kept()

    @abstractmethod
    def next_id(self) -> str:
        """Return an id that no job has."""

    @abstractmethod
    def _refuse_in_a_job(self, verb: str) -> None:
        """Raise InvalidState if a job of this queue asks."""

    async def _ask(
        self,
        which: str | Filter,
        command: Callable[[str, int], c.Command],
        *,
        dry_run: bool,
        minds_ended: bool = True,
        first: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    ) -> Any:
        """Ask the command of one job, or of all that match; the n-th of them gets its number.

        ``minds_ended``: whether it is a refusal that there was nothing more to cancel. ``first``: what is done with
        some of them before they are asked.
        """
        supervisor = self._supervisor
        if not isinstance(which, str | Filter):  # pyright: ignore[reportUnnecessaryIsInstance] - not all have type checkers
            raise InvalidOption("which", which, "wants the id of a job (handle.id), or a Filter")
        if isinstance(which, str):
            if first is not None:
                await first([which])
            if not dry_run:
                return await supervisor.ask(command(which, 0))
            answer = supervisor.weigh(command(which, 0))
            if isinstance(answer, ActorqError):
                raise answer
            return answer
        tally = _Tally()
        n = 0
        async for ids in matching_ids(supervisor.machine.ledger, which, BULK_CHUNK):
            commands = [command(job_id, n + i) for i, job_id in enumerate(ids)]
            n += len(ids)
            if first is not None:
                await first(ids)
            answers = list(map(supervisor.weigh, commands)) if dry_run else await supervisor.ask_all(commands)
            for job_id, answer in zip(ids, answers, strict=True):
                job = supervisor.job(job_id)
                has_ended = minds_ended and answer is False
                tally.note(job_id, InvalidState(job_id, job.state.value, "cancel") if has_ended and job else answer)
        return tally.outcome(dry_run=dry_run)

    async def _end(self, ids: Sequence[str]) -> None:
        """Cancel what has not ended, and wait for its end; not the job that asks, which would wait for itself."""
        attempt = running_attempt.get()
        asking = None if attempt is None or attempt.queue is not self or attempt.is_over else attempt.job_id
        others = [job_id for job_id in ids if job_id != asking]
        asked = await self._supervisor.ask_all([c.Cancel(job_id, "removed") for job_id in others])
        for job_id, is_cancelled in zip(others, asked, strict=True):
            if is_cancelled is True:
                with suppress(JobLost):  # it has gone meanwhile
                    await self.handle(job_id).wait()

    def _future(self, until: datetime | float | None) -> float | None:
        at = to_instant(until, "until")
        if at is not None and at <= self._supervisor.clock.now():
            raise InvalidOption("until", until, "lies in the past; it is a time of day, and not how long")
        return at

    def _encode(self, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        job = self._supervisor.job(job_id)
        if job is None:
            raise JobNotFound(job_id)
        function = self.function_of(job.task)
        if function is None:
            raise UnknownTask(job.task)
        return function.encode(tuple(args), dict(kwargs))


def _outcome(answer: object) -> Outcome | None:
    """Return what a verb that answers nothing about one job answers about many."""
    return answer if isinstance(answer, Outcome) else None
