"""Frozen settings and the bounds of the house; names carry their units; checked once.

Every queue, log, buffer and retry has a bound with a name, and the name stands here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar

from attrs import Attribute, field, frozen

from actorq.errors import InvalidOption

__all__ = ["Durability", "OnUnknownTask", "Processes", "Recovery", "RestartBudget", "Retention", "Settings"]


T = TypeVar("T")

Seconds = float | timedelta
"""What public options take for a duration: seconds, or a timedelta."""

Durability = Literal["memory", "snapshot", "flush", "fsync"]
DURABILITIES: Final = ("memory", "snapshot", "flush", "fsync")
"""From the weakest promise to the strongest."""

OnUnknownTask = Literal["park", "fail"]
Recovery = Literal["strict", "salvage"]

RunIn = Literal["loop", "thread", "process"]
PLACES: Final = ("loop", "thread", "process")
"""Where the function of a job may run."""

LONGEST_S: Final = 100 * 365 * 86_400.0
"""No delay or limit is longer: a hundred years, so that sums of times stay exact to the microsecond."""

ATTEMPTS_LIMIT: Final = 1_000_000
"""The most attempts that a retry rule may ask for."""

INTERRUPTIONS_LIMIT: Final = 1_000_000
"""The most interruptions, or snoozes, that a job may be allowed."""

MEMORY_LIMIT_MB: Final = 2**30
"""The largest limit of memory, in MiB: a PiB, so that it stays exact in bytes."""

FACTOR_LIMIT: Final = 1_000.0
"""The largest factor of an exponential backoff."""

JITTER_LIMIT: Final = 1_000.0
"""By how many times itself a wait may be lengthened by jitter at most."""

PRIORITY_LIMIT: Final = 2**31
"""Priorities lie between minus and plus this."""

STEP_LIMIT: Final = 1_000
"""The most overdue things (delays, limits, removals, parkings) that one step deals with; the rest follow at once."""

ATTEMPT_HISTORY: Final = 20
"""The attempt records that a job keeps: the last so many."""

JOB_LOG_LIMIT: Final = 100
"""The log lines that a job keeps: the last so many."""

TEXT_LIMIT: Final = 8_192
"""Characters kept of an error's message and of its traceback, of a reason and of a line in a job's log."""

PROGRESS_INTERVAL_S: Final = 0.1
"""At most one progress fact a job in this time; what comes between is merged."""

FEED_HISTORY: Final = 10_000
"""Facts the feed remembers for those who watch; who falls further behind is told that he missed some."""

LISTENERS_LIMIT: Final = 100
"""Callbacks that a queue may have: each has a task of its own."""

LISTENERS_CLOSE_S: Final = 1.0
"""How long closing waits until the callbacks have heard what has happened; then they are cancelled."""

METER_SLOTS: Final = 60
"""The seconds of the last minute, and the minutes of the last hour, for which throughput is counted."""

HISTOGRAM_ERROR: Final = 0.05
"""How far a percentile of a duration may be off, as a part of it …"""

HISTOGRAM_LEAST_S: Final = 1e-6
"""… if it is longer than this; otherwise it is told as zero."""

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
"""Of a line in a job's log: those of ``logging``, from the least."""

WORKERS_LIMIT: Final = 10_000
"""The most workers that a queue may have."""

LENT_LIMIT: Final = 1_000
"""The most slots lent at a time to running jobs that wait for other jobs."""

PAYLOAD_LIMIT: Final = 256 * 1024
"""Bytes of JSON that the arguments of one job may take."""

RESULT_LIMIT: Final = 256 * 1024
"""Bytes of JSON that the result of one job may take."""

LINE_LIMIT: Final = 1024 * 1024
"""Bytes of the longest line that a file of ours may hold; a longer one is damage."""

JUNK_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes without an end of a line after which a file is not read any further: it may claim to be of any size."""

LINE_TARGET: Final = 64 * 1024
"""Bytes of facts after which a large transaction goes on in another line; with the largest fact it stays a line."""

SEGMENT_LIMIT: Final = 16 * 1024 * 1024
"""Bytes after which the journal goes on in another segment."""

SEGMENTS_LIMIT: Final = 20
"""Segments from which on a snapshot is due: many short lives leave many files."""

GARBAGE_RATIO: Final = 1.0
"""A snapshot is due when the journal since the last one is larger than that by so much …"""

GARBAGE_FLOOR: Final = 4 * SEGMENT_LIMIT
"""… and larger than this."""

RESERVE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of the disk that are held, to be given up for the ends of jobs when there is no room."""

