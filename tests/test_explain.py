"""Why a job is not running: each reason is made real."""

from typing import Any

import anyio
import pytest

from actorq import (
    Explanation,
    JobNotFound,
    JobQueue,
    JobState,
    ObstacleKind,
    Retention,
    Retry,
    StoreFull,
    current_job,
)
from actorq.config import EXPLAIN_LIMIT
from actorq.testing import MemoryFiles

from .test_durability import SlowFiles


def naps(queue: JobQueue, name: str = "nap") -> Any:
    async def nap(seconds: float = 0.0) -> None:
        await anyio.sleep(seconds)

    return queue.task(name=name, retry=Retry(max_attempts=1))(nap)


def kinds(explanation: Explanation) -> list[str]:
    return [obstacle.kind.value for obstacle in explanation.obstacles]


def the(explanation: Explanation, kind: ObstacleKind) -> Any:
    (found,) = [obstacle for obstacle in explanation.obstacles if obstacle.kind is kind]
    return found


async def test_all_workers_are_busy_and_others_come_first() -> None:
    async with JobQueue(workers=1, drain_timeout=0) as queue:
        nap = naps(queue)
        running = await nap.submit(1e6)
        first = await nap.using(priority=5).submit()
        second = await nap.submit()
        last = await nap.submit()
        said = queue.explain(last.id)
        assert kinds(said) == ["ahead", "no_worker"]
        ahead, worker = the(said, ObstacleKind.AHEAD), the(said, ObstacleKind.NO_WORKER)
        assert (ahead.position, ahead.first) == (2, (first.id, second.id))
        assert [(one.job_id, one.task) for one in worker.holders] == [(running.id, "nap")]
        assert worker.holders[0].since == (await running.record()).started_at
        assert worker.limit == 1
        assert str(said).endswith("is queued: 2 queued jobs come first; the only worker is busy.")
        assert kinds(queue.explain(first.id)) == ["no_worker"]
        assert "1 queued job comes first" in str(queue.explain(second.id))


async def test_a_start_is_estimated_from_the_runs_of_the_last_hour() -> None:
    async with JobQueue(workers=2) as queue:
        nap = naps(queue)
        assert queue.explain((await nap.using(delay=50).submit(10)).id).starts_at is not None
        handles = [await nap.submit(10) for _ in range(6)]
        assert queue.explain(handles[-1].id).starts_at is None  # nobody has run yet
        await handles[0]
        await handles[1]
        said = queue.explain(handles[-1].id)  # one is ahead, two run
        now = (await handles[0].record()).ended_at
        assert now is not None
        assert said.starts_at is not None
        assert (said.starts_at - now).total_seconds() == pytest.approx(10 * 2 / 2, rel=0.05)


async def test_queue_and_group_are_paused() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        await queue.pause_queue()
        until = (await (await nap.submit()).record()).submitted_at.timestamp() + 60
        await queue.pause_group("red", until=until)
        said = queue.explain((await nap.using(group="red").submit()).id)
        assert kinds(said)[:2] == ["queue_paused", "group_paused"]
        assert the(said, ObstacleKind.QUEUE_PAUSED).until is None
        assert the(said, ObstacleKind.GROUP_PAUSED).until.timestamp() == until
        assert said.starts_at is None


async def test_the_limit_of_a_group_is_held_by_which_jobs() -> None:
    async with JobQueue(drain_timeout=0) as queue:
        nap = naps(queue).using(group="red")
        queue.group("red", limit=2)
        holders = [(await nap.submit(1e6)).id for _ in range(2)]
        said = queue.explain((await nap.submit()).id)
        full = the(said, ObstacleKind.GROUP_LIMIT)
        assert ([one.job_id for one in full.holders], full.limit) == (holders, 2)
        assert "2 jobs of group 'red' run, and its limit is 2" in str(said)


async def test_the_key_is_held_by_which_job() -> None:
    async with JobQueue(drain_timeout=0) as queue:
        nap = naps(queue).using(key="k", on_conflict="keep_last")
        running, waiting = await nap.submit(1e6), await nap.submit()
        held = the(queue.explain(waiting.id), ObstacleKind.KEY)
        assert [one.job_id for one in held.holders] == [running.id]


async def test_delay_retry_and_pause() -> None:
    async with JobQueue() as queue:
        nap = naps(queue)
        delayed = await nap.using(delay=30).submit()
        delay = the(queue.explain(delayed.id), ObstacleKind.DELAY)
        assert delay.until == (await delayed.record()).due_at == queue.explain(delayed.id).starts_at

        @queue.task(name="fail", retry=Retry(delay=40))
        async def fail() -> None:
            raise ValueError

        failing = await fail.submit()
        await anyio.sleep(1)
        assert the(queue.explain(failing.id), ObstacleKind.RETRY).until == (await failing.record()).due_at
        await queue.pause(delayed.id)
        said = queue.explain(delayed.id)
        assert kinds(said) == ["paused", "delay"]
        assert said.starts_at is None


