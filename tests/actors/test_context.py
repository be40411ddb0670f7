"""An attempt sees the context of its submission, and no other."""

import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from actorq import AttemptCancelled, InvalidOption, JobCancelled, JobContext, JobFailed, JobQueue, Retry, current_job
from actorq.core.job import Job, JobOptions, JobState

who: ContextVar[str] = ContextVar("who", default="nobody")


def asker(queue: JobQueue) -> Any:
    @queue.task(name="ask")
    async def ask() -> str:
        await checkpoint()
        return who.get()

    return ask


async def test_attempt_sees_the_value_that_its_submitter_had_when_he_submitted() -> None:
    async with JobQueue() as queue:
        ask = asker(queue)
        who.set("ada")
        handle = await ask.using(delay=5).submit()
        who.set("bob")
        assert await handle == "ada"


@pytest.mark.parametrize("how", ["submit", "submit_nowait", "submit_many", "run", "queue.submit"])
async def test_every_way_to_submit_carries_the_context(how: str) -> None:
    async with JobQueue() as queue:
        ask = asker(queue)
        who.set(how)
        match how:
            case "submit":
                seen = await (await ask.submit())
            case "submit_nowait":
                seen = await ask.submit_nowait()
            case "submit_many":
                seen = await (await ask.submit_many([ask.build()]))[0]
            case "run":
                seen = await ask.run()
            case _:
                seen = await (await queue.submit(ask.fn))
        assert seen == how


async def test_submissions_see_each_their_own_context_with_one_worker() -> None:
    async with JobQueue(workers=1) as queue:
        ask = asker(queue)
        seen = {}

        async def submit(name: str) -> None:
            who.set(name)
            seen[name] = await ask.run()

        async with anyio.create_task_group() as group:
            for n in range(20):
                group.start_soon(submit, f"user {n}")
        assert seen == {name: name for name in seen}
        assert len(seen) == 20


async def test_attempts_that_take_turns_keep_their_contexts_apart() -> None:
    async with JobQueue(workers=5) as queue:

        @queue.task(name="turns")
        async def turns(name: str) -> list[str]:
            seen = []
            for _ in range(10):
                seen.append(who.get())
                who.set(f"{name} inside")
                await checkpoint()
            return seen

        async def submit(name: str) -> None:
            who.set(name)
            assert await turns.run(name) == [name] + [f"{name} inside"] * 9

        async with anyio.create_task_group() as group:
            for n in range(5):
                group.start_soon(submit, f"user {n}")


async def test_attempt_never_sees_the_context_of_whoever_opened_the_queue() -> None:
    who.set("opener")
    async with JobQueue() as queue:
        ask = asker(queue)
        seen = []

        async def submit() -> None:
            who.set("submitter")
            seen.append(await ask.run())

        async with anyio.create_task_group() as group:
            group.start_soon(submit)
        assert seen == ["submitter"]


async def test_what_a_job_sets_is_seen_by_nobody_else() -> None:
    async with JobQueue(workers=1) as queue:
        ask = asker(queue)

        @queue.task(name="set")
        async def set_it() -> None:
            who.set("leaked")
            await checkpoint()

        @queue.task(name="set in thread")
        def set_in_thread() -> None:
            who.set("leaked")

        who.set("ada")
        await set_it.run()
        await set_in_thread.run()
        assert who.get() == "ada"
        assert await ask.run() == "ada"


async def test_each_retry_sees_the_context_afresh() -> None:
    async with JobQueue() as queue:
        seen = []

        @queue.task(name="retry", retry=Retry(max_attempts=3, delay=1))
        async def retry() -> None:
            seen.append(who.get())
            who.set("changed by an attempt")
            if len(seen) < 3:
                raise ValueError

        who.set("ada")
        handle = await retry.submit()
        who.set("bob")
        await handle
        assert seen == ["ada"] * 3


async def test_after_a_restart_the_context_is_a_clean_one(tmp_path: Path) -> None:
    who.set("ada")
    async with JobQueue(tmp_path) as queue:
        handle = await asker(queue).using(delay=10).submit()
    async with JobQueue(tmp_path) as queue:
        asker(queue)
        assert await queue.handle(handle.id) == "nobody"


async def test_submission_from_a_job_carries_the_context_of_that_job() -> None:
    async with JobQueue() as queue:
        ask = asker(queue)

        @queue.task(name="parent")
        async def parent() -> list[str]:
            before = await ask.run()
            who.set("parent")
            return [before, await ask.run()]

        who.set("ada")
        assert await parent.run() == ["ada", "parent"]


async def test_current_job_is_known_in_the_function_and_below_it() -> None:
    async with JobQueue() as queue:

        async def below() -> str:
            await checkpoint()
            return current_job().job_id

        @queue.task(name="work", context=True)
        async def work(ctx: JobContext) -> list[str]:
            assert current_job() is ctx
            seen = [await below()]

            async def child() -> None:
                seen.append(await below())

            async with anyio.create_task_group() as group:
                group.start_soon(child)
            seen.append(await anyio.to_thread.run_sync(lambda: current_job().job_id))
            return seen

        handle = await work.submit()
        assert await handle == [handle.id] * 3


async def test_current_job_is_known_in_a_function_that_runs_in_a_thread() -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        def work(ctx: JobContext) -> tuple[str, bool]:
            assert current_job() is ctx
            return current_job().job_id, threading.current_thread() is threading.main_thread()

        handle = await work.submit()
        assert await handle == (handle.id, False)


async def test_current_job_of_a_job_that_was_submitted_by_a_job_is_its_own() -> None:
    async with JobQueue() as queue:

        @queue.task(name="child")
        async def child() -> str:
            return current_job().job_id

        @queue.task(name="parent")
        async def parent() -> bool:
            handle = await child.submit()
            assert await handle == handle.id
            return current_job().job_id != handle.id

        assert await parent.run()


