"""What the submitter holds: results with their types, progress, log, and several jobs at once."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, IntEnum
from typing import Any

import anyio
import attrs
import pytest

from actorq import (
    InvalidOption,
    JobCancelled,
    JobContext,
    JobEvent,
    JobFailed,
    JobLost,
    JobQueue,
    JobState,
    Retention,
    Retry,
    as_completed,
    gather,
)
from actorq.config import JOB_LOG_LIMIT, TEXT_LIMIT

ONCE = Retry(max_attempts=1)


@dataclass
class Point:
    x: int
    y: float
    _secret: int = 0


@attrs.frozen
class Parcel:
    id: uuid.UUID
    sent_at: datetime
    points: list[Point]
    note: bytes = b""


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


PARCEL = Parcel(uuid.UUID(int=7), datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC), [Point(1, 2.5, 7)], b"\x00\xff")


# -- results ---------------------------------------------------------------------------------------


def typed(kind: Any) -> Callable[[Any], Any]:
    async def same(value: Any) -> Any:
        return value

    same.__annotations__ = {"value": kind, "return": kind}
    return same


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Point, Point(1, 2.0, 3)),
        (Parcel, PARCEL),
        (datetime, datetime(2030, 1, 2, tzinfo=UTC)),
        (date, date(2030, 1, 2)),
        (uuid.UUID, PARCEL.id),
        (Colour, Colour.RED),
        (Size, Size.BIG),
        (bytes, b"\x00\xff"),
        (list[bytes], [b"a", b""]),
        (dict[str, Parcel], {"a": PARCEL}),
        (tuple[int, str], (1, "a")),
        (int | None, None),
        (int | str, "a"),
        (Point | None, Point(1, 2.0)),
        (Parcel | None, None),
        (float, 1.5),
        (int, True),
        (Any, {"a": [1, None]}),
        (None, None),
    ],
    ids=str,
)
async def test_arguments_and_results_come_back_as_their_annotations_say(kind: Any, value: Any):
    seen: list[Any] = []
    function = typed(kind)

    async def same(value: Any) -> Any:
        seen.append(value)
        return await function(value)

    same.__annotations__ = function.__annotations__
    async with JobQueue() as queue:
        result = await queue.task(name="same", retry=ONCE)(same).run(value)
    assert (result, seen) == (value, [value])
    assert type(result) is type(seen[0]) is type(value)


async def test_a_result_without_annotation_is_plain_json():
    async def same(value):  # type: ignore[no-untyped-def]
        return value

    async with JobQueue() as queue:
        assert await queue.task(name="same")(same).run(Point(1, 2.0)) == {"x": 1, "y": 2.0, "_secret": 0}


async def test_set_result_wins_over_what_is_returned():
    async def work(ctx: JobContext) -> str:
        ctx.set_result("stored")
        return "returned"

    async with JobQueue() as queue:
        assert await queue.task(name="work", context=True)(work).run() == "stored"


async def test_set_result_may_store_none():
    async def work(ctx: JobContext) -> str | None:
        ctx.set_result(None)
        return "returned"

    async with JobQueue() as queue:
        assert await queue.task(name="work", context=True)(work).run() is None


async def test_a_result_of_another_type_than_annotated_is_a_failure_for_those_who_wait():
    async def lie() -> int:
        return "a word"  # type: ignore[return-value]

    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match=r"bad_result.*does not fit the return type"):
            await queue.task(name="lie")(lie).run()


# -- failures --------------------------------------------------------------------------------------


async def test_a_failure_tells_what_where_and_how_often():
    async def fail() -> None:
        raise KeyError("x")

    async with JobQueue() as queue:
        handle = await queue.task(name="fail", retry=Retry(max_attempts=2))(fail).submit()
        with pytest.raises(JobFailed) as caught:
            await handle
    error = caught.value
    assert (error.job_id, error.task, error.reason, error.type, error.message, error.attempts) == (
        handle.id,
        "fail",
        "error",
        "KeyError",
        "'x'",
        2,
    )
    assert "in fail" in error.traceback
    assert isinstance(error.__cause__, KeyError)


async def test_wait_returns_the_state_and_raises_nothing():
    async def fail() -> None:
        raise KeyError("x")

    async with JobQueue() as queue:
        assert await (await queue.task(name="fail", retry=ONCE)(fail).submit()).wait() is JobState.FAILED


async def test_a_result_that_is_not_there_in_time_is_a_timeout_and_the_job_goes_on():
    async with JobQueue() as queue:
        handle = await queue.task(name="sleep")(anyio.sleep).submit(10)
        with pytest.raises(TimeoutError):
            await handle.result(timeout=1)
        assert await handle.wait(timeout=20) is JobState.SUCCEEDED


async def test_a_job_that_retention_took_is_lost():
    async with JobQueue(retention=Retention(count=0)) as queue:
        handle = await queue.task(name="sleep")(anyio.sleep).submit(0)
        await handle  # whoever waited has heard
        for ask in (handle.result, handle.wait, handle.record):
            with pytest.raises(JobLost):
                await ask()


async def test_a_handle_says_its_id_and_equals_another_of_its_job():
    async with JobQueue() as queue:
        handle = await queue.task(name="sleep")(anyio.sleep).submit(0)
        assert repr(handle) == f"JobHandle(id={handle.id!r})"
        assert handle == queue.handle(handle.id)


# -- progress --------------------------------------------------------------------------------------


async def test_progress_never_goes_down_and_is_one_at_the_end():
    seen: list[float] = []

    async def work(ctx: JobContext) -> None:
        for value in (0.5, 0.2, 0.7):
            ctx.progress(value)
            await anyio.sleep(1)
            seen.append((await handle.record()).progress.value)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await handle
        assert (await handle.record()).progress.value == 1.0
    assert seen == [0.5, 0.5, 0.7]


async def test_progress_of_current_and_total_is_their_ratio():
    async def work(ctx: JobContext) -> None:
        ctx.progress(current=3, total=4, message="halfway and more")
        await anyio.sleep(1)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await anyio.sleep(0.5)
        progress = (await handle.record()).progress
    assert (progress.value, progress.current, progress.total, progress.message) == (0.75, 3, 4, "halfway and more")


async def test_progress_begins_anew_with_each_attempt():
    async def work(ctx: JobContext) -> None:
        if ctx.attempt == 1:
            ctx.progress(0.9)
            raise ValueError
        await anyio.sleep(10)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await anyio.sleep(5)
        assert (await handle.record()).progress.value == 0.0


async def test_progress_is_told_at_most_ten_times_a_second():
    async def work(ctx: JobContext) -> None:
        for n in range(1000):
            ctx.progress(current=n, total=1000)
            await anyio.sleep(0.002)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await handle
        async with queue.watch("progressed", after=0) as events:
            count = 0
            with anyio.move_on_after(1):
                async for _ in events:
                    count += 1
    assert 15 <= count <= 21


async def test_ten_thousand_calls_a_second_write_ten_times_a_second():
    async def work(ctx: JobContext) -> None:
        for n in range(20_000):
            ctx.progress(current=n, total=20_000)
            await anyio.sleep(0.0001)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await handle
        async with handle.watch("progressed", after=0) as events:
            told = [event.fact.at async for event in events]
    second = 1.0 - 1e-4  # instants since the epoch are right to a microsecond
    assert all(len([at for at in told if first <= at < first + second]) <= 10 for first in told)
    assert len(told) >= 19


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), 10**400])
async def test_progress_outside_of_zero_to_one_is_refused(value: float):
    async def work(ctx: JobContext) -> None:
        with pytest.raises(InvalidOption, match="progress="):
            ctx.progress(value)

    async with JobQueue() as queue:
        await queue.task(name="work", context=True, retry=ONCE)(work).run()


# -- log -------------------------------------------------------------------------------------------


async def test_log_lines_are_kept_with_the_job():
    async def work(ctx: JobContext) -> None:
        ctx.log("begun", level="debug", n=1)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await handle
        (line,) = (await handle.record()).log
    assert (line.level, line.message, line.data) == ("debug", "begun", {"n": 1})
    assert line.at.tzinfo is UTC


async def test_the_log_keeps_the_last_lines():
    async def work(ctx: JobContext) -> None:
        for n in range(JOB_LOG_LIMIT + 5):
            ctx.log(str(n))

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await handle
        log = (await handle.record()).log
    assert [line.message for line in log] == [str(n) for n in range(5, JOB_LOG_LIMIT + 5)]


async def test_a_log_line_is_cut_to_a_bound():
    async def work(ctx: JobContext) -> None:
        ctx.log("x" * 1_000_000)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await handle
        (line,) = (await handle.record()).log
    assert len(line.message) <= TEXT_LIMIT


@pytest.mark.parametrize("level", ["INFO", "warn", "", "y" * 1_000_000, 20])
async def test_a_log_level_that_is_no_word_of_logging_is_refused(level: Any):
    async def work(ctx: JobContext) -> None:
        with pytest.raises(InvalidOption, match="debug, info, warning, error, critical"):
            ctx.log("x", level=level)

    async with JobQueue() as queue:
        await queue.task(name="work", context=True, retry=ONCE)(work).run()


@pytest.mark.parametrize("data", [object(), "x" * 100_000], ids=["not json", "too long"])
async def test_log_data_that_cannot_be_kept_is_refused(data: object):
    async def work(ctx: JobContext) -> None:
        with pytest.raises(InvalidOption, match="log data"):
            ctx.log("hello", data=data)

    async with JobQueue() as queue:
        await queue.task(name="work", context=True, retry=ONCE)(work).run()


# -- several at once -------------------------------------------------------------------------------


async def fast_or_slow(n: int) -> int:
    await anyio.sleep(n)
    if n == 2:
        raise ValueError(n)
    return n


async def test_gather_returns_results_in_the_order_of_the_handles():
    async with JobQueue() as queue:
        task = queue.task(fast_or_slow)
        assert await gather(*[await task.submit(n) for n in (5, 1, 3)]) == (5, 1, 3)


async def test_gather_raises_the_first_failure_and_the_others_go_on():
    async with JobQueue() as queue:
        task = queue.task(retry=ONCE)(fast_or_slow)
        handles = [await task.submit(n) for n in (1, 2, 30)]
        with pytest.raises(JobFailed):
            await gather(*handles)
        assert await handles[2] == 30


async def test_as_completed_yields_handles_as_they_end_however_they_end():
    async with JobQueue() as queue:
        task = queue.task(retry=ONCE)(fast_or_slow)
        handles = {n: await task.submit(n) for n in (5, 2, 3, 60)}
        await handles[60].cancel()
        ended = [handle.id async for handle in as_completed(handles.values())]
    assert ended == [handles[n].id for n in (60, 2, 3, 5)]


async def test_cancelled_jobs_raise_with_what_was_said():
    async with JobQueue() as queue:
        handle = await queue.task(fast_or_slow).submit(100)
        assert await handle.cancel("never mind")
        assert await handle.wait() is JobState.CANCELLED
        with pytest.raises(JobCancelled) as caught:
            await handle
    assert (caught.value.reason, caught.value.message) == ("client_request", "never mind")


async def test_events_of_a_job_tell_its_whole_story():
    async with JobQueue() as queue:
        handle = await queue.task(retry=Retry(max_attempts=2))(fast_or_slow).submit(2)
        await handle.wait()
        async with handle.watch(after=0) as events:
            names = [event.name for _ in range(6) if isinstance(event := await anext(events), JobEvent)]
    assert names == ["submitted", "started", "retry_scheduled", "became_due", "started", "failed"]
