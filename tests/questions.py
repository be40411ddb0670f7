"""Filters of every kind, jobs to ask them of, and a plain answer to hold the clever ones against."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from actorq import HoldReason, JobRecord, JobState, Reason
from actorq.core.job import FINAL, Failure, Job, JobOptions
from actorq.core.ledger import Ledger
from actorq.core.picture import Totals
from actorq.core.retry import Retry
from actorq.query import Filter

TAGS: list[Any] = [{}, {"user": "ada"}, {"user": "bob", "urgent": ""}, ["urgent"], {"user": "ada", "city": "Rome"}]

STATES = [state for state in JobState if state is not JobState.CREATED]


def make_job(seq: int) -> Job:
    """Return a job that has a bit of everything; any two that stand close together differ."""
    state = STATES[seq % len(STATES)]
    options = JobOptions(
        priority=seq % 7 - 3, retry=Retry(max_attempts=5), tags=TAGS[seq % 5], group=(None, "red", "blue")[seq // 2 % 3]
    )
    job = Job(f"j{seq}", seq, ("mail", "crawl", "print")[seq % 3], b"[[],{}]", options, state, float(seq), seq + 5.0)
    job.key = (None, "a", "b")[seq // 5 % 3]
    if state is JobState.SCHEDULED:
        job.hold_reason = tuple(HoldReason)[seq // 3 % len(HoldReason)]
    job.attempt = seq % 4
    job.started_at = seq + 6.0 if job.attempt else None
    job.ended_at = seq + 9.0 if state in FINAL else None
    if seq % 4 == 3:
        job.failure = Failure(Reason.ERROR, ("OSError", "ValueError")[seq % 2], "No ROUTE to ß", "line 3\nfoo()")
    return job


def make_ledger(jobs: int) -> Ledger:
    """Return a ledger of so many jobs, every tenth of which has been removed."""
    kept = [make_job(seq) for seq in range(1, jobs + 1) if seq % 10]
    return Ledger(Totals(n=1, seq=jobs, removed=jobs // 10), kept)


def is_odd(record: JobRecord) -> bool:
    return record.seq % 2 == 1


def _some(*words: str) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(words) | st.lists(st.sampled_from(words), max_size=3)


def _span(low: int, high: int) -> st.SearchStrategy[tuple[int | None, int | None]]:
    pair = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    return st.sampled_from([(None, None)] * 6) | st.tuples(pair, st.integers(0, 2)).map(
        lambda drawn: (drawn[0][0] if drawn[1] != 1 else None, drawn[0][1] if drawn[1] != 2 else None)
    )


_TAGS = st.dictionaries(
    st.sampled_from(["user", "urgent", "city", "none"]), st.sampled_from([None, "", "ada", "bob", "Rome"]), max_size=3
) | st.lists(st.sampled_from(["user", "urgent", "city"]), max_size=2)


@st.composite
def filters(draw: st.DrawFn, jobs: int = 60) -> Filter:
    """Any filter of which something is said; spans lie among so many jobs."""
    said: dict[str, Any] = {
        "state": draw(_some(*JobState)),
        "hold_reason": draw(st.none() | _some(*HoldReason)),
        "task": draw(_some("mail", "crawl", "nobody's")),
        "group": draw(st.none() | _some("red", "blue")),
        "key": draw(st.sampled_from([None, None, "a", "c"])),
        "ids": draw(st.none() | st.none() | st.lists(st.integers(0, jobs + 5).map("j{}".format), max_size=20)),
        "error": draw(st.sampled_from([None, None, None, "oserr", "route to SS", "FOO", "nothing"])),
        "where": draw(st.sampled_from([None, None, is_odd])),
    }
    for name, low, high in (("priority", -3, 3), ("attempt", 0, 4)):
        said[f"min_{name}"], said[f"max_{name}"] = draw(_span(low, high))
    for name in ("submitted", "due", "started", "ended"):
        said[f"{name}_after"], said[f"{name}_before"] = draw(_span(0, jobs + 5))
    if draw(st.booleans()):
        said["tags"] = draw(_TAGS)
        said["tags_mode"] = draw(st.sampled_from(["all", "any", "exact", "none"]))
    some = draw(st.sets(st.sampled_from([name for name in said if name != "tags_mode"]), min_size=1, max_size=4))
    return Filter(
        **{name: value for name, value in said.items() if name in some or (name == "tags_mode" and "tags" in some)}
    )


# -- the plain answer --------------------------------------------------------------------------------


def is_meant(where: Filter, record: JobRecord) -> bool:
    """Return whether the filter means the job, word by word as it is written."""
    words = [
        where.state is None or record.state in where.state,
        where.hold_reason is None or record.hold_reason in where.hold_reason,
        where.task is None or record.task in where.task,
        where.group is None or record.options.group in where.group,
        where.key is None or record.key == where.key,
        where.ids is None or record.id in where.ids,
        where.where is None or where.where(record),
        has_tags(where, record),
        says(where, record),
    ]
    numbers = [("priority", record.priority), ("attempt", record.attempt)]
    spans = [(getattr(where, f"min_{name}"), value, getattr(where, f"max_{name}")) for name, value in numbers]
    instants = [(name, getattr(record, f"{name}_at")) for name in ("submitted", "due", "started", "ended")]
    times = [(getattr(where, f"{name}_after"), at, getattr(where, f"{name}_before")) for name, at in instants]
    words += [(low is None or low <= value) and (high is None or value <= high) for low, value, high in spans]
    words += [
        (low is None or (at is not None and instant(low) <= at))
        and (high is None or (at is not None and at < instant(high)))
        for low, at, high in times
    ]
    return all(words)


def instant(at: datetime | float) -> datetime:
    return at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)


def has_tags(where: Filter, record: JobRecord) -> bool:
    if where.tags is None:
        return True
    found = [name in record.tags and value in (None, record.tags[name]) for name, value in where.tags.items()]
    match where.tags_mode:
        case "all":
            return all(found)
        case "any":
            return any(found)
        case "exact":
            return all(found) and where.tags.keys() == record.tags.keys()
        case "none":
            return not any(found)


def says(where: Filter, record: JobRecord) -> bool:
    if where.error is None:
        return True
    error = record.error
    if error is None:
        return False
    return where.error.casefold() in f"{error.type}\0{error.message}\0{error.traceback}".casefold()
