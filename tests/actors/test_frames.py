"""Where a coroutine stands, with all that it awaits; and where a thread does."""

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from actorq import InvalidState, JobContext, JobNotFound, JobQueue, Stack
from actorq.actors.frames import Standing, standing_in_text, standing_of_coroutine, standing_of_thread
from actorq.actors.spawn import is_trio
from actorq.config import STACK_LIMIT

Waiting = Callable[[], Coroutine[Any, Any, Any]]


async def deep() -> None:
    await deeper()


async def deeper() -> None:
    await anyio.sleep_forever()


async def numbers() -> AsyncIterator[int]:
    await deep()
    yield 1


async def in_a_loop() -> None:
    async for _ in numbers():
        pass


async def in_anext() -> None:
    await anext(numbers(), None)


async def in_a_thrown_into_generator() -> None:
    async def cleans_up() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await deep()

    generator = cleans_up()
    await anext(generator)
    with suppress(KeyError):
        await generator.athrow(KeyError)  # type: ignore[attr-defined]


class Awaited:
    def __await__(self) -> Generator[Any, Any, None]:
        return deep().__await__()


class AwaitedByGenerator:
    def __await__(self) -> Generator[Any, Any, None]:
        yield from deep().__await__()


async def in_an_object() -> None:
    await Awaited()


async def in_a_generator() -> None:
    await AwaitedByGenerator()


async def in_an_old_coroutine() -> None:
    @coroutine
    def old() -> Generator[Any, Any, None]:
        yield from deep().__await__()

    await old()


async def in_a_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(deep)


async def standing_while_suspended(fn: Waiting) -> Standing:
    """Run the function as a task of its own until it is at rest; return where it stands then."""
    waiting = fn()
    standing: list[Standing] = []

    async def run() -> None:
        await waiting

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        standing.append(standing_of_coroutine(waiting))
        group.cancel_scope.cancel()
    return standing[0]


def functions(standing: Standing | Stack) -> list[str]:
    return [frame.function.rpartition(".")[2] for frame in standing.frames if frame.file == __file__]


EVERYWHERE = [
    in_a_loop,
    in_anext,
    in_a_thrown_into_generator,
    in_an_object,
    in_a_generator,
    in_an_old_coroutine,
    in_a_group,
]


@pytest.mark.parametrize("fn", EVERYWHERE)
async def test_the_chain_goes_through_whatever_stands_between_two_coroutines(fn: Waiting):
    standing = await standing_while_suspended(fn)
    assert functions(standing)[0] == fn.__name__
    assert functions(standing)[-2:] == ["deep", "deeper"]
    assert standing.waits_for == "It waits in anyio.sleep_forever()."


async def test_a_frame_tells_file_line_and_text():
    frame = next(frame for frame in (await standing_while_suspended(deep)).frames if frame.function == "deeper")
    assert frame.text == "await anyio.sleep_forever()"
    assert (frame.file, frame.line) == (__file__, deeper.__code__.co_firstlineno + 1)


async def test_what_trio_does_for_every_wait_is_left_out():
    standing = await standing_while_suspended(deep)
    assert "_traps.py" not in standing.text


async def test_nothing_is_told_of_local_variables():
    async def keeps_a_secret() -> None:
        password = f"hunter{1 + 1}"
        await deep()
        del password

    standing = await standing_while_suspended(keeps_a_secret)
    assert "hunter2" not in standing.text


async def test_one_that_waits_for_several_tasks_names_them():
    async def fan_out() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(deep, name="first")
            group.start_soon(in_a_loop, name="second")

    standing = await standing_while_suspended(fan_out)
    assert standing.waits_for == "It waits for 2 tasks: first, second."


async def test_of_many_tasks_only_some_are_named():
    async def fan_out() -> None:
        async with anyio.create_task_group() as group:
            for number in range(9):
                group.start_soon(deep, name=f"task {number}")

    standing = await standing_while_suspended(fan_out)
    assert standing.waits_for == "It waits for 9 tasks: task 0, task 1, task 2, task 3, task 4, …."


def test_one_that_waits_for_a_thing_of_the_users_own_names_its_type():
    class Own:
        def __await__(self) -> Generator[Any, Any, None]:
            yield from iter([None])

    async def wait() -> None:
        await Own()

    waiting = wait()
    waiting.send(None)
    standing = standing_of_coroutine(waiting)
    waiting.close()
    assert standing.waits_for.startswith("It waits for a builtins.list_iterator")


