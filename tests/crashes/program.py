"""A queue under load, which tells a ledger outside of it what it was promised; it is there to be killed.

Many clients submit jobs one by one and in batches, wait for them, cancel them and rerun them. Each says what it is
about to ask, asks, and says what it was answered, on the standard output:

    found ID STATE CLAIM ATTEMPT INTERRUPTIONS    what a start has found, job by job …
    opened SUBMITTED COUNT                        … to the end
    try ID…        accepted ID…                   several: a batch, all or none
    ran ID CLAIM ATTEMPT                          the first that a run does
    ended ID STATE                                a waiter has heard it
    cancelling ID  cancelled ID
    rerunning ID   reran ID
    syncing        synced                         the journal, if asked to
    stands TASKS LIVE balanced                    now and then, if asked to
    closing        closed                         in peace

The one argument is JSON: the fields of Options.
"""

import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any, Literal

import anyio
import orjson
from anyio.abc import TaskGroup
from attrs import field, frozen
from bugs import BUGS, SMALL, compact_in_thread, set_limits, tell_syncs
from telling import jobs_of, tell, tell_found

from actorq import InvalidState, JobHandle, JobNotFound, JobQueue, JobState, QueueClosed, Retention, Retry, current_job
from actorq.task import JobRequest

BATCHES = (2, 3, 5, 8, 60)
ATTEMPTS = 4
"""No job may be tried more often."""
KEPT = 2_000
"""More than one life can end, so that nothing ends and is removed between two looks."""


@frozen
class Options:
    path: str
    seed: int = 0
    backend: Literal["asyncio", "trio"] = "asyncio"
    durability: Literal["flush", "fsync"] = "fsync"
    clients: int = 30
    seconds: float = 5.0
    """Then it closes by itself."""
    jobs: int = 1_500
    """Then it submits no more."""
    drains: bool = False
    """Submit nothing, and close when all has ended."""
    sync_interval: float = 0.02
    snapshot_interval: float = 0.5
    calm: float = 0.0
    """How long a client rests between two verbs, besides what it rests anyway."""
    tells_syncs: bool = False
    reports: bool = False
    """Say now and then how it stands."""
    in_thread: bool = False
    """Make snapshots in this process."""
    kept: int = KEPT
    bug: str = ""
    limits: dict[str, float] = field(factory=lambda: SMALL)


