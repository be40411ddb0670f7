"""What a job is: its states, its options, its memory.

A job is one submission of a task. It lives under one id through all its attempts; each attempt is a
record inside it. Which fact leads from which state to which is in ``lifecycle``; only ``Ledger.apply``
changes a job, and every field but the plain scalars is immutable, so a shallow copy is a picture.

Three numbers count runs, and no two are the same. ``claim`` grows with every run and never falls: it
fences off late reports. ``attempt`` is the number of the present or last run against the retry rule: it
is raised when a run starts, and lowered again when the run ended through no fault of the function.
``interruptions`` and ``snoozes`` count those.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Any, cast

from attrs import Attribute, define, field, frozen

from actorq.config import (
    INTERRUPTIONS_LIMIT,
    MEMORY_LIMIT_MB,
    NAME_LIMIT,
    PLACES,
    PRIORITY_LIMIT,
    TAGS_LIMIT,
    RunIn,
    duration,
    name,
    one_of,
    storable,
    whole_number,
)
from actorq.core.retry import Retry
from actorq.errors import InvalidOption

__all__ = ["Attempt", "Failure", "HoldReason", "Job", "JobOptions", "JobState", "Priority", "Progress", "Reason"]


class JobState(StrEnum):
    """Where a job stands."""

    CREATED = "created"
    """Built, not submitted: never in a queue, never stored."""
    SCHEDULED = "scheduled"
    """In the queue, must not run yet; ``hold_reason`` says why."""
    QUEUED = "queued"
    """Ready, waiting for a worker."""
    PAUSED = "paused"
    """Held by hand until it is resumed."""
    RUNNING = "running"
    """Claimed by one worker."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEAD_LETTER = "dead_letter"
    """As failed, for jobs that asked to be kept apart when they fail: ``dead_letter=``."""
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in FINAL


FINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.DEAD_LETTER, JobState.CANCELLED)


class HoldReason(StrEnum):
    """Why a scheduled job must not run yet; a paused one that was scheduled keeps it."""

    DELAY = "delay"
    RETRY = "retry"
    KEY = "key"
    """Another job of the same task and key is running."""
    NO_TASK = "no_task"
    """Parked: no task of its name is registered. It runs once there is one."""
    BAD_PAYLOAD = "bad_payload"
    """Parked: its arguments no longer fit the function. It is tried again at the next start."""
    TASK_PAUSED = "task_paused"
    """Parked: its task was paused, as its workers kept dying. It runs when that is resumed, or at the next start."""

    @property
    def is_parked(self) -> bool:
        """Whether nothing that goes on in the queue ends this hold: other code does, or somebody who looked at it."""
        return self in (HoldReason.NO_TASK, HoldReason.BAD_PAYLOAD, HoldReason.TASK_PAUSED)

    @property
    def is_timed(self) -> bool:
        """Whether the clock ends this hold."""
        return self in (HoldReason.DELAY, HoldReason.RETRY)


class Reason(StrEnum):
    """Why an attempt or a job ended otherwise than by a result; also why it is being cancelled."""

    ERROR = "error"
    """The function raised."""
    TIMEOUT = "timeout"
    """The attempt ran longer than its ``timeout``."""
    HEARTBEAT = "heartbeat"
    """The attempt was silent longer than its ``heartbeat_timeout``."""
    DEADLINE = "deadline"
    """The job as a whole took longer than its ``deadline``."""
    EXPIRED = "expired"
    """The job was not started within ``expires``."""
    KILLED = "killed"
    """Its process was ended by force: it used more memory than ``memory_mb``."""
    BAD_EXIT = "bad_exit"
    """Its process ended by itself, with an exit code or by a signal."""
    INTERRUPTED = "interrupted"
    """The program, or the worker, died under it."""
    SNOOZED = "snoozed"
    """The function handed the job back more often than ``max_snoozes``."""
    NO_TASK = "no_task"
    BAD_PAYLOAD = "bad_payload"
    BAD_RESULT = "bad_result"
    """The function returned, but what it returned cannot be stored."""
    CLIENT_REQUEST = "client_request"
    """Somebody called ``cancel``."""
    HANDLER = "handler"
    """The function raised ``CancelJob``."""
    TASK_PAUSED = "task_paused"
    """Too many workers died under jobs of its task."""
    SUPERSEDED = "superseded"
    """A newer job of the same task and key took its place."""
    PAUSED = "paused"
    """The queue or its group was paused at once; the job goes on when that is resumed."""
    SHUTDOWN = "shutdown"
    """The queue is closing; the job goes on at the next start."""

    @property
    def is_interruption(self) -> bool:
        """Whether it is counted as an interruption, and not as a failed attempt."""
        return self in (Reason.BAD_EXIT, Reason.INTERRUPTED)


