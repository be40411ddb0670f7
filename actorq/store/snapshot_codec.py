"""Jobs and totals ⇄ the lines of a snapshot.

A line says what it says by itself: no table elsewhere in the file is needed to read it. A new state,
or anything else that an older reader must not overlook, is a new ``VERSION``; every earlier one opens
for ever. ``docs/file-format.md`` is the specification.

Costs: 3 µs to encode a job of 260 bytes, 13 µs to check and decode it.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final, cast

import orjson
from attrs import frozen

from actorq.config import LINE_LIMIT
from actorq.core.job import NO_PROGRESS, Attempt, HoldReason, Job, JobState
from actorq.store import field
from actorq.store.line import HEADER_SEED, Damage, check_version, dump, frame, unframe

__all__ = [
    "VERSION",
    "Footer",
    "Header",
    "JobDecoder",
    "JobEncoder",
    "decode_footer",
    "decode_header",
    "encode_footer",
    "encode_header",
]

FORMAT: Final = "actorq-snapshot"

VERSION: Final = 4
"""Version 1 left ephemeral jobs out; with a journal, facts about them follow. Version 2 had no paused jobs. Version 3
had fewer options, and fewer reasons."""


@frozen
class Header:
    """The first line: what the ledger was beside its jobs, and who wrote it down."""

    n: int
    """The number of the last fact: replay goes on behind it."""
    now: float
    seq: int
    removed: int
    salt: int
    queue: str
    boot: str
    """Which boot of the machine wrote the file, for people who look for reasons."""
    wall: float
    """When, by the wall clock."""
    pauses: tuple[tuple[str, float], ...] = ()
    """What is paused (a group, or empty: the queue), and until when; infinity: until it is resumed."""


@frozen
class Footer:
    """The last line: without it, and without its being right, the file is nothing."""

    count: int
    """Lines of jobs."""
    left_out: int
    """Jobs of the ledger that have no line: accepted = count + left out + removed. Only in version 1."""
    upto: int
    """The last fact of which the file may know anything."""
    digest: str
    """CRC-32 of all bytes of the file before this line, in hex."""


def encode_header(header: Header) -> bytes:
    """Return the first line of a snapshot."""
    fields: dict[str, Any] = {
        "t": "hdr",
        "f": FORMAT,
        "v": VERSION,
        "n": header.n,
        "now": header.now,
        "seq": header.seq,
        "removed": header.removed,
        "salt": header.salt,
        "queue": header.queue,
        "boot": header.boot,
        "wall": header.wall,
    }
    if header.pauses:
        fields["pauses"] = {scope: until if until < inf else None for scope, until in header.pauses}
    return frame(dump(fields), HEADER_SEED)


def decode_header(line: bytes) -> Header:
    """Return what the first line says.

    Raises:
        NewerVersion: a later actorq wrote it.
        Damage: it cannot be trusted.
    """
    fields = unframe(line, HEADER_SEED)
    check_version(fields, FORMAT, VERSION)
    return Header(**field.parse(fields, {**_HEADER, "pauses": _pauses}, _HEADER))


def encode_footer(footer: Footer, salt: int) -> bytes:
    """Return the last line of a snapshot."""
    fields = {
        "t": "end",
        "count": footer.count,
        "upto": footer.upto,
        "digest": footer.digest,
    }
    return frame(dump(fields), salt)


def decode_footer(fields: dict[str, Any]) -> Footer:
    """Return what the last line says, or raise Damage."""
    values = field.parse(fields, _FOOTER, _FOOTER_REQUIRED)
    values.setdefault("left_out", 0)
    return Footer(**values)


# -- writing jobs ----------------------------------------------------------------------------------


class JobEncoder:
    """Turns jobs into lines of one file."""

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._options = field.OptionsEncoder()

    def encode(self, job: Job) -> bytes:
        """Return the line of the job.

        A job that would not fit the longest line loses its log, and if need be the messages and
        tracebacks of its earlier attempts: better than to keep all jobs from being written.

        Raises:
            ValueError: even so it does not fit; the limits in ``config`` leave no such job.
        """
        fields = self._fields(job)
        line = frame(dump(fields), self._salt)
        for lighten in (_drop_log, _drop_texts):
            if len(line) <= LINE_LIMIT:
                return line
            lighten(fields)
            line = frame(dump(fields), self._salt)
        if len(line) > LINE_LIMIT:
            raise ValueError(f"job {job.id} takes {len(line)} bytes; a line has {LINE_LIMIT}")
        return line

    def _fields(self, job: Job) -> dict[str, Any]:  # noqa: C901, PLR0912 - a list, not a thought
        fields: dict[str, Any] = {
            "t": "job",
            "id": job.id,
            "seq": job.seq,
            "task": job.task,
            "state": job.state,
            "submitted_at": job.submitted_at,
        }
        if job.due_at != job.submitted_at:
            fields["due_at"] = job.due_at
        if job.limits_from != job.submitted_at:
            fields["limits_from"] = job.limits_from
        if job.ephemeral:
            fields["ephemeral"] = True
        for name in _LINKS:
            if (said := getattr(job, name)) is not None:
                fields[name] = said
        if job.hold_reason is not None:
            fields["hold_reason"] = job.hold_reason
        if job.attempt:
            fields["attempt"] = job.attempt
        if job.claim:
            fields["claim"] = job.claim
        if job.worker:
            fields["worker"] = job.worker
        if job.interruptions:
            fields["interruptions"] = job.interruptions
        if job.snoozes:
            fields["snoozes"] = job.snoozes
        if job.first_started_at is not None:
            fields["first_started_at"] = job.first_started_at
        if job.started_at is not None:
            fields["started_at"] = job.started_at
        if job.ended_at is not None:
            fields["ended_at"] = job.ended_at
        if job.stalled:
            fields["stalled"] = True
        if job.cancel_requested is not None:
            fields["cancel_requested"] = job.cancel_requested
        if job.failure is not None:
            fields["failure"] = field.failure_fields(job.failure)
        if job.progress != NO_PROGRESS:
            fields["progress"] = field.progress_fields(job.progress)
        if job.attempts:
            fields["attempts"] = [_attempt_fields(run) for run in job.attempts]
        if job.log:
            fields["log"] = [_log_fields(*line) for line in job.log]
        if (options := self._options.encode(job.options)) is not None:
            fields["options"] = options
        if job.payload:
            fields["payload"] = orjson.Fragment(job.payload)
        if job.result is not None:
            fields["result"] = orjson.Fragment(job.result)
        return fields


def _attempt_fields(run: Attempt) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "number": run.number,
        "claim": run.claim,
        "worker": run.worker,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "outcome": run.outcome,
    }
    if run.failure is not None:
        fields["failure"] = field.failure_fields(run.failure)
    return fields


def _log_fields(at: float, level: str, message: str, data: bytes) -> list[Any]:
    return [at, level, message, orjson.Fragment(data)] if data else [at, level, message]


def _drop_log(fields: dict[str, Any]) -> None:
    fields.pop("log", None)


def _drop_texts(fields: dict[str, Any]) -> None:
    for run in fields.get("attempts", ()):
        for name in ("message", "traceback"):
            run.get("failure", {}).pop(name, None)


# -- reading ---------------------------------------------------------------------------------------


class JobDecoder:
    """Turns lines of one file into jobs."""

    def __init__(self) -> None:
        self._parsers: dict[str, field.Parser] = {**_JOB, "options": field.OptionsDecoder().decode}

    def decode(self, fields: dict[str, Any]) -> Job:
        """Return the job that the fields of a line tell of.

        Raises:
            Damage: they have the wrong types, or are such as no job has.
        """
        values = field.parse(fields, self._parsers, _JOB_REQUIRED)
        values.setdefault("options", field.PLAIN_OPTIONS)
        values.setdefault("due_at", values["submitted_at"])
        values.setdefault("limits_from", values["submitted_at"])
        if "payload" not in values:
            if "ephemeral" not in values:
                raise Damage("payload is missing")
            values["payload"] = b""
        job = Job(**values)
        if job.ended_at is None and job.state.is_final:
            raise Damage("ended_at is missing, though the job has ended")
        if job.hold_reason is HoldReason.KEY and job.key is None:
            raise Damage("key is missing, though the job waits for it")
        if job.state is JobState.RUNNING and (job.started_at is None or not job.attempt or not job.claim):
            raise Damage("started_at, attempt or claim is missing, though the job runs")
        return job


def _log_line(value: Any) -> tuple[float, str, str, bytes]:
    match value:
        case [at, level, message]:
            return field.number(at), field.text(level), field.text(message), b""
        case [at, level, message, data]:
            return field.number(at), field.text(level), field.text(message), field.json(data)
        case _:
            raise Damage("is not a log line")


def _pauses(value: Any) -> tuple[tuple[str, float], ...]:
    if type(value) is not dict:
        raise Damage("is not an object")
    pauses = cast("dict[str, Any]", value)
    return tuple((scope, inf if until is None else field.number(until)) for scope, until in pauses.items())


_LINKS = ("key", "retry_of", "retried_by", "dead_letter_of", "dead_letter_job_id")
"""What names other jobs, or may stand for them."""

_HEADER: dict[str, field.Parser] = {
    "n": field.whole,
    "now": field.number,
    "seq": field.whole,
    "removed": field.whole,
    "salt": field.whole,
    "queue": field.text,
    "boot": field.text,
    "wall": field.number,
}

_FOOTER: dict[str, field.Parser] = {
    "count": field.whole,
    "left_out": field.whole,
    "upto": field.whole,
    "digest": field.text,
}

_ATTEMPT: dict[str, field.Parser] = {
    "number": field.whole,
    "claim": field.whole,
    "worker": field.whole,
    "started_at": field.number,
    "ended_at": field.number,
    "outcome": field.text,
    "failure": field.failure,
}

_STATES = field.one_of(JobState)


def _stored_state(value: Any) -> JobState:
    state: JobState = _STATES(value)
    if state is JobState.CREATED:
        raise Damage("is one that is never stored")
    return state


_JOB: dict[str, field.Parser] = {
    "id": field.text,
    "seq": field.whole,
    "task": field.text,
    "payload": field.json,
    "state": _stored_state,
    "submitted_at": field.number,
    "due_at": field.number,
    "ephemeral": field.flag,
    **dict.fromkeys(_LINKS, field.text),
    "hold_reason": field.one_of(HoldReason),
    "limits_from": field.number,
    "attempt": field.whole,
    "claim": field.whole,
    "worker": field.whole,
    "interruptions": field.whole,
    "snoozes": field.whole,
    "first_started_at": field.number,
    "started_at": field.number,
    "ended_at": field.number,
    "stalled": field.flag,
    "cancel_requested": field.text,
    "result": field.json,
    "failure": field.failure,
    "progress": field.progress,
    "attempts": field.each(
        field.record(Attempt, _ATTEMPT, "number", "claim", "worker", "started_at", "ended_at", "outcome")
    ),
    "log": field.each(_log_line),
}
"""All of a job but its options, which a decoder shares among jobs."""

_FOOTER_REQUIRED = ("count", "upto", "digest")

_JOB_REQUIRED = ("id", "seq", "task", "state", "submitted_at")
