"""Iron's tasks: options of a NewTask go in, and a job comes out as the chain of tasks that Iron would have made."""

import anyio

from actorq import JobContext, JobQueue
from actorq.views import iron

queue = JobQueue()


@queue.task(context=True)
async def resize(job: JobContext, payload: str) -> str:
    if job.attempt < 3:
        raise ConnectionError("no picture yet")
    return f"{payload}, small"


async def main() -> None:
    async with queue:
        task = {"image": "resize", "priority": 1, "max_retries": 2, "retries_delay": 0}
        job = await resize.using(**iron.options(task)).submit("cat.png")
        print("result:", await job)

        for link in iron.chain(await job.record()):
            print(link["id"], link["status"], link["reason"], "retried by", link["retry_at"])

        later = await resize.using(**iron.options({"priority": 0, "delay": 60})).submit("dog.png")
        print("waits:", iron.state(await later.record()))
        await later.cancel()
        last = iron.status(await later.record())
        print("cancelled:", last["status"], last["reason"], "after", last["delay"], "s of delay were asked for")


anyio.run(main)
