"""Why a job is not running: each reason is made real."""

from typing import Any

import anyio
import pytest

from actorq import Explanation, JobNotFound, JobQueue, ObstacleKind, Retention, Retry, StoreFull, current_job
from actorq.testing import MemoryFiles

from .test_durability import SlowFiles


def naps(queue: JobQueue) -> Any:
    async def nap(seconds: float = 0.0) -> None:
        await anyio.sleep(seconds)

    return queue.task(name="nap", retry=Retry(max_attempts=1))(nap)


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
        assert "2 jobs run of group 'red', and its limit is 2" in str(said)


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
        assert kinds(queue.explain(job_id)) == ["store", "running"]
        files.sync_gate.open()


async def test_nobody_explains_a_job_that_is_not_there() -> None:
    async with JobQueue() as queue:
        with pytest.raises(JobNotFound):
            queue.explain("nobody")
