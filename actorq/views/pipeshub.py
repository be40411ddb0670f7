"""PipesHub's words, which are mostly BullMQ's: times are milliseconds, also those of day; priority 1 comes first.

Two sets of options lead in: PipesHub's own, for a crawl (:func:`options`), and those of the BullMQ underneath
(:func:`bullmq_options`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

from actorq import config
from actorq.config import JITTER_LIMIT, KEY_LIMIT, LONGEST_S, NAME_LIMIT
from actorq.core.job import HoldReason, JobState, Reason
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.record import JobRecord
from actorq.views import given
from actorq.views.picture import Meaning, failures_of, millis, millis_or_none, payload_of, percent
from actorq.views.situation import Situation, situation_of
from actorq.views.vocabulary import STATES

__all__ = ["Backoff", "bullmq_options", "options", "parse_state", "retry", "state", "status"]

Backoff = Literal["fixed", "exponential"]

PRIORITY_LIMIT: Final = 2**21 - 1
"""BullMQ's last priority."""

STALLED: Final = "job stalled more than allowable limit"
"""What BullMQ says of a job whose worker was silent, or gone, too often."""

_MEANINGS: Final = {
    "waiting": Meaning(JobState.QUEUED),
    "active": Meaning(JobState.RUNNING),
    "completed": Meaning(JobState.SUCCEEDED),
    "failed": Meaning(JobState.FAILED),
    "delayed": Meaning(JobState.SCHEDULED, HoldReason.DELAY),
    "paused": Meaning(JobState.PAUSED),
    "stuck": Meaning(JobState.RUNNING, stalled=True),
    "prioritized": Meaning(JobState.QUEUED),
}


def state(record: JobRecord) -> str:
    """Return PipesHub's word for the state."""
    return STATES[situation_of(record)].pipeshub


def parse_state(word: str, *, attempts_made: int = 0) -> Meaning | str:
    """Return what the word means; a word that is not known comes back as it is, for the list of them is open.

    Args:
        word: the state.
        attempts_made: ``attemptsMade``; a delayed job that has some waits for its next attempt.
    """
    if word == "delayed" and attempts_made:
        return Meaning(JobState.SCHEDULED, HoldReason.RETRY)
    return _MEANINGS.get(word, word)


def status(record: JobRecord) -> dict[str, Any]:
    """Return PipesHub's ``JobStatus``: times of day in milliseconds since the epoch, ``attemptsMade`` from 0."""
    return {
        "id": record.id,
        "name": record.task,
        "data": payload_of(record),
        "progress": _progress(record),
        "delay": _delay(record),
        "timestamp": millis(record.submitted_at),
        "attemptsMade": record.attempt - 1 if record.state is JobState.RUNNING else record.attempt,
        "processedOn": millis_or_none(record.started_at),
        "finishedOn": millis_or_none(record.ended_at),
        "failedReason": _failed_reason(record),
        "state": state(record),
    }


def _progress(record: JobRecord) -> float | dict[str, float | None]:
    """Return a number from 0 to 100; an object if there is more to say."""
    seen = record.progress
    if seen.current is None and seen.total is None:
        return percent(seen)
    return {"percentage": percent(seen), "current": seen.current, "total": seen.total}


def _delay(record: JobRecord) -> int:
    """Return for how long the job is held, from when it came to wait."""
    if record.state is not JobState.SCHEDULED:
        return 0
    came = record.attempts[-1].ended_at if record.attempts else None
    return max(0, millis(record.due_at) - millis(came or record.submitted_at))


def _failed_reason(record: JobRecord) -> str | None:
    error = record.error
    if error is not None and error.reason.is_interruption and not record.state.is_final:
        error = next(reversed(failures_of(record)), None)  # a job that was taken back has not failed by that
    if error is None or situation_of(record) is Situation.PARKED:
        return None
    return STALLED if error.reason in (Reason.HEARTBEAT, Reason.INTERRUPTED) else error.message


def retry(attempts: int = 3, delay: int = 5_000, backoff: Backoff = "exponential", jitter: float = 0.0) -> Retry:
    """Return BullMQ's rule, with PipesHub's defaults: 5 s, 10 s, 20 s and so on.

    Args:
        attempts: all runs together.
        delay: milliseconds.
        backoff: ``exponential`` doubles.
        jitter: 0 to 1: the part of the delay that chance may take off. Here chance only lengthens, so the rule has
            what is left for its base. At 1 nothing would be left; the base is a thousandth then.
    """
    part = config.number("jitter", jitter) or 0.0
    if not 0 <= part <= 1:
        raise InvalidOption("jitter", jitter, "must be a number from 0 to 1")
    part = min(part, JITTER_LIMIT / (1 + JITTER_LIMIT))
    base, longer = delay / 1000 * (1 - part), min(part / (1 - part), JITTER_LIMIT)
    return Retry(max_attempts=attempts, backoff=backoff, delay=base, factor=2.0, cap=LONGEST_S, jitter=longer)