async def test_code_that_is_not_there_or_does_not_fit() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        handle = await naps(queue).using(delay=1).submit(1.0)
    async with JobQueue(files=files) as queue:
        await anyio.sleep(5)
        assert "no task 'nap' is declared" in str(queue.explain(handle.id))

    async def other(a: int, b: int, c: int) -> None:
        raise AssertionError(a, b, c)

    async with JobQueue(files=files) as queue:
        queue.task(name="nap")(other)
        await anyio.sleep(5)
        said = queue.explain(handle.id)
        assert kinds(said) == ["bad_payload"]
        assert "do not fit its function: " in str(said)


async def test_what_runs_says_where_and_since_when() -> None:
    async with JobQueue(drain_timeout=0, grace=1) as queue:
        handle = await naps(queue).submit(1e6)
        running = the(queue.explain(handle.id), ObstacleKind.RUNNING)
        assert running.holders[0].since == (await handle.record()).started_at
        assert str(queue.explain(handle.id)).endswith("is running: it runs.")


async def test_what_runs_and_was_asked_to_stop_or_is_silent_says_so() -> None:
    async def refuse() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(10)

    async with JobQueue() as queue:
        stubborn = queue.task(name="refuse", grace=20)(refuse)
        cancelled, silent = await stubborn.submit(), await stubborn.using(heartbeat_timeout=2).submit()
        await anyio.sleep(1)
        await cancelled.cancel()
        await anyio.sleep(5)
        assert "has been asked to stop" in str(queue.explain(cancelled.id))
        assert "has been silent for too long" in str(queue.explain(silent.id))


async def test_what_has_ended_says_how() -> None:
    async with JobQueue() as queue:
        handle = await naps(queue).submit()
        await handle
        said = queue.explain(handle.id)
        assert kinds(said) == ["ended"]
        assert "it has ended as succeeded" in str(said)


async def test_a_queue_that_closes_starts_nothing() -> None:
    said: list[Explanation] = []

    async def last() -> None:
        try:
            await anyio.sleep(5)
        finally:
            queue: Any = current_job().queue
            said.append(queue.explain(waiting.id))

    async with JobQueue(workers=1) as queue:
        queue_task = queue.task(name="last")(last)
        await queue_task.submit()
        waiting = await naps(queue).submit()
    assert kinds(said[0]) == ["closing", "no_worker"]


async def test_a_disk_that_takes_nothing_is_an_obstacle() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files, workers=1, retention=Retention(age_s=1e9)) as queue:
        nap = naps(queue)
        running, waiting = await nap.submit(5.0), await nap.submit()
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        with pytest.raises(StoreFull):
            await nap.submit()
        said = queue.explain(waiting.id)
        assert kinds(said)[0] == "store"
        assert "the disk takes nothing" in str(said)
        assert said.starts_at is None
        await running
        files.room *= 10


async def test_a_run_that_waits_until_it_is_written_says_so() -> None:
    files = SlowFiles()
    async with JobQueue(files=files) as queue, anyio.create_task_group() as group:
        nap = naps(queue)
        files.sync_gate.shut()
        group.start_soon(nap.submit)
        await files.sync_gate.is_reached()
        (job_id,) = queue._supervisor.machine.ledger.jobs
        said = queue.explain(job_id)
        files.sync_gate.open()
        assert kinds(said) == ["store"]


async def test_nobody_explains_a_job_that_is_not_there() -> None:
    async with JobQueue() as queue:
        with pytest.raises(JobNotFound):
            queue.explain("nobody")


async def test_what_the_line_would_find_out_is_said_before_its_turn_comes() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files, workers=1, drain_timeout=0) as queue:
        keyed = naps(queue).using(key="k", on_conflict="keep_last")
        running = await keyed.submit(1e6)
        last = await naps(queue, "other").using(priority=-1).submit()
        waiting = await keyed.using(delay=50).submit()
        said = queue.explain(waiting.id)
        assert kinds(said) == ["delay", "key"]
        assert [one.job_id for one in the(said, ObstacleKind.KEY).holders] == [running.id]
        assert said.starts_at is None
        left = files.copy()
    async with JobQueue(files=left) as queue:
        assert kinds(queue.explain(waiting.id)) == ["delay", "no_task"]
        assert kinds(queue.explain(last.id)) == ["no_task"]


