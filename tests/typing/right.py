"""Right uses: both checkers accept every line, and agree about the types. Never run."""

# pyright: strict

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from actorq import (
    DeadLetter,
    EventsMissed,
    Explanation,
    Filter,
    JobContext,
    JobEvent,
    JobHandle,
    JobQueue,
    JobRecord,
    JobRequest,
    JobState,
    Outcome,
    QueueStats,
    Retry,
    as_completed,
    gather,
)

queue = JobQueue("var/mail", workers=3, drain_timeout=timedelta(seconds=5))


@queue.task
async def send(to: str, subject: str = "") -> int:
    return len(to + subject)


@queue.task
def hash_file(path: str) -> bytes:
    return path.encode()


@queue.task(name="crawl", retry=Retry(max_attempts=5), timeout=timedelta(minutes=1), priority=3, tags=["a"])
async def crawl(url: str, *, depth: int = 3) -> list[str]:
    return [url] * depth


@queue.task(name="digest", timeout=5)
def digest(data: bytes) -> str:
    return data.hex()


@queue.task(context=True)
async def resize(ctx: JobContext, width: int) -> float:
    ctx.progress(0.5, message="half")
    return width / 2


@queue.task(context=True, grace=1)
def count(ctx: JobContext, *words: str) -> int:
    ctx.log("hello", level="debug", n=1)
    return len(words)


@queue.task
async def nothing() -> None: ...


@queue.task
async def bury(letter: DeadLetter) -> str:
    return letter.job.id


@queue.task(dead_letter=bury, group="red")
async def risky() -> int:
    return 1


@queue.task(dead_letter="bury")
async def risky_too() -> int:
    return 2


class Mailer:
    async def mail(self, to: str) -> int:
        return len(to)

    async def __call__(self, to: str) -> str:
        return to


async def tasks_keep_parameters_and_result() -> None:
    assert_type(await send.submit("ada", subject="hello"), JobHandle[int])
    assert_type(await (await send.submit("ada")), int)
    assert_type(await hash_file.run("x"), bytes)
    assert_type(await crawl.run("x", depth=4), list[str])
    assert_type(await digest.run(b"x"), str)
    assert_type(await nothing.run(), None)
    assert_type(send.submit_nowait("ada"), JobHandle[int])
    assert_type(send.build("ada"), JobRequest[int])
    assert_type(await send.submit_many([send.build("ada"), send.build("bob", "x")]), list[JobHandle[int]])


async def a_context_is_not_among_the_parameters() -> None:
    assert_type(await resize.run(640), float)
    assert_type(await count.run("a", "b"), int)


async def using_keeps_them() -> None:
    later = send.using(delay=5, priority=2, tags={"a": "b"}, run_at=datetime.now(UTC), timeout=None)
    assert_type(await later.run("ada", subject="x"), int)
    assert_type(await resize.using(delay=timedelta(hours=1)).run(3), float)


async def using_names_work_and_groups() -> None:
    keyed = send.using(
        key="k", on_conflict="keep_last", group="red", dead_letter=True, expires=5, deadline=timedelta(1)
    )
    assert_type(await keyed.submit("ada"), JobHandle[int])
    assert_type(keyed.submit_nowait("ada"), JobHandle[int])
    assert_type(await send.using(key=None, group=None, dead_letter=bury).run("ada"), int)


def queues_and_groups_have_options() -> None:
    named = JobQueue("var", name="mail", defaults={"timeout": 5, "retry": Retry(max_attempts=2), "tags": ["a"]})
    named.group("red", limit=3, priority=2, timeout=timedelta(minutes=1), tags={"a": "b"})
    named.group("blue", limit=None)


async def map_yields_results() -> None:
    assert_type(send.map(["a"]), AsyncIterator[int])
    async for n in send.map(["a", "b"]):
        assert_type(n, int)


async def handles_know_their_result() -> None:
    handle = await send.submit("ada")
    assert_type(handle.id, str)
    assert_type(await handle, int)
    assert_type(await handle.result(timeout=3), int)
    assert_type(await handle.wait(), JobState)
    assert_type(await handle.record(), JobRecord)
    assert_type(await handle.cancel("why"), bool)
    wider: JobHandle[float | int] = handle
    assert_type(await queue.handle("id"), Any)
    del wider


async def several_at_once() -> None:
    one, two = await send.submit("ada"), await hash_file.submit("x")
    assert_type(await gather(one, two), tuple[int, bytes])
    assert_type(await gather(one, two, one, two), tuple[int, bytes, int, bytes])
    assert_type(await gather(*[one, one]), tuple[int, ...])
    async for handle in as_completed([one, one]):
        assert_type(handle, JobHandle[int])


async def undecorated_callables() -> None:
    assert_type(await (await queue.submit(Mailer().mail, "ada")), int)
    assert_type(await (await queue.submit(Mailer(), "ada")), str)
    assert_type(await (await queue.submit(len, "ada")), int)


async def the_queue() -> None:
    async with queue as same:
        assert_type(same, JobQueue)
        assert_type(await queue.get("id"), JobRecord | None)
        assert_type(await queue.stats(), QueueStats)
        async with queue.watch("started", where=lambda event: event.task == "send", after=3) as events:
            async for event in events:
                assert_type(event, JobEvent | EventsMissed)
        assert_type(queue.on("failed", lambda event: event.job_id.upper()), Callable[[], None])
        assert_type(queue.on("missed", lambda missed: missed.last + 1), Callable[[], None])
        queue.on("*", hear)


async def verbs_of_one_job() -> None:
    assert_type(await queue.cancel("id"), bool)
    assert_type(await queue.cancel("id", "why", dry_run=True), bool)
    assert_type(await queue.rerun("id"), JobHandle[Any])
    assert_type(await queue.rerun("id", delay=timedelta(hours=1), clone=True), JobHandle[Any])
    await queue.pause("id")
    await queue.resume("id", dry_run=True)
    await queue.promote("id")
    await queue.edit("id", args=("ada",), kwargs={"subject": "x"}, priority=3, delay=5, tags=["a"])
    await queue.remove("id", force=True)
    assert_type(queue.explain("id"), Explanation)


async def verbs_of_all_that_match() -> None:
    late = Filter(state="scheduled", task=send)
    assert_type(await queue.cancel(late), Outcome)
    assert_type(await queue.cancel(late, "why", dry_run=True), Outcome)
    assert_type(await queue.pause(late), Outcome)
    assert_type(await queue.resume(late), Outcome)
    assert_type(await queue.promote(late), Outcome)
    assert_type(await queue.rerun(late, per_second=20, clone=True), Outcome)
    assert_type(await queue.edit(late, priority=3, run_at=datetime.now(UTC)), Outcome)
    assert_type(await queue.remove(late, force=True, dry_run=True), Outcome)
    assert_type((await queue.cancel(late)).touched, int)


async def verbs_of_the_queue() -> None:
    assert_type(await queue.pause_queue(until=datetime.now(UTC), stop=True), bool)
    assert_type(await queue.resume_queue(), bool)
    assert_type(await queue.pause_group("red", until=1e9), bool)
    assert_type(await queue.resume_group("red"), bool)
    await queue.drain()


async def hear(event: JobEvent) -> None:
    assert_type(event.number, int)
