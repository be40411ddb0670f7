"""The table: what five systems call each situation of a job, and each reason for which one ends badly.

A row for each situation, a column for each system. Where a system has no word for it, the nearest stands here: these
rows say so. What is removed has no word anywhere: it is not there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actorq.core.job import Reason
from actorq.views.situation import Situation

__all__ = ["REASONS", "STATES", "Reasons", "Words"]


class Words(NamedTuple):
    """One row: a word for each system."""

    iron: str
    pipeshub: str
    rethinkdb: str
    dataqueue: str
    flare: str


STATES: Final[dict[Situation, Words]] = {
    Situation.DELAYED: Words("delayed", "delayed", "added", "pending", "scheduled"),
    Situation.RETRY_DELAYED: Words("delayed", "delayed", "failed", "failed", "pending"),
    Situation.RECLAIMED_DELAYED: Words("delayed", "delayed", "failed", "pending", "pending"),
    # nearest: nobody else holds a job for another one's key; as one that depends on another
    Situation.KEY_HELD: Words("delayed", "waiting", "added", "pending", "scheduled"),
    # nearest: where nobody serves its kind, and where a kind is not served any more, a job just waits
    Situation.PARKED: Words("queued", "waiting", "added", "pending", "pending"),
    Situation.QUEUED: Words("queued", "waiting", "added", "pending", "pending"),
    Situation.QUEUED_AFTER_FAILURE: Words("queued", "waiting", "failed", "failed", "pending"),
    Situation.QUEUED_BY_RERUN: Words("queued", "waiting", "added", "pending", "pending"),
    Situation.QUEUED_RECLAIMED: Words("queued", "waiting", "failed", "pending", "pending"),
    # nearest, but for PipesHub: it alone pauses single jobs
    Situation.PAUSED: Words("delayed", "paused", "added", "pending", "scheduled"),
    Situation.RUNNING: Words("running", "active", "active", "processing", "processing"),
    Situation.RUNNING_STALLED: Words("running", "stuck", "active", "processing", "processing"),
    # two of them do not wait for the function
    Situation.RUNNING_CANCEL_REQUESTED: Words("cancelled", "active", "cancelled", "processing", "processing"),
    Situation.SUCCEEDED: Words("success", "completed", "completed", "completed", "succeeded"),
    Situation.FAILED: Words("error", "failed", "terminated", "failed", "failed"),
    Situation.DEAD_LETTER: Words("error", "failed", "terminated", "failed", "dead_letter"),
    # nearest for PipesHub: it removes what it cancels
    Situation.CANCELLED: Words("cancelled", "failed", "cancelled", "cancelled", "cancelled"),
}
"""rethinkdb-job-queue's later ``waiting`` is ``added`` here, as in its first description."""


class Reasons(NamedTuple):
    """One row: the words of those two that have words, and not only texts."""

    iron: str
    dataqueue: str | None


REASONS: Final[dict[Reason, Reasons]] = {
    Reason.ERROR: Reasons("bad_exit", "handler_error"),
    Reason.TIMEOUT: Reasons("timeout", "timeout"),
    Reason.HEARTBEAT: Reasons("timeout", None),
    Reason.DEADLINE: Reasons("timeout", "timeout"),
    Reason.EXPIRED: Reasons("timeout", "timeout"),
    Reason.KILLED: Reasons("killed", "handler_error"),
    Reason.BAD_EXIT: Reasons("bad_exit", "handler_error"),
    # both notice a worker that is gone by its silence; DataQueue gives its job to another without a word
    Reason.INTERRUPTED: Reasons("timeout", None),
    Reason.SNOOZED: Reasons("bad_exit", "handler_error"),
    Reason.NO_TASK: Reasons("bad_exit", "no_handler"),
    Reason.BAD_PAYLOAD: Reasons("bad_exit", "handler_error"),
    Reason.BAD_RESULT: Reasons("bad_exit", "handler_error"),
    Reason.CLIENT_REQUEST: Reasons("client_request", None),
    Reason.HANDLER: Reasons("client_request", None),
    Reason.TASK_PAUSED: Reasons("client_request", None),
    Reason.SUPERSEDED: Reasons("client_request", None),
    Reason.PAUSED: Reasons("client_request", None),
    Reason.SHUTDOWN: Reasons("client_request", None),
}
