"""Closing has one bound, whatever jobs do; what it interrupts keeps its attempts, and runs again at the next start."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from inspect import signature
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from actorq import JobContext, JobHandle, JobQueue, JobState, QueueClosed, Reason, Retry, current_job
from actorq.config import CLOSE_SLACK_S, HURRY_S, LET_GO_S, LISTENERS_CLOSE_S
from actorq.testing.files import MemoryFiles

DRAIN_S = 5.0
GRACE_S = 2.0
BOUND_S = DRAIN_S + GRACE_S + CLOSE_SLACK_S

ONCE = Retry(max_attempts=1)

hold = threading.Event()
"""What blocks a thread waits for this."""


@pytest.fixture(autouse=True)
def _threads_are_held() -> Iterator[None]:
    hold.clear()
    yield
    hold.set()


# -- what jobs do when they are to end -----------------------------------------------------------------


async def obey() -> None:
    await anyio.sleep(1_000)


async def swallow_once_and_return() -> None:
    with suppress(anyio.get_cancelled_exc_class()):
        await anyio.sleep(1_000)


async def swallow_once_and_go_on() -> None:
    await swallow_once_and_return()
    with anyio.CancelScope(shield=True):
        await anyio.sleep(1_000)


async def swallow_for_ever() -> None:
    while True:
        await swallow_once_and_return()


async def tidy_up_in_time() -> None:
    try:
        await anyio.sleep(1_000)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(GRACE_S / 2)


async def tidy_up_for_too_long() -> None:
    try:
        await anyio.sleep(1_000)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1_000)


async def fail_while_tidying_up() -> None:
    try:
        await anyio.sleep(1_000)
    finally:
        raise ZeroDivisionError


async def shield() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(1_000)


async def shield_a_child() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(shield)
        await anyio.sleep(1_000)


async def block_the_loop_for_a_moment() -> None:
    try:
        await anyio.sleep(1_000)
    finally:
        time.sleep(0.01)  # noqa: ASYNC251 - it is what must not be done


async def submit_more() -> None:
    queue: Any = current_job().queue
    while True:
        with suppress(QueueClosed):
            await queue.submit(obey)
        await anyio.sleep(0.5)


async def wait_for_another() -> None:
    queue: Any = current_job().queue
    await (await queue.submit(obey))


async def beat() -> None:
    for _ in count():
        current_job().heartbeat()
        await anyio.sleep(0.1)


async def wait_for_a_thread() -> None:
    await anyio.to_thread.run_sync(hold.wait, 60.0)


def block_a_thread() -> None:
    hold.wait(60.0)


Behaviour = Callable[[], Any]

ON_THE_LOOP: list[Callable[[], Awaitable[None]]] = [
    obey,
    swallow_once_and_return,
    swallow_once_and_go_on,
    swallow_for_ever,
    tidy_up_in_time,
    tidy_up_for_too_long,
    fail_while_tidying_up,
    shield,
    shield_a_child,
    block_the_loop_for_a_moment,
    submit_more,
    wait_for_another,
    beat,
]
IN_THREADS: list[Behaviour] = [block_a_thread, wait_for_a_thread]

whatever_it_does = pytest.mark.parametrize("behave", [*ON_THE_LOOP, *IN_THREADS], ids=lambda fn: fn.__name__)
whatever_it_does_on_the_loop = pytest.mark.parametrize("behave", ON_THE_LOOP, ids=lambda fn: fn.__name__)


class Life:
    """One life of a queue, on files that outlive it; its one task behaves as it is told to."""

    def __init__(self, behave: Behaviour, **options: Any) -> None:
        self.files = options.setdefault("files", MemoryFiles())
        self.queue = JobQueue(**{"drain_timeout": DRAIN_S, "grace": GRACE_S} | options)
        self.job = self.queue.task(name="job", retry=ONCE)(behave)

    async def begin(self) -> JobHandle[Any]:
        """Open the queue, and let a job run for a moment."""
        await self.queue.__aenter__()
        handle = await self.job.submit()
        await anyio.sleep(0.1)
        assert (await handle.record()).state is JobState.RUNNING
        return handle

    async def close(self, *, hurry_after: float = inf) -> float:
        """Return how long that takes."""
        before = anyio.current_time()
        with anyio.move_on_after(hurry_after):
            await self.queue.close()
        took_s = anyio.current_time() - before
        hold.set()  # on trio the loop itself does not end before a thread that a job waits for
        return took_s


async def never_hear(event: object) -> None:
    """Be a callback that is not told of the end in time."""
    await anyio.sleep(1_000)


async def nothing() -> str:
    return "done"


# -- one bound -----------------------------------------------------------------------------------------


@whatever_it_does
async def test_closing_ends_within_its_bound(behave: Behaviour) -> None:
    life = Life(behave)
    await life.begin()
    assert DRAIN_S <= await life.close() <= BOUND_S


@whatever_it_does_on_the_loop
async def test_closing_ends_within_its_bound_when_everything_comes_together(behave: Behaviour) -> None:
    life = Life(behave, workers=100)
    life.queue.on("*", never_hear)
    await life.begin()
    for each in ON_THE_LOOP:
        await life.queue.submit(each)
    for _ in range(20):
        await life.job.submit()
    await anyio.sleep(1)
    assert DRAIN_S <= await life.close() <= BOUND_S


@whatever_it_does
async def test_closing_in_a_hurry_ends_within_a_second(behave: Behaviour) -> None:
    life = Life(behave, drain_timeout=1_000, grace=1_000)
    life.queue.on("*", never_hear)
    await life.begin()
    assert 3 <= await life.close(hurry_after=3) <= 3 + HURRY_S


@pytest.mark.parametrize("hurry_after", [0.0, 9.0, 11.0, 12.03, 12.08, 12.5])
async def test_closing_is_hurried_in_whatever_phase_it_is(hurry_after: float) -> None:
    """At once, as it drains, in the grace, twice while it lets go, and while a callback is waited for."""
    life = Life(swallow_for_ever, drain_timeout=10, grace=2)
    life.queue.on("*", never_hear)
    await life.begin()
    assert await life.close(hurry_after=hurry_after) <= hurry_after + HURRY_S


@pytest.mark.parametrize("durability", ["memory", "snapshot", "flush", "fsync"])
async def test_the_bound_does_not_depend_on_how_jobs_are_kept(durability: Any) -> None:
    life = Life(swallow_for_ever, durability=durability, files=None if durability == "memory" else MemoryFiles())
    await life.begin()
    assert DRAIN_S <= await life.close() <= BOUND_S


@pytest.mark.parametrize(("hears_for_s", "hurry_after"), [(LISTENERS_CLOSE_S / 10, inf), (0.0, 1.0)])
async def test_callback_hears_the_end_before_the_queue_is_closed(hears_for_s: float, hurry_after: float) -> None:
    names: list[str] = []

    async def hear(event: Any) -> None:
        await anyio.sleep(hears_for_s)
        names.append(event.name)

    life = Life(obey)
    life.queue.on("*", hear)
    await life.begin()
    await life.close(hurry_after=hurry_after)
    assert names == ["submitted", "started", "released"]


@whatever_it_does_on_the_loop
async def test_nothing_of_a_job_on_the_loop_is_left_when_the_queue_is_closed(behave: Behaviour) -> None:
    """Else a shield on trio would keep the loop itself from ending."""
    running: list[str] = []

    async def job() -> None:
        running.append("here")
        try:
            await behave()
        finally:
            running.clear()

    life = Life(job)
    await life.begin()
    assert running
    await life.close()
    assert not running


async def test_grace_of_a_cancellation_that_came_before_does_not_lengthen_the_bound() -> None:
    life = Life(shield)
    async with life.queue:
        handle = await life.job.using(grace=1_000).submit()
        await anyio.sleep(0.1)
        await handle.cancel()
        assert DRAIN_S <= await life.close() <= BOUND_S


async def test_jobs_that_end_in_time_are_all_that_closing_waits_for() -> None:
    async def nap() -> None:
        await anyio.sleep(3.1)

    life = Life(nap)
    await life.begin()
    assert await life.close() == pytest.approx(3)


# -- nothing is lost -----------------------------------------------------------------------------------


@whatever_it_does
@pytest.mark.parametrize("hurry_after", [inf, 1.0], ids=["in time", "in a hurry"])
async def test_interrupted_job_keeps_its_attempt_and_runs_again_at_the_next_start(
    behave: Behaviour, hurry_after: float
) -> None:
    life = Life(behave)
    handle = await life.begin()
    await life.close(hurry_after=hurry_after)
    again = Life(nothing, files=life.files)
    async with again.queue:
        assert await again.queue.handle(handle.id) == "done"
        record = await again.queue.handle(handle.id).record()
    assert [(run.outcome, run.number) for run in record.attempts] == [("released", 1), ("succeeded", 1)]
    assert record.interruptions == 0


async def test_everything_that_was_accepted_is_there_at_the_next_start() -> None:
    life = Life(swallow_for_ever, workers=3)
    await life.begin()
    waiting = [await life.job.using(delay=delay).submit() for delay in [0, 0, 0, 0, 1_000]]
    await life.close()
    again = Life(nothing, files=life.files)
    async with again.queue:
        for handle in waiting:
            assert await again.queue.handle(handle.id) == "done"
        assert (await again.queue.stats()).submitted == 6


async def test_job_that_was_being_cancelled_when_the_queue_closed_ends_as_cancelled() -> None:
    life = Life(shield)
    handle = await life.begin()
    await handle.cancel()
    await life.close()
    again = Life(nothing, files=life.files)
    async with again.queue:
        assert await again.queue.handle(handle.id).wait() is JobState.CANCELLED


async def test_job_hears_that_it_is_to_stop_for_a_shutdown_when_the_drain_is_over() -> None:
    heard: list[tuple[Reason | None, float]] = []

    async def hear() -> None:
        job: JobContext = current_job()
        began_at = anyio.current_time()
        try:
            await anyio.sleep(1_000)
        finally:
            heard.append((job.cancel_reason, anyio.current_time() - began_at))

    life = Life(hear)
    await life.begin()
    await life.close()
    assert heard == [(Reason.SHUTDOWN, pytest.approx(DRAIN_S + 0.1))]


async def test_nothing_starts_any_more_while_the_queue_drains() -> None:
    started: list[str] = []

    async def nap(name: str) -> None:
        started.append(name)
        await anyio.sleep(1)

    queue = JobQueue(workers=1, drain_timeout=DRAIN_S)
    async with queue:
        await queue.submit(nap, "first")
        await queue.submit(nap, "second")
    assert started == ["first"]


# -- the page ------------------------------------------------------------------------------------------


def test_the_page_states_the_bounds_that_hold() -> None:
    page = (Path(__file__).parents[1] / "docs/how-to/shutdown.md").read_text(encoding="utf-8")
    defaults = signature(JobQueue).parameters
    drain_s, grace_s = (defaults[name].default for name in ("drain_timeout", "grace"))
    assert f"`drain_timeout + grace + {CLOSE_SLACK_S:g} s`" in page
    assert f"| `drain_timeout`, {drain_s:g} s |" in page
    assert f"| `grace`, {grace_s:g} s |" in page
    assert f"| {2 * LET_GO_S:g} s |" in page
    assert f"| {CLOSE_SLACK_S - 2 * LET_GO_S:g} s |" in page
    assert f"within {HURRY_S:g} s" in page
    assert f"which is {drain_s + grace_s + 3:g} s" in page
    assert CLOSE_SLACK_S < 3


def test_a_loop_that_ends_waits_for_no_job_that_has_gone_into_a_shield_before() -> None:
    """As ``asyncio.run()`` and aiohttp end one: each task is cancelled, once, and waited for; in the worst order."""
    queue = JobQueue(workers=1)
    loop = asyncio.new_event_loop()

    @queue.task(name="tidy_up")
    async def tidy_up() -> None:
        try:
            await anyio.sleep(3600)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3600)

    async def begin() -> None:
        await queue.__aenter__()
        await tidy_up.submit()
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(tasks: list[asyncio.Task[Any]]) -> None:
        tasks.sort(key=lambda task: "worker" not in task.get_name())
        for task in tasks:
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        done, pending = await asyncio.wait(tasks, timeout=5)
        assert (len(done), pending) == (len(tasks), set())

    try:
        loop.run_until_complete(begin())
        loop.run_until_complete(end(list(asyncio.all_tasks(loop))))
    finally:
        loop.close()