async def test_a_frame_that_runs_is_right_too():
    seen: list[Standing] = []

    async def look() -> None:
        await checkpoint()
        seen.append(standing_of_coroutine(me))

    async def outer() -> None:
        await look()

    me = outer()
    await me
    assert functions(seen[0]) == ["outer", "look"]
    assert seen[0].frames[-1].text == "seen.append(standing_of_coroutine(me))"
    assert seen[0].waits_for == "It is running."


async def test_a_generator_that_runs_is_right_too():
    seen: list[Standing] = []

    async def look() -> AsyncIterator[None]:
        await checkpoint()
        seen.append(standing_of_coroutine(me))
        yield

    async def outer() -> None:
        async for _ in look():
            pass

    me = outer()
    await me
    assert functions(seen[0]) == ["outer", "look"]


async def test_who_asks_keeps_nothing_alive():
    class Large:
        pass

    async def outer() -> weakref.ref[Large]:
        large = Large()
        standing_of_coroutine(me)
        standing_of_thread(threading.get_ident())
        return weakref.ref(large)

    gc.disable()  # it would find the cycle, later
    try:
        me = outer()
        assert (await me)() is None
    finally:
        gc.enable()


async def test_one_that_has_ended_stands_nowhere():
    ended = checkpoint()
    await ended
    assert standing_of_coroutine(ended) == Standing((), "It has not begun, or it has just ended.")


async def test_one_that_has_not_begun_says_so():
    waiting = deep()
    assert standing_of_coroutine(waiting).waits_for == "It has not begun."
    waiting.close()


async def test_of_a_very_deep_one_the_innermost_frames_are_told():
    async def down(levels: int) -> None:
        await (down(levels - 1) if levels else deep())

    standing = await standing_while_suspended(lambda: down(2 * STACK_LIMIT))
    assert len(standing.frames) == STACK_LIMIT
    assert "deeper" in functions(standing)


# -- what asyncio has, and trio has not ------------------------------------------------------------


async def in_a_task() -> None:
    await asyncio.create_task(deep())


async def in_a_shield() -> None:
    await asyncio.shield(asyncio.create_task(deep()))


async def in_wait_for() -> None:
    await asyncio.wait_for(deep(), 1000)


async def in_a_timeout() -> None:
    async with asyncio.timeout(1000):
        await deep()


async def in_wait() -> None:
    await asyncio.wait([asyncio.ensure_future(deep())])


async def in_a_group_of_asyncio() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(deep())


async def in_gather() -> None:
    await asyncio.gather(deep(), checkpoint())


@pytest.mark.asyncio_only
@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "fn", [in_a_task, in_a_shield, in_wait_for, in_a_timeout, in_wait, in_a_group_of_asyncio, in_gather]
)
async def test_the_chain_goes_through_tasks_and_futures(fn: Waiting):
    standing = await standing_while_suspended(fn)
    assert functions(standing)[0] == fn.__name__
    assert functions(standing)[-2:] == ["deep", "deeper"]


@pytest.mark.asyncio_only
async def test_one_that_waits_for_a_future_says_so():
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    assert (await standing_while_suspended(wait)).waits_for == "It waits for a _asyncio.Future."


@pytest.mark.asyncio_only
async def test_two_that_wait_for_each_other_are_told_once():
    async def wait_for(number: int) -> None:
        await asyncio.shield(tasks[number])  # else it could not be ended

    tasks = [asyncio.ensure_future(wait_for(1)), asyncio.ensure_future(wait_for(0))]
    await anyio.wait_all_tasks_blocked()
    standing = standing_of_coroutine(tasks[0].get_coro())
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert functions(standing)[:2] == ["wait_for", "wait_for"]
    assert len(standing.frames) == 2


# -- threads ---------------------------------------------------------------------------------------


def stand(begun: threading.Event, may_end: threading.Event) -> None:
    begun.set()
    may_end.wait()


