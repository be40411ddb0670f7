"""Worker processes die at any moment, and so does their queue: nothing of them is left behind."""

import os
import signal
import sys
import time

import orjson
import psutil
import pytest

from .life import Life

JOBS = max(int(os.environ.get("ACTORQ_CRASH_ROUNDS", "0")), 40)

GONE_WITHIN_S = 2.0
"""After the death of the queue's process."""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_deaths_leave_no_process_and_no_descriptor(backend: str) -> None:
    life = Life("processes.py", mode="deaths", backend=backend, jobs=JOBS)
    assert life.wait() == 0, life.errors()
    told = orjson.loads(life.lines()[-1][0].removeprefix("at the end "))
    life.discard()
    print(f"\n{backend}: {JOBS} jobs, {told['kills']} kills, {told['states']}, left {told['left']}", file=sys.stderr)
    assert told["left"] == told["before"]
    assert sum(told["states"].values()) == JOBS
    assert set(told["states"]) <= {"succeeded", "failed", "cancelled"}
    assert told["states"]["succeeded"] > 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_processes_and_what_they_have_started_go_with_their_queue(backend: str) -> None:
    life = Life("processes.py", mode="orphans", backend=backend)
    assert life.listen(60.0, until=b"running"), life.errors()
    [(line, _)] = life.lines()
    orphans = [psutil.Process(int(pid)) for pid in line.split()[1:]]
    assert len(orphans) >= 5
    life.process.send_signal(signal.SIGKILL)
    life.is_killed = True
    took = 0.0
    killed_at = time.monotonic()
    while (alive := list(filter(is_alive, orphans))) and took < GONE_WITHIN_S:
        time.sleep(0.005)
        took = time.monotonic() - killed_at
    print(f"\n{backend}: {len(orphans)} processes, gone after {took:.3f} s", file=sys.stderr)
    for orphan in alive:  # a test that fails leaves none, either
        orphan.kill()
    assert alive == []
    life.wait()
    life.discard()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
