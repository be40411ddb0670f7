"""BullMQ's options and PipesHub's job status: milliseconds, attempts, backoff with jitter, job ids, paused jobs."""

import anyio

from actorq import JobContext, JobQueue
from actorq.views import pipeshub

queue = JobQueue()


@queue.task(context=True)
async def crawl(job: JobContext, connector: str) -> str:
    job.progress(current=5, total=10)
    if job.attempt < 2:
        raise ConnectionError(f"{connector} does not answer")
    return f"{connector} crawled"


async def main() -> None:
    async with queue:
        options = {
            "attempts": 3,
            "backoff": {"type": "exponential", "delay": 20, "jitter": 0.5},
            "jobId": "crawl-drive",
        }
        job = await crawl.using(**pipeshub.bullmq_options(options)).submit(connector="drive")
        same = await crawl.using(**pipeshub.bullmq_options(options)).submit(connector="drive")
        print("added twice, there once:", same.id == job.id)
        print("result:", await job)
        print(pipeshub.status(await job.record()))

        later = await crawl.using(**pipeshub.bullmq_options({"delay": 60_000})).submit(connector="mail")
        print("held:", pipeshub.state(await later.record()))
        await queue.pause(later.id)
        print("paused by itself:", pipeshub.state(await later.record()))
        await queue.remove(later.id, force=True)

        rule = pipeshub.retry()
        print("PipesHub waits", [rule.wait(job.id, failures) for failures in (1, 2, 3)], "seconds")


anyio.run(main)
