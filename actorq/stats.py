"""How a queue stands, in numbers."""

from __future__ import annotations

from attrs import frozen

from actorq.config import Durability
from actorq.core.job import JobState

__all__ = ["QueueStats"]


@frozen
class QueueStats:
    """How the queue stands. Instants and durations in seconds."""

    name: str
    durability: Durability
    counts: dict[JobState, int]
    """Jobs in each state: ``submitted == sum(counts.values()) + removed``, always."""
    submitted: int
    """Jobs ever accepted, over all lives of the directory."""
    removed: int
    """Jobs that retention took."""
    parked: int
    """Of the scheduled ones, those that wait for code that fits them."""
    next_queued_s: float | None
    """How long the job that starts next has been ready."""
    workers: int
    """How many there are to be."""
    idle_workers: int
    lent_slots: int
    """Running jobs that wait for other jobs, each with an extra worker in its place."""
    lost_workers: int
    """Workers that were abandoned with a job that ignored cancellation, or died."""
    late_reports: int
    """Reports of attempts that were not running any more; they changed nothing."""
    loop_lag_s: float
    """How late the event loop was at the last alarm."""
    last_fact: int
    """The number of the last event."""
    unkept: int
    """Events that are not yet as durable as was promised."""
    unkept_s: float
    """For how long the oldest of them has been on its way to the disk."""
    store_error: str | None
    """Why the disk takes no more submissions, or nothing at all; None: it does."""
    snapshot_fact: int
    """The number of the last event that the last snapshot has."""
    snapshot_age_s: float | None
    """None: none was written in this life."""
    snapshot_error: str | None
    """Why the last snapshot failed; None: it did not."""

    @property
    def live(self) -> int:
        """Jobs that have not ended."""
        return sum(number for state, number in self.counts.items() if not state.is_final)
