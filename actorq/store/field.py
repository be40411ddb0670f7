"""Values ⇄ fields of a line: what snapshots and journals have in common.

Fields have the names of the attributes they hold, and are left out at their default. Reading, every
field of ours has its type checked; fields that we do not know are ignored. To add one: a line in the
encoder, a line in the table of parsers; the tests compare both with the class.

Payloads and results are spliced in as the JSON that they are, and copied when they are read: what
orjson returns keeps a buffer of a kilobyte or more for as long as it lives. Jobs with the same
options share one object, as they did before they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from math import isfinite
from typing import Any, Final

import orjson

from actorq.core.job import Failure, JobOptions, Progress, Reason
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.store.line import Damage, dump

__all__ = [
    "OptionsDecoder", "OptionsEncoder", "Parser", "each", "failure", "failure_fields", "flag", "json", "number",
    "one_of", "parse", "positive", "progress", "progress_fields", "record", "text", "whole",
]  # fmt: skip

OPTIONS_SHARED: Final = 1_000
"""How many different options an encoder or a decoder remembers at a time."""

WHOLE_LIMIT: Final = 2**63
"""No whole number is larger. JSON has them up to 2**64."""


# -- writing ---------------------------------------------------------------------------------------


class OptionsEncoder:
    """Turns options into JSON, each object once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[JobOptions, orjson.Fragment | None]] = {}

    def encode(self, options: JobOptions) -> orjson.Fragment | None:
        """Return the options as JSON; None if they are all at their defaults."""
        known = self._known.get(id(options))
        if known is None:
            if len(self._known) >= OPTIONS_SHARED:
                self._known.clear()
            fields = _options_fields(options)
            # The options are held on to, or their id might become another's.
            known = options, orjson.Fragment(dump(fields)) if fields else None
            self._known[id(options)] = known
        return known[1]


def _options_fields(options: JobOptions) -> dict[str, Any]:
    fields = _unlike(options, PLAIN_OPTIONS, _OPTION_NAMES)
    if retry := _unlike(options.retry, PLAIN_OPTIONS.retry, tuple(_RETRY)):
        fields["retry"] = retry
    if options.tags:
        fields["tags"] = dict(options.tags)
    return fields


def _unlike(record: object, plain: object, names: tuple[str, ...]) -> dict[str, Any]:
    values = ((name, getattr(record, name)) for name in names)
    return {name: value for name, value in values if value != getattr(plain, name)}


def failure_fields(error: Failure) -> dict[str, Any]:
    """Return the failure as fields."""
    fields: dict[str, Any] = {"reason": error.reason, "type": error.type}
    if error.message:
        fields["message"] = error.message
    if error.traceback:
        fields["traceback"] = error.traceback
    if error.attempt:
        fields["attempt"] = error.attempt
    if error.at:
        fields["at"] = error.at
    return fields


def progress_fields(seen: Progress) -> dict[str, Any]:
    """Return the progress as fields; what JSON cannot hold is left out."""
    fields: dict[str, Any] = {}
    if seen.value and isfinite(seen.value):
        fields["value"] = float(seen.value)
    if seen.current is not None and isfinite(seen.current):
        fields["current"] = float(seen.current)
    if seen.total is not None and isfinite(seen.total):
        fields["total"] = float(seen.total)
    if seen.message is not None:
        fields["message"] = seen.message
    return fields


# -- reading ---------------------------------------------------------------------------------------


class OptionsDecoder:
    """Turns JSON into options, and the same JSON into the same object."""

    def __init__(self) -> None:
        self._shared: dict[bytes, JobOptions] = {}

    def decode(self, value: Any) -> JobOptions:
        """Return the options, or raise Damage."""
        source = json(value)
        options = self._shared.get(source)
        if options is None:
            if len(self._shared) >= OPTIONS_SHARED:
                self._shared.clear()
            options = self._shared[source] = _to_options(value)
        return options


Parser = Callable[[Any], Any]
"""Returns the value that is meant by what was read, or raises Damage saying what was wanted."""