class Priority:
    """Names for priorities. Any integer will do; higher runs first."""

    LOWEST = -20
    LOW = -10
    NORMAL = 0
    HIGH = 10
    HIGHEST = 20


def _to_tags(value: Any) -> Mapping[str, str]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):  # "ab" is one tag or two: say which
        raise InvalidOption("tags", value, "wants a mapping, or a list of strings")
    tags: dict[Any, Any] = dict(value) if hasattr(value, "items") else dict.fromkeys(value, "")
    if len(tags) > TAGS_LIMIT:
        raise InvalidOption("tags", f"{len(tags)} tags", f"a job has at most {TAGS_LIMIT}")
    for text in (*tags, *tags.values()):
        if not isinstance(text, str):
            raise InvalidOption("tags", text, "wants strings")
        if len(text) > NAME_LIMIT:
            raise InvalidOption("tags", text[:20] + "…", f"a tag has at most {NAME_LIMIT} characters")
        storable("tags", text)
    plain = {str.__str__(tag): str.__str__(text) for tag, text in tags.items()}  # JSON takes no Enum for a key
    return MappingProxyType(plain)  # one object serves all jobs of a task, and functions get to see it


def _dead_letter(instance: object, attribute: Attribute[Any], value: object) -> None:
    del instance
    if not isinstance(value, bool):
        name(attribute.name, value)


def _group(instance: object, attribute: Attribute[Any], value: object) -> None:
    del instance
    if value is not None:
        name(attribute.name, value)


def _retry(instance: object, attribute: Attribute[Retry], value: object) -> None:
    del instance
    if not isinstance(value, Retry):
        raise InvalidOption(attribute.name, value, "wants a Retry")


def _run_in(instance: object, attribute: Attribute[Any], value: object) -> None:
    del instance
    if value is not None:
        one_of(attribute.name, value, PLACES)


def _limit(option: str) -> Any:  # of attrs' making: no checker has a name for what field() returns
    """Make a field for a limit that is not set, or seconds, or a timedelta."""

    def to_seconds(value: object) -> float | None:
        return None if value is None else duration(option, value, positive=True)

    return cast("Any", field(default=None, converter=to_seconds))


def _to_grace(value: object) -> float:
    return duration("grace", value)


@frozen
class JobOptions:
    """What is asked of every attempt of a job. Durations in seconds; None: no such limit.

    One object serves all jobs of a task that were submitted without options of their own.
    """

    priority: int = field(default=0, validator=whole_number(-PRIORITY_LIMIT, PRIORITY_LIMIT))
    retry: Retry = field(factory=Retry, validator=_retry)
    timeout: float | None = _limit("timeout")
    """From the start of each attempt."""
    heartbeat_timeout: float | None = _limit("heartbeat_timeout")
    """From the last sign of life of the attempt."""
    expires: float | None = _limit("expires")
    """From submission to the first start."""
    deadline: float | None = _limit("deadline")
    """From submission over all attempts and waits."""
    grace: float = field(default=10.0, converter=_to_grace)
    """From a cancel request, of any cause, until the worker is abandoned."""
    tags: Mapping[str, str] = field(factory=dict[str, str], converter=_to_tags)
    """A list of strings becomes keys with empty value."""
    group: str | None = field(default=None, validator=_group)
    """Whose limit it falls under, and whose pause."""
    dead_letter: bool | str = field(default=False, validator=_dead_letter)
    """Whether the job is kept apart when it fails; the name of a task: whether a job of that is made of it, too."""
    run_in: RunIn | None = field(default=None, validator=_run_in)
    """Where the function runs; None: ``async def`` on the loop, ``def`` in a thread."""
    memory_mb: int | None = field(default=None, validator=whole_number(1, MEMORY_LIMIT_MB))
    """MiB of resident memory that its process may use, with all that it has started."""
    max_interruptions: int = field(default=5, validator=whole_number(1, INTERRUPTIONS_LIMIT))
    """How often the program or its process may die under the job: with so many, it fails."""
    max_snoozes: int | None = field(default=None, validator=whole_number(0, INTERRUPTIONS_LIMIT))
    """How often the function may hand the job back: when it does so once more, the job fails."""


