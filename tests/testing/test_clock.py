"""The clock that tests own: all of the queue's time, on both loops."""

import time
from datetime import timedelta
from math import inf

import anyio
import pytest

from actorq import InvalidOption, JobContext, JobFailed, JobQueue, JobState, Reason, Retry
from actorq.testing import VirtualClock

HOUR = 3600.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(start_at=1_000.0)


def make_queue(clock: VirtualClock, **options) -> JobQueue:
    return JobQueue(make_clock=clock.start, **options)


async def test_time_stands_still_until_it_is_moved(clock: VirtualClock):
    async with make_queue(clock) as queue:
        job = await queue.task(name="do")(_do_nothing).using(delay=0.01).submit()
        await anyio.sleep(60)
        assert clock.now() == 1_000.0
        assert (await job.record()).state is JobState.SCHEDULED


async def test_a_job_runs_at_its_time_and_not_before(clock: VirtualClock):
    async with make_queue(clock) as queue:
        job = await queue.task(name="do")(_do_nothing).using(delay=timedelta(hours=1)).submit()
        await clock.advance(HOUR - 0.001)
        assert (await job.record()).state is JobState.SCHEDULED
        await clock.advance(0.001)
        assert (await job.record()).state is JobState.SUCCEEDED
        assert clock.now() == pytest.approx(1_000.0 + HOUR)


async def test_things_happen_in_order_each_at_its_own_instant(clock: VirtualClock):
    seen: list[float] = []
    async with make_queue(clock) as queue:

        @queue.task(name="note")
        async def note() -> None:
            seen.append(clock.now() - 1_000.0)

        for delay in (5, 1, HOUR, 0.25, 3):
            await note.using(delay=delay).submit()
        await clock.advance(2 * HOUR)
    assert seen == [0.25, 1, 3, 5, HOUR]


async def test_what_follows_from_what_happens_happens_in_the_same_advance(clock: VirtualClock):
    async with make_queue(clock) as queue:

        @queue.task(name="fail", retry=Retry(max_attempts=3, delay=10, backoff="fixed", jitter=0))
        async def fail() -> None:
            raise ConnectionError

        job = await fail.submit()
        await clock.advance(19.9)
        assert (await job.record()).attempt == 2
        await clock.advance(0.1)
        assert (await job.record()).state is JobState.FAILED


async def test_limits_pass(clock: VirtualClock):
    async with make_queue(clock) as queue:

        @queue.task(name="hang", timeout=30, retry=Retry(max_attempts=1))
        async def hang() -> None:
            await anyio.Event().wait()

        job = await hang.submit()
        await clock.advance(30)
        with pytest.raises(JobFailed) as error:
            await job
        assert error.value.reason == Reason.TIMEOUT


async def test_a_silent_job_is_caught_and_one_that_beats_is_not(clock: VirtualClock):
    async with make_queue(clock) as queue:
        more = anyio.Event()

        @queue.task(name="work", heartbeat_timeout=10, context=True, retry=Retry(max_attempts=2, delay=0))
        async def work(job: JobContext) -> int:
            if job.attempt == 1:
                await anyio.Event().wait()
            await more.wait()
            job.heartbeat()
            await anyio.Event().wait()
            return job.attempt

        job = await work.submit()
        await clock.advance(15)  # caught at 10
        assert (await job.record()).attempt == 2
        more.set()
        await clock.advance(9)
        assert (await job.record()).state is JobState.RUNNING
        await clock.advance(10)
        assert (await job.record()).state is JobState.FAILED


async def test_run_until_idle_takes_no_longer_than_it_needs(clock: VirtualClock):
    async with make_queue(clock) as queue:
        await queue.task(name="do")(_do_nothing).using(delay=24 * HOUR).submit()
        await clock.run_until_idle(queue)
        assert clock.now() == 1_000.0 + 24 * HOUR
        assert (await queue.stats()).live == 0


async def test_run_until_idle_waits_for_threads(clock: VirtualClock):
    async with make_queue(clock) as queue:
        job = await queue.task(name="sleep", timeout=1)(lambda: time.sleep(0.05)).submit()
        await clock.run_until_idle(queue)
        assert (await job.record()).state is JobState.SUCCEEDED


async def test_run_until_idle_says_when_it_will_never_be(clock: VirtualClock):
    async with make_queue(clock, drain_timeout=0) as queue:
        never = anyio.Event()
        await queue.task(name="hang")(never.wait).submit()
        with pytest.raises(TimeoutError, match="1 running"):
            await clock.run_until_idle(queue)
        never.set()


async def test_a_clock_goes_on_from_what_was_stored(clock: VirtualClock, tmp_path):
    async with make_queue(clock, path=tmp_path) as queue:
        await queue.task(name="do")(_do_nothing).submit()
        await clock.advance(HOUR)
    earlier = VirtualClock(start_at=0.0)
    async with make_queue(earlier, path=tmp_path):
        assert earlier.now() >= 1_000.0


async def test_two_queues_share_a_clock(clock: VirtualClock):
    async with make_queue(clock, name="a") as first, make_queue(clock, name="b") as second:
        jobs = [await queue.task(name="do")(_do_nothing).using(delay=5).submit() for queue in (first, second)]
        await clock.advance(5)
        assert [(await job.record()).state for job in jobs] == [JobState.SUCCEEDED] * 2


async def test_an_idle_queue_has_nothing_to_wake_for(clock: VirtualClock):
    async with make_queue(clock):
        await clock.settle()
        assert clock.next_at == inf


async def test_time_does_not_go_back(clock: VirtualClock):
    with pytest.raises(InvalidOption):
        await clock.advance(-1)


async def _do_nothing() -> None:
    pass
