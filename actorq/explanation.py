"""Why a job is not running, as data: one obstacle for each thing that stands in its way."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import frozen

from actorq.core.job import JobState

__all__ = ["Explanation", "Holder", "Obstacle", "ObstacleKind"]


class ObstacleKind(StrEnum):
    """What stands in the way of a job."""

    ENDED = "ended"
    RUNNING = "running"
    """Nothing does: it runs."""
    DELAY = "delay"
    RETRY = "retry"
    PAUSED = "paused"
    """The job itself."""
    QUEUE_PAUSED = "queue_paused"
    GROUP_PAUSED = "group_paused"
    GROUP_LIMIT = "group_limit"
    KEY = "key"
    NO_TASK = "no_task"
    TASK_PAUSED = "task_paused"
    """Too many workers died under jobs of its task."""
    BAD_PAYLOAD = "bad_payload"
    AHEAD = "ahead"
    """Other jobs come first."""
    NO_WORKER = "no_worker"
    CLOSING = "closing"
    STORE = "store"
    """The disk: nothing begins before it is written that it does."""


@frozen
class Holder:
    """A running job that holds what this one needs."""

    job_id: str
    task: str
    worker: int
    since: datetime


@frozen
class Obstacle:
    """One thing that stands in the way."""

    kind: ObstacleKind
    message: str
    """The same in a sentence."""
    until: datetime | None = None
    """When that ends by itself; None: it does not, or nobody knows."""
    holders: tuple[Holder, ...] = ()
    """The running jobs that hold what is wanted: workers, places in the group, the key. Bounded: the first ones."""
    limit: int | None = None
    """How many may hold it at a time."""
    position: int | None = None
    """How many come first."""
    first: tuple[str, ...] = ()
    """The ids of those, in their order. Bounded."""


@frozen
class Explanation:
    """Why a job is not running."""

    job_id: str
    state: JobState
    obstacles: tuple[Obstacle, ...]
    """All of them; none: it is about to start."""
    starts_at: datetime | None
    """About when it will start, if the jobs of the last hour tell and nobody has to do anything; None: not known."""

    def __str__(self) -> str:
        why = "; ".join(obstacle.message for obstacle in self.obstacles) or "about to start"
        return f"Job {self.job_id} is {self.state}: {why}."
