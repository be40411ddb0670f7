"""P8: how long does it take to open a directory with very many jobs in it, and to serve the first of them?

From a snapshot alone, and from a journal alone in which each job has a line. Each round opens a fresh copy, and
parses the lines of the same files with nothing but ``orjson.loads``, by turns. Both read from the disk: what is in
memory is dropped before, for recovery does that, too, and would pay for it alone.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from actorq import JobQueue

from .disk import drop_from_memory, parse_lines
from .load import A_DAY
from .stored import Source, size_of, store_jobs


class Opening:
    """Opens a directory, and waits until its first job has begun."""

    def __init__(self, path: Path, jobs: int) -> None:
        self.opened_after = 0.0
        self.served_after = 0.0
        self.served: list[int] = []
        self._jobs = jobs
        self._queue = JobQueue(
            path, workers=1, max_pending=2 * jobs, snapshot_interval=A_DAY, drain_timeout=0.0, grace=1.0
        )
        self._queue.task(self._serve, name="serve")
        self._begun = anyio.Event()

    async def run(self) -> None:
        self._start = time.perf_counter()
        async with self._queue as queue:
            self.opened_after = time.perf_counter() - self._start
            await self._begun.wait()
            stats = await queue.stats()
        assert stats.submitted == stats.live == self._jobs
        assert self.served == [0]

    async def _serve(self, n: int) -> None:
        self.served_after = time.perf_counter() - self._start
        self.served.append(n)
        self._begun.set()
        await anyio.sleep_forever()


@pytest.mark.benchmark(group="P8 reopen (a round: bare lines, then the queue)")
@pytest.mark.parametrize("loop", ["asyncio"])
@pytest.mark.parametrize("source", ["snapshot", "journal"])
def bench_reopen(source: Source, portal: BlockingPortal, disk: Path, benchmark: Any, pick: Any, tell: Any) -> None:
    jobs, rounds = pick(quick=(100_000, 2), full=(1_000_000, 3))
    original, copy = disk / "original", disk / "copy"
    store_jobs(original, jobs, "serve", source)
    files = sorted(original.glob("*.jsonl"))
    bare: list[float] = []
    opened: list[float] = []
    served: list[float] = []

    def take_turns() -> None:
        drop_from_memory(files)
        start = time.perf_counter()
        assert parse_lines(files) > jobs
        bare.append(time.perf_counter() - start)
        opening = Opening(copy, jobs)
        portal.call(opening.run)
        opened.append(opening.opened_after)
        served.append(opening.served_after)

    def lay_copy() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)

    benchmark.pedantic(take_turns, setup=lay_copy, rounds=rounds)
    benchmark.extra_info["bytes"] = size_of(original)
    tell("P8", f"{jobs:,}, {source}, open", min(opened), min(bare), "s", "≤ 1.5 × bare loads", at_most=1.5)
    tell("P8", f"{jobs:,}, {source}, first job", min(served), min(bare), "s", "≤ 2 s", at_most=2.0, bounds="ours")
