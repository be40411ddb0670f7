"""A task: a user's function with options, as the queue knows it and the type checker sees it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, cast, get_args, overload

from attrs import field, frozen

from actorq.actors.context import JobContext
from actorq.actors.processes import check_memory_can_be_measured, check_sendable, reference_of
from actorq.config import KEY_LIMIT, LONGEST_S, RunIn, Seconds, duration, one_of, storable
from actorq.core.commands import NewJob, OnConflict
from actorq.core.job import JobOptions, JobState
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.function import Function
from actorq.handle import JobHandle

__all__ = ["CallOptions", "EditOptions", "JobRequest", "Task", "TaskOptions"]

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
    group: str | None
    dead_letter: bool | str | Named
    """Whether to keep apart what failed; a task, or its name: to make a job of that of it, too."""
    run_in: RunIn | None
    """Where the function runs; None: ``async def`` on the loop, ``def`` in a thread."""
    memory_mb: int | None
    """MiB that its process may use, with all that it starts; for ``run_in="process"``."""
    max_interruptions: int
    """How often the program or its process may die under a job before it fails."""
    max_snoozes: int | None
    """How often a function may hand its job back; None: any number of times."""


class EditOptions(TaskOptions, total=False):
    """What can be said of a job that waits."""

    delay: Seconds
    run_at: datetime | float


class CallOptions(EditOptions, total=False):
    """What can be said of a single call."""

    key: str | None
    """Names the work among the jobs of the task."""
    on_conflict: OnConflict
    """What to do when another job has the key."""


class Named(Protocol):
    """What has the name of a task: a :class:`Task`."""

    @property
    def name(self) -> str:
        """Of the task."""
        ...


O = TypeVar("O", bound=TaskOptions)  # noqa: E741 - of options


class Counter(Protocol):
    """What a task needs of its queue."""

    @property
    def declarations(self) -> int:
        """How often options were declared: what was found out before the last time holds no longer."""
        ...

    def defaults(self, options: TaskOptions) -> TaskOptions:
        """Return what holds where these options say nothing: the options of their group, and those of the queue."""
        ...

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
        delay, self._run_at = placement(options)
        self._delay = delay or 0.0
        self._key = _to_key(options.get("key"))
        self._on_conflict: OnConflict = options.get("on_conflict", "return_existing")
        one_of("on_conflict", self._on_conflict, get_args(OnConflict))
        self._own = job_options(options)  # what is out of range is told here, and not at the first submit
        if self._own.run_in == "process":
            check_sendable(self.fn, self.name)
        if self._own.memory_mb is not None:
            check_memory_can_be_measured()
        self._merged: tuple[int, JobOptions] | None = None
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
            UnsendableTask: it is to run in a process, where it would not be found.
        """
        payload, options = self._function.encode(args, kwargs), self.job_options
        check_place(self._function, options)
        job_id = self._counter.next_id()
        job = NewJob(
            job_id,
            self.name,
            payload,
            options,
            self._delay,
            self._run_at,
            key=self._key,
            on_conflict=self._on_conflict,
        )
        return JobRequest(job_id, self.name, job)

    @property
    def job_options(self) -> JobOptions:
        """What is stored with each job: of the call, else of the task, its group, the queue; else built in."""
        declarations = self._counter.declarations
        if self._merged is None or self._merged[0] != declarations:
            above = self._counter.defaults(self._options)
            options = job_options(cast("CallOptions", {**above, **self._options})) if above else self._own
            self._merged = declarations, options
        return self._merged[1]

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job, when there is room; return once it is accepted, as durably as was promised.

        Inside a job of the same queue it does not wait for room, as that might take for ever.

        Raises:
            TypeError: the arguments do not fit the function.
            PayloadError: an argument cannot be stored.
            QueueFull: no room, inside a job.
            QueueClosed: the queue is not open.
            DuplicateJob: its key is held, and ``on_conflict`` does not let the other job stand for it.
            StoreFull: no room on the disk; the job was not taken.
            StoreFailed: the disk has failed; whether the job was taken is unknown.
        """
        return (await self._counter.submit_many([self.build(*args, **kwargs)]))[0]

    def submit_nowait(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Submit a job if there is room now, and do not wait until it is as durable as was promised.

        It runs once it is. Until then a crash forgets it, and a full disk refuses it: who awaits its handle hears
        StoreFull. Whatever is acknowledged later vouches for it.

        Raises:
            TypeError, PayloadError, QueueClosed, DuplicateJob, StoreFull, StoreFailed: as :meth:`submit`.
            QueueFull: there is no room, or others are waiting for it, or the disk is behind.
        """
        return self._counter.submit_request_now(self.build(*args, **kwargs))

    async def submit_many(self, requests: Iterable[JobRequest[R]]) -> list[JobHandle[R]]:
        """Submit what was made by :meth:`build`, all or none.

        Raises:
            QueueFull: so many are more than ``max_pending``; or no room, inside a job.
            QueueClosed, DuplicateJob, StoreFull, StoreFailed: as :meth:`submit`.
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
            InvalidOption: the task has a ``key``, under which all items would be one job.
        """
        if self._key is not None:
            raise InvalidOption("key", self._key, "names one job, and map() makes one for each item")
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


