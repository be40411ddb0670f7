"""Who blocks the event loop, where a waiting job stands, and a test that fails when a job blocks."""

import logging
import time

import anyio

from actorq import JobQueue
from actorq.testing import LoopBlocked, no_blocking

queue = JobQueue(blocked_after=0.3)
barks: list[str] = []


class Kept(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        barks.append(record.getMessage())


@queue.task
async def resize(photo: str) -> str:
    time.sleep(1)  # noqa: ASYNC251 - the mistake: everything else stands still meanwhile
    return f"small {photo}"


@queue.task
async def crawl(site: str) -> None:
    async with anyio.create_task_group() as pages:
        pages.start_soon(fetch, f"{site}/index.html")


async def fetch(page: str) -> None:
    print("waiting for", page)
    await anyio.sleep(60)


async def main() -> None:
    logging.getLogger("actorq").addHandler(Kept())
    async with queue, queue.watch("loop_blocked") as events:
        photo = await resize.submit("cat.jpg")
        block = await anext(events)
        assert block.job_id == photo.id
        print(barks[0])  # came while it blocked, from the watchdog's thread
        assert "time.sleep(1)" in barks[0]
        assert (await queue.stats()).loop_blocked_s == block.fact.seconds > 0.3

        site = await crawl.submit("https://example.org")
        await anyio.sleep(0.05)
        stack = await queue.stack(site.id)
        print(stack)
        assert {"crawl", "fetch"} <= {frame.function for frame in stack.frames}
        assert stack.waits_for == "It waits in anyio.sleep()."
        await site.cancel()

    try:
        with no_blocking(queue, limit=0.1):  # in a test, around whatever runs jobs
            async with queue:
                await resize.run("dog.jpg")
    except LoopBlocked as error:
        print(error)
    else:
        raise AssertionError("the test should have failed")


anyio.run(main)