def parse(fields: dict[str, Any], parsers: Mapping[str, Parser], required: Iterable[str]) -> dict[str, Any]:
    """Return the values of the fields that have a parser; raise Damage if one is wrong or missing."""
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


def text(value: Any) -> str:
    """Return the value if it is a text."""
    if type(value) is not str:
        raise Damage("is not a text")
    return value


def whole(value: Any) -> int:
    """Return the value if it is a whole number from 0; there is room above for what is counted on from it."""
    if type(value) is not int or not 0 <= value <= WHOLE_LIMIT:
        raise Damage("is not a whole number")
    return value


def positive(value: Any) -> int:
    """Return the value if it is a whole number from 1."""
    number = whole(value)
    if not number:
        raise Damage("is not a number from 1")
    return number


def number(value: Any) -> float:
    """Return the value as a float if it is a number."""
    if type(value) is not float and type(value) is not int:
        raise Damage("is not a number")
    return float(value)


def flag(value: Any) -> bool:
    """Return the value if it is a boolean."""
    if type(value) is not bool:
        raise Damage("is not true or false")
    return value


def json(value: Any) -> bytes:
    """Return any value as JSON."""
    try:
        return bytes(memoryview(orjson.dumps(value)))
    except TypeError:
        raise Damage("is nested too deeply") from None


def one_of(words: type[StrEnum]) -> Parser:
    """Return a parser for these words."""
    by_text: dict[Any, StrEnum] = {word.value: word for word in words}

    def parser(value: Any) -> StrEnum:
        word = by_text.get(value) if type(value) is str else None
        if word is None:
            raise Damage("is not a word that is known here")
        return word

    return parser


def each(one: Parser) -> Parser:
    """Return a parser for lists of what the other parser takes."""

    def parser(value: Any) -> tuple[Any, ...]:
        _check_type(value, list, "is not a list")
        return tuple([one(inner) for inner in value])

    return parser


def record(kind: type, parsers: Mapping[str, Parser], *required: str) -> Parser:
    """Return a parser for objects with these fields."""

    def parser(value: Any) -> Any:
        _check_type(value, dict, "is not an object")
        try:
            return kind(**parse(value, parsers, required))
        except InvalidOption as error:
            raise Damage(f"does not hold: {error}") from None

    return parser


def _tags(value: Any) -> dict[str, str]:
    _check_type(value, dict, "is not an object")
    return {name: text(inner) for name, inner in value.items()}


def _as_it_is(value: Any) -> Any:
    return value


# Numbers of a Retry or JobOptions are passed on as they are: the classes check them, and say
# InvalidOption.
_RETRY: dict[str, Parser] = {
    "max_attempts": _as_it_is,
    "delay": _as_it_is,
    "backoff": _as_it_is,
    "factor": _as_it_is,
    "cap": _as_it_is,
    "initial": _as_it_is,
    "spread": _as_it_is,
    "jitter": _as_it_is,
    "on": each(text),
    "never": each(text),
}

_OPTION_NAMES = (
    "priority", "timeout", "heartbeat_timeout", "expires", "deadline", "grace", "group", "dead_letter", "run_in",
    "memory_mb", "max_interruptions", "max_snoozes",
)  # fmt: skip

_OPTIONS: dict[str, Parser] = {
    **dict.fromkeys(_OPTION_NAMES, _as_it_is),
    "retry": record(Retry, _RETRY),
    "tags": _tags,
}

_FAILURE: dict[str, Parser] = {
    "reason": one_of(Reason),
    "type": text,
    "message": text,
    "traceback": text,
    "attempt": whole,
    "at": number,
}

_PROGRESS: dict[str, Parser] = {
    "value": number,
    "current": number,
    "total": number,
    "message": text,
}

failure: Final = record(Failure, _FAILURE, "reason", "type")

progress: Final = record(Progress, _PROGRESS)

_to_options = record(JobOptions, _OPTIONS)

PLAIN_OPTIONS: Final = JobOptions()
