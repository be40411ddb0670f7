"""Five limits, five outcomes; and what a function may say about its own run."""

import time
from itertools import pairwise

import anyio
import pytest

from actorq import (
    CancelJob,
    JobCancelled,
    JobContext,
    JobFailed,
    JobQueue,
    JobState,
    Retry,
    RetryAfter,
    Snooze,
    Unrecoverable,
)

ONCE = Retry(max_attempts=1)
PLAIN = Retry(max_attempts=3, delay=10, backoff="fixed", jitter=0)


async def sleep(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


# -- timeout ---------------------------------------------------------------------------------------


async def test_an_attempt_that_takes_too_long_ends_with_reason_timeout():
    async with JobQueue() as queue:
        with pytest.raises(JobFailed) as caught:
            await queue.task(timeout=5, retry=ONCE)(sleep).run(100)
        assert anyio.current_time() == pytest.approx(5)
    assert caught.value.reason == "timeout"


async def test_timeout_counts_for_each_attempt_anew():
    async with JobQueue() as queue:
        handle = await queue.task(timeout=5, retry=PLAIN)(sleep).submit(100)
        await handle.wait()
        assert anyio.current_time() == pytest.approx(3 * 5 + 2 * 10)
        record = await handle.record()
    assert [error.reason for error in record.error_history] == ["timeout"] * 3


async def test_an_attempt_that_ends_in_time_is_not_disturbed():
    async with JobQueue() as queue:
        assert await queue.task(timeout=5)(sleep).run(4.9) == 4.9
        await anyio.sleep(10)
        assert (await queue.stats()).late_reports == 0


async def test_extend_moves_the_timeout():
    async def work(ctx: JobContext) -> str:
        await anyio.sleep(4)
        ctx.extend(5)
        await anyio.sleep(5)
        return "done"

    async with JobQueue() as queue:
        assert await queue.task(name="work", context=True, timeout=5, retry=ONCE)(work).run() == "done"


async def test_extend_moves_it_only_so_far():
    async def work(ctx: JobContext) -> None:
        ctx.extend(5)
        await anyio.sleep(100)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True, timeout=5, retry=ONCE)(work).submit()
        await handle.wait()
        assert anyio.current_time() == pytest.approx(10)


# -- heartbeat -------------------------------------------------------------------------------------


async def test_a_silent_attempt_is_flagged_then_cancelled_and_retried():
    reasons: list[str | None] = []

    async def work(ctx: JobContext) -> str:
        if ctx.attempt == 1:
            try:
                await anyio.sleep(100)
            finally:
                reasons.append(ctx.cancel_reason)
        return "done"

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True, heartbeat_timeout=5, retry=PLAIN)(work).submit()
        assert await handle == "done"
        async with handle.watch(after=0) as events:
            names = [(await anext(events)).name for _ in range(7)]  # type: ignore[union-attr]
    assert names == ["submitted", "started", "stalled", "retry_scheduled", "became_due", "started", "succeeded"]
    assert reasons == ["heartbeat"]


@pytest.mark.parametrize("sign", ["heartbeat", "progress", "log"])
async def test_signs_of_life_keep_an_attempt_alive(sign: str):
    async def work(ctx: JobContext) -> None:
        for _ in range(10):
            await anyio.sleep(4)
            {"heartbeat": ctx.heartbeat, "progress": lambda: ctx.progress(0.5), "log": lambda: ctx.log("x")}[sign]()

    async with JobQueue() as queue:
        await queue.task(name="work", context=True, heartbeat_timeout=5, retry=ONCE)(work).run()


async def test_a_job_that_waits_for_another_is_not_silent():
    async with JobQueue() as queue:
        inner = queue.task(sleep)

        async def outer() -> float:
            return await inner.run(100)

        assert await queue.task(name="outer", heartbeat_timeout=5, retry=ONCE)(outer).run() == 100


@pytest.mark.real_time
async def test_a_blocked_loop_does_not_declare_healthy_jobs_stalled():
    async def healthy(ctx: JobContext) -> int:
        for _ in range(16):
            await anyio.sleep(0.05)
            ctx.heartbeat()
        return ctx.attempt

    async with JobQueue() as queue:
        handle = await queue.task(name="healthy", context=True, heartbeat_timeout=0.3)(healthy).submit()
        await anyio.sleep(0.12)
        time.sleep(0.7)  # noqa: ASYNC251 - the crime itself
        assert await handle == 1
        assert (await handle.record()).attempt == 1


