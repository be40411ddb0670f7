"""Threads: what comes back, what is left behind, and that no thread of a job outlives the program."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio
from anyio.lowlevel import checkpoint, current_token

from actorq import AttemptCancelled, JobQueue
from actorq.actors import threads as module
from actorq.actors.own_loop import run_coroutine_here
from actorq.actors.spawn import caller
from actorq.actors.threads import Call, Threads
from actorq.config import REFUSALS_LIMIT

LONGEST_S = 20
"""A bound for what takes a moment on any machine."""


def nothing() -> None:
    pass


@pytest.fixture
async def threads() -> Iterator[Threads]:  # type: ignore[misc]
    threads = Threads(caller(), current_token())
    yield threads
    threads.close()


async def run(threads: Threads, fn: Callable[[], Any]) -> Any:
    return await threads.run(Call(fn, nothing))


# -- what comes back ---------------------------------------------------------------------------------


async def test_a_function_runs_in_another_thread_and_its_value_comes_back(threads: Threads):
    assert await run(threads, threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_what_it_raises_comes_back_whatever_it_is(threads: Threads, kind: type[BaseException]):
    error = kind("mine")

    def fail() -> None:
        raise error

    with pytest.raises(kind) as caught:
        await run(threads, fail)
    assert caught.value is error


async def test_a_stop_iteration_comes_back_as_coroutines_tell_it(threads: Threads):
    with pytest.raises(RuntimeError) as caught:
        await run(threads, lambda: next(iter(())))
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_a_coroutine_comes_back_as_a_value(threads: Threads):
    async def work() -> str:
        return "awaited on the loop"

    assert await (await run(threads, work)) == "awaited on the loop"


async def test_nothing_is_kept_of_an_exception_that_came_back(threads: Threads):
    class Mine(Exception):
        pass

    def fail() -> None:
        raise Mine

    gc.disable()
    try:
        with pytest.raises(Mine):
            await run(threads, fail)
        assert not [each for each in gc.get_objects() if type(each) is Mine]
    finally:
        gc.enable()


# -- what it sees ------------------------------------------------------------------------------------

who: ContextVar[str] = ContextVar("who", default="nobody")


async def test_it_sees_a_copy_of_the_context_of_whoever_waits(threads: Threads):
    def change() -> str:
        before = who.get()
        who.set("leaked")
        return before

    for name in ("ada", "bob"):
        who.set(name)
        assert await run(threads, change) == name
        assert who.get() == name


async def test_it_reaches_the_loop_through_anyio_without_a_token(threads: Threads):
    loop = threading.get_ident()

    async def on_loop() -> int:
        await checkpoint()
        return threading.get_ident()

    def work() -> tuple[int, int]:
        return anyio.from_thread.run(on_loop), anyio.from_thread.run_sync(threading.get_ident)

    assert await run(threads, work) == (loop, loop)


async def test_a_look_through_anyio_whether_it_is_cancelled_does_no_harm(threads: Threads):
    await run(threads, anyio.from_thread.check_cancelled)


async def test_on_trio_it_reaches_the_loop_through_trio_without_a_token(threads: Threads, anyio_backend_name: str):
    if anyio_backend_name == "trio":
        assert await run(threads, lambda: trio.from_thread.run_sync(threading.get_ident)) == threading.get_ident()


async def test_an_event_loop_of_its_own_may_run_in_it(threads: Threads, anyio_backend_name: str):
    assert await run(threads, lambda: anyio.run(anyio.sleep, 0, backend=anyio_backend_name)) is None


async def test_the_thread_is_known_while_the_function_runs_and_only_then(threads: Threads):
    call: Call

    def work() -> tuple[int | None, int]:
        return call.ident, threading.get_ident()

    call = Call(work, nothing)
    assert call.ident is None
    known, true = await threads.run(call)
    assert known == true
    assert call.ident is None


# -- how many there are ------------------------------------------------------------------------------


@pytest.mark.asyncio_only
async def test_one_thread_does_one_thing_after_the_other(threads: Threads):
    assert len({await run(threads, threading.get_ident) for _ in range(20)}) == 1


async def test_as_many_run_side_by_side_as_are_asked_to(threads: Threads):
    many = 100  # anyio would let 40 at a time
    barrier = threading.Barrier(many)
    async with anyio.create_task_group() as group:
        for _ in range(many):
            group.start_soon(run, threads, barrier.wait)
    assert not barrier.broken


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "actorq thread"]


def all_have_left() -> bool:
    for thread in ours():
        thread.join(LONGEST_S)
    return ours() == []


@pytest.mark.asyncio_only
async def test_idle_threads_leave_when_they_are_closed(threads: Threads):
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(run, threads, nothing)
    assert ours()
    threads.close()
    assert all_have_left()


@pytest.mark.asyncio_only
async def test_a_busy_thread_leaves_when_its_function_has_ended(threads: Threads):
    may_end = threading.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(run, threads, may_end.wait)
        await anyio.wait_all_tasks_blocked()
        threads.close()
        may_end.set()
    assert all_have_left()


@pytest.mark.asyncio_only
async def test_an_idle_thread_leaves_after_a_while(threads: Threads, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "THREAD_IDLE_S", 0.01)
    await run(threads, nothing)
    assert all_have_left()
    assert await run(threads, lambda: "another") == "another"


async def test_a_queue_that_is_closed_leaves_no_thread_behind():
    async with JobQueue(workers=3) as queue:
        for handle in [await queue.submit(nothing) for _ in range(10)]:
            await handle
    assert all_have_left()


async def test_virtual_time_stands_still_while_a_thread_works(threads: Threads):
    with anyio.fail_after(0.01):
        await run(threads, lambda: time.sleep(0.1))
    assert anyio.current_time() == 0


# -- left behind -------------------------------------------------------------------------------------


class Stuck:
    """A function that runs until it is told to end."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.has_begun.set()
        self.may_end.wait(LONGEST_S)
        return "late"


