"""rethinkdb-job-queue's documents: failed will run again, terminated will not, and the log ends with the result."""

import anyio

from actorq import Filter, JobContext, JobQueue
from actorq.views import rethinkdb

queue = JobQueue()


@queue.task(context=True)
async def send(job: JobContext, to: str) -> str:
    job.log("dialling", to=to)
    if to == "nobody" or job.attempt == 1:
        raise ConnectionError(f"{to} is out")
    return f"sent to {to}"


async def main() -> None:
    async with queue:
        options = rethinkdb.options({"name": "letter", "priority": "high", "retryMax": 2, "retryDelay": 60_000})
        job = await send.using(**options).submit(to="ada")
        print("result:", await job)  # the first retry follows at once

        found = await queue.find(Filter(tags={"name": "letter"}))
        document = rethinkdb.status(found.jobs[0])
        print({name: document[name] for name in ("name", "to", "status", "priority", "retryCount", "progress")})
        for entry in document["log"]:
            print(f"  {entry['type']:11} {entry['status']:9} {entry['message']}")

        async with queue.watch("retry_scheduled") as events:
            lost = await send.using(**options).submit(to="nobody")
            async for _ in events:
                record = await lost.record()
                print("nobody:", rethinkdb.state(record), "after run", record.attempt, "of", record.max_attempts)
                if record.attempt == 2:
                    break  # the next one would follow in a minute
        await lost.cancel("enough")
        print("in the end:", rethinkdb.state(await lost.record()))


anyio.run(main)
