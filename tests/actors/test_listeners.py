"""Callbacks: called in order, each by a task of its own, and no trouble of theirs is anybody else's."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import EventsMissed, InvalidOption, JobContext, JobEvent, JobQueue, QueueClosed, WrongThread
from actorq.config import FEED_HISTORY, LISTENERS_CLOSE_S, LISTENERS_LIMIT


async def work(n: int = 0) -> int:
    await checkpoint()
    return n


def hears(names: list[str]) -> Callable[[JobEvent], None]:
    return lambda event: names.append(event.name)


async def test_a_callback_hears_the_events_of_its_name():
    ended: list[str] = []
    async with JobQueue(workers=1) as queue:
        queue.on("succeeded", lambda event: ended.append(event.job_id))
        handles = [await queue.submit(work, n) for n in range(3)]
        await queue.join()
    assert ended == [handle.id for handle in handles]


async def test_a_star_stands_for_every_event():
    names: list[str] = []
    async with JobQueue() as queue:
        queue.on("*", hears(names))
        await (await queue.submit(work))
    assert names == ["submitted", "started", "succeeded", "idle"]


async def test_what_an_async_callback_awaits_is_waited_for_and_its_events_keep_their_order():
    heard: list[tuple[str, int]] = []

    async def slow(event: JobEvent) -> None:
        heard.append(("begin", event.number))
        await anyio.sleep(0.1)
        heard.append(("end", event.number))

    async with JobQueue() as queue:
        queue.on("*", slow)
        await (await queue.submit(work))
    assert heard == [(what, number) for number in (1, 2, 3, 3) for what in ("begin", "end")]


async def test_a_callback_may_be_given_before_the_queue_is_opened_and_stays_when_it_is_opened_again():
    names: list[str] = []
    queue = JobQueue()
    queue.on("succeeded", hears(names))
    for opened in (1, 2):
        async with queue:
            await (await queue.submit(work))
        assert len(names) == opened


async def test_a_callback_hears_what_opening_the_queue_brings_about(tmp_path: Path):
    names: list[str] = []
    queue = JobQueue(tmp_path)
    async with queue:
        await queue.task(work).using(delay=5).submit()
    again = JobQueue(tmp_path, on_unknown_task="fail")
    again.on("*", hears(names))
    async with again:
        await again.join()
    assert names == ["became_due", "failed"]


async def test_a_slow_callback_keeps_neither_the_queue_nor_another_one_waiting():
    names: list[str] = []

    async def never(event: JobEvent) -> None:
        await anyio.sleep_forever()

    async with JobQueue() as queue:
        queue.on("*", never)
        queue.on("*", hears(names))
        assert await (await queue.submit(work, 3)) == 3
        await anyio.sleep(0.01)
        assert names == ["submitted", "started", "succeeded", "idle"]


async def test_a_callback_is_called_no_more_when_that_was_asked_for():
    names: list[str] = []
    async with JobQueue() as queue:
        stop = queue.on("succeeded", hears(names))
        await (await queue.submit(work))
        await anyio.sleep(0.01)
        stop()
        await (await queue.submit(work))
        stop()
    assert names == ["succeeded"]


async def test_a_callback_may_stop_itself():
    names: list[str] = []

    async def once(event: JobEvent) -> None:
        stop()
        await anyio.sleep(0.01)
        names.append(event.name)

    async with JobQueue() as queue:
        stop = queue.on("*", once)
        await (await queue.submit(work))
        await anyio.sleep(1)
    assert names == ["submitted"]


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, Odd, SystemExit, StopIteration])
@pytest.mark.parametrize("is_async", [True, False])
async def test_what_a_callback_raises_is_logged_and_counted_and_it_goes_on(
    error: type[BaseException], is_async: bool, caplog: pytest.LogCaptureFixture
):
    heard: list[int] = []

    def broken(event: JobEvent) -> None:
        heard.append(event.number)
        raise error("no luck today")

    async def broken_later(event: JobEvent) -> None:
        await checkpoint()
        broken(event)

    async with JobQueue() as queue:
        queue.on("*", broken_later if is_async else broken)
        await (await queue.submit(work))
        await anyio.sleep(0.01)
        assert (await queue.stats()).listener_errors == 4
    assert heard == [1, 2, 3, 3]
    records = [record for record in caplog.records if record.name == "actorq"]
    assert len(records) == 4
    assert all(record.exc_info and "broken" in record.getMessage() for record in records)


@pytest.mark.asyncio_only
async def test_a_callback_that_awaits_what_was_cancelled_goes_on(caplog: pytest.LogCaptureFixture):
    heard: list[int] = []

    async def broken(event: JobEvent) -> None:
        heard.append(event.number)
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with JobQueue() as queue:
        queue.on("*", broken)
        await (await queue.submit(work))
        await anyio.sleep(0.01)
        assert (await queue.stats()).listener_errors == 4
    assert heard == [1, 2, 3, 3]


async def test_a_callback_that_is_too_slow_misses_events_and_whoever_asked_for_it_is_told():
    heard: list[JobEvent] = []
    missed: list[EventsMissed] = []
    go_on = anyio.Event()

    async def slow(event: JobEvent) -> None:
        heard.append(event)
        await go_on.wait()

    async with JobQueue() as queue:
        queue.on("submitted", slow)
        queue.on("missed", missed.append)
        task = queue.task(work)
        while (await queue.stats()).last_fact <= FEED_HISTORY + 3_000:
            await task.submit_many(task.build() for _ in range(1000))
            await queue.join()
        go_on.set()
        await anyio.sleep(0.01)
        last = (await queue.stats()).last_fact
    assert missed == [EventsMissed(2, last - FEED_HISTORY)]
    assert heard[0].number == 1
    assert heard[1].number > last - FEED_HISTORY


async def test_what_a_callback_misses_is_logged_if_nobody_asked_for_it(caplog: pytest.LogCaptureFixture):
    go_on = anyio.Event()

    async def slow(event: JobEvent) -> None:
        await go_on.wait()

    async with JobQueue() as queue:
        queue.on("submitted", slow)
        task = queue.task(work)
        while (await queue.stats()).last_fact <= FEED_HISTORY + 3_000:
            await task.submit_many(task.build() for _ in range(1000))
            await queue.join()
        go_on.set()
        await anyio.sleep(0.01)
    assert "was too slow, and missed" in caplog.text


# ── closing ──────────────────────────────────────────────────────────────────────────────────────


async def test_closing_delivers_what_has_happened():
    heard: list[int] = []

    async def slow(event: JobEvent) -> None:
        await anyio.sleep(0.001)
        heard.append(event.number)

    async with JobQueue() as queue:
        queue.on("succeeded", slow)
        task = queue.task(work)
        await queue.submit_many([task.build(n) for n in range(100)])
        await queue.join()
    assert len(heard) == 100


async def test_a_callback_that_never_returns_does_not_keep_the_queue_open():
    ended: list[str] = []

    async def never(event: JobEvent) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(event.name)

    start = 0.0
    async with JobQueue() as queue:
        queue.on("*", never)
        await (await queue.submit(work))
        start = anyio.current_time()
    assert ended == ["submitted"]
    assert anyio.current_time() - start == pytest.approx(LISTENERS_CLOSE_S)


async def test_a_callback_that_ignores_cancellation_is_left_behind(caplog: pytest.LogCaptureFixture):
    go_on, is_over = anyio.Event(), anyio.Event()

    async def never(event: JobEvent) -> None:
        with anyio.CancelScope(shield=True):
            await go_on.wait()
        is_over.set()

    async with JobQueue() as queue:
        queue.on("*", never)
        await (await queue.submit(work))
    assert "is left behind" in caplog.text
    go_on.set()
    await is_over.wait()


async def test_a_call_that_is_on_when_its_callback_is_taken_away_is_cancelled_when_the_queue_is_closed():
    ended: list[str] = []

    async def never(event: JobEvent) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(event.name)

    async with JobQueue() as queue:
        stop = queue.on("*", never)
        await (await queue.submit(work))
        await anyio.sleep(0.01)
        stop()
    assert ended == ["submitted"]


async def test_a_callback_may_close_the_queue():
    closed = anyio.Event()

    async def close(event: JobEvent) -> None:
        try:
            await queue.close()
        finally:
            closed.set()

    queue = JobQueue()
    queue.on("succeeded", close)
    async with queue:
        await (await queue.submit(work))
        await closed.wait()
        with pytest.raises(QueueClosed):
            await queue.submit(work)


async def test_a_callback_may_submit_jobs():
    async with JobQueue() as queue:
        results: list[Any] = []

        async def follow(event: JobEvent) -> None:
            if not results:
                results.append(None)
                results.append(await (await queue.submit(work, 7)))

        queue.on("succeeded", follow)
        await (await queue.submit(work))
        await anyio.sleep(0.1)
    assert results == [None, 7]


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["finished", "", None, "Failed"])
def test_a_callback_for_what_never_happens_is_refused(name: Any):
    with pytest.raises(InvalidOption, match="dead_lettered"):
        JobQueue().on(name, print)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(InvalidOption, match="function"):
        JobQueue().on("failed", "print")  # type: ignore[call-overload]


def test_there_is_a_bound_to_callbacks_and_one_that_is_taken_away_makes_room():
    queue = JobQueue()
    stops = [queue.on("failed", print) for _ in range(LISTENERS_LIMIT)]
    with pytest.raises(InvalidOption, match="at most"):
        queue.on("failed", print)
    stops[3]()
    stops[3]()
    queue.on("failed", print)
    with pytest.raises(InvalidOption, match="at most"):
        queue.on("failed", print)


async def test_a_callback_is_not_given_from_another_thread_while_the_queue_is_open():
    async with JobQueue() as queue:
        with pytest.raises(WrongThread):
            await anyio.to_thread.run_sync(queue.on, "failed", print)


# ── idle ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_queue_is_idle_once_when_its_last_job_has_ended():
    async with JobQueue(workers=1) as queue, queue.watch("idle", "succeeded") as events:
        task = queue.task(work)
        await queue.submit_many([task.build() for _ in range(3)])
        await queue.join()
        seen = [await anext(events) for _ in range(4)]
        last = (await queue.stats()).last_fact
        with anyio.move_on_after(10) as scope:
            await anext(events)
    idle = seen[-1]
    assert [event.name for event in seen if isinstance(event, JobEvent)] == ["succeeded"] * 3 + ["idle"]
    assert isinstance(idle, JobEvent)
    assert (idle.number, idle.job_id, idle.task, idle.is_end) == (last, "", "", False)
    assert scope.cancelled_caught


async def test_idle_is_told_when_what_led_to_it_is_as_durable_as_was_promised(tmp_path: Path):
    names: list[str] = []
    queue = JobQueue(tmp_path)
    task = queue.task(work)
    queue.on("*", hears(names))
    async with queue:
        for _ in range(2):
            await task.run()
    assert names == ["submitted", "started", "succeeded", "idle"] * 2


async def test_a_queue_is_idle_while_it_waits_for_a_delay_to_be_over():
    names: list[str] = []
    async with JobQueue() as queue:
        queue.on("*", hears(names))
        await queue.task(work).using(delay=10).submit()
        await queue.join()
        await anyio.sleep(0.01)
    assert names == ["submitted", "became_due", "started", "succeeded", "idle"]


async def test_a_queue_that_was_opened_with_nothing_to_do_does_not_say_so():
    names: list[str] = []
    queue = JobQueue()
    queue.on("*", hears(names))
    async with queue:
        await anyio.sleep(10)
    assert names == []


async def test_idle_is_not_remembered_for_who_goes_on_behind_its_number():
    async with JobQueue() as queue:
        await (await queue.submit(work))
        last = (await queue.stats()).last_fact
        async with queue.watch(after=last) as events:
            await queue.submit(work)
            event = await anext(events)
    assert isinstance(event, JobEvent)
    assert (event.name, event.number) == ("submitted", last + 1)


async def test_a_queue_is_idle_when_its_only_job_is_put_off():
    async with JobQueue() as queue, queue.watch("idle", "retry_scheduled", "succeeded") as events:

        @queue.task(name="second", context=True)
        async def second(ctx: JobContext) -> None:
            if ctx.attempt == 1:
                raise ValueError

        await second.run()
        seen = [await anext(events) for _ in range(4)]
    names = [event.name for event in seen if isinstance(event, JobEvent)]
    assert names == ["retry_scheduled", "idle", "succeeded", "idle"]


async def test_who_watches_one_job_is_not_woken_by_others_and_misses_nothing_of_it() -> None:
    async with JobQueue() as queue:

        @queue.task(name="nap")
        async def nap(seconds: float = 0.0) -> None:
            await anyio.sleep(seconds)

        watched = await nap.submit(1_000.0)
        seen: list[object] = []

        async def watch() -> None:
            async with watched.watch(after=0) as events:
                seen.extend([event async for event in events])

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await anyio.sleep(1)
            for _ in range(4):
                await nap.submit_many([nap.build() for _ in range(1_000)])  # more than the feed remembers
            await watched
    assert [getattr(event, "name", "missed") for event in seen] == ["submitted", "started", "succeeded"]


async def test_one_who_reads_a_long_history_lets_others_work() -> None:
    async with JobQueue() as queue:

        @queue.task(name="nothing")
        async def nothing() -> None:
            pass

        for handle in await nothing.submit_many([nothing.build() for _ in range(1_000)]):
            await handle
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(count)
            await checkpoint()
            read = 0
            async with queue.watch(after=0) as events:
                async for _ in events:
                    read += 1
                    if read == 3_000:
                        break
            assert turns > 3_000 / 250 / 2
            group.cancel_scope.cancel()


async def test_who_watches_a_job_from_its_beginning_is_shown_its_former_lives_and_the_present_one() -> None:
    async with JobQueue() as queue:

        @queue.task(name="nap")
        async def nap() -> None:
            await anyio.sleep(1)

        handle = await nap.submit()
        await handle
        await queue.rerun(handle.id)
        once, twice = ["submitted", "started", "succeeded"], ["requeued", "started", "succeeded"]
        for _ in range(2):  # while it lives again, and when it has ended again
            async with handle.watch(after=0) as events:
                assert [getattr(event, "name", None) async for event in events] == [*once, *twice]
