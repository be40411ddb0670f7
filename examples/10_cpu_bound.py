"""Work that needs a core of its own: in worker processes, as many at a time as there are workers."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio

from actorq import JobCancelled, JobContext, JobFailed, JobHandle, JobQueue, Processes, Reason, Retry

queue = JobQueue(workers=2, processes=Processes(ahead=1))


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@queue.task(run_in="process", context=True)
def count_primes(job: JobContext, start: int, stop: int) -> tuple[int, int]:
    """Count, and say in which process. All that a job can say, it can say from there, too."""
    found = 0
    for number in range(start, stop):
        found += is_prime(number)
        if number % 2_000 == 0:
            job.progress(current=number - start, total=stop - start)
    job.log("counted", found=found)
    return found, os.getpid()


@queue.task(run_in="process")
def tidy_up_at_the_end(path: str) -> None:
    """Be interrupted: an exception is raised wherever the function stands, so `finally` runs."""
    try:
        time.sleep(60)
    finally:
        Path(path).write_text("tidied up", encoding="utf-8")


@queue.task(run_in="process", timeout=0.2, grace=0.1, retry=Retry(max_attempts=1))
def never_end() -> None:
    """Refuse to be interrupted. A thread would have to be left behind; a process is killed."""
    while True:
        with suppress(BaseException):  # the worst manners there are
            time.sleep(60)


@queue.task(run_in="process", max_interruptions=1)
def exit_at_once() -> None:
    """Take the whole process down, as foreign code may do. The queue and its other jobs do not notice."""
    os._exit(3)


async def failure_of(job: JobHandle) -> JobFailed | JobCancelled:
    try:
        await job
    except (JobFailed, JobCancelled) as error:
        print(error)
        return error
    raise AssertionError("it should have failed")


async def main() -> None:
    async with queue:
        step = 20_000
        handles = [await count_primes.submit(start, start + step) for start in range(0, 4 * step, step)]
        results = [await handle for handle in handles]
        print(sum(found for found, _ in results), "primes, counted by", len({pid for _, pid in results}), "processes")
        assert sum(found for found, _ in results) == 7_837
        assert os.getpid() not in {pid for _, pid in results}
        record = await handles[-1].record()
        assert (record.progress.value, record.log[0].message) == (1.0, "counted")

        sleeper = await tidy_up_at_the_end.submit("tidied.txt")
        while not (stack := await queue.stack(sleeper.id)).frames:  # noqa: ASYNC110 - its process is being started
            await anyio.sleep(0.01)
        print(stack)
        await sleeper.cancel()
        assert (await failure_of(sleeper)).reason == Reason.CLIENT_REQUEST
        assert await anyio.Path("tidied.txt").read_text() == "tidied up"

        assert (await failure_of(await never_end.submit())).reason == Reason.TIMEOUT
        assert (await failure_of(await exit_at_once.submit())).reason == Reason.BAD_EXIT


if __name__ == "__main__":  # each worker process imports this file to find the functions: it must not run there
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
