"""IronWorker's and IronFunctions' words: a status never changes once it is final, for a retry is another task.

Here a job keeps its id through all its attempts. So the view cuts it at each failure: :func:`chain` has the tasks
that Iron would have made, tied by ``retry_of`` and ``retry_at`` (which is the *id* of the newer task, not a time).
The first has the id of the job; a later one has a dot and the number of its first possible run behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from math import ceil
from typing import Any, Final

from attrs import frozen

from actorq.config import ATTEMPT_HISTORY, LONGEST_S, PAYLOAD_LIMIT
from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.record import AttemptRecord, ErrorRecord, JobRecord
from actorq.views import given
from actorq.views.picture import Meaning, ended_in_a_run, iso, iso_or_none, no_meaning, payload_of
from actorq.views.situation import Situation, situation_of
from actorq.views.vocabulary import REASONS, STATES

__all__ = ["chain", "job_id_of", "options", "parse_state", "retry", "state", "status"]

RETRIES_LIMIT: Final = 25
"""The most retries that Iron allows."""

_OPTIONS: Final = (
    "image", "payload", "delay", "timeout", "priority", "max_retries", "retries_delay", "idle_timeout",
)  # fmt: skip

_MEANINGS: Final = {
    "delayed": Meaning(JobState.SCHEDULED, HoldReason.DELAY),
    "queued": Meaning(JobState.QUEUED),
    "running": Meaning(JobState.RUNNING),
    "success": Meaning(JobState.SUCCEEDED),
    "error": Meaning(JobState.FAILED),
    "cancelled": Meaning(JobState.CANCELLED),
}

_ENDS_TASK: Final = {
    "retry_scheduled": Situation.FAILED,
    "failed": Situation.FAILED,
    "dead_letter": Situation.DEAD_LETTER,
    "succeeded": Situation.SUCCEEDED,
    "cancelled": Situation.CANCELLED,
}
"""Outcomes of runs after which Iron would make another task. After others the same one goes back in line."""


def state(record: JobRecord) -> str:
    """Return the status of the job's last task."""
    return STATES[situation_of(record)].iron


def parse_state(word: str, *, retry_of: str | None = None, retry_at: str | None = None) -> Meaning:
    """Return what a task's status means; the fields beside it tell a retry from a delay, and an end from a link.

    Raises:
        InvalidOption: no such word; or the task was retried, and the last one of its chain decides.
    """
    if word not in _MEANINGS:
        raise no_meaning(word, f"is no status of Iron's; there are {', '.join(_MEANINGS)}")
    if retry_at is not None:
        raise no_meaning(word, f"is not the last of its chain: ask task {retry_at}, its retry")
    if word == "delayed" and retry_of is not None:
        return Meaning(JobState.SCHEDULED, HoldReason.RETRY)
    return _MEANINGS[word]


def status(record: JobRecord) -> dict[str, Any]:
    """Return the job's last task: ``IdStatus`` (``id``, ``status``) with all that a ``Task`` has beside it."""
    return chain(record)[-1]


def chain(record: JobRecord) -> list[dict[str, Any]]:
    """Return the tasks that Iron would have made, oldest first.

    A record keeps its last runs only, so a very long chain has lost its beginning. A job that ended without a run
    and was rerun goes on as the same task.
    """
    links = list(_links(record))
    ids = [link.task_id(record) for link in links]
    older = [record.retry_of if links[0].serial == 1 else None, *ids[:-1]]
    newer = [*ids[1:], record.retried_by]
    return [
        {"id": task_id, **_task(record, link), "retry_of": retry_of, "retry_at": retry_at}
        for task_id, link, retry_of, retry_at in zip(ids, links, older, newer, strict=True)
    ]


def job_id_of(task_id: str) -> str:
    """Return the id of the job that a task of the chain belongs to."""
    job_id, dot, number = task_id.rpartition(".")
    return job_id if dot and number.isdecimal() else task_id


@frozen
class _Link:
    """What becomes one task."""

    serial: int
    """The claim of the first run that may belong to it: stays, however the history is cut."""
    attempt: int
    situation: Situation
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error: ErrorRecord | None
    delay: int

    def task_id(self, record: JobRecord) -> str:
        return record.id if self.serial == 1 else f"{record.id}.{self.serial}"


