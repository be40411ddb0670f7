"""The same on trio: nothing changes but the loop. Waiting is trio's own, with its cancel scopes."""

import trio

from actorq import JobQueue, JobState, gather

queue = JobQueue(workers=4)


@queue.task
async def measure(depth: float) -> float:
    await trio.sleep(depth / 100)
    return depth * 2


async def main() -> None:
    async with queue:
        jobs = [await measure.submit(depth) for depth in (3.0, 1.0, 2.0)]
        depths = await gather(*jobs)
        print("in their order:", depths)
        assert depths == (6.0, 2.0, 4.0)

        slow = await measure.submit(50.0)
        with trio.move_on_after(0.05):
            await slow
        print("gave up waiting; the job is", (await slow.record()).state)
        assert await slow.wait() is JobState.SUCCEEDED  # a waiter that gives up never hurts the job

        async with trio.open_nursery() as nursery:  # from any task
            for depth in (4.0, 5.0):
                nursery.start_soon(measure.run, depth)
        stats = await queue.stats()
        print("succeeded:", stats.counts[JobState.SUCCEEDED])
        assert stats.submitted == stats.counts[JobState.SUCCEEDED] == 6


trio.run(main)
