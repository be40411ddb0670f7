"""DataQueue's words: ``failed`` is both "will run again" and "is over", and ``nextAttemptAt`` tells which."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from actorq.config import KEY_LIMIT, LONGEST_S, NAME_LIMIT
from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.record import JobRecord
from actorq.views import given
from actorq.views.picture import (
    Meaning,
    failures_of,
    iso,
    iso_or_none,
    no_meaning,
    payload_of,
    percent,
    was_reported,
    worker_of,
)
from actorq.views.situation import Situation, situation_of
from actorq.views.vocabulary import REASONS, STATES

__all__ = ["options", "parse_state", "retry", "state", "status"]

_OPTIONS: Final = (
    "jobType", "payload", "maxAttempts", "priority", "runAt", "timeoutMs", "forceKillOnTimeout", "tags",
    "idempotencyKey", "retryDelay", "retryBackoff", "retryDelayMax", "deadLetterJobType", "group", "dependsOn",
)  # fmt: skip

_NOT_HERE: Final = {
    "dependsOn": "jobs do not wait for each other here: submit it from the one before",
}

_MEANINGS: Final = {
    "pending": Meaning(JobState.QUEUED),
    "processing": Meaning(JobState.RUNNING),
    "completed": Meaning(JobState.SUCCEEDED),
    "failed": Meaning(JobState.FAILED),
    "cancelled": Meaning(JobState.CANCELLED),
}


def state(record: JobRecord) -> str:
    """Return DataQueue's word for the state."""
    return STATES[situation_of(record)].dataqueue


def parse_state(
    word: str, *, ahead: bool = False, next_attempt_at: object = None, dead_lettered_at: object = None
) -> Meaning:
    """Return what DataQueue's word means, with the fields beside it.

    Args:
        word: its status.
        ahead: whether the time, ``runAt`` or ``nextAttemptAt``, is still to come.
        next_attempt_at: ``nextAttemptAt``; a failed job that has one runs again.
        dead_lettered_at: ``deadLetteredAt``.

    Raises:
        InvalidOption: no such word; or ``waiting``, which is a job in the middle of a run: there is none here.
    """
    if word == "waiting":
        raise no_meaning(word, "means a run that was suspended: nothing here is")
    if word not in _MEANINGS:
        raise no_meaning(word, f"is no status of DataQueue's; there are {', '.join(_MEANINGS)}, waiting")
    if word == "pending" and ahead:
        return Meaning(JobState.SCHEDULED, HoldReason.DELAY)
    if word == "failed" and next_attempt_at is not None:
        return Meaning(JobState.SCHEDULED, HoldReason.RETRY) if ahead else Meaning(JobState.QUEUED)
    if word == "failed" and dead_lettered_at is not None:
        return Meaning(JobState.DEAD_LETTER)
    return _MEANINGS[word]


def status(record: JobRecord, dead_letter: JobRecord | None = None) -> dict[str, Any]:
    """Return DataQueue's ``JobRecord``, with the field names of its documentation; instants in ISO 8601.

    Its ids are numbers: ours are the order of acceptance, ``record.seq``.

    Args:
        record: the job.
        dead_letter: the job that was made of it when it failed, if that is at hand: a record knows it by another id.
    """
    return {**_identity(record), **_attempts(record), **_times(record), **_rest(record, dead_letter)}


def _identity(record: JobRecord) -> dict[str, Any]:
    is_held = record.state is JobState.RUNNING
    return {
        "id": record.seq,
        "jobType": record.task,
        "payload": payload_of(record),
        "status": state(record),
        "createdAt": iso(record.submitted_at),
        "updated_at": iso(_last_change(record)),
        "locked_at": iso_or_none(record.started_at) if is_held else None,
        "locked_by": worker_of(record) if is_held else None,
    }


def _attempts(record: JobRecord) -> dict[str, Any]:
    goes_on = situation_of(record).is_after_failure
    failures = failures_of(record)
    return {
        "attempts": record.attempt,
        "maxAttempts": record.max_attempts,
        "nextAttemptAt": iso(record.due_at) if goes_on else None,
        "priority": record.priority,
        "runAt": iso(record.first_started_at or record.due_at if goes_on else record.due_at),
        "pendingReason": _pending_reason(record),
        "errorHistory": [{"message": one.message, "timestamp": iso(one.at)} for one in failures],
        "timeoutMs": None if record.options.timeout is None else round(record.options.timeout * 1000),
        "failureReason": REASONS[failures[-1].reason].dataqueue if failures else None,
    }


def _times(record: JobRecord) -> dict[str, Any]:
    ended_as = record.state
    failures = failures_of(record)
    return {
        "completedAt": iso_or_none(record.ended_at) if ended_as is JobState.SUCCEEDED else None,
        "startedAt": iso_or_none(record.first_started_at),
        "lastRetriedAt": iso_or_none(record.started_at if record.attempt > 1 else record.requeued_at),
        "lastFailedAt": iso(failures[-1].at) if failures else None,
        "lastCancelledAt": iso_or_none(record.ended_at) if ended_as is JobState.CANCELLED else None,
    }


