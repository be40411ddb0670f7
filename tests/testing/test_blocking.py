"""The strict mode: a test whose job blocks the event loop fails, and says which and where."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

from actorq import InvalidOption, JobQueue
from actorq.testing import LoopBlocked, no_blocking

pytestmark = pytest.mark.real_time

LIMIT_S = 0.1


async def block() -> None:
    time.sleep(5 * LIMIT_S)  # noqa: ASYNC251 - the crime itself


async def test_a_job_that_blocks_the_loop_fails_the_test():
    queue = JobQueue()
    task = queue.task(block)
    with pytest.raises(LoopBlocked) as caught, no_blocking(queue, LIMIT_S):  # noqa: PT012 - it fails at the end
        async with queue:
            handle = await task.submit()
            await handle.wait()
    text = str(caught.value)
    assert "a job blocked the event loop for longer than 0.1 s" in text
    assert f"Job {handle.id} ({task.name})" in text
    assert "in block\n    time.sleep" in text
    assert caught.value.blocks[0].job_id == handle.id


async def test_it_is_an_assertion_that_fails():
    assert issubclass(LoopBlocked, AssertionError)


async def test_a_queue_that_is_open_already_can_be_held_to_it():
    async with JobQueue() as queue:
        task = queue.task(block)
        with pytest.raises(LoopBlocked), no_blocking(queue, LIMIT_S):
            await task.run()


async def test_it_holds_for_a_queue_that_is_not_watched_otherwise():
    async with JobQueue(blocked_after=None) as queue:
        task = queue.task(block)
        await task.run()
        with pytest.raises(LoopBlocked), no_blocking(queue, LIMIT_S):
            await task.run()


async def test_jobs_that_wait_or_work_elsewhere_pass():
    queue = JobQueue()
    with no_blocking(queue, 1.0):
        async with queue:
            await queue.task(name="wait")(anyio.sleep).run(1.2)
            await queue.task(name="work")(threading.Event().wait).run(1.2)


async def test_what_blocks_and_is_no_job_passes():
    queue = JobQueue()
    with no_blocking(queue, LIMIT_S):
        async with queue:
            handle = await queue.task(name="wait")(anyio.sleep_forever).submit()
            time.sleep(5 * LIMIT_S)  # noqa: ASYNC251 - the test may
            await handle.cancel()


async def test_afterwards_the_queue_is_as_before():
    queue = JobQueue(blocked_after=7)
    with no_blocking(queue, LIMIT_S):
        pass
    assert (queue.block_limit.seconds, queue.block_limit.hear) == (7, None)


async def test_another_failure_of_the_test_goes_first():
    queue = JobQueue()
    task = queue.task(block)
    with pytest.raises(KeyError), no_blocking(queue, LIMIT_S):  # noqa: PT012 - it has something else to say at its end
        async with queue:
            await task.run()
            raise KeyError


@pytest.mark.parametrize("limit", [0, -1, "soon"])
def test_a_limit_that_is_none_is_refused(limit: float):
    with pytest.raises(InvalidOption), no_blocking(JobQueue(), limit):
        pass


SUITE = """
import time
import anyio, pytest
from actorq import JobQueue
from actorq.testing import no_blocking

queue = JobQueue()

@queue.task
async def resize() -> None:
    time.sleep(1)

@pytest.fixture(autouse=True)
def strict():
    with no_blocking(queue):
        yield

def test_resize():
    async def main():
        async with queue:
            await resize.run()
    anyio.run(main)
"""


def test_a_fixture_of_pytest_can_hold_a_whole_suite_to_it(tmp_path: Path):
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-p",
        "no:looptime_plugin",
        "test_suite.py",
    ]
    run = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8", timeout=60, check=False)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "LoopBlocked: Once a job blocked the event loop for longer than 0.1 s" in run.stdout
    assert "time.sleep(1)" in run.stdout
