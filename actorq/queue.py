"""What the user holds: the queue."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import copy_context
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

import anyio

from actorq.actors.block import BlockLimit
from actorq.actors.clock import Clock, SystemClock
from actorq.actors.context import running_attempt
from actorq.actors.house import House
from actorq.actors.listeners import Listeners
from actorq.actors.plan import Plan
from actorq.actors.scribe import Keeping
from actorq.actors.supervisor import Supervisor
from actorq.actors.waiter import Waiter
from actorq.config import (
    COMPACTION_INTERVAL_S,
    DURABILITIES,
    SNAPSHOT_INTERVAL_S,
    Durability,
    OnUnknownTask,
    Processes,
    Recovery,
    RestartBudget,
    Retention,
    Seconds,
    Settings,
    duration,
    instance_of,
    one_of,
)
from actorq.control import Control
from actorq.core import commands as c
from actorq.core.job import JobOptions
from actorq.core.retry import Retry
from actorq.declaring import Declaring
from actorq.errors import (
    ActorqError,
    InvalidOption,
    InvalidState,
    QueueClosed,
    UnknownTask,
    UnstorableTask,
    WrongThread,
)
from actorq.function import Function, check_name
from actorq.handle import JobHandle
from actorq.questions import Questions
from actorq.store.files import RESERVED_NAMES, DiskFiles, Files
from actorq.task import Counter, JobRequest, Task, TaskOptions

__all__ = ["JobQueue"]

P = ParamSpec("P")
R = TypeVar("R")


class JobQueue(Declaring, Control, Questions):
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
        max_abandoned: int = 100,
        processes: Processes | None = None,
        blocked_after: Seconds | None = 0.5,
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
            restarts: how many workers may be lost before a task is paused, and before the queue gives up.
            max_abandoned: how many functions that ignore their cancellation may go on beside their replacements; the
                slot of one more is not lent again before one of them has ended.
            processes: how worker processes are kept, for jobs with ``run_in="process"``.
            blocked_after: an event loop that does not turn for so long is told of, with the job that blocks it; None:
                it is not watched.
            defaults: options of all jobs, unless their group, their task or their call say otherwise.
            on_unknown_task: whether stored jobs of a task that is not declared wait for it, or fail.
            recovery: ``"strict"`` refuses damaged files; ``"salvage"`` keeps what can be read of them, and sets
                them aside.
            make_clock: given the last instant that was stored, returns the clock; for tests.

        Raises:
            InvalidOption: a value out of range.
        """
        super().__init__(check_name(name), defaults or {})
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
        self.block_limit = BlockLimit(
            None if blocked_after is None else duration("blocked_after", blocked_after, positive=True)
        )
        """From when the event loop counts as blocked; :func:`actorq.testing.no_blocking` has its own."""
        self._plan = Plan(
            Settings(
                name,
                workers,
                max_pending,
                duration("grace", grace),
                retention or Retention(),
                restarts or RestartBudget(),
                on_unknown_task,
                max_abandoned,
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
            instance_of("processes", processes or Processes(), Processes),
            self.block_limit,
            make_clock,
        )
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

    def handle(self, job_id: str) -> JobHandle[Any]:
        """Return a handle of the job, also of a former life of the queue; it need not be known."""
        return JobHandle(job_id, self)

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

    @property
    def _supervisor(self) -> Supervisor:
        if self._house is None or self._house.is_closed:
            raise QueueClosed(self.name, "closed" if self._was_open else "not open yet")
        supervisor = self._house.supervisor
        if threading.get_ident() != supervisor.thread:
            raise WrongThread(self.name)
        return supervisor

    @property
    def _listeners(self) -> Listeners:
        if self._house is not None and not self._house.is_closed:
            _ = self._supervisor  # refuses other threads
        return self._plan.listeners

    @property
    def _counter(self) -> Counter:
        return self

    def _tell_if_open(self, command: c.Command) -> None:
        if self._house is not None:
            self._supervisor.declare(command)

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


_EPHEMERAL = JobOptions(retry=Retry(max_attempts=1))
