"""The floor: what an embedded queue stands on, and nothing above it.

A priority queue, eight worker tasks, one future a job. No retries, no limits, no records: what a queue costs
is its distance from this. Trio has no priority queue; there it is a heap, a semaphore, and an event a job.
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from itertools import count
from typing import Any, Final

import trio

WORKERS: Final = 8

LOOPS: Final = ("asyncio", *(["uvloop"] if find_spec("uvloop") else []), "trio")

Submit = Callable[..., Awaitable[Any]]
"""``await submit(fn, *args, priority=0)`` is the result; the least number is the most urgent."""


def open_bare(loop: str, workers: int = WORKERS) -> AbstractAsyncContextManager[Submit]:
    """Open the floor on this loop, and return its ``submit``."""
    return _on_trio(workers) if loop == "trio" else _on_asyncio(workers)


@asynccontextmanager
async def _on_asyncio(workers: int) -> AsyncGenerator[Submit]:
    queue: asyncio.PriorityQueue[Any] = asyncio.PriorityQueue()
    loop = asyncio.get_running_loop()
    seq = count()

    def submit(fn: Callable[..., Any], *args: Any, priority: int = 0) -> asyncio.Future[Any]:
        future = loop.create_future()
        queue.put_nowait((priority, next(seq), future, fn, args))
        return future

    async def work() -> None:
        while True:
            _, _, future, fn, args = await queue.get()
            try:
                future.set_result(await fn(*args))
            except Exception as error:  # noqa: BLE001 - it is handed on
                future.set_exception(error)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    try:
        yield submit
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _on_trio(workers: int) -> AsyncGenerator[Submit]:
    heap: list[Any] = []
    waiting = trio.Semaphore(0)
    seq = count()

    def submit(fn: Callable[..., Any], *args: Any, priority: int = 0) -> _Promise:
        promise = _Promise()
        heapq.heappush(heap, (priority, next(seq), promise, fn, args))
        waiting.release()
        return promise

    async def work() -> None:
        while True:
            await waiting.acquire()
            _, _, promise, fn, args = heapq.heappop(heap)
            promise.value = await fn(*args)
            promise.kept.set()

    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(work)
        yield submit
        nursery.cancel_scope.cancel()


class _Promise:
    """What trio has no word for: a value that will be there."""

    __slots__ = ("kept", "value")

    def __init__(self) -> None:
        self.kept = trio.Event()
        self.value: Any = None

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self.kept.wait().__await__()
        return self.value
