"""How long to wait before the next attempt, and whether there is one.

The delay is a function of the rule, the job's id and the number of failed attempts, and of nothing else:
a replay computes the same. Chance (``spread`` and ``jitter``) only ever lengthens it, so a rule's delays are lower
bounds.
"""

from __future__ import annotations

from typing import Any, Literal, cast
from zlib import crc32

from attrs import Attribute, field, frozen

from actorq.config import (
    ATTEMPTS_LIMIT,
    FACTOR_LIMIT,
    JITTER_LIMIT,
    LONGEST_S,
    TYPE_NAME_LIMIT,
    TYPES_LIMIT,
    duration,
    one_of,
    whole,
)
from actorq.errors import InvalidOption

__all__ = ["Backoff", "Retry"]

Backoff = Literal["fixed", "linear", "exponential"]


def type_name(kind: type[BaseException]) -> str:
    """Return the name under which a rule knows an exception type, also after a restart."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _to_names(value: Any) -> tuple[str, ...]:
    """Take one exception type or several, or their names."""
    kinds: list[Any] = [value] if isinstance(value, str | type) or not hasattr(value, "__iter__") else list(value)
    if len(kinds) > TYPES_LIMIT:
        raise InvalidOption("on/never", f"{len(kinds)} types", f"a rule names at most {TYPES_LIMIT}")
    return tuple(map(_checked_name, kinds))


def _checked_name(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseException):
        name = type_name(kind)
    elif isinstance(kind, str) and "." in kind:
        name = kind
    else:
        raise InvalidOption("on/never", cast("object", kind), "wants exception types, or their names with modules")
    if len(name) > TYPE_NAME_LIMIT:
        raise InvalidOption("on/never", name[:20] + "…", f"a name has at most {TYPE_NAME_LIMIT} characters")
    return name


def _to_seconds(value: Any) -> float:
    return duration("retry delay", value)


def _to_first(value: Any) -> float | None:
    return None if value is None else duration("initial", value)


def _to_float(value: Any) -> Any:
    """Take a subclass of float, such as numpy's, for what it is; what is no number is for the validator."""
    return float(value) if isinstance(value, float) else value


def _factor(instance: Any, attribute: Attribute[Any], value: object) -> None:
    del instance
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1.0 <= value <= FACTOR_LIMIT:
        raise InvalidOption(attribute.name, value, f"must be a number from 1 to {FACTOR_LIMIT:.0f}")


def _jitter(instance: Any, attribute: Attribute[Any], value: object) -> None:
    del instance
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= JITTER_LIMIT:
        raise InvalidOption(attribute.name, value, f"must be a number from 0 to {JITTER_LIMIT:.0f}")


def _attempts(instance: Any, attribute: Attribute[Any], value: int) -> None:
    del instance
    whole(attribute.name, value, 1, ATTEMPTS_LIMIT)


def _backoff(instance: Any, attribute: Attribute[Any], value: object) -> None:
    del instance
    one_of(attribute.name, value, ("fixed", "linear", "exponential"))


@frozen
class Retry:
    """When a failed attempt is followed by another.

    The first wait is ``initial``, or ``delay`` if that is None. The following ones are

    - fixed: ``delay`` each;
    - linear: each longer than the one before by ``delay``;
    - exponential: ``delay``, and then each ``factor`` times the one before; without ``initial``, ``delay`` is the
      first of these.

    To that are added up to ``spread`` seconds; the sum is cut at ``cap``; then it is lengthened by up to ``jitter``
    of itself. How much of either depends on the job and the attempt only.
    """

    max_attempts: int = field(default=3, validator=_attempts)
    """All runs together; 1 means no retry."""
    delay: float = field(default=1.0, converter=_to_seconds)
    """Seconds (or a timedelta)."""
    backoff: Backoff = field(default="exponential", validator=_backoff)
    factor: float = field(default=2.0, converter=_to_float, validator=_factor)
    cap: float = field(default=3600.0, converter=_to_seconds)
    """No wait is longer, but for jitter. Seconds (or a timedelta)."""
    initial: float | None = field(default=None, converter=_to_first, kw_only=True)
    """The first wait; 0: the second attempt follows at once. Seconds (or a timedelta)."""
    spread: float = field(default=0.0, converter=_to_seconds, kw_only=True)
    """The wait is lengthened by up to so much, but not over ``cap``. Seconds (or a timedelta)."""
    jitter: float = field(default=0.1, converter=_to_float, validator=_jitter)
    """The wait is lengthened by up to this part of itself."""
    on: tuple[str, ...] = field(default=(), converter=_to_names)
    """Exception types that are retried, with their subclasses; empty: all. Kept as names."""
    never: tuple[str, ...] = field(default=(), converter=_to_names)
    """Exception types that are not retried; wins over ``on``."""

    def retries(self, kind: type[BaseException]) -> bool:
        """Tell whether an exception of this type may be tried again."""
        names = {type_name(base) for base in kind.__mro__ if issubclass(base, BaseException)}
        if names.intersection(self.never):
            return False
        return not self.on or bool(names.intersection(self.on))

    def wait(self, job_id: str, failures: int) -> float:
        """Return the seconds to wait after the ``failures``-th failure (counted from 1)."""
        base = self._base(failures)
        if self.spread:
            base += self.spread * _chance(f"{job_id}:{failures}:spread")
        base = min(base, self.cap)
        return min(base * (1.0 + self.jitter * _chance(f"{job_id}:{failures}")), LONGEST_S)

    def _base(self, failures: int) -> float:
        first = self.delay if self.initial is None else self.initial
        if failures == 1:
            return first
        match self.backoff:
            case "fixed":
                return self.delay
            case "linear":
                return first + self.delay * (failures - 1)
            case _:
                return self._exponential(failures - (1 if self.initial is None else 2))

    def _exponential(self, times: int) -> float:
        try:
            return self.delay * float(self.factor) ** times
        except OverflowError:
            return self.cap if self.delay else 0.0


def _chance(what: str) -> float:
    """Return a number in [0, 1) that looks random and is the same in every replay."""
    return crc32(what.encode()) / 2**32
