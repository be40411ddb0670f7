"""How much happens, and how long it takes: over the last minute and the last hour, in bounded memory.

The meter hears each fact when it happens. A *slot* counts what happens within a second; sixty of them are kept, and
when one is over it is added to the slot of its minute, of which sixty are kept, too. So a fact is counted once, in
less than a microsecond, and a clock that jumps leaves nothing behind that would have to be cleaned up: what is too
old is passed over when somebody asks.

A *run* is one attempt: from its start to its end, however it ends. A *wait* is from when a job might have started
to when it did.

Memory: at most 121 slots, each with a counter for every kind of fact and twice :data:`~actorq.actors.histogram.BUCKETS`
numbers; and the start of each run that is on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import floor

from actorq.actors.histogram import Histogram
from actorq.config import METER_SLOTS
from actorq.core import facts as f
from actorq.core.job import Job
from actorq.event import EVENT_NAMES, IDLE, name_of
from actorq.stats import WindowStats

__all__ = ["Meter"]

_SECOND, _MINUTE = 1.0, 60.0

_ENDS_OF_RUNS = frozenset({
    f.Succeeded, f.Failed, f.DeadLettered, f.Cancelled, f.RetryScheduled, f.Snoozed, f.Interrupted, f.Released,
    f.Parked, f.Dropped,
})  # fmt: skip
"""Those of them that happen to a job that is not running end no run that began."""


class _Slot:
    """What happened in one second, or one minute."""

    __slots__ = ("counts", "index", "runs", "waits")

    def __init__(self, index: int) -> None:
        self.index = index
        """How many slots there were before it since the epoch."""
        self.counts: dict[type[f.Fact], int] = {}
        self.waits = Histogram()
        self.runs = Histogram()

    def merge(self, other: _Slot) -> None:
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        self.waits.merge(other.waits)
        self.runs.merge(other.runs)


class Meter:
    """Counts facts, and keeps how long jobs waited and attempts ran."""

    def __init__(self, now: float) -> None:
        """Begin with nothing, at ``now``: seconds since the epoch."""
        self._since = now
        self._slot = _Slot(floor(now))
        """The present second."""
        self._over_at = self._slot.index + _SECOND
        self._seconds: deque[_Slot] = deque(maxlen=METER_SLOTS)
        self._minutes: deque[_Slot] = deque(maxlen=METER_SLOTS)
        self._started_at: dict[str, float] = {}
        """Of the runs that are on."""

    def hear(self, facts: Iterable[f.Fact], jobs: Iterable[Job | None]) -> None:
        """Count what has happened in one step of the machine, and to which jobs, as that step left them."""
        for fact, job in zip(facts, jobs):  # noqa: B905 - to be strict takes as long as to count
            kind, at = type(fact), fact.at
            if at >= self._over_at:
                self._turn_to(at)
            slot = self._slot
            counts = slot.counts
            counts[kind] = counts.get(kind, 0) + 1
            if kind is f.Started and job is not None:
                self._started_at[fact.job_id] = at
                slot.waits.add(at - job.due_at)
            elif kind in _ENDS_OF_RUNS:
                started_at = self._started_at.pop(fact.job_id, None)
                if started_at is not None:
                    slot.runs.add(at - started_at)

    def last_minute(self, now: float) -> WindowStats:
        """Return what happened in the last 59 to 60 seconds."""
        return self._stats(self._seconds, _SECOND, now)

    def last_hour(self, now: float) -> WindowStats:
        """Return what happened in the last 59 to 60 minutes."""
        return self._stats(self._minutes, _MINUTE, now)

    def _turn_to(self, at: float) -> None:
        """Put the slot that is over to the others, and begin another."""
        over = self._slot
        self._seconds.append(over)
        minute = floor(over.index / _MINUTE)
        if not self._minutes or self._minutes[-1].index != minute:
            self._minutes.append(_Slot(minute))
        self._minutes[-1].merge(over)
        self._slot = _Slot(floor(at))
        self._over_at = self._slot.index + _SECOND

    def _stats(self, slots: Iterable[_Slot], width: float, now: float) -> WindowStats:
        first = floor(now / width) - METER_SLOTS + 1
        total = _Slot(first)
        for slot in slots:
            if slot.index >= first:
                total.merge(slot)
        if floor(self._slot.index / width) >= first:
            total.merge(self._slot)
        seconds = max(now - max(self._since, first * width), 0.0)
        counts = {name_of(kind): count for kind, count in total.counts.items()}
        return WindowStats(
            seconds=seconds,
            counts={name: counts.get(name, 0) for name in EVENT_NAMES if name != IDLE},
            wait=total.waits.summary(),
            run=total.runs.summary(),
        )
