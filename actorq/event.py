"""What a watcher is told: every fact is an event."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from actorq.core.facts import Cancelled, DeadLettered, Fact, Failed, Succeeded
from actorq.record import instant

__all__ = ["EventsMissed", "JobEvent", "event_of"]


@frozen
class JobEvent:
    """Something that has happened to a job."""

    number: int
    """Contiguous, over restarts, too: ``watch(after=number)`` goes on behind it. Without a journal, a start after a
    crash goes on where the last snapshot stood."""
    at: datetime
    name: str
    """The fact's name in lower case: ``submitted``, ``started``, ``retry_scheduled``, ``succeeded`` …"""
    job_id: str
    task: str
    fact: Fact = field(repr=False)
    """All that is known of it: the class is one of :mod:`actorq.core.facts`."""

    @property
    def is_end(self) -> bool:
        """Whether the job ended with it."""
        return isinstance(self.fact, _ENDS)


_ENDS = (Succeeded, Failed, DeadLettered, Cancelled)


@frozen
class EventsMissed:
    """The events ``first`` to ``last`` are not remembered any more: the watcher was too slow, or came too late."""

    first: int
    last: int


def event_of(fact: Fact, task: str) -> JobEvent:
    """Tell the fact as an event."""
    return JobEvent(fact.n, instant(fact.at), name_of(type(fact)), fact.job_id, task, fact)


def name_of(kind: type[Fact]) -> str:
    """Return the name of an event: ``RetryScheduled`` is ``retry_scheduled``."""
    return _NAMES.setdefault(kind, _snake(kind.__name__))


_NAMES: dict[type[Fact], str] = {}


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
