"""Workers whose jobs do not obey: abandoned after the grace, replaced, unheard, and no burden for the core.

In real time: on trio a deaf job is cancelled at each of its awaits until its grace is over, so a virtual clock would
never find it idle. What is asserted are bounds of counts, never how long anything took.
"""

import threading
from contextlib import suppress

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import JobContext, JobQueue, JobState, QueueClosed, RestartBudget, Retry, WorkersKeepDying

pytestmark = pytest.mark.real_time

ONCE = Retry(max_attempts=1)


class Deaf:
    """A job that refuses to end until it is told that it may."""

    def __init__(self, tick: float = 0.02) -> None:
        self.tick = tick
        self.awaits = 0
        self.may_end = False
        self.reasons: set[str | None] = set()

    async def __call__(self, ctx: JobContext) -> str:
        while not self.may_end:
            self.awaits += 1
            self.reasons.add(ctx.cancel_reason)
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(self.tick)
        return "late"


@pytest.fixture
def deaf() -> Deaf:
    return Deaf()


async def test_a_job_that_ignores_cancellation_is_abandoned_after_its_grace(deaf: Deaf):
    async with JobQueue(grace=0) as queue:
        handle = await queue.task(name="deaf", context=True, grace=0.1)(deaf).submit()
        await anyio.sleep(0.1)
        await handle.cancel()
        assert await handle.wait() is JobState.CANCELLED
        assert (await queue.stats()).lost_workers == 1


async def test_an_abandoned_worker_is_replaced(deaf: Deaf):
    async with JobQueue(workers=1, grace=0) as queue:
        await queue.task(name="deaf", context=True, grace=0.1, timeout=0.1, retry=ONCE)(deaf).submit()
        assert await (await queue.submit(lambda: 5)) == 5
        assert (await queue.stats()).workers == 1


async def test_the_late_report_of_an_abandoned_attempt_changes_nothing(deaf: Deaf):
    async with JobQueue(workers=1, grace=0) as queue:
        handle = await queue.task(name="deaf", context=True, grace=0.1, timeout=0.1, retry=ONCE)(deaf).submit()
        assert await handle.wait() is JobState.FAILED
        facts = (await queue.stats()).last_fact
        deaf.may_end = True
        await anyio.sleep(0.1)
        stats = await queue.stats()
        record = await handle.record()
    assert (stats.late_reports, stats.last_fact, record.state, record.result) == (1, facts, JobState.FAILED, None)


async def test_what_an_abandoned_attempt_says_changes_nothing():
    async def chatty(ctx: JobContext) -> None:
        while True:
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(0.02)
            ctx.progress(0.5)
            ctx.log("still here")

    async with JobQueue(workers=1, grace=0) as queue:
        handle = await queue.task(name="chatty", context=True, grace=0, timeout=0.1, retry=ONCE)(chatty).submit()
        await handle.wait()
        before = await handle.record()
        await anyio.sleep(0.1)
        assert await handle.record() == before


async def test_an_abandoned_job_that_sleeps_does_not_burn_a_core(deaf: Deaf):
    async with JobQueue(workers=1, grace=0) as queue:
        handle = await queue.task(name="deaf", context=True, grace=0, retry=ONCE)(deaf).submit()
        await anyio.sleep(0.06)
        await handle.cancel()
        await handle.wait()
        await checkpoint()
        before = deaf.awaits
        await anyio.sleep(0.5)
        assert 1 <= deaf.awaits - before <= 26  # a tight loop would make thousands
        deaf.may_end = True


@pytest.mark.asyncio_only
async def test_during_its_grace_a_deaf_job_is_not_cancelled_again_and_again_on_asyncio(deaf: Deaf):
    async with JobQueue(workers=1, grace=0) as queue:
        handle = await queue.task(name="deaf", context=True, grace=0.2, retry=ONCE)(deaf).submit()
        await anyio.sleep(0.1)
        await handle.cancel()
        await handle.wait()
        deaf.may_end = True
    assert deaf.awaits <= 30
    assert deaf.reasons == {None, "client_request"}


async def test_a_deaf_job_does_not_keep_the_queue_from_closing(deaf: Deaf):
    async with JobQueue(workers=1, drain_timeout=0.1, grace=0.1) as queue:
        await queue.task(name="deaf", context=True, retry=ONCE)(deaf).submit()
        await anyio.sleep(0.1)
    assert "shutdown" in deaf.reasons
    before = deaf.awaits
    await anyio.sleep(0.2)
    assert deaf.awaits <= before + 1


async def test_a_shielded_job_does_not_keep_the_queue_from_closing():
    may_end = anyio.Event()

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            await may_end.wait()

    with anyio.fail_after(20):
        async with JobQueue(workers=1, drain_timeout=0.1, grace=0.1) as queue:
            await queue.task(name="shielded", retry=ONCE)(shielded).submit()
            await anyio.sleep(0.1)
    may_end.set()
    await anyio.sleep(0.1)


async def test_a_thread_that_does_not_return_is_left_behind():
    may_end = threading.Event()
    try:
        async with JobQueue(workers=1, grace=0) as queue:
            handle = await queue.task(name="work", timeout=0.1, grace=0.1, retry=ONCE)(may_end.wait).submit()
            assert await handle.wait() is JobState.FAILED
            assert (await handle.record()).error.reason == "timeout"  # type: ignore[union-attr]
            assert await (await queue.submit(lambda: 5)) == 5
    finally:
        may_end.set()


async def test_too_many_lost_workers_stop_the_queue():
    deaf = Deaf()
    queue = JobQueue(workers=1, restarts=RestartBudget(deaths=2, window_s=1000))
    with pytest.raises(WorkersKeepDying):  # noqa: PT012 - the closing raises it, too
        async with queue:
            task = queue.task(name="deaf", context=True, timeout=0.1, grace=0.1, retry=Retry(max_attempts=9, delay=0))(
                deaf
            )
            handle = await task.submit()
            with pytest.raises(WorkersKeepDying):
                await handle
            with pytest.raises((WorkersKeepDying, QueueClosed)):
                await task.submit()


async def test_a_worker_outlives_many_kinds_of_job():
    async def work(n: int) -> int:
        if n % 5 == 0:
            raise ValueError(n)
        if n % 5 == 1:
            raise SystemExit
        if n % 5 == 2:
            await anyio.sleep(100)
        return n

    async with JobQueue(workers=1) as queue:
        task = queue.task(name="work", retry=ONCE)(work)
        handles = await task.submit_many((task.using(timeout=0.02) if n % 5 == 2 else task).build(n) for n in range(50))
        states = [await handle.wait() for handle in handles]
        stats = await queue.stats()
    assert states == [JobState.FAILED if n % 5 < 3 else JobState.SUCCEEDED for n in range(50)]
    assert stats.lost_workers == 0
