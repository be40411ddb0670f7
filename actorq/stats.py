"""How a queue stands, in numbers."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from actorq.config import Durability
from actorq.core.job import JobState

__all__ = ["Durations", "QueueStats", "WindowStats"]


@frozen
class Durations:
    """How long something took, in seconds. All is zero where ``count`` is."""

    count: int
    mean: float
    p50: float
    """Half of them took no longer. This and the other percentiles are right to 5 %; those under a microsecond are 0."""
    p95: float
    p99: float
    max: float


@frozen
class WindowStats:
    """What happened within a window of time that ends now."""

    seconds: float
    """How long it is: up to a minute or an hour, as far as the present slot of it has come, but no longer than the
    queue is open."""
    counts: dict[str, int]
    """How often each event happened, by its name; also those that are not yet as durable as was promised."""
    wait: Durations
    """From when a job might have started to when it did, for each start."""
    run: Durations
    """From the start of an attempt to its end, however it ended."""

    @property
    def per_second(self) -> dict[str, float]:
        """How often each event happened in a second; in its first second, a queue is taken to be that old."""
        seconds = max(self.seconds, 1.0)
        return {name: count / seconds for name, count in self.counts.items()}


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
    pauses: dict[str, datetime | None]
    """What is paused, groups by their names, the queue under the empty one; and until when. None: until resumed."""
    next_queued_s: float | None
    """How long the job that starts next has been ready."""
    workers: int
    """How many there are to be."""
    idle_workers: int
    lent_slots: int
    """Running jobs that wait for other jobs, each with an extra worker in its place."""
    lost_workers: int
    """Workers that were abandoned with a job that ignored cancellation, or died."""
    abandoned: int
    """Functions that ignored their cancellation, and go on all the same."""
    paused_tasks: dict[str, str]
    """Tasks of which nothing starts, as too many workers died under their jobs: how the last one did."""
    late_reports: int
    """Reports of attempts that were not running any more; they changed nothing."""
    loop_lag_s: float
    """How late the event loop was at the last alarm."""
    loop_blocks: int
    """How often the event loop did not turn for longer than ``blocked_after`` …"""
    loop_blocked_s: float
    """… and for how long in all."""
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
    oldest_s: float | None
    """How long ago the oldest of the live jobs was submitted; None: there is none."""
    by_task: dict[str, dict[JobState, int]] = field(repr=False)
    """Live jobs of each task that has any: how many are in each state. May be a moment older than ``counts``, as may
    ``by_group``."""
    by_group: dict[str, dict[JobState, int]] = field(repr=False)
    """Live jobs of each group that has any."""
    last_minute: WindowStats = field(repr=False)
    """Of this life of the queue, as is ``last_hour``."""
    last_hour: WindowStats = field(repr=False)
    listener_errors: int
    """Exceptions that callbacks of :meth:`JobQueue.on` raised, since the queue was made."""

    @property
    def live(self) -> int:
        """Jobs that have not ended."""
        return sum(number for state, number in self.counts.items() if not state.is_final)
