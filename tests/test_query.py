"""A filter takes what a job can have and refuses the rest by name; a cursor belongs to its question."""

from copy import copy
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from math import inf, nan
from typing import Any

import anyio
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from actorq import (
    Filter,
    HoldReason,
    InvalidCursor,
    InvalidOption,
    JobQueue,
    JobRecord,
    JobState,
    Page,
    Priority,
    QueueClosed,
    Refused,
)
from actorq.config import (
    ATTEMPTS_LIMIT,
    FILTER_LIMIT,
    KEY_LIMIT,
    NAME_LIMIT,
    PRIORITY_LIMIT,
    TAGS_LIMIT,
    TEXT_LIMIT,
)
from actorq.core.job import Job, JobOptions
from actorq.query import cursor_of, read_cursor
from actorq.record import record_of
from actorq.testing import MemoryFiles

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Nowhere(tzinfo):
    """A time zone that does not know how far it is from UTC."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None


def is_large(record: JobRecord) -> bool:
    return len(record.args) > 5


def is_small(record: JobRecord) -> bool:
    return not is_large(record)


async def is_later(record: JobRecord) -> bool:
    return True


def make(**options: Any) -> Any:
    queue: Any = JobQueue(workers=1, **options)

    @queue.task(name="work")
    async def work(n: int) -> int:
        await anyio.sleep(1)
        return n

    queue.work = work
    return queue


# -- what it takes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({"state": "queued"}, (JobState.QUEUED,)),
        ({"state": JobState.QUEUED}, (JobState.QUEUED,)),
        ({"state": ["queued", JobState.RUNNING]}, (JobState.QUEUED, JobState.RUNNING)),
        ({"state": []}, ()),
        ({"hold_reason": "retry"}, (HoldReason.RETRY,)),
        ({"hold_reason": {HoldReason.DELAY}}, (HoldReason.DELAY,)),
        ({"task": "mail"}, ("mail",)),
        ({"task": ["mail", "crawl"]}, ("mail", "crawl")),
        ({"group": "red"}, ("red",)),
        ({"group": iter(["red", "blue"])}, ("red", "blue")),
        ({"key": "k" * KEY_LIMIT}, "k" * KEY_LIMIT),
        ({"ids": "j1"}, ("j1",)),
        ({"ids": (f"j{n}" for n in range(FILTER_LIMIT))}, tuple(f"j{n}" for n in range(FILTER_LIMIT))),
        ({"tags": {"user": "ada", "urgent": None}}, {"user": "ada", "urgent": None}),
        ({"tags": ["user", "urgent"]}, {"user": None, "urgent": None}),
        ({"tags": {}}, {}),
        ({"min_priority": Priority.HIGH}, 10),
        ({"max_priority": -PRIORITY_LIMIT}, -PRIORITY_LIMIT),
        ({"min_attempt": 0}, 0),
        ({"max_attempt": ATTEMPTS_LIMIT}, ATTEMPTS_LIMIT),
        ({"submitted_after": NOON}, NOON),
        ({"ended_before": 1_700_000_000}, 1_700_000_000),
        ({"error": "No Route"}, "No Route"),
        ({"where": is_large}, is_large),
    ],
    ids=str,
)
def test_a_filter_takes(given_: dict[str, Any], kept: object):
    [name] = given_
    assert getattr(Filter(**given_), name) == kept


def test_a_filter_takes_a_task_for_its_name():
    queue = JobQueue()
    mail, crawl = queue.task(is_large, name="mail"), queue.task(is_small, name="crawl")
    assert Filter(task=mail).task == ("mail",)
    assert Filter(task=[mail, "print", crawl]).task == ("mail", "print", "crawl")


def test_a_filter_of_which_nothing_is_said_holds_nothing():
    assert Filter() == Filter(state=None, tags=None, tags_mode="all")


def test_a_filter_can_be_copied():
    where = Filter(state="queued", tags={"user": "ada"})
    assert copy(where) == where


# -- what it refuses ---------------------------------------------------------------------------------

NAMES: dict[str, list[Any]] = {
    "state": ["lost", 5, True, ["queued", "lost"], [["queued"]], b"queued", "QUEUED", [None]],
    "hold_reason": ["sleep", 5, ["delay", "sleep"], "queued"],
    "task": [5, [5], b"mail", "m" * (TEXT_LIMIT + 1), (str(n) for n in count()), [None]],
    "group": [5, [5], b"red", "g" * (TEXT_LIMIT + 1), ["g"] * (FILTER_LIMIT + 1), {1: 2}],
    "key": ["", 5, b"k", "k" * (KEY_LIMIT + 1), "k" * 1_000_000, ["k"]],
    "ids": [5, [5], [b"j1"], "j" * (TEXT_LIMIT + 1), [str(n) for n in range(FILTER_LIMIT + 1)]],
    "tags": [
        "user",
        b"user",
        5,
        [5],
        {5: "ada"},
        {"user": 5},
        [["user"]],
        {"u" * (NAME_LIMIT + 1): ""},
        {"user": "a" * (NAME_LIMIT + 1)},
        [str(n) for n in range(TAGS_LIMIT + 1)],
        {str(n): "" for n in range(10_000)},
        (str(n) for n in count()),
    ],
    "tags_mode": ["some", 5, None, "ALL", ["all"], "any", "exact", "none"],
    "error": ["", 5, b"no", "e" * (TEXT_LIMIT + 1)],
    "where": ["priority > 5", 5, is_later, partial(is_later)],
}
"""``tags_mode`` is refused also where there are no tags that it could speak of."""

NUMBERS: dict[str, list[Any]] = {
    **{f"{end}_priority": ["5", 5.0, True, PRIORITY_LIMIT + 1, -PRIORITY_LIMIT - 1] for end in ("min", "max")},
    **{f"{end}_attempt": ["1", 1.0, False, -1, ATTEMPTS_LIMIT + 1] for end in ("min", "max")},
}

INSTANTS: dict[str, list[Any]] = {
    f"{what}_{end}": [
        datetime(2026, 5, 1),  # noqa: DTZ001 - without a zone, as it must not be
        datetime(2026, 5, 1, tzinfo=Nowhere()),
        NOON.date(),
        timedelta(hours=1),
        "2026-05-01",
        True,
        nan,
        inf,
        -inf,
        10**400,
    ]
    for what in ("submitted", "due", "started", "ended")
    for end in ("after", "before")
}


BAD = [(name, value) for name, values in {**NAMES, **NUMBERS, **INSTANTS}.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}-{i}" for i, (name, _) in enumerate(BAD)])
def test_a_filter_refuses_by_its_name(name: str, value: object):
    with pytest.raises(InvalidOption) as caught:
        Filter(**{name: value})
    assert caught.value.option == name
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *((f"min_{name}", f"max_{name}") for name in ("priority", "attempt")),
        *((f"{name}_after", f"{name}_before") for name in ("submitted", "due", "started", "ended")),
    ],
)
def test_a_span_does_not_end_before_it_begins(low: str, high: str):
    Filter(**{low: 5, high: 5})
    with pytest.raises(InvalidOption, match=f"^{high}=4: lies below {low}=5"):
        Filter(**{low: 5, high: 4})


def test_the_ends_of_a_span_may_be_said_in_two_ways():
    with pytest.raises(InvalidOption, match="lies below"):
        Filter(ended_after=NOON, ended_before=NOON.timestamp() - 1)


def test_an_unknown_field_is_a_type_error_that_lists_the_fields():
    with pytest.raises(TypeError, match=r"unknown field sate, tag in a Filter; there are state, .*tags, .*where$"):
        Filter(sate="queued", tag="user")  # type: ignore[call-arg]


def test_a_field_without_its_name_is_a_type_error():
    with pytest.raises(TypeError, match="a field without its name"):
        Filter("queued")  # type: ignore[misc]


# -- pages and cursors -------------------------------------------------------------------------------


def test_a_page_is_its_jobs():
    records = [record_of(Job(f"j{n}", n, "mail", b"", JobOptions(), JobState.QUEUED, 0.0, 0.0)) for n in (1, 2)]
    page = Page(tuple(records), None)
    assert (list(page), len(page)) == (records, 2)


FILTERS = [
    Filter(),
    Filter(state="queued"),
    Filter(state=["queued", "running"]),
    Filter(hold_reason="delay"),
    Filter(task="queued"),
    Filter(group="queued"),
    Filter(key="queued"),
    Filter(ids=["queued"]),
    Filter(error="queued"),
    Filter(state=[]),
    Filter(tags=["queued"]),
    Filter(tags={"queued": ""}),
    Filter(tags=["queued"], tags_mode="any"),
    Filter(tags={}),
    Filter(min_priority=1),
    Filter(max_priority=1),
    Filter(min_attempt=1),
    Filter(submitted_after=1),
    Filter(due_after=1),
    Filter(due_after=2),
    Filter(where=is_large),
    Filter(where=is_small),
]


@given(st.sampled_from(FILTERS), st.sampled_from(["oldest", "newest"]), st.integers(0, 2**63 - 1))
def test_a_cursor_says_where_it_stands(where: Filter, order: Any, seq: int):
    assert read_cursor(cursor_of(where, order, seq), where, order) == seq


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_a_cursor_is_of_one_filter_and_one_order(where: Filter):
    cursor = cursor_of(where, "oldest", 5)
    for other in FILTERS:
        if other is not where:
            with pytest.raises(InvalidCursor):
                read_cursor(cursor, other, "oldest")
    with pytest.raises(InvalidCursor):
        read_cursor(cursor, where, "newest")


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (Filter(state=["queued", "running"]), Filter(state=["running", "queued", "running"])),
        (Filter(ids=["a", "b"]), Filter(ids=iter("ba"))),
        (Filter(tags={"a": "1", "b": "2"}), Filter(tags={"b": "2", "a": "1"})),
        (Filter(ended_after=NOON), Filter(ended_after=NOON.timestamp())),
        (Filter(ended_after=int(NOON.timestamp())), Filter(ended_after=NOON.timestamp())),
    ],
    ids=["states", "ids", "tags", "instants", "seconds"],
)
def test_a_cursor_is_of_what_is_asked_however_it_was_said(one: Filter, same: Filter):
    assert cursor_of(one, "oldest", 5) == cursor_of(same, "oldest", 5)


def test_a_cursor_is_the_same_in_every_process():
    where = Filter(state="queued", tags={"user": "ada"}, ended_after=NOON, where=bool)
    assert cursor_of(where, "newest", 1000) == "3e8-2441b4aff4a1e5d0"


GOOD = cursor_of(Filter(), "oldest", 255)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "5",
        "5-",
        GOOD.upper(),
        GOOD + "\n",
        f" {GOOD}",
        "0" + GOOD,
        "1" + GOOD[1:],
        GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"),
        "f" * 1_000_000 + "-" + "0" * 16,
        "\ud800-\ud800",
        5,
        GOOD.encode(),
        True,
    ],
    ids=lambda cursor: repr(cursor)[:30],
)
def test_what_is_no_cursor_is_refused(cursor: object):
    with pytest.raises(InvalidCursor, match="or none, to begin again") as caught:
        read_cursor(cursor, Filter(), "oldest")
    assert caught.value.cursor == cursor
    assert isinstance(caught.value, Refused)
    assert len(str(caught.value)) < 500


def test_a_filter_of_odd_characters_has_cursors_too():
    where = Filter(task="\ud800")
    assert read_cursor(cursor_of(where, "oldest", 5), where, "oldest") == 5


def test_a_filter_can_be_changed_into_another():
    where = Filter(state="queued", tags={"user": "ada"}, tags_mode="any")
    assert evolve(where, state="running") == Filter(state="running", tags={"user": "ada"}, tags_mode="any")


# -- asked of a queue --------------------------------------------------------------------------------


async def test_a_queue_finds_and_counts_its_jobs():
    async with make() as queue:
        handles = [await queue.work.using(tags={"n": str(n)}).submit(n) for n in range(5)]
        await queue.join()
        page = await queue.find(Filter(tags={"n": "3"}, state="succeeded"))
        assert [(record.id, record.result) for record in page] == [(handles[3].id, 3)]
        assert await queue.count(Filter(where=lambda record: record.args[0] > 1)) == 3


async def test_without_a_filter_all_jobs_are_meant():
    async with make() as queue:
        ids = [(await queue.work.submit(n)).id for n in range(3)]
        assert [record.id for record in await queue.find()] == ids
        assert [record.id for record in await queue.find(order="newest")] == ids[::-1]
        assert await queue.count() == 3


async def test_what_is_not_on_this_page_is_on_the_next():
    async with make() as queue:
        ids = [(await queue.work.submit(n)).id for n in range(3)]
        page = await queue.find(limit=2)
        rest = await queue.find(limit=2, cursor=page.cursor)
        assert [record.id for record in (*page, *rest)] == ids
        assert rest.cursor is None


async def test_a_cursor_outlives_a_restart():
    files = MemoryFiles()
    async with make(files=files) as queue:
        ids = [(await queue.work.submit(n)).id for n in range(3)]
        cursor = (await queue.find(Filter(task=queue.work), limit=2)).cursor
    async with make(files=files) as queue:
        page = await queue.find(Filter(task=queue.work), cursor=cursor)
        assert [record.id for record in page] == ids[2:]


async def test_what_is_shown_is_as_durable_as_was_promised():
    async with make(files=MemoryFiles()) as queue:
        queue.work.submit_nowait(1)
        assert len(await queue.find()) == 1
        assert (await queue.stats()).unkept == 0
        queue.work.submit_nowait(2)
        assert await queue.count(Filter(where=lambda record: record.args == (2,))) == 1
        assert (await queue.stats()).unkept == 0


async def test_a_closed_queue_is_not_searched():
    queue = make()
    with pytest.raises(QueueClosed):
        await queue.find()
    with pytest.raises(QueueClosed):
        await queue.count()


async def test_a_bad_question_is_refused_by_the_queue():
    async with make() as queue:
        with pytest.raises(InvalidOption, match=r"^limit=0"):
            await queue.find(limit=0)
        with pytest.raises(InvalidCursor):
            await queue.find(cursor="forged")
        with pytest.raises(InvalidOption, match="wants a Filter"):
            await queue.count("queued")
