"""Events: watch a job's progress, be called when something fails, catch what a job logs, and read the figures."""

import logging

import anyio

from actorq import EventsMissed, JobContext, JobEvent, JobLogHandler, JobQueue, Retry

log = logging.getLogger("copier")
log.setLevel(logging.INFO)
log.addHandler(JobLogHandler())  # what jobs write to this logger stands in their own logs, too

queue = JobQueue(workers=3)
failures: list[str] = []


@queue.task(context=True)
async def copy(job: JobContext, files: int) -> int:
    for done in range(1, files + 1):
        await anyio.sleep(0.001)
        log.info("file %d", done, extra={"file": done})
        job.progress(current=done, total=files, message=f"file {done} of {files}")
    return files


@queue.task(retry=Retry(max_attempts=2, delay=0.01))
async def burn() -> None:
    raise OSError("no disc")


async def note(event: JobEvent) -> None:
    """Note a failure. A callback of its own task: it may take its time."""
    record = await queue.get(event.job_id)
    failures.append(f"{record.error.message}, in attempt {record.error.attempt}")


async def main() -> None:
    queue.on("failed", note)  # before it is opened, or later
    queue.on("idle", lambda event: print(f"nothing to do behind event {event.number}"))
    async with queue:
        job = await copy.submit(500)
        told = 0
        async with job.watch("progressed", after=0) as events:  # until the job has ended
            async for event in events:
                if isinstance(event, EventsMissed):
                    continue
                told += 1
                print(f"{event.fact.progress.value:6.1%}  {event.fact.progress.message}")
        assert await job == 500
        assert 1 <= told < 500  # at most ten times a second

        lines = (await job.record()).log
        assert lines[-1].message == "file 500"
        assert lines[-1].data["file"] == 500

        await burn.submit()
        await queue.join()
        stats = await queue.stats()
        hour = stats.last_hour
        print(f"{hour.run.count} attempts: half took up to {hour.run.p50:.3f} s, the longest {hour.run.max:.3f} s")
        assert (hour.counts["succeeded"], hour.counts["retry_scheduled"], hour.counts["failed"]) == (1, 1, 1)
        assert hour.run.count == 3
    assert failures == ["no disc, in attempt 2"]  # what had happened was delivered before the queue was closed


anyio.run(main)