def _links(record: JobRecord) -> Iterator[_Link]:
    runs = record.attempts
    is_cut = len(runs) >= ATTEMPT_HISTORY
    serial, born, delay = runs[0].claim if is_cut else 1, record.submitted_at, 0
    last: AttemptRecord | None = None
    started: datetime | None = None
    for run in runs:
        started = run.started_at
        if run.outcome in _ENDS_TASK:
            yield _closed(run, serial, born, delay)
            serial, born, delay = run.claim + 1, run.ended_at or born, _retries_delay(record)
            last, started = run, None
    if last is not None and last.outcome != "retry_scheduled":
        if ended_in_a_run(record):
            return
        born = record.requeued_at or born
    yield _open(record, serial, born, started)


def _closed(run: AttemptRecord, serial: int, born: datetime, delay: int) -> _Link:
    situation = _ENDS_TASK[run.outcome or ""]
    return _Link(serial, run.number, situation, born, run.started_at, run.ended_at, run.error, delay)


def _open(record: JobRecord, serial: int, born: datetime, started: datetime | None) -> _Link:
    attempt = record.attempt if record.state is JobState.RUNNING else record.attempt + 1
    delay = max(0, ceil((record.due_at - born).total_seconds()))
    situation = situation_of(record)
    return _Link(serial, attempt, situation, born, started, record.ended_at, record.error, delay)


def _retries_delay(record: JobRecord) -> int:
    return round(record.options.retry.delay)


def _task(record: JobRecord, link: _Link) -> dict[str, Any]:
    word = STATES[link.situation].iron
    timeout, payload = record.options.timeout, payload_of(record)
    return {
        "status": word,
        "image": record.task,
        "payload": payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False),
        "group_name": record.group,
        "delay": link.delay,
        "timeout": None if timeout is None else ceil(timeout),
        "priority": min(max(record.priority, 0), 2),
        "max_retries": max(0, record.max_attempts - link.attempt),
        "retries_delay": _retries_delay(record),
        "error": link.error.message if word == "error" and link.error else None,
        "reason": _reason(word, link.error),
        "created_at": iso(link.created_at),
        "started_at": iso_or_none(link.started_at),
        "completed_at": iso_or_none(link.completed_at),
        "env_vars": {},
    }


def _reason(word: str, error: ErrorRecord | None) -> str | None:
    if word == "cancelled":
        return "client_request"  # Iron knows no other
    return REASONS[error.reason].iron if word == "error" and error else None


def retry(max_retries: int = 0, retries_delay: int = 60) -> Retry:
    """Return Iron's rule: so many runs more after the first, each after the same time in seconds."""
    return Retry(max_attempts=max_retries + 1, backoff="fixed", delay=retries_delay, cap=LONGEST_S, jitter=0.0)


def options(task: given.Given) -> dict[str, Any]:
    """Return the options of a ``NewTask`` for ``task.using(**…)``.

    ``priority`` (0 to 2, higher first) is required. Without more: no delay, ``timeout`` 60 s, no retries,
    ``retries_delay`` 60 s; all in seconds. ``image`` and ``payload`` say what is run: here that is the call itself, so
    they are checked and left out. ``idle_timeout`` is left out, too: a worker without a job costs nothing.

    Raises:
        InvalidOption: what Iron refuses.
    """
    new = given.known(task, _OPTIONS)
    given.required(new, "priority")
    given.name(new, "image", PAYLOAD_LIMIT)
    _check_payload(new)
    given.whole(new, "idle_timeout", 30, 0)
    return {
        "priority": given.whole(new, "priority", 0, 0, 2),
        "delay": float(given.whole(new, "delay", 0, 0)),
        "timeout": float(given.whole(new, "timeout", 60, 1)),
        "retry": retry(given.whole(new, "max_retries", 0, 0, RETRIES_LIMIT), given.whole(new, "retries_delay", 60, 0)),
    }


def _check_payload(new: given.Given) -> None:
    payload = new.get("payload", "")
    if not isinstance(payload, str) or len(payload.encode(errors="surrogatepass")) > PAYLOAD_LIMIT:
        raise InvalidOption("payload", "…", f"wants a string of at most {PAYLOAD_LIMIT} bytes")
