"""A waiter always hears the end, and never hurts the job."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actorq import (
    JobCancelled,
    JobFailed,
    JobHandle,
    JobLost,
    JobQueue,
    JobState,
    QueueClosed,
    Retention,
    Retry,
    as_completed,
    gather,
)
from actorq.actors.context import running_attempt

ONCE = Retry(max_attempts=1)


def is_without_trace(queue: JobQueue) -> bool:
    assert queue._house is not None
    supervisor = queue._house.supervisor
    return not supervisor._waiters._by_job and not supervisor._locals


def sleeper(queue: JobQueue) -> Any:
    @queue.task(name="nap", retry=ONCE)
    async def nap(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    return nap


def failure(queue: JobQueue) -> Any:
    @queue.task(name="fail", retry=ONCE)
    async def fail() -> None:
        raise ZeroDivisionError("on purpose")

    return fail


async def test_result_is_what_the_function_returned() -> None:
    async with JobQueue() as queue:
        assert await (await sleeper(queue).submit(3.0)) == 3.0
        assert is_without_trace(queue)


async def test_cancelled_waiter_leaves_the_job_alone() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(3.0)
        with anyio.move_on_after(1) as scope:
            await handle
        assert scope.cancelled_caught
        assert (await handle.record()).state is JobState.RUNNING
        assert not queue._house.supervisor._waiters._by_job
        assert await handle == 3.0
        assert is_without_trace(queue)


async def test_waiter_that_timed_out_leaves_the_job_alone() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(3.0)
        with pytest.raises(TimeoutError):
            await handle.result(timeout=1)
        with pytest.raises(TimeoutError):
            await handle.wait(timeout=1)
        assert not queue._house.supervisor._waiters._by_job
        assert await handle.result(timeout=2) == 3.0
        assert is_without_trace(queue)


async def test_timeout_of_nothing_still_gives_the_result_of_a_job_that_has_ended() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(0.0)
        await queue.join()
        assert await handle.result(timeout=0) == 0.0
        assert await handle.wait(timeout=0) is JobState.SUCCEEDED


async def test_several_waiters_all_hear_the_end() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(1.0)
        heard = []

        async def wait() -> None:
            heard.append(await handle)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(wait)
        assert heard == [1.0] * 5
        assert is_without_trace(queue)


async def test_waiter_that_gives_up_does_not_take_the_others_with_it() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(2.0)
        heard: list[Any] = []

        async def wait(timeout: float | None) -> None:
            try:
                heard.append(await handle.result(timeout))
            except TimeoutError:
                heard.append("gave up")

        async with anyio.create_task_group() as group:
            for timeout in (None, 1.0, None):
                group.start_soon(wait, timeout)
        assert heard == ["gave up", 2.0, 2.0]
        assert is_without_trace(queue)


async def test_waiter_after_the_end_hears_it_at_once() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(1.0)
        await queue.join()
        before = anyio.current_time()
        assert [await handle, await handle, await handle.wait()] == [1.0, 1.0, JobState.SUCCEEDED]
        assert anyio.current_time() == before
        assert is_without_trace(queue)


async def test_waiter_after_retention_hears_that_the_job_is_lost() -> None:
    async with JobQueue(retention=Retention(age_s=10)) as queue:
        handle = await sleeper(queue).submit(1.0)
        await anyio.sleep(20)
        for wait in (handle.result, handle.wait, handle.record):
            with pytest.raises(JobLost) as caught:
                await wait()
            assert caught.value.job_id == handle.id


async def test_waiter_of_a_job_nobody_knows_hears_that_it_is_lost() -> None:
    async with JobQueue() as queue:
        with pytest.raises(JobLost):
            await queue.handle("nobody")
        assert is_without_trace(queue)


async def test_waiter_hears_the_result_of_a_job_that_is_not_retained() -> None:
    async with JobQueue(retention=Retention(age_s=0, count=0)) as queue:
        handle = await sleeper(queue).submit(1.0)
        assert await handle == 1.0
        assert await queue.get(handle.id) is None
        with pytest.raises(JobLost):
            await handle
        assert is_without_trace(queue)


async def test_waiter_hears_the_end_of_a_job_that_ends_in_the_same_tick() -> None:
    async with JobQueue() as queue:
        ended = anyio.Event()

        @queue.task(name="quick")
        async def quick() -> str:
            ended.set()
            return "done"

        handle = await quick.submit()
        await ended.wait()
        assert await handle.result(timeout=0.001) == "done"
        assert is_without_trace(queue)


@pytest.mark.parametrize("turns", range(6))
async def test_waiter_that_attaches_some_turns_after_the_submit_hears_the_end(turns: int) -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(0.0)
        for _ in range(turns):
            await checkpoint()
        assert await handle.result(timeout=1) == 0.0


@pytest.mark.parametrize("turns", range(6))
async def test_waiter_that_is_cancelled_about_when_the_job_ends_does_not_hurt_it(turns: int) -> None:
    async with JobQueue() as queue:
        go = anyio.Event()

        @queue.task(name="wait")
        async def wait() -> str:
            await go.wait()
            return "done"

        handle = await wait.submit()
        async with anyio.create_task_group() as group:
            group.start_soon(handle.wait)
            await anyio.sleep(1)
            go.set()
            for _ in range(turns):
                await checkpoint()
            group.cancel_scope.cancel()
        assert await handle == "done"
        assert is_without_trace(queue)


async def test_timeout_at_the_instant_of_the_end_does_not_hurt_the_job() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(1.0)
        try:
            assert await handle.result(timeout=1.0) == 1.0
        except TimeoutError:
            assert await handle == 1.0
        assert (await handle.record()).state is JobState.SUCCEEDED
        assert is_without_trace(queue)


async def test_waiter_hears_that_the_queue_is_closed() -> None:
    queue = JobQueue(drain_timeout=5)
    nap = sleeper(queue)
    heard: list[Any] = []

    async def wait(handle: JobHandle[float], how: Callable[..., Any]) -> None:
        with pytest.raises(QueueClosed) as caught:
            await how(handle)
        heard.append(caught.value.when)

    async with anyio.create_task_group() as group:
        async with queue:
            for job in (await nap.submit(100.0), await nap.using(delay=60).submit(1.0)):
                group.start_soon(wait, job, JobHandle.result)
                group.start_soon(wait, job, JobHandle.wait)
            await anyio.sleep(1)
            supervisor = queue._house.supervisor
        assert not supervisor._waiters._by_job
        assert not supervisor._locals
    assert heard == ["closed"] * 4


async def test_waiter_hears_the_end_of_a_job_that_ends_while_the_queue_drains() -> None:
    heard: list[Any] = []

    async def wait(handle: JobHandle[float]) -> None:
        heard.append(await handle)

    async with anyio.create_task_group() as group, JobQueue(drain_timeout=5) as queue:
        group.start_soon(wait, await sleeper(queue).submit(3.0))
        await anyio.sleep(1)
    assert heard == [3.0]


async def test_waiter_that_attaches_while_the_queue_is_closing_hears_the_end_of_either() -> None:
    heard: list[Any] = []
    queue = JobQueue(drain_timeout=5)
    nap = sleeper(queue)

    async def wait(handle: JobHandle[float]) -> None:
        await anyio.sleep(2)
        try:
            heard.append(await handle)
        except QueueClosed as closed:
            heard.append(closed.when)

    async with anyio.create_task_group() as group, queue:
        group.start_soon(wait, await nap.submit(3.0))
        group.start_soon(wait, await nap.submit(300.0))
        await anyio.sleep(1)
    assert heard == [3.0, "closed"]


@pytest.mark.parametrize("verb", ["result", "wait", "record", "cancel"])
async def test_handle_of_a_closed_queue_refuses(verb: str) -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(0.0)
    with pytest.raises(QueueClosed) as caught:
        await getattr(handle, verb)()
    assert caught.value.when == "closed"


async def test_handle_goes_on_when_the_queue_is_opened_again(tmp_path: Any) -> None:
    queue = JobQueue(tmp_path, drain_timeout=0, grace=1)
    nap = sleeper(queue)
    async with queue:
        handle = await nap.submit(5.0)
        await anyio.sleep(1)
    async with queue:
        assert await handle == 5.0


async def test_waiter_of_a_job_of_a_former_life_hears_its_result(tmp_path: Any) -> None:
    async with JobQueue(tmp_path) as queue:
        nap = sleeper(queue)
        ended = (await nap.submit(0.0)).id
        waiting = (await nap.using(delay=60).submit(2.0)).id
        await anyio.sleep(1)
    async with JobQueue(tmp_path) as queue:
        sleeper(queue)
        assert [await queue.handle(ended), await queue.handle(waiting)] == [0.0, 2.0]
        assert is_without_trace(queue)


async def test_waiter_of_a_failure_of_a_former_life_hears_it_as_text(tmp_path: Any) -> None:
    async with JobQueue(tmp_path) as queue:
        job_id = (await failure(queue).submit()).id
        await queue.join()
    async with JobQueue(tmp_path) as queue:
        with pytest.raises(JobFailed) as caught:
            await queue.handle(job_id)
    assert (caught.value.type, caught.value.message) == ("ZeroDivisionError", "on purpose")
    assert caught.value.__cause__ is None


async def test_waiter_in_this_process_gets_the_original_exception_as_cause() -> None:
    async with JobQueue() as queue:
        handle = await failure(queue).submit()
        with pytest.raises(JobFailed) as caught:
            await handle
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert "on purpose" in caught.value.traceback
        assert is_without_trace(queue)


async def test_cause_is_that_of_the_last_attempt() -> None:
    async with JobQueue() as queue:

        @queue.task(name="fail", retry=Retry(max_attempts=3, delay=1), context=True)
        async def fail(ctx: Any) -> None:
            raise ValueError(ctx.attempt)

        handle = await fail.submit()
        with pytest.raises(JobFailed) as caught:
            await handle
        assert caught.value.__cause__.args == (3,)
        assert caught.value.attempts == 3


async def test_wait_returns_the_state_and_never_raises_the_error_of_the_job() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        failed = await failure(queue).submit()
        dead = await failure_of_dead_letter(queue).submit()
        cancelled = await nap.submit(100.0)
        await cancelled.cancel()
        states = [await handle.wait() for handle in (failed, dead, cancelled, await nap.submit(0.0))]
    assert states == [JobState.FAILED, JobState.DEAD_LETTER, JobState.CANCELLED, JobState.SUCCEEDED]


def failure_of_dead_letter(queue: JobQueue) -> Any:
    @queue.task(name="dead", retry=ONCE, dead_letter=True)
    async def dead() -> None:
        raise ZeroDivisionError

    return dead


async def test_waiter_of_a_cancelled_job_hears_who_cancelled_it() -> None:
    async with JobQueue() as queue:
        handle = await sleeper(queue).submit(100.0)
        await anyio.sleep(1)
        assert await handle.cancel("enough")
        with pytest.raises(JobCancelled, match="client_request: enough"):
            await handle
        assert is_without_trace(queue)


async def test_waiter_of_a_job_that_was_run_again_hears_the_new_end() -> None:
    async with JobQueue() as queue:
        runs = 0

        @queue.task(name="count")
        async def count() -> int:
            nonlocal runs
            runs += 1
            await anyio.sleep(1)
            return runs

        handle = await count.submit()
        assert await handle == 1
        await queue.rerun(handle.id)
        assert await handle == 2


async def test_gather_returns_results_in_the_order_of_the_handles() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        assert await gather(await nap.submit(3.0), await nap.submit(1.0), await nap.submit(2.0)) == (3.0, 1.0, 2.0)
        assert await gather() == ()
        assert is_without_trace(queue)


async def test_gather_raises_the_first_failure_and_leaves_the_other_jobs_alone() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        one, two, three = await nap.submit(1.0), await failure(queue).submit(), await nap.submit(5.0)
        with pytest.raises(JobFailed) as caught:
            await gather(one, two, three)
        assert caught.value.job_id == two.id
        assert await three == 5.0


async def test_gather_of_a_queue_that_is_closed_hears_it() -> None:
    async def wait() -> None:
        with pytest.raises(QueueClosed):
            await gather(*handles)

    queue = JobQueue(drain_timeout=0)
    nap = sleeper(queue)
    async with anyio.create_task_group() as group, queue:
        handles = [await nap.submit(100.0) for _ in range(3)]
        group.start_soon(wait)
        await anyio.sleep(1)


async def test_as_completed_yields_in_the_order_of_ending() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        handles = [await nap.submit(3.0), await nap.submit(1.0), await nap.submit(2.0)]
        assert [await handle async for handle in as_completed(handles)] == [1.0, 2.0, 3.0]
        assert is_without_trace(queue)


async def test_as_completed_yields_whatever_the_end_and_each_job_once() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        done = await nap.submit(0.0)
        await queue.join()
        lost, failed, cancelled = queue.handle("nobody"), await failure(queue).submit(), await nap.submit(9.0)
        await cancelled.cancel()
        handles = [done, lost, failed, cancelled, done]
        seen = [handle.id async for handle in as_completed(handles)]
        assert sorted(seen) == sorted({handle.id for handle in handles})
        assert seen[:2] == [done.id, lost.id]
        assert is_without_trace(queue)


async def test_as_completed_that_is_left_early_leaves_no_trace() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        completed = as_completed([await nap.submit(1.0), await nap.submit(2.0)])
        assert await (await anext(completed)) == 1.0
        await completed.aclose()
        assert not queue._house.supervisor._waiters._by_job


async def test_as_completed_hears_that_the_queue_is_closed() -> None:
    seen = []

    async def wait() -> None:
        completed = as_completed(handles)
        seen.append((await anext(completed)).id)
        with pytest.raises(QueueClosed):
            await anext(completed)

    queue = JobQueue(drain_timeout=0)
    nap = sleeper(queue)
    async with anyio.create_task_group() as group, queue:
        handles = [await nap.submit(1.0), await nap.submit(100.0)]
        group.start_soon(wait)
        await anyio.sleep(2)
    assert seen == [handles[0].id]


async def test_as_completed_of_a_closed_queue_refuses_and_leaves_no_trace_in_another() -> None:
    async with JobQueue() as open_one:
        async with JobQueue() as closed_one:
            closed = await sleeper(closed_one).submit(0.0)
        handles = [await sleeper(open_one).submit(1.0), closed]
        with pytest.raises(QueueClosed):
            await anext(as_completed(handles))
        assert not open_one._house.supervisor._waiters._by_job


async def test_run_whose_caller_is_cancelled_cancels_the_job() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        with anyio.move_on_after(1):
            await nap.run(100.0)
        await queue.join()
        assert (await queue.stats()).counts[JobState.CANCELLED] == 1
        assert is_without_trace(queue)


async def test_run_whose_caller_is_cancelled_when_the_queue_closes_is_cancelled() -> None:
    async with JobQueue(drain_timeout=0) as queue:
        nap = sleeper(queue)
        with anyio.move_on_after(1) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(nap.run, 100.0)
                await anyio.sleep(1)
                await queue.close()
        assert scope.cancelled_caught


async def test_job_waits_for_several_jobs_at_once_with_one_worker() -> None:
    async with JobQueue(workers=1) as queue:
        nap = sleeper(queue)

        @queue.task(name="parent", retry=ONCE)
        async def parent() -> int:
            async with anyio.create_task_group() as group:
                for handle in await nap.submit_many([nap.build(float(n)) for n in range(5)]):
                    group.start_soon(handle.wait)
            return 5

        handle = await parent.submit()
        assert await handle.result(timeout=100) == 5
        stats = await queue.stats()
        assert (stats.lent_slots, stats.idle_workers) == (0, 1)


async def test_what_a_job_has_left_behind_may_still_wait_for_jobs() -> None:
    async with JobQueue(workers=1) as queue, anyio.create_task_group() as group:
        nap = sleeper(queue)
        results = []

        async def wait(handle: JobHandle[float]) -> None:
            await anyio.sleep(1)
            results.append(await handle)

        @queue.task(name="parent")
        async def parent() -> None:
            handle = await nap.submit(5.0)
            group.start_soon(wait_as, running_attempt.get(), handle)

        async def wait_as(attempt: Any, handle: JobHandle[float]) -> None:
            running_attempt.set(attempt)
            await wait(handle)

        await (await parent.submit())
        await queue.join()
        await anyio.sleep(1)
        assert results == [5.0]


async def test_what_a_job_has_left_behind_waits_for_room_like_anybody() -> None:
    async with JobQueue(max_pending=1) as queue, anyio.create_task_group() as group:
        nap = sleeper(queue)
        results = []

        @queue.task(name="parent")
        async def parent() -> None:
            group.start_soon(submit, running_attempt.get())

        async def submit(attempt: Any) -> None:
            running_attempt.set(attempt)
            await anyio.sleep(2)
            results.append(await nap.run(1.0))

        await parent.run()
        await anyio.sleep(1)
        await nap.run(5.0)
        await anyio.sleep(2)
        assert results == [1.0]


async def test_request_that_is_submitted_again_leaves_no_trace() -> None:
    async with JobQueue() as queue:
        nap = sleeper(queue)
        request = nap.build(1.0)
        [first] = await nap.submit_many([request])
        [second] = await nap.submit_many([request])
        assert first == second
        assert await second == 1.0
        await nap.submit_many([request])
        assert (await queue.stats()).submitted == 1
        assert is_without_trace(queue)


async def test_ephemeral_job_leaves_no_trace() -> None:
    async with JobQueue() as queue:
        assert await (await queue.submit(lambda: 5)) == 5
        assert is_without_trace(queue)


async def test_job_that_was_refused_leaves_no_trace() -> None:
    async with JobQueue(max_pending=1) as queue:
        nap = sleeper(queue)
        handle = await nap.submit(5.0)
        with anyio.move_on_after(1):
            await nap.submit(1.0)
        with anyio.move_on_after(1):
            await queue.submit(lambda: 5)
        await handle
        assert is_without_trace(queue)


async def test_cancelled_job_leaves_no_trace() -> None:
    async with JobQueue() as queue:
        for delay in (0.0, 60.0):
            handle = await sleeper_once(queue, delay).submit(5.0)
            await anyio.sleep(1)
            await handle.cancel()
            await handle.wait()
        assert is_without_trace(queue)


def sleeper_once(queue: JobQueue, delay: float) -> Any:
    return queue.task(name=f"nap after {delay}")(anyio.sleep).using(delay=delay)


async def test_many_waiters_on_many_jobs_leave_no_trace() -> None:
    async with JobQueue(workers=3, max_pending=50) as queue:
        nap = sleeper(queue)

        async def submit_and_wait(n: int) -> None:
            handle = await nap.submit(n % 7 / 10)
            with anyio.move_on_after(n % 5):
                await handle
            assert await handle.wait() is JobState.SUCCEEDED

        async with anyio.create_task_group() as group:
            for n in range(300):
                group.start_soon(submit_and_wait, n)
        assert is_without_trace(queue)
        stats = await queue.stats()
        assert stats.counts[JobState.SUCCEEDED] + stats.removed == stats.submitted == 300
