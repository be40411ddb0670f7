"""actorq: durable background jobs inside an asyncio or trio application, without a broker.

To read the house, begin with ``core`` (what a job is and what can happen to it; its ``__init__`` says in which
order), go on with ``store`` (bytes and files), ``function``, ``record``, ``query`` and ``event`` (what users' values
look like), then ``actors`` (the rooms that await), and end with ``queue``, ``control``, ``task`` and ``handle`` (what
the user holds). ``views`` tells all this in the words of other systems.
"""

from actorq.actors.context import JobContext, current_job
from actorq.config import Processes, RestartBudget, Retention
from actorq.control import Outcome
from actorq.core.job import HoldReason, JobOptions, JobState, Priority, Progress, Reason
from actorq.core.retry import Retry
from actorq.dead_letter import DeadJob, DeadLetter, LastFailure
from actorq.errors import (
    ActorqError,
    AttemptCancelled,
    CancelJob,
    DuplicateJob,
    InternalError,
    InvalidCursor,
    InvalidOption,
    InvalidState,
    JobCancelled,
    JobError,
    JobFailed,
    JobLost,
    JobNotFound,
    PayloadError,
    QueueClosed,
    QueueFull,
    Refused,
    RetryAfter,
    Snooze,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreLocked,
    StoreTooNew,
    UnknownTask,
    Unrecoverable,
    UnsendableTask,
    UnstorableTask,
    Verdict,
    WorkersKeepDying,
    WrongThread,
)
from actorq.event import EventsMissed, JobEvent
from actorq.explanation import Explanation, Holder, Obstacle, ObstacleKind
from actorq.handle import JobHandle, as_completed, gather
from actorq.logs import JobLogHandler
from actorq.query import Filter, Page
from actorq.queue import JobQueue
from actorq.record import AttemptRecord, ErrorRecord, JobRecord, LogLine
from actorq.stack import Frame, Stack
from actorq.stats import Durations, QueueStats, WindowStats
from actorq.task import JobRequest, Task

__version__ = "0.1.0"

__all__ = [
    "ActorqError",
    "AttemptCancelled",
    "AttemptRecord",
    "CancelJob",
    "DeadJob",
    "DeadLetter",
    "DuplicateJob",
    "Durations",
    "ErrorRecord",
    "EventsMissed",
    "Explanation",
    "Filter",
    "Frame",
    "HoldReason",
    "Holder",
    "InternalError",
    "InvalidCursor",
    "InvalidOption",
    "InvalidState",
    "JobCancelled",
    "JobContext",
    "JobError",
    "JobEvent",
    "JobFailed",
    "JobHandle",
    "JobLogHandler",
    "JobLost",
    "JobNotFound",
    "JobOptions",
    "JobQueue",
    "JobRecord",
    "JobRequest",
    "JobState",
    "LastFailure",
    "LogLine",
    "Obstacle",
    "ObstacleKind",
    "Outcome",
    "Page",
    "PayloadError",
    "Priority",
    "Processes",
    "Progress",
    "QueueClosed",
    "QueueFull",
    "QueueStats",
    "Reason",
    "Refused",
    "RestartBudget",
    "Retention",
    "Retry",
    "RetryAfter",
    "Snooze",
    "Stack",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreTooNew",
    "Task",
    "UnknownTask",
    "Unrecoverable",
    "UnsendableTask",
    "UnstorableTask",
    "Verdict",
    "WindowStats",
    "WorkersKeepDying",
    "WrongThread",
    "as_completed",
    "current_job",
    "gather",
]
