"""The same work asked for again, by its key."""

from typing import Any

import anyio
import pytest

from actorq import (
    DuplicateJob,
    InvalidOption,
    InvalidState,
    JobCancelled,
    JobQueue,
    JobState,
    QueueFull,
    Reason,
    Retention,
)
from actorq.testing import MemoryFiles


def echoes(queue: JobQueue, name: str = "echo") -> Any:
    async def echo(value: int, seconds: float = 1.0) -> int:
        await anyio.sleep(seconds)
        return value

    return queue.task(name=name)(echo)


def remembered(queue: JobQueue) -> int:
    """Return of how many jobs the process keeps what only it knows."""
    return len(queue._supervisor._locals)


async def test_without_a_policy_the_job_that_is_there_stands_for_the_new_one() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k")
        first, second = await echo.submit(1), await echo.submit(2)
        assert first.id == second.id
        assert [await first, await second] == [1, 1]
        assert (await echo.submit(3)).id == first.id  # it is retained, and so is its result
        assert (await queue.stats()).submitted == 1
        assert (await first.record()).key == "k"


async def test_keys_are_unique_within_a_task_only() -> None:
    async with JobQueue() as queue:
        one = await echoes(queue, "one").using(key="k").submit(1)
        two = await echoes(queue, "two").using(key="k").submit(2)
        assert [await one, await two] == [1, 2]


async def test_a_key_is_known_over_a_restart_as_long_as_its_job_is_retained() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        first = await echoes(queue).using(key="k").submit(1)
        await first
    for _ in range(2):
        async with JobQueue(files=files) as queue:
            again = await echoes(queue).using(key="k").submit(2)
            assert again.id == first.id
            assert await again == 1
    async with JobQueue(files=files, retention=Retention(count=0)) as queue:
        echo = echoes(queue)
        await echo.run(0)  # something ends, and what is too much goes
        assert await (await echo.using(key="k").submit(3)) == 3


async def test_reject_refuses_while_the_other_is_retained() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="reject")
        first = await echo.submit(1)
        for _ in range(2):
            with pytest.raises(DuplicateJob, match=f"held by job {first.id}") as caught:
                await echo.submit(2)
            await first
        assert (caught.value.task, caught.value.key, caught.value.job_id) == ("echo", "k", first.id)
        await queue.remove(first.id)
        assert await (await echo.submit(3)) == 3


async def test_replace_takes_the_place_of_what_waits_and_of_what_has_ended_but_not_of_what_runs() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="replace")
        waiting = await echo.using(delay=100).submit(1)
        running = await echo.submit(2)
        with pytest.raises(JobCancelled) as caught:
            await waiting
        assert caught.value.reason == Reason.SUPERSEDED
        with pytest.raises(DuplicateJob, match="running"):
            await echo.submit(3)
        assert await running == 2
        assert await (await echo.submit(4)) == 4


async def test_strict_body_wants_the_same_arguments() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="strict_body")
        first = await echo.submit(1)
        assert (await echo.submit(1)).id == first.id
        with pytest.raises(DuplicateJob, match="same arguments"):
            await echo.submit(2)


async def test_keep_last_runs_the_one_that_runs_and_then_the_newest() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="keep_last")
        handles = [await echo.submit(n, 5.0) for n in range(4)]
        assert len({handle.id for handle in handles}) == 4
        assert (await queue.get(handles[3].id)).hold_reason == "key"  # type: ignore[union-attr]
        ends = [await handle.wait() for handle in handles]
        assert ends == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.CANCELLED, JobState.SUCCEEDED]
        first, last = await handles[0].record(), await handles[3].record()
        assert first.ended_at is not None
        assert last.started_at is not None
        assert first.ended_at <= last.started_at
        assert await handles[3] == 3


async def test_two_of_a_key_never_run_at_once_not_even_by_rerun() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="keep_last")
        old = await echo.submit(1, 0.0)
        await old
        new = await echo.submit(2, 10.0)
        await anyio.sleep(1)
        await queue.rerun(old.id)
        await anyio.sleep(1)
        assert (await old.record()).state is JobState.SCHEDULED
        await new
        assert await old.wait() is JobState.SUCCEEDED


