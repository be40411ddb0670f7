"""A task: declared once, submitted in many ways; options of a call win over those of the task."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import (
    InvalidOption,
    JobCancelled,
    JobContext,
    JobFailed,
    JobQueue,
    JobState,
    Priority,
    QueueFull,
    Retry,
    UnstorableTask,
)
from actorq.errors import UnknownTask


async def double(n: int) -> int:
    await checkpoint()
    return 2 * n


# -- declaring -------------------------------------------------------------------------------------


def test_a_task_has_the_name_and_the_words_of_its_function():
    async def send() -> None:
        """Send it."""

    task = JobQueue().task(name="send")(send)
    assert (task.name, task.__doc__, repr(task)) == ("send", "Send it.", "<Task send>")


def test_a_task_without_a_name_is_found_under_module_and_name():
    assert JobQueue().task(double).name == f"{__name__}.double"


async def test_calling_a_task_calls_the_plain_function():
    task = JobQueue().task(double)
    assert await task(4) == 8
    assert task.fn is double


async def test_the_bare_decorator_makes_a_task():
    async with JobQueue() as queue:
        task = queue.task(double)
        assert await (await task.submit(21)) == 42


async def test_a_decorator_with_options_makes_a_task_that_has_them():
    async with JobQueue() as queue:
        task = queue.task(priority=Priority.HIGH, tags=["x"])(double)
        record = await (await task.submit(1)).record()
    assert (record.priority, record.tags) == (10, {"x": ""})


async def test_a_sync_function_runs_in_a_thread():
    def where() -> bool:
        try:
            anyio.get_current_task()
        except Exception:  # noqa: BLE001 - no loop here: what it is called depends on the loop
            return True
        return False

    async with JobQueue() as queue:
        assert await queue.task(name="where")(where).run() is True


async def test_context_is_the_first_argument_where_it_is_asked_for():
    async def who(ctx: JobContext, word: str) -> list[object]:
        return [word, ctx.task, ctx.attempt, ctx.max_attempts]

    async with JobQueue() as queue:
        task = queue.task(name="who", context=True)(who)
        assert await task.run("me") == ["me", "who", 1, 3]


async def test_a_sync_function_may_have_a_context_too():
    def who(ctx: JobContext, word: str) -> str:
        ctx.heartbeat()
        return word + ctx.task

    async with JobQueue() as queue:
        assert await queue.task(name="who", context=True)(who).run("me") == "mewho"


async def test_a_task_that_is_declared_while_the_queue_is_open_runs():
    async with JobQueue() as queue:
        await checkpoint()
        assert await queue.task(double).run(3) == 6


@pytest.mark.parametrize("context", [True, False])
def test_a_context_needs_a_parameter_to_stand_in(context: bool):
    queue = JobQueue()

    async def nothing() -> None: ...

    if context:
        with pytest.raises(UnstorableTask, match="wants a first parameter"):
            queue.task(name="nothing", context=True)(nothing)
    else:
        queue.task(name="nothing")(nothing)


# -- using -----------------------------------------------------------------------------------------


async def test_options_of_a_call_win_over_those_of_the_task():
    async with JobQueue() as queue:
        task = queue.task(priority=1, timeout=5, retry=Retry(max_attempts=7))(double)
        record = await (await task.using(priority=2, timeout=None).submit(1)).record()
    assert (record.options.priority, record.options.timeout, record.max_attempts) == (2, None, 7)


async def test_using_leaves_the_task_as_it_was():
    async with JobQueue() as queue:
        task = queue.task(priority=1)(double)
        task.using(priority=2, delay=10)
        record = await (await task.submit(1)).record()
    assert (record.priority, record.state) == (1, JobState.SUCCEEDED if record.state.is_final else record.state)


async def test_using_can_be_said_again_and_the_last_word_wins():
    async with JobQueue() as queue:
        task = queue.task(double).using(priority=1, tags={"a": "1"}).using(priority=2)
        record = await (await task.submit(1)).record()
    assert (record.priority, record.tags) == (2, {"a": "1"})


@pytest.mark.parametrize(
    "declare", [lambda q: q.task(prio=1), lambda q: q.task(double).using(prio=1)], ids=["task", "using"]
)
def test_an_option_that_does_not_exist_is_a_type_error_that_names_those_that_do(declare: Callable[..., Any]):
    with pytest.raises(TypeError, match="unknown option prio; there are retry, timeout"):
        declare(JobQueue())


def test_what_only_a_call_can_say_is_unknown_to_a_declaration():
    with pytest.raises(TypeError, match="unknown option delay"):
        JobQueue().task(delay=1)(double)  # type: ignore[call-overload]


async def test_a_delay_holds_a_job_until_it_is_over():
    async with JobQueue() as queue:
        task = queue.task(double).using(delay=timedelta(hours=1))
        start = anyio.current_time()
        handle = await task.submit(1)
        assert (await handle.record()).hold_reason == "delay"
        await handle
    assert anyio.current_time() - start == pytest.approx(3600, abs=0.001)


@pytest.mark.parametrize("as_epoch", [False, True])
async def test_run_at_is_an_aware_datetime_or_seconds_since_the_epoch(as_epoch: bool):
    async with JobQueue() as queue:
        start = anyio.current_time()
        at = datetime.now(UTC) + timedelta(hours=1)
        await queue.task(double).using(run_at=at.timestamp() if as_epoch else at).run(1)
    assert anyio.current_time() - start == pytest.approx(3600, abs=5)


async def test_run_at_in_the_past_runs_at_once():
    async with JobQueue() as queue:
        start = anyio.current_time()
        await queue.task(double).using(run_at=1.0).run(1)
    assert anyio.current_time() == start


def test_run_at_without_a_time_zone_is_refused():
    with pytest.raises(InvalidOption, match="has no time zone"):
        JobQueue().task(double).using(run_at=datetime(2030, 1, 1))  # noqa: DTZ001


async def test_of_delay_and_run_at_the_later_word_stands():
    async with JobQueue() as queue:
        start = anyio.current_time()
        await queue.task(double).using(run_at=datetime.now(UTC) + timedelta(days=9)).using(delay=5).run(1)
    assert anyio.current_time() - start == pytest.approx(5, abs=0.001)


# -- submitting ------------------------------------------------------------------------------------


async def test_submit_returns_a_handle_that_is_awaited_for_the_result():
    async with JobQueue() as queue:
        handle = await queue.task(double).submit(n=4)
        assert await handle == 8


async def test_submit_nowait_needs_no_await():
    async with JobQueue() as queue:
        handle = queue.task(double).submit_nowait(4)
        assert await handle == 8


async def test_submit_nowait_is_refused_where_there_is_no_room():
    async with JobQueue(max_pending=1) as queue:
        task = queue.task(double)
        first = task.using(delay=1).submit_nowait(1)
        with pytest.raises(QueueFull):
            task.submit_nowait(2)
        assert (await queue.stats()).submitted == 1
        await first


async def test_submit_many_returns_the_handles_in_order():
    async with JobQueue() as queue:
        task = queue.task(double)
        handles = await task.submit_many(task.build(n) for n in range(50))
        assert [await handle for handle in handles] == [2 * n for n in range(50)]


async def test_submit_many_of_nothing_is_nothing():
    async with JobQueue() as queue:
        assert await queue.task(double).submit_many([]) == []


async def test_submit_many_takes_each_request_with_its_own_options():
    async with JobQueue() as queue:
        task = queue.task(double)
        now, later = await task.submit_many([task.build(1), task.using(delay=9).build(2)])
        await now
        assert (await later.record()).state is JobState.SCHEDULED


async def test_submit_many_takes_all_or_none():
    async with JobQueue(max_pending=3) as queue:
        task = queue.task(double)
        with pytest.raises(QueueFull):
            await task.submit_many([task.build(n) for n in range(4)])
        assert (await queue.stats()).submitted == 0


async def test_submit_many_is_all_or_none_also_with_a_request_of_another_queue():
    async with JobQueue() as queue, JobQueue(name="other") as other:
        task, stranger = queue.task(double), other.task(name="strange")(double)
        with pytest.raises(UnknownTask, match="built for another queue than 'default'"):
            await task.submit_many([task.build(1), stranger.build(2)])
        assert (await queue.stats()).submitted == 0


async def test_a_request_is_accepted_once_however_often_it_is_submitted():
    async with JobQueue() as queue:
        task = queue.task(double)
        request = task.build(4)
        handles = [(await task.submit_many([request]))[0] for _ in range(3)]
        assert [await handle for handle in handles] == [8, 8, 8]
        assert (await queue.stats()).submitted == 1


async def test_a_request_that_is_built_is_created_and_not_in_the_queue():
    async with JobQueue() as queue:
        request = queue.task(double).build(4)
        assert request.state is JobState.CREATED
        assert await queue.get(request.id) is None


def test_a_request_can_be_built_before_the_queue_is_open():
    assert JobQueue().task(double).build(4).task.endswith("double")


# -- run -------------------------------------------------------------------------------------------


async def test_run_is_submit_and_await():
    async with JobQueue() as queue:
        assert await queue.task(double).run(4) == 8


async def test_run_raises_what_became_of_the_job():
    async def fail() -> None:
        raise KeyError("x")

    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match="KeyError") as caught:
            await queue.task(name="fail", retry=Retry(max_attempts=1))(fail).run()
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_caller_of_run_who_is_cancelled_cancels_the_job():
    async with JobQueue() as queue:
        task = queue.task(name="sleep")(anyio.sleep)
        with anyio.move_on_after(1):
            await task.run(100)
        await queue.join()
        stats = await queue.stats()
    assert stats.counts[JobState.CANCELLED] == 1


async def test_a_caller_of_run_who_is_cancelled_while_the_job_waits_cancels_it_too():
    async with JobQueue() as queue:
        task = queue.task(double).using(delay=1000)
        with anyio.move_on_after(1):
            await task.run(100)
        assert (await queue.stats()).counts[JobState.CANCELLED] == 1
    assert anyio.current_time() < 100


# -- map -------------------------------------------------------------------------------------------


async def test_map_yields_the_results_in_the_order_of_the_items():
    async def reverse(n: int) -> int:
        await anyio.sleep(100 - n)
        return n

    async with JobQueue(workers=3) as queue:
        task = queue.task(name="reverse")(reverse)
        assert [n async for n in task.map(range(40))] == list(range(40))


async def test_map_draws_only_so_many_items_at_a_time():
    drawn, ahead = 0, []

    def items() -> Iterator[int]:
        nonlocal drawn
        for n in range(50):
            drawn += 1
            yield n

    async with JobQueue(workers=2) as queue:
        taken = 0
        async for _ in queue.task(double).map(items()):
            taken += 1
            ahead.append(drawn - taken)
    assert taken == 50
    assert max(ahead) <= 2 * 2


async def test_map_raises_the_failure_of_a_job_in_its_turn():
    async def half(n: int) -> int:
        if n % 2:
            raise ValueError(n)
        return n // 2

    seen = []
    async with JobQueue() as queue:
        task = queue.task(name="half", retry=Retry(max_attempts=1))(half)
        with pytest.raises(JobFailed):  # noqa: PT012 - a loop is what raises
            async for n in task.map([2, 4, 5, 6]):
                seen.append(n)  # noqa: PERF401 - what came before the failure counts
    assert seen == [1, 2]


async def test_map_of_nothing_is_nothing():
    async with JobQueue() as queue:
        assert [n async for n in queue.task(double).map([])] == []


async def test_map_waits_for_room():
    async with JobQueue(workers=3, max_pending=2) as queue:
        assert [n async for n in queue.task(double).map(range(10))] == [2 * n for n in range(10)]


# -- undecorated callables ------------------------------------------------------------------------


class Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    async def add(self, n: int) -> int:
        return n + self.by

    async def __call__(self, n: int) -> int:
        return n + self.by


async def async_lambda(n: int) -> int:
    await checkpoint()
    return n + 1


@pytest.mark.parametrize(
    "fn",
    [
        lambda n: n + 1,
        partial(lambda by, n: n + by, 1),
        partial(async_lambda),
        Adder(1).add,
        Adder(1),
        lambda n: async_lambda(n),  # noqa: PLW0108 - the wrapping is what it is about
    ],
    ids=["lambda", "partial", "partial of async", "bound method", "callable object", "lambda around async"],
)
async def test_any_callable_can_be_submitted(fn: Callable[[int], Any]):
    async with JobQueue() as queue:
        assert await (await queue.submit(fn, 41)) == 42


async def test_a_job_of_an_undecorated_callable_says_that_it_is_not_stored():
    async with JobQueue() as queue:
        handle = await queue.submit(async_lambda, 1)
        await handle
        assert (await handle.record()).ephemeral


async def test_the_arguments_of_an_undecorated_callable_stay_the_objects_they_are():
    box: list[object] = []
    async with JobQueue() as queue:
        await (await queue.submit(lambda it: it.append(it is box), box))
    assert box == [True]


async def test_an_undecorated_callable_runs_once():
    runs = []

    async def fail() -> None:
        runs.append(1)
        raise ValueError

    async with JobQueue() as queue:
        with pytest.raises(JobFailed):
            await (await queue.submit(fail))
    assert runs == [1]


async def test_an_undecorated_callable_is_not_run_again_as_its_function_was_not_kept():
    async with JobQueue() as queue:
        handle = await queue.submit(async_lambda, 1)
        await handle
        with pytest.raises(Exception, match="its function was not kept"):
            await queue.rerun(handle.id)
        assert (await queue.stats()).lost_workers == 0


async def test_an_undecorated_callable_can_be_cancelled():
    async with JobQueue() as queue:
        handle = await queue.submit(anyio.sleep, 100)
        await checkpoint()
        assert await handle.cancel("enough")
        with pytest.raises(JobCancelled, match="enough"):
            await handle
