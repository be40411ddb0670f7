"""The watchdog: a blocked event loop is told of while it is blocked, with the job and where it stands.

These tests take place in real time, and block real loops.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import JobContext, JobQueue, QueueClosed, Retry
from actorq.actors.block import BlockLimit
from actorq.actors.spawn import caller
from actorq.actors.watchdog import Watchdog

pytestmark = pytest.mark.real_time

LIMIT_S = 0.2
ONCE = Retry(max_attempts=1)


class Home:
    """One in which something always runs."""

    name = "home"
    queue = None
    is_working = True

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.call_soon = caller()

    def tell(self, command: object) -> None: ...


class Records(logging.Handler):
    """What was logged, and whether that has come."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.threads: list[str | None] = []
        self.come = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "has not turned" in record.msg or "no sign of life" in record.msg:
            self.texts.append(record.getMessage())
            self.threads.append(record.threadName)
            self.come.set()


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logging.getLogger("actorq").addHandler(handler)
    yield handler
    logging.getLogger("actorq").removeHandler(handler)


def watched(**options: float | None) -> JobQueue:
    return JobQueue(name="watched", **({"blocked_after": LIMIT_S} | options))


def block_until(come: threading.Event) -> None:
    """Block, as a function does that awaits nothing, until the watchdog has barked; or time is up."""
    assert come.wait(10)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - a thread does not tell
        await anyio.sleep(0.001)


# -- naming it -------------------------------------------------------------------------------------


async def test_a_job_that_blocks_the_loop_is_named_while_it_does(records: Records):
    async def resize() -> None:
        block_until(records.come)

    async with watched() as queue:
        handle = await queue.task(name="resize")(resize).submit()
        await handle.wait()
    assert "queue watched: the event loop has not turned for 0." in records.texts[0]
    assert f"job {handle.id} (resize)" in records.texts[0]
    assert records.threads == ["actorq watched watchdog"]


async def test_its_stack_begins_with_its_own_frame_and_ends_where_it_blocks(records: Records):
    async def resize() -> None:
        block_until(records.come)

    async with watched() as queue:
        await queue.task(name="resize")(resize).run()
    lines = [line for line in records.texts[0].splitlines() if line.startswith("  File")]
    assert lines[0].endswith("<locals>.resize")
    assert "in block_until" in lines[1]


async def test_nothing_is_told_of_local_variables(records: Records):
    async def resize() -> None:
        password = f"hunter{1 + 1}"
        block_until(records.come)
        del password

    async with watched() as queue:
        await queue.task(name="resize")(resize).run()
    assert "hunter2" not in records.texts[0]


async def test_a_plain_function_on_the_loop_is_named_too(records: Records):
    async with watched() as queue:
        task = queue.task(name="plain", run_in="loop")(lambda: block_until(records.come))
        handle = await task.submit()
        await handle.wait()
    assert f"job {handle.id} (plain)" in records.texts[0]


async def test_a_task_that_the_job_has_begun_is_the_jobs(records: Records):
    async def child() -> None:
        await checkpoint()
        block_until(records.come)

    async def parent() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)

    async with watched() as queue:
        handle = await queue.task(name="parent")(parent).submit()
        await handle.wait()
    assert f"job {handle.id} (parent)" in records.texts[0]
    assert next(line for line in records.texts[0].splitlines() if "File" in line).endswith("<locals>.child")


@pytest.mark.asyncio_only
async def test_a_callback_that_the_job_has_left_behind_is_the_jobs(records: Records):
    async def leave() -> None:
        asyncio.get_running_loop().call_soon(block_until, records.come)

    async with watched() as queue:
        handle = await queue.task(name="leave")(leave).submit()
        waiting = await queue.task(name="waits")(anyio.sleep_forever).submit()
        await until(records.come.is_set)
        await waiting.cancel()
    assert f"job {handle.id} (leave)" in records.texts[0]


async def test_what_is_no_jobs_is_told_without_a_job(records: Records):
    async with watched() as queue:
        handle = await queue.task(name="waits")(anyio.sleep_forever).submit()
        await checkpoint()
        block_until(records.come)
        await handle.cancel()
    assert "held up by what is no job of this queue" in records.texts[0]
    assert "in block_until" in records.texts[0]


async def test_a_job_of_another_queue_is_not_taken_for_ones_own(records: Records):
    async with watched() as queue, JobQueue(name="other", blocked_after=None) as other:
        handle = await queue.task(name="waits")(anyio.sleep_forever).submit()
        await other.task(name="block")(_blocker(records)).run()
        await handle.cancel()
    assert "held up by what is no job of this queue" in records.texts[0]


