"""DataQueue's records: numbers for ids, idempotency keys, failed with and without a next attempt, dead letters."""

from typing import Any

import anyio

from actorq import JobQueue, Retry
from actorq.views import dataqueue

queue = JobQueue()


@queue.task
async def send_email(to: str) -> dict[str, str]:
    if not to:
        raise ValueError("nobody to write to")
    return {"sent": to}


@queue.task(name="morgue", retry=Retry(max_attempts=1))
async def look_at(letter: dict[str, Any]) -> str:
    return f"{letter['job']['task']} failed: {letter['failure']['message']}"


async def main() -> None:
    async with queue:
        options = dataqueue.options({"maxAttempts": 3, "idempotencyKey": "user-7", "tags": ["welcome"]})
        job = await send_email.using(**options).submit(to="ada")
        same = await send_email.using(**options).submit(to="bob")
        print("the same key is the same job:", same.id == job.id, "→", await job)
        print(dataqueue.status(await job.record()))

        dead = dataqueue.options({"maxAttempts": 2, "retryDelay": 0, "deadLetterJobType": "morgue"})
        lost = await send_email.using(**dead).submit(to="")
        await lost.wait()
        record = await lost.record()
        letter = queue.handle(record.dead_letter_job_id or "")
        print("made of it:", await letter)
        document = dataqueue.status(record, await letter.record())
        for name in ("status", "attempts", "nextAttemptAt", "failureReason", "deadLetterJobId"):
            print(f"  {name}: {document[name]}")
        print(f"  errorHistory: {[error['message'] for error in document['errorHistory']]}")


anyio.run(main)
