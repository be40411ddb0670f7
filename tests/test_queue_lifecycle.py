"""Opening and closing: in any order, from any task, whatever the jobs do, and within its bounds."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import fastapi
import litestar
import litestar.testing
import pytest
import starlette.requests
from aiohttp import ClientSession, web
from anyio.lowlevel import checkpoint
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from actorq import (
    InternalError,
    InvalidState,
    JobCancelled,
    JobFailed,
    JobHandle,
    JobQueue,
    JobState,
    QueueClosed,
    Reason,
    RestartBudget,
    Retry,
    StoreLocked,
    WorkersKeepDying,
)
from actorq.config import HURRY_S
from actorq.core import commands as c
from actorq.store.files import DiskFiles

ONCE = Retry(max_attempts=1)


def sleeper(queue: JobQueue) -> Any:
    @queue.task(name="nap", retry=ONCE)
    async def nap(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    return nap


def deaf(queue: JobQueue, **options: Any) -> Any:
    """Declare a task whose job ignores cancellation, and does not burn a core over it."""

    @queue.task(name="deaf", retry=ONCE, **options)
    async def deaf(seconds: float) -> float:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(seconds)
        return seconds

    return deaf


# -- in and out ------------------------------------------------------------------------------------


async def test_queue_is_open_inside_the_block_and_closed_behind_it() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    async with queue as entered:
        assert entered is queue
        assert await nap.run(1.0) == 1.0
    with pytest.raises(QueueClosed):
        await queue.stats()


async def test_empty_queue_closes_at_once(tmp_path: Path) -> None:
    before = anyio.current_time()
    async with JobQueue(tmp_path):
        pass
    assert anyio.current_time() - before < 0.01


async def test_queue_is_entered_and_left_in_different_tasks() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.__aenter__)
    async with anyio.create_task_group() as group:
        group.start_soon(nap.run, 1.0)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.__aexit__, None, None, None)
    with pytest.raises(QueueClosed):
        await nap.submit(1.0)


async def test_task_that_opened_the_queue_may_end_before_its_jobs() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    handles: list[JobHandle[float]] = []

    async def open_and_submit() -> None:
        await queue.__aenter__()
        handles.append(await nap.submit(5.0))

    async with anyio.create_task_group() as group:
        group.start_soon(open_and_submit)
    assert await handles[0] == 5.0
    await queue.close()


async def test_cancel_scope_around_the_opening_does_not_reach_the_jobs() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    with anyio.CancelScope() as scope:
        await queue.__aenter__()
        handle = await nap.submit(5.0)
        scope.cancel()
        await checkpoint()
    assert await handle == 5.0
    await queue.close()


@pytest.mark.parametrize("when", ["not open yet", "closed"])
async def test_closed_queue_refuses_everything_and_says_when(when: str) -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    if when == "closed":
        async with queue:
            pass

    async def plain() -> None: ...

    for refused in (
        lambda: nap.submit(1.0),
        lambda: nap.run(1.0),
        lambda: nap.submit_many([nap.build(1.0)]),
        lambda: queue.submit(plain),
        lambda: queue.get("x"),
        lambda: queue.cancel("x"),
        lambda: queue.rerun("x"),
        lambda: queue.set_workers(3),
        queue.stats,
        queue.join,
        queue.snapshot,
        lambda: queue.handle("x").result(),
    ):
        with pytest.raises(QueueClosed) as caught:
            await refused()
        assert caught.value.when == when
    with pytest.raises(QueueClosed):
        nap.submit_nowait(1.0)
    with pytest.raises(QueueClosed):
        async with queue.watch():
            pass


async def test_second_opening_is_refused_and_does_not_hurt_the_first() -> None:
    async with JobQueue() as queue:
        with pytest.raises(QueueClosed, match="open already"):
            async with queue:
                pass
        assert await sleeper(queue).run(1.0) == 1.0


async def test_opening_twice_at_the_same_time_lets_one_in(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    outcomes = []

    async def enter() -> None:
        try:
            await queue.__aenter__()
            outcomes.append("open")
        except QueueClosed as refused:
            outcomes.append(refused.when)

    async with anyio.create_task_group() as group:
        group.start_soon(enter)
        group.start_soon(enter)
    assert sorted(outcomes) == ["open", "open already; a queue is opened once at a time"]
    await queue.close()


async def test_closing_twice_does_nothing_more() -> None:
    queue = JobQueue()
    async with queue:
        await queue.close()
        await queue.close()
    await queue.close()


async def test_closing_what_was_never_open_does_nothing() -> None:
    await JobQueue().close()


async def test_two_tasks_that_close_both_return_when_it_is_closed() -> None:
    queue = JobQueue(drain_timeout=5, grace=1)
    nap = sleeper(queue)
    await queue.__aenter__()
    await nap.submit(3.0)
    await checkpoint()
    before = anyio.current_time()
    ends = []

    async def close() -> None:
        await queue.close()
        ends.append(round(anyio.current_time() - before, 3))
        with pytest.raises(QueueClosed):
            await queue.stats()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        group.start_soon(close)
    assert ends == [3.0, 3.0]


async def test_queue_that_was_closed_may_be_opened_again() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    for _ in range(3):
        async with queue:
            assert await nap.run(1.0) == 1.0
            assert (await queue.stats()).submitted == 1


async def test_two_queues_in_one_process_know_nothing_of_each_other() -> None:
    async with JobQueue(name="one") as one, JobQueue(name="two") as two:
        first, second = sleeper(one), sleeper(two)
        handle = await first.submit(1.0)
        assert await second.run(2.0) == 2.0
        assert await handle == 1.0
        assert await two.get(handle.id) is None
        await one.close()
        assert await second.run(2.0) == 2.0


async def test_second_queue_on_a_directory_is_refused_and_told_who_owns_it(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as owner:
        with pytest.raises(StoreLocked) as caught:
            await JobQueue(tmp_path).__aenter__()
        assert f"pid {os.getpid()}" in caught.value.owner
        assert await sleeper(owner).run(1.0) == 1.0
    async with JobQueue(tmp_path):
        pass


async def test_exception_in_the_body_goes_on_and_the_queue_is_closed() -> None:
    queue = JobQueue(drain_timeout=5)
    nap = sleeper(queue)
    handles = []
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with queue:
            handles.append(await nap.submit(1.0))
            raise ZeroDivisionError
    with pytest.raises(QueueClosed):
        await nap.submit(1.0)
    await queue.__aenter__()
    await queue.close()


async def test_cancelled_opening_leaves_the_directory_free(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await JobQueue(tmp_path).__aenter__()
    async with JobQueue(tmp_path):
        pass


class SlowFiles(DiskFiles):
    """Take their time over the lock, once it is theirs."""

    def lock(self) -> None:
        super().lock()
        time.sleep(0.1)


@pytest.mark.real_time
@pytest.mark.parametrize("after", [0.0, 0.05, 0.15])
@pytest.mark.asyncio_only
async def test_opening_that_is_cancelled_by_asyncio_leaves_the_directory_free(tmp_path: Path, after: float) -> None:
    queue = JobQueue(files=SlowFiles(tmp_path))
    task = asyncio.create_task(queue.__aenter__())
    await asyncio.sleep(after)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.2)
    await queue.close()
    async with JobQueue(tmp_path) as second:
        assert await sleeper(second).run(0.0) == 0.0
    async with queue:
        pass


# -- closing while jobs run ------------------------------------------------------------------------


async def test_closing_lets_running_jobs_finish() -> None:
    async with JobQueue(drain_timeout=5) as queue:
        handle = await sleeper(queue).submit(3.0)
        await checkpoint()
        supervisor = queue._house.supervisor
        before = anyio.current_time()
    assert anyio.current_time() - before == pytest.approx(3)
    assert supervisor.job(handle.id).state is JobState.SUCCEEDED


async def test_closing_starts_nothing_more() -> None:
    async with JobQueue(workers=1, drain_timeout=5) as queue:
        nap = sleeper(queue)
        await nap.submit(3.0)
        handle = await nap.submit(3.0)
        supervisor = queue._house.supervisor
    assert supervisor.job(handle.id).state is JobState.QUEUED


async def test_closing_takes_no_more_jobs_while_it_drains() -> None:
    queue = JobQueue(drain_timeout=5)
    nap = sleeper(queue)
    seen = []

    @queue.task(name="late")
    async def late() -> None:
        await anyio.sleep(2)
        try:
            await nap.submit(1.0)
        except QueueClosed as closed:
            seen.append(closed.when)

    async with queue:
        await late.submit()
        await checkpoint()
    assert seen == ["closing"]


async def test_those_who_wait_for_room_hear_that_the_queue_closes() -> None:
    queue = JobQueue(max_pending=1, drain_timeout=5)
    nap = sleeper(queue)
    seen = []

    async def stand_in_line() -> None:
        try:
            await nap.submit(1.0)
        except QueueClosed as closed:
            seen.append(closed.when)

    async with anyio.create_task_group() as group, queue:
        await nap.submit(100.0)
        group.start_soon(stand_in_line)
        await anyio.sleep(1)
    assert seen in (["closing"], ["closed"])


async def test_shutdown_tells_the_job_its_reason_and_does_not_use_its_attempt(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, drain_timeout=1, grace=1)
    seen = []

    @queue.task(name="work", retry=ONCE, context=True)
    async def work(ctx: Any) -> int:
        try:
            await anyio.sleep(10 if not seen else 0)
        finally:
            seen.append((ctx.cancel_reason, ctx.attempt, ctx.claim))
        return ctx.attempt

    async with queue:
        handle = await work.submit()
        await checkpoint()
    async with queue:
        assert await handle == 1
        record = await handle.record()
    assert seen == [(Reason.SHUTDOWN, 1, 1), (None, 1, 2)]
    assert [(run.outcome, run.number) for run in record.attempts] == [("released", 1), ("succeeded", 1)]
    assert record.interruptions == 0


async def test_job_that_swallows_the_shutdown_and_returns_is_run_again(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, drain_timeout=1)
    runs = []

    @queue.task(name="work", retry=ONCE)
    async def work() -> str:
        runs.append(1)
        try:
            await anyio.sleep(10 if len(runs) == 1 else 0)
        except anyio.get_cancelled_exc_class():
            return "swallowed"
        return "done"

    async with queue:
        handle = await work.submit()
        await checkpoint()
    async with queue:
        assert await handle == "done"


async def test_job_that_ignores_cancellation_cannot_hold_the_queue_open_beyond_its_grace() -> None:
    async with JobQueue(drain_timeout=5, grace=2) as queue:
        await deaf(queue).submit(1_000.0)
        await checkpoint()
        before = anyio.current_time()
    assert anyio.current_time() - before == pytest.approx(7, abs=0.2)


async def test_shorter_grace_of_a_task_stands_at_shutdown() -> None:
    async with JobQueue(drain_timeout=5, grace=20) as queue:
        await deaf(queue, grace=1).submit(1_000.0)
        await checkpoint()
        before = anyio.current_time()
    assert anyio.current_time() - before == pytest.approx(6, abs=0.2)


@pytest.mark.real_time
async def test_job_that_swallows_every_cancellation_is_let_go() -> None:
    ends = []

    async with JobQueue(drain_timeout=0, grace=0.1) as queue:

        @queue.task(name="stubborn")
        async def stubborn() -> None:
            try:
                while True:
                    try:
                        await anyio.sleep(1_000)
                    except anyio.get_cancelled_exc_class():
                        pass
            except GeneratorExit:
                ends.append("let go")
                raise

        await stubborn.submit()
        await anyio.sleep(0.05)
        before = anyio.current_time()
    assert anyio.current_time() - before < 2
    assert ends == ["let go"]


@pytest.mark.real_time
async def test_job_with_a_task_group_that_ignores_cancellation_is_let_go() -> None:
    async def ignore() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.5)

    async with JobQueue(drain_timeout=0, grace=0.1) as queue:

        @queue.task(name="parent")
        async def parent() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(ignore)
                await anyio.sleep(1_000)

        await parent.submit()
        await anyio.sleep(0.05)
        before = anyio.current_time()
    assert anyio.current_time() - before < 2
    await anyio.sleep(0.6)


@pytest.mark.real_time
@pytest.mark.filterwarnings("ignore:.*ignored GeneratorExit:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine:pytest.PytestUnraisableExceptionWarning")
async def test_job_that_swallows_even_its_own_end_does_not_burn_a_core_nor_hold_the_queue() -> None:
    turns = 0
    is_over = False

    async with JobQueue(drain_timeout=0, grace=0.1) as queue:

        @queue.task(name="stubborn")
        async def stubborn() -> None:
            nonlocal turns
            while not is_over:
                turns += 1
                with suppress(BaseException):
                    await anyio.sleep(0.2)

        await stubborn.submit()
        await anyio.sleep(0.05)
        before = anyio.current_time()
    assert anyio.current_time() - before < 2
    seen, is_over = turns, True
    await anyio.sleep(0.5)
    assert turns <= seen + 1
    gc.collect()


@pytest.mark.real_time
async def test_thread_that_blocks_cannot_hold_the_queue_open_beyond_its_grace() -> None:
    release = threading.Event()
    try:
        async with JobQueue(drain_timeout=0.1, grace=0.1) as queue:

            @queue.task(name="block")
            def block() -> None:
                release.wait(20)

            await block.submit()
            await anyio.sleep(0.05)
            before = anyio.current_time()
        assert anyio.current_time() - before < 2
    finally:
        release.set()


async def test_cancellation_from_outside_hurries_the_closing_and_goes_on() -> None:
    queue = JobQueue(drain_timeout=100, grace=100)
    nap = sleeper(queue)
    with anyio.CancelScope() as scope:
        await queue.__aenter__()
        await nap.submit(1_000.0)
        scope.deadline = anyio.current_time() + 5
        before = anyio.current_time()
        await queue.close()
    assert scope.cancelled_caught
    assert anyio.current_time() - before == pytest.approx(5, abs=0.2)
    await queue.__aenter__()
    await queue.close()


async def test_cancellation_from_outside_closes_within_a_second_whatever_the_jobs_do() -> None:
    queue = JobQueue(drain_timeout=100, grace=100)
    with anyio.CancelScope() as scope:
        await queue.__aenter__()
        await deaf(queue).submit(1_000.0)
        scope.deadline = anyio.current_time() + 5
        before = anyio.current_time()
        await queue.close()
    assert scope.cancelled_caught
    assert 5 < anyio.current_time() - before < 5 + HURRY_S
    with pytest.raises(QueueClosed):
        await queue.stats()


async def test_cancellation_in_the_body_closes_in_a_hurry_and_keeps_the_jobs(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, drain_timeout=100)
    nap = sleeper(queue)
    before = anyio.current_time()
    with anyio.move_on_after(1) as scope:
        async with queue:
            handle = await nap.submit(10.0)
            await anyio.sleep(1_000)
    assert scope.cancelled_caught
    assert anyio.current_time() - before < 3
    async with queue:
        assert await handle == 10.0


@pytest.mark.asyncio_only
async def test_cancellation_of_the_bodys_task_closes_in_a_hurry_too() -> None:
    queue = JobQueue(drain_timeout=100)
    nap = sleeper(queue)

    async def body() -> None:
        async with queue:
            await nap.submit(1_000.0)
            await anyio.sleep(1_000)

    task = asyncio.create_task(body())
    await anyio.sleep(1)
    before = anyio.current_time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert anyio.current_time() - before < 3


async def test_who_waits_for_another_to_close_may_be_cancelled() -> None:
    queue = JobQueue(drain_timeout=100)
    nap = sleeper(queue)
    await queue.__aenter__()
    await nap.submit(10.0)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.close)
        await anyio.sleep(1)
        with anyio.move_on_after(1) as scope:
            await queue.close()
        assert scope.cancelled_caught


async def test_job_cannot_close_its_own_queue() -> None:
    async with JobQueue() as queue:

        @queue.task(name="closer", retry=ONCE)
        async def closer() -> None:
            await queue.close()

        with pytest.raises(JobFailed) as caught:
            await closer.run()
        assert isinstance(caught.value.__cause__, InvalidState)
        assert await sleeper(queue).run(1.0) == 1.0


async def test_join_hears_that_the_queue_is_closed() -> None:
    queue = JobQueue(drain_timeout=0)
    nap = sleeper(queue)

    async def join() -> None:
        with pytest.raises(QueueClosed):
            await queue.join()

    async with anyio.create_task_group() as group, queue:
        await nap.submit(100.0)
        group.start_soon(join)
        await anyio.sleep(1)


async def test_events_end_when_the_queue_is_closed() -> None:
    queue = JobQueue(drain_timeout=0)
    nap = sleeper(queue)
    seen = []

    async def watch() -> None:
        async with queue.watch() as events:
            seen.extend([event.name async for event in events])

    async with anyio.create_task_group() as group, queue:
        group.start_soon(watch)
        await anyio.sleep(1)
        await nap.submit(100.0)
        await anyio.sleep(1)
    assert seen == ["submitted", "started", "released"]


# -- when it breaks ----------------------------------------------------------------------------------


class Bug(Exception):
    pass


def break_on(queue: JobQueue, kind: type[c.Command] | None) -> None:
    """Let the next step with such a command (None: any step) die of a bug."""
    machine = queue._house.supervisor.machine
    step = machine.step

    def broken(commands: Any, now: float, **how: Any) -> Any:
        if kind is None or any(isinstance(command, kind) for command in commands):
            raise Bug
        return step(commands, now, **how)

    machine.step = broken


BREAKS = [c.Submit, c.Finish, c.Beat, c.Drain, c.Halt, c.SetWorkers, c.Cancel, c.TakeBack, c.Lend, None]


@pytest.mark.parametrize("kind", BREAKS, ids=lambda kind: kind.__name__ if kind else "any")
async def test_when_the_supervisor_dies_everybody_hears_it_and_nothing_hangs(kind: type[c.Command] | None) -> None:
    queue = JobQueue(drain_timeout=2, grace=1)
    nap = sleeper(queue)
    heard = []

    @queue.task(name="parent", retry=ONCE, context=True)
    async def parent(ctx: Any) -> float:
        ctx.heartbeat()
        return await (await nap.submit(1.0))

    async def wait(how: Any) -> None:
        with pytest.raises(InternalError) as caught:
            await how()
        assert isinstance(caught.value.__cause__, Bug)
        heard.append(how)

    await queue.__aenter__()
    handles = [await parent.submit(), await nap.submit(1.5), await nap.submit(100.0), await nap.submit(100.0)]
    break_on(queue, kind)
    async with anyio.create_task_group() as group:
        group.start_soon(wait, handles[2].result)
        group.start_soon(wait, queue.join)
        await anyio.sleep(2)
        for ask in (lambda: nap.submit(1.0), handles[1].cancel, handles[3].cancel):
            with suppress(InternalError):
                await ask()
        supervisor = queue._house.supervisor
        await wait_for_close(queue)
    assert len(heard) == 2
    assert supervisor._stopped.is_set()
    left = [[*supervisor._crew], supervisor._locals, supervisor._waiters._by_job]
    assert not any(left)


async def wait_for_close(queue: JobQueue) -> None:
    before = anyio.current_time()
    with pytest.raises(InternalError):
        await queue.close()
    assert anyio.current_time() - before < 5
    with pytest.raises(QueueClosed, match="is closed"):
        await queue.stats()


async def test_after_a_bug_nothing_is_taken_any_more() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    await queue.__aenter__()
    ended = await nap.submit(0.0)
    await queue.join()
    break_on(queue, None)
    for _ in range(2):
        with pytest.raises(InternalError):
            await nap.submit(1.0)
        with pytest.raises(InternalError):
            nap.submit_nowait(1.0)
        with pytest.raises(InternalError):
            await queue.cancel("x")
    assert await ended == 0.0, "what has ended can still be heard"
    await wait_for_close(queue)


async def test_caller_who_is_cancelled_when_the_supervisor_dies_is_cancelled() -> None:
    queue = JobQueue()
    nap = sleeper(queue)
    await queue.__aenter__()
    with anyio.move_on_after(1) as scope:
        break_on(queue, c.Cancel)
        await nap.run(100.0)
    assert scope.cancelled_caught
    await wait_for_close(queue)


async def test_after_a_bug_the_last_snapshot_stands_and_the_queue_can_be_opened_again(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, durability="snapshot")
    nap = sleeper(queue)
    await queue.__aenter__()
    stored = await nap.using(delay=10).submit(1.0)
    await queue.snapshot()
    lost = await nap.using(delay=10).submit(1.0)
    break_on(queue, c.Cancel)
    with pytest.raises(InternalError):
        await stored.cancel()
    await wait_for_close(queue)
    async with queue:
        assert await stored == 1.0
        assert await queue.get(lost.id) is None


async def test_bug_of_the_clock_ends_the_queue() -> None:
    class BrokenClock:
        def __init__(self, not_before: float) -> None:
            self.naps = 0

        def now(self) -> float:
            return anyio.current_time()

        async def sleep(self, until: float, or_event: anyio.Event) -> None:
            self.naps += 1
            if self.naps == 2:
                raise Bug
            with anyio.move_on_after(until - self.now()):
                await or_event.wait()

    queue = JobQueue(make_clock=BrokenClock)
    nap = sleeper(queue)
    await queue.__aenter__()
    handle = await nap.using(timeout=10).submit(100.0)
    with pytest.raises(InternalError):
        await handle
    await wait_for_close(queue)


async def test_queue_gives_up_when_workers_keep_dying_and_everybody_hears_it() -> None:
    queue = JobQueue(workers=3, restarts=RestartBudget(deaths=3, window_s=60))
    task = deaf(queue, timeout=1, grace=1)
    nap = sleeper(queue)
    await queue.__aenter__()
    waiting = await nap.using(delay=1_000).submit(1.0)
    for _ in range(4):
        await task.submit(100.0)
    with pytest.raises(WorkersKeepDying) as caught:
        await waiting
    assert caught.value.deaths == 3
    with pytest.raises(WorkersKeepDying):
        await nap.submit(1.0)
    before = anyio.current_time()
    with pytest.raises(WorkersKeepDying):
        await queue.close()
    assert anyio.current_time() - before < 5


async def test_what_is_known_when_workers_keep_dying_is_stored(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, workers=1, restarts=RestartBudget(deaths=1, window_s=60))
    task = deaf(queue, timeout=1, grace=1)
    nap = sleeper(queue)
    await queue.__aenter__()
    waiting = await nap.using(delay=1_000).submit(1.0)
    for _ in range(2):
        await task.submit(100.0)
    with pytest.raises(WorkersKeepDying):
        await waiting
    with pytest.raises(WorkersKeepDying):
        await queue.close()
    async with queue:
        assert await waiting == 1.0


async def test_few_lost_workers_are_replaced_and_counted() -> None:
    async with JobQueue(workers=1) as queue:
        handle = await deaf(queue, timeout=1, grace=1).submit(100.0)
        assert await handle.wait() is JobState.FAILED
        assert await sleeper(queue).run(1.0) == 1.0
        stats = await queue.stats()
        assert (stats.lost_workers, stats.workers, stats.idle_workers) == (1, 1, 1)


async def test_late_report_of_an_abandoned_job_changes_nothing() -> None:
    async with JobQueue(workers=1) as queue:
        handle = await deaf(queue, grace=1).submit(10.0)
        await anyio.sleep(1)
        await handle.cancel()
        with pytest.raises(JobCancelled):
            await handle
        await anyio.sleep(20)
        assert (await handle.record()).state is JobState.CANCELLED
        assert (await queue.stats()).late_reports == 1
        assert not queue._house.supervisor._crew._lost


# -- loops that end ------------------------------------------------------------------------------------

LEFT_OPEN = """
import asyncio, sys, anyio, trio
from contextlib import asynccontextmanager, suppress
from actorq import JobQueue