class Program:
    """One life."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.random = Random(options.seed)
        self.queue = JobQueue(
            options.path,
            workers=16,
            durability=options.durability,
            sync_interval=options.sync_interval,
            snapshot_interval=options.snapshot_interval,
            retention=Retention(age_s=1e9, count=options.kept),
            drain_timeout=0.05,
            grace=1.0,
        )
        self.submitted = 0
        self.live = deque[str](maxlen=100)
        """Accepted not long ago."""
        self.ended = deque[str](maxlen=100)
        """Of which the end was told; each is known to one client at a time."""
        self.cancelled = set[str]()
        self.tasks = (self.queue.task(name="work")(work), self.queue.task(name="grind")(grind))
        self.group: TaskGroup

    async def run(self) -> None:
        async with self.queue:
            tell_found(self.queue)
            async with anyio.create_task_group() as self.group:
                self.take_up()
                if self.options.reports:
                    self.group.start_soon(self.report)
                if not self.options.drains:
                    await self.serve()
            if self.options.drains:
                await self.queue.join()
        tell("closed")

    def take_up(self) -> None:
        """Go on with what earlier lives have left."""
        for job in jobs_of(self.queue):
            if not job.state.is_final:
                self.group.start_soon(self.follow, self.queue.handle(job.id))
            elif job.state is not JobState.CANCELLED:
                self.ended.append(job.id)

    async def serve(self) -> None:
        """Let the clients come and go until it is time to close; who waits then hears that."""
        with anyio.move_on_after(self.options.seconds):
            async with anyio.create_task_group() as clients:
                for _ in range(self.options.clients):
                    clients.start_soon(self.client)
        tell("closing")
        self.group.start_soon(self.queue.close)

    async def client(self) -> None:
        verbs: list[Callable[[], Awaitable[None]]] = [self.submit, self.submit_many, self.cancel, self.rerun]
        while True:
            verb = self.random.choices(verbs, (10, 3, 2, 2))[0]
            await verb()
            await anyio.sleep(self.options.calm + self.random.choice((0, 0, 0.001, 0.01)))

    async def report(self) -> None:
        """Say how many tasks there are, and whether the counts balance."""
        while True:
            with suppress(QueueClosed):
                stats = await self.queue.stats()
                balances = stats.submitted == sum(stats.counts.values()) + stats.removed
                tell("stands", len(anyio.get_running_tasks()), stats.live, "balanced" if balances else "UNBALANCED")
            await anyio.sleep(1.0)

    # -- verbs ---------------------------------------------------------------------------------------

    def request(self) -> JobRequest[str]:
        random = self.random
        task: Any = random.choices(self.tasks, (9, 1))[0]
        retry = Retry(random.randint(1, ATTEMPTS), delay=0.01, backoff="fixed")
        delay = random.choice((0, 0, 0, 0.02, 0.3))
        text = "x" * min(int(random.expovariate(1 / 300)), 20_000)
        options = task.using(retry=retry, delay=delay, priority=random.randint(-2, 2))
        request: JobRequest[str] = options.build(
            text, random.choice((0, 0, 0.005, 0.1)), random.choice((0, 0, 0, 1, 2))
        )
        return request

    async def submit(self) -> None:
        await self.submit_batch([self.request()])

    async def submit_many(self) -> None:
        await self.submit_batch([self.request() for _ in range(self.random.choice(BATCHES))])

    async def submit_batch(self, requests: list[JobRequest[str]]) -> None:
        if self.submitted > self.options.jobs:
            await anyio.sleep(0.01)
            return
        self.submitted += len(requests)
        ids = [request.id for request in requests]
        tell("try", *ids)
        handles = await self.queue.submit_many(requests)
        tell("accepted", *ids)
        self.live.extend(ids)
        for handle in handles[1:]:
            self.group.start_soon(self.follow, handle)
        if self.random.random() < 0.5:
            await self.follow(handles[0])
        else:
            self.group.start_soon(self.follow, handles[0])

    async def follow(self, handle: JobHandle[Any]) -> None:
        """Wait for the end, and say that it was heard."""
        with suppress(QueueClosed):
            state = await handle.wait()
            tell("ended", handle.id, state)
            self.ended.append(handle.id)

    async def cancel(self) -> None:
        if self.live:
            job_id = self.live.popleft()
            self.cancelled.add(job_id)
            tell("cancelling", job_id)
            if await self.queue.cancel(job_id):
                tell("cancelled", job_id)

    async def rerun(self) -> None:
        """Rerun a job, and wait for its end; not one that somebody has cancelled, for who could tell the ends apart?"""
        if not self.ended:
            return
        job_id = self.ended.popleft()
        if job_id in self.cancelled:
            return
        tell("rerunning", job_id)
        with suppress(JobNotFound, InvalidState):
            await self.queue.rerun(job_id)
            tell("reran", job_id)
            self.live.append(job_id)
            await self.follow(self.queue.handle(job_id))


# -- what the jobs do ------------------------------------------------------------------------------


def begin(fails: int) -> None:
    job = current_job()
    tell("ran", job.job_id, job.claim, job.attempt)
    if job.attempt <= fails:
        raise ValueError(job.attempt)


async def work(text: str, nap: float, fails: int) -> str:
    begin(fails)
    await anyio.sleep(nap)
    return text[::2]


def grind(text: str, nap: float, fails: int) -> str:
    begin(fails)
    return text[: int(nap)]


def main() -> None:
    options = Options(**orjson.loads(sys.argv[1]))
    set_limits(options.limits)
    if options.tells_syncs:
        tell_syncs(tell)
    if options.in_thread:
        compact_in_thread()
    if options.bug:
        BUGS[options.bug]()
    anyio.run(Program(options).run, backend=options.backend)


if __name__ == "__main__":
    main()
