"""Walking through the jobs that a filter means, while they come, change and go."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq import InvalidOption, JobRecord, JobState
from actorq.actors.search import Walk, count, find, matching_ids
from actorq.config import FIND_LIMIT, Settings
from actorq.core import commands as c
from actorq.core.job import JobOptions
from actorq.core.ledger import Ledger
from actorq.core.picture import PAGE, Totals
from actorq.errors import InvalidCursor
from actorq.query import Filter, Order
from actorq.record import record_of
from tests.core.driver import KNOWN, History, Turn, World, histories
from tests.questions import filters, is_meant, make_job, make_ledger

JOBS = 60

LEDGER = make_ledger(JOBS)
RECORDS = [record_of(job) for job in sorted(LEDGER.jobs.values(), key=lambda job: job.seq)]

ORDERS = st.sampled_from(["oldest", "newest"])


def large_ledger() -> Ledger:
    """Return a ledger with a few jobs on each of three pages."""
    seqs = [seq for page in range(3) for seq in range(page * PAGE + 1, page * PAGE + 11)]
    return Ledger(Totals(n=1, seq=seqs[-1]), [make_job(seq) for seq in seqs])


async def find_all(ledger: Ledger, where: Filter, *, limit: int, order: Order = "oldest") -> list[str]:
    """Turn page after page, and return what stands on all of them."""
    found: list[str] = []
    cursor = None
    while True:
        page = await find(ledger, where, limit=limit, order=order, cursor=cursor)
        found += [record.id for record in page]
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(page) == limit, "only the last page may be short"


# -- what is found -----------------------------------------------------------------------------------


@settings(max_examples=3 * settings.default.max_examples)
@given(filters(JOBS), st.integers(1, 20), ORDERS)
async def test_all_pages_together_show_the_jobs_that_are_meant(where: Filter, limit: int, order: Order):
    meant = [record.id for record in RECORDS if is_meant(where, record)]
    assert await find_all(LEDGER, where, limit=limit, order=order) == (meant if order == "oldest" else meant[::-1])
    assert await count(LEDGER, where) == len(meant)


@given(filters(JOBS), ORDERS)
async def test_the_length_of_a_turn_does_not_matter(where: Filter, order: Order):
    meant = [record.id for record in RECORDS if is_meant(where, record)]
    assert await Walk(LEDGER, where, slice_s=0.0).count() == len(meant)
    found = await Walk(LEDGER, where, order, slice_s=0.0).take(JOBS, lambda job: job.id)
    assert found == (meant if order == "oldest" else meant[::-1])


async def test_a_page_shows_the_jobs_as_they_are():
    assert (await find(LEDGER, Filter(ids="j7"))).jobs == (record_of(LEDGER.jobs["j7"]),)


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_pages_cross_the_edges_of_the_index(order: Order):
    ledger = large_ledger()
    ids = list(ledger.jobs)
    assert await find_all(ledger, Filter(), limit=4, order=order) == (ids if order == "oldest" else ids[::-1])


async def test_the_last_page_has_no_cursor_though_it_is_full():
    page = await find(LEDGER, Filter(), limit=len(LEDGER.jobs))
    assert (len(page), page.cursor) == (len(LEDGER.jobs), None)


async def test_an_empty_ledger_is_an_empty_page():
    page = await find(Ledger(), Filter())
    assert (page.jobs, page.cursor, await count(Ledger(), Filter())) == ((), None, 0)


# -- what is refused ---------------------------------------------------------------------------------

BAD: list[dict[str, Any]] = [
    *({"limit": limit} for limit in (0, -1, FIND_LIMIT + 1, 5.0, "5", True, None)),
    *({"order": order} for order in ("", "random", 1, None, ["oldest"])),
]


@pytest.mark.parametrize("options", BAD, ids=str)
async def test_a_bad_option_is_refused_by_its_name(options: dict[str, Any]):
    with pytest.raises(InvalidOption) as caught:
        await find(LEDGER, Filter(), **options)
    assert caught.value.option in options


@pytest.mark.parametrize("ask", [find, count, lambda ledger, where: matching_ids(ledger, where, 5).__anext__()])
@pytest.mark.parametrize("where", [None, {"state": "queued"}, lambda record: True, "queued"], ids=repr)
async def test_what_is_no_filter_is_refused(ask: Callable[..., Awaitable[Any]], where: Any):
    with pytest.raises(InvalidOption, match=r"^where=.*wants a Filter"):
        await ask(LEDGER, where)


@pytest.mark.parametrize("where", [Filter(state="queued"), Filter(task="mail")], ids=["state", "task"])
async def test_the_cursor_of_another_query_is_refused(where: Filter):
    cursor = (await find(LEDGER, Filter(), limit=1)).cursor
    with pytest.raises(InvalidCursor):
        await find(LEDGER, where, cursor=cursor)
    with pytest.raises(InvalidCursor):
        await find(LEDGER, Filter(), cursor=cursor, order="newest")


@pytest.mark.parametrize("cursor", ["", "forged", 5, "5-0000000000000000"])
async def test_a_forged_cursor_is_refused(cursor: Any):
    with pytest.raises(InvalidCursor):
        await find(LEDGER, Filter(), cursor=cursor)


async def test_what_the_users_own_function_raises_comes_out():
    def fail(record: JobRecord) -> bool:
        raise LookupError(record.id)

    where = Filter(ids=["j7", "j8"], where=fail)
    for ask in (find, count):
        with pytest.raises(LookupError, match="j7") as caught:
            await ask(LEDGER, where)
        assert caught.value.__notes__ == ["raised by the where= of a Filter, asked of job j7"]


# -- turns -------------------------------------------------------------------------------------------


async def turns_during(walk: Callable[[], Awaitable[Any]]) -> int:
    """Return how often somebody else had a turn meanwhile."""
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as others:
        others.start_soon(tick)
        await walk()
        others.cancel_scope.cancel()
    return turns


async def test_between_two_turns_others_have_theirs():
    where = Filter(where=lambda record: False)
    assert await turns_during(Walk(LEDGER, where, slice_s=0.0).count) >= len(LEDGER.jobs)
    assert await turns_during(Walk(large_ledger(), Filter(), slice_s=0.0).count) >= 3


async def test_a_walk_can_be_cancelled():
    with anyio.move_on_after(0) as scope:
        await find(LEDGER, Filter())
    assert scope.cancelled_caught


def world(jobs: int) -> World:
    """Return a world with so many jobs, of which one runs and the others are queued."""
    world = World(Settings(workers=1))
    submit(world, *(f"j{n}" for n in range(jobs)))
    return world


def submit(world: World, *job_ids: str) -> None:
    world.ids += job_ids
    world.step([c.Submit(tuple(c.NewJob(job_id, KNOWN, b"[[],{}]", JobOptions()) for job_id in job_ids))], world.now)


def cancel(world: World, *job_ids: str) -> None:
    world.step([c.Cancel(job_id, "") for job_id in job_ids], world.now)


QUEUED, CANCELLED = Filter(state="queued"), Filter(state="cancelled")


async def test_a_job_is_looked_at_when_its_turn_comes():
    w = world(6)
    walk = Walk(w.machine.ledger, QUEUED)
    assert await walk.take(2, lambda job: job.id) == ["j1", "j2"]
    cancel(w, "j1", "j4")
    assert await walk.take(9, lambda job: (job.id, job.state)) == [
        ("j3", JobState.QUEUED),
        ("j5", JobState.QUEUED),
    ]


async def test_what_comes_to_be_meant_before_its_turn_is_found():
    w = world(6)
    walk = Walk(w.machine.ledger, CANCELLED)
    cancel(w, "j2", "j5")
    assert await walk.take(1, lambda job: job.id) == ["j2"]
    cancel(w, "j1", "j4")
    assert await walk.take(9, lambda job: job.id) == ["j4", "j5"]


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_what_is_submitted_after_the_beginning_is_not_on_the_way(order: Order):
    w = world(3)
    walk = Walk(w.machine.ledger, Filter(), order)
    submit(w, "new")
    assert "new" not in await walk.take(9, lambda job: job.id)
    assert "new" in await Walk(w.machine.ledger, Filter(), order).take(9, lambda job: job.id)


async def test_a_job_that_is_named_and_submitted_later_is_not_on_the_way():
    w = world(3)
    walk = Walk(w.machine.ledger, Filter(ids=["j1", "new"]))
    submit(w, "new")
    assert await walk.take(9, lambda job: job.id) == ["j1"]


async def test_the_users_own_function_may_change_the_jobs():
    w = world(6)

    def cancel_the_next(record: JobRecord) -> bool:
        cancel(w, f"j{int(record.id[1:]) + 1}")
        return True

    where = Filter(state="queued", where=cancel_the_next)
    assert await find_all(w.machine.ledger, where, limit=9) == ["j1", "j3", "j5"]


async def test_new_jobs_come_on_later_pages_behind_those_that_were_there():
    w = world(3)
    page = await find(w.machine.ledger, Filter(), limit=2)
    submit(w, "new")
    rest = await find(w.machine.ledger, Filter(), limit=9, cursor=page.cursor)
    assert [record.id for record in (*page, *rest)] == ["j0", "j1", "j2", "new"]


# -- any history --------------------------------------------------------------------------------------


def empty_payloads(world: World, turn: Turn) -> None:
    """Make every job one that a record can be had of: those of the driver hold no arguments."""
    for job in world.machine.ledger.jobs.values():
        job.payload = b""


class Watched:
    """A history that goes on while somebody asks, and what was meant at each moment."""

    def __init__(self, history: History, where: Filter) -> None:
        self.world = World(history.settings, laws=(empty_payloads,), may_crash=False)
        self.acts = list(history.acts[::-1])
        self.where = where
        self.go_on(len(self.acts) // 2)
        self.throughout = self.meant()
        self.sometime = set(self.throughout)

    def meant(self) -> set[str]:
        jobs = self.world.machine.ledger.jobs.values()
        return {job.id for job in jobs if is_meant(self.where, record_of(job))}

    def go_on(self, most: int = 1) -> None:
        for _ in range(min(most, len(self.acts))):
            self.world.do(self.acts.pop())

    def look(self, job_id: str) -> str:
        """Note that the job was shown; and let something happen."""
        assert job_id in self.meant(), "a job is shown as it is"
        self.go_on()
        now = self.meant()
        self.throughout &= now
        self.sometime |= now
        return job_id


HISTORY_FILTERS = st.sampled_from(
    [
        Filter(),
        Filter(state=["queued", "scheduled", "running", "paused"]),
        Filter(state=["succeeded", "failed", "cancelled", "dead_letter"]),
        Filter(state="scheduled", hold_reason=["retry", "delay"]),
        Filter(task=KNOWN, min_priority=0),
        Filter(group=["red", "blue"]),
        Filter(tags=["a"], tags_mode="none", max_attempt=0),
    ]
)


@settings(max_examples=5 * settings.default.max_examples)
@given(histories(60), HISTORY_FILTERS, ORDERS, st.sampled_from([0.0, 1.0]))
async def test_in_any_history_a_walk_shows_each_job_that_is_there_throughout_once(
    history: History, where: Filter, order: Order, slice_s: Literal[0, 1]
):
    watched = Watched(history, where)
    walk = Walk(watched.world.machine.ledger, where, order, slice_s=slice_s)
    seen: list[str] = []
    while not walk.is_over:
        seen += await walk.take(2, lambda job: watched.look(job.id))
    assert len(seen) == len(set(seen))
    assert watched.throughout <= set(seen) <= watched.sometime


@settings(max_examples=5 * settings.default.max_examples)
@given(histories(60), HISTORY_FILTERS, ORDERS, st.integers(1, 4))
async def test_in_any_history_the_pages_show_each_job_that_is_there_throughout_once(
    history: History, where: Filter, order: Order, limit: int
):
    watched = Watched(history, where)
    seen: list[str] = []
    cursor, is_first = None, True
    while is_first or cursor is not None:
        page = await find(watched.world.machine.ledger, where, limit=limit, order=order, cursor=cursor)
        cursor, is_first = page.cursor, False
        assert {record.id for record in page} <= watched.meant()
        seen += [record.id for record in page]
        watched.sometime |= watched.meant()
        watched.go_on(3)
        watched.throughout &= watched.meant() if cursor is not None else watched.throughout
    assert len(seen) == len(set(seen))
    assert watched.throughout <= set(seen) <= watched.sometime


# -- in bulk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 5, 100])
async def test_ids_come_in_chunks(most: int):
    w = world(5)
    chunks = [ids async for ids in matching_ids(w.machine.ledger, Filter(), most)]
    assert [len(ids) for ids in chunks[:-1]] == [most] * (len(chunks) - 1)
    assert [job_id for ids in chunks for job_id in ids] == [f"j{n}" for n in range(5)]


async def test_what_is_done_to_the_jobs_meanwhile_brings_none_of_them_back():
    w = world(6)
    seen: list[str] = []
    async for ids in matching_ids(w.machine.ledger, Filter(), 2):
        seen += ids
        cancel(w, *ids)
        w.step([c.Rerun(job_id) for job_id in ids], w.now)
        submit(w, *(f"{job_id} again" for job_id in ids))
    assert seen == [f"j{n}" for n in range(6)]


async def test_nothing_is_meant_by_an_empty_list():
    assert [ids async for ids in matching_ids(LEDGER, Filter(ids=[]), 5)] == []