BACKLOG_FACTS: Final = 10_000
"""Facts on their way to the disk from which on submitters wait …"""

BACKLOG_BYTES: Final = 8 * 1024 * 1024
"""… and bytes of their payloads."""

BATCH_BYTES: Final = 1024 * 1024
"""Bytes that are written at a time; a batch of transactions may take several writes, and one sync."""

ABANDON_S: Final = 2.0
"""How long an event loop that ends with the queue left open waits for the journal to be completed."""

SLOW_SYNC_S: Final = 1.0
"""A sync that takes longer is told in the log."""

WALL_STEP_S: Final = 2.0
"""A wall clock that is set by more than this is told in the log; it is looked at once a second at most."""

MARK_INTERVAL_S: Final = 1.0
"""The witness of the journal is brought up to date, and its file looked for in its place, so often at most."""

FULL_RETRY_S: Final = 0.1
"""On a full disk a new segment is tried after so long, and each time after twice as long …"""

FULL_RETRY_CAP_S: Final = 10.0
"""… up to this."""

NAME_LIMIT: Final = 200
"""Characters in the name of a task, a queue or a tag."""

KEY_LIMIT: Final = 1_000
"""Characters in the key of a job."""

PAUSES_LIMIT: Final = 1_000
"""Groups that may be paused at a time."""

BULK_CHUNK: Final = 250
"""Jobs that a verb over a filter deals with in one turn of the queue …"""

BULK_REFUSED: Final = 1_000
"""… and refusals that it tells one by one; the rest are counted."""

EXPLAIN_LIMIT: Final = 10
"""Jobs that an explanation names for each thing that stands in the way."""

TYPES_LIMIT: Final = 64
"""Exception types that a retry rule may name on either side …"""

TYPE_NAME_LIMIT: Final = 500
"""… and characters in the name of one, with its module."""

TAGS_LIMIT: Final = 64
"""Tags on one job."""

SLICE_S: Final = 0.001
"""The longest turn that taking a snapshot, or looking for jobs, spends on the event loop."""

FIND_LIMIT: Final = 1_000
"""Jobs on one page of what was found."""

FILTER_LIMIT: Final = 1_000
"""Names of one kind, or job ids, in a filter."""

SNAPSHOT_INTERVAL_S: Final = 30.0
"""From the first change that the last snapshot does not have to the next snapshot, where there is no journal …"""

COMPACTION_INTERVAL_S: Final = 600.0
"""… and where there is one."""

SNAPSHOTS_KEPT: Final = 2
"""Whole snapshots kept in the directory: the newest, and the one before."""

EAGER_S: Final = 0.002
"""How long a worker runs attempts that never wait, one after the other, before it lets the loop turn."""

REFUSALS_LIMIT: Final = 100
"""How often a function on trio swallows its cancellation before it is spared more, which would burn a core."""

LET_GO_S: Final = 0.05
"""How long closing waits, twice, for coroutines that it has let go of; then they are left behind."""

HURRY_GRACE_S: Final = 0.5
"""The grace of what runs when closing is in a hurry: its caller, or the body of ``async with``, was cancelled, or one
more signal has come …"""

HURRY_S: Final = 1.0
"""… and how long closing takes at most from there on, whatever jobs and callbacks do. What the disk needs is added."""

EAGER_SUBMITS: Final = 100
"""Submits that find room at once before one of them lets the loop turn, and can be cancelled."""

FEED_EAGER: Final = 250
"""Facts that somebody who watches is shown, or is not concerned by, before he lets the loop turn."""

FEED_BYTES: Final = 16 * 1024 * 1024
"""Bytes of payloads and results in the facts that the feed remembers."""

LATE_LOOP_S: Final = 0.05
"""An alarm later than this means that the loop was blocked: silence meanwhile is not the jobs' fault."""

THREAD_IDLE_S: Final = 10.0
"""How long a thread waits for another function before it leaves."""