class End:
    """Hears that a function which was left behind has ended."""

    def __init__(self) -> None:
        self.heard_in: list[int] = []
        self._heard = anyio.Event()

    def __call__(self) -> None:
        self.heard_in.append(threading.get_ident())
        self._heard.set()

    async def wait(self) -> None:
        """Wait until it has heard it, and a moment more, in which it should not hear it again."""
        with anyio.fail_after(LONGEST_S):
            await self._heard.wait()
        await anyio.wait_all_tasks_blocked()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.may_end.set()


async def leave_behind(threads: Threads, call: Call, stuck: Stuck) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(threads.run, call)
        await anyio.to_thread.run_sync(stuck.has_begun.wait)
        group.cancel_scope.cancel()


@pytest.mark.real_time
async def test_a_thread_that_nobody_waits_for_any_more_tells_once_that_it_has_ended(threads: Threads, stuck: Stuck):
    end = End()
    call = Call(stuck, end)
    await leave_behind(threads, call, stuck)
    assert call.ident is not None
    assert end.heard_in == []
    stuck.may_end.set()
    await end.wait()
    assert end.heard_in == [threading.get_ident()]
    assert call.ident is None


async def test_a_call_that_is_cancelled_before_it_begins_tells_so_at_once_and_never_runs(threads: Threads):
    end = End()
    ran: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await threads.run(Call(lambda: ran.append(1), end))
    assert (ran, len(end.heard_in)) == ([], 1)


async def test_a_call_that_was_waited_for_tells_nothing(threads: Threads):
    end = End()
    await threads.run(Call(nothing, end))
    await anyio.wait_all_tasks_blocked()
    assert end.heard_in == []


@pytest.mark.real_time
@pytest.mark.parametrize("_", range(20))
async def test_a_call_that_ends_in_the_moment_in_which_it_is_left_tells_so_once(threads: Threads, stuck: Stuck, _: int):
    end = End()
    call = Call(stuck, end)
    async with anyio.create_task_group() as group:
        group.start_soon(threads.run, call)
        await anyio.to_thread.run_sync(stuck.has_begun.wait)
        stuck.may_end.set()
        while call.ident is not None:
            pass  # and the loop cannot hear of it
        group.cancel_scope.cancel()
    await end.wait()
    assert end.heard_in == [threading.get_ident()]


@pytest.mark.real_time
async def test_what_hears_of_the_end_may_do_all_that_is_done_on_the_loop(threads: Threads, stuck: Stuck):
    scopes: list[anyio.CancelScope] = []
    end = End()

    def make_scope() -> None:
        try:
            scopes.append(anyio.CancelScope())  # has to know which loop it is on
        finally:
            end()

    await leave_behind(threads, Call(stuck, make_scope), stuck)
    stuck.may_end.set()
    await end.wait()
    assert len(scopes) == 1


@pytest.mark.asyncio_only
@pytest.mark.real_time
async def test_a_thread_that_was_left_behind_is_used_again_when_it_has_ended(threads: Threads, stuck: Stuck):
    end = End()
    call = Call(stuck, end)
    await leave_behind(threads, call, stuck)
    ident = call.ident
    assert await run(threads, threading.get_ident) != ident
    stuck.may_end.set()
    await end.wait()
    assert await run(threads, threading.get_ident) == ident


