"""Where time is virtual, and blocks are real, the watchdog is in nobody's way."""

import threading

import anyio
import pytest

from actorq import JobFailed, JobQueue, Retry

ONCE = Retry(max_attempts=1)
HOUR = 3600.0


async def test_a_job_that_waits_for_a_thousand_hours_is_not_disturbed():
    async with JobQueue() as queue:
        await queue.task(name="wait")(anyio.sleep).run(1000 * HOUR)
        assert anyio.current_time() == pytest.approx(1000 * HOUR)
        assert (await queue.stats()).loop_blocks == 0


async def test_time_goes_on_while_a_thread_does_not():
    may_end = threading.Event()
    async with JobQueue() as queue:
        with pytest.raises(JobFailed) as caught:
            await queue.task(name="stuck", timeout=HOUR, retry=ONCE)(may_end.wait).run()
        may_end.set()
    assert caught.value.reason == "timeout"