queue = JobQueue({path!r}, workers=150)

@queue.task
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds

@queue.task
async def tidy() -> None:
    try:
        await anyio.sleep(1_000)
    finally:
        print("tidied")

async def main():
    await queue.__aenter__()
    await nap.run(0)
    {jobs}
    await anyio.sleep(0.05)
    print("left", flush=True)
"""


@pytest.mark.parametrize("path", ["", None], ids=["on disk", "in memory"])
@pytest.mark.parametrize("jobs", ["", "await nap.submit(1_000.0); await tidy.submit()"], ids=["idle", "running"])
@pytest.mark.parametrize("run", ["asyncio.run(main())", "trio.run(main)", "anyio.run(main)"])
def test_loop_that_ends_with_the_queue_open_does_not_hang_nor_complain(
    tmp_path: Path, path: str | None, jobs: str, run: str
) -> None:
    store = None if path is None else str(tmp_path / "store")
    program = LEFT_OPEN.format(path=store, jobs=jobs) + run
    done = python(program)
    assert done.stdout.split() == (["left", "tidied"] if jobs else ["left"])
    assert done.stderr == ""
    assert done.returncode == 0


def test_queue_whose_loop_was_closed_can_be_closed_in_another_and_forgets_nothing(tmp_path: Path) -> None:
    program = LEFT_OPEN.format(path=str(tmp_path / "store"), jobs="await nap.submit(1_000.0)") + textwrap.dedent("""
        asyncio.run(main())

        async def again():
            try:
                await queue.close()
            except Exception as error:
                print(type(error).__name__)
            async with queue:
                print((await queue.stats()).live)
                queue._plan.drain_timeout_s = 0

        asyncio.run(again())
    """)
    done = python(program)
    assert done.stdout.split() == ["left", "QueueClosed", "1"]


def test_waiter_hears_that_the_loop_was_closed(tmp_path: Path) -> None:
    program = LEFT_OPEN.format(path=None, jobs="") + textwrap.dedent("""
        async def wait(handle):
            try:
                await handle
            except BaseException as error:
                print(type(error).__name__)
                raise

        async def more():
            await main()
            task = asyncio.create_task(wait(await nap.submit(1_000.0)))
            await asyncio.sleep(0.05)

        asyncio.run(more())
    """)
    done = python(program)
    assert done.stderr == ""
    assert done.stdout.split()[0] == "left"
    assert done.stdout.split()[1] in ("QueueClosed", "CancelledError")


def test_keyboard_interrupt_in_the_body_closes_the_queue(tmp_path: Path) -> None:
    program = LEFT_OPEN.format(path=None, jobs="") + textwrap.dedent("""
        import os, signal

        async def body():
            queue._plan.drain_timeout_s = 0.1
            async with queue:
                await tidy.submit()
                await asyncio.sleep(0.05)
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(100)

        try:
            asyncio.run(body())
        except KeyboardInterrupt:
            print("interrupted")
    """)
    done = python(program)
    assert done.stderr == ""
    assert done.stdout.split() == ["tidied", "interrupted"]


def python(program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=cwd)


# -- among others --------------------------------------------------------------------------------------


LOOP_SCOPE = "asyncio_default_fixture_loop_scope=function"


def test_fixture_of_pytest_asyncio_may_open_the_queue(tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(
        textwrap.dedent("""
        import asyncio
        import pytest
        from actorq import JobQueue, QueueClosed

        queue = JobQueue("store")

        @queue.task
        async def double(n: int) -> int:
            await asyncio.sleep(0.01)
            return 2 * n

        @pytest.fixture
        async def opened():
            async with queue:
                yield queue
            with pytest.raises(QueueClosed):
                await queue.stats()

        @pytest.mark.parametrize("n", range(3))
        async def test_double(opened, n):
            assert await (await double.submit(n)) == 2 * n
            assert (await opened.stats()).submitted == n + 1
        """)
    )
    options = [
        "-q",
        "-W",
        "error",
        "-o",
        "asyncio_mode=auto",
        "-o",
        LOOP_SCOPE,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:anyio",
    ]
    command = [sys.executable, "-m", "pytest", *options, "test_inner.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def aiohttp_app(queue: JobQueue, how: str) -> web.Application:
    nap = sleeper(queue)

    async def start(app: web.Application) -> None:
        await queue.__aenter__()

    async def stop(app: web.Application) -> None:
        await queue.close()

    async def life(app: web.Application) -> AsyncGenerator[None]:
        async with queue:
            yield

    async def ask(request: web.Request) -> web.Response:
        return web.json_response(await nap.run(0.01))

    app = web.Application()
    app.router.add_get("/", ask)
    if how == "cleanup_ctx":
        app.cleanup_ctx.append(life)
    else:
        app.on_startup.append(start)
        app.on_cleanup.append(stop)
    return app


@pytest.mark.real_time
@pytest.mark.parametrize("how", ["cleanup_ctx", "on_startup and on_cleanup"])
@pytest.mark.asyncio_only
async def test_app_runner_of_aiohttp_opens_and_closes_the_queue(how: str) -> None:
    queue = JobQueue()
    runner = web.AppRunner(aiohttp_app(queue, how))
    await asyncio.create_task(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.json() == 0.01
    await asyncio.create_task(runner.cleanup())
    with pytest.raises(QueueClosed):
        await queue.stats()


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[AsyncClient]:
    """Play the server: run the lifespan in a task of its own, and pass its state on with each request."""
    state: dict[str, Any] = {}
    to_app, from_server = anyio.create_memory_object_stream[Any](1)
    to_server, from_app = anyio.create_memory_object_stream[Any](1)

    async def app_with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    with to_app, from_server, to_server, from_app:
        async with anyio.create_task_group() as group:
            group.start_soon(app, {"type": "lifespan", "state": state}, from_server.receive, to_server.send)
            await to_app.send({"type": "lifespan.startup"})
            assert (await from_app.receive())["type"] == "lifespan.startup.complete"
            async with AsyncClient(transport=ASGITransport(app_with_state), base_url="http://test") as client:
                yield client
            await to_app.send({"type": "lifespan.shutdown"})
            assert (await from_app.receive())["type"] == "lifespan.shutdown.complete"


async def test_lifespan_of_starlette_opens_the_queue_and_puts_it_into_the_state() -> None:
    queue = JobQueue()
    nap = sleeper(queue)

    async def ask(request: starlette.requests.Request) -> JSONResponse:
        assert request.state.queue is queue
        return JSONResponse(await nap.run(1.0))

    app = Starlette(routes=[Route("/", ask)], lifespan=queue.lifespan)
    for _ in range(2):
        async with serving(app) as client:
            assert (await client.get("/")).json() == 1.0
        assert queue._house is None


async def test_lifespan_of_fastapi_opens_the_queue_and_puts_it_under_its_name() -> None:
    queue = JobQueue(name="mail")
    nap = sleeper(queue)
    app = FastAPI(lifespan=queue.lifespan)

    @app.get("/")
    async def ask(request: fastapi.Request) -> float:
        assert request.state.mail is queue
        return await nap.run(1.0)

    async with serving(app) as client:
        assert (await client.get("/")).json() == 1.0
    assert queue._house is None


async def test_exception_in_the_life_of_an_application_closes_the_queue() -> None:
    queue = JobQueue()
    app = Starlette(lifespan=queue.lifespan)
    with pytest.RaisesGroup(ZeroDivisionError, allow_unwrapped=True, flatten_subgroups=True):
        async with serving(app):
            raise ZeroDivisionError
    assert queue._house is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_lifespan_of_litestar_opens_the_queue(backend: Any) -> None:
    queue = JobQueue()
    nap = sleeper(queue)

    @litestar.get("/")
    async def ask() -> float:
        return await nap.run(0.01)

    app = litestar.Litestar(route_handlers=[ask], lifespan=[queue.lifespan])
    with litestar.testing.TestClient(app, backend=backend) as client:
        assert client.get("/").json() == 0.01
    assert queue._house is None
