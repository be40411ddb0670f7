"""What the jobs behind the servers do; and the diary, in which each run writes when it begins and when it ends.

A line of it: ``begin`` or ``end``, job, claim, process, seconds on the clock that all processes share. When a run has
no end there, its process had one, or its thread was left behind.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from actorq import JobQueue, Retry, current_job

DIARY = "SERVER_DIARY"
"""In the environment, which worker processes inherit: the path of the diary."""

IS_CALM = "SERVER_IS_CALM"
"""In the environment: whether jobs end at once, whatever they were told."""


@contextmanager
def noted(seconds: float) -> Iterator[float]:
    """Write of the run in the diary; return how long it is to take."""
    job = current_job()
    write("begin", job.job_id, job.claim)
    try:
        yield 0.0 if os.environ.get(IS_CALM) else seconds
    finally:
        write("end", job.job_id, job.claim)


def write(*words: object) -> None:
    line = " ".join(map(str, [*words, os.getpid(), time.monotonic()])) + "\n"
    diary = os.open(os.environ[DIARY], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(diary, line.encode())
    os.close(diary)


async def obey(seconds: float) -> None:
    with noted(seconds) as rest_s:
        await anyio.sleep(rest_s)


async def ignore(seconds: float) -> None:
    with noted(seconds) as rest_s:
        end_at = time.monotonic() + rest_s
        while (left := end_at - time.monotonic()) > 0:
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(left)


async def shield(seconds: float) -> None:
    with noted(seconds) as rest_s, anyio.CancelScope(shield=True):
        await anyio.sleep(rest_s)


async def tidy_up(seconds: float) -> None:
    with noted(seconds) as rest_s:
        try:
            await anyio.sleep(rest_s)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(rest_s)


async def spin(seconds: float) -> None:
    """Block the loop again and again."""
    with noted(seconds) as rest_s:
        end_at = time.monotonic() + rest_s
        while time.monotonic() < end_at:
            _burn(0.02)
            await checkpoint()


def block(seconds: float) -> None:
    with noted(seconds) as rest_s:
        time.sleep(rest_s)


def compute(seconds: float) -> None:
    with noted(seconds) as rest_s:
        _burn(rest_s)


def _burn(seconds: float) -> None:
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        pass


def declare(queue: JobQueue) -> dict[str, Any]:
    """Return the tasks, by name; none of their jobs may use a second attempt."""
    functions = (obey, ignore, shield, tidy_up, spin, block)
    tasks = {fn.__name__: queue.task(name=fn.__name__, retry=Retry(max_attempts=1))(fn) for fn in functions}
    compute_task = queue.task(name="compute", run_in="process", retry=Retry(max_attempts=1))(compute)
    return tasks | {"compute": compute_task}
