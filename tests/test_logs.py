"""What the code in a job writes to the log stands in the job's own log; nothing else does, and nobody is disturbed."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import anyio
import anyio.to_thread
import pytest

from actorq import JobContext, JobLogHandler, JobQueue, LogLine, Retry
from actorq.config import JOB_LOG_LIMIT, TEXT_LIMIT

app = logging.getLogger("app.mail")
ONCE = Retry(max_attempts=1)


@pytest.fixture(autouse=True)
def handler() -> Iterator[JobLogHandler]:
    """Attach it as an application would, and say so if it raises."""
    handler = JobLogHandler()
    logging.getLogger().addHandler(handler)
    app.setLevel(logging.DEBUG)
    yield handler
    logging.getLogger().removeHandler(handler)
    app.setLevel(logging.NOTSET)


async def log_of(fn: Callable[[], Any]) -> tuple[LogLine, ...]:
    async with JobQueue() as queue:
        handle = await queue.submit(fn)
        await handle.wait()
        return (await handle.record()).log


async def test_a_record_becomes_a_line_with_level_message_logger_and_place():
    async def work() -> None:
        app.warning("%d letters for %s", 3, "Ada")

    (line,) = await log_of(work)
    assert (line.level, line.message) == ("warning", "3 letters for Ada")
    assert line.data["logger"] == "app.mail"
    assert line.data["where"].startswith("test_logs.py:")
    assert line.data["where"].endswith(" work")


async def test_records_below_the_level_of_the_handler_are_left_out(handler: JobLogHandler):
    async def work() -> None:
        app.debug("never mind")
        app.info("well")

    assert [line.message for line in await log_of(work)] == ["well"]
    handler.setLevel("DEBUG")
    assert [line.message for line in await log_of(work)] == ["never mind", "well"]


@pytest.mark.parametrize(
    ("number", "word"),
    [(20, "info"), (25, "info"), (30, "warning"), (40, "error"), (50, "critical"), (99, "critical"), (5, "debug")],
)
async def test_a_level_is_told_by_the_standard_word_at_or_below_it(number: int, word: str, handler: JobLogHandler):
    handler.setLevel(1)
    app.setLevel(1)

    async def work() -> None:
        app.log(number, "x")

    assert [line.level for line in await log_of(work)] == [word]


async def test_extra_fields_that_are_json_go_into_the_data():
    async def work() -> None:
        app.info("x", extra={"user": "ada", "sizes": [1, 2], "lock": threading.Lock(), "logger": "mine"})

    (line,) = await log_of(work)
    assert {name: line.data[name] for name in line.data if name != "where"} == {
        "logger": "app.mail",
        "user": "ada",
        "sizes": [1, 2],
    }


async def test_extra_fields_for_which_there_is_no_room_are_left_out():
    async def work() -> None:
        app.info("x", extra={"long": "y" * TEXT_LIMIT, "short": 1})

    (line,) = await log_of(work)
    assert line.data["short"] == 1
    assert "long" not in line.data


async def test_the_text_of_an_exception_is_part_of_the_message():
    async def work() -> None:
        try:
            int("no stamp")
        except ValueError:
            app.exception("not sent")

    (line,) = await log_of(work)
    assert line.level == "error"
    assert line.message.startswith("not sent\nTraceback")
    assert line.message.endswith("'no stamp'")


async def test_a_long_message_is_cut_in_its_middle_to_the_bound_of_a_line():
    async def work() -> None:
        app.info("a" * TEXT_LIMIT + "z")

    (line,) = await log_of(work)
    assert len(line.message) == TEXT_LIMIT
    assert line.message.startswith("aaa")
    assert line.message.endswith("aaz")


async def test_a_formatter_is_heeded(handler: JobLogHandler):
    handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))

    async def work() -> None:
        app.info("x")

    assert [line.message for line in await log_of(work)] == ["[app.mail] x"]


async def test_a_filter_is_heeded(handler: JobLogHandler):
    handler.addFilter(lambda record: "secret" not in record.getMessage())

    async def work() -> None:
        app.info("a secret")
        app.info("no more")

    assert [line.message for line in await log_of(work)] == ["no more"]


# ── whose records ────────────────────────────────────────────────────────────────────────────────


async def test_outside_of_a_job_nothing_happens():
    async def work() -> None:
        await anyio.sleep(1)

    async with JobQueue() as queue:
        handle = await queue.submit(work)
        app.info("not mine")
        await handle
        assert (await handle.record()).log == ()


async def test_jobs_side_by_side_have_each_their_own_lines():
    async def work(n: int) -> None:
        for _ in range(3):
            app.info("of %d", n)
            await anyio.sleep(1)

    async with JobQueue() as queue:
        handles = [await queue.submit(work, n) for n in range(5)]
        await queue.join()
        logs = [(await handle.record()).log for handle in handles]
    assert [[line.message for line in log] for log in logs] == [[f"of {n}"] * 3 for n in range(5)]


async def test_child_tasks_belong_to_the_job():
    async def child() -> None:
        app.info("from a child")

    async def work() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)

    assert [line.message for line in await log_of(work)] == ["from a child"]


async def test_threads_belong_to_the_job_and_their_lines_keep_their_order_with_those_of_the_context():
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        def work(ctx: JobContext) -> None:
            for n in range(20):
                app.info("%d", n)
                if n % 5 == 4:
                    ctx.log("and")

        handle = await work.submit()
        await handle
        messages = [line.message for line in (await handle.record()).log]
    expected: list[str] = []
    for n in range(20):
        expected += [str(n), "and"] if n % 5 == 4 else [str(n)]
    assert messages == expected


async def test_a_thread_within_a_job_belongs_to_it():
    async def work() -> None:
        await anyio.to_thread.run_sync(app.info, "from a thread")

    assert [line.message for line in await log_of(work)] == ["from a thread"]


async def test_what_a_thread_says_at_once_is_bounded_by_what_the_job_keeps():
    def work() -> None:
        for n in range(20_000):
            app.info("%d", n)

    messages = [line.message for line in await log_of(work)]
    assert messages == [str(n) for n in range(20_000 - JOB_LOG_LIMIT, 20_000)]


async def test_a_thread_that_the_loop_waits_for_may_log():
    def chatter() -> None:
        for _ in range(10):
            app.info("from a thread")

    async def work() -> None:
        thread = threading.Thread(target=copy_context().run, args=(chatter,))
        thread.start()
        thread.join()
        app.info("from the loop")
        await anyio.sleep(0.01)

    messages = [line.message for line in await log_of(work)]
    assert sorted(messages) == ["from a thread"] * 10 + ["from the loop"]


async def test_records_of_actorq_itself_are_left_out():
    async def work() -> None:
        logging.getLogger("actorq").warning("about the queue")
        logging.getLogger("actorq.inner").warning("about the queue")
        logging.getLogger("actorqueue").warning("about something else")

    assert [line.message for line in await log_of(work)] == ["about something else"]


async def test_a_record_that_comes_after_the_end_of_the_job_changes_nothing():
    left: list[Callable[[], None]] = []

    async def work() -> None:
        context = copy_context()
        left.append(lambda: context.run(app.info, "too late"))

    async with JobQueue() as queue:
        handle = await queue.submit(work)
        await handle
        last = (await queue.stats()).last_fact
        left[0]()
        await anyio.to_thread.run_sync(left[0])
        await anyio.sleep(1)
        assert (await queue.stats()).last_fact == last
        assert (await handle.record()).log == ()


@pytest.mark.asyncio_only
async def test_a_task_that_outlives_its_job_logs_in_vain():
    tasks: list[asyncio.Task[None]] = []

    async def late() -> None:
        await asyncio.sleep(1)
        app.info("too late")

    async def work() -> None:
        tasks.append(asyncio.create_task(late()))

    async with JobQueue() as queue:
        handle = await queue.submit(work)
        await handle
        await tasks[0]
        assert (await handle.record()).log == ()


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────


class Unspeakable:
    def __str__(self) -> str:
        raise KeyError("no words")


@pytest.mark.parametrize("message", [Unspeakable(), ("%d", "x"), ("%s %s", 1)], ids=["str", "type", "count"])
async def test_a_record_that_cannot_be_told_disturbs_nobody(message: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    for other in logging.getLogger().handlers:  # those of pytest raise
        if not isinstance(other, JobLogHandler):
            monkeypatch.setattr(other, "emit", lambda record: None)

    async def work() -> None:
        app.info(*message) if isinstance(message, tuple) else app.info(message)
        app.info("but this")

    assert [line.message for line in await log_of(work)] == ["but this"]


async def test_text_that_is_no_unicode_is_kept_as_well_as_can_be():
    async def work() -> None:
        app.info("a file \udcff", extra={"name\udcff": 1, "path": "\udcff"})

    (line,) = await log_of(work)
    assert line.message.startswith("a file ")
    assert set(line.data) == {"logger", "where"}


async def test_lines_that_were_caught_outlive_the_process(tmp_path: Any):
    queue = JobQueue(tmp_path)

    @queue.task(name="work")
    async def work() -> None:
        app.info("kept \udcff", extra={"n": 1})

    async with queue:
        handle = await work.submit()
        await handle
    async with queue:
        (line,) = (await queue.handle(handle.id).record()).log
    assert line.message.startswith("kept ")
    assert line.data["n"] == 1


async def test_records_are_no_trouble_when_the_queue_has_stopped():
    async def work() -> None:
        try:
            await anyio.sleep(100)
        finally:
            app.info("going home")

    queue = JobQueue(drain_timeout=0)
    async with queue:
        handle = await queue.submit(work)
        await anyio.sleep(1)
    del handle
