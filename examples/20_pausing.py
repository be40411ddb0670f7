"""Hold a job, change it, let it go; pause the queue, take back what runs, and ask why nothing happens."""

import anyio

from actorq import Filter, InvalidState, JobQueue, JobState, current_job

queue = JobQueue(workers=2)
stopped: list[str] = []


@queue.task
async def send(to: str) -> str:
    return f"sent to {to}"


@queue.task
async def export() -> str:
    if stopped:
        return "exported"
    try:
        await anyio.sleep(60)
    finally:
        stopped.append(str(current_job().cancel_reason))
    return "too early"


async def main() -> None:
    async with queue:
        letter = await send.using(delay=3600).submit("ada")
        await queue.pause(letter.id)
        await queue.edit(letter.id, args=("grace",), priority=9)
        print(queue.explain(letter.id))
        try:
            await queue.pause(letter.id)
        except InvalidState as error:
            print(error)
        await queue.resume(letter.id)
        await queue.promote(letter.id)
        print(await letter)

        running = await export.submit()
        await anyio.sleep(0.05)
        await queue.pause_queue(stop=True)  # hands the attempt back
        await queue.drain()
        print(queue.explain(running.id))
        assert (stopped, (await running.record()).attempt) == (["paused"], 0)
        await queue.resume_queue()
        print(await running)

        late = send.using(delay=3600, tags=["newsletter"])
        await late.submit_many([late.build(str(n)) for n in range(100)])
        print((await queue.cancel(Filter(tags=["newsletter"]), dry_run=True)).touched, "would be cancelled")
        assert (await queue.cancel(Filter(tags=["newsletter"]))).touched == 100
        assert await queue.count(Filter(state=JobState.CANCELLED)) == 100


anyio.run(main)