FRAME_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of the longest message between a queue and its worker processes: arguments or a result, and what surrounds
them, with every character escaped."""

PROCESS_START_S: Final = 60.0
"""How long a worker process may take until it is ready: it imports the main module of the program."""

PROCESS_IDLE_S: Final = 60.0
"""How long a worker process that is not among those kept ahead of need waits for another job."""

PROCESS_LEAVE_S: Final = 1.0
"""How long a worker process that is sent home may take to leave; then it is killed."""

CLOSE_SLACK_S: Final = 4 * LET_GO_S + LISTENERS_CLOSE_S + PROCESS_LEAVE_S
"""How much longer than ``drain_timeout`` and ``grace`` closing takes at most, whatever jobs and callbacks do: to let go
of coroutines, to let callbacks hear the last events, and to send worker processes home. What the disk needs is added,
and so is for how long somebody blocks the event loop."""

PROCESS_BEATS: Final = 4
"""How often within ``heartbeat_timeout`` a worker process says by itself that it is alive …"""

PROCESS_BUSY: Final = 0.1
"""… and which part of the time it must have computed to be taken for alive, though it cannot say so."""

STACK_LIMIT: Final = 100
"""Frames that are told of where a job stands: the innermost ones."""

WATCH_INTERVAL_S: Final = 0.2
"""How often the watchdog looks at the event loop while something runs …"""

WATCH_SHARE: Final = 0.25
"""… or more often: after this part of ``blocked_after``."""

LOOP_ASK_S: Final = 1.0
"""How often a thread that speaks to the event loop and is not heard asks whether it is still there."""

WATCH_ALIVE_S: Final = 10.0
"""How often the watchdog asks a loop that only waits whether it is still there."""

PROCESS_STACK_S: Final = 1.0
"""How long a worker process may take to say where it stands."""

MEMORY_INTERVAL_S: Final = 0.1
"""How often the memory of processes that have a limit is measured …"""

MEMORY_COST: Final = 0.1
"""… and how much of a core that may cost at most: on a machine with many processes it is measured less often."""


LATE_TURN_S: Final = 0.001
"""When the supervisor wakes later than this, others may have been kept waiting, too …"""

TURNS_TO_SPEAK: Final = 3
"""… and the loop turns so often before he looks for silence: what comes over a socket takes two to be heard."""


def duration(option: str, value: object, *, positive: bool = False) -> float:
    """Return ``value`` (seconds or a timedelta) as seconds.

    Raises:
        InvalidOption: not a number, NaN, negative (or zero, where it must be positive), or over a century.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidOption(option, value, "wants seconds as a number, or a timedelta")
    if value != value:  # noqa: PLR0124 - isnan() chokes on an int beyond float
        raise InvalidOption(option, value, "is not a number of seconds")
    if value < 0 or (positive and value == 0):
        raise InvalidOption(option, value, "must be " + ("more than zero" if positive else "zero or more"))
    if value > LONGEST_S:
        raise InvalidOption(option, value, f"is longer than {LONGEST_S:.0f} s, a hundred years")
    return float(value)


def whole(option: str, value: object, least: int, most: int) -> int:
    """Return ``value`` if it is an int from ``least`` to ``most``; otherwise raise InvalidOption."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOption(option, value, "wants a whole number")
    if not least <= value <= most:
        raise InvalidOption(option, value, f"must lie between {least} and {most}")
    return value


def instance_of(option: str, value: T, kind: type[T]) -> T:
    """Return ``value`` if it is of this class; otherwise raise InvalidOption."""
    if not isinstance(value, kind):
        raise InvalidOption(option, value, f"wants {kind.__name__}(…)")
    return value


def text(option: str, value: object) -> str:
    """Return ``value``, cut to a bound, if it is a string; otherwise raise InvalidOption."""
    if not isinstance(value, str):
        raise InvalidOption(option, value, "wants a string")
    return value[:TEXT_LIMIT]


def name(option: str, value: object) -> str:
    """Return ``value`` if it can be a name: a string of 1 to ``NAME_LIMIT`` characters; else raise InvalidOption."""
    if not isinstance(value, str):
        raise InvalidOption(option, value, "wants a string")
    if not 0 < len(value) <= NAME_LIMIT:
        raise InvalidOption(option, value[:200], f"must have 1 to {NAME_LIMIT} characters")
    return storable(option, value)


def storable(option: str, value: str) -> str:
    """Return ``value`` if UTF-8 can hold it; else raise InvalidOption: read again, it would be another name."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidOption(option, ascii(value)[:200], "holds half of a character") from None
    return value


def number(option: str, value: object) -> float | None:
    """Return ``value`` if it is None or a finite number; otherwise raise InvalidOption."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return value
    raise InvalidOption(option, value, "wants a finite number")


def one_of(option: str, value: object, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``; otherwise raise InvalidOption."""
    for choice in choices:
        if choice == value:
            return choice
    raise InvalidOption(option, value, f"must be one of {', '.join(choices)}")


