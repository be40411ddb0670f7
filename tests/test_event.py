"""An event: a fact, as it is told to those who watch; and the events that users of other systems had."""

import re
from pathlib import Path

import pytest

from actorq import InvalidOption, JobEvent, JobQueue
from actorq.core import facts as f
from actorq.event import EVENT_NAMES, IDLE, check_names, event_of, idle_after, name_of
from actorq.record import instant

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "watch.md"
ROOTS = {f.Fact, f.Placed, f.QueueFact}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(f.Submitted, "submitted"), (f.RetryScheduled, "retry_scheduled"), (f.BecameDue, "became_due")],
)
def test_an_event_has_the_name_of_its_fact_in_lower_case(kind: type[f.Fact], name: str):
    assert name_of(kind) == name


def test_every_fact_that_happens_has_a_name_of_its_own_and_idle_is_the_only_other():
    kinds = {getattr(f, name) for name in f.__all__} - ROOTS
    assert len(EVENT_NAMES) == len(set(EVENT_NAMES))
    assert set(EVENT_NAMES) == {name_of(kind) for kind in kinds} | {IDLE}


def test_an_event_tells_all_that_the_fact_tells():
    fact = f.BecameDue(12.5, "j1")
    fact.n = 7
    event = event_of(fact, "send")
    assert (event.number, event.at, event.name, event.job_id, event.task, event.fact) == (
        7,
        instant(12.5),
        "became_due",
        "j1",
        "send",
        fact,
    )


@pytest.mark.parametrize("kind", [f.Succeeded, f.Failed, f.DeadLettered, f.Cancelled])
def test_idle_is_not_the_end_of_the_job_that_ended_before_it(kind: type[f.Fact]):
    fact = f.Succeeded(1.0, "j1", b"1") if kind is f.Succeeded else kind(1.0, "j1", None)  # type: ignore[call-arg]
    assert event_of(fact, "send").is_end
    assert not idle_after(fact).is_end


def test_names_that_there_are_not_are_refused_and_those_that_there_are_told():
    assert check_names(["failed", "failed", "idle"]) == {"failed", "idle"}
    with pytest.raises(InvalidOption, match=r"became_due, .*, idle"):
        check_names(["failed", "fail"])


async def test_what_happens_to_the_queue_or_a_group_is_an_event_of_no_job_and_no_task():
    async with JobQueue() as queue, queue.watch() as events:
        await queue.pause_queue()
        await queue.pause_group("mail")
        await queue.resume_group("mail")
        await queue.resume_queue()
        seen = [await anext(events) for _ in range(4)]
    assert all(isinstance(event, JobEvent) and event.job_id == event.task == "" for event in seen)
    names = [event.name for event in seen if isinstance(event, JobEvent)]
    assert names == ["queue_paused", "group_paused", "group_resumed", "queue_resumed"]


# ── the events of other systems ──────────────────────────────────────────────────────────────────

THEIRS = {
    "BullMQ": "added waiting active progress completed failed delayed stalled removed retries-exhausted duplicated "
    "deduplicated paused resumed drained cleaned error",
    "rethinkdb-job-queue": "ready added updated active processing progress log pausing paused resumed completed "
    "cancelled failed terminated reanimated removed idle reset error reviewed detached stopping stopped dropped",
    "DataQueue": "added processing completed failed cancelled retried edited prolonged waiting job:added "
    "job:processing job:completed job:failed job:cancelled job:retried job:waiting job:progress job:output error",
    "Zeridion Flare": "job.created job.started job.succeeded job.failed job.dead_letter job.cancelled job.retry *",
}


def table() -> dict[str, list[tuple[list[str], list[str], str]]]:
    """Return the rows of the page's table by system: their words, our names, the remark."""
    found: dict[str, list[tuple[list[str], list[str], str]]] = {}
    rows: list[tuple[list[str], list[str], str]] = []
    for line in PAGE.read_text(encoding="utf-8").partition("## The events of other systems")[2].splitlines():
        if not line.startswith("|"):
            continue
        theirs, ours, remark = (cell.strip() for cell in line.strip("|").split("|"))
        if system := re.match(r"\*\*(.+)\*\*", theirs):
            rows = found[system[1]] = []
        else:
            rows.append((re.findall(r"`(.+?)`", theirs), re.findall(r"`(.+?)`", ours), remark))
    return found


def test_the_table_of_the_page_has_every_event_of_the_other_systems():
    words = {system: {word for theirs, _, _ in rows for word in theirs} for system, rows in table().items()}
    assert words == {system: set(theirs.split()) for system, theirs in THEIRS.items()}


def test_each_name_in_the_table_is_the_name_of_an_event_and_what_has_none_is_explained():
    for rows in table().values():
        for theirs, ours, remark in rows:
            assert set(ours) <= set(EVENT_NAMES), theirs
            assert ours or remark, theirs
