"""P1: how many no-op jobs a second, in memory, with a thousand in flight and every result awaited?

In two shapes. *Clients*: a thousand tasks that each run one job after the other. *Waves*: one task submits a
thousand at a time and awaits them all. A job is an ``async def`` that returns its argument, so that the results
can be checked; ours encodes the argument and the result, the floor hands over the objects.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from actorq import JobQueue

from .bare import WORKERS, Submit, open_bare
from .load import IN_FLIGHT, by_clients, echo


async def bare_waves(submit: Submit, jobs: int) -> int:
    total = 0
    for first in range(0, jobs, IN_FLIGHT):
        for promise in [submit(echo, n) for n in range(first, first + IN_FLIGHT)]:
            total += await promise
    return total


async def our_waves(task: Any, jobs: int) -> int:
    total = 0
    for first in range(0, jobs, IN_FLIGHT):
        for handle in await task.submit_many([task.build(n) for n in range(first, first + IN_FLIGHT)]):
            total += await handle
    return total


@pytest.mark.benchmark(group="P1 no-op jobs, 1,000 in flight (a round: 20,000 jobs; quick: 5,000)")
@pytest.mark.parametrize("shape", ["clients", "waves"])
def bench_no_op_jobs(shape: str, loop: str, portal: BlockingPortal, pick: Any, race: Any, tell: Any) -> None:
    jobs, rounds = pick(quick=(5_000, 4), full=(20_000, 10))
    queue = JobQueue(workers=WORKERS)
    task = queue.task(echo)

    def checked(call: Callable[..., Awaitable[int]], *args: Any) -> None:
        assert portal.call(call, *args, jobs) == sum(range(jobs))

    with (
        portal.wrap_async_context_manager(queue),
        portal.wrap_async_context_manager(open_bare(loop)) as submit,
    ):
        if shape == "clients":
            ours, base = race(
                lambda: checked(by_clients, task.run),
                lambda: checked(by_clients, lambda n: submit(echo, n)),
                rounds=rounds,
            )
        else:
            ours, base = race(lambda: checked(our_waves, task), lambda: checked(bare_waves, submit), rounds=rounds)
        stats = portal.call(queue.stats)
    assert stats.live == 0
    assert stats.submitted == (rounds + 1) * jobs
    promise = {} if loop == "trio" else {"promise": "≤ 3 × bare", "at_most": 3.0}
    tell("P1", f"{loop}, {shape}", ours / jobs * 1e6, base / jobs * 1e6, "µs/job", **promise)
