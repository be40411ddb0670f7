"""What a watcher is told: every fact is an event, and one more says that there is nothing left to do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from attrs import field, frozen

from actorq.config import one_of
from actorq.core import facts as f
from actorq.record import instant

__all__ = [
    "ENDS", "EVENT_NAMES", "IDLE", "EventsMissed", "JobEvent", "check_names", "event_of", "idle_after", "name_of",
]  # fmt: skip

IDLE: Final = "idle"
"""Nothing is queued and nothing runs any more; what is delayed, paused or parked may be left."""

ENDS: Final = (f.Succeeded, f.Failed, f.DeadLettered, f.Cancelled)
"""A job ends with one of these."""


@frozen
class JobEvent:
    """Something that has happened to a job, or to the queue."""

    number: int
    """Contiguous, over restarts, too: ``watch(after=number)`` goes on behind it. Without a journal, a start after a
    crash goes on where the last snapshot stood."""
    at: datetime
    name: str
    """The fact's name in lower case: ``submitted``, ``started``, ``retry_scheduled``, ``succeeded`` … And ``idle``,
    which has the number of the event before, and is told once, to those who are there: it is written nowhere."""
    job_id: str
    """Empty where it is about the queue, or a group of jobs."""
    task: str
    """Empty likewise."""
    fact: f.Fact = field(repr=False)
    """All that is known of it: the class is one of :mod:`actorq.core.facts`. Of ``idle``: what came just before."""

    @property
    def is_end(self) -> bool:
        """Whether the job ended with it."""
        return self.name != IDLE and isinstance(self.fact, ENDS)


@frozen
class EventsMissed:
    """The events ``first`` to ``last`` are not remembered any more: the watcher was too slow, or came too late."""

    first: int
    last: int


def event_of(fact: f.Fact, task: str) -> JobEvent:
    """Tell the fact as an event."""
    return JobEvent(fact.n, instant(fact.at), name_of(type(fact)), fact.job_id, task, fact)


def idle_after(fact: f.Fact) -> JobEvent:
    """Tell that this fact left the queue with nothing to do."""
    return JobEvent(fact.n, instant(fact.at), IDLE, "", "", fact)


def name_of(kind: type[f.Fact]) -> str:
    """Return the name of an event: ``RetryScheduled`` is ``retry_scheduled``."""
    return _NAMES.setdefault(kind, _snake(kind.__name__))


def check_names(names: Iterable[str]) -> frozenset[str]:
    """Return these names of events.

    Raises:
        InvalidOption: there is no event of such a name.
    """
    return frozenset(one_of("event", name, EVENT_NAMES) for name in names)


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


_NAMES: dict[type[f.Fact], str] = {}


def _leaves(kinds: list[type[f.Fact]]) -> list[type[f.Fact]]:
    """Return those that are no root of others: only they happen."""
    return [kind for kind in kinds if not any(issubclass(other, kind) and other is not kind for other in kinds)]


EVENT_NAMES: Final = (*(name_of(kind) for kind in _leaves([getattr(f, name) for name in f.__all__])), IDLE)
"""All there are."""