def _rest(record: JobRecord, dead_letter: JobRecord | None) -> dict[str, Any]:
    wanted = record.options.dead_letter
    is_dead = record.state is JobState.DEAD_LETTER
    return {
        "tags": list(record.tags),
        "idempotencyKey": record.key,
        "progress": round(percent(record.progress)) if was_reported(record.progress) else None,
        "output": record.result,
        "deadLetterJobType": wanted if isinstance(wanted, str) else None,
        "deadLetteredAt": iso_or_none(record.ended_at) if is_dead else None,
        "deadLetterJobId": dead_letter.seq if dead_letter else None,
    }


def _last_change(record: JobRecord) -> datetime:
    """Return the last time that the record knows of. A rerun that is still to come does not count."""
    runs = [at for run in record.attempts for at in (run.started_at, run.ended_at)]
    logged = [line.at for line in record.log]
    requeued = None if record.state is JobState.SCHEDULED else record.requeued_at
    return max(at for at in (record.submitted_at, *runs, *logged, requeued, record.ended_at) if at is not None)


def _pending_reason(record: JobRecord) -> str | None:
    """Return why the job waits for something else than its time, as JSON."""
    situation = situation_of(record)
    if situation is Situation.PAUSED:
        return json.dumps({"reason": "paused"})
    if situation in (Situation.KEY_HELD, Situation.PARKED) and record.hold_reason:
        return json.dumps({"reason": record.hold_reason.value})
    return None


def retry(
    max_attempts: int = 3,
    *,
    retry_delay: int | None = None,
    retry_backoff: bool | None = None,
    retry_delay_max: int | None = None,
) -> Retry:
    """Return DataQueue's rule; times in seconds.

    If nothing is said of the delays, they are 2, 4, 8, … minutes. Else they are twice ``retry_delay`` (60), doubled
    each time, at most ``retry_delay_max``, of which chance takes up to half off; or always ``retry_delay`` with
    ``retry_backoff=False``. Chance only lengthens here, so the rule has the half for its base.
    """
    if retry_delay is None and retry_backoff is None and retry_delay_max is None:
        return Retry(max_attempts=max_attempts, delay=120.0, factor=2.0, cap=LONGEST_S, jitter=0.0)
    delay = 60 if retry_delay is None else retry_delay
    if retry_backoff is False:
        return Retry(max_attempts=max_attempts, delay=delay, backoff="fixed", cap=LONGEST_S, jitter=0.0)
    cap = LONGEST_S if retry_delay_max is None else retry_delay_max / 2
    return Retry(max_attempts=max_attempts, delay=delay, factor=2.0, cap=cap, jitter=1.0)


def options(job: given.Given) -> dict[str, Any]:
    """Return the options of ``addJob`` for ``task.using(**…)``.

    Without more: three attempts in all, priority 0 (higher first), no time limit. ``timeoutMs`` is in milliseconds,
    ``retryDelay`` (60) and ``retryDelayMax`` in seconds. An ``idempotencyKey`` that is held returns the job that holds
    it. ``forceKillOnTimeout`` runs the function in a process, where it can be ended by force, and gives it no grace.
    ``jobType`` and ``payload`` say what is run: here that is the call itself, so they are left out.

    Raises:
        InvalidOption: what cannot be: ``maxAttempts`` of zero, times below zero; and what there is not here:
            ``dependsOn``.
    """
    body = given.known(job, _OPTIONS)
    given.not_here(body, _NOT_HERE)
    known: dict[str, Any] = {
        "retry": _retry_of(body),
        "priority": given.whole(body, "priority", 0, -given.BIGGEST),
        "timeout": given.whole(body, "timeoutMs", 0, 1) / 1000 if "timeoutMs" in body else None,
        "tags": given.names(body, "tags"),
    }
    if given.flag(body, "forceKillOnTimeout", default=False):
        known |= {"run_in": "process", "grace": 0.0}
    if run_at := given.instant(body, "runAt"):
        known["run_at"] = run_at
    if key := given.name(body, "idempotencyKey", KEY_LIMIT):
        known |= {"key": key, "on_conflict": "return_existing"}
    if dead_letter := given.name(body, "deadLetterJobType", NAME_LIMIT):
        known["dead_letter"] = dead_letter
    if group := _group(body):
        known["group"] = group
    return known


def _retry_of(body: given.Given) -> Retry:
    delay = given.whole(body, "retryDelay", 60, 0)
    longest = given.whole(body, "retryDelayMax", 0, 0)
    backoff = given.flag(body, "retryBackoff", default=True)
    return retry(
        given.whole(body, "maxAttempts", 3, 1),
        retry_delay=delay if "retryDelay" in body else None,
        retry_backoff=backoff if "retryBackoff" in body else None,
        retry_delay_max=longest if "retryDelayMax" in body else None,
    )


def _group(body: given.Given) -> str | None:
    """Return the group's id. Its tier means nothing yet in DataQueue, either."""
    if "group" not in body:
        return None
    group = given.fields(body, "group", "id", "tier")
    given.required(group, "id")
    given.name(group, "tier", NAME_LIMIT)
    return given.name(group, "id", NAME_LIMIT)