def test_a_thread_stands_where_it_does():
    begun, may_end = threading.Event(), threading.Event()
    thread = threading.Thread(target=stand, args=(begun, may_end))
    thread.start()
    begun.wait()
    standing = standing_of_thread(thread.ident)
    may_end.set()
    thread.join()
    assert functions(standing) == ["stand"]
    assert standing.waits_for == "It is running."


@pytest.mark.parametrize("ident", [None, 2**62])
def test_a_thread_that_is_not_there_stands_nowhere(ident: int | None):
    assert standing_of_thread(ident).frames == ()


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_a_thread_with_a_loop_of_its_own_stands_where_its_coroutine_does(run: Callable[[Awaitable[None]], None]):
    begun, end = threading.Event(), list[Callable[[], object]]()

    async def main() -> None:
        may_end = anyio.Event()
        call_soon = trio.lowlevel.current_trio_token().run_sync_soon if is_trio() else None
        call_soon = call_soon or asyncio.get_running_loop().call_soon_threadsafe
        end.append(lambda: call_soon(may_end.set))
        begun.set()
        await may_end.wait()

    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    begun.wait()
    while "It waits in" not in (standing := standing_of_thread(thread.ident)).waits_for:
        pass
    end[0]()
    thread.join()
    assert functions(standing)[-1] == "main"
    assert standing.waits_for == "It waits in anyio.Event.wait()."


# -- text ------------------------------------------------------------------------------------------


def test_what_a_standing_says_can_be_read_again():
    standing = standing_of_thread(threading.get_ident())
    assert standing_in_text(standing.text) == standing


def test_what_python_says_can_be_read_too():
    def look() -> str:
        return "".join(traceback.format_stack())

    standing = standing_in_text(look())
    assert standing.frames[-1].text == 'return "".join(traceback.format_stack())'
    assert standing.waits_for == "It is running."


def test_a_sentence_in_place_of_frames_is_kept():
    assert standing_in_text("Its process does not answer.") == Standing((), "Its process does not answer.")


# -- jobs ------------------------------------------------------------------------------------------


async def test_the_stack_of_a_waiting_job_begins_with_its_function():
    async with JobQueue() as queue:
        handle = await queue.task(name="deep")(deep).submit()
        await anyio.wait_all_tasks_blocked()
        stack = await queue.stack(handle.id)
        await handle.cancel()
    assert (stack.job_id, stack.task, stack.where) == (handle.id, "deep", "loop")
    assert stack.frames[0].function == "deep"
    assert stack.waits_for == "It waits in anyio.sleep_forever()."


async def test_the_stack_of_the_job_that_asks_ends_where_it_asks():
    async def ask(ctx: JobContext) -> None:
        seen.append(await queue.stack(ctx.job_id))

    seen: list[Stack] = []
    async with JobQueue() as queue:
        await queue.task(name="ask", context=True)(ask).run()
    assert functions(seen[0]) == ["ask"]
    assert seen[0].frames[-1].text == "seen.append(await queue.stack(ctx.job_id))"


@pytest.mark.real_time
async def test_the_stack_of_a_job_in_a_thread_is_what_the_thread_does():
    begun, may_end = threading.Event(), threading.Event()
    async with JobQueue() as queue:
        handle = await queue.task(name="stand")(lambda: stand(begun, may_end)).submit()
        await anyio.to_thread.run_sync(begun.wait)
        stack = await queue.stack(handle.id)
        may_end.set()
    assert stack.where == "thread"
    assert functions(stack) == ["<lambda>", "stand"]


@pytest.mark.real_time
async def test_the_stack_of_a_coroutine_in_a_thread_begins_with_its_function():
    begun = threading.Event()

    async def begin() -> None:
        begun.set()
        await deep()

    async with JobQueue() as queue:
        handle = await queue.task(name="begin", run_in="thread")(begin).submit()
        await anyio.to_thread.run_sync(begun.wait)
        while functions(stack := await queue.stack(handle.id))[-1:] != ["deeper"]:
            await checkpoint()
        await handle.cancel()
    assert functions(stack) == ["begin", "deep", "deeper"]


async def test_a_job_that_is_not_running_has_no_stack():
    async with JobQueue() as queue:
        handle = await queue.task(name="deep")(deep).using(delay=60).submit()
        with pytest.raises(InvalidState):
            await queue.stack(handle.id)
        with pytest.raises(JobNotFound):
            await queue.stack("no such job")
        await handle.cancel()