# -- PipesHub's options ------------------------------------------------------------------------------


def options(crawl: given.Given, *, now: datetime | None = None) -> dict[str, Any]:
    """Return the options of a crawl for ``task.using(**…)``.

    Without more: ``priority`` 5 (1 to 10, 1 first), which is 0 here; ``timeout`` 300,000 ms (1,000 to 600,000), which
    is kept here; ``maxRetries`` 3 (0 to 10), which are runs after the first, as the name says: 0 means none. Of the
    schedules there is ``once``.

    Args:
        crawl: the options.
        now: what ``scheduledTime`` must be after; the wall clock, if nothing is said.

    Raises:
        InvalidOption: what PipesHub refuses, a disabled schedule included; and a schedule that recurs.
    """
    body = given.known(crawl, ("priority", "maxRetries", "timeout", "scheduleConfig"))
    known: dict[str, Any] = {
        "priority": 5 - given.whole(body, "priority", 5, 1, 10),
        "timeout": given.whole(body, "timeout", 300_000, 1_000, 600_000) / 1000,
        "retry": retry(given.whole(body, "maxRetries", 3, 0, 10) + 1),
    }
    if "scheduleConfig" in body:
        known["run_at"] = _once(body, now or datetime.now(UTC))
    return known


def _once(body: given.Given, now: datetime) -> datetime:
    schedule = given.fields(body, "scheduleConfig", "scheduleType", "isEnabled", "timezone", "scheduledTime")
    if schedule.get("scheduleType") != "once":
        raise InvalidOption("scheduleType", schedule.get("scheduleType"), "recurs: here there is only 'once'")
    if not given.flag(schedule, "isEnabled", default=True):
        raise InvalidOption("isEnabled", value=False, why="there is nothing to schedule")
    given.name(schedule, "timezone", NAME_LIMIT)  # of no use beside a time that has its own
    given.required(schedule, "scheduledTime")
    at = given.instant(schedule, "scheduledTime")
    if at is None or at <= now:
        raise InvalidOption("scheduledTime", schedule["scheduledTime"], "must be in the future")
    return at


# -- BullMQ's options --------------------------------------------------------------------------------

_BULLMQ: Final = (
    "priority", "attempts", "backoff", "delay", "jobId", "lifo", "removeOnComplete", "removeOnFail", "repeat",
    "parent", "deduplication",
)  # fmt: skip

_OF_THE_QUEUE: Final = "is said of the queue here: JobQueue(retention=Retention(…))"

_NOT_HERE: Final = {
    "lifo": "the job that is ready first is first in line here: give it a priority",
    "removeOnComplete": _OF_THE_QUEUE,
    "removeOnFail": _OF_THE_QUEUE,
    "repeat": "jobs do not repeat here: submit the next one at the end of the function",
    "parent": "jobs do not wait for each other here: submit the children from the parent, and await them",
    "deduplication": "is said with a key here: using(key=…, on_conflict=…)",
}


def bullmq_options(job: given.Given) -> dict[str, Any]:
    """Return the options of BullMQ's ``queue.add`` for ``task.using(**…)``; times in milliseconds.

    Without more: one attempt, no delay, priority 0, which comes before all others; 1 to 2,097,151 follow, and are
    below zero here. A ``backoff`` is a number, or an object of ``type``, ``delay`` and ``jitter``; without it a retry
    follows at once. A ``jobId`` that is held returns the job that holds it.

    Raises:
        InvalidOption: what BullMQ refuses, and what there is not here; the error says what there is.
    """
    body = given.known(job, _BULLMQ)
    given.not_here(body, _NOT_HERE)
    known: dict[str, Any] = {
        "priority": -given.whole(body, "priority", 0, 0, PRIORITY_LIMIT),
        "delay": given.whole(body, "delay", 0, 0) / 1000,
        "retry": _backoff(body, given.whole(body, "attempts", 1, 1)),
    }
    if key := given.name(body, "jobId", KEY_LIMIT):
        known |= {"key": key, "on_conflict": "return_existing"}
    return known


def _backoff(body: given.Given, attempts: int) -> Retry:
    if not isinstance(body.get("backoff", {}), dict):
        return retry(attempts, given.whole(body, "backoff", 0, 0), "fixed")
    rule = given.fields(body, "backoff", "type", "delay", "jitter")
    kind: Backoff = "fixed" if given.choice(rule, "type", "fixed", "fixed", "exponential") == "fixed" else "exponential"
    return retry(attempts, given.whole(rule, "delay", 0, 0), kind, rule.get("jitter", 0.0))
