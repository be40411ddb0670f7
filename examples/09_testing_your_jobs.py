"""Testing jobs without waiting: a queue whose time the test owns.

Under pytest these would be ordinary async tests; here they are simply run, on asyncio and on trio.
"""

import time

import anyio

from actorq import JobContext, JobQueue, JobState, Retry
from actorq.testing import VirtualClock

HOUR = 3600.0


async def test_a_reminder_comes_after_a_day(clock: VirtualClock, queue: JobQueue) -> None:
    sent: list[str] = []

    @queue.task(name="remind")
    async def remind(whom: str) -> None:
        sent.append(whom)

    await remind.using(delay=24 * HOUR).submit("Ada")
    await clock.advance(23 * HOUR)
    assert not sent
    await clock.advance(1 * HOUR)
    assert sent == ["Ada"]


async def test_a_service_that_is_down_is_asked_again_later_and_later(clock: VirtualClock, queue: JobQueue) -> None:
    asked_at: list[float] = []
    began_at = clock.now()

    @queue.task(name="ask", context=True, retry=Retry(max_attempts=4, delay=60, factor=5, jitter=0))
    async def ask(job: JobContext) -> None:
        asked_at.append(clock.now() - began_at)
        if job.attempt < 4:
            raise ConnectionError

    job = await ask.submit()
    await clock.run_until_idle(queue)
    assert await job.wait() is JobState.SUCCEEDED
    assert asked_at == [0, 60, 360, 1860]


async def main() -> None:
    for test in (test_a_reminder_comes_after_a_day, test_a_service_that_is_down_is_asked_again_later_and_later):
        clock = VirtualClock()
        async with JobQueue(make_clock=clock.start) as queue:
            await test(clock, queue)
        print("passed:", test.__name__)


began_at = time.monotonic()
for backend in ("asyncio", "trio"):
    anyio.run(main, backend=backend)
assert time.monotonic() - began_at < 60, "that was a day and some hours"
