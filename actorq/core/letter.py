"""What is said of a dead job to the job that is made of it.

The text is put together rather than built anew: the arguments are spliced in as the JSON that they are, so what
was stored is handed on to the byte.
"""

from __future__ import annotations

from json import dumps
from typing import Any, cast

from actorq.core.job import Job

__all__ = ["dead_letter_of"]


def dead_letter_of(job: Job) -> bytes:
    """Return the arguments of a dead-letter job, ``[[letter], {}]`` as JSON.

    The letter has ``job`` (id, task, key, tags, group, attempt, max_attempts, submitted_at), ``payload`` (``args`` and
    ``kwargs`` in one list of two, as stored) and ``failure`` (reason, type, message, traceback, attempt, at).
    """
    failure = job.failure
    assert failure is not None
    options = job.options
    about = {
        "id": job.id,
        "task": job.task,
        "key": job.key,
        "group": options.group,
        "tags": dict(options.tags),
        "attempt": job.attempt,
        "max_attempts": options.retry.max_attempts,
        "submitted_at": job.submitted_at,
    }
    why = {
        "reason": failure.reason.value,
        "type": failure.type,
        "message": failure.message,
        "traceback": failure.traceback,
        "attempt": failure.attempt,
        "at": failure.at,
    }
    parts = _json(about), job.payload, _json(why)
    return b'[[{"job":%b,"payload":%b,"failure":%b}],{}]' % parts


def _json(fields: dict[str, Any]) -> bytes:
    return dumps(_whole(fields), ensure_ascii=False, separators=(",", ":")).encode()  # as it is when read again


def _whole(value: Any) -> Any:
    """Tell half a character as its escape: it is no JSON, and the message of an OSError may hold a bad file name."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(name): _whole(inner) for name, inner in cast("dict[str, Any]", value).items()}
    return value