def checked(options: TaskOptions, kind: type[O]) -> O:
    """Return the options if all their names exist in this kind; otherwise raise TypeError."""
    names = list(kind.__annotations__)  # also those of the kinds that it extends: a TypedDict has no bases
    unknown = [name for name in options if name not in names]
    if unknown:
        raise TypeError(f"unknown option {', '.join(unknown)}; there are {', '.join(names)}")
    return cast("O", options)


def job_options(options: TaskOptions) -> JobOptions:
    """Return what of the options is stored with each job.

    Raises:
        InvalidOption: a value out of range.
    """
    stored = {name: value for name, value in options.items() if name not in OF_THE_CALL}
    if "dead_letter" in stored:
        stored["dead_letter"] = getattr(stored["dead_letter"], "name", stored["dead_letter"])
    # The names are those of JobOptions, whose converters take a timedelta, too: a dict comprehension hides both.
    return JobOptions(**stored)  # type: ignore[arg-type]


def check_place(function: Function, options: JobOptions) -> None:
    """Refuse what cannot be as the options of all levels together want it.

    Raises:
        UnsendableTask: it is to run in a process, where it would not be found.
        InvalidOption: a limit of memory for what shares ours.
    """
    if options.run_in == "process":
        reference_of(function.fn, function.name)
    elif options.memory_mb is not None:
        raise InvalidOption("memory_mb", options.memory_mb, 'is for run_in="process": all others share our memory')


OF_THE_CALL = ("delay", "run_at", "key", "on_conflict")
"""Options that are stored with no job, or not as options."""


def placement(options: EditOptions) -> tuple[float | None, float | None]:
    """Return the delay, and the time of day, of which the options speak."""
    delay = options.get("delay")
    return None if delay is None else duration("delay", delay), to_instant(options.get("run_at"))


def _to_key(key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str):
        raise InvalidOption("key", key, "wants a string")
    if not 0 < len(key) <= KEY_LIMIT:
        raise InvalidOption("key", key[:200], f"must have 1 to {KEY_LIMIT} characters")
    return storable("key", key)


def to_instant(value: object, option: str = "run_at") -> float | None:
    """Return a time of day as seconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidOption(option, value, "has no time zone: use datetime.now(UTC) or .astimezone()")
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        raise InvalidOption(option, value, "wants an aware datetime, or seconds since the epoch")
    if not 0 <= value <= time.time() + LONGEST_S:
        raise InvalidOption(option, value, "must lie between 1970 and a hundred years from now")
    return float(value)
