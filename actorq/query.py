"""What users ask for, and what they get: a filter, a page of jobs, and the cursor from one page to the next.

A cursor says behind which job the next page begins. Jobs are shown in the order in which they were accepted, and
that never changes: so whatever comes, goes or changes state meanwhile, a job that is there throughout is shown
once. The cursor is tied to its question by a checksum. That is no secret, and hides nothing: who asks a question
may see all that answers it, from wherever he likes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self, cast

from attrs import field, fields_dict, frozen

from actorq.condition import (
    TAGS_MODES,
    TagsMode,
    check_choice,
    check_instant,
    check_predicate,
    check_text,
    check_whole,
    to_groups,
    to_hold_reasons,
    to_ids,
    to_states,
    to_tags,
    to_tasks,
)
from actorq.config import ATTEMPTS_LIMIT, KEY_LIMIT, PRIORITY_LIMIT, TEXT_LIMIT
from actorq.core.job import HoldReason, JobState
from actorq.errors import InvalidCursor, InvalidOption
from actorq.record import JobRecord

__all__ = ["EVERYTHING", "ORDERS", "Filter", "Order", "Page", "cursor_of", "read_cursor"]

Order = Literal["oldest", "newest"]
"""In which jobs are shown: as they were accepted, or the other way round."""

ORDERS: Final = ("oldest", "newest")

_PRIORITIES: Final = check_whole(-PRIORITY_LIMIT, PRIORITY_LIMIT)
_ATTEMPTS: Final = check_whole(0, ATTEMPTS_LIMIT)


# -- what is asked --------------------------------------------------------------------------------


@frozen(kw_only=True)
class Filter:
    """Which jobs are meant: those for which all of this holds. What is not said does not matter.

    Where several values may stand (``state``, ``task`` …), one of them must fit; in an empty list none can, so no
    job is meant. Instants are aware datetimes, or seconds since the epoch; ``…_after`` is the first that
    belongs to a span, and ``…_before`` the first that does not, so that spans can be laid end to end. A job to
    which that has not happened is not meant.

    Raises:
        InvalidOption: a value that no job could have.
        TypeError: a name that is not one of these.
    """

    state: tuple[JobState, ...] | None = field(default=None, converter=to_states)
    hold_reason: tuple[HoldReason, ...] | None = field(default=None, converter=to_hold_reasons)
    task: tuple[str, ...] | None = field(default=None, converter=to_tasks)
    """Tasks, or their names."""
    group: tuple[str, ...] | None = field(default=None, converter=to_groups)
    key: str | None = field(default=None, validator=check_text(KEY_LIMIT))
    """Of any task: a key is unique only within one."""
    ids: tuple[str, ...] | None = field(default=None, converter=to_ids)
    tags: Mapping[str, str | None] | None = field(default=None, converter=to_tags)
    """Names of tags with their values; None in the place of a value, or only a list of names: any value."""
    tags_mode: TagsMode = field(default="all", validator=check_choice(TAGS_MODES))
    """``"all"`` of these tags, maybe among others; ``"any"`` of them; ``"exact"``: them and no others; ``"none"``."""
    min_priority: int | None = field(default=None, validator=_PRIORITIES)
    max_priority: int | None = field(default=None, validator=_PRIORITIES)
    min_attempt: int | None = field(default=None, validator=_ATTEMPTS)
    """The present or last attempt; 0 before the first."""
    max_attempt: int | None = field(default=None, validator=_ATTEMPTS)
    submitted_after: datetime | float | None = field(default=None, validator=check_instant)
    submitted_before: datetime | float | None = field(default=None, validator=check_instant)
    due_after: datetime | float | None = field(default=None, validator=check_instant)
    due_before: datetime | float | None = field(default=None, validator=check_instant)
    started_after: datetime | float | None = field(default=None, validator=check_instant)
    """The start of the present or last attempt."""
    started_before: datetime | float | None = field(default=None, validator=check_instant)
    ended_after: datetime | float | None = field(default=None, validator=check_instant)
    ended_before: datetime | float | None = field(default=None, validator=check_instant)
    error: str | None = field(default=None, validator=check_text(TEXT_LIMIT))
    """Stands in the type, the message or the traceback of the last error, in small letters or capitals."""
    where: Callable[[JobRecord], bool] | None = field(default=None, validator=check_predicate)
    """Anything else; it is asked last, of each job that is left. What it raises reaches the caller."""

    def __new__(cls, *args: Any, **values: Any) -> Self:
        """Name the fields there are, where attrs would only say that one is unknown."""
        unknown = [name for name in values if name not in fields_dict(cls)]
        if args or unknown:
            what = f"unknown field {', '.join(unknown)}" if unknown else "a field without its name"
            raise TypeError(f"{what} in a Filter; there are {', '.join(fields_dict(cls))}")
        return object.__new__(cls)

    def __attrs_post_init__(self) -> None:
        if self.tags is None and self.tags_mode != "all":
            raise InvalidOption("tags_mode", self.tags_mode, "says how to compare tags=, which is missing")
        for least, most in _SPANS:
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and _seconds(low) > _seconds(high):
                raise InvalidOption(most, high, f"lies below {least}={low}")


_SPANS: Final = (
    *((f"min_{name}", f"max_{name}") for name in ("priority", "attempt")),
    *((f"{name}_after", f"{name}_before") for name in ("submitted", "due", "started", "ended")),
)

EVERYTHING: Final = Filter()
"""Means every job."""


def _seconds(instant: datetime | float) -> float:
    """Return the instant as seconds since the epoch."""
    return instant.timestamp() if isinstance(instant, datetime) else instant


# -- what is answered -----------------------------------------------------------------------------


@frozen
class Page:
    """Some of the jobs that a filter means, in their order."""

    jobs: tuple[JobRecord, ...]
    cursor: str | None
    """To be given with the same filter and order for the next page; None: there are no more."""

    def __iter__(self) -> Iterator[JobRecord]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)


_CURSOR: Final = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{16})")


def cursor_of(where: Filter, order: Order, seq: int) -> str:
    """Return a cursor that stands at the job with this sequence number."""
    values = {name: _plain(getattr(where, name)) for name in fields_dict(Filter)}
    said = repr([order, seq, *((name, value) for name, value in values.items() if value is not None)])
    return f"{seq:x}-{hashlib.blake2b(said.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def read_cursor(cursor: object, where: Filter, order: Order) -> int:
    """Return where a cursor of this filter and order stands.

    Raises:
        InvalidCursor: it is not one.
    """
    match = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    seq = int(match[1], 16) if match else 0
    if cursor != cursor_of(where, order, seq):
        raise InvalidCursor(cursor)
    return seq


def _plain(value: Any) -> Any:
    """Return a value as what says the same in every process: the order of several does not matter."""
    if isinstance(value, tuple):
        return sorted({str(word) for word in cast("tuple[str, ...]", value)})
    if isinstance(value, Mapping):
        return sorted(cast("Mapping[str, str | None]", value).items())
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return float(_seconds(value)) if isinstance(value, datetime | int | float) else value