async def test_a_function_that_holds_the_interpreters_lock_is_named_when_it_lets_go(records: Records):
    n = _number_that_takes(0.6)  # much more than it may be: a guess

    async def add() -> None:
        sum(range(n))

    async with watched(blocked_after=0.1) as queue:
        task, ids = queue.task(name="add")(add), list[str]()
        with anyio.fail_after(60):
            while not (records.texts and any(f"job {job_id} (add)" in records.texts[-1] for job_id in ids)):
                handle = await task.submit()
                ids.append(handle.id)
                await handle.wait()
                await until(lambda: not _watchdog(queue)._is_awake)  # the loop may have had the lock before it had


# -- telling it ------------------------------------------------------------------------------------


async def test_one_block_is_told_once(records: Records):
    async def block() -> None:
        block_until(records.come)
        time.sleep(2 * LIMIT_S)  # noqa: ASYNC251 - the crime itself

    async with watched() as queue:
        handle = await queue.task(name="block")(block).submit()
        await handle.wait()
        await until(lambda: _watchdog(queue).blocks > 0)
    assert len([text for text in records.texts if handle.id in text]) == 1


async def test_each_of_several_blocks_is_told(records: Records):
    async def block() -> None:
        for number in range(3):
            await until(lambda: _watchdog(queue).blocks == number)  # noqa: B023 - it is asked at once
            records.come.clear()
            block_until(records.come)

    async with watched() as queue:
        handle = await queue.task(name="block")(block).submit()
        await handle.wait()
    assert len([text for text in records.texts if handle.id in text]) == 3


async def test_when_it_turns_again_an_event_tells_who_and_for_how_long(records: Records):
    async with watched() as queue, queue.watch() as events:
        handle = await queue.task(name="block")(_blocker(records)).submit()
        async for event in events:
            if event.name == "loop_blocked":
                break
    assert (event.job_id, event.task) == (handle.id, "block")
    assert event.fact.seconds > LIMIT_S
    assert "in block_until" in event.fact.stack


async def test_the_stats_count_blocks_and_their_seconds(records: Records):
    async with watched() as queue:
        assert ((await queue.stats()).loop_blocks, (await queue.stats()).loop_blocked_s) == (0, 0.0)
        await queue.task(name="block")(_blocker(records)).run()
        await until(lambda: _watchdog(queue).blocks > 0)
        stats = await queue.stats()
    assert stats.loop_blocks == 1
    assert stats.loop_blocked_s > LIMIT_S


async def test_a_queue_that_has_stopped_meanwhile_need_not_hear_of_it(records: Records):
    class Stopped(Home):
        def tell(self, command: object) -> None:
            told.append(command)
            raise QueueClosed("home", "closed")

    told: list[object] = []
    dog = Watchdog(Stopped(), BlockLimit(LIMIT_S))
    dog.look()
    block_until(records.come)
    await until(lambda: bool(told))
    dog.stop()


# -- not telling it --------------------------------------------------------------------------------


async def test_a_job_that_waits_or_works_in_a_thread_blocks_nothing(records: Records):
    may_end = threading.Event()
    async with watched(blocked_after=1.0) as queue:
        waiting = await queue.task(name="waits")(anyio.sleep_forever).submit()
        working = await queue.task(name="works")(may_end.wait).submit()
        await anyio.sleep(1.2)
        may_end.set()
        await working.wait()
        await waiting.cancel()
    assert records.texts == []


async def test_many_short_steps_are_no_block(records: Records):
    async def work() -> None:
        end_at = time.monotonic() + 1.2
        while time.monotonic() < end_at:
            await checkpoint()

    async with watched(blocked_after=1.0) as queue:
        await queue.task(name="work")(work).run()
    assert records.texts == []


async def test_a_queue_that_is_told_not_to_watch_does_not():
    async with watched(blocked_after=None) as queue:
        await queue.task(name="work")(checkpoint).run()
        assert _watchdog(queue)._thread is None


# -- its thread ------------------------------------------------------------------------------------


async def test_there_is_no_thread_before_something_runs():
    async with watched() as queue:
        assert _watchdog(queue)._thread is None
        await queue.task(name="work")(checkpoint).run()
        assert _watchdog(queue)._thread.is_alive()


async def test_the_thread_ends_with_the_queue():
    async with watched() as queue:
        await queue.task(name="work")(checkpoint).run()
        thread = _watchdog(queue)._thread
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.asyncio_only
def test_the_thread_ends_with_its_loop():
    async def leave_open() -> threading.Thread:
        queue = await watched().__aenter__()
        await queue.task(name="waits")(anyio.sleep_forever).submit()
        await until(lambda: _watchdog(queue)._thread is not None)
        return _watchdog(queue)._thread

    thread = asyncio.run(leave_open())
    thread.join(10)
    assert not thread.is_alive()


