"""Facts ⇄ the lines of a journal.

A line is a transaction: the facts of one step of the machine, which belong together, with the number
of the first, ``n``, their time, and the *watermark* ``d``: every fact up to it was on the disk when
the line was written. A transaction too large for one line goes on in the next, which the flag
``more`` says; it counts when its last line is there.

To add a fact: a row in the table at the end of each half. The tests compare both with the class.
A fact that an older reader must not overlook is a new ``VERSION``, and all facts are of that kind.
``docs/file-format.md`` is the specification.

Costs: 2 µs to encode a fact of 200 bytes, 7 µs to check and decode it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast
from zlib import crc32

import orjson
from attrs import frozen

from actorq.config import LINE_LIMIT, LINE_TARGET
from actorq.core import facts as f
from actorq.core.job import Failure, HoldReason
from actorq.store import field
from actorq.store.line import HEADER_SEED, Damage, check_version, dump, frame, unframe

__all__ = [
    "VERSION", "End", "FactEncoder", "Header", "Transaction", "TransactionDecoder", "decode_header", "decode_mark",
    "encode_end", "encode_header", "encode_mark",
]  # fmt: skip

FORMAT: Final = "actorq-journal"

VERSION: Final = 3
"""Earlier ones have fewer kinds of facts, and fewer fields in some."""

MARK_SIZE: Final = 64
"""Bytes of the witness: always as many, so that it is overwritten in one piece."""


@frozen
class Header:
    """The first line of a segment."""

    first: int
    """The number of the first fact that may stand in it."""
    salt: int
    queue: str
    boot: str
    """Which boot of the machine wrote the file, for people who look for reasons."""
    wall: float
    """When, by the wall clock."""


@frozen
class Transaction:
    """What one line says."""

    n: int
    """The number of its first fact."""
    durable: int
    facts: list[f.Fact]
    has_more: bool = False
    """Whether the next line belongs to it."""

    @property
    def next(self) -> int:
        """The number of the fact that comes behind it."""
        return self.n + len(self.facts)


def encode_header(header: Header) -> bytes:
    """Return the first line of a segment."""
    fields = {
        "t": "hdr",
        "f": FORMAT,
        "v": VERSION,
        "first": header.first,
        "salt": header.salt,
        "queue": header.queue,
        "boot": header.boot,
        "wall": header.wall,
    }
    return frame(dump(fields), HEADER_SEED)


def decode_header(line: bytes) -> Header:
    """Return what the first line says.

    Raises:
        NewerVersion: a later actorq wrote it.
        Damage: it cannot be trusted.
    """
    fields = unframe(line, HEADER_SEED)
    check_version(fields, FORMAT, VERSION)
    return Header(**field.parse(fields, _HEADER, _HEADER))


def encode_end(n: int, salt: int) -> bytes:
    """Return the last line of a segment that is complete, with ``n`` the last fact in it."""
    return frame(b'{"t":"end","n":%d,"d":%d}' % (n, n), salt)


def encode_mark(n: int) -> bytes:
    """Return the witness that facts up to ``n`` are on the disk."""
    body = (b'{"t":"mark","n":%d' % n).ljust(MARK_SIZE - 17)
    return b'%b,"c":"%08x"}\n' % (body, crc32(body, HEADER_SEED))


def decode_mark(data: bytes) -> int | None:
    """Return up to which fact the witness has seen the disk; None if it is torn."""
    try:
        fields = unframe(data.removesuffix(b"\n"), HEADER_SEED)
        return field.whole(fields.get("n")) if fields.get("t") == "mark" else None
    except Damage:
        return None


# -- writing ---------------------------------------------------------------------------------------


class FactEncoder:
    """Turns transactions into lines of one segment."""

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._options = field.OptionsEncoder()

    def encode(self, facts: Sequence[f.Fact], durable: int) -> Iterator[bytes]:
        """Yield the lines of one transaction.

        Args:
            facts: contiguous, of one time, at least one.
            durable: the watermark.

        Raises:
            ValueError: a fact does not fit the longest line; the limits in ``config`` leave no such one.
        """
        n, at = facts[0].n, orjson.dumps(facts[0].at)
        texts: list[bytes] = []
        size = 0
        for fact in facts:
            if size > LINE_TARGET:
                yield self._line(n, durable, at, texts, b',"more":true')
                n += len(texts)
                texts, size = [], 0
            name, fields_of = _WRITERS[type(fact)]
            fields: Fields = {"t": name}
            if not isinstance(fact, f.QueueFact):
                fields["id"] = fact.job_id
            fields_of(fact, fields, self._options)
            texts.append(dump(fields))
            size += len(texts[-1])
        yield self._line(n, durable, at, texts, b"")

    def _line(self, n: int, durable: int, at: bytes, texts: list[bytes], more: bytes) -> bytes:
        text = b'{"n":%d,"d":%d,"at":%b%b,"facts":[%b]}' % (n, durable, at, more, b",".join(texts))
        line = frame(text, self._salt)
        if len(line) > LINE_LIMIT:  # nobody could read it again
            raise ValueError(f"fact {n} and those with it take {len(line)} bytes; a line has {LINE_LIMIT}")
        return line


Fields = dict[str, Any]
Options = field.OptionsEncoder


def _nothing(fact: f.Fact, fields: Fields, options: Options) -> None:
    del fact, fields, options  # that it has happened is all


def _submitted(fact: f.Submitted, fields: Fields, options: Options) -> None:
    fields["seq"] = fact.seq
    fields["task"] = fact.task
    if fact.due_at != fact.at:
        fields["due_at"] = fact.due_at
    if (plain := options.encode(fact.options)) is not None:
        fields["options"] = plain
    for name in ("key", "retry_of", "dead_letter_of"):
        if (said := getattr(fact, name)) is not None:
            fields[name] = said
    if fact.ephemeral:
        fields["ephemeral"] = True
    else:
        fields["payload"] = orjson.Fragment(fact.payload)


def _edited(fact: f.Edited, fields: Fields, options: Options) -> None:
    fields["due_at"] = fact.due_at
    if fact.options is not None:
        fields["options"] = options.encode(fact.options) or {}
    if fact.payload is not None:
        fields["payload"] = orjson.Fragment(fact.payload)


def _paused(fact: f.QueuePaused | f.GroupPaused, fields: Fields, options: Options) -> None:
    del options
    if isinstance(fact, f.GroupPaused):
        fields["group"] = fact.group
    if fact.until is not None:
        fields["until"] = fact.until


def _group_resumed(fact: f.GroupResumed, fields: Fields, options: Options) -> None:
    del options
    fields["group"] = fact.group


def _started(fact: f.Started, fields: Fields, options: Options) -> None:
    del options
    fields["attempt"] = fact.attempt
    fields["claim"] = fact.claim
    fields["worker"] = fact.worker


def _progressed(fact: f.Progressed, fields: Fields, options: Options) -> None:
    del options
    fields["progress"] = field.progress_fields(fact.progress)


def _extended(fact: f.Extended, fields: Fields, options: Options) -> None:
    del options
    fields["seconds"] = fact.seconds


def _logged(fact: f.Logged, fields: Fields, options: Options) -> None:
    del options
    fields["level"] = fact.level
    fields["message"] = fact.message
    if fact.data:
        fields["data"] = orjson.Fragment(fact.data)


def _cancel_requested(fact: f.CancelRequested, fields: Fields, options: Options) -> None:
    del options
    fields["message"] = fact.message


def _retry_scheduled(fact: f.RetryScheduled, fields: Fields, options: Options) -> None:
    _placed(fact, fields, options)
    fields["failure"] = field.failure_fields(fact.failure)


def _interrupted(fact: f.Interrupted, fields: Fields, options: Options) -> None:
    _placed(fact, fields, options)
    if fact.failure is not None:
        fields["failure"] = field.failure_fields(fact.failure)


def _loop_blocked(fact: f.LoopBlocked, fields: Fields, options: Options) -> None:
    del options
    fields["job_id"] = fact.job_id
    fields["seconds"] = fact.seconds
    fields["stack"] = fact.stack


def _placed(fact: f.Placed, fields: Fields, options: Options) -> None:
    del options
    fields["due_at"] = fact.due_at


def _failed(fact: f.Failed | f.DeadLettered | f.Cancelled | f.Parked, fields: Fields, options: Options) -> None:
    del options
    fields["failure"] = field.failure_fields(fact.failure)


def _succeeded(fact: f.Succeeded, fields: Fields, options: Options) -> None:
    del options
    fields["result"] = orjson.Fragment(fact.result)


Writer = Callable[[Any, Fields, Options], None]

_WRITERS: dict[type[f.Fact], tuple[str, Writer]] = {
    f.Submitted: ("submitted", _submitted),
    f.Deduplicated: ("deduplicated", _nothing),
    f.BecameDue: ("became_due", _nothing),
    f.Blocked: ("blocked", _nothing),
    f.Unblocked: ("unblocked", _nothing),
    f.Paused: ("paused", _nothing),
    f.Resumed: ("resumed", _placed),
    f.Promoted: ("promoted", _nothing),
    f.Edited: ("edited", _edited),
    f.Started: ("started", _started),
    f.Progressed: ("progressed", _progressed),
    f.Extended: ("extended", _extended),
    f.Logged: ("logged", _logged),
    f.Stalled: ("stalled", _nothing),
    f.CancelRequested: ("cancel_requested", _cancel_requested),
    f.RetryScheduled: ("retry_scheduled", _retry_scheduled),
    f.Snoozed: ("snoozed", _placed),
    f.Interrupted: ("interrupted", _interrupted),
    f.Released: ("released", _nothing),
    f.Parked: ("parked", _failed),
    f.Unparked: ("unparked", _nothing),
    f.Succeeded: ("succeeded", _succeeded),
    f.Failed: ("failed", _failed),
    f.DeadLettered: ("dead_lettered", _failed),
    f.Cancelled: ("cancelled", _failed),
    f.Requeued: ("requeued", _placed),
    f.Reinstated: ("reinstated", _placed),
    f.Removed: ("removed", _nothing),
    f.Dropped: ("dropped", _nothing),
    f.QueuePaused: ("queue_paused", _paused),
    f.QueueResumed: ("queue_resumed", _nothing),
    f.GroupPaused: ("group_paused", _paused),
    f.GroupResumed: ("group_resumed", _group_resumed),
    f.LoopBlocked: ("loop_blocked", _loop_blocked),
}


# -- reading ---------------------------------------------------------------------------------------


@frozen
class End:
    """The last line of a segment that is complete."""

    n: int
    """The last fact in it."""


class TransactionDecoder:
    """Turns lines of one segment into facts."""

    def __init__(self, salt: int) -> None:
        self._salt = salt
        options = field.OptionsDecoder().decode
        self._parsers: dict[str, tuple[type[f.Fact], dict[str, field.Parser], tuple[str, ...]]] = {
            name: (kind, {**parsers, "options": options} if kind in (f.Submitted, f.Edited) else parsers, required)
            for name, (kind, parsers, required) in _READERS.items()
        }

    def decode(self, line: bytes) -> Transaction | End | None:
        """Return what a line says; None if it is of a kind that may be overlooked.

        Raises:
            Damage: it cannot be trusted.
        """
        fields = unframe(line, self._salt)
        kind = fields.get("t")
        if kind is None:
            return self._transaction(fields)
        if kind == "end":
            return End(**field.parse(fields, _END, _END))
        if fields.get("must") is True:
            raise Damage("the line must be understood, and is of a kind that is not known here")
        return None

    def _transaction(self, fields: Fields) -> Transaction:
        values = field.parse(fields, _TRANSACTION, ("n", "d", "at", "facts"))
        n: int = values["n"]
        at: float = values["at"]
        facts: list[f.Fact] = []
        for one in values["facts"]:
            fact = self._fact(one, at)
            fact.n = n + len(facts)
            facts.append(fact)
        if not facts or values["d"] >= n:
            raise Damage("the numbers of the line do not fit")
        return Transaction(n, values["d"], facts, values.get("more", False))

    def _fact(self, fields: Fields, at: float) -> f.Fact:
        kind, parsers, required = self._parsers.get(fields.get("t", ""), _UNKNOWN)
        if kind is f.Fact:
            raise Damage("a fact is of a kind that is not known here")
        values = field.parse(fields, parsers, required)
        if kind is f.Submitted:
            values.setdefault("due_at", at)
            values.setdefault("options", field.PLAIN_OPTIONS)
            if "payload" not in values:
                if "ephemeral" not in values:
                    raise Damage("payload is missing")
                values["payload"] = b""
        elif kind is f.Logged:
            values.setdefault("data", b"")
        elif kind is f.Requeued:
            values.setdefault("due_at", at)
        if issubclass(kind, f.QueueFact):
            return kind(at, **values)
        return kind(at, values.pop("id"), **values)


def _objects(value: Any) -> list[Fields]:
    if type(value) is not list:
        raise Damage("is not a list of facts")
    facts = cast("list[Fields]", value)
    for one in facts:
        if type(one) is not dict or type(one.get("t")) is not str:
            raise Damage("is not a list of facts")
    return facts


def _parking(value: Any) -> Failure:
    failure: Failure = field.failure(value)
    if failure.reason not in _PARKING:
        raise Damage("reason is none for which a job is parked")
    return failure


def _group(value: Any) -> str:
    if not field.text(value):
        raise Damage("is no name of a group")
    return str(value)


_PARKING = {reason.value for reason in HoldReason if reason.is_parked}

_HEADER: dict[str, field.Parser] = {
    "first": field.whole,
    "salt": field.whole,
    "queue": field.text,
    "boot": field.text,
    "wall": field.number,
}

_END: dict[str, field.Parser] = {"n": field.whole}

_TRANSACTION: dict[str, field.Parser] = {
    "n": field.whole,
    "d": field.whole,
    "at": field.number,
    "more": field.flag,
    "facts": _objects,
}

_ID: dict[str, field.Parser] = {"id": field.text}
_DUE = {**_ID, "due_at": field.number}
_FAILURE = {**_ID, "failure": field.failure}

_Row = tuple[type[f.Fact], dict[str, field.Parser], tuple[str, ...]]

_UNKNOWN: _Row = (f.Fact, {}, ())


def _row(kind: type[f.Fact], parsers: dict[str, field.Parser], *optional: str) -> _Row:
    return kind, parsers, tuple(name for name in parsers if name not in optional)


_READERS: dict[str, _Row] = {
    "submitted": _row(
        f.Submitted,
        {
            **_DUE,
            "seq": field.whole,
            "task": field.text,
            "payload": field.json,
            "ephemeral": field.flag,
            "key": field.text,
            "retry_of": field.text,
            "dead_letter_of": field.text,
        },
        "due_at",
        "payload",
        "ephemeral",
        "key",
        "retry_of",
        "dead_letter_of",
    ),
    "deduplicated": _row(f.Deduplicated, _ID),
    "became_due": _row(f.BecameDue, _ID),
    "blocked": _row(f.Blocked, _ID),
    "unblocked": _row(f.Unblocked, _ID),
    "paused": _row(f.Paused, _ID),
    "resumed": _row(f.Resumed, _DUE),
    "promoted": _row(f.Promoted, _ID),
    "edited": _row(f.Edited, {**_DUE, "payload": field.json}, "payload"),
    "started": _row(f.Started, {**_ID, "attempt": field.positive, "claim": field.positive, "worker": field.whole}),
    "progressed": _row(f.Progressed, {**_ID, "progress": field.progress}),
    "extended": _row(f.Extended, {**_ID, "seconds": field.number}),
    "logged": _row(f.Logged, {**_ID, "level": field.text, "message": field.text, "data": field.json}, "data"),
    "stalled": _row(f.Stalled, _ID),
    "cancel_requested": _row(f.CancelRequested, {**_ID, "message": field.text}),
    "retry_scheduled": _row(f.RetryScheduled, {**_DUE, "failure": field.failure}),
    "snoozed": _row(f.Snoozed, _DUE),
    "interrupted": _row(f.Interrupted, {**_DUE, "failure": field.failure}, "failure"),
    "released": _row(f.Released, _ID),
    "parked": _row(f.Parked, {**_ID, "failure": _parking}),
    "unparked": _row(f.Unparked, _ID),
    "succeeded": _row(f.Succeeded, {**_ID, "result": field.json}),
    "failed": _row(f.Failed, _FAILURE),
    "dead_lettered": _row(f.DeadLettered, _FAILURE),
    "cancelled": _row(f.Cancelled, _FAILURE),
    "requeued": _row(f.Requeued, _DUE, "due_at"),
    "reinstated": _row(f.Reinstated, _DUE),
    "removed": _row(f.Removed, _ID),
    "dropped": _row(f.Dropped, _ID),
    "queue_paused": _row(f.QueuePaused, {"until": field.number}, "until"),
    "queue_resumed": _row(f.QueueResumed, {}),
    "group_paused": _row(f.GroupPaused, {"group": _group, "until": field.number}, "until"),
    "group_resumed": _row(f.GroupResumed, {"group": _group}),
    "loop_blocked": _row(f.LoopBlocked, {"job_id": field.text, "seconds": field.number, "stack": field.text}),
}
