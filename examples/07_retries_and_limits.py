"""What goes wrong, and what becomes of it: retries, verdicts, time limits, and a heartbeat that stops."""

import anyio

from actorq import JobContext, JobFailed, JobQueue, Reason, Retry, RetryAfter, Snooze, Unrecoverable

queue = JobQueue()
patient = Retry(max_attempts=3, delay=0.05, backoff="exponential", factor=2, never=[PermissionError])


@queue.task(retry=patient, context=True)
async def fetch(job: JobContext, succeeds_at: int) -> str:
    if job.attempt < succeeds_at:
        raise ConnectionError("nobody there")
    return f"there at attempt {job.attempt}"


@queue.task(retry=patient)
async def enter(door: str) -> None:
    if door == "locked":
        raise PermissionError(door)
    raise Unrecoverable("there is no such door")


@queue.task(retry=patient, context=True)
async def decide(job: JobContext) -> tuple[int, int]:
    record = await queue.get(job.job_id)
    if not record.snoozes:
        raise Snooze(0.05)  # nothing went wrong, and no attempt is used: later, please
    if job.attempt == 1:
        raise RetryAfter(0.05)  # it went wrong, and the other side has said how long to wait
    return job.attempt, record.snoozes


@queue.task(retry=patient, timeout=0.1)
async def dawdle() -> None:
    await anyio.sleep(60)


@queue.task(retry=patient, heartbeat_timeout=0.2, context=True)
async def work(job: JobContext) -> str:
    if job.attempt == 1:
        await anyio.sleep(60)  # silent: it is cancelled, and tried again
    for step in range(5):
        await anyio.sleep(0.1)
        job.progress(current=step + 1, total=5)  # as good as job.heartbeat()
    return "done"


async def failure_of(job) -> JobFailed:
    try:
        await job
    except JobFailed as error:
        print(error)
        return error
    raise AssertionError("it should have failed")


async def main() -> None:
    async with queue:
        assert await fetch.run(3) == "there at attempt 3"

        lost = await failure_of(await fetch.submit(9))
        assert (lost.attempts, lost.reason, lost.type) == (3, Reason.ERROR, "ConnectionError")
        assert isinstance(lost.__cause__, ConnectionError)

        assert (await failure_of(await enter.submit("locked"))).attempts == 1
        assert (await failure_of(await enter.submit("painted"))).attempts == 1

        assert await decide.run() == (2, 1)

        assert (await failure_of(await dawdle.submit())).reason == Reason.TIMEOUT

        job = await work.submit()
        assert await job == "done"
        record = await job.record()
        for attempt in record.attempts:
            print(f"attempt {attempt.number}: {attempt.outcome}", attempt.error.reason if attempt.error else "")
        assert record.attempts[0].error.reason == Reason.HEARTBEAT


anyio.run(main)
