"""Cancelling: a job that waits, one that runs, one in a thread, one that ignores it, and one that gives up itself."""

import logging
import time

import anyio

from actorq import CancelJob, JobCancelled, JobContext, JobHandle, JobQueue, JobState, Reason, Retry

queue = JobQueue(workers=5)
tidied: list[str] = []


@queue.task(context=True)
async def run(job: JobContext) -> None:
    try:
        await anyio.sleep(60)
    finally:
        tidied.append(job.cancel_reason)


@queue.task(context=True)
def count(job: JobContext) -> None:
    while job.cancel_reason is None:  # a thread cannot be stopped from outside: let it look
        time.sleep(0.01)


@queue.task(grace=0.1)
async def refuse() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(1)


@queue.task(retry=Retry(max_attempts=5))
async def give_up() -> None:
    raise CancelJob("nothing to do")


async def end_of(job: JobHandle) -> JobCancelled:
    try:
        await job
    except JobCancelled as error:
        return error
    raise AssertionError("it should have been cancelled")


async def main() -> None:
    logging.getLogger("actorq").setLevel(logging.ERROR)  # the worker that is lost below is no news to us
    async with queue:
        waiting = await run.using(delay=60).submit()
        assert await waiting.cancel()
        assert await waiting.wait() is JobState.CANCELLED
        assert not await waiting.cancel()  # it has ended already

        running, threaded, stubborn = await run.submit(), await count.submit(), await refuse.submit()
        await anyio.sleep(0.05)
        for job in (running, threaded, stubborn):
            await job.cancel("the user has left")
        for job in (running, threaded, stubborn):
            error = await end_of(job)
            print(error)
            assert (error.reason, error.message) == (Reason.CLIENT_REQUEST, "the user has left")
        assert tidied == [Reason.CLIENT_REQUEST]
        assert (await queue.stats()).lost_workers == 1  # that of `refuse`: abandoned after its grace, and replaced

        assert await (await give_up.submit()).wait() is JobState.CANCELLED

        with anyio.move_on_after(0.05):
            await run.run()  # submit and wait in one: who is cancelled here cancels the job
        await queue.join()
        assert len(tidied) == 2


anyio.run(main)
