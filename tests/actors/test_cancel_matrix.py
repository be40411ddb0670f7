"""Every reason to cancel × where the job is × how its function behaves.

What is to come of it stands in the tables below; they were typed from the design of the queue, not from its code.
A cell that cannot exist is named by a rule, with the reason.

The queue's time is the test's own: it stands while threads and processes do their work, moves to a limit when the
function has begun, and to the end of the grace when one that refuses to end has noticed that it should. So when a job
ended is known exactly, on any machine.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from attrs import frozen
from manners import AGAIN, BEGUN, TICK, Coroutines, Functions, released

from actorq import JobCancelled, JobContext, JobFailed, JobHandle, JobQueue, JobState, QueueClosed, Retry
from actorq.config import REFUSALS_LIMIT, Processes
from actorq.task import Task
from actorq.testing import MemoryFiles, VirtualClock

GRACE, LIMIT, LATER = 10.0, 100.0, 3600.0

PATIENCE_S = 30.0
"""How long a cell may take in real time on any machine."""

# ── the tables ───────────────────────────────────────────────────────────────────────────────────


@frozen
class Ends:
    """The job ends in this state; the reason is told by its record, its last event and to who waits."""

    state: JobState
    reason: str


@frozen
class GoesOn:
    """The job is as it was before it ran, no attempt used; and runs again when nothing stands in its way any more."""


CANCELLED, FAILED, GOES_ON = JobState.CANCELLED, JobState.FAILED, GoesOn()

OUTCOMES: dict[str, Ends | GoesOn] = {
    "client": Ends(CANCELLED, "client_request"),
    "timeout": Ends(FAILED, "timeout"),  # of its only attempt
    "heartbeat": Ends(FAILED, "heartbeat"),
    "deadline": Ends(FAILED, "deadline"),
    "shutdown": GOES_ON,
    "queue paused": GOES_ON,
    "group paused": GOES_ON,
    "superseded": Ends(CANCELLED, "superseded"),
}
"""What becomes of the job: wherever it is, and whatever its function does."""

INSIDE = {
    "client": "client_request",
    "timeout": "timeout",
    "heartbeat": "heartbeat",
    "deadline": "deadline",
    "shutdown": "shutdown",
    "queue paused": "paused",
    "group paused": "paused",
}
"""What ``job.cancel_reason`` says."""

LIMITS = {"timeout": "timeout", "heartbeat": "heartbeat_timeout", "deadline": "deadline"}
"""The option by which time gives the reason."""

WAITING = {
    "queued": JobState.QUEUED,
    "scheduled": JobState.SCHEDULED,
    "waiting for its retry": JobState.SCHEDULED,
    "paused": JobState.PAUSED,
}

RUNNING: dict[str, tuple[Any, dict[str, Any]]] = {
    "on the loop": (Coroutines, {}),
    "in a thread": (Functions, {}),
    "in a thread with a loop": (Coroutines, {"run_in": "thread"}),
    "in a process": (Functions, {"run_in": "process"}),
    "in a process with a loop": (Coroutines, {"run_in": "process"}),
}

MANNERS = {
    "obeys": True,
    "swallows_once": True,  # but see `ends_by_itself`
    "swallows_for_ever": False,
    "cleans_up_in_time": True,
    "cleans_up_too_long": False,
    "raises_in_cleanup": True,
    "shields_itself": False,
    "returns_all_the_same": True,
}
"""How the function behaves, and whether it ends within its grace; otherwise it is abandoned, or killed, after that."""


@frozen
class Cell:
    """One question."""

    why: str
    where: str
    how: str

    def __str__(self) -> str:
        return f"{self.why}, {self.where}, {self.how}"

    @property
    def is_running(self) -> bool:
        """Whether the function has begun."""
        return self.where in RUNNING

    def ends_by_itself(self, loop: str) -> bool:
        """Tell whether the function ends before its grace is over.

        Who swallows a cancellation on asyncio is not cancelled again; on trio he is, at his next await, and who looks
        sees it again.
        """
        is_told_once = loop == "asyncio" and RUNNING[self.where][0] is Coroutines
        return MANNERS[self.how] and not (self.how == "swallows_once" and is_told_once)


def why_not(cell: Cell) -> str | None:
    """Return why there is no such cell."""
    if not cell.is_running and cell.how != "obeys":
        return "the function does not run: how it behaves makes no difference"
    if not cell.is_running and cell.why in ("timeout", "heartbeat"):
        return "the limit counts from the start of an attempt, and there is none"
    if cell.is_running and cell.why == "superseded":
        return "a newcomer takes the place of a job that waits, and is refused where it runs"
    if cell.where.startswith("in a process") and cell.why == "heartbeat":
        return "a process gives the signs of life by itself"
    if cell.where == "in a process with a loop" and cell.why != "client":
        return "it is told as any function in a process is: one reason stands for all"
    return None


ALL = [Cell(*names) for names in product(OUTCOMES, (*WAITING, *RUNNING), MANNERS)]
CELLS = [cell for cell in ALL if why_not(cell) is None]
ROWS = list(dict.fromkeys((cell.why, cell.where) for cell in CELLS))


def test_every_cell_is_asked_or_has_a_reason_not_to_be():
    assert len(ALL) == 8 * 9 * 8
    assert Counter(map(why_not, ALL)) == {
        None: 6 * 4 + (7 * 3 + 6 + 1) * 8,
        "the function does not run: how it behaves makes no difference": 8 * 4 * 7,
        "the limit counts from the start of an attempt, and there is none": 2 * 4,
        "a newcomer takes the place of a job that waits, and is refused where it runs": 5 * 8,
        "a process gives the signs of life by itself": 2 * 8,
        "it is told as any function in a process is: one reason stands for all": 5 * 8,
    }


# ── one cell ─────────────────────────────────────────────────────────────────────────────────────


class Trial:
    """A job where it is to be, in a queue with one worker; and what is asked of it."""

    def __init__(self, cell: Cell, loop: str, queue: JobQueue, clock: VirtualClock) -> None:
        self.cell = cell
        self.ends_by_itself = not cell.is_running or cell.ends_by_itself(loop)
        self.queue = queue
        self.clock = clock
        self.may_go = anyio.Event()
        self.quick = queue.task(name=f"{cell}: quick")(self._quick)
        self.blocker = queue.task(name=f"{cell}: blocker")(self.may_go.wait)
        self.task = self._declare()
        self.job: JobHandle[Any]
        self.asked_at: datetime
        self.attempts = 0
        """Used when it was asked to stop."""
        self.since = 0
        """The last event before its own."""

    def _declare(self) -> Task[..., Any]:
        cell = self.cell
        options: dict[str, Any] = {"name": str(cell), "context": True, "group": "g", "grace": GRACE}
        if cell.why in LIMITS:
            options[LIMITS[cell.why]] = LIMIT
        if not cell.is_running:
            return self.queue.task(**options, retry=Retry(max_attempts=2, delay=LATER))(self._wait)
        kind, where = RUNNING[cell.where]
        return self.queue.task(**options, **where, retry=Retry(max_attempts=1))(getattr(kind, cell.how))

    async def run(self, background: TaskGroup) -> None:
        """Bring the job there, give the reason to stop, and see what comes of it."""
        await self.bring()
        await (self.ask_function(background) if self.cell.is_running else self.ask(background))
        match OUTCOMES[self.cell.why]:
            case Ends(state, reason):
                await self.has_ended(state, reason)
            case GoesOn():
                await self.goes_on()
        await self.slot_is_free()

    async def _quick(self) -> str:
        return "quick"

    async def _wait(self, job: JobContext) -> str:
        if self.cell.where == "waiting for its retry" and job.attempt == 1:
            raise ValueError
        return AGAIN

    # -- bring it there, and ask ---------------------------------------------------------------------

    async def bring(self) -> None:
        """Let the job be where it is to be."""
        if self.cell.where == "queued":
            await self.blocker.submit()
        self.since = (await self.queue.stats()).last_fact
        delay = LATER if self.cell.where in ("scheduled", "paused") else 0.0
        self.job = await self.task.using(key=str(self.cell), delay=delay).submit()
        if self.cell.where == "waiting for its retry":
            await self.hears("retry_scheduled")
        elif self.cell.where == "paused":
            await self.queue.pause(self.job.id)
        self.attempts = (await self.job.record()).attempt

    async def hears(self, name: str) -> None:
        """Wait for an event of the job."""
        async with self.job.watch(name, after=self.since) as events:
            await anext(aiter(events))

    async def ask(self, background: TaskGroup) -> None:
        """Give the reason to stop."""
        match self.cell.why:
            case "client":
                assert await self.job.cancel("enough")
            case "shutdown":
                background.start_soon(self.queue.close)
            case "queue paused":
                await self.queue.pause_queue(stop=True)
            case "group paused":
                await self.queue.pause_group("g", stop=True)
            case "superseded":
                await self.task.using(key=str(self.cell), on_conflict="replace").submit()
            case _:
                await self.clock.advance(LIMIT)
        self.asked_at = datetime.fromtimestamp(self.clock.now(), UTC)

    async def ask_function(self, background: TaskGroup) -> None:
        """Give the reason to a function that runs; wait until it has been told, and is at its end or abandoned."""
        async with self.job.watch("logged", after=self.since) as lines:
            await until_said(lines, BEGUN)
            await self.ask(background)
            await until_said(lines, INSIDE[self.cell.why])
        if not self.ends_by_itself:
            await self.clock.advance(GRACE)

    # -- what has come of it -------------------------------------------------------------------------

    async def has_ended(self, state: JobState, reason: str) -> None:
        """See that the job has ended so, in time, and that everybody is told why."""
        assert await self.job.wait() is state
        with pytest.raises(JobCancelled if state is CANCELLED else JobFailed) as caught:
            await self.job
        assert caught.value.reason == reason
        record = await self.job.record()
        assert (record.state, record.error and record.error.reason, record.result) == (state, reason, None)
        async with self.job.watch(after=self.since) as events:
            *_, last = [event async for event in events]
        assert (last.name, last.fact.failure.reason) == (state.value, reason)
        self.took(record.ended_at)

    async def goes_on(self) -> None:
        """See that the job is where it was, and runs again when it may, with as many attempts as before."""
        cell = self.cell
        if cell.why == "shutdown":
            await self.queue.close()
            with pytest.raises(QueueClosed):
                await self.job
            self.may_go.set()
            await self.queue.__aenter__()
        elif cell.is_running:
            await self.hears("released")
        record = await self.job.record()
        if cell.is_running:
            assert (record.attempts[0].outcome, record.error) == ("released", None)
            self.took(record.attempts[0].ended_at)
        elif cell.why != "shutdown" or cell.where != "queued":
            assert record.state is WAITING[cell.where]
        await self._let_go_on(record.state)
        assert await self.job == AGAIN
        assert (await self.job.record()).attempt == (1 if self.cell.is_running else self.attempts + 1)

    async def _let_go_on(self, state: JobState) -> None:
        self.may_go.set()
        await self.queue.resume_queue()
        await self.queue.resume_group("g")
        if state is JobState.PAUSED:
            await self.queue.resume(self.job.id)
        if self.cell.where in ("scheduled", "waiting for its retry", "paused"):
            await self.queue.promote(self.job.id)

    def took(self, ended_at: datetime | None) -> None:
        """See that it took no time at all, or the grace."""
        assert ended_at is not None
        assert (ended_at - self.asked_at).total_seconds() == (0 if self.ends_by_itself else GRACE)

    async def slot_is_free(self) -> None:
        """See that another job has room to run, also while a function that refuses to end goes on."""
        self.may_go.set()
        assert await self.quick.run() == "quick"


async def until_said(lines: AsyncIterator[Any], what: str) -> None:
    async for line in lines:
        if line.fact.message == what:
            return
    pytest.fail(f"the function did not say {what}")


@pytest.fixture(autouse=True)
def _released() -> Iterator[None]:
    """Let all functions end at last."""
    released.clear()
    yield
    released.set()


@pytest.mark.real_time
@pytest.mark.parametrize(("why", "where"), ROWS)
async def test_a_job_that_is_to_stop_ends_as_the_tables_say(why: str, where: str, anyio_backend_name: str):
    clock = VirtualClock()
    queue = JobQueue(
        files=MemoryFiles(),
        workers=1,
        drain_timeout=0,
        make_clock=clock.start,
        blocked_after=None,
        processes=Processes(ahead=0),
    )
    async with anyio.create_task_group() as background, queue:
        for cell in (cell for cell in CELLS if (cell.why, cell.where) == (why, where)):
            try:
                with anyio.fail_after(PATIENCE_S):
                    await Trial(cell, anyio_backend_name, queue, clock).run(background)
            except BaseException as error:
                error.add_note(str(cell))
                released.set()
                background.start_soon(let_time_pass, clock)  # or the queue would not close
                raise
        released.set()


async def let_time_pass(clock: VirtualClock) -> None:
    while True:
        await clock.advance(GRACE)
        await anyio.sleep(TICK)


# ── what refusing costs ──────────────────────────────────────────────────────────────────────────


async def test_a_coroutine_that_refuses_to_end_is_not_stepped_much_more_often_than_if_it_were_left_alone():
    steps = 0

    async def refuse() -> None:
        nonlocal steps
        while not released.is_set():
            steps += 1
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(1)

    async with JobQueue(workers=1, grace=0) as queue:
        job = await queue.task(name="refuse", grace=GRACE)(refuse).submit()
        await anyio.sleep(0.5)
        before = steps
        await job.cancel()
        await job.wait()
        assert anyio.current_time() == pytest.approx(0.5 + GRACE)
        assert steps - before <= REFUSALS_LIMIT + GRACE + 1
        released.set()


@pytest.mark.real_time
async def test_functions_that_refuse_to_end_burn_no_core():
    async with JobQueue(grace=0, blocked_after=None) as queue:
        tasks = [
            queue.task(name=where, context=True, grace=1, **options)(kind.swallows_for_ever)
            for where, (kind, options) in RUNNING.items()
            if "process" not in where
        ]
        jobs = [await task.submit() for task in tasks]
        for job in jobs:
            async with job.watch("logged", after=0) as lines:
                await until_said(lines, BEGUN)
        began_at, cpu_before = time.perf_counter(), time.process_time()
        for job in jobs:
            await job.cancel()
        assert {await job.wait() for job in jobs} == {CANCELLED}
        took, burnt = time.perf_counter() - began_at, time.process_time() - cpu_before
        assert burnt < took / 2
        released.set()
