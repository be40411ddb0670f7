"""Zeridion Flare's words: twelve fields, times only where they have happened, and no priorities."""

from __future__ import annotations

from typing import Any, Final

from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.record import JobRecord
from actorq.views import given
from actorq.views.picture import Meaning, failures_of, iso, iso_or_none, no_meaning, was_reported
from actorq.views.situation import situation_of
from actorq.views.vocabulary import STATES

__all__ = ["options", "parse_state", "retry", "state", "status"]

ATTEMPTS_LIMIT: Final = 100
TIMEOUT_LIMIT_S: Final = 86_400
JOB_TYPE_LIMIT: Final = 500
QUEUE_LIMIT: Final = 100
KEY_LIMIT: Final = 200
"""Characters, as are those before."""

DEFAULT_QUEUE: Final = "default"

_OPTIONS: Final = (
    "job_type", "payload", "queue", "run_at", "max_attempts", "timeout_seconds", "idempotency_key", "tags",
    "parent_job_id",
)  # fmt: skip

_MEANINGS: Final = {
    "pending": Meaning(JobState.QUEUED),
    "scheduled": Meaning(JobState.SCHEDULED, HoldReason.DELAY),
    "processing": Meaning(JobState.RUNNING),
    "succeeded": Meaning(JobState.SUCCEEDED),
    "failed": Meaning(JobState.FAILED),
    "dead_letter": Meaning(JobState.DEAD_LETTER),
    "cancelled": Meaning(JobState.CANCELLED),
}


def state(record: JobRecord) -> str:
    """Return Flare's word for the state, as its API writes it. ``failed`` is reserved there, and used here."""
    return STATES[situation_of(record)].flare


def parse_state(word: str, *, ahead: bool = False, has_parent: bool = False) -> Meaning:
    """Return what Flare's word means.

    Args:
        word: as its API writes it.
        ahead: whether ``run_at`` is still to come: a pending job waits for its next attempt then.
        has_parent: whether ``parent_job_id`` is set: a scheduled job waits for that one then.

    Raises:
        InvalidOption: no such word, or a job that waits for another one: there is nothing like it here.
    """
    if word not in _MEANINGS:
        raise no_meaning(word, f"is no state of Flare's; there are {', '.join(_MEANINGS)}")
    if word == "scheduled" and has_parent:
        raise no_meaning(word, "waits for its parent: jobs do not wait for each other here")
    return Meaning(JobState.SCHEDULED, HoldReason.RETRY) if word == "pending" and ahead else _MEANINGS[word]


def status(record: JobRecord) -> dict[str, Any]:
    """Return Flare's ``JobStatus``: times in ISO 8601, progress from 0.0 to 1.0, attempts from 1."""
    word = state(record)
    has_run = word in ("processing", "succeeded", "failed", "dead_letter")
    failures = failures_of(record)
    return {
        "JobId": record.id,
        "State": word,
        "JobType": record.task,
        "Queue": record.group or DEFAULT_QUEUE,
        "CreatedAt": iso(record.submitted_at),
        "StartedAt": iso_or_none(record.started_at) if has_run else None,
        "CompletedAt": iso_or_none(record.ended_at),
        "AttemptNumber": max(record.attempt, 1),
        "MaxAttempts": record.max_attempts,
        "Progress": record.progress.value if was_reported(record.progress) else None,
        "ErrorMessage": failures[-1].message if failures else None,
        "Tags": dict(record.tags) or None,
    }


def retry(max_attempts: int = 3) -> Retry:
    """Return Flare's rule: a minute, doubled each time, and up to three seconds by chance; never over six hours."""
    return Retry(max_attempts=max_attempts, delay=60.0, factor=2.0, spread=3.0, cap=6 * 3600.0, jitter=0.0)


def options(job: given.Given) -> dict[str, Any]:
    """Return the options of a job for ``task.using(**…)``, named as in the body of ``POST /jobs``.

    Without more: three attempts in all, 1,800 seconds each, queue ``default``, and ``dead_letter``, as every job
    of Flare's that fails for good. A queue is a group here. The same ``idempotency_key`` with another payload is
    refused, as there. ``job_type`` and ``payload`` say what is run: here that is the call itself, so they are left out.

    Raises:
        InvalidOption: what Flare refuses; and ``parent_job_id``, for which there is nothing here.
    """
    body = given.known(job, _OPTIONS)
    given.not_here(body, {"parent_job_id": "jobs do not wait for each other here: submit it from the parent"})
    given.name(body, "job_type", JOB_TYPE_LIMIT)
    known: dict[str, Any] = {
        "retry": retry(given.whole(body, "max_attempts", 3, 1, ATTEMPTS_LIMIT)),
        "timeout": float(given.whole(body, "timeout_seconds", 1_800, 1, TIMEOUT_LIMIT_S)),
        "dead_letter": True,
        "tags": given.pairs(body, "tags"),
    }
    queue = (given.name(body, "queue", QUEUE_LIMIT) or DEFAULT_QUEUE).strip()
    if queue and queue != DEFAULT_QUEUE:
        known["group"] = queue
    if run_at := given.instant(body, "run_at"):
        known["run_at"] = run_at
    if key := given.name(body, "idempotency_key", KEY_LIMIT):
        known |= {"key": key, "on_conflict": "strict_body"}
    return known
