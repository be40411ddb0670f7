"""Cancelling: in each state, with a reason, and with what the function does about it."""

import gc
import threading
import weakref

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import JobCancelled, JobContext, JobQueue, JobState, Retry, Snooze

ONCE = Retry(max_attempts=1)


async def sleep(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


async def test_a_delayed_job_is_cancelled_at_once():
    async with JobQueue() as queue:
        handle = await queue.task(sleep).using(delay=100).submit(1)
        assert await handle.cancel()
        assert (await handle.record()).state is JobState.CANCELLED
        await queue.join()


async def test_a_queued_job_is_cancelled_at_once_and_never_runs():
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    async with JobQueue(workers=1) as queue:
        await queue.task(sleep).submit(10)
        handle = await queue.task(name="work")(work).submit()
        assert await handle.cancel()
        assert (await handle.record()).state is JobState.CANCELLED
        await queue.join()
    assert ran == []


async def test_a_job_that_waits_for_its_retry_is_cancelled_at_once():
    async def fail() -> None:
        raise ValueError

    async with JobQueue() as queue:
        handle = await queue.task(name="fail", retry=Retry(delay=100))(fail).submit()
        await anyio.sleep(1)
        assert await handle.cancel()
        with pytest.raises(JobCancelled):
            await handle


async def test_a_snoozing_job_is_cancelled_at_once():
    async def later() -> None:
        raise Snooze(100)

    async with JobQueue() as queue:
        handle = await queue.task(name="later")(later).submit()
        await anyio.sleep(1)
        assert await handle.cancel()
        assert await handle.wait() is JobState.CANCELLED


async def test_a_running_job_is_asked_to_stop_and_can_read_why():
    reasons: list[str | None] = []

    async def work(ctx: JobContext) -> None:
        try:
            await anyio.sleep(100)
        finally:
            reasons.append(ctx.cancel_reason)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await anyio.sleep(1)
        assert await handle.cancel("enough")
        with pytest.raises(JobCancelled) as caught:
            await handle
        assert anyio.current_time() == pytest.approx(1)
    assert reasons == ["client_request"]
    assert (caught.value.reason, caught.value.message) == ("client_request", "enough")


async def test_a_job_that_was_just_dispatched_is_cancelled_and_never_begins():
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    async with JobQueue() as queue:
        task = queue.task(name="work")(work)
        await anyio.sleep(1)
        handle = task.submit_nowait()
        assert queue.tell is not None
        assert await handle.cancel()
        assert await handle.wait() is JobState.CANCELLED
    assert ran == []


async def test_a_job_that_has_ended_is_not_cancelled():
    async with JobQueue() as queue:
        handle = await queue.task(sleep).submit(1)
        assert await handle == 1
        assert await handle.cancel() is False
        assert await handle == 1


async def test_cancelling_twice_is_cancelling_once():
    async with JobQueue() as queue:
        handle = await queue.task(sleep).submit(100)
        await anyio.sleep(1)
        assert await handle.cancel("first")
        assert await handle.cancel("second")
        with pytest.raises(JobCancelled, match="first"):
            await handle


async def test_a_cancel_that_was_accepted_before_the_end_is_never_a_success():
    async def work() -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5)
        return "too late"

    async with JobQueue() as queue:
        handle = await queue.task(name="work")(work).submit()
        await anyio.sleep(1)
        assert await handle.cancel()
        assert await handle.wait() is JobState.CANCELLED
        assert anyio.current_time() == pytest.approx(5)


async def test_a_cancelled_job_that_fails_on_its_way_out_is_cancelled_all_the_same():
    async def work() -> None:
        try:
            await anyio.sleep(100)
        finally:
            raise ValueError

    async with JobQueue() as queue:
        handle = await queue.task(name="work")(work).submit()
        await anyio.sleep(1)
        await handle.cancel()
        assert await handle.wait() is JobState.CANCELLED


async def test_cleanup_may_await_on_asyncio_until_the_grace_is_over(anyio_backend_name: str):
    steps: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep(100)
        finally:
            steps.append("begun")
            await anyio.sleep(5)
            steps.append("done")

    async with JobQueue() as queue:
        handle = await queue.task(name="work", grace=10)(work).submit()
        await anyio.sleep(1)
        await handle.cancel()
        await handle.wait()
        stats = await queue.stats()
    assert steps == ["begun", "done"] if anyio_backend_name == "asyncio" else ["begun"]
    assert stats.lost_workers == 0


async def test_the_worker_goes_on_after_a_cancelled_job():
    async with JobQueue(workers=1) as queue:
        task = queue.task(sleep)
        for _ in range(5):
            handle = await task.submit(100)
            await anyio.sleep(1)
            await handle.cancel()
            assert await handle.wait() is JobState.CANCELLED
        assert await task.run(1) == 1
        assert (await queue.stats()).lost_workers == 0


async def test_a_sync_job_sees_the_reason_in_its_thread():
    started = threading.Event()

    def work(ctx: JobContext) -> str:
        started.set()
        while ctx.cancel_reason is None:
            pass
        return "seen"

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True)(work).submit()
        await anyio.to_thread.run_sync(started.wait)
        await handle.cancel()
        assert await handle.wait() is JobState.CANCELLED
        assert (await queue.stats()).lost_workers == 0


async def test_a_cancelled_job_can_be_run_again():
    async with JobQueue() as queue:
        handle = await queue.task(sleep).submit(5)
        await checkpoint()
        await handle.cancel()
        await handle.wait()
        await queue.rerun(handle.id)
        assert await handle == 5


async def test_cancel_takes_only_its_own_job():
    async with JobQueue() as queue:
        task = queue.task(sleep)
        first, second = await task.submit(5), await task.submit(5)
        await anyio.sleep(1)
        await first.cancel()
        assert (await first.wait(), await second.wait()) == (JobState.CANCELLED, JobState.SUCCEEDED)


async def test_cancelled_job_leaves_nothing_of_what_it_held_behind():
    class Large:
        pass

    held: list[weakref.ref[Large]] = []

    async def hold() -> None:
        large = Large()
        held.append(weakref.ref(large))
        await anyio.sleep_forever()

    gc.disable()
    try:
        async with JobQueue() as queue:
            handle = await queue.task(name="hold")(hold).submit()
            await anyio.sleep(1)
            await handle.cancel()
            await handle.wait()
            await anyio.sleep(1)
            assert held[0]() is None
    finally:
        gc.enable()
