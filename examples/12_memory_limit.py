"""A job that eats memory is killed before the machine has none left, and the others go on."""

import subprocess
import sys

import anyio

from actorq import JobFailed, JobHandle, JobQueue, Reason, Retry

queue = JobQueue(workers=2)

MIB = 1024 * 1024
once = Retry(max_attempts=1)


@queue.task(run_in="process", memory_mb=200, retry=once)
def load(mib: int) -> int:
    data = bytearray(mib * MIB)
    while len(data) > 100 * MIB:
        pass  # hold it, and compute
    return len(data) // MIB


@queue.task(run_in="process", memory_mb=200, retry=once)
def convert(mib: int) -> None:
    """Let another program do the work: what it holds counts, too."""
    program = f"data = bytearray({mib * MIB})\nwhile True: pass"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own interpreter


async def failure_of(job: JobHandle) -> JobFailed:
    try:
        await job
    except JobFailed as error:
        print(error)
        return error
    raise AssertionError("it should have failed")


async def main() -> None:
    async with queue:
        small = await load.submit(20)
        for task in (load, convert):
            assert (await failure_of(await task.submit(400))).reason == Reason.KILLED
        assert await small == 20


if __name__ == "__main__":  # each worker process imports this file to find the functions: it must not run there
    anyio.run(main)