async def test_it_sleeps_while_nothing_runs_and_wakes_with_the_next_run(records: Records):
    async with watched() as queue:
        dog = _watchdog(queue)
        await queue.task(name="work")(checkpoint).run()
        await until(lambda: not dog._is_awake)
        looks = _count_looks(dog)
        await anyio.sleep(3 * LIMIT_S)
        assert looks() == 0
        await queue.task(name="block")(_blocker(records)).run()
    assert records.texts != []


async def test_a_loop_that_only_waits_is_not_woken():
    async with watched() as queue:
        asked = 0
        dog = _watchdog(queue)
        call_soon = queue._house.supervisor.call_soon

        def count(fn: Callable[[], None]) -> object:
            nonlocal asked
            asked += 1
            return call_soon(fn)

        handle = await queue.task(name="waits")(anyio.sleep_forever).submit()
        await checkpoint()
        queue._house.supervisor.call_soon = count
        looks = _count_looks(dog)
        await anyio.sleep(3 * LIMIT_S)
        assert asked <= 1 < looks()  # it may have come by just when this test was in its step
        await handle.cancel()


async def test_a_run_that_begins_while_it_falls_asleep_is_not_missed():
    class Begins(Home):
        """A run begins just after it was found that there is none, and sees somebody awake."""

        asked = 0

        @property
        def is_working(self) -> bool:
            self.asked += 1
            return self.asked > 1

    dog = Watchdog(Begins(), BlockLimit(LIMIT_S))
    looks = _count_looks(dog)
    dog.look()
    with anyio.fail_after(10):
        await until(lambda: looks() > 3)
    dog.stop()


# -- a block is not the other jobs' fault ----------------------------------------------------------


async def test_a_blocked_loop_lets_no_healthy_job_stall():
    is_over = threading.Event()

    async def beat(ctx: JobContext) -> None:
        while not is_over.is_set():
            ctx.heartbeat()
            await anyio.sleep(0.01)

    def beat_in_thread(ctx: JobContext) -> None:
        while not is_over.wait(0.01):
            ctx.heartbeat()

    async def block() -> None:
        for moment_s in (0.0, 0.02, 0.0, 0.02):
            time.sleep(0.75)  # noqa: ASYNC251 - the others' silence would be too long by half
            await anyio.sleep(moment_s)
        is_over.set()

    async with JobQueue() as queue:
        beating = queue.task(name="beat", context=True, heartbeat_timeout=0.5, retry=ONCE)
        handles = [await beating(beat).submit()]
        threaded = queue.task(name="beat in thread", context=True, heartbeat_timeout=0.5, retry=ONCE)
        handles.append(await threaded(beat_in_thread).submit())
        await anyio.sleep(0.05)
        await queue.task(name="block")(block).run()
        assert [await handle.result() for handle in handles] == [None, None]


async def test_after_a_block_a_silent_job_is_still_found(records: Records):
    async with watched() as queue:
        silent = await queue.task(name="silent", heartbeat_timeout=0.2, retry=ONCE)(anyio.sleep_forever).submit()
        await queue.task(name="block")(_blocker(records)).run()
        await silent.wait()
        assert (await silent.record()).error.reason == "heartbeat"


async def test_a_silent_job_is_told_with_where_it_stands(records: Records):
    async def wait() -> None:
        await anyio.sleep_forever()

    async with watched(blocked_after=None) as queue:
        handle = await queue.task(name="silent", heartbeat_timeout=0.05, retry=ONCE)(wait).submit()
        await handle.wait()
    assert f"queue watched: job {handle.id} (silent) has given no sign of life for 0.05 s" in records.texts[0]
    assert "<locals>.wait\n    await anyio.sleep_forever()" in records.texts[0]
    assert records.texts[0].endswith("It waits in anyio.sleep_forever().")


# -- fixtures of a kind ----------------------------------------------------------------------------


def _blocker(records: Records) -> Callable[[], object]:
    async def block() -> None:
        block_until(records.come)

    return block


def _number_that_takes(seconds: float) -> int:
    """Return about how many numbers it takes so long to add in one call, which lets no other thread run."""
    n = 2_000_000
    began_at = time.monotonic()
    sum(range(n))
    return int(n * seconds / (time.monotonic() - began_at))


def _watchdog(queue: JobQueue) -> Watchdog:
    return queue._house.supervisor.watchdog


def _count_looks(dog: Watchdog) -> Callable[[], int]:
    """Count how often it looks from here on."""
    looks = 0
    inspect = dog._inspect

    @functools.wraps(inspect)
    def counting(limit: float, due_at: float) -> None:
        nonlocal looks
        looks += 1
        inspect(limit, due_at)

    dog._inspect = counting
    return lambda: looks