async def test_one_submission_may_ask_for_a_key_twice() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue)
        requests = [echo.using(key="k").build(n) for n in range(3)]
        handles = await queue.submit_many(requests)
        assert len({handle.id for handle in handles}) == 1
        assert [await handle for handle in handles] == [0, 0, 0]
        rejecting = echo.using(key="r", on_conflict="reject")
        with pytest.raises(DuplicateJob):
            await queue.submit_many([rejecting.build(1), rejecting.build(2)])
        assert await (await rejecting.submit(3)) == 3  # nothing was taken before


async def test_submit_nowait_knows_keys() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k")
        assert echo.submit_nowait(1).id == echo.submit_nowait(2).id
        with pytest.raises(DuplicateJob):
            echo.using(on_conflict="reject").submit_nowait(3)


async def test_whoever_gives_up_run_does_not_cancel_the_job_of_another() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k")
        first = await echo.submit(1, 50.0)
        with anyio.move_on_after(5):
            await echo.run(2)
        assert await first == 1


async def test_nothing_is_remembered_of_what_was_not_taken() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k")
        await echo.submit(1, 100.0)
        before = remembered(queue)
        for _ in range(10):
            await echo.submit(2)
            echo.submit_nowait(3)
            with pytest.raises(DuplicateJob):
                await echo.using(on_conflict="reject").submit(4)
        assert remembered(queue) == before


async def test_a_job_that_stands_for_another_takes_no_room() -> None:
    async with JobQueue(max_pending=1) as queue:
        echo = echoes(queue).using(key="k")
        first = await echo.submit(1)
        assert (await echo.submit(2)).id == first.id
        newer = await echo.using(on_conflict="keep_last", delay=5).submit_many([]) or None
        assert newer is None
        with pytest.raises(QueueFull):
            echoes(queue, "other").submit_nowait(3)


async def test_what_became_of_a_key_holds_when_the_process_is_killed() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files, workers=3, drain_timeout=0) as queue:
        last = echoes(queue).using(on_conflict="keep_last")
        running, waiting = await last.using(key="a").submit(1, 1e6), await last.using(key="a").submit(2, 1.0)
        replaced = await last.using(key="b", delay=50).submit(3)
        instead = await last.using(key="b", on_conflict="replace", delay=50).submit(4)
        left = files.copy()
    async with JobQueue(files=left) as queue:
        echo = echoes(queue)
        assert (await queue.get(replaced.id)).error.reason is Reason.SUPERSEDED  # type: ignore[union-attr]
        assert (await echo.using(key="b").submit(5)).id == instead.id
        assert (await echo.using(key="a").submit(6)).id == waiting.id  # the newest holds it, though another runs
        await anyio.sleep(1)
        states = [(await queue.handle(handle.id).record()).state for handle in (running, waiting)]
        assert sorted(states) == [JobState.RUNNING, JobState.SCHEDULED]  # still never two at once
        await queue.cancel(running.id)
        assert await queue.handle(waiting.id) == 2


async def test_a_job_that_waits_for_its_key_cannot_be_promoted_past_it() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="keep_last")
        await echo.submit(1, 5.0)
        waiting = await echo.submit(2)
        with pytest.raises(InvalidState, match="for want of its key"):
            await queue.promote(waiting.id)
        assert await waiting == 2


async def test_an_edit_of_the_arguments_counts_for_strict_body() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k", on_conflict="strict_body", delay=5)
        first = await echo.submit(1)
        await queue.edit(first.id, args=(2,))
        assert (await echo.submit(2)).id == first.id
        with pytest.raises(DuplicateJob):
            await echo.submit(1)


async def test_a_clone_has_the_key_and_holds_it_from_then_on() -> None:
    async with JobQueue() as queue:
        echo = echoes(queue).using(key="k")
        first = await echo.submit(1)
        await first
        clone = await queue.rerun(first.id, clone=True)
        assert (await echo.submit(2)).id == clone.id


@pytest.mark.parametrize("key", ["", "k" * 1_000_000, 7, b"k", ["k"]], ids=["empty", "1 MB", "int", "bytes", "list"])
def test_a_key_that_cannot_be_one_is_refused(key: object) -> None:
    with pytest.raises(InvalidOption, match="key=") as caught:
        echoes(JobQueue()).using(key=key)
    assert len(str(caught.value)) < 500


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidOption, match="must be one of return_existing, reject"):
        echoes(JobQueue()).using(on_conflict="ignore")
