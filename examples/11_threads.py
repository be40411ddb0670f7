"""Threads: a blocking client that can be stopped, a coroutine that must not block the loop, and one that refuses."""

import logging
import threading
import time

import anyio

from actorq import JobCancelled, JobContext, JobQueue, JobState, current_job

queue = JobQueue(workers=4, max_abandoned=10)
never = threading.Event()


@queue.task(context=True)
def poll(job: JobContext, pages: int) -> int:
    """Ask a slow service again and again, politely."""
    for page in range(pages):
        job.check()  # raises AttemptCancelled if the job is to stop
        time.sleep(0.01)  # the blocking call of a client library
        job.progress(current=page + 1, total=pages)
        job.wait_cancelled(0.02)  # sleeps, and wakes at once if the job is to stop
    return pages


@queue.task(run_in="thread")
async def crunch(rounds: int) -> str:
    """Run a coroutine function on an event loop of its own, where it is in nobody's way."""
    for _ in range(rounds):
        sum(range(10_000))
        await anyio.lowlevel.checkpoint()
    current_job().log("crunched", rounds=rounds)
    return threading.current_thread().name


@queue.task(grace=0.1)
def refuse() -> None:
    never.wait()


async def main() -> None:
    logging.getLogger("actorq").setLevel(logging.ERROR)  # the worker that is lost below is no news to us
    async with queue:
        assert await poll.run(3) == 3
        assert await crunch.run(100) != threading.current_thread().name

        job = await poll.submit(1_000_000)
        await anyio.sleep(0.1)
        await job.cancel("the user has left")
        try:
            await job
        except JobCancelled as error:
            print(error)

        stubborn = await refuse.submit()
        await anyio.sleep(0.1)
        await stubborn.cancel()
        assert await stubborn.wait() is JobState.CANCELLED  # after its grace; its thread goes on by itself
        assert (await queue.stats()).abandoned == 1
        assert await poll.run(1) == 1  # another worker has taken its place

    print("closed; the thread that never returns does not keep the program from exiting")


anyio.run(main)