async def test_current_job_outside_a_job_is_refused() -> None:
    async with JobQueue() as queue:
        await asker(queue).run()
        with pytest.raises(RuntimeError, match="No job is running here"):
            current_job()


async def test_context_tells_which_attempt_it_is() -> None:
    async with JobQueue() as queue:
        seen = []

        @queue.task(name="work", context=True, retry=Retry(max_attempts=2), tags={"for": "ada"}, deadline=100)
        async def work(ctx: JobContext) -> None:
            seen.append((ctx.task, ctx.attempt, ctx.max_attempts, ctx.claim, dict(ctx.tags), ctx.cancel_reason))
            assert ctx.deadline_at is not None
            if ctx.attempt == 1:
                raise ValueError

        await work.run()
        assert seen == [("work", n, 2, n, {"for": "ada"}, None) for n in (1, 2)]


async def test_a_coroutine_with_a_loop_of_its_own_may_say_all_that_others_may() -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", context=True, run_in="thread")
        async def work(ctx: JobContext) -> None:
            ctx.heartbeat()
            ctx.progress(0.5)
            ctx.log("a line")
            ctx.extend(1)
            assert current_job() is ctx

        handle = await work.submit()
        await handle
        record = await handle.record()
    assert [line.message for line in record.log] == ["a line"]


async def test_what_is_refused_is_raised_in_the_thread_that_said_it() -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        def work(ctx: JobContext) -> None:
            with pytest.raises(InvalidOption):
                ctx.progress(2)

        await work.run()


# -- being asked to stop -------------------------------------------------------------------------------


async def test_a_thread_that_looks_sees_that_it_is_asked_to_stop_and_why() -> None:
    seen: list[Any] = []
    looked = threading.Event()
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        def work(ctx: JobContext) -> None:
            seen.append((ctx.cancelled, ctx.check(), ctx.cancel_reason))
            looked.set()
            ctx.wait_cancelled()
            seen.append((ctx.cancelled, ctx.cancel_reason))
            try:
                ctx.check()
            except Exception:  # noqa: BLE001 - what must not stop it
                seen.append("swallowed")
            except AttemptCancelled as error:
                seen.append(error.reason)
                raise

        handle = await work.submit()
        await anyio.to_thread.run_sync(looked.wait)
        await handle.cancel("enough")
        with pytest.raises(JobCancelled, match="enough"):
            await handle
    assert seen == [(False, None, None), (True, "client_request"), "client_request"]


async def test_a_function_on_the_loop_that_was_shielded_can_look_whether_it_is_asked_to_stop() -> None:
    seen: list[bool] = []
    async with JobQueue() as queue:

        @queue.task(name="work", context=True, timeout=4.5, retry=Retry(max_attempts=1))
        async def work(ctx: JobContext) -> None:
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    seen.append(ctx.cancelled)
                    ctx.check()
                    await anyio.sleep(1)

        with pytest.raises(JobFailed, match="timeout"):
            await work.run()
    assert seen == [False] * 5 + [True]


async def test_a_function_that_says_it_was_cancelled_and_was_not_has_failed_like_any_other() -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", retry=Retry(max_attempts=2, delay=0))
        async def work() -> None:
            raise AttemptCancelled

        with pytest.raises(JobFailed) as caught:
            await work.run()
    assert (caught.value.reason, caught.value.type, caught.value.attempts) == ("error", "AttemptCancelled", 2)


async def test_a_thread_that_sleeps_for_its_cancellation_wakes_after_so_many_seconds() -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        def work(ctx: JobContext) -> bool:
            return ctx.wait_cancelled(0.01)

        assert await work.run() is False


async def test_a_cancellation_wakes_every_thread_of_the_attempt_that_sleeps() -> None:
    async with JobQueue() as queue:
        woken: list[bool] = []
        asleep = threading.Barrier(4)

        @queue.task(name="work", context=True, timeout=1, retry=Retry(max_attempts=1))
        def work(ctx: JobContext) -> None:
            def sleep() -> None:
                asleep.wait()
                woken.append(ctx.wait_cancelled())

            helpers = [threading.Thread(target=sleep) for _ in range(3)]
            for helper in helpers:
                helper.start()
            asleep.wait()
            woken.append(ctx.wait_cancelled())
            for helper in helpers:
                helper.join()

        with pytest.raises(JobFailed, match="timeout"):
            await work.run()
    assert woken == [True] * 4


async def test_sleeping_for_a_cancellation_is_refused_where_it_would_block_the_loop() -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        async def work(ctx: JobContext) -> None:
            with pytest.raises(RuntimeError, match="would block the event loop"):
                ctx.wait_cancelled(1)

        await work.run()


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
async def test_sleeping_for_what_is_no_time_is_refused(timeout: Any) -> None:
    async with JobQueue() as queue:

        @queue.task(name="work", context=True)
        def work(ctx: JobContext) -> None:
            with pytest.raises(InvalidOption):
                ctx.wait_cancelled(timeout)

        await work.run()


def test_a_thread_that_speaks_to_a_loop_that_ends_meanwhile_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.actors.context.LOOP_ASK_S", 0.001)

    class Ending:
        """The home of a loop that takes one more call, and ends without making it."""

        thread, queue, took = -1, None, False

        def call_soon(self, fn: object) -> None:
            if self.took:
                raise RuntimeError
            self.took = True

    job = Job("a", 1, "work", b"[[], {}]", JobOptions(), JobState.RUNNING, 0.0, 0.0)
    with pytest.raises(AttemptCancelled):
        JobContext(job, Ending()).heartbeat()
