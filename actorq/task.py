"""A task: a user's function with options, as the queue knows it and the type checker sees it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from attrs import field, frozen

from actorq.actors.context import JobContext
from actorq.config import LONGEST_S, Seconds, duration
from actorq.core.commands import NewJob
from actorq.core.job import JobOptions, JobState
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.function import Function
from actorq.handle import JobHandle

__all__ = ["CallOptions", "JobRequest", "Task", "TaskOptions"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class TaskOptions(TypedDict, total=False):
    """What can be said of all jobs of a task, and of a single call. Durations: seconds, or a timedelta."""

    retry: Retry
    timeout: Seconds | None
    heartbeat_timeout: Seconds | None
    expires: Seconds | None
    deadline: Seconds | None
    grace: Seconds
    priority: int
    tags: Mapping[str, str] | Iterable[str]
    dead_letter: bool


class CallOptions(TaskOptions, total=False):
    """What can be said of a single call."""

    delay: Seconds
    run_at: datetime | float


class Counter(Protocol):
    """What a task needs of its queue."""

    async def submit_many(self, requests: Iterable[JobRequest[R]]) -> list[JobHandle[R]]:
        """Submit them, all or none, when there is room."""
        ...

    def submit_request_now(self, request: JobRequest[R]) -> JobHandle[R]:
        """Submit it if there is room."""
        ...

    def next_id(self) -> str:
        """Return an id that no job has."""
        ...

    async def run_request(self, request: JobRequest[R]) -> R:
        """Submit it and wait; a caller who is cancelled cancels the job."""
        ...

    @property
    def window(self) -> int:
        """How many jobs of a ``map`` may be on their way at a time."""
        ...


@frozen
class JobRequest(Generic[R_co]):
    """A job that was built and not submitted: never in the queue, never stored."""

    id: str
    """Made here, so that a submit whose answer was lost can be asked again."""
    task: str
    job: NewJob = field(repr=False)
    state: JobState = field(default=JobState.CREATED, init=False)


class Task(Generic[P, R]):
    """A function that can be submitted. Calling it is calling the plain function."""

    def __init__(self, counter: Counter, function: Function, options: CallOptions) -> None:
        self.name = function.name
        self.fn: Callable[..., Any] = function.fn
        """The plain function."""
        self._counter = counter
        self._function = function
        self._options = options
        self._delay = duration("delay", options.get("delay", 0.0))
        self._run_at = _to_instant(options.get("run_at"))
        self._job_options = job_options(options)
        self.__doc__ = function.fn.__doc__

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function: no queue."""
        return self.fn(*args, **kwargs)

    def using(self, **options: Unpack[CallOptions]) -> Task[P, R]:
        """Return the same task with these options, before those of the task itself.

        Raises:
            InvalidOption: a value out of range.
            TypeError: an option that does not exist.
        """
        known = checked(options, CallOptions)
        mine: CallOptions = {**self._options}
        if "delay" in known or "run_at" in known:  # two answers to one question: the later one stands
            mine.pop("delay", None)
            mine.pop("run_at", None)
        mine.update(known)
        return Task(self._counter, self._function, mine)

    def build(self, *args: P.args, **kwargs: P.kwargs) -> JobRequest[R]:
        """Return a job that is not yet submitted, for ``submit_many`` or for later.

        Raises:
            TypeError: the arguments do not fit the function.
            PayloadError: an argument cannot be stored.
        """
        payload = self._function.encode(args, kwargs)
        job_id = self._counter.next_id()
        job = NewJob(job_id, self.name, payload, self._job_options, self._delay, self._run_at)
        return JobRequest(job_id, self.name, job)

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job, when there is room; return once it is accepted, as durably as was promised.

        Inside a job of the same queue it does not wait for room, as that might take for ever.

        Raises:
            TypeError: the arguments do not fit the function.
            PayloadError: an argument cannot be stored.
            QueueFull: no room, inside a job.
            QueueClosed: the queue is not open.
            StoreFull: no room on the disk; the job was not taken.
            StoreFailed: the disk has failed; whether the job was taken is unknown.
        """
        return (await self._counter.submit_many([self.build(*args, **kwargs)]))[0]

    def submit_nowait(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job if there is room now, and do not wait until it is as durable as was promised.

        It runs once it is. Until then a crash forgets it, and a full disk refuses it: who awaits its handle hears
        StoreFull. Whatever is acknowledged later vouches for it.

        Raises:
            TypeError, PayloadError, QueueClosed, StoreFull, StoreFailed: as :meth:`submit`.
            QueueFull: there is no room, or others are waiting for it, or the disk is behind.
        """
        return self._counter.submit_request_now(self.build(*args, **kwargs))

    async def submit_many(self, requests: Iterable[JobRequest[R]]) -> list[JobHandle[R]]:
        """Submit what was made by :meth:`build`, all or none.

        Raises:
            QueueFull: so many are more than ``max_pending``; or no room, inside a job.
            QueueClosed, StoreFull, StoreFailed: as :meth:`submit`.
        """
        return await self._counter.submit_many(requests)

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submit a job and wait for its result; a caller who is cancelled cancels the job.

        Raises:
            JobFailed, JobCancelled: as the job ended.
            TypeError, PayloadError, QueueFull, QueueClosed: as :meth:`submit`.
        """
        return await self._counter.run_request(self.build(*args, **kwargs))

    async def map(self, items: Iterable[Any]) -> AsyncIterator[R]:
        """Yield the result for each item, in their order; only so many jobs are on their way at a time.

        Args:
            items: each is the one argument of a call; drawn from as results are taken.

        Raises:
            JobFailed, JobCancelled: as a job ended, in its turn; those on their way go on.
        """
        on_their_way: list[JobHandle[R]] = []
        for item in items:
            if len(on_their_way) == self._counter.window:
                yield await on_their_way.pop(0)
            # A ParamSpec cannot say that the task takes one argument; a call that does not fit raises TypeError.
            on_their_way += await self._counter.submit_many([self.build(item)])  # type: ignore[call-arg]
        for handle in on_their_way:
            yield await handle


class Decorator(Protocol):
    """Makes a task of a function."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


