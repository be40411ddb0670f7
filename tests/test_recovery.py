"""What a directory gives back: everything, exactly once, whatever ended the life before."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from actorq import (
    HoldReason,
    JobFailed,
    JobLost,
    JobQueue,
    JobState,
    Retry,
    StoreCorrupt,
    StoreTooNew,
)
from actorq.store.line import HEADER_SEED, frame

ONCE = Retry(max_attempts=1)


def sleeper(queue: JobQueue) -> Any:
    @queue.task(name="nap", retry=ONCE)
    async def nap(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    return nap


def newest(path: Path) -> Path:
    return max(path.glob("snap-*.jsonl"))


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != "lock"}


async def crash(queue: JobQueue, path: Path, copy: Path) -> None:
    """Keep the directory as a crash would leave it now, just after a snapshot."""
    await queue.snapshot()
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("lock"))


# -- what comes back ---------------------------------------------------------------------------------


async def test_jobs_come_back_with_all_their_options(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "retry": Retry(max_attempts=7, delay=3, backoff="exponential", on=OSError),
        "timeout": 11,
        "heartbeat_timeout": 12,
        "expires": 13_000,
        "deadline": 14_000,
        "grace": 15,
        "priority": 16,
        "tags": {"for": "ada"},
        "dead_letter": True,
        "delay": 100,
    }
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(**options).submit(1.0)
        before = await handle.record()
    async with JobQueue(tmp_path) as queue:
        sleeper(queue)
        assert await queue.get(handle.id) == before


async def test_results_errors_and_logs_of_ended_jobs_come_back(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        nap = sleeper(queue)

        @queue.task(name="fail", retry=Retry(max_attempts=2, delay=1), context=True)
        async def fail(ctx: Any) -> None:
            ctx.log("here", n=ctx.attempt)
            ctx.progress(0.5, message="half")
            raise ValueError(ctx.attempt)

        handles = [await nap.submit(1.0), await fail.submit(), await nap.submit(100.0)]
        await handles[2].cancel("enough")
        await queue.join()
        before = [await handle.record() for handle in handles]
    async with JobQueue(tmp_path) as queue:
        after = [await queue.get(handle.id) for handle in handles]
        assert after == before
        assert [record.state for record in after] == [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]
        assert len(after[1].error_history) == 2
        assert len(after[1].log) == 2
        stats = await queue.stats()
        assert (stats.submitted, stats.live, stats.removed) == (3, 0, 0)


async def test_error_tells_when_it_happened() -> None:
    async with JobQueue() as queue:

        @queue.task(name="fail", retry=ONCE)
        async def fail() -> None:
            await anyio.sleep(5)
            raise ValueError

        handle = await fail.submit()
        await handle.wait()
        record = await handle.record()
        assert record.error.at == record.ended_at


async def test_jobs_run_in_the_order_of_their_priority_after_a_restart(tmp_path: Path) -> None:
    async with JobQueue(tmp_path, workers=1) as queue:
        nap = sleeper(queue)
        await nap.submit(5.0)
        handles = {priority: await nap.using(priority=priority).submit(1.0) for priority in (0, 5, -5, 9)}
    async with JobQueue(tmp_path, workers=1) as queue:
        sleeper(queue)
        await queue.join()
        started = {p: (await queue.get(handle.id)).started_at for p, handle in handles.items()}
        assert sorted(started, key=started.get) == [9, 5, 0, -5]


async def test_delay_goes_on_while_nobody_is_there(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(delay=0.5).submit(0.0)
        due_at = (await handle.record()).due_at
    async with JobQueue(tmp_path) as queue:
        sleeper(queue)
        assert await queue.handle(handle.id) == 0.0
        record = await queue.get(handle.id)
        assert record.started_at >= due_at


async def test_job_that_waits_for_its_retry_keeps_its_attempts(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    seen = []

    @queue.task(name="fail", retry=Retry(max_attempts=3, delay=10), context=True)
    async def fail(ctx: Any) -> None:
        seen.append(ctx.attempt)
        raise ValueError(ctx.attempt)

    async with queue:
        handle = await fail.submit()
        await anyio.sleep(1)
        assert (await handle.record()).hold_reason is HoldReason.RETRY
    async with queue:
        with pytest.raises(JobFailed):
            await handle
        assert (await handle.record()).attempt == 3
    assert seen == [1, 2, 3]


async def test_job_that_ran_in_the_crash_is_interrupted_and_run_again(tmp_path: Path) -> None:
    async with JobQueue(tmp_path / "one", drain_timeout=0) as queue:
        handle = await sleeper(queue).submit(50.0)
        await anyio.sleep(1)
        await crash(queue, tmp_path / "one", tmp_path / "two")
    async with JobQueue(tmp_path / "two") as queue:
        sleeper(queue)
        assert await queue.handle(handle.id) == 50.0
        record = await queue.get(handle.id)
    assert (record.interruptions, record.attempt, record.claim) == (1, 1, 2)
    assert [run.outcome for run in record.attempts] == ["interrupted", "succeeded"]


async def test_job_that_was_being_cancelled_in_the_crash_is_cancelled(tmp_path: Path) -> None:
    async with JobQueue(tmp_path / "one", drain_timeout=0) as queue:

        @queue.task(name="deaf")
        async def deaf() -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

        handle = await deaf.submit()
        await anyio.sleep(1)
        await handle.cancel("enough")
        await crash(queue, tmp_path / "one", tmp_path / "two")
    async with JobQueue(tmp_path / "two") as queue:
        assert await queue.handle(handle.id).wait() is JobState.CANCELLED


async def test_what_came_after_the_snapshot_is_lost_with_the_process(tmp_path: Path) -> None:
    async with JobQueue(tmp_path / "one") as queue:
        nap = sleeper(queue)
        kept = await nap.submit(0.0)
        await queue.join()
        await crash(queue, tmp_path / "one", tmp_path / "two")
        lost = await nap.submit(0.0)
    async with JobQueue(tmp_path / "two") as queue:
        sleeper(queue)
        assert await queue.handle(kept.id) == 0.0
        with pytest.raises(JobLost):
            await queue.handle(lost.id)


async def test_ephemeral_jobs_are_gone_and_counted(tmp_path: Path) -> None:
    async with JobQueue(tmp_path / "one", drain_timeout=0) as queue:
        handle = await queue.submit(anyio.sleep, 100)
        await anyio.sleep(1)
        await crash(queue, tmp_path / "one", tmp_path / "two")
    for path in ("one", "two"):
        async with JobQueue(tmp_path / path) as queue:
            with pytest.raises(JobLost):
                await queue.handle(handle.id)
            stats = await queue.stats()
            assert (stats.submitted, stats.removed, sum(stats.counts.values())) == (1, 1, 0)


async def test_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        first = await sleeper(queue).submit(0.0)
        await queue.join()
        last = (await queue.stats()).last_fact
    async with JobQueue(tmp_path) as queue:
        second = await sleeper(queue).submit(0.0)
        assert [(await queue.get(handle.id)).seq for handle in (first, second)] == [1, 2]
        assert (await queue.stats()).last_fact > last
        assert second.id > first.id


async def test_jobs_survive_many_lives(tmp_path: Path) -> None:
    runs = 0
    queue = JobQueue(tmp_path, workers=2, drain_timeout=0, grace=1)

    @queue.task(name="work", retry=ONCE)
    async def work(n: int) -> int:
        nonlocal runs
        await anyio.sleep(10)
        runs += 1
        return n

    async with queue:
        handles = [await work.submit(n) for n in range(10)]
    for _ in range(20):
        async with queue:
            await anyio.sleep(11)
    async with queue:
        assert [await handle for handle in handles] == list(range(10))
        stats = await queue.stats()
        assert (stats.submitted, stats.counts[JobState.SUCCEEDED]) == (10, 10)
    assert runs == 10


# -- code that has changed -----------------------------------------------------------------------------


async def test_unknown_task_parks_its_jobs_visibly_until_it_is_declared_before_opening(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(delay=0.1).submit(1.0)
    async with JobQueue(tmp_path) as queue:
        await anyio.sleep(1)
        record = await queue.get(handle.id)
        assert (record.state, record.hold_reason, record.attempt) == (JobState.SCHEDULED, HoldReason.NO_TASK, 0)
        assert record.error is not None
        assert "'nap'" in record.error.message
        stats = await queue.stats()
        assert (stats.parked, stats.live) == (1, 1)
        await queue.join()
    async with JobQueue(tmp_path) as queue:
        sleeper(queue)
        assert await queue.handle(handle.id) == 1.0
        assert (await queue.stats()).parked == 0
        assert (await queue.get(handle.id)).error is None


async def test_unknown_task_that_is_declared_while_the_queue_is_open_runs_its_jobs(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(delay=0.1).submit(1.0)
    async with JobQueue(tmp_path) as queue:
        await anyio.sleep(1)
        assert (await queue.stats()).parked == 1
        sleeper(queue)
        assert await queue.handle(handle.id) == 1.0


async def test_unknown_task_fails_its_jobs_if_that_was_asked_for(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(delay=0.1).submit(1.0)
    async with JobQueue(tmp_path, on_unknown_task="fail") as queue:
        with pytest.raises(JobFailed, match="no_task"):
            await queue.handle(handle.id)


async def test_parked_job_can_be_cancelled_and_expires(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        nap = sleeper(queue).using(delay=0.1)
        cancelled, expired = await nap.submit(1.0), await nap.using(delay=0.1, expires=50).submit(1.0)
    async with JobQueue(tmp_path) as queue:
        await anyio.sleep(1)
        assert await queue.cancel(cancelled.id)
        assert await queue.handle(expired.id).wait() is JobState.FAILED
        assert (await queue.get(cancelled.id)).state is JobState.CANCELLED
        assert (await queue.stats()).parked == 0


async def test_job_that_no_longer_fits_its_function_is_parked_until_it_does(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(delay=0.1).submit(1.0)
    async with JobQueue(tmp_path) as queue:

        @queue.task(name="nap")
        async def nap(seconds: float, hours: int) -> None: ...

        await anyio.sleep(1)
        record = await queue.get(handle.id)
        assert (record.hold_reason, record.attempt) == (HoldReason.BAD_PAYLOAD, 0)
        assert "hours" in record.error.message
        assert (await queue.stats()).parked == 1
    async with JobQueue(tmp_path) as queue:
        sleeper(queue)
        assert await queue.handle(handle.id) == 1.0
        assert (await queue.get(handle.id)).attempt == 1


async def test_job_whose_argument_has_another_type_now_is_parked(tmp_path: Path) -> None:
    async with JobQueue(tmp_path) as queue:
        handle = await sleeper(queue).using(delay=0.1).submit(1.5)
    async with JobQueue(tmp_path) as queue:

        @queue.task(name="nap")
        async def nap(seconds: str) -> None: ...

        await anyio.sleep(1)
        record = await queue.get(handle.id)
        assert record.hold_reason is HoldReason.BAD_PAYLOAD
        assert "'seconds'" in record.error.message


# -- damaged files -----------------------------------------------------------------------------------


async def two_snapshots(path: Path) -> list[str]:
    async with JobQueue(path, durability="snapshot") as queue:
        nap = sleeper(queue)
        first = await nap.submit(0.0)
        await queue.join()
        await queue.snapshot()
        second = await nap.submit(0.0)
        await queue.join()
    return [first.id, second.id]


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


async def test_damaged_snapshot_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    await two_snapshots(tmp_path)
    damage(newest(tmp_path))
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreCorrupt) as caught:
            await JobQueue(tmp_path).__aenter__()
        assert caught.value.path == str(newest(tmp_path))
        assert caught.value.line >= 1
        assert "recovery='salvage'" in str(caught.value)
    assert contents(tmp_path) == before


async def test_salvage_goes_on_from_the_snapshot_before_and_keeps_the_damaged_one(tmp_path: Path) -> None:
    first, second = await two_snapshots(tmp_path)
    damaged = newest(tmp_path)
    damage(damaged)
    async with JobQueue(tmp_path, durability="snapshot", recovery="salvage") as queue:
        sleeper(queue)
        assert await queue.handle(first) == 0.0
        with pytest.raises(JobLost):
            await queue.handle(second)
    assert (tmp_path / "quarantine" / damaged.name).exists()
    async with JobQueue(tmp_path) as queue:
        assert (await queue.stats()).submitted == 1


async def test_salvage_of_nothing_whole_begins_empty(tmp_path: Path) -> None:
    await two_snapshots(tmp_path)
    for name in contents(tmp_path):
        damage(tmp_path / name)
    async with JobQueue(tmp_path, recovery="salvage") as queue:
        assert (await queue.stats()).submitted == 0
    assert len(contents(tmp_path / "quarantine")) == 2


@pytest.mark.parametrize("recovery", ["strict", "salvage"])
async def test_snapshot_of_a_newer_format_is_refused_and_left_alone(tmp_path: Path, recovery: Any) -> None:
    await two_snapshots(tmp_path)
    file = newest(tmp_path)
    header, _, rest = file.read_bytes().partition(b"\n")
    fields = orjson.loads(header)
    del fields["c"]
    fields["v"] = 99
    file.write_bytes(frame(orjson.dumps(fields), HEADER_SEED) + rest)
    before = file.read_bytes()
    with pytest.raises(StoreTooNew) as caught:
        await JobQueue(tmp_path, recovery=recovery).__aenter__()
    assert caught.value.found == 99
    assert file.read_bytes() == before


async def test_half_written_snapshot_is_nothing(tmp_path: Path) -> None:
    first, second = await two_snapshots(tmp_path)
    whole = newest(tmp_path)
    (tmp_path / f"{whole.name[:-7]}9.jsonl.tmp").write_bytes(whole.read_bytes()[:100])
    async with JobQueue(tmp_path) as queue:
        sleeper(queue)
        assert [await queue.handle(first), await queue.handle(second)] == [0.0, 0.0]
    assert not [name for name in contents(tmp_path) if name.endswith(".tmp")]


async def test_directory_that_cannot_be_opened_can_be_tried_again(tmp_path: Path) -> None:
    await two_snapshots(tmp_path)
    file = newest(tmp_path)
    whole = file.read_bytes()
    damage(file)
    queue = JobQueue(tmp_path)
    with pytest.raises(StoreCorrupt):
        await queue.__aenter__()
    file.write_bytes(whole)
    async with queue:
        assert (await queue.stats()).submitted == 2


# -- kill -9 -----------------------------------------------------------------------------------------

VICTIM = textwrap.dedent("""
    import sys, anyio
    from actorq import JobQueue, Retry

    queue = JobQueue(sys.argv[1], workers=4, snapshot_interval=0.05)

    @queue.task(name="work", retry=Retry(max_attempts=1))
    async def work(n: int) -> int:
        await anyio.sleep(0.002 * (n % 7))
        return n

    async def main():
        async with queue:
            n = 0
            while True:
                for request in await work.submit_many([work.build(n + i) for i in range(20)]):
                    pass
                n += 20
                if n == 200:
                    await queue.snapshot()
                    print((await queue.stats()).submitted, flush=True)
                await anyio.sleep(0.01)

    anyio.run(main, backend=sys.argv[2])
""")


@pytest.mark.real_time
@pytest.mark.parametrize("wait", [0.0, 0.13, 0.31])
async def test_killed_process_leaves_all_that_its_snapshot_had_exactly_once(
    tmp_path: Path, anyio_backend_name: str, wait: float
) -> None:
    victim = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", VICTIM, str(tmp_path), anyio_backend_name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert victim.stdout is not None
        stored = int(victim.stdout.readline())
        await anyio.sleep(wait)
    finally:
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        victim.stdout.close()

    runs: dict[int, int] = {}
    queue = JobQueue(tmp_path)

    @queue.task(name="work", retry=ONCE)
    async def work(n: int) -> int:
        runs[n] = runs.get(n, 0) + 1
        return n

    async with queue:
        recovered = (await queue.stats()).submitted
        live = (await queue.stats()).live
        await queue.join()
        stats = await queue.stats()
        jobs = list(queue._house.supervisor.machine.ledger.jobs.values())
    assert recovered >= stored >= 200
    assert stats.counts[JobState.SUCCEEDED] + stats.removed == stats.submitted == recovered
    assert sum(runs.values()) == len(runs) == live, "what had ended does not run again; the rest runs once"
    assert sorted(orjson.loads(job.result) for job in jobs) == list(range(recovered))
