"""Wrong uses: each marked line is an error for both checkers, and no other line is. Never run."""

# pyright: strict

from actorq import Filter, JobContext, JobHandle, JobQueue, Outcome, Retry

queue = JobQueue()
JobQueue(worker=3)  # error
JobQueue(durability="often")  # error
JobQueue(defaults={"delay": 5})  # error
queue.group("red", limit="two")  # error
queue.group("red", key="k")  # error


@queue.task
async def send(to: str, subject: str = "") -> int:
    return len(to + subject)


@queue.task
def digest(data: bytes) -> str:
    return data.hex()


@queue.task(context=True)
async def resize(ctx: JobContext, width: int) -> float:
    return width / 2


queue.task(prio=3)  # error
queue.task(timeout="long")  # error
queue.task(retry=3)  # error
queue.task(delay=5)  # error


async def wrong_arguments() -> None:
    await send.submit()  # error
    await send.submit(5)  # error
    await send.submit("ada", "x", "y")  # error
    await send.submit("ada", topic="x")  # error
    await send.run(b"ada")  # error
    send.submit_nowait("ada", subject=3)  # error
    send.build(to=3)  # error
    await digest.submit("text")  # error


async def a_context_is_given_by_the_queue(ctx: JobContext) -> None:
    await resize.submit(ctx, 3)  # error
    await resize.submit("3")  # error


async def options_are_no_arguments() -> None:
    await send.submit("ada", delay=5)  # error
    await send.using(delay=5).submit(5)  # error
    send.using(dely=5)  # error
    send.using(priority="high")  # error
    send.using(retry=Retry(max_attempt=3))  # error
    send.using(key=5)  # error
    send.using(on_conflict="ignore")  # error
    send.using(group=3)  # error
    send.using(dead_letter=5)  # error
    await send.submit("ada", key="k")  # error


async def wrong_results() -> None:
    text: str = await send.run("ada")  # error
    handle: JobHandle[str] = await send.submit("ada")  # error
    number: int = await (await digest.submit(b""))  # error
    async for word in send.map(["a"]):
        word.upper()  # error
    await send.submit_many([digest.build(b"")])  # error
    del text, handle, number


async def undecorated_callables() -> None:
    await queue.submit(len)  # error
    await queue.submit(len, 5)  # error
    wrong: str = await (await queue.submit(len, "ada"))  # error
    del wrong


async def verbs() -> None:
    done: Outcome = await queue.cancel("id")  # error
    said: bool = await queue.cancel(Filter())  # error
    handle: JobHandle[int] = await queue.rerun(Filter())  # error
    await queue.cancel(5)  # error
    await queue.rerun("id", per_second=3)  # error
    await queue.edit(Filter(), args=(1,))  # error
    await queue.edit("id", key="k")  # error
    await queue.edit("id", prio=3)  # error
    await queue.remove("id", "force")  # error
    await queue.pause_queue(until="tomorrow")  # error
    del done, said, handle


async def not_awaited() -> None:
    handle = await send.submit("ada")
    handle + 1  # error
    handle.result().upper()  # error