class ContextDecorator(Protocol):
    """Makes a task of a function whose first parameter is the job's context."""

    @overload
    def __call__(self, fn: Callable[Concatenate[JobContext, P], Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...


def checked(options: TaskOptions | CallOptions, kind: type[TaskOptions]) -> CallOptions:
    """Return the options if all their names exist in this kind; otherwise raise TypeError."""
    names = [*TaskOptions.__annotations__, *kind.__annotations__]
    unknown = [name for name in options if name not in names]
    if unknown:
        raise TypeError(f"unknown option {', '.join(unknown)}; there are {', '.join(dict.fromkeys(names))}")
    return cast("CallOptions", options)


def job_options(options: CallOptions) -> JobOptions:
    """Return what of the options is stored with each job.

    Raises:
        InvalidOption: a value out of range.
    """
    stored = {name: value for name, value in options.items() if name not in ("delay", "run_at")}
    # The names are those of JobOptions, whose converters take a timedelta, too: a dict comprehension hides both.
    return JobOptions(**stored)  # type: ignore[arg-type]


def _to_instant(run_at: object) -> float | None:
    """Return a time of day as seconds since the epoch."""
    if run_at is None:
        return None
    if isinstance(run_at, datetime):
        if run_at.tzinfo is None:
            raise InvalidOption("run_at", run_at, "has no time zone: use datetime.now(UTC) or .astimezone()")
        run_at = run_at.timestamp()
    if isinstance(run_at, bool) or not isinstance(run_at, int | float) or run_at != run_at:  # noqa: PLR0124 - NaN
        raise InvalidOption("run_at", run_at, "wants an aware datetime, or seconds since the epoch")
    if not 0 <= run_at <= time.time() + LONGEST_S:
        raise InvalidOption("run_at", run_at, "must lie between 1970 and a hundred years from now")
    return float(run_at)
