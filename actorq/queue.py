"""What the user holds: the queue."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from contextvars import copy_context
from itertools import count
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

import anyio

from actorq.actors import search
from actorq.actors.clock import Clock, SystemClock
from actorq.actors.context import running_attempt
from actorq.actors.depth import depths, oldest_s
from actorq.actors.feed import Reader
from actorq.actors.house import House, Plan
from actorq.actors.listeners import Listeners
from actorq.actors.scribe import Keeping
from actorq.actors.supervisor import Supervisor
from actorq.actors.waiter import Waiter
from actorq.config import (
    COMPACTION_INTERVAL_S,
    DURABILITIES,
    SNAPSHOT_INTERVAL_S,
    WORKERS_LIMIT,
    Durability,
    OnUnknownTask,
    Recovery,
    RestartBudget,
    Retention,
    Seconds,
    Settings,
    duration,
    name,
    one_of,
    whole,
)
from actorq.control import Control
from actorq.core import commands as c
from actorq.core.job import JobOptions
from actorq.core.retry import Retry
from actorq.errors import (
    ActorqError,
    InvalidOption,
    InvalidState,
    JobNotFound,
    QueueClosed,
    UnknownTask,
    UnstorableTask,
    WrongThread,
)
from actorq.event import EventsMissed, JobEvent, check_names
from actorq.explanation import Explanation
from actorq.function import Function, check_name, name_of
from actorq.handle import JobHandle
from actorq.query import EVERYTHING, Filter, Order, Page
from actorq.record import JobRecord, instant, record_of
from actorq.stats import QueueStats
from actorq.store.files import RESERVED_NAMES, DiskFiles, Files
from actorq.task import CallOptions, ContextDecorator, Decorator, JobRequest, Task, TaskOptions, checked, job_options

__all__ = ["JobQueue"]

P = ParamSpec("P")
R = TypeVar("R")


class JobQueue(Control):
    """Durable background jobs inside an asyncio or trio application.

    Declare tasks with :meth:`task`, open the queue with ``async with``, and submit. It may be entered and left
    in different tasks, and opened again after it was closed. With a directory, and unless ``durability`` says
    otherwise, a job is on the disk when its submission returns, and an end when anybody is told of it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str = "default",
        workers: int = 10,
        files: Files | None = None,
        durability: Durability | None = None,
        sync_interval: Seconds = 1.0,
        snapshot_interval: Seconds | None = None,
        max_pending: int = 100_000,
        drain_timeout: Seconds = 30.0,
        grace: Seconds = 10.0,
        retention: Retention | None = None,
        restarts: RestartBudget | None = None,
        defaults: TaskOptions | None = None,
        on_unknown_task: OnUnknownTask = "park",
        recovery: Recovery = "strict",
        make_clock: Callable[[float], Clock] = SystemClock,
    ) -> None:
        """Describe the queue; nothing is touched until it is opened.

        Args:
            path: a directory; None keeps jobs in memory only.
            name: for logs and errors. A queue with a name of its own keeps its files in the directory of that name
                within ``path``, so that many queues may share one tree.
            workers: how many jobs run at a time.
            files: in place of a path; for tests, see :mod:`actorq.testing`.
            durability: what a job that was accepted, and an end that was told, outlive. ``"fsync"``, the default
                with a path: loss of power. ``"flush"``: the end of the process; what came in the last
                ``sync_interval`` may be lost with the power. ``"snapshot"``: what came after the last snapshot is
                lost with the process. ``"memory"``, the default without a path: nothing.
            sync_interval: for ``"flush"``: how often the disk is synced.
            snapshot_interval: from the first change that the last snapshot does not have to the next snapshot; 30 s
                with ``"snapshot"``, else 600 s, for there they only make the next start faster.
            max_pending: live jobs at a time; ``submit`` waits for room.
            drain_timeout: how long closing waits for running jobs before it cancels them.
            grace: how long closing waits for jobs that are being cancelled; a shorter ``grace`` of a task stands.
            retention: how long jobs that have ended can be asked for.
            restarts: how many workers may be lost before the queue gives up.
            defaults: options of all jobs, unless their group, their task or their call say otherwise.
            on_unknown_task: whether stored jobs of a task that is not declared wait for it, or fail.
            recovery: ``"strict"`` refuses damaged files; ``"salvage"`` keeps what can be read of them, and sets
                them aside.
            make_clock: given the last instant that was stored, returns the clock; for tests.

        Raises:
            InvalidOption: a value out of range.
        """
        self.name = check_name(name)
        self.path = None if path is None else _directory(Path(path), name)
        if path == "":
            raise InvalidOption("path", path, "names no directory; None keeps jobs in memory")
        if path is not None and files is not None:
            raise InvalidOption("files", files, "stand in the place of a path; give one of the two")
        files = DiskFiles(self.path) if self.path is not None else files
        self.durability: Durability = durability or ("memory" if files is None else "fsync")
        if (files is None) != (one_of("durability", self.durability, DURABILITIES) == "memory"):
            raise InvalidOption("durability", self.durability, "'memory' wants no path, and all others one")
        one_of("recovery", recovery, ("strict", "salvage"))
        if snapshot_interval is None:
            snapshot_interval = SNAPSHOT_INTERVAL_S if self.durability == "snapshot" else COMPACTION_INTERVAL_S
        self._plan = Plan(
            Settings(
                name,
                workers,
                max_pending,
                duration("grace", grace),
                retention or Retention(),
                restarts or RestartBudget(),
                on_unknown_task,
            ),
            Keeping(
                files,
                self.durability,
                duration("sync_interval", sync_interval, positive=True),
                duration("snapshot_interval", snapshot_interval, positive=True),
                recovery,
            ),
            duration("drain_timeout", drain_timeout),
            Listeners(name),
            make_clock,
        )
        self._functions: dict[str, Function] = {}
        self._tasks: dict[str, Task[..., Any]] = {}
        self._defaults = _task_options(defaults or {})
        self._groups: dict[str, tuple[int | None, TaskOptions]] = {}
        self.declarations = 0
        """How often options were declared."""
        self._house: House | None = None
        self._is_opening = False
        self._was_open = False
        prefix = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
        self._ids = (f"{prefix}-{n:08x}" for n in count(1))

    def __repr__(self) -> str:
        files = self._plan.keeping.files
        where = "in memory" if files is None else f"at {files.where()}"
        state = "closed" if self._house is None else repr(self._house.supervisor.machine)
        return f"<JobQueue {self.name} {where}: {state}>"

    # -- its life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Recover what was left, and start the workers.

        Raises:
            QueueClosed: it is open already.
            StoreLocked: another queue owns the directory.
            StoreCorrupt, StoreTooNew, StoreError: the directory cannot be used; it is as it was.
        """
        if (self._house is not None and not self._house.is_closed) or self._is_opening:
            raise QueueClosed(self.name, "open already; a queue is opened once at a time")
        self._is_opening = True
        try:
            self._house = await House.open(self._plan, self._functions, self, self._declared())
            self._was_open = True
        finally:
            self._is_opening = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; see :meth:`close`. If the body was cancelled (as by Ctrl-C), in a hurry: without draining."""
        was_cancelled = kind is not None and issubclass(kind, (anyio.get_cancelled_exc_class(), KeyboardInterrupt))
        await self._close(hurry=was_cancelled)

    async def close(self) -> None:
        """Stop intake, drain, cancel what runs, write what is left to write, and give up the directory.

        Closing a queue that is closed does nothing. Who is cancelled while closing only hurries it.

        Raises:
            StoreError: what came last could not be written.
            InternalError, WorkersKeepDying: the queue had stopped by itself.
            InvalidState: a job of this queue asks for it, and would have to end first.
        """
        await self._close(hurry=False)

    async def _close(self, *, hurry: bool) -> None:
        house = self._house
        if house is None:
            return
        self._refuse_in_a_job("close the queue from")
        try:
            await house.close(hurry=hurry)
        finally:
            if house.is_closed and self._house is house:
                self._house = None

    def lifespan(self, app: object) -> AbstractAsyncContextManager[dict[str, JobQueue]]:
        """Open the queue for the life of an ASGI application: ``Starlette(lifespan=queue.lifespan)``.

        The queue is also in the application's state, as ``request.state.queue`` (or under its name).
        """
        del app
        return self._lifespan()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncGenerator[dict[str, JobQueue], None]:
        async with self:
            yield {"queue" if self.name == "default" else self.name: self}

    # -- declaring ---------------------------------------------------------------------------------------

    @overload
    def task(self, fn: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self, fn: None = None, /, *, name: str | None = None, context: Literal[True], **options: Unpack[TaskOptions]
    ) -> ContextDecorator: ...
    @overload
    def task(
        self,
        fn: None = None,
        /,
        *,
        name: str | None = None,
        context: Literal[False] = False,
        **options: Unpack[TaskOptions],
    ) -> Decorator: ...
    def task(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        context: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Declare a function as a task of this queue. The decorated name stays callable as the plain function.

        Args:
            fn: ``async def`` runs on the event loop, ``def`` in a thread.
            name: by which stored jobs find it; its module and name, if not given.
            context: whether its first parameter is the :class:`JobContext`.
            options: of all its jobs; ``using`` says others for a call.

        Raises:
            UnstorableTask: the function has no name that a restart would find, or the name is taken.
            InvalidOption: a value out of range.
        """
        known = cast("CallOptions", checked(options, TaskOptions))

        def declare(fn: Callable[..., Any]) -> Task[..., Any]:
            function = Function(fn, check_name(name) if name is not None else name_of(fn), takes_context=context)
            if function.name in self._functions:
                raise UnstorableTask(
                    function.name, f"is a task of queue {self.name!r} already: give the other one a name with name="
                )
            task: Task[..., Any] = Task(self, function, known)
            self._functions[function.name] = function
            self._tasks[function.name] = task
            if self._house is not None:
                self._supervisor.tell(self._registration(task))
            return task

        return declare if fn is None else declare(fn)

    def group(self, group: str, /, *, limit: int | None = None, **options: Unpack[TaskOptions]) -> None:
        """Declare a group of jobs; or declare it anew.

        Args:
            group: its name, which jobs give as ``group=``.
            limit: how many of its jobs may run at a time; None: as many as there are workers.
            options: of its jobs, unless their task or their call say otherwise.

        Raises:
            InvalidOption: a value out of range.
        """
        name("group", group)
        if "group" in options:
            raise InvalidOption("group", options["group"], f"is no option of a group, and {group!r} is one")
        if limit is not None:
            whole("limit", limit, 1, WORKERS_LIMIT)
        self._groups[group] = limit, _task_options(options)
        self.declarations += 1
        if self._house is not None:
            self._supervisor.tell(c.SetGroup(group, limit))
            for task in self._tasks.values():
                self._supervisor.tell(self._registration(task))

    def defaults(self, options: TaskOptions) -> TaskOptions:
        """Return what holds where these options say nothing: the options of their group, and those of the queue."""
        group = options.get("group", self._defaults.get("group"))
        if group not in self._groups:
            return self._defaults
        return {**self._defaults, **self._groups[group][1]}

    def _declared(self) -> list[c.Command]:
        groups = [c.SetGroup(group, limit) for group, (limit, _) in self._groups.items()]
        return [*groups, *map(self._registration, self._tasks.values())]

    def _registration(self, task: Task[..., Any]) -> c.Register:
        return c.Register((task.name,), {task.name: task.job_options})

    # -- submitting ------------------------------------------------------------------------------------

    @overload
    async def submit(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]: ...
    @overload
    async def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]: ...
    async def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
        """Submit a call of any function. It runs once, and is not stored: a restart forgets it.

        The arguments stay the objects they are. For jobs that survive, declare the function with :meth:`task`.

        Raises:
            TypeError: the arguments do not fit the function.
            UnstorableTask: the function cannot be called as a task.
            QueueFull, QueueClosed, StoreFull, StoreFailed: as :meth:`Task.submit`.
        """
        if isinstance(fn, Task):
            raise UnstorableTask(fn.name, "is a task already: use its own submit(), which stores the job")
        name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
        function = Function(fn, name)
        function.check(args, kwargs)
        job = c.NewJob(self.next_id(), name, b"", _EPHEMERAL, ephemeral=True)
        self._supervisor.remember(job.id, copy_context(), function, (args, kwargs))
        await self._submit((job,))
        return JobHandle(job.id, self, function)

    async def submit_many(self, requests: Iterable[JobRequest[R]]) -> list[JobHandle[R]]:
        """Submit what was made by :meth:`Task.build`, of one task or of several, all or none.

        Raises:
            UnknownTask: a request was built for another queue.
            QueueFull, QueueClosed, StoreFull, StoreFailed: as :meth:`Task.submit_many`.
        """
        requests = list(requests)
        for request in requests:
            if request.task not in self._functions:
                raise UnknownTask(request.task, f"it was built for another queue than {self.name!r}")
        jobs = tuple(request.job for request in requests)
        self._remember(jobs)
        ids = await self._submit(jobs)
        return [self._handle(request, job_id) for request, job_id in zip(requests, ids, strict=True)]

    def submit_request_now(self, request: JobRequest[R]) -> JobHandle[R]:
        """Submit what was made by :meth:`Task.build`, if there is room now; see :meth:`Task.submit_nowait`."""
        jobs = (request.job,)
        self._remember(jobs)
        supervisor = self._supervisor
        try:
            (job_id,) = supervisor.door.submit_now(c.Submit(jobs))
        finally:
            _forget_refused(supervisor, jobs)
        return self._handle(request, job_id)

    async def run_request(self, request: JobRequest[R]) -> R:
        """Submit and wait; a caller who is cancelled cancels the job; see :meth:`Task.run`."""
        try:
            return await (await self.submit_many([request]))[0]
        except anyio.get_cancelled_exc_class():
            with suppress(ActorqError):  # it was not accepted, or the job of somebody else stands for it
                self.tell(c.Cancel(request.id, "its caller was cancelled"))
            raise

    def next_id(self) -> str:
        """Return an id that no job has: opaque, sortable by time."""
        return next(self._ids)

    @property
    def window(self) -> int:
        """How many jobs of a ``map`` may be on their way at a time."""
        return 2 * self._plan.settings.workers

    # -- by id -------------------------------------------------------------------------------------------

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

    def handle(self, job_id: str) -> JobHandle[Any]:
        """Return a handle of the job, also of a former life of the queue; it need not be known."""
        return JobHandle(job_id, self)

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

    # -- as a whole --------------------------------------------------------------------------------------

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
            late_reports=roster.late_reports,
            loop_lag_s=supervisor.loop_lag_s,
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
            listener_errors=self._plan.listeners.errors,
        )

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
        self._refuse_in_a_job("join the queue from")
        supervisor = self._supervisor
        ledger = supervisor.machine.ledger
        await supervisor.until(
            lambda: supervisor.trouble is not None or ledger.live == ledger.parked_count + len(ledger.paused)
        )
        await supervisor.kept()

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
        if self._house is not None and not self._house.is_closed:
            _ = self._supervisor  # refuses other threads
        return self._plan.listeners.add(name, fn)

    # -- what tasks and handles need of it -------------------------------------------------------------

    def tell(self, command: c.Command) -> Any:
        """Post a command."""
        return self._supervisor.tell(command)

    def attach(self, waiter: Waiter, job_id: str) -> None:
        """Let the waiter hear the end of the job."""
        self._supervisor.attach(waiter, job_id)

    def detach(self, waiter: Waiter, job_id: str) -> None:
        """Let it hear no more."""
        if self._house is not None:
            self._house.supervisor.detach(waiter, job_id)

    def is_live(self, job_id: str) -> bool:
        """Tell whether the job is there and has not ended."""
        return self._supervisor.is_live(job_id)

    def function_of(self, task: str) -> Function | None:
        """Return the function of the task, if there is one."""
        return self._functions.get(task)

    @property
    def _supervisor(self) -> Supervisor:
        if self._house is None or self._house.is_closed:
            raise QueueClosed(self.name, "closed" if self._was_open else "not open yet")
        supervisor = self._house.supervisor
        if threading.get_ident() != supervisor.thread:
            raise WrongThread(self.name)
        return supervisor

    def _refuse_in_a_job(self, verb: str) -> None:
        attempt = running_attempt.get()
        if attempt is not None and attempt.queue is self and not attempt.is_over:
            raise InvalidState(attempt.job_id, "running, and would wait for itself", verb)

    def _handle(self, request: JobRequest[R], job_id: str) -> JobHandle[R]:
        return JobHandle(job_id, self, self._functions[request.task])

    def _remember(self, jobs: tuple[c.NewJob, ...]) -> None:
        context = copy_context()
        for job in jobs:
            self._supervisor.remember(job.id, context)

    async def _submit(self, jobs: tuple[c.NewJob, ...]) -> tuple[str, ...]:
        supervisor = self._supervisor
        attempt = running_attempt.get()
        is_in_job = attempt is not None and attempt.queue is self and not attempt.is_over
        try:
            return await supervisor.door.submit(c.Submit(jobs), may_wait=not is_in_job)
        finally:
            _forget_refused(supervisor, jobs)


def _forget_refused(supervisor: Supervisor, jobs: tuple[c.NewJob, ...]) -> None:
    """Let go of what was remembered for jobs that were not accepted; another may stand for them."""
    for job in jobs:
        supervisor.forget(job.id)


async def _events(
    reader: Reader, where: Callable[[JobEvent], bool] | None = None
) -> AsyncGenerator[JobEvent | EventsMissed, None]:
    while (news := await reader.next()) is not None:
        if isinstance(news, EventsMissed) or where is None or where(news):
            yield news


def _number(option: str, value: int | None) -> int | None:
    return None if value is None else whole(option, value, 0, 2**63)


def _directory(path: Path, name: str) -> Path:
    """Return where the queue of this name keeps its files."""
    if name == "default":
        return path
    if not _SAFE_NAME.fullmatch(name) or name.lower() in RESERVED_NAMES:
        raise InvalidOption(
            "name", name, "with a path, wants letters, digits, '_' and '-', and no name of a file of ours"
        )
    return path / name


_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def _task_options(options: TaskOptions) -> TaskOptions:
    """Return the options if they are right."""
    checked(options, TaskOptions)
    job_options(options)
    return options


_EPHEMERAL = JobOptions(retry=Retry(max_attempts=1))
