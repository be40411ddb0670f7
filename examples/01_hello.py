"""Submit a job, await its result."""

import anyio

from actorq import JobQueue

queue = JobQueue()  # JobQueue("var/hello") would keep its jobs in that directory


@queue.task
async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def main() -> None:
    async with queue:
        job = await greet.submit("Ada")
        greeting = await job
        print(greeting)
        assert greeting == "Hello, Ada!"

        assert await greet("Grace") == "Hello, Grace!"  # called as ever: no queue


anyio.run(main)
