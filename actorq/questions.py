"""What can be asked of a queue without changing anything: its jobs, its numbers, what happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from math import inf
from typing import Any, Literal, overload

from actorq.actors import search
from actorq.actors.depth import depths, oldest_s
from actorq.actors.feed import Reader
from actorq.actors.listeners import Listeners
from actorq.actors.supervisor import Supervisor
from actorq.config import Durability, whole
from actorq.core.job import JobState
from actorq.errors import InvalidState, JobNotFound
from actorq.event import EventsMissed, JobEvent, check_names
from actorq.explanation import Explanation
from actorq.query import EVERYTHING, Filter, Order, Page
from actorq.record import JobRecord, instant, record_of
from actorq.stack import Stack
from actorq.stats import QueueStats

__all__ = ["Questions"]


class Questions(ABC):
    """The questions of a queue."""

    name: str
    durability: Durability

    @property
    @abstractmethod
    def _supervisor(self) -> Supervisor:
        """Whom to ask, while the queue is open."""

    @property
    @abstractmethod
    def _listeners(self) -> Listeners:
        """The callbacks, also before the queue is opened."""

    @abstractmethod
    def is_live(self, job_id: str) -> bool:
        """Tell whether the job is there and has not ended."""

    # -- about jobs --------------------------------------------------------------------------------------

    async def get(self, job_id: str) -> JobRecord | None:
        """Return a picture of the job as it is now, once that is as durable as was promised; None: it is not known."""
        supervisor = self._supervisor
        job = supervisor.job(job_id)
        record = None if job is None else record_of(job)
        await supervisor.kept(job_id)
        return record

    async def find(
        self, where: Filter = EVERYTHING, *, limit: int = 100, cursor: str | None = None, order: Order = "oldest"
    ) -> Page:
        """Return jobs that a filter means, as they are now, in the order of their acceptance.

        A job that is there throughout stands on one page exactly, whatever comes, goes or changes in between.

        Args:
            where: which jobs; all, if not given.
            limit: how many of them at most.
            cursor: that of the page before, for what comes behind it.
            order: ``"oldest"`` or ``"newest"`` first.

        Raises:
            InvalidOption: a value out of range.
            InvalidCursor: the cursor is not of this filter and order.
        """
        supervisor = self._supervisor
        page = await search.find(supervisor.machine.ledger, where, limit=limit, cursor=cursor, order=order)
        await supervisor.kept()
        return page

    async def count(self, where: Filter = EVERYTHING) -> int:
        """Return how many jobs a filter means.

        Raises:
            InvalidOption: it is no filter.
        """
        supervisor = self._supervisor
        number = await search.count(supervisor.machine.ledger, where)
        await supervisor.kept()
        return number

    def explain(self, job_id: str) -> Explanation:
        """Say why the job is not running: all that stands in its way, who holds what, and about when it will start.

        Raises:
            JobNotFound: it is not known.
        """
        supervisor = self._supervisor
        job = supervisor.job(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return supervisor.explain(job)

    async def stack(self, job_id: str) -> Stack:
        """Say where a running job stands right now: the coroutines that await each other, or the frames of its thread.

        A worker process is asked, and may take a moment to answer. Never tells local variables.

        Raises:
            JobNotFound: it is not known.
            InvalidState: it is not running.
        """
        supervisor = self._supervisor
        job = supervisor.job(job_id)
        if job is None:
            raise JobNotFound(job_id)
        if job.state is not JobState.RUNNING:
            raise InvalidState(job_id, job.state, "tell the stack of")
        return await supervisor.stack(job)

    # -- about the queue ---------------------------------------------------------------------------------

    async def stats(self) -> QueueStats:
        """Return how the queue stands."""
        supervisor = self._supervisor
        by_task, by_group = await depths(supervisor.machine.ledger, "task", "group")
        ledger, roster = supervisor.machine.ledger, supervisor.machine.roster
        snapshots = supervisor.scribe.snapshots.state
        now = supervisor.clock.now()
        first = ledger.ready.peek()
        return QueueStats(
            name=self.name,
            durability=self.durability,
            counts=ledger.count(),
            submitted=ledger.seq,
            removed=ledger.removed,
            parked=ledger.parked_count,
            pauses={scope: None if until == inf else instant(until) for scope, until in ledger.pauses.items()},
            next_queued_s=None if first is None else max(now - ledger.jobs[first].due_at, 0.0),
            workers=roster.target,
            idle_workers=len(roster.idle),
            lent_slots=roster.lent,
            lost_workers=roster.lost_workers,
            abandoned=len(roster.abandoned),
            paused_tasks=dict(roster.paused_tasks),
            late_reports=roster.late_reports,
            loop_lag_s=supervisor.loop_lag_s,
            loop_blocks=supervisor.watchdog.blocks,
            loop_blocked_s=supervisor.watchdog.blocked_s,
            last_fact=ledger.n,
            snapshot_fact=snapshots.fact,
            snapshot_age_s=None if snapshots.at is None else now - snapshots.at,
            unkept=ledger.n - supervisor.scribe.kept,
            unkept_s=supervisor.scribe.behind_s,
            store_error=None if supervisor.hindrance is None else str(supervisor.hindrance),
            snapshot_error=None if snapshots.error is None else str(snapshots.error),
            oldest_s=oldest_s(ledger, now),
            by_task=by_task,
            by_group=by_group,
            last_minute=supervisor.meter.last_minute(now),
            last_hour=supervisor.meter.last_hour(now),
            listener_errors=self._listeners.errors,
        )

    # -- what happens ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(
        self, *names: str, where: Callable[[JobEvent], bool] | None = None, after: int | None = None
    ) -> AsyncGenerator[AsyncIterator[JobEvent | EventsMissed], None]:
        """Watch what happens: ``async with queue.watch("failed") as events: async for event in events: …``.

        Watching never slows the queue: who reads too slowly, or asks for what is too long ago, is told by an
        :class:`EventsMissed` which events are not remembered any more. The events end when the queue is closed.

        Args:
            names: of the events to be told of; none: of all.
            where: and of these only those; it is called for each.
            after: begin behind the event of this number; None: with what happens from now on.

        Raises:
            InvalidOption: there is no event of such a name.
        """
        reader = self._supervisor.feed.reader(_number("after", after), names=check_names(names))
        async with aclosing(_events(reader, where)) as events:
            yield events

    @asynccontextmanager
    async def watch_job(
        self, job_id: str, names: Collection[str], after: int | None
    ) -> AsyncGenerator[AsyncIterator[JobEvent | EventsMissed], None]:
        """Watch what happens to one job, until it ends; see :meth:`JobHandle.watch`."""
        feed = self._supervisor.feed
        until = None if self.is_live(job_id) else feed.last
        reader = feed.reader(_number("after", after), until, names=check_names(names), job_id=job_id)
        async with aclosing(_events(reader)) as events:
            yield events

    @overload
    def on(self, name: Literal["missed"], fn: Callable[[EventsMissed], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: str, fn: Callable[[JobEvent], object]) -> Callable[[], None]: ...
    def on(self, name: str, fn: Callable[[Any], object]) -> Callable[[], None]:
        """Call ``fn(event)`` for each event of this name, one after the other; what it returns is awaited if it can be.

        May be asked before the queue is opened, and holds each time it is. A task of its own calls it, so a slow
        one keeps nobody else waiting; but a plain function keeps the event loop, so let it be short. What it raises
        is told in the log, and counted in ``stats().listener_errors``; the next event comes all the same. Closing
        the queue waits a second until what has happened is heard, and then cancels the call.

        Args:
            name: of the event; ``"*"``: of all. ``"missed"``: ``fn`` gets an :class:`EventsMissed` when a callback
                was so slow that it misses events.
            fn: a function, or an ``async def``.

        Returns:
            What to call to have it called no more; a call that is on comes to its end.

        Raises:
            InvalidOption: there is no event of this name, or there are a hundred callbacks.
        """
        return self._listeners.add(name, fn)


async def _events(
    reader: Reader, where: Callable[[JobEvent], bool] | None = None
) -> AsyncGenerator[JobEvent | EventsMissed, None]:
    while (news := await reader.next()) is not None:
        if isinstance(news, EventsMissed) or where is None or where(news):
            yield news


def _number(option: str, value: int | None) -> int | None:
    return None if value is None else whole(option, value, 0, 2**63)
