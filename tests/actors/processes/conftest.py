"""Real processes, and one attempt after the other in them."""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import orjson
import psutil
import pytest

from actorq.actors.processes import ProcessPool, ProcessRun, Reference, reference_of
from actorq.config import Processes
from actorq.core import commands as c
from actorq.core.job import Job, JobOptions, JobState
from actorq.function import Function

sys.path.append(str(Path(__file__).parent))  # process_jobs has to have a name that a process can import

PATIENCE_S = 20.0
"""How long a test waits for what must come."""

numbers = count(1)


async def until(is_so: Callable[[], Any]) -> None:
    """Wait until something is so that nobody tells of."""
    with anyio.fail_after(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process; one that nobody has reaped yet is not alive."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Trial(ProcessRun):
    """An attempt of a job, and what was heard of it."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *args: Any,
        takes_context: bool = False,
        is_of_this_life: bool = True,
        payload: bytes | None = None,
        reference: Reference | None = None,
        **options: Any,
    ) -> None:
        function = Function(fn, fn.__name__, takes_context=takes_context)
        payload = function.encode(args, {}) if payload is None else payload
        n = next(numbers)
        job = Job(f"job {n}", n, fn.__name__, payload, JobOptions(**options), JobState.RUNNING, 0.0, 0.0)
        job.attempt, job.claim = 1, n
        self.heard: list[c.Report] = []
        reference = reference or reference_of(fn, fn.__name__)
        super().__init__(
            job, function, reference, is_of_this_life=is_of_this_life, now=time.time, hear=self.heard.append
        )

    @property
    def lines(self) -> list[str]:
        """What the function has said in its log."""
        return [report.message for report in self.heard if isinstance(report, c.Log)]

    async def said(self, message: str) -> dict[str, Any]:
        """Wait until the function says so, and return what it says with it."""
        await until(lambda: message in self.lines)
        [data] = [line.data for line in self.heard if isinstance(line, c.Log) and line.message == message]
        return orjson.loads(data)


class Outcome:
    """What will become of an attempt."""

    report: Any = None

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        await until(lambda: self.report is not None)
        return self.report


async def begun(begin: "Begin", trial: Trial) -> Outcome:
    """Begin an attempt, and wait until its function says that it has."""
    outcome = begin(trial)
    await trial.said("begun")
    return outcome


class Pool(ProcessPool):
    """A pool that takes functions, too."""

    def __init__(self, settings: Processes | None = None, workers: int = 4) -> None:
        super().__init__(settings or Processes(ahead=0), lambda: workers)

    async def call(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run the function as a job; return its result, or the report that is no result."""
        with anyio.fail_after(PATIENCE_S):
            report = await self.run(Trial(fn, *args, **options))
        return orjson.loads(report.result) if isinstance(report, c.Finish) else report


Begin = Callable[[Trial], Outcome]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """See that no process, no zombie and no descriptor outlives a test."""
    before = descriptors()
    yield
    end_at = time.monotonic() + PATIENCE_S
    while (psutil.Process().children(recursive=True) or descriptors() - before) and time.monotonic() < end_at:
        time.sleep(0.005)
    assert psutil.Process().children(recursive=True) == []
    assert descriptors() <= before


def descriptors() -> set[str]:
    """Return what this process holds open that a worker process may need."""
    found = set()
    for descriptor in Path("/proc/self/fd").glob("*"):  # empty where there is no such folder
        try:
            target = os.readlink(descriptor)  # noqa: PTH115 - "pipe:[1]" is no path
        except OSError:
            continue
        if target.startswith(("socket:", "pipe:")):
            found.add(target)
    return found


@pytest.fixture
async def pool(anyio_backend: Any) -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    await pool.close()


@pytest.fixture
async def begin(pool: Pool, anyio_backend: Any) -> AsyncIterator[Begin]:
    """Begin an attempt in the background."""

    async def run(trial: Trial, outcome: Outcome) -> None:
        outcome.report = await pool.run(trial)

    def begin(trial: Trial) -> Outcome:
        outcome = Outcome()
        group.start_soon(run, trial, outcome)
        return outcome

    async with anyio.create_task_group() as group:
        yield begin
        group.cancel_scope.cancel()
