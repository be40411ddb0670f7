"""Load: what the benchmarks let a queue do.

A job is an ``async def`` that returns its argument, so that every result can be checked.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

IN_FLIGHT: Final = 1_000

A_DAY: Final = 86_400.0

TICK_S: Final = 0.005
"""How often a paced load submits what is due."""

PILE_LIMIT: Final = 5_000
"""Jobs in flight at a time of a paced load: a queue that cannot keep the pace is not buried."""

Run = Callable[[int], Awaitable[int]]


async def echo(n: int) -> int:
    return n


async def by_clients(run: Run, jobs: int) -> int:
    """Let a thousand clients each run one job after the other; return the sum of the results."""
    total = 0

    async def client(first: int) -> None:
        nonlocal total
        for n in range(first, jobs, IN_FLIGHT):
            result = await run(n)  # only then may the total be read: there are a thousand of us
            total += result

    async with anyio.create_task_group() as clients:
        for first in range(IN_FLIGHT):
            clients.start_soon(client, first)
    return total


class Pace:
    """Runs so many jobs a second, each by a client of its own, until it is stopped."""

    def __init__(self, run: Run, rate: int) -> None:
        self.served = 0
        self.seconds = 0.0
        self._run = run
        self._rate = rate
        self._in_flight = 0
        self._is_stopped = False

    @property
    def rate(self) -> float:
        """Jobs served a second."""
        return self.served / self.seconds

    async def run(self) -> None:
        """Return when all jobs have ended."""
        start = time.perf_counter()
        async with anyio.create_task_group() as clients:
            begun = 0
            while not self._is_stopped:
                due = int((time.perf_counter() - start) * self._rate)
                while begun < due and self._in_flight < PILE_LIMIT:
                    self._in_flight += 1
                    clients.start_soon(self._client, begun)
                    begun += 1
                await anyio.sleep(TICK_S)
        self.seconds = time.perf_counter() - start
        assert self.served == begun

    def stop(self) -> None:
        self._is_stopped = True

    async def _client(self, n: int) -> None:
        assert await self._run(n) == n
        self._in_flight -= 1
        self.served += 1