@pytest.mark.real_time
async def test_a_job_that_blocks_the_loop_and_beats_does_not_harm_the_others():
    async def healthy(ctx: JobContext) -> int:
        for _ in range(16):
            await anyio.sleep(0.05)
            ctx.heartbeat()
        return ctx.attempt

    async def rude(ctx: JobContext) -> None:
        for _ in range(20):
            time.sleep(0.04)  # noqa: ASYNC251 - the crime itself
            ctx.heartbeat()

    async with JobQueue() as queue:
        handle = await queue.task(name="healthy", context=True, heartbeat_timeout=0.3)(healthy).submit()
        await anyio.sleep(0.12)
        await queue.task(name="rude", context=True)(rude).run()
        assert await handle == 1


# -- expires and deadline ---------------------------------------------------------------------------


async def test_a_job_that_is_not_started_in_time_expires_and_never_runs():
    async with JobQueue(workers=1) as queue:
        task = queue.task(sleep)
        await task.submit(100)
        handle = await task.using(expires=5).submit(1)
        with pytest.raises(JobFailed) as caught:
            await handle
        assert anyio.current_time() == pytest.approx(5)
    assert (caught.value.reason, caught.value.attempts) == ("expired", 0)


async def test_a_job_that_was_started_in_time_does_not_expire():
    async with JobQueue() as queue:
        assert await queue.task(expires=5)(sleep).run(100) == 100


async def test_a_delay_longer_than_expires_expires():
    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match="expired"):
            await queue.task(sleep).using(expires=5, delay=10).run(1)


async def test_deadline_covers_all_attempts_and_waits():
    async def fail() -> None:
        await anyio.sleep(3)
        raise ValueError

    async with JobQueue() as queue:
        handle = await queue.task(name="fail", deadline=20, retry=PLAIN)(fail).submit()
        with pytest.raises(JobFailed) as caught:
            await handle  # 3 run, 10 wait, 3 run, and 4 of the next wait
        assert anyio.current_time() == pytest.approx(20)
    assert (caught.value.reason, caught.value.attempts) == ("deadline", 2)


async def test_deadline_ends_a_run():
    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match="deadline"):
            await queue.task(deadline=20)(sleep).run(100)
        assert anyio.current_time() == pytest.approx(20)


async def test_a_function_can_read_its_deadline():
    async def left(ctx: JobContext) -> float | None:
        return ctx.deadline_at

    async with JobQueue() as queue:
        at = await queue.task(name="left", context=True, deadline=20)(left).run()
        assert at is not None
        assert at - time.time() == pytest.approx(20, abs=5)


# -- retry -----------------------------------------------------------------------------------------


async def starts_of(queue: JobQueue, retry: Retry) -> list[float]:
    starts: list[float] = []

    async def fail() -> None:
        starts.append(anyio.current_time())
        raise ValueError

    await (await queue.task(name="fail", retry=retry)(fail).submit()).wait()
    return [round(after - before, 3) for before, after in pairwise(starts)]


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        (Retry(max_attempts=4, delay=10, backoff="fixed", jitter=0), [10, 10, 10]),
        (Retry(max_attempts=4, delay=10, backoff="linear", jitter=0), [10, 20, 30]),
        (Retry(max_attempts=5, delay=10, factor=3, cap=100, jitter=0), [10, 30, 90, 100]),
        (Retry(max_attempts=3, delay=0), [0, 0]),
        (Retry(max_attempts=1), []),
    ],
    ids=["fixed", "linear", "exponential", "at once", "never"],
)
async def test_attempts_follow_after_the_delays_of_the_rule(retry: Retry, waits: list[float]):
    async with JobQueue() as queue:
        assert await starts_of(queue, retry) == waits


async def test_jitter_only_lengthens():
    async with JobQueue() as queue:
        (wait,) = await starts_of(queue, Retry(max_attempts=2, delay=10, jitter=0.5))
    assert 10 <= wait <= 15


class MyOSError(ConnectionError):
    pass