@frozen
class Failure:
    """What went wrong, as text: it outlives the process."""

    reason: Reason
    type: str
    message: str = ""
    traceback: str = ""
    attempt: int = 0
    at: float = 0.0

    @property
    def weight(self) -> int:
        """How many characters of the user's it brings along."""
        return len(self.message) + len(self.traceback)


@frozen
class Attempt:
    """One run that has ended."""

    number: int
    claim: int
    worker: int
    started_at: float
    ended_at: float
    outcome: str
    """The name of the fact that ended it, in lower case: ``succeeded``, ``retry_scheduled`` …"""
    failure: Failure | None = None


@frozen
class Progress:
    """How far the present attempt has come."""

    value: float = 0.0
    """0.0 to 1.0; never goes down within one attempt."""
    current: float | None = None
    total: float | None = None
    message: str | None = None


NO_PROGRESS = Progress()
DONE = Progress(1.0)


@define(eq=True)
class Job:
    """A job as the ledger holds it. Instants are seconds since the epoch."""

    id: str
    seq: int
    """The order of acceptance."""
    task: str
    payload: bytes
    """JSON of ``[args, kwargs]``; empty for an ephemeral job, whose call never leaves memory."""
    options: JobOptions
    state: JobState
    submitted_at: float
    due_at: float
    """When it may run, or since when it might have: its place in the order."""
    ephemeral: bool = False
    """Made from an undecorated callable: runs, but is not stored over a restart."""
    key: str | None = None
    """Names the work: among the jobs of its task, the newest with a key holds it."""
    retry_of: str | None = None
    """The job that this one is a clone of."""
    retried_by: str | None = None
    """The last clone of this job."""
    dead_letter_of: str | None = None
    """The dead job that this one was made of."""
    dead_letter_job_id: str | None = None
    """The job that was made of this one when it failed."""
    hold_reason: HoldReason | None = None
    limits_from: float = 0.0
    """From when ``expires`` and ``deadline`` count: the submission, or the last rerun."""
    attempt: int = 0
    claim: int = 0
    worker: int = 0
    interruptions: int = 0
    snoozes: int = 0
    first_started_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    stalled: bool = False
    cancel_requested: str | None = None
    """What was said with the cancel request that the running attempt is answering."""
    result: bytes | None = None
    """JSON."""
    failure: Failure | None = None
    """Of the last attempt that failed, or why the job ended."""
    progress: Progress = NO_PROGRESS
    attempts: tuple[Attempt, ...] = ()
    """The last ones that ended, bounded."""
    log: tuple[Any, ...] = ()
    """The last :class:`~actorq.core.facts.Logged` lines, bounded: (at, level, message, data as JSON)."""

    def limit_at(self) -> float:
        """Return when the next limit of the whole job passes: ``expires`` or ``deadline``."""
        options = self.options
        at = inf if options.deadline is None else self.limits_from + options.deadline
        if options.expires is not None and self.first_started_at is None:
            at = min(at, self.limits_from + options.expires)
        return at

    def limit_reason(self) -> Reason:
        """Return which limit :meth:`limit_at` speaks of."""
        options = self.options
        if options.expires is None or self.first_started_at is not None:
            return Reason.DEADLINE
        return Reason.EXPIRED if self.limit_at() == self.limits_from + options.expires else Reason.DEADLINE
