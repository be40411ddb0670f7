"""What can be asked of jobs: one by its id, or all that match a filter."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
from attrs import evolve

from actorq import (
    Filter,
    InvalidOption,
    InvalidState,
    JobCancelled,
    JobHandle,
    JobNotFound,
    JobQueue,
    JobState,
    PayloadError,
    Reason,
    Retention,
    Retry,
    UnknownTask,
    current_job,
)
from actorq.config import BULK_REFUSED, LONGEST_S
from actorq.testing import MemoryFiles

from .test_durability import SlowFiles

ONCE = Retry(max_attempts=1)


def naps(queue: JobQueue, name: str = "nap") -> Any:
    async def nap(seconds: float, *, then: str = "ok") -> str:
        await anyio.sleep(seconds)
        if then == "fail":
            raise ValueError(then)
        return then

    return queue.task(name=name, retry=ONCE)(nap)


@asynccontextmanager
async def busy(**options: Any) -> AsyncIterator[tuple[JobQueue, Any]]:
    """Open a queue whose one worker has something to do for a long time."""
    async with JobQueue(workers=1, drain_timeout=0, **options) as queue:
        nap = naps(queue)
        await nap.submit(1e6)
        yield queue, nap


async def ended(nap: Any, then: str = "ok") -> JobHandle[Any]:
    handle: JobHandle[Any] = await nap.submit(0.0, then=then)
    await handle.wait()
    return handle


# -- pause and resume ---------------------------------------------------------------------------------


async def test_a_paused_job_does_not_run_until_it_is_resumed() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        handle = await nap.using(delay=5).submit(0.0)
        await queue.pause(handle.id)
        await anyio.sleep(10)
        assert (await handle.record()).state is JobState.PAUSED
        await queue.resume(handle.id)
        assert await handle == "ok"


async def test_a_paused_job_has_all_it_had_over_a_restart() -> None:
    files = MemoryFiles()
    options: dict[str, Any] = {
        "priority": 7,
        "delay": 500,
        "timeout": 3,
        "expires": 9_000,
        "tags": {"for": "ada"},
        "key": "k",
        "group": "red",
        "dead_letter": True,
    }
    async with JobQueue(files=files) as queue:
        handle = await naps(queue).using(**options).submit(0.0)
        await queue.pause(handle.id)
        before = await handle.record()
    async with JobQueue(files=files) as queue:
        naps(queue)
        assert await queue.get(handle.id) == before
        await queue.resume(handle.id)
        after = await queue.handle(handle.id).record()
        assert (after.state, after.due_at, after.options) == (JobState.SCHEDULED, before.due_at, before.options)


@pytest.mark.parametrize("state", ["paused", "running", "succeeded"])
async def test_what_does_not_wait_cannot_be_paused(state: str) -> None:
    async with JobQueue(drain_timeout=0) as queue:
        nap = naps(queue)
        handle = await nap.using(delay=9 if state == "paused" else 0).submit(1e6 if state == "running" else 0.0)
        if state == "paused":
            await queue.pause(handle.id)
        elif state == "succeeded":
            await handle
        with pytest.raises(InvalidState, match=f"Cannot pause job {handle.id}: it is {state}"):
            await queue.pause(handle.id)


async def test_join_does_not_wait_for_paused_jobs() -> None:
    async with JobQueue() as queue:
        handle = await naps(queue).using(delay=1).submit(0.0)
        await queue.pause(handle.id)
        await queue.join()


async def test_limits_pass_while_a_job_is_paused() -> None:
    async with JobQueue() as queue:
        handle = await naps(queue).using(delay=1, expires=5).submit(0.0)
        await queue.pause(handle.id)
        assert await handle.wait() is JobState.FAILED
        assert (await handle.record()).error.reason is Reason.EXPIRED  # type: ignore[union-attr]


# -- the queue, and groups ------------------------------------------------------------------------------


async def test_a_paused_queue_takes_jobs_and_starts_none() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        running = await nap.submit(5)
        assert await queue.pause_queue()
        assert not await queue.pause_queue()
        waiting = await nap.submit(0.0)
        await queue.drain()
        assert (await running.record()).state is JobState.SUCCEEDED
        await anyio.sleep(100)
        assert (await waiting.record()).state is JobState.QUEUED
        assert await queue.resume_queue()
        assert not await queue.resume_queue()
        assert await waiting == "ok"


async def test_a_queue_paused_until_a_time_goes_on_by_itself() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        started = (await (await nap.submit(0.0)).record()).submitted_at
        await queue.pause_queue(until=started.timestamp() + 50)
        handle = await nap.submit(0.0)
        await handle
        record = await handle.record()
        assert record.started_at is not None
        assert (record.started_at - started).total_seconds() >= 49


async def test_the_pause_of_a_queue_outlives_a_restart() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        nap = naps(queue)
        await queue.pause_queue()
        await queue.pause_group("red")
        handle = await nap.submit(0.0)
        red = await nap.using(group="red").submit(0.0)
    async with JobQueue(files=files) as queue:
        naps(queue)
        await anyio.sleep(10)
        assert (await queue.handle(handle.id).record()).state is JobState.QUEUED
        await queue.resume_queue()
        await queue.handle(handle.id)
        await anyio.sleep(10)
        assert (await queue.handle(red.id).record()).state is JobState.QUEUED
        assert await queue.resume_group("red")
        await queue.handle(red.id)


async def test_stopping_a_queue_hands_attempts_back_unused() -> None:
    reasons = []

    async def nap() -> str:
        if reasons:
            return "second"
        try:
            await anyio.sleep_forever()
        finally:
            reasons.append(current_job().cancel_reason)
        return "first"

    async with JobQueue() as queue:
        handle = await queue.task(name="nap", retry=ONCE)(nap).submit()
        await anyio.sleep(1)
        await queue.pause_queue(stop=True)
        await queue.drain()
        record = await handle.record()
        assert (record.state, record.attempt, reasons) == (JobState.QUEUED, 0, [Reason.PAUSED])
        await queue.resume_queue()
        assert await handle == "second"
        assert [run.outcome for run in (await handle.record()).attempts] == ["released", "succeeded"]


async def test_stopping_a_group_leaves_the_others_alone() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        red, other = await nap.using(group="red").submit(100), await nap.submit(100)
        await anyio.sleep(1)
        await queue.pause_group("red", stop=True)
        await anyio.sleep(1)
        assert (await red.record()).state is JobState.QUEUED
        assert await other == "ok"
        assert await queue.resume_group("red")
        assert await red == "ok"


async def test_what_is_paused_can_be_asked() -> None:
    async with JobQueue() as queue:
        await queue.pause_queue()
        until = (await (await naps(queue).submit(0.0)).record()).submitted_at + timedelta(hours=1)
        await queue.pause_group("red", until=until)
        assert (await queue.stats()).pauses == {"": None, "red": until}
        await queue.resume_queue()


@pytest.mark.parametrize("until", [0.0, 60, 1e9])
async def test_a_pause_until_a_time_that_is_over_is_refused(until: float) -> None:
    async with JobQueue() as queue:
        with pytest.raises(InvalidOption, match="lies in the past"):
            await queue.pause_queue(until=until)
        with pytest.raises(InvalidOption, match="lies in the past"):
            await queue.pause_group("red", until=until)


async def test_a_handle_is_no_id_and_the_error_says_what_is() -> None:
    async with busy() as (queue, nap):
        for which in (await nap.submit(0.0), ["a"], None):
            with pytest.raises(InvalidOption, match=r"wants the id of a job \(handle.id\), or a Filter"):
                await queue.pause(which)  # type: ignore[call-overload]


async def test_a_dry_run_of_a_clone_makes_none() -> None:
    async with JobQueue() as queue:
        handle = await ended(naps(queue))
        assert (await queue.rerun(handle.id, clone=True, dry_run=True)).id == handle.id
        with pytest.raises(InvalidOption, match="is for a filter"):
            await queue.rerun(handle.id, per_second=1)  # type: ignore[call-overload]


async def test_map_wants_no_key() -> None:
    async with JobQueue() as queue:
        with pytest.raises(InvalidOption, match="one for each item"):
            [result async for result in naps(queue).using(key="k").map([0.0, 1.0])]


async def test_a_time_without_a_zone_is_refused() -> None:
    async with JobQueue() as queue:
        with pytest.raises(InvalidOption, match="until"):
            await queue.pause_queue(until="tomorrow")  # type: ignore[arg-type]


# -- promote, edit, remove -----------------------------------------------------------------------------


async def test_promote_lets_a_delayed_job_and_a_retry_run_now() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        delayed = await nap.using(delay=1e6).submit(0.0)
        failing = await nap.using(retry=Retry(max_attempts=2, delay=1e6, cap=1e6)).submit(0.0, then="fail")
        await anyio.sleep(1)
        await queue.promote(delayed.id)
        await queue.promote(failing.id)
        assert await delayed == "ok"
        assert await failing.wait() is JobState.FAILED
        with pytest.raises(InvalidState, match="Cannot promote"):
            await queue.promote(delayed.id)


async def test_edit_changes_what_is_given_and_nothing_else() -> None:
    async with busy() as (queue, nap):
        handle = await nap.using(priority=1, tags={"a": "b"}, timeout=5).submit(1.0)
        await queue.edit(handle.id, priority=9, tags=["new"], args=(2.0,), kwargs={"then": "other"})
        record = await handle.record()
        assert (record.priority, dict(record.tags), record.options.timeout) == (9, {"new": ""}, 5.0)
        assert (record.args, record.kwargs, record.state) == ((2.0,), {"then": "other"}, JobState.QUEUED)


async def test_edit_moves_a_job_in_time() -> None:
    async with JobQueue() as queue:
        handle = await naps(queue).using(delay=1e6).submit(0.0)
        await queue.edit(handle.id, delay=3)
        assert await handle == "ok"


async def test_an_edit_holds_over_a_restart() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        handle = await naps(queue).using(delay=5).submit(0.0)
        await queue.edit(handle.id, kwargs={"then": "edited"}, args=(0.0,), group="red")
    async with JobQueue(files=files) as queue:
        naps(queue)
        assert await queue.handle(handle.id) == "edited"
        assert (await queue.handle(handle.id).record()).group == "red"


async def test_an_edit_that_cannot_be_is_refused_and_changes_nothing() -> None:
    async with busy() as (queue, nap):
        handle = await nap.submit(1.0)
        before = await handle.record()
        refused: list[tuple[type[Exception], dict[str, Any]]] = [
            (TypeError, {"args": ()}),
            (PayloadError, {"args": (object(),)}),
            (InvalidOption, {"priority": "high"}),
            (InvalidOption, {"delay": -1}),
            (TypeError, {"key": "k"}),
            (TypeError, {"colour": "red"}),
        ]
        for error, changes in refused:
            with pytest.raises(error):
                await queue.edit(handle.id, **changes)
        with pytest.raises(TypeError, match="for one job"):
            await queue.edit(Filter(), args=(1.0,))  # type: ignore[call-overload]
        with pytest.raises(JobNotFound):
            await queue.edit("nobody", args=(1.0,))
        assert await handle.record() == before


async def test_arguments_of_a_task_that_is_not_declared_cannot_be_edited() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        handle = await naps(queue).using(delay=5).submit(0.0)
    async with JobQueue(files=files) as queue:
        with pytest.raises(UnknownTask):
            await queue.edit(handle.id, args=(1.0,))


async def test_remove_forgets_what_has_ended_and_nothing_else() -> None:
    async with busy() as (queue, nap):
        waiting = await nap.submit(0.0)
        with pytest.raises(InvalidState, match=r"Cannot remove job .* queued"):
            await queue.remove(waiting.id)
        await waiting.cancel()
        await queue.remove(waiting.id)
        assert await queue.get(waiting.id) is None
        with pytest.raises(JobNotFound):
            await queue.remove(waiting.id)


@pytest.mark.parametrize("seconds", [0.0, 1e6], ids=["queued", "running"])
async def test_remove_by_force_cancels_first(seconds: float) -> None:
    async with JobQueue(workers=1) as queue:
        nap = naps(queue)
        if not seconds:
            await nap.submit(50)
        handle = await nap.submit(seconds)
        await anyio.sleep(1)
        await queue.remove(handle.id, force=True)
        assert await queue.get(handle.id) is None


async def test_whoever_waits_for_a_job_that_is_removed_hears_that_it_was_cancelled() -> None:
    heard = []

    async def wait(handle: JobHandle[Any]) -> None:
        try:
            await handle
        except JobCancelled as error:
            heard.append(error.message)

    async with JobQueue() as queue, anyio.create_task_group() as group:
        handle = await naps(queue).submit(1e6)
        group.start_soon(wait, handle)
        await anyio.sleep(1)
        await queue.remove(handle.id, force=True)
    assert heard == ["removed"]


# -- rerun -----------------------------------------------------------------------------------------------


async def test_a_rerun_has_fresh_attempts_under_the_same_id() -> None:
    async with JobQueue() as queue:
        handle = await ended(naps(queue), "fail")
        again = await queue.rerun(handle.id, delay=5)
        assert again.id == handle.id
        record = await again.record()
        assert (record.state, record.attempt, record.error) == (JobState.SCHEDULED, 0, None)
        assert record.requeued_at == record.due_at
        assert await again.wait() is JobState.FAILED


async def test_a_clone_is_a_new_job_linked_both_ways() -> None:
    async with JobQueue() as queue:
        first = await ended(naps(queue))
        clone = await queue.rerun(first.id, clone=True)
        assert await clone == "ok"
        assert (await clone.record()).retry_of == first.id
        assert (await first.record()).retried_by == clone.id
        assert (await first.record()).state is JobState.SUCCEEDED


async def test_a_clone_of_a_clone_whose_origin_is_removed() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        first = await ended(naps(queue))
        second = await queue.rerun(first.id, clone=True)
        await second
        await queue.remove(first.id)
        third = await queue.rerun(second.id, clone=True)
        await third
    async with JobQueue(files=files) as queue:
        naps(queue)
        records = [await queue.handle(job_id).record() for job_id in (second.id, third.id)]
        assert [record.retry_of for record in records] == [first.id, second.id]
        assert [record.retried_by for record in records] == [third.id, None]


async def test_what_has_not_ended_cannot_be_rerun_or_cloned() -> None:
    async with busy() as (queue, nap):
        handle = await nap.submit(0.0)
        for clone in (False, True):
            with pytest.raises(InvalidState, match=r"Cannot rerun job .* queued"):
                await queue.rerun(handle.id, clone=clone)


# -- of all that match ------------------------------------------------------------------------------------


async def test_a_verb_over_a_filter_says_how_many_it_touched_and_which_refused() -> None:
    async with busy() as (queue, nap):
        tagged = [await nap.using(tags=["mine"]).submit(0.0) for _ in range(3)]
        await queue.pause(tagged[1].id)
        outcome = await queue.pause(Filter(tags=["mine"]))
        assert (outcome.touched, outcome.refusals, outcome.matched) == (2, 1, 3)
        assert isinstance(outcome.refused[tagged[1].id], InvalidState)
        assert (await queue.count(Filter(state="paused"))) == 3
        assert (await queue.resume(Filter(state="paused"))).touched == 3


VERBS: dict[str, Callable[..., Awaitable[Any]]] = {
    "cancel": JobQueue.cancel,
    "pause": JobQueue.pause,
    "resume": JobQueue.resume,
    "promote": JobQueue.promote,
    "rerun": JobQueue.rerun,
    "edit": lambda queue, which, **how: queue.edit(which, priority=3, **how),
    "remove": JobQueue.remove,
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_dry_run_says_the_same_and_changes_nothing(verb: str) -> None:
    async with busy() as (queue, nap):
        await (await nap.submit(0.0)).cancel()
        await nap.submit(0.0)
        await nap.using(delay=5).submit(0.0)
        await queue.pause((await nap.submit(0.0)).id)
        before = (await queue.find()).jobs
        said = await VERBS[verb](queue, Filter(), dry_run=True)
        assert (await queue.find()).jobs == before
        assert said.dry_run
        done = await VERBS[verb](queue, Filter())
        assert (said.touched, said.refusals, set(said.refused)) == (done.touched, done.refusals, set(done.refused))
        assert done.touched
        assert done.refusals


async def test_a_dry_run_of_one_job_raises_what_would_be_raised() -> None:
    async with busy() as (queue, nap):
        handle = await nap.submit(0.0)
        await queue.pause(handle.id, dry_run=True)
        assert (await handle.record()).state is JobState.QUEUED
        with pytest.raises(InvalidState):
            await queue.resume(handle.id, dry_run=True)
        with pytest.raises(JobNotFound):
            await queue.cancel("nobody", dry_run=True)


async def test_many_are_dealt_with_while_others_come_and_end() -> None:
    async with JobQueue(workers=3) as queue:
        nap = naps(queue)
        await nap.submit_many([nap.using(delay=1e6, tags=["old"]).build(0.0) for _ in range(1_000)])

        async def submit() -> None:
            for _ in range(50):
                await (await nap.submit(0.0))

        async with anyio.create_task_group() as group:
            group.start_soon(submit)
            outcome = await queue.promote(Filter(tags=["old"]))
        assert (outcome.touched, outcome.refusals) == (1_000, 0)
        await queue.join()
        assert (await queue.stats()).counts[JobState.SUCCEEDED] == 1_050
        removed = await queue.remove(Filter(tags=["old"]))
        assert removed.touched == 1_000


async def test_remove_by_force_of_all_that_match() -> None:
    async with JobQueue(workers=2) as queue:
        nap = naps(queue)
        for seconds in (0.0, 1e6, 1e6, 5.0):
            await nap.submit(seconds)
        await anyio.sleep(1)
        said = await queue.remove(Filter(), force=True, dry_run=True)
        done = await queue.remove(Filter(), force=True)
        assert (said.touched, done.touched, await queue.count()) == (4, 4, 0)


async def test_remove_by_force_minds_nothing_that_retention_takes_first() -> None:
    async with JobQueue(retention=Retention(count=0)) as queue:
        nap = naps(queue)
        handles = [await nap.using(delay=5).submit(0.0) for _ in range(3)]
        await queue.remove(handles[0].id, force=True)
        with pytest.raises(JobNotFound):
            await queue.remove(handles[0].id, force=True)
        assert (await queue.remove(Filter(), force=True)).refusals == 0
        assert await queue.count() == 0


async def test_remove_by_force_means_what_matched_before_it_was_cancelled() -> None:
    async with busy() as (queue, nap):
        for _ in range(3):
            await nap.submit(0.0)
        assert (await queue.remove(Filter(state="queued"), force=True)).touched == 3
        assert await queue.count() == 1


async def test_a_redrive_spreads_jobs_over_time_also_over_a_restart() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        nap = naps(queue).using(dead_letter=True)
        handles = [await ended(nap, "fail") for _ in range(6)]
        assert (await queue.rerun(Filter(state="dead_letter"), per_second=2, dry_run=True)).touched == 6
        assert (await queue.rerun(Filter(state="dead_letter"), per_second=2, delay=10)).touched == 6
        due = [(await handle.record()).due_at for handle in handles]
    gaps = [(later - due[0]).total_seconds() for later in due]
    assert gaps == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    async with JobQueue(files=files) as queue:
        naps(queue)
        assert [(await queue.handle(handle.id).record()).due_at for handle in handles] == due
        with pytest.raises(InvalidOption, match="per_second"):
            await queue.rerun(Filter(), per_second=0)


async def test_a_verb_inside_a_job_is_as_good_as_one_outside() -> None:
    async with JobQueue(workers=1) as queue:
        nap = naps(queue)

        @queue.task(name="boss")
        async def boss() -> int:
            return (await queue.cancel(Filter(task="nap"))).touched

        later = await nap.using(delay=100).submit(0.0)
        assert await boss.run() == 1
        assert await later.wait() is JobState.CANCELLED


async def test_a_predicate_that_raises_is_heard_and_leaves_the_rest() -> None:
    async with busy() as (queue, nap):
        await nap.submit(0.0)

        def broken(record: object) -> bool:
            raise LookupError(str(record)[:3])

        with pytest.raises(LookupError):
            await queue.cancel(Filter(where=broken))
        assert await queue.count(Filter(state="queued")) == 1


async def test_many_clones_are_linked_each_to_its_own_origin() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        origins = [await ended(nap) for _ in range(3)]
        assert (await queue.rerun(Filter(), clone=True)).touched == 3
        await queue.join()
        clones = await queue.find(Filter(where=lambda record: record.retry_of is not None))
        assert [clone.retry_of for clone in clones] == [origin.id for origin in origins]
        assert [(await origin.record()).retried_by for origin in origins] == [clone.id for clone in clones]


async def test_a_redrive_slower_than_a_century_puts_off_no_further_than_that() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        handles = [await ended(nap) for _ in range(3)]
        assert (await queue.rerun(Filter(), per_second=5e-324)).touched == 3
        due = [(await handle.record()).due_at for handle in handles]
        assert [(at - due[0]).total_seconds() for at in due] == pytest.approx([0.0, LONGEST_S, LONGEST_S])


async def test_refusals_are_all_counted_and_the_first_of_them_named() -> None:
    async with JobQueue(retention=Retention(age_s=1e6)) as queue:
        nap = naps(queue)
        await nap.submit_many([nap.build(0.0) for _ in range(BULK_REFUSED + 1)])
        await queue.join()
        outcome = await queue.cancel(Filter())
        assert (outcome.touched, outcome.refusals, len(outcome.refused)) == (0, BULK_REFUSED + 1, BULK_REFUSED)


EDITS: dict[str, Any] = {
    "retry": Retry(max_attempts=9),
    "timeout": 8.0,
    "heartbeat_timeout": 7.0,
    "expires": 600.0,
    "deadline": 500.0,
    "grace": 4.0,
    "priority": 3,
    "tags": {"new": ""},
    "group": "blue",
    "dead_letter": "bury",
}


@pytest.mark.parametrize("option", EDITS)
async def test_every_option_can_be_edited_of_one_and_of_all(option: str) -> None:
    async with busy() as (queue, nap):
        one, others = await nap.submit(0.0), [await nap.submit(1.0) for _ in range(2)]
        before = (await one.record()).options
        await queue.edit(one.id, **{option: EDITS[option]})
        assert (await one.record()).options == evolve(before, **{option: EDITS[option]})
        outcome = await queue.edit(Filter(state="queued"), **{option: EDITS[option]})
        assert outcome.touched == 3
        assert {getattr((await other.record()).options, option) == EDITS[option] for other in others} == {True}


@pytest.mark.parametrize("state", ["running", "succeeded"])
async def test_what_runs_or_has_ended_cannot_be_edited(state: str) -> None:
    async with JobQueue(drain_timeout=0) as queue:
        handle = await naps(queue).submit(1e6 if state == "running" else 0.0)
        if state == "succeeded":
            await handle
        before = await handle.record()
        with pytest.raises(InvalidState, match=f"Cannot edit job {handle.id}: it is {state}"):
            await queue.edit(handle.id, args=(1.0,), priority=3)
        assert await handle.record() == before


async def test_cancel_of_what_has_ended_says_that_there_was_nothing_to_cancel() -> None:
    async with JobQueue() as queue:
        handle = await ended(naps(queue))
        before = await handle.record()
        assert not await queue.cancel(handle.id)
        assert not await queue.cancel(handle.id, dry_run=True)
        assert await handle.record() == before


# -- inside a job ------------------------------------------------------------------------------------------


async def test_a_job_that_would_remove_itself_is_refused_and_goes_on() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)

        @queue.task(name="boss")
        async def boss() -> tuple[int, int]:
            with pytest.raises(InvalidState, match=r"Cannot remove job .* running"):
                await queue.remove(current_job().job_id, force=True)
            outcome = await queue.remove(Filter(), force=True)
            return outcome.touched, outcome.refusals

        for _ in range(3):
            await nap.submit(1e6)
        assert await boss.run() == (3, 1)


async def test_a_job_that_pauses_its_own_queue_comes_to_its_end() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)

        @queue.task(name="boss")
        async def boss() -> JobHandle[Any]:
            await queue.pause_queue()
            with pytest.raises(InvalidState, match="drain the queue"):
                await queue.drain()
            waiting.append(await nap.submit(0.0))
            return "paused"  # type: ignore[return-value]

        waiting: list[JobHandle[Any]] = []
        assert await boss.run() == "paused"
        assert (await waiting[0].record()).state is JobState.QUEUED
        await queue.resume_queue()
        assert await waiting[0] == "ok"


# -- given up ----------------------------------------------------------------------------------------------


GIVEN_UP: dict[str, Callable[[JobQueue, str], Awaitable[Any]]] = {
    "cancel": lambda queue, job_id: queue.cancel(job_id),
    "cancel many": lambda queue, _: queue.cancel(Filter(task="nap")),
    "pause": lambda queue, job_id: queue.pause(job_id),
    "promote": lambda queue, job_id: queue.promote(job_id),
    "edit": lambda queue, job_id: queue.edit(job_id, priority=3),
    "edit many": lambda queue, _: queue.edit(Filter(task="nap"), priority=3),
    "remove by force": lambda queue, job_id: queue.remove(job_id, force=True),
    "remove many by force": lambda queue, _: queue.remove(Filter(task="nap"), force=True),
    "pause queue": lambda queue, _: queue.pause_queue(),
    "pause group": lambda queue, _: queue.pause_group("red"),
    "run": lambda queue, _: queue.function_of("nap") and queue._tasks["nap"].run(0.0),
}


@pytest.mark.parametrize("verb", GIVEN_UP)
async def test_a_verb_that_is_given_up_leaves_no_trace_of_waiting(verb: str) -> None:
    files = SlowFiles()
    async with JobQueue(files=files, drain_timeout=0) as queue, anyio.create_task_group() as group:
        handle = await naps(queue).using(delay=1e6).submit(0.0)
        supervisor = queue._supervisor
        files.sync_gate.shut()
        with anyio.CancelScope() as scope:

            async def give_up() -> None:
                await files.sync_gate.is_reached()
                scope.cancel()

            group.start_soon(give_up)
            await GIVEN_UP[verb](queue, handle.id)
        assert scope.cancelled_caught
        files.sync_gate.open()
        with anyio.fail_after(100):
            await supervisor.until(lambda: not supervisor._outbox.parcels)
        assert supervisor._waiters._by_job == {}
        assert set(supervisor._locals) <= {handle.id}
        await queue.resume_queue()
        assert await queue._tasks["nap"].run(0.0) == "ok"  # the queue goes on


async def test_run_that_is_given_up_before_its_job_was_acknowledged_cancels_it_too() -> None:
    files = SlowFiles()
    async with JobQueue(files=files, drain_timeout=0) as queue, anyio.create_task_group() as group:
        nap = naps(queue)
        files.sync_gate.shut()
        with anyio.CancelScope() as scope:

            async def give_up() -> None:
                await files.sync_gate.is_reached()
                scope.cancel()
                files.sync_gate.open()

            group.start_soon(give_up)
            await nap.using(delay=5).run(0.0)
        await queue.join()
        assert [record.state for record in await queue.find()] == [JobState.CANCELLED]


@pytest.mark.parametrize("wait", ["drain", "remove by force"])
async def test_whoever_gives_up_waiting_for_what_runs_leaves_no_trace(wait: str) -> None:
    async def deaf() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(50)

    async with JobQueue() as queue:
        handle = await queue.task(name="deaf", grace=100)(deaf).submit()
        await anyio.sleep(1)
        with anyio.move_on_after(5) as scope:
            await (queue.drain() if wait == "drain" else queue.remove(handle.id, force=True))
        assert scope.cancelled_caught
        assert queue._supervisor._waiters._by_job == {}
        assert await handle.wait() is (JobState.SUCCEEDED if wait == "drain" else JobState.CANCELLED)


# -- the process dies --------------------------------------------------------------------------------------


async def test_what_was_answered_holds_when_the_process_is_killed() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files, workers=1, drain_timeout=0) as queue:
        nap = naps(queue)
        await nap.submit(1e6)
        paused, edited, gone = [await nap.using(timeout=9).submit(0.0) for _ in range(3)]
        await queue.pause(paused.id)
        await queue.edit(edited.id, args=(0.0,), kwargs={"then": "edited"}, priority=7)
        await queue.remove(gone.id, force=True)
        await queue.pause_queue()
        before = [await handle.record() for handle in (paused, edited)]
        left = files.copy()
    async with JobQueue(files=left) as queue:
        naps(queue)
        assert [await queue.get(handle.id) for handle in (paused, edited)] == before
        assert await queue.get(gone.id) is None
        await anyio.sleep(50)
        assert await queue.count(Filter(state="queued")) == 2
        await queue.resume_queue()
        assert await queue.handle(edited.id) == "edited"


async def test_what_is_taken_back_when_the_queue_stops_runs_again_in_another_life() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        handle = await naps(queue).using(group="red").submit(50)
        await anyio.sleep(1)
        await queue.pause_group("red", stop=True)
        await queue.drain()
        left = files.copy()
    async with JobQueue(files=left) as queue:
        naps(queue)
        await anyio.sleep(100)
        record = await queue.handle(handle.id).record()
        assert (record.state, record.attempt, record.interruptions) == (JobState.QUEUED, 0, 0)
        await queue.resume_group("red")
        assert await queue.handle(handle.id) == "ok"
