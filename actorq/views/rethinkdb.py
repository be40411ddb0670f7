"""node-rethinkdb-job-queue's words: ``failed`` will run again, ``terminated`` will not.

The first state was ``added`` in the system's first description and is ``waiting`` in its later code; both are to be
had. Instants are dates there, and ISO 8601 in the JSON here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from actorq.config import LONGEST_S, NAME_LIMIT
from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.record import AttemptRecord, JobRecord, LogLine
from actorq.views import given
from actorq.views.picture import Meaning, ended_in_a_run, iso, iso_or_none, no_meaning, payload_of, percent, worker_of
from actorq.views.situation import situation_of
from actorq.views.vocabulary import STATES

__all__ = ["NAME_TAG", "FirstWord", "options", "parse_state", "retry", "state", "status"]

FirstWord = Literal["added", "waiting"]

NAME_TAG: Final = "name"
"""The tag that holds a job's name: names are not unique, and are there to be found by."""

PRIORITIES: Final = {"highest": 30, "high": 20, "medium": 10, "normal": 0, "low": -10, "lowest": -20}
"""Their names for our numbers. Theirs count the other way, 10 to 60."""

_OPTIONS: Final = ("name", "priority", "timeout", "retryMax", "retryDelay", "repeat", "repeatDelay", "dateEnable")

_REPEATS: Final = "jobs do not repeat here: submit the next one at the end of the function"

_LOG_TYPES: Final = {"debug": "information", "info": "information", "warning": "warning"}

_MEANINGS: Final = {
    "created": Meaning(JobState.CREATED),
    "added": Meaning(JobState.QUEUED),
    "waiting": Meaning(JobState.QUEUED),
    "active": Meaning(JobState.RUNNING),
    "completed": Meaning(JobState.SUCCEEDED),
    "cancelled": Meaning(JobState.CANCELLED),
    "failed": Meaning(JobState.SCHEDULED, HoldReason.RETRY),
    "terminated": Meaning(JobState.FAILED),
}


def state(record: JobRecord, *, first: FirstWord = "added") -> str:
    """Return the word for the state; ``first`` says what a job that waits for its first run is called."""
    word = STATES[situation_of(record)].rethinkdb
    return first if word == "added" else word


def parse_state(word: str, *, ahead: bool | None = None) -> Meaning:
    """Return what the word means.

    Args:
        word: the status.
        ahead: whether ``dateEnable`` is still to come. Without it, a failed job is taken to wait for its time, and
            one that waits for a worker to be ready.

    Raises:
        InvalidOption: no such word.
    """
    if word not in _MEANINGS:
        raise no_meaning(word, f"is no status of rethinkdb-job-queue's; there are {', '.join(_MEANINGS)}")
    if word in ("added", "waiting") and ahead:
        return Meaning(JobState.SCHEDULED, HoldReason.DELAY)
    return Meaning(JobState.QUEUED) if word == "failed" and ahead is False else _MEANINGS[word]


def status(record: JobRecord, *, first: FirstWord = "added") -> dict[str, Any]:
    """Return the job's document: times in milliseconds, progress from 0 to 100, and the arguments among the fields.

    Arguments that have no names, or whose names are the document's, stand under ``data``.
    """
    document = _schema(record, first)
    payload = payload_of(record)
    is_free = isinstance(payload, dict) and document.keys().isdisjoint(cast("dict[str, Any]", payload))
    return {**(payload if is_free else {"data": payload}), **document}


def _schema(record: JobRecord, first: FirstWord) -> dict[str, Any]:
    retry_rule = record.options.retry
    return {
        "id": record.id,
        "name": record.tags.get(NAME_TAG, record.id),
        "priority": _priority_name(record.priority),
        "timeout": _millis(_timeout(record)),
        "retryDelay": _millis(retry_rule.delay),
        "retryMax": record.max_attempts - 1,
        "repeat": False,
        "repeatDelay": 300_000,
        "retryCount": _retry_count(record),
        "processCount": record.claim,
        "progress": percent(record.progress) if _shows_progress(record) else 0.0,
        "status": state(record, first=first),
        "log": list(_log(record)),
        "dateCreated": iso(record.submitted_at),
        "dateEnable": iso(_enabled_at(record)),
        "dateStarted": iso_or_none(record.started_at),
        "dateFinished": iso_or_none(_finished_at(record)),
        "queueId": worker_of(record),
    }


def _priority_name(priority: int) -> str:
    """Return the name of the nearest priority that has one."""
    return min(PRIORITIES, key=lambda name: abs(PRIORITIES[name] - priority))


def _timeout(record: JobRecord) -> float | None:
    return record.options.timeout if record.options.heartbeat_timeout is None else record.options.heartbeat_timeout