def test_a_thread_whose_loop_is_gone_ends_without_a_word(anyio_backend_name: str):
    stuck = Stuck()

    async def main() -> End:
        end = End()
        await leave_behind(Threads(caller(), current_token()), Call(stuck, end), stuck)
        return end

    end = anyio.run(main, backend=anyio_backend_name)
    stuck.may_end.set()
    assert anyio_backend_name == "trio" or all_have_left()
    assert end.heard_in == []


# -- coroutines --------------------------------------------------------------------------------------


class Alone:
    """A coroutine function in a thread with an event loop of its own, which begins and is cancelled when it is told."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.cancel: Callable[[], None]
        self.has_begun = threading.Event()
        self._fn = fn

    async def begin(self) -> None:
        await anyio.to_thread.run_sync(self.has_begun.wait)

    def run(self, *args: Any) -> Any:
        backend = anyio.from_thread.run_sync(lambda: "trio" if trio.lowlevel.in_trio_run() else "asyncio")
        return run_coroutine_here(self._work, args, {}, backend=backend, on_start=self._hear_start)

    def _hear_start(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel

    async def _work(self, *args: Any) -> Any:
        self.has_begun.set()
        return await self._fn(*args)


async def cancelled(threads: Threads, fn: Callable[..., Any]) -> Any:
    """Run the coroutine function in a thread, cancel it after it has begun, and return what comes of that."""
    alone = Alone(fn)
    outcome: list[Any] = []

    async def wait() -> None:
        try:
            outcome.append(await run(threads, alone.run))
        except BaseException as error:  # noqa: BLE001 - it is looked at by the test
            outcome.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await alone.begin()
        alone.cancel()
    alone.cancel()  # too late, and no harm
    return outcome[0]


async def test_a_coroutine_runs_to_its_end_in_a_thread_with_a_loop_of_its_own(threads: Threads):
    async def work(n: int) -> tuple[int, int]:
        await checkpoint()
        return n, threading.get_ident()

    n, thread = await run(threads, lambda: Alone(work).run(5))
    assert n == 5
    assert thread != threading.get_ident()


async def test_what_a_coroutine_raises_in_a_thread_comes_back(threads: Threads):
    async def work() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await run(threads, Alone(work).run)


async def test_a_coroutine_in_a_thread_sees_the_context_of_whoever_waits(threads: Threads):
    async def work() -> str:
        return who.get()

    who.set("ada")
    assert await run(threads, Alone(work).run) == "ada"


async def test_a_coroutine_in_a_thread_can_be_cancelled_from_outside(threads: Threads):
    assert isinstance(await cancelled(threads, anyio.sleep_forever), AttemptCancelled)


async def test_a_coroutine_in_a_thread_may_answer_its_cancellation_with_a_value(threads: Threads):
    async def work() -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "saved"

    assert await cancelled(threads, work) == "saved"


@pytest.mark.asyncio_only
async def test_its_cleanup_may_await_on_asyncio(threads: Threads):
    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await checkpoint()
            raise ValueError("tidied up")

    assert str(await cancelled(threads, work)) == "tidied up"


@pytest.mark.real_time
async def test_a_coroutine_in_a_thread_that_refuses_to_end_is_left_alone_and_burns_no_core(threads: Threads):
    async def work() -> int:
        refused = undisturbed = 0
        while undisturbed < 5 and refused <= REFUSALS_LIMIT:
            try:
                await anyio.sleep(0.001)
                undisturbed += bool(refused)
            except anyio.get_cancelled_exc_class():
                refused += 1
        return refused

    assert 1 <= await cancelled(threads, work) <= REFUSALS_LIMIT


# -- the program -------------------------------------------------------------------------------------

PROGRAM = """
import sys, threading
import anyio
from actorq import JobQueue, Retry

def never() -> None:
    threading.Event().wait()

async def main() -> None:
    async with JobQueue(grace=0, drain_timeout=0) as queue:
        job = await queue.task(name="never", timeout=0.05, grace=0, retry=Retry(max_attempts=1))(never).submit()
        await job.wait()
    print("closed")

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.real_time
def test_a_job_whose_thread_never_returns_does_not_keep_the_program_from_exiting(anyio_backend_name: str):
    command = [sys.executable, "-c", PROGRAM, anyio_backend_name]
    ended = subprocess.run(command, timeout=LONGEST_S, capture_output=True, text=True, check=True)
    assert ended.stdout == "closed\n"
