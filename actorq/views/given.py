"""Options given in another system's names and units: looked up by name, and refused as that system refuses them.

A value of None, null in JSON, is as good as none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, cast

from actorq import config
from actorq.errors import InvalidOption

__all__ = [
    "BIGGEST", "Given", "choice", "fields", "flag", "instant", "known", "name", "names", "not_here", "pairs",
    "required", "whole",
]  # fmt: skip

Given = Mapping[str, Any]

BIGGEST: Final = 2**31 - 1
"""The most that a number takes whose system names no bound of its own."""


def known(options: object, there_are: Collection[str], *, inside: str = "options") -> Given:
    """Return the options that have a value, or raise InvalidOption if one has a name that does not exist."""
    if not isinstance(options, Mapping):
        raise InvalidOption(inside, options, "wants a mapping")
    given = cast("Given", options)
    for option, value in given.items():
        if option not in there_are:
            raise InvalidOption(option, value, f"is not known among the {inside}: {', '.join(there_are)}")
    return {option: value for option, value in given.items() if value is not None}


def not_here(given: Given, why: Mapping[str, str]) -> None:
    """Raise InvalidOption for an option that the other system has, and that would be without effect here."""
    for option, reason in why.items():
        if given.get(option) not in (None, False):
            raise InvalidOption(option, given[option], reason)


def required(given: Given, *options: str) -> None:
    """Raise InvalidOption if one of these is missing."""
    for option in options:
        if option not in given:
            raise InvalidOption(option, None, "is required")


def whole(given: Given, option: str, default: int, least: int, most: int = BIGGEST) -> int:
    """Return the number from ``least`` to ``most``."""
    return config.whole(option, given.get(option, default), least, most)


def flag(given: Given, option: str, *, default: bool) -> bool:
    """Return the boolean."""
    value = given.get(option, default)
    if not isinstance(value, bool):
        raise InvalidOption(option, value, "wants true or false")
    return value


def name(given: Given, option: str, limit: int) -> str | None:
    """Return the string of 1 to ``limit`` characters; None if there is none."""
    value = given.get(option)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= limit):
        raise InvalidOption(option, value, f"wants a string of 1 to {limit} characters")
    return value


def names(given: Given, option: str) -> list[str]:
    """Return the list of strings."""
    value: object = given.get(option, [])
    listed: list[object] = [*cast("list[object]", value)] if isinstance(value, list | tuple) else [None]
    texts = [one for one in listed if isinstance(one, str)]
    if len(texts) < len(listed):
        raise InvalidOption(option, given[option], "wants a list of strings")
    return texts


def pairs(given: Given, option: str) -> dict[str, str]:
    """Return the object of strings."""
    value: object = given.get(option, {})
    found = dict(cast("Mapping[object, object]", value)) if isinstance(value, Mapping) else {None: None}
    texts = {key: text for key, text in found.items() if isinstance(key, str) and isinstance(text, str)}
    if len(texts) < len(found):
        raise InvalidOption(option, given[option], "wants an object of strings")
    return texts


def fields(given: Given, option: str, *there_are: str) -> Given:
    """Return the object, an empty one if there is none; raise InvalidOption if it has other fields than these."""
    return known(given.get(option, {}), there_are, inside=option)


def choice(given: Given, option: str, default: str | None, *choices: str) -> str:
    """Return the word, one of these."""
    return config.one_of(option, given.get(option, default), choices)


def instant(given: Given, option: str) -> datetime | None:
    """Return the aware datetime, given as one or as text in ISO 8601; None if there is none."""
    value = given.get(option)
    if isinstance(value, str):
        value = _from_text(option, value)
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidOption(option, value, "wants a time with its zone: an aware datetime, or ISO 8601")
    return value


def _from_text(option: str, value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InvalidOption(option, value, "is no time in ISO 8601") from None
