"""Who goes first, and who must wait: higher priority first, then who was ready first; a delay holds a job back."""

from datetime import UTC, datetime, timedelta

import anyio

from actorq import JobQueue, JobState, Priority, Reason

queue = JobQueue(workers=1)  # one at a time, so that the order shows
order: list[str] = []


@queue.task
async def note(name: str) -> None:
    order.append(name)


@queue.task(priority=Priority.HIGHEST)
async def occupy(seconds: float) -> None:
    await anyio.sleep(seconds)


async def main() -> None:
    async with queue:
        await occupy.submit(0.05)  # takes the one worker, so that the others gather
        await note.using(priority=Priority.LOW).submit("low")
        await note.submit("first of the normal ones")
        await note.submit("second of the normal ones")
        await note.using(priority=Priority.HIGH).submit("high")
        await note.using(priority=Priority.HIGHEST, delay=0.3).submit("highest, but not yet")
        await note.using(run_at=datetime.now(UTC) + timedelta(seconds=0.2)).submit("at its time")
        await queue.join()
        print(*order, sep="\n")
        assert order == [
            "high",
            "first of the normal ones",
            "second of the normal ones",
            "low",
            "at its time",
            "highest, but not yet",
        ]

        await occupy.submit(0.2)
        stale = await note.using(expires=0.1).submit("news of yesterday")
        assert await stale.wait() is JobState.FAILED
        print("not started in time:", (await stale.record()).error.reason)
        assert (await stale.record()).error.reason == Reason.EXPIRED
        assert "news of yesterday" not in order


anyio.run(main)