def _millis(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _retry_count(record: JobRecord) -> int:
    """Return how many retries were used: a failure counts at once if another run follows."""
    is_last_run = record.state is JobState.RUNNING or ended_in_a_run(record)
    return record.attempt - 1 if is_last_run else record.attempt


def _shows_progress(record: JobRecord) -> bool:
    return record.state in (JobState.RUNNING, JobState.SUCCEEDED)


def _enabled_at(record: JobRecord) -> datetime:
    """Return from when the job may be taken: of one that runs, when its lease is over."""
    timeout = _timeout(record)
    if record.state is not JobState.RUNNING or record.started_at is None or timeout is None:
        return record.due_at
    return record.started_at + timedelta(seconds=timeout + record.options.retry.delay * _retry_count(record))


def _finished_at(record: JobRecord) -> datetime | None:
    """Return when it ended, or its last run did that failed."""
    if record.ended_at is None and situation_of(record).is_after_failure:
        return record.attempts[-1].ended_at
    return record.ended_at


# -- the log ---------------------------------------------------------------------------------------


def _log(record: JobRecord) -> Iterator[dict[str, Any]]:
    """Yield the lines of the job and the ends of its runs by time; the last of one that succeeded has its result."""
    lines = [(line.at, 0, _line(record, line)) for line in record.log]
    ends = [(run.ended_at, 1, _end(record, run)) for run in record.attempts if run.ended_at is not None]
    for _, _, entry in sorted([*lines, *ends], key=lambda entry: entry[:2]):
        yield entry


def _line(record: JobRecord, line: LogLine) -> dict[str, Any]:
    run = next((run for run in reversed(record.attempts) if run.started_at <= line.at), None)
    kind = _LOG_TYPES.get(line.level, "error")
    return {**_entry(line.at, run, kind, "active"), "message": line.message, "data": line.data}


def _end(record: JobRecord, run: AttemptRecord) -> dict[str, Any]:
    assert run.ended_at is not None
    kind = "error" if run.error else "information"
    word = _OUTCOMES.get(run.outcome or "", "added")
    entry = _entry(run.ended_at, run, kind, word)
    entry |= {"message": run.error.message if run.error else f"Job {word}", "data": None}
    entry["duration"] = round((run.ended_at - run.started_at).total_seconds() * 1000)
    if word == "completed" and run.claim == record.claim:
        entry["data"] = record.result
    if run.error:
        entry |= {"errorMessage": run.error.message, "errorStack": run.error.traceback}
    return entry


_OUTCOMES: Final = {
    "succeeded": "completed",
    "retry_scheduled": "failed",
    "interrupted": "failed",
    "failed": "terminated",
    "dead_letter": "terminated",
    "cancelled": "cancelled",
}


def _entry(at: datetime, run: AttemptRecord | None, kind: str, word: str) -> dict[str, Any]:
    return {
        "date": iso(at),
        "queueId": f"worker-{run.worker}" if run else None,
        "type": kind,
        "status": word,
        "retryCount": run.number - 1 if run else 0,
        "processCount": run.claim if run else 0,
    }


# -- the way in ------------------------------------------------------------------------------------


def retry(retry_max: int = 3, retry_delay: int = 600_000) -> Retry:
    """Return the rule: so many runs more after the first, at once, then after 1, 2, … times ``retry_delay`` ms."""
    delay = retry_delay / 1000
    return Retry(max_attempts=retry_max + 1, backoff="linear", initial=0.0, delay=delay, cap=LONGEST_S, jitter=0.0)


def options(job: given.Given) -> dict[str, Any]:
    """Return the options of ``createJob`` for ``task.using(**…)``; times in milliseconds.

    Without more: priority ``normal``, ``timeout`` 300,000, ``retryMax`` 3 and ``retryDelay`` 600,000. Progress starts
    the timeout anew there, so it is a ``heartbeat_timeout`` here. The name becomes the tag ``name``.

    Raises:
        InvalidOption: a value that the setters of its jobs refuse (``createJob`` takes a default instead, and says
            nothing); a timeout of 0, in which nothing can run; and ``repeat``, for which there is nothing here.
    """
    body = given.known(job, _OPTIONS)
    given.not_here(body, {"repeat": _REPEATS})
    given.whole(body, "repeatDelay", 300_000, 0)
    name = given.name(body, "name", NAME_LIMIT)
    known: dict[str, Any] = {
        "priority": PRIORITIES[given.choice(body, "priority", "normal", *PRIORITIES)],
        "heartbeat_timeout": given.whole(body, "timeout", 300_000, 1) / 1000,
        "retry": retry(given.whole(body, "retryMax", 3, 0), given.whole(body, "retryDelay", 600_000, 0)),
    }
    if name is not None:
        known["tags"] = {NAME_TAG: name}
    if run_at := given.instant(body, "dateEnable"):
        known["run_at"] = run_at
    return known
