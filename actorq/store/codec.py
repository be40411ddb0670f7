"""Jobs and totals ⇄ lines of JSON: the only file that knows the format.

A line is one JSON object, and the last thing in it is its checksum: ``,"c":"`` and eight hex
digits, the CRC-32 of all bytes before them. So a line is whole or absent, whatever became of the
lines around it; the checksum is no chain, because salvage needs the good lines behind a bad one. It
is seeded with a number that each file draws for itself (its salt) and tells in its first line, so a
line of another file, or of an earlier life, does not pass for one of this. All this is against
accidents, not against an attacker.

Two rules. A line says what it says by itself: no table elsewhere in the file is needed to read it.
And nothing that was read is believed because its checksum is right: every field of ours has its
type checked, and what does not fit is :class:`Damage`. Fields that we do not know are ignored.

Fields have the names of the attributes they hold, and are left out at their default. To add one: a
line in the encoder, a line in the table of parsers; the tests compare both with the class. A new
state, or anything that an older reader must not overlook, is a new ``VERSION``.
``docs/snapshot-format.md`` is the specification.

Costs: 3 µs to encode a job of 260 bytes, 13 µs to check and decode it. Payloads are spliced in as the JSON
that they are, and copied when they are read: what orjson returns keeps a buffer of a kilobyte or
more for as long as it lives. Jobs with the same options share one object, as they did before they
were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from math import isfinite
from typing import Any, Final, cast
from zlib import crc32

import orjson
from attrs import frozen

from actorq.config import LINE_LIMIT
from actorq.core.job import (
    NO_PROGRESS,
    Attempt,
    Failure,
    HoldReason,
    Job,
    JobOptions,
    JobState,
    Progress,
    Reason,
)
from actorq.core.retry import Retry
from actorq.errors import InvalidOption

__all__ = [
    "VERSION",
    "Damage",
    "Footer",
    "Header",
    "JobDecoder",
    "JobEncoder",
    "NewerVersion",
    "decode_footer",
    "decode_header",
    "encode_footer",
    "encode_header",
    "frame",
    "unframe",
]

VERSION: Final = 1
"""Of the snapshot format. A reader refuses a later one; every earlier one opens for ever."""

FORMAT: Final = "actorq-snapshot"

HEADER_SEED: Final = 0x61637471
"""In place of the salt, for the line that tells the salt. The letters ``actq``."""

OPTIONS_SHARED: Final = 1_000
"""How many different options an encoder or a decoder remembers at a time."""


class Damage(Exception):
    """What was read cannot be trusted: ``why``, and in which ``line`` (from 1; 0: not known)."""

    def __init__(self, why: str, line: int = 0) -> None:
        self.why = why
        self.line = line
        super().__init__(why)


class NewerVersion(Exception):
    """A sound header says that a later actorq wrote the file."""

    def __init__(self, found: int) -> None:
        self.found = found
        super().__init__(found)


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


@frozen
class Footer:
    """The last line: without it, and without its being right, the file is nothing."""

    count: int
    """Lines of jobs."""
    left_out: int
    """Ephemeral jobs of the ledger, which have no line: accepted = count + left out + removed."""
    upto: int
    """The last fact of which the file may know anything."""
    digest: str
    """CRC-32 of all bytes of the file before this line, in hex."""


# -- lines -----------------------------------------------------------------------------------------


def frame(text: bytes, seed: int) -> bytes:
    """Return the JSON object as a line: with its checksum put in last, and a newline."""
    body = text[:-1]
    return b'%b,"c":"%08x"}\n' % (body, crc32(body, seed))


def unframe(line: bytes, seed: int) -> dict[str, Any]:
    """Return the object that the line holds, given without its newline.

    Raises:
        Damage: the checksum is wrong, or this is no JSON object.
    """
    body = line[:-16]
    if line[-16:] != b',"c":"%08x"}' % crc32(body, seed):
        raise Damage("the checksum is wrong")
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Damage(f"this is not JSON: {error}") from None
    if type(fields) is not dict:
        raise Damage("this is not a JSON object")
    return cast("dict[str, Any]", fields)


def encode_header(header: Header) -> bytes:
    """Return the first line of a snapshot."""
    fields = {
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
    return frame(_dump(fields), HEADER_SEED)


def decode_header(line: bytes) -> Header:
    """Return what the first line says.

    Raises:
        NewerVersion: a later actorq wrote it.
        Damage: it cannot be trusted.
    """
    fields = unframe(line, HEADER_SEED)
    if fields.get("t") != "hdr" or fields.get("f") != FORMAT:
        raise Damage("this is not the first line of a snapshot")
    version = fields.get("v")
    if type(version) is not int or version < 1:
        raise Damage("v is not a format version")
    if version > VERSION:
        raise NewerVersion(version)
    return Header(**_parse(fields, _HEADER, _HEADER))


def encode_footer(footer: Footer, salt: int) -> bytes:
    """Return the last line of a snapshot."""
    fields = {
        "t": "end",
        "count": footer.count,
        "left_out": footer.left_out,
        "upto": footer.upto,
        "digest": footer.digest,
    }
    return frame(_dump(fields), salt)


def decode_footer(fields: dict[str, Any]) -> Footer:
    """Return what the last line says, or raise Damage."""
    return Footer(**_parse(fields, _FOOTER, _FOOTER))


# -- writing jobs ----------------------------------------------------------------------------------


class JobEncoder:
    """Turns jobs into lines of one file."""

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._options: dict[int, tuple[JobOptions, orjson.Fragment | None]] = {}

    def encode(self, job: Job) -> bytes:
        """Return the line of the job.

        A job that would not fit the longest line loses its log, and if need be the messages and
        tracebacks of its earlier attempts: better than to keep all jobs from being written.

        Raises:
            ValueError: even so it does not fit; the limits in ``config`` leave no such job.
        """
        fields = self._fields(job)
        line = frame(_dump(fields), self._salt)
        for lighten in (_drop_log, _drop_texts):
            if len(line) <= LINE_LIMIT:
                return line
            lighten(fields)
            line = frame(_dump(fields), self._salt)
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
            fields["failure"] = _failure_fields(job.failure)
        if job.progress != NO_PROGRESS:
            fields["progress"] = _progress_fields(job.progress)
        if job.attempts:
            fields["attempts"] = [_attempt_fields(run) for run in job.attempts]
        if job.log:
            fields["log"] = [_log_fields(*line) for line in job.log]
        if (options := self._options_fragment(job.options)) is not None:
            fields["options"] = options
        if job.payload:
            fields["payload"] = orjson.Fragment(job.payload)
        if job.result is not None:
            fields["result"] = orjson.Fragment(job.result)
        return fields

    def _options_fragment(self, options: JobOptions) -> orjson.Fragment | None:
        known = self._options.get(id(options))
        if known is None:
            if len(self._options) >= OPTIONS_SHARED:
                self._options.clear()
            fields = _options_fields(options)
            # The options are held on to, or their id might become another's.
            known = options, orjson.Fragment(_dump(fields)) if fields else None
            self._options[id(options)] = known
        return known[1]


def _options_fields(options: JobOptions) -> dict[str, Any]:
    fields = _unlike(options, _PLAIN_OPTIONS, _OPTION_NAMES)
    if retry := _unlike(options.retry, _PLAIN_OPTIONS.retry, tuple(_RETRY)):
        fields["retry"] = retry
    if options.tags:
        fields["tags"] = dict(options.tags)
    if options.dead_letter:
        fields["dead_letter"] = True
    return fields


def _unlike(record: object, plain: object, names: tuple[str, ...]) -> dict[str, Any]:
    values = ((name, getattr(record, name)) for name in names)
    return {name: value for name, value in values if value != getattr(plain, name)}


def _failure_fields(failure: Failure) -> dict[str, Any]:
    fields: dict[str, Any] = {"reason": failure.reason, "type": failure.type}
    if failure.message:
        fields["message"] = failure.message
    if failure.traceback:
        fields["traceback"] = failure.traceback
    if failure.attempt:
        fields["attempt"] = failure.attempt
    if failure.at:
        fields["at"] = failure.at
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
        fields["failure"] = _failure_fields(run.failure)
    return fields


def _progress_fields(progress: Progress) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if progress.value and isfinite(progress.value):
        fields["value"] = float(progress.value)
    if progress.current is not None and isfinite(progress.current):
        fields["current"] = float(progress.current)
    if progress.total is not None and isfinite(progress.total):
        fields["total"] = float(progress.total)
    if progress.message is not None:
        fields["message"] = progress.message
    return fields


def _log_fields(at: float, level: str, message: str, data: bytes) -> list[Any]:
    return [at, level, message, orjson.Fragment(data)] if data else [at, level, message]


def _drop_log(fields: dict[str, Any]) -> None:
    fields.pop("log", None)


def _drop_texts(fields: dict[str, Any]) -> None:
    for run in fields.get("attempts", ()):
        for name in ("message", "traceback"):
            run.get("failure", {}).pop(name, None)


def _dump(fields: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields)
    except TypeError:  # half a character: the message of an OSError may hold the bytes of a bad file name
        return orjson.dumps(_without_surrogates(fields))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in pairs}
    if isinstance(value, list | tuple):
        return [_without_surrogates(inner) for inner in cast("list[Any]", value)]
    return value


# -- reading ---------------------------------------------------------------------------------------


class JobDecoder:
    """Turns lines of one file into jobs."""

    def __init__(self) -> None:
        self._shared: dict[bytes, JobOptions] = {}
        self._parsers: dict[str, _Parser] = {**_JOB, "options": self._options}

    def decode(self, fields: dict[str, Any]) -> Job:
        """Return the job that the fields of a line tell of.

        Raises:
            Damage: they have the wrong types, or are such as no job has.
        """
        values = _parse(fields, self._parsers, _JOB_REQUIRED)
        values.setdefault("options", _PLAIN_OPTIONS)
        values.setdefault("due_at", values["submitted_at"])
        values.setdefault("limits_from", values["submitted_at"])
        if "payload" not in values:
            if "ephemeral" not in values:
                raise Damage("payload is missing")
            values["payload"] = b""
        job = Job(**values)
        if job.ended_at is None and job.state.is_final:
            raise Damage("ended_at is missing, though the job has ended")
        if job.state is JobState.RUNNING and job.started_at is None:
            raise Damage("started_at is missing, though the job runs")
        return job

    def _options(self, value: Any) -> JobOptions:
        text = _json(value)
        options = self._shared.get(text)
        if options is None:
            if len(self._shared) >= OPTIONS_SHARED:
                self._shared.clear()
            options = self._shared[text] = _to_options(value)
        return options


_Parser = Callable[[Any], Any]
"""Returns the value that is meant by what was read, or raises Damage saying what was wanted."""


def _parse(fields: dict[str, Any], parsers: Mapping[str, _Parser], required: Iterable[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in fields.items():
        parser = parsers.get(name)
        if parser is not None:
            try:
                values[name] = parser(value)
            except Damage as damage:
                raise Damage(f"{name} {damage.why}") from None
    for name in required:
        if name not in values:
            raise Damage(f"{name} is missing")
    return values


def _check_type(value: Any, kind: type, why: str) -> None:
    if type(value) is not kind:
        raise Damage(why)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Damage("is not a text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Damage("is not a whole number")
    return value


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Damage("is not a number")
    return float(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Damage("is not true or false")
    return value


def _json(value: Any) -> bytes:
    try:
        return bytes(memoryview(orjson.dumps(value)))
    except TypeError:
        raise Damage("is nested too deeply") from None


def _one_of(words: type[StrEnum]) -> _Parser:
    by_text: dict[Any, StrEnum] = {word.value: word for word in words}

    def parser(value: Any) -> StrEnum:
        word = by_text.get(value) if type(value) is str else None
        if word is None:
            raise Damage("is not a word that is known here")
        return word

    return parser


def _each(one: _Parser) -> _Parser:
    def parser(value: Any) -> tuple[Any, ...]:
        _check_type(value, list, "is not a list")
        return tuple([one(inner) for inner in value])

    return parser


def _record(kind: type, parsers: Mapping[str, _Parser], *required: str) -> _Parser:
    def parser(value: Any) -> Any:
        _check_type(value, dict, "is not an object")
        try:
            return kind(**_parse(value, parsers, required))
        except InvalidOption as error:
            raise Damage(f"does not hold: {error}") from None

    return parser


def _tags(value: Any) -> dict[str, str]:
    _check_type(value, dict, "is not an object")
    return {name: _text(text) for name, text in value.items()}


def _log_line(value: Any) -> tuple[float, str, str, bytes]:
    match value:
        case [at, level, message]:
            return _number(at), _text(level), _text(message), b""
        case [at, level, message, data]:
            return _number(at), _text(level), _text(message), _json(data)
        case _:
            raise Damage("is not a log line")


def _as_it_is(value: Any) -> Any:
    return value


_HEADER: dict[str, _Parser] = {
    "n": _whole,
    "now": _number,
    "seq": _whole,
    "removed": _whole,
    "salt": _whole,
    "queue": _text,
    "boot": _text,
    "wall": _number,
}

_FOOTER: dict[str, _Parser] = {
    "count": _whole,
    "left_out": _whole,
    "upto": _whole,
    "digest": _text,
}

# Numbers of a Retry or JobOptions are passed on as they are: the classes check them, and say
# InvalidOption.
_RETRY: dict[str, _Parser] = {
    "max_attempts": _as_it_is,
    "delay": _as_it_is,
    "backoff": _as_it_is,
    "factor": _as_it_is,
    "cap": _as_it_is,
    "jitter": _as_it_is,
    "on": _each(_text),
    "never": _each(_text),
}

_OPTION_NAMES = ("priority", "timeout", "heartbeat_timeout", "expires", "deadline", "grace")

_OPTIONS: dict[str, _Parser] = {
    **dict.fromkeys(_OPTION_NAMES, _as_it_is),
    "retry": _record(Retry, _RETRY),
    "tags": _tags,
    "dead_letter": _flag,
}

_FAILURE: dict[str, _Parser] = {
    "reason": _one_of(Reason),
    "type": _text,
    "message": _text,
    "traceback": _text,
    "attempt": _whole,
    "at": _number,
}

_ATTEMPT: dict[str, _Parser] = {
    "number": _whole,
    "claim": _whole,
    "worker": _whole,
    "started_at": _number,
    "ended_at": _number,
    "outcome": _text,
    "failure": _record(Failure, _FAILURE, "reason", "type"),
}

_PROGRESS: dict[str, _Parser] = {
    "value": _number,
    "current": _number,
    "total": _number,
    "message": _text,
}

_STATES = _one_of(JobState)


def _stored_state(value: Any) -> JobState:
    state: JobState = _STATES(value)
    if state is JobState.CREATED:
        raise Damage("is one that is never stored")
    return state


_JOB: dict[str, _Parser] = {
    "id": _text,
    "seq": _whole,
    "task": _text,
    "payload": _json,
    "state": _stored_state,
    "submitted_at": _number,
    "due_at": _number,
    "ephemeral": _flag,
    "hold_reason": _one_of(HoldReason),
    "limits_from": _number,
    "attempt": _whole,
    "claim": _whole,
    "worker": _whole,
    "interruptions": _whole,
    "snoozes": _whole,
    "first_started_at": _number,
    "started_at": _number,
    "ended_at": _number,
    "stalled": _flag,
    "cancel_requested": _text,
    "result": _json,
    "failure": _record(Failure, _FAILURE, "reason", "type"),
    "progress": _record(Progress, _PROGRESS),
    "attempts": _each(_record(Attempt, _ATTEMPT, "number", "claim", "worker", "started_at", "ended_at", "outcome")),
    "log": _each(_log_line),
}
"""All of a job but its options, which a decoder shares among jobs."""

_JOB_REQUIRED = ("id", "seq", "task", "state", "submitted_at")

_to_options = _record(JobOptions, _OPTIONS)

_PLAIN_OPTIONS = JobOptions()