@pytest.mark.parametrize(
    ("rule", "error", "runs"),
    [
        ({"on": OSError}, MyOSError, 2),
        ({"on": OSError}, ValueError, 1),
        ({"on": (ValueError, OSError)}, ValueError, 2),
        ({"never": OSError}, MyOSError, 1),
        ({"never": OSError}, ValueError, 2),
        ({"on": Exception, "never": ConnectionError}, MyOSError, 1),
        ({"on": MyOSError}, OSError, 1),
    ],
    ids=["on, subclass", "on, other", "on, of several", "never, subclass", "never, other", "never wins", "on, base"],
)
async def test_the_type_of_the_exception_decides_whether_there_is_another(rule, error, runs):  # type: ignore[no-untyped-def]
    async def fail() -> None:
        raise error

    async with JobQueue() as queue:
        handle = await queue.task(name="fail", retry=Retry(max_attempts=2, **rule))(fail).submit()
        await handle.wait()
        assert (await handle.record()).attempt == runs


async def test_retry_after_is_another_attempt_when_the_function_says():
    starts: list[float] = []

    async def work() -> str:
        starts.append(anyio.current_time())
        if len(starts) == 1:
            raise RetryAfter(33)
        return "done"

    async with JobQueue() as queue:
        handle = await queue.task(name="work", retry=PLAIN)(work).submit()
        assert await handle == "done"
        assert (await handle.record()).attempt == 2
    assert starts[1] - starts[0] == pytest.approx(33)


async def test_retry_after_does_not_go_beyond_the_last_attempt():
    async def work() -> None:
        raise RetryAfter(1)

    async with JobQueue() as queue:
        handle = await queue.task(name="work", retry=PLAIN)(work).submit()
        assert await handle.wait() is JobState.FAILED
        assert (await handle.record()).attempt == 3


async def test_snooze_uses_no_attempt():
    runs: list[int] = []

    async def work(ctx: JobContext) -> int:
        runs.append(ctx.attempt)
        if len(runs) < 5:
            raise Snooze(60)
        return ctx.claim

    async with JobQueue() as queue:
        handle = await queue.task(name="work", context=True, retry=ONCE)(work).submit()
        assert await handle == 5
        record = await handle.record()
        assert anyio.current_time() == pytest.approx(240)
    assert (runs, record.attempt, record.snoozes) == ([1] * 5, 1, 4)


async def test_unrecoverable_is_not_tried_again():
    async def work() -> None:
        raise Unrecoverable("no such user")

    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match="no such user") as caught:
            await queue.task(name="work", retry=PLAIN)(work).run()
    assert caught.value.attempts == 1


async def test_cancel_job_ends_it_as_cancelled_by_its_handler():
    async def work() -> None:
        raise CancelJob("too late")

    async with JobQueue() as queue:
        with pytest.raises(JobCancelled) as caught:
            await queue.task(name="work", retry=PLAIN)(work).run()
    assert (caught.value.reason, caught.value.message) == ("handler", "too late")


@pytest.mark.parametrize("verdict", [RetryAfter, Snooze])
@pytest.mark.parametrize("seconds", [-1, float("nan"), 1e30, 10**400, "soon"], ids=str)
async def test_a_verdict_with_a_bad_time_is_a_failure(verdict: type[RetryAfter | Snooze], seconds: float):
    async def work() -> None:
        raise verdict(seconds)

    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match=verdict.__name__) as caught:
            await queue.task(name="work")(work).run()
    assert (caught.value.type, caught.value.attempts) == ("InvalidOption", 1)


@pytest.mark.parametrize("verdict", [Unrecoverable("no"), ValueError("no")], ids=["unrecoverable", "used up"])
async def test_a_job_that_asked_for_it_is_kept_apart_when_it_fails(verdict: Exception):
    async def work() -> None:
        raise verdict

    async with JobQueue() as queue:
        handle = await queue.task(name="work", dead_letter=True, retry=Retry(max_attempts=2))(work).submit()
        assert await handle.wait() is JobState.DEAD_LETTER
        with pytest.raises(JobFailed, match="no"):
            await handle


async def test_silence_without_any_grace_ends_the_run_at_once_and_not_the_queue() -> None:
    queue = JobQueue()

    @queue.task(name="mute", heartbeat_timeout=1, grace=0, retry=ONCE)
    async def mute() -> None:
        await anyio.sleep(100)

    async with queue:
        with pytest.raises(JobFailed) as caught:
            await mute.run()
        assert caught.value.reason == "heartbeat"