async def test_of_several_that_wait_for_a_key_those_behind_wait_for_the_first() -> None:
    async with JobQueue(drain_timeout=0) as queue:
        nap = naps(queue).using(key="k", on_conflict="keep_last")
        old = await nap.submit()
        await old
        running = await nap.submit(5)
        waiting = await nap.submit()
        await queue.rerun(old.id)
        await queue.pause_queue()
        await running
        assert kinds(queue.explain(waiting.id)) == ["queue_paused"]
        said = queue.explain(old.id)
        assert kinds(said) == ["queue_paused", "key"]
        assert (the(said, ObstacleKind.KEY).holders, "its key 'k' comes first" in str(said)) == ((), True)
        await queue.resume_queue()
        await queue.join()


async def test_a_paused_job_whose_delay_is_over_and_whose_key_is_free_is_only_paused() -> None:
    async with JobQueue() as queue:
        nap = naps(queue).using(key="k", on_conflict="keep_last")
        delayed = await naps(queue, "other").using(delay=5).submit()
        await nap.submit(5)
        blocked = await nap.submit()
        for handle in (delayed, blocked):
            await queue.pause(handle.id)
        assert kinds(queue.explain(delayed.id)) == ["paused", "delay"]
        assert kinds(queue.explain(blocked.id)) == ["paused", "key"]
        await anyio.sleep(10)
        for handle in (delayed, blocked):
            assert kinds(queue.explain(handle.id)) == ["paused"]
            assert str(queue.explain(handle.id)).endswith("it is paused until somebody resumes it.")


async def test_jobs_of_a_group_without_room_are_passed_by_and_not_ahead() -> None:
    async with JobQueue(workers=2, drain_timeout=0) as queue:
        nap = naps(queue)
        queue.group("red", limit=1)
        await nap.using(group="red").submit(1e6)
        await nap.submit(1e6)
        red = [await nap.using(group="red", priority=5).submit() for _ in range(3)]
        await queue.pause_group("blue")
        await nap.using(group="blue", priority=5).submit()
        other = await nap.submit()
        assert kinds(queue.explain(other.id)) == ["no_worker"]
        said = queue.explain(red[2].id)
        assert kinds(said) == ["group_limit", "ahead", "no_worker"]
        assert the(said, ObstacleKind.AHEAD).first == tuple(handle.id for handle in red[:2])
        assert "1 job of group 'red' runs, and its limit is 1" in str(said)
        assert "all 2 workers are busy" in str(said)


async def test_of_many_that_are_ahead_only_the_first_are_named() -> None:
    async with JobQueue(workers=EXPLAIN_LIMIT + 5, drain_timeout=0) as queue:
        nap = naps(queue)
        handles = [await nap.submit(1e6) for _ in range(2 * (EXPLAIN_LIMIT + 5) + 1)]
        said = queue.explain(handles[-1].id)
        ahead, worker = the(said, ObstacleKind.AHEAD), the(said, ObstacleKind.NO_WORKER)
        first = EXPLAIN_LIMIT + 5
        assert (ahead.position, ahead.first) == (first, tuple(one.id for one in handles[first:][:EXPLAIN_LIMIT]))
        assert [one.job_id for one in worker.holders] == [one.id for one in handles[:EXPLAIN_LIMIT]]


async def test_a_start_behind_a_pause_that_ends_by_itself_is_estimated_too() -> None:
    async with JobQueue(workers=1) as queue:
        nap = naps(queue)
        done = await nap.submit(10)
        await done
        until = (await done.record()).submitted_at.timestamp() + 100
        await queue.pause_queue(until=until)
        handles = [await nap.submit(10) for _ in range(3)]
        starts = [queue.explain(handle.id).starts_at for handle in handles]
        assert [at.timestamp() - until for at in starts if at] == pytest.approx([0.0, 10.0, 20.0], abs=0.1)
        await queue.join()
        for handle, estimate in zip(handles, starts, strict=True):
            started = (await handle.record()).started_at
            assert estimate is not None
            assert started is not None
            assert (started - estimate).total_seconds() == pytest.approx(0.0, abs=0.1)


async def test_what_runs_while_the_disk_takes_nothing_runs() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files, workers=1) as queue:
        nap = naps(queue)
        running = await nap.submit(5.0)
        await anyio.sleep(1)
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        with pytest.raises(StoreFull):
            await nap.submit()
        assert kinds(queue.explain(running.id)) == ["running"]
        await running
        files.room *= 10


async def test_what_ended_badly_says_how() -> None:
    async with JobQueue(drain_timeout=0) as queue:
        handle = await naps(queue).submit(1e6)
        await queue.cancel(handle.id)
        await handle.wait()
        said = queue.explain(handle.id)
        assert (said.state, said.starts_at) == (JobState.CANCELLED, None)
        assert str(said) == f"Job {handle.id} is cancelled: it has ended as cancelled."
