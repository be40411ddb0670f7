"""A filter, taken apart: what the index knows of it, and what is left to be looked at job by job.

Both halves are also asked of a single job, for who has no index at hand: a watcher, or a verb that is only tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from math import inf
from typing import Final

from actorq.core.index import Query, Term, lasting_terms, passing_terms
from actorq.core.job import Job
from actorq.query import Filter
from actorq.record import JobRecord, instant, record_of

__all__ = ["Matcher", "matches"]

Check = Callable[[Job], bool]


class Matcher:
    """Tells whether a job is meant by a filter."""

    def __init__(self, where: Filter) -> None:
        self.query = Query(tuple(_clauses(where)), _tags(where) if where.tags_mode == "none" else ())
        """What the index knows."""
        self.ids = None if where.ids is None else frozenset(where.ids)
        self.checks: tuple[Check, ...] = tuple(_checks(where))
        """What must be looked at, in this order; the function of the user comes last."""

    def __call__(self, job: Job) -> bool:
        """Tell whether all of it holds for the job as it is now."""
        if self.ids is not None and job.id not in self.ids:
            return False
        terms = {*passing_terms(job), *lasting_terms(job, job.options)}
        if not all(terms.intersection(clause) for clause in self.query.clauses):
            return False
        return terms.isdisjoint(self.query.none_of) and self.passes(job)

    def passes(self, job: Job) -> bool:
        """Tell whether what the index does not know holds for the job."""
        for check in self.checks:  # noqa: SIM110 - in a generator, a StopIteration of the user's turns into another error
            if not check(job):
                return False
        return True


def matches(job: Job, where: Filter) -> bool:
    """Tell whether the job, as it is now, is meant by the filter."""
    return Matcher(where)(job)


# -- what the index knows ----------------------------------------------------------------------------


def _clauses(where: Filter) -> Iterator[tuple[Term, ...]]:
    for kind in ("state", "hold_reason", "task", "group"):
        words: tuple[str, ...] | None = getattr(where, kind)
        if words is not None:
            yield tuple((kind, str(word)) for word in dict.fromkeys(words))
    if where.key is not None:
        yield (("key", where.key),)
    if where.tags is not None and where.tags_mode == "any":
        yield _tags(where)
    elif where.tags is not None and where.tags_mode != "none":
        yield from ((term,) for term in _tags(where))


def _tags(where: Filter) -> tuple[Term, ...]:
    tags = where.tags or {}
    return tuple(("tag", name) if value is None else ("tag", name, value) for name, value in tags.items())


# -- what must be looked at --------------------------------------------------------------------------

_NUMBERS: Final[dict[str, Callable[[Job], int]]] = {
    "priority": lambda job: job.options.priority,
    "attempt": lambda job: job.attempt,
}
_INSTANTS: Final[dict[str, Callable[[Job], float | None]]] = {
    "submitted": lambda job: job.submitted_at,
    "due": lambda job: job.due_at,
    "started": lambda job: job.started_at,
    "ended": lambda job: job.ended_at,
}


def _checks(where: Filter) -> Iterator[Check]:
    for name, number in _NUMBERS.items():
        least, most = getattr(where, f"min_{name}"), getattr(where, f"max_{name}")
        if (least, most) != (None, None):
            yield _within(number, -inf if least is None else least, inf if most is None else most)
    for name, when in _INSTANTS.items():
        after, before = getattr(where, f"{name}_after"), getattr(where, f"{name}_before")
        if (after, before) != (None, None):
            yield _between(when, -inf if after is None else after, inf if before is None else before)
    if where.tags is not None and where.tags_mode == "exact":
        yield _has_tags(len(where.tags))
    if where.error is not None:
        yield _says(where.error.casefold())
    if where.where is not None:
        yield _satisfies(where.where)


def _within(number: Callable[[Job], int], least: float, most: float) -> Check:
    return lambda job: least <= number(job) <= most


def _between(when: Callable[[Job], float | None], after: datetime | float, before: datetime | float) -> Check:
    def is_between(job: Job) -> bool:
        at = when(job)
        return at is not None and _reaches(at, after) and not _reaches(at, before)

    return is_between


def _reaches(at: float, bound: datetime | float) -> bool:
    """Compare as the bound was said: an instant that a record shows is rounded, and has to find that job again."""
    return instant(at) >= bound if isinstance(bound, datetime) else at >= bound


def _has_tags(number: int) -> Check:
    return lambda job: len(job.options.tags) == number


def _says(text: str) -> Check:
    def says(job: Job) -> bool:
        failure = job.failure
        if failure is None:
            return False
        return any(text in said.casefold() for said in (failure.type, failure.message, failure.traceback))

    return says


def _satisfies(where: Callable[[JobRecord], bool]) -> Check:
    def satisfies(job: Job) -> bool:
        record = record_of(job)
        try:
            return bool(where(record))
        except Exception as error:
            error.add_note(f"raised by the where= of a Filter, asked of job {job.id}")
            raise

    return satisfies
