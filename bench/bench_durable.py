"""P3: how many jobs a second, if each is accepted only when it is on the disk, and a thousand clients wait?

The clients share the disk: what gathers while one sync is under way goes with the next. Two baselines. *Peers*
only accept, so here we only accept, too: the jobs are due tomorrow. *In memory* is P1: the same clients, each of
whom waits for the result of one job after the other, with a queue that writes nothing.

P4: how long does one client wait on an idle queue? As long as one bare write and sync of as many bytes takes in
the same directory, and then? They take turns, call by call.

What was told as accepted is looked for in a copy of the directory that is made while the queue is open: that is
what a crash leaves.
"""

import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from actorq import JobQueue
from actorq.core.job import JobState

from .bare import LOOPS, WORKERS
from .bench_round_trip import p99
from .disk import BareFile
from .load import A_DAY, IN_FLIGHT, by_clients, echo
from .peers import PEERS, open_peer

AT_LEAST = {"huey": 50.0, "dbos": 10.0}

PENDING = 1_000_000
"""More than any of these benchmarks submits."""


def after_a_crash(path: Path) -> JobQueue:
    """Return a queue with what a crash would leave now."""
    copy = path.with_name("copy")
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("lock"))
    queue = JobQueue(copy, workers=1, max_pending=PENDING)
    queue.task(echo)
    return queue


# -- P3 -------------------------------------------------------------------------------------------------


async def accept(submit: Callable[[int], Awaitable[object]], jobs: int) -> None:
    """Let a thousand clients submit one job after the other."""

    async def client(first: int) -> None:
        for n in range(first, jobs, IN_FLIGHT):
            await submit(n)

    async with anyio.create_task_group() as clients:
        for first in range(IN_FLIGHT):
            clients.start_soon(client, first)


@pytest.mark.benchmark(group="P3 accepted when synced, 1,000 clients (a round: 20,000 jobs; quick: 5,000)")
@pytest.mark.parametrize("loop", ["asyncio"])
@pytest.mark.parametrize("peer", [*PEERS, *(["nobody"] if not PEERS else [])])
def bench_accepting(peer: str, portal: BlockingPortal, disk: Path, pick: Any, race: Any, tell: Any) -> None:
    jobs, rounds = pick(quick=(5_000, 4), full=(20_000, 5))
    their_jobs = jobs // 10  # they have a tenth of the time, or this would take minutes
    queue = JobQueue(disk / "ours", workers=WORKERS, max_pending=PENDING, snapshot_interval=A_DAY)
    submit = queue.task(echo).using(delay=A_DAY).submit
    with (
        portal.wrap_async_context_manager(queue),
        open_peer(peer, disk) if peer in PEERS else nullcontext() as other,
    ):
        ours, theirs = race(
            lambda: portal.call(accept, submit, jobs),
            lambda: [other.enqueue(n) for n in range(their_jobs if other else 0)],
            rounds=rounds,
        )
        crashed = after_a_crash(disk / "ours")
        if other:
            assert sum(other.arguments()) == (rounds + 1) * sum(range(their_jobs))
    with portal.wrap_async_context_manager(crashed):
        stats = portal.call(crashed.stats)
    assert stats.counts[JobState.SCHEDULED] == (rounds + 1) * jobs
    promise = {"promise": f"≥ {AT_LEAST[peer]:.0f} × {peer}", "at_least": AT_LEAST[peer]} if other else {}
    their_rate = their_jobs / theirs if other else 0.0
    tell("P3", f"accepted, against {peer}", jobs / ours, their_rate, "jobs/s", **promise)


@pytest.mark.benchmark(group="P3 run, results awaited, 1,000 clients (a round: 20,000 jobs; quick: 3,000)")
@pytest.mark.parametrize(("loop", "durability"), [*((loop, "fsync") for loop in LOOPS), ("asyncio", "flush")])
def bench_running(
    loop: str, durability: Any, portal: BlockingPortal, disk: Path, pick: Any, race: Any, tell: Any
) -> None:
    jobs, rounds = pick(quick=(3_000, 3), full=(20_000, 5))
    durable = JobQueue(disk / "ours", durability=durability, workers=WORKERS, snapshot_interval=A_DAY)
    memory = JobQueue(workers=WORKERS)
    run_durably, run = durable.task(echo).run, memory.task(echo).run

    def checked(run: Callable[[int], Awaitable[int]]) -> None:
        assert portal.call(by_clients, run, jobs) == sum(range(jobs))

    with portal.wrap_async_context_manager(durable), portal.wrap_async_context_manager(memory):
        ours, base = race(lambda: checked(run_durably), lambda: checked(run), rounds=rounds)
        crashed = after_a_crash(disk / "ours")
    with portal.wrap_async_context_manager(crashed):
        stats = portal.call(crashed.stats)
    assert stats.submitted == (rounds + 1) * jobs
    assert stats.live == 0
    is_promised = durability == "fsync" and loop != "trio"
    promise = {"promise": "≥ 1/3 of P1", "at_least": 1 / 3} if is_promised else {}
    tell("P3", f"run, {durability}, against memory, {loop}", jobs / ours, jobs / base, "jobs/s", **promise)


# -- P4 -------------------------------------------------------------------------------------------------


async def take_turns(
    submit: Callable[[int], Awaitable[object]], write: Callable[[bytes], None], data: bytes, calls: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of each submit, and of each bare write."""
    ours, bare = [], []
    for n in range(calls):
        start = time.perf_counter()
        write(data)
        middle = time.perf_counter()
        await submit(n)
        ours.append(time.perf_counter() - middle)
        bare.append(middle - start)
    return ours, bare


def journal_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("wal-*.jsonl"))


@pytest.mark.benchmark(group="P4 one submit, synced, and one bare write, by turns (a round: 1,000; quick: 300)")
def bench_one_submit(loop: str, portal: BlockingPortal, disk: Path, benchmark: Any, pick: Any, tell: Any) -> None:
    calls, rounds = pick(quick=(300, 5), full=(1_000, 10))
    queue = JobQueue(disk / "ours", workers=WORKERS, max_pending=PENDING, snapshot_interval=A_DAY)
    submit = queue.task(echo).using(delay=A_DAY).submit
    times: list[tuple[list[float], list[float]]] = []
    with portal.wrap_async_context_manager(queue):
        bare = BareFile(disk / "ours" / "bare")
        before = journal_size(disk / "ours")
        portal.call(accept, submit, 10)
        data = b"x" * ((journal_size(disk / "ours") - before) // 10)
        benchmark.pedantic(
            lambda: times.append(portal.call(take_turns, submit, bare.write, data, calls)),
            rounds=rounds,
            warmup_rounds=1,
        )
        bare.close()
        crashed = after_a_crash(disk / "ours")
    with portal.wrap_async_context_manager(crashed):
        assert portal.call(crashed.stats).counts[JobState.SCHEDULED] == (rounds + 1) * calls + 10
    benchmark.extra_info["bytes"] = len(data)
    ours, base = ([*columns] for columns in zip(*times[1:], strict=True))
    promise = {"promise": "≤ bare + 500 µs", "at_most": 500.0, "bounds": "extra"} if loop != "trio" else {}
    tell("P4", f"{loop}, median", min(map(median, ours)) * 1e6, min(map(median, base)) * 1e6, "µs", **promise)
    tell("P4", f"{loop}, p99", min(map(p99, ours)) * 1e6, min(map(p99, base)) * 1e6, "µs")
