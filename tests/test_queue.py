"""What the user holds: order, room, watching, counting, and how many work."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import (
    EventsMissed,
    InvalidOption,
    InvalidState,
    JobEvent,
    JobFailed,
    JobNotFound,
    JobQueue,
    JobState,
    QueueClosed,
    QueueFull,
    Retention,
    Retry,
    current_job,
)
from actorq.config import FEED_HISTORY

ONCE = Retry(max_attempts=1)


async def echo(n: int = 0) -> int:
    await checkpoint()
    return n


async def sleep(seconds: float) -> None:
    await anyio.sleep(seconds)


async def settle() -> None:
    """Let everything that can run now run."""
    await anyio.sleep(0.001)


# -- by id -----------------------------------------------------------------------------------------


async def test_get_returns_a_record_of_the_job():
    async with JobQueue() as queue:
        handle = await queue.task(echo).submit(5)
        await handle
        record = await queue.get(handle.id)
    assert record is not None
    assert (record.id, record.args, record.state, record.result, record.attempt) == (
        handle.id,
        (5,),
        JobState.SUCCEEDED,
        5,
        1,
    )


async def test_get_of_a_job_that_is_not_known_is_none():
    async with JobQueue() as queue:
        assert await queue.get("nobody") is None


async def test_ids_are_unique_and_sort_by_time():
    async with JobQueue() as queue:
        task = queue.task(echo)
        ids = [handle.id for handle in await task.submit_many(task.build() for _ in range(300))]
    assert ids == sorted(set(ids))


async def test_a_handle_can_be_had_for_any_id():
    async with JobQueue() as queue:
        first = await queue.task(echo).submit(5)
        assert await queue.handle(first.id) == 5


async def test_cancel_of_a_job_that_is_not_known_is_an_error():
    async with JobQueue() as queue:
        with pytest.raises(JobNotFound, match="nobody"):
            await queue.cancel("nobody")


async def test_cancel_of_a_job_that_has_ended_is_false():
    async with JobQueue() as queue:
        handle = await queue.task(echo).submit()
        await handle
        assert await queue.cancel(handle.id) is False


async def test_rerun_runs_a_job_again_under_its_id_with_fresh_attempts():
    runs: list[int] = []

    async def count() -> int:
        runs.append(current_job().attempt)
        if len(runs) < 3:
            raise ValueError
        return len(runs)

    async with JobQueue() as queue:
        handle = await queue.task(name="count", retry=Retry(max_attempts=2))(count).submit()
        assert await handle.wait() is JobState.FAILED
        await queue.rerun(handle.id)
        assert await handle == 3
    assert runs == [1, 2, 1]


async def test_rerun_of_a_job_that_has_not_ended_is_refused():
    async with JobQueue() as queue:
        handle = await queue.task(echo).using(delay=5).submit()
        with pytest.raises(InvalidState, match=r"Cannot rerun job .* it is scheduled"):
            await queue.rerun(handle.id)


async def test_rerun_of_a_job_that_is_not_known_is_an_error():
    async with JobQueue() as queue:
        with pytest.raises(JobNotFound):
            await queue.rerun("nobody")


# -- stats -----------------------------------------------------------------------------------------


async def test_counts_balance_whatever_happens():
    async def odd(n: int) -> None:
        await anyio.sleep(n / 10)
        if n % 2:
            raise ValueError(n)

    async with JobQueue(workers=3, retention=Retention(count=4)) as queue:
        task = queue.task(name="odd", retry=Retry(max_attempts=2))(odd)
        handles = await task.submit_many(task.build(n) for n in range(40))
        seen = 0
        while True:
            stats = await queue.stats()
            assert stats.submitted == sum(stats.counts.values()) + stats.removed == 40
            seen += 1
            if seen % 3 == 0 and stats.live:
                await next(h for h in reversed(handles) if queue.is_live(h.id)).cancel()
            if not stats.live:
                break
            await anyio.sleep(0.5)
    assert stats.removed > 0


async def test_stats_tell_how_the_queue_stands():
    async with JobQueue(name="mail", workers=2) as queue:
        task = queue.task(sleep)
        await task.submit_many(task.build(10) for _ in range(3))
        await task.using(delay=50).submit(1)
        await anyio.sleep(4)
        stats = await queue.stats()
    assert (stats.name, stats.durability, stats.workers, stats.idle_workers) == ("mail", "memory", 2, 0)
    assert (stats.live, stats.counts[JobState.RUNNING], stats.counts[JobState.QUEUED]) == (4, 2, 1)
    assert stats.next_queued_s == pytest.approx(4)


async def test_join_returns_when_every_job_has_ended():
    async with JobQueue() as queue:
        await queue.task(sleep).using(delay=100).submit(7)
        start = anyio.current_time()
        await queue.join()
        assert (await queue.stats()).live == 0
    assert anyio.current_time() - start == pytest.approx(107)


async def test_join_of_an_idle_queue_returns_at_once():
    async with JobQueue() as queue:
        await queue.join()


# -- how many work ---------------------------------------------------------------------------------


async def test_more_workers_take_up_what_waits():
    async with JobQueue(workers=1) as queue:
        task = queue.task(sleep)
        await task.submit_many(task.build(10) for _ in range(4))
        await settle()
        await queue.set_workers(4)
        await settle()
        assert (await queue.stats()).counts[JobState.RUNNING] == 4


async def test_workers_that_are_too_many_finish_what_they_run_and_go():
    async with JobQueue(workers=4) as queue:
        task = queue.task(sleep)
        await task.submit_many(task.build(10) for _ in range(8))
        await settle()
        await queue.set_workers(1)
        assert (await queue.stats()).counts[JobState.RUNNING] == 4
        await anyio.sleep(11)
        stats = await queue.stats()
        assert (stats.counts[JobState.RUNNING], stats.counts[JobState.SUCCEEDED]) == (1, 4)
        await queue.set_workers(4)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "3", 10**9])
async def test_workers_are_a_whole_number_from_one(number: Any):
    async with JobQueue() as queue:
        with pytest.raises(InvalidOption, match="workers="):
            await queue.set_workers(number)


async def test_never_more_jobs_run_than_there_are_workers():
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(1)
        running -= 1

    async with JobQueue(workers=3) as queue:
        task = queue.task(name="work")(work)
        await task.submit_many(task.build() for _ in range(20))
        await queue.join()
    assert most == 3


# -- order -----------------------------------------------------------------------------------------


async def test_higher_priority_runs_first_and_inside_it_first_come_first_served():
    order: list[str] = []

    async def note(word: str) -> None:
        order.append(word)

    async with JobQueue(workers=1) as queue:
        task = queue.task(name="note")(note)
        await queue.task(sleep).submit(1)
        for word, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -5)]:
            await task.using(priority=priority).submit(word)
        await queue.join()
    assert order == list("bdace")


async def test_a_job_in_the_future_hides_none_that_is_ready():
    async with JobQueue(workers=1) as queue:
        task = queue.task(echo)
        await task.using(delay=100, priority=9).submit()
        await task.run(1)
        assert anyio.current_time() < 1


# -- room ------------------------------------------------------------------------------------------


async def test_submit_waits_for_room():
    async with JobQueue(max_pending=1) as queue:
        task = queue.task(sleep)
        await task.submit(10)
        await task.submit(1)
        assert anyio.current_time() == pytest.approx(10)


async def test_who_waits_for_room_hears_at_once_that_the_queue_is_closing():
    queue = JobQueue(max_pending=1, drain_timeout=60)
    task = queue.task(sleep)
    heard_at: list[float] = []

    async def submit() -> None:
        with pytest.raises(QueueClosed):
            await task.submit(1)
        heard_at.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        await queue.__aenter__()
        await task.submit(10)
        group.start_soon(submit)
        await settle()
        await queue.close()
    assert heard_at == [pytest.approx(0, abs=1)]


async def test_who_waits_for_room_is_served_in_turn():
    accepted: list[int] = []

    async with JobQueue(max_pending=1) as queue:
        task = queue.task(sleep)
        await task.submit(1)

        async def submit(n: int) -> None:
            await task.submit(1)
            accepted.append(n)

        async with anyio.create_task_group() as group:
            for n in range(6):
                group.start_soon(submit, n)
                await settle()
    assert accepted == list(range(6))


async def test_nobody_passes_those_who_wait():
    async with JobQueue(max_pending=3, workers=1) as queue:
        task = queue.task(sleep)
        await task.submit_many([task.build(10), task.build(10)])
        async with anyio.create_task_group() as group:
            group.start_soon(task.submit_many, [task.build(1), task.build(1)])
            await settle()
            with pytest.raises(QueueFull):  # there would be room for this one
                task.submit_nowait(1)
            await task.submit(1)
            assert anyio.current_time() > 9


async def test_who_gives_up_waiting_for_room_leaves_no_trace():
    async with JobQueue(max_pending=1) as queue:
        task = queue.task(sleep)
        await task.submit(10)
        with anyio.move_on_after(1):
            await task.submit(77)
        await queue.join()
        assert (await queue.stats()).submitted == 1
        task.submit_nowait(1)


async def test_who_gives_up_lets_those_behind_him_in():
    async with JobQueue(max_pending=2) as queue:
        task = queue.task(sleep)
        await task.submit(100)
        async with anyio.create_task_group() as group:

            async def too_many() -> None:
                with anyio.move_on_after(5):
                    await task.submit_many([task.build(1), task.build(1)])

            group.start_soon(too_many)
            await settle()
            await task.submit(1)
            assert anyio.current_time() == pytest.approx(5, abs=0.1)


async def test_more_jobs_at_once_than_there_will_ever_be_room_for_are_refused():
    async with JobQueue(max_pending=3) as queue:
        task = queue.task(echo)
        with pytest.raises(QueueFull, match="No room for 4 more") as caught:
            await task.submit_many(task.build() for _ in range(4))
    assert (caught.value.asked, caught.value.limit) == (4, 3)


async def test_inside_a_job_submit_does_not_wait_for_room():
    async with JobQueue(max_pending=1) as queue:
        task = queue.task(echo)

        async def more() -> None:
            await task.submit()

        with pytest.raises(JobFailed, match="QueueFull"):
            await queue.task(name="more", retry=ONCE)(more).run()


async def test_what_a_job_leaves_behind_may_wait_for_room_and_for_jobs():
    async with JobQueue(max_pending=1) as queue, anyio.create_task_group() as group:
        task = queue.task(echo)
        results: list[int] = []

        async def later() -> None:
            await anyio.sleep(1)
            await queue.task(sleep).submit(3)
            results.append(await task.run(7))

        @queue.task(name="start")
        async def start() -> None:
            import contextvars  # noqa: PLC0415

            context = contextvars.copy_context()
            context.run(group.start_soon, later)

        await start.run()
        await anyio.sleep(10)
    assert results == [7]


# -- closed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["not open yet", "closed"])
async def test_a_queue_that_is_not_open_refuses_everything(when: str):
    queue = JobQueue()
    task = queue.task(echo)
    request = task.build()
    if when == "closed":
        async with queue:
            pass
    asks: list[Callable[[], Any]] = [
        task.submit,
        task.run,
        queue.stats,
        queue.join,
        lambda: queue.submit(echo),
        lambda: task.submit_many([request]),
        lambda: queue.get("x"),
        lambda: queue.cancel("x"),
        lambda: queue.rerun("x"),
        lambda: queue.handle("x").result(),
        lambda: queue.set_workers(1),
    ]
    for ask in asks:
        with pytest.raises(QueueClosed, match=f"is {when}"):
            await ask()
    with pytest.raises(QueueClosed, match=f"is {when}"):
        task.submit_nowait()


# -- watching --------------------------------------------------------------------------------------


async def test_watching_tells_everything_that_happens_in_order():
    async with JobQueue() as queue, queue.watch() as events:
        await queue.task(name="echo")(echo).run()
        seen = [await anext(events) for _ in range(3)]
    assert all(isinstance(event, JobEvent) for event in seen)
    assert [(e.name, e.task, e.number) for e in seen if isinstance(e, JobEvent)] == [
        ("submitted", "echo", 1),
        ("started", "echo", 2),
        ("succeeded", "echo", 3),
    ]


async def test_watching_can_begin_behind_a_number():
    async with JobQueue() as queue:
        await queue.task(echo).run()
        async with queue.watch(after=1) as events:
            seen = [await anext(events) for _ in range(2)]
    assert [event.name for event in seen if isinstance(event, JobEvent)] == ["started", "succeeded"]


async def test_watching_shows_only_what_was_asked_for():
    async with JobQueue() as queue, queue.watch(where=lambda event: event.name == "succeeded") as events:
        task = queue.task(echo)
        handles = [await task.submit(), await task.submit()]
        seen = [await anext(events) for _ in range(2)]
    assert {e.job_id for e in seen if isinstance(e, JobEvent)} == {h.id for h in handles}


async def test_watching_by_name_shows_only_events_of_these_names():
    async with JobQueue() as queue, queue.watch("submitted", "succeeded") as events:
        await queue.task(echo).run()
        await queue.task(name="again")(echo).run()
        seen = [await anext(events) for _ in range(4)]
    assert [e.name for e in seen if isinstance(e, JobEvent)] == ["submitted", "succeeded"] * 2


async def test_watching_shows_what_has_one_of_the_names_and_fits_the_question():
    async with JobQueue() as queue:
        task = queue.task(echo)
        first, second = await task.submit(), await task.submit()
        await queue.join()
        async with queue.watch("succeeded", where=lambda event: event.job_id == second.id, after=0) as events:
            event = await anext(events)
    assert isinstance(event, JobEvent)
    assert (event.name, event.job_id) == ("succeeded", second.id) != ("succeeded", first.id)


@pytest.mark.parametrize("name", ["finished", "Succeeded", "", "*", None, print])
async def test_watching_for_what_never_happens_is_refused_and_the_names_are_told(name: Any):
    async with JobQueue() as queue:
        handle = await queue.task(echo).submit()
        for watch in (queue.watch("succeeded", name), handle.watch(name)):
            with pytest.raises(InvalidOption, match="retry_scheduled"):
                await watch.__aenter__()


async def test_a_watcher_by_name_who_is_too_slow_is_told_what_he_missed_too():
    async with JobQueue() as queue, queue.watch("cancelled") as events:
        task = queue.task(echo)
        while (await queue.stats()).last_fact <= FEED_HISTORY:
            await task.submit_many(task.build() for _ in range(1000))
            await queue.join()
        assert isinstance(await anext(events), EventsMissed)


async def test_handle_watch_by_name_ends_with_the_job_all_the_same():
    async with JobQueue() as queue:
        handle = await queue.task(echo).submit()
        async with handle.watch("started", after=0) as events:
            assert [event.name async for event in events if isinstance(event, JobEvent)] == ["started"]


async def test_a_watcher_who_is_too_slow_is_told_what_he_missed():
    async with JobQueue() as queue, queue.watch() as events:
        task = queue.task(echo)
        while (await queue.stats()).last_fact <= FEED_HISTORY + 50:
            await task.submit_many(task.build() for _ in range(1000))
            await queue.join()
        missed, event = await anext(events), await anext(events)
        last = (await queue.stats()).last_fact
    assert missed == EventsMissed(1, last - FEED_HISTORY)
    assert isinstance(event, JobEvent)
    assert event.number == last - FEED_HISTORY + 1


async def test_watching_ends_when_the_queue_is_closed():
    names: list[str] = []
    queue = JobQueue()

    async def watch(task_status: anyio.abc.TaskStatus[None]) -> None:
        async with queue.watch() as events:
            task_status.started()
            names.extend([event.name async for event in events if isinstance(event, JobEvent)])

    async with anyio.create_task_group() as group, queue:
        await group.start(watch)
        await queue.task(echo).run()
    assert names == ["submitted", "started", "succeeded", "idle"]


async def test_a_watcher_who_leaves_is_forgotten():
    async with JobQueue() as queue:
        async with queue.watch() as events:
            await queue.task(echo).run()
            await anext(events)
        await queue.task(name="again")(echo).run()


async def test_a_question_that_raises_is_the_watchers_own_trouble():
    def broken(event: JobEvent) -> bool:
        raise KeyError(event.name)

    async with JobQueue() as queue, queue.watch(where=broken) as events:
        assert await queue.task(echo).run(3) == 3
        with pytest.raises(KeyError):
            await anext(events)


async def test_handle_watch_tells_only_of_its_job():
    async with JobQueue() as queue:
        task = queue.task(echo)
        first, second = await task.submit(), await task.submit()
        await queue.join()
        async with second.watch(after=0) as events:
            seen = [await anext(events) for _ in range(3)]
    assert {e.job_id for e in seen if isinstance(e, JobEvent)} == {second.id} != {first.id}


# -- said of the queue -----------------------------------------------------------------------------


async def test_a_queue_says_how_it_stands():
    queue = JobQueue(name="mail")
    assert repr(queue) == "<JobQueue mail in memory: closed>"
    async with queue:
        assert "10 of 10 workers idle" in repr(queue)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"max_pending": 0},
        {"grace": -1},
        {"drain_timeout": float("nan")},
        {"snapshot_interval": 0},
        {"durability": "snapshot"},
        {"recovery": "guess"},
        {"on_unknown_task": "drop"},
    ],
    ids=str,
)
def test_an_option_of_the_queue_out_of_range_is_refused_with_its_name(options: dict[str, Any]):
    with pytest.raises(InvalidOption, match=next(iter(options))):
        JobQueue(**options)
