"""A queue that does what it is told on its standard input, and says what it was answered: for faults at a known place.

A line is a command; each is done before the next is read:

    submit SIZE        try ID    accepted ID | refused ID (no room) | unknown ID (the journal has failed)
    many COUNT SIZE    the same, as a batch
    end                wait for the last one         ended ID STATE
    later              submit one that waits for ever
    cancel             cancel that one               cancelling ID, cancelled ID
    rerun              rerun the last that ended     rerunning ID, reran ID
    snapshot           make one                      trouble …, if it fails
    room               wait until submissions are taken, or nothing is any more
    failure            wait until nothing is taken any more
    state              trouble …                     what the queue says of its disk
    step NUMBER        said NUMBER

Then it closes: closed, or trouble. It lives through every error that is documented, and dies of any other.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import orjson
from anyio import to_thread
from anyio.lowlevel import checkpoint
from attrs import field, frozen
from bugs import BUGS, SMALL, compact_in_thread, set_limits
from telling import tell, tell_found

from actorq import JobHandle, JobQueue, QueueClosed, Retention, Retry, StoreError, StoreFailed, StoreFull, current_job
from actorq.task import JobRequest


@frozen
class Options:
    path: str
    durability: str = "fsync"
    backend: str = "asyncio"
    drains: bool = False
    """Wait for all jobs that are there at the start to end, but for those that are not due."""
    in_thread: bool = False
    bug: str = ""
    limits: dict[str, float] = field(factory=lambda: SMALL)


class Steps:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.queue = JobQueue(
            options.path,
            workers=2,
            durability=options.durability,  # type: ignore[arg-type]
            sync_interval=0.01,
            snapshot_interval=3600.0,
            retention=Retention(age_s=1e9),
            drain_timeout=10.0,
        )
        self.task: Any = self.queue.task(name="work", retry=Retry(2, delay=0.0))(work)
        self.last: JobHandle[Any] | None = None
        self.late: JobHandle[Any] | None = None

    async def run(self) -> None:
        verbs: dict[str, Callable[..., Awaitable[None]]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }
        async with self.queue:
            tell_found(self.queue)
            while words := (await to_thread.run_sync(sys.stdin.readline)).split():
                try:
                    await verbs[words[0]](*map(int, words[1:]))
                except (StoreError, QueueClosed) as error:
                    tell_trouble(error)

    # -- commands --------------------------------------------------------------------------------------

    async def do_submit(self, size: int) -> None:
        self.last = await self._submit([self.task.build("x" * size)])

    async def do_many(self, count: int, size: int) -> None:
        self.last = await self._submit([self.task.build("x" * size) for _ in range(count)])

    async def do_later(self) -> None:
        self.late = await self._submit([self.task.using(delay=1e6).build("late")])

    async def do_end(self) -> None:
        if self.last is not None:
            tell("ended", self.last.id, await self.last.wait())

    async def do_cancel(self) -> None:
        if self.late is not None:
            tell("cancelling", self.late.id)
            if await self.queue.cancel(self.late.id):
                tell("cancelled", self.late.id)

    async def do_rerun(self) -> None:
        if self.last is not None:
            tell("rerunning", self.last.id)
            await self.queue.rerun(self.last.id)
            tell("reran", self.last.id)

    async def do_snapshot(self) -> None:
        await self.queue.snapshot()

    async def do_room(self) -> None:
        """Wait for the writer, which looks for room by itself; the only way to hear of that is to ask."""
        house: Any = self.queue._house
        supervisor = house.supervisor
        await supervisor.until(lambda: supervisor.hindrance is None or supervisor.scribe.failure is not None)
        await self.do_state()

    async def do_failure(self) -> None:
        house: Any = self.queue._house
        supervisor = house.supervisor
        await supervisor.until(lambda: supervisor.scribe.failure is not None)

    async def do_step(self, number: int) -> None:
        tell("said", number)

    async def do_state(self) -> None:
        tell("trouble", (await self.queue.stats()).store_error)

    async def _submit(self, requests: list[JobRequest[Any]]) -> JobHandle[Any] | None:
        ids = [request.id for request in requests]
        tell("try", *ids)
        try:
            handles = await self.queue.submit_many(requests)
        except (StoreFailed, QueueClosed) as error:
            tell("unknown", *ids)
            tell_trouble(error)
        except StoreFull as error:
            tell("refused", *ids)
            tell_trouble(error)
        else:
            tell("accepted", *ids)
            return handles[-1]
        return None


async def work(text: str) -> int:
    job = current_job()
    tell("ran", job.job_id, job.claim, job.attempt)
    await checkpoint()
    if job.attempt == 1 and len(text) % 2:
        raise ValueError(text[:10])
    return len(text)


def tell_trouble(error: BaseException) -> None:
    tell("trouble", type(error).__name__, str(error).replace("\n", " "))


async def live(options: Options) -> None:
    try:
        steps = Steps(options)
        await steps.run()
    except StoreError as error:
        tell_trouble(error)
    else:
        tell("closed")


def main() -> None:
    options = Options(**orjson.loads(sys.argv[1]))
    set_limits(options.limits)
    if options.in_thread:
        compact_in_thread()
    if options.bug:
        BUGS[options.bug]()
    anyio.run(live, options, backend=options.backend)


if __name__ == "__main__":
    main()
