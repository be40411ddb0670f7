"""What may stand in a filter: each field reads what it is given, and refuses by its name what no job could have.

Converters, named ``to_…``, are functions of their own for each field, for their parameter is what type checkers
show as the type of the argument.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeVar, cast

from attrs import Attribute

from actorq.config import FILTER_LIMIT, NAME_LIMIT, TAGS_LIMIT, TEXT_LIMIT, one_of, whole
from actorq.core.job import HoldReason, JobState
from actorq.errors import InvalidOption

__all__ = [
    "TAGS_MODES",
    "Named",
    "TagsMode",
    "check_choice",
    "check_instant",
    "check_predicate",
    "check_text",
    "check_whole",
    "to_groups",
    "to_hold_reasons",
    "to_ids",
    "to_states",
    "to_tags",
    "to_tasks",
]

E = TypeVar("E", bound=StrEnum)

Check = Callable[[object, "Attribute[Any]", Any], None]

TagsMode = Literal["all", "any", "exact", "none"]
TAGS_MODES: Final = ("all", "any", "exact", "none")


class Named(Protocol):
    """What has a name, as a task."""

    @property
    def name(self) -> str:
        """The name."""
        ...


# -- several values, of which one must fit -----------------------------------------------------------


def to_states(value: JobState | str | Iterable[JobState | str] | None) -> tuple[JobState, ...] | None:
    """Read ``state``."""
    return _words("state", value, JobState)


def to_hold_reasons(value: HoldReason | str | Iterable[HoldReason | str] | None) -> tuple[HoldReason, ...] | None:
    """Read ``hold_reason``."""
    return _words("hold_reason", value, HoldReason)


def to_tasks(value: str | Named | Iterable[str | Named] | None) -> tuple[str, ...] | None:
    """Read ``task``."""
    return _names("task", value)


def to_groups(value: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Read ``group``."""
    return _names("group", value)


def to_ids(value: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Read ``ids``."""
    return _names("ids", value)


def to_tags(value: Mapping[str, str | None] | Iterable[str] | None) -> Mapping[str, str | None] | None:
    """Read ``tags``: None in the place of a value, or no value at all, stands for any."""
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):  # "ab" is one tag or two: say which
        raise InvalidOption("tags", value, "wants a mapping, or a list of names")
    pairs = cast("Any", value.items() if isinstance(value, Mapping) else ((name, None) for name in value))
    tags: dict[str, str | None] = {}
    for name, text in islice(pairs, TAGS_LIMIT + 1):
        tags[_text("tags", name, NAME_LIMIT)] = None if text is None else _text("tags", text, NAME_LIMIT)
    if len(tags) > TAGS_LIMIT:
        raise InvalidOption("tags", f"more than {TAGS_LIMIT} tags", f"a job has at most {TAGS_LIMIT}")
    return MappingProxyType(tags)


def _words(option: str, value: object, kind: type[E]) -> tuple[E, ...] | None:
    words = tuple(kind)
    return None if value is None else tuple(kind(one_of(option, word, words)) for word in _several(option, value))


def _names(option: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = (name if isinstance(name, str) else getattr(name, "name", name) for name in _several(option, value))
    return tuple(_text(option, name, TEXT_LIMIT) for name in names)


def _several(option: str, value: object) -> tuple[object, ...]:
    """Return one value, or those of an iterable, as a tuple."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return (value,)
    values = tuple(islice(cast("Iterable[object]", value), FILTER_LIMIT + 1))
    if len(values) > FILTER_LIMIT:
        raise InvalidOption(option, f"more than {FILTER_LIMIT}", f"takes at most {FILTER_LIMIT}")
    return values


def _text(option: str, value: object, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidOption(option, value, "wants a string")
    if len(value) > limit:
        raise InvalidOption(option, value[:200], f"must have at most {limit} characters")
    return str.__str__(value)


# -- one value, or None ------------------------------------------------------------------------------


def check_text(limit: int) -> Check:
    """Make a validator for a string of so many characters."""

    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        del instance
        if value == "":
            raise InvalidOption(attribute.name, value, "is empty; None stands for any")
        if value is not None:
            _text(attribute.name, value, limit)

    return check


def check_whole(least: int, most: int) -> Check:
    """Make a validator for a whole number in these bounds."""

    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        del instance
        if value is not None:
            whole(attribute.name, value, least, most)

    return check


def check_choice(choices: tuple[str, ...]) -> Check:
    """Make a validator for one of these words."""

    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        del instance
        one_of(attribute.name, value, choices)

    return check


def check_instant(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Validate an aware datetime, or seconds since the epoch."""
    del instance
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidOption(attribute.name, value, "has no time zone: use datetime.now(UTC) or .astimezone()")
    elif value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidOption(attribute.name, value, "wants an aware datetime, or seconds since the epoch")
    elif value is not None and not abs(value) <= sys.float_info.max:
        raise InvalidOption(attribute.name, value, "is no instant")


def check_predicate(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Validate a function that can be asked at once."""
    del instance
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise InvalidOption(attribute.name, value, "wants a plain function from a JobRecord to True or False")
