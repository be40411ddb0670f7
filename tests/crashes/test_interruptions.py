"""A job that kills the whole program, each time it starts: it is set aside, and the program lives."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys
import anyio
from actorq import JobQueue

queue = JobQueue(sys.argv[1], workers=1)

@queue.task(max_interruptions=3, priority=1)
def bomb() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

@queue.task
def work(n: int) -> int:
    return n

async def main() -> None:
    async with queue:
        if not await queue.count():
            await queue.submit_many([bomb.build(), work.build(1), work.build(2)])
        await queue.join()
        for job in (await queue.find()).jobs:
            print(job.task, job.state, job.interruptions, job.attempt, job.error and job.error.reason)

anyio.run(main, backend=sys.argv[2])
"""


def run(path: Path, loop: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", PROGRAM, str(path), loop]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_job_that_kills_the_program_at_each_start_is_tried_so_often_and_set_aside(tmp_path: Path, loop: str) -> None:
    lives = [run(tmp_path, loop) for _ in range(4)]
    assert [life.returncode for life in lives] == [-signal.SIGKILL] * 3 + [0], lives[-1].stderr
    assert lives[-1].stdout.splitlines() == [
        "__main__.bomb failed 3 1 interrupted",
        "__main__.work succeeded 0 1 None",
        "__main__.work succeeded 0 1 None",
    ]