def _seconds(instance: Any, attribute: Attribute[Any], value: float) -> None:
    del instance
    duration(attribute.name, value)


def whole_number(least: int, most: int) -> Callable[[Any, Attribute[Any], int | None], None]:
    """Make a validator for :func:`whole`; None passes where it is the default."""

    def check(instance: Any, attribute: Attribute[Any], value: int | None) -> None:
        del instance
        if value is not None or attribute.default is not None:
            whole(attribute.name, value, least, most)

    return check


def _retention(instance: Any, attribute: Attribute[Any], value: object) -> None:
    del instance
    if value is not None and not isinstance(value, Retention):
        raise InvalidOption(attribute.name, value, "wants a Retention")


@frozen
class Retention:
    """How long jobs that have ended are kept: by age and by count, for each final state by itself.

    ``Retention(age_s=600, failed=Retention(age_s=604_800))`` keeps what failed for a week, and all else for ten
    minutes.
    """

    age_s: float = field(default=3600.0, validator=_seconds)
    """Seconds after its end that a job can still be asked for."""
    count: int = field(default=10_000, validator=whole_number(0, 2**53))
    """Jobs kept in each final state; those that ended first go first."""
    succeeded: Retention | None = field(default=None, kw_only=True, validator=_retention)
    failed: Retention | None = field(default=None, kw_only=True, validator=_retention)
    dead_letter: Retention | None = field(default=None, kw_only=True, validator=_retention)
    cancelled: Retention | None = field(default=None, kw_only=True, validator=_retention)

    def of(self, state: str) -> Retention:
        """Return what holds for this final state."""
        own: Retention | None = getattr(self, state)
        return self if own is None else own


@frozen
class RestartBudget:
    """How many workers may be lost before a task is paused, and before the queue gives up.

    Source: ``intensity`` and ``period`` of Erlang/OTP supervisors. A worker is lost when its job ignores
    cancellation beyond its grace, when its process dies or is killed for its memory, or when it ends by a bug.
    """

    deaths: int = field(default=100, validator=whole_number(1, 2**53))
    """Within the window, before the queue ends with WorkersKeepDying."""
    window_s: float = field(default=60.0, validator=_seconds)
    task_deaths: int = field(default=10, validator=whole_number(1, 2**53))
    """Within the window, under jobs of one task, before that task is paused: the others go on."""


def _unknown_task(instance: Any, attribute: Attribute[Any], value: object) -> None:
    del instance
    one_of(attribute.name, value, ("park", "fail"))


def _instance(kind: type[Any]) -> Callable[[Any, Attribute[Any], object], None]:
    """Make a validator for an object of this class."""

    def check(instance: Any, attribute: Attribute[Any], value: object) -> None:
        del instance
        instance_of(attribute.name, value, kind)

    return check


@frozen
class Processes:
    """How the worker processes are kept in which tasks with ``run_in="process"`` run.

    There are never more than there are workers, but for those ahead and those on their way out.
    """

    ahead: int = field(default=1, validator=whole_number(0, WORKERS_LIMIT))
    """Started before they are needed, and kept while nothing runs; none before there is a task for them."""
    recycle_after: int = field(default=1_000, validator=whole_number(1, 2**53))
    """Jobs that one process runs before a fresh one takes its place."""
    recycle_above_mb: int = field(default=512, validator=whole_number(1, MEMORY_LIMIT_MB))
    """MiB of memory that a process may hold on to after a job; with more, a fresh one takes its place."""


@frozen
class Settings:
    """What the core must know of the queue's options."""

    name: str = "default"
    """Of the queue, for those who read an error."""
    workers: int = field(default=10, validator=whole_number(1, WORKERS_LIMIT))
    max_pending: int = field(default=100_000, validator=whole_number(1, 2**53))
    """Live jobs (not yet ended) at a time."""
    grace_s: float = field(default=10.0, validator=_seconds)
    """From a shutdown's cancellation until a worker is abandoned."""
    retention: Retention = field(default=Retention(), validator=_instance(Retention))
    restarts: RestartBudget = field(default=RestartBudget(), validator=_instance(RestartBudget))
    on_unknown_task: OnUnknownTask = field(default="park", validator=_unknown_task)
    max_abandoned: int = field(default=100, validator=whole_number(0, WORKERS_LIMIT))
    """How many functions that ignore their cancellation may go on beside their replacements: the slot of one more is
    not lent again before one of them has ended."""
