"""What fails for good is kept apart, handed to a task of its own, and tried again when the fault is mended."""

import anyio

from actorq import DeadLetter, Filter, JobQueue, JobState, Retry

queue = JobQueue()
is_up = anyio.Event()


@queue.task
async def bury(letter: DeadLetter) -> None:
    print("buried:", letter.job.task, letter.args, letter.failure.type, letter.failure.message)


@queue.task(dead_letter=bury, retry=Retry(max_attempts=2, delay=0.01))
async def send(to: str) -> str:
    if not is_up.is_set():
        raise ConnectionError("no route")
    return f"sent to {to}"


async def main() -> None:
    async with queue:
        jobs = [await send.submit(name) for name in ("ada", "grace", "barbara")]
        await queue.join()
        assert await queue.count(Filter(state=JobState.DEAD_LETTER)) == 3

        is_up.set()
        dead = Filter(state=JobState.DEAD_LETTER, task=send)
        print((await queue.rerun(dead, dry_run=True)).touched, "to be tried again")
        await queue.rerun(dead, per_second=50)
        print([await job for job in jobs])


anyio.run(main)
