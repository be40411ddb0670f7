"""Flare's jobs: the body of POST /jobs goes in, JobStatus comes out; one key with two bodies is a conflict."""

import anyio

from actorq import DuplicateJob, JobContext, JobQueue
from actorq.views import flare

queue = JobQueue()
queue.group("email", limit=2)


@queue.task(context=True)
async def welcome(job: JobContext, name: str) -> str:
    job.progress(0.5)
    if not name:
        raise ValueError("nobody to welcome")
    return f"Welcome, {name}"


async def main() -> None:
    async with queue:
        body = {"queue": "email", "max_attempts": 5, "timeout_seconds": 60, "idempotency_key": "user-7"}
        email = welcome.using(**flare.options(body))
        job = await email.submit(name="Ada")
        print("replayed:", (await email.submit(name="Ada")).id == job.id)
        try:
            await email.submit(name="Bob")
        except DuplicateJob as conflict:
            print("refused:", conflict)
        print("result:", await job)
        print(flare.status(await job.record()))

        dead = await welcome.using(**flare.options({"max_attempts": 1})).submit(name="")
        await dead.wait()
        status = flare.status(await dead.record())
        print(status["State"], "because", status["ErrorMessage"])

        later = await welcome.using(**flare.options({"run_at": "2090-01-01T00:00:00Z"})).submit(name="Eve")
        print(flare.state(await later.record()), "until", (await later.record()).due_at.date())
        await later.cancel()
        status = flare.status(await later.record())
        print(status["State"], "and never started:", status["StartedAt"])

        rule = flare.retry()
        print("Flare waits about", [round(rule.wait(job.id, failures)) for failures in (1, 2, 3, 12)], "seconds")


anyio.run(main)
