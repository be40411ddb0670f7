"""A queue whose jobs run in processes that die, in every way and at every moment.

With ``mode`` *deaths* it runs so many jobs, of which many kill their processes, or somebody else's, and others are
cancelled. It says ``ended ID`` for each, and ``at the end JSON``: how they ended, and what is left, which is children,
descriptors and threads.

With *orphans* it lets a few jobs begin, says ``running PID…`` with all processes there are, and waits to be killed.

The one argument is JSON: the fields of Options.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
import orjson
import psutil
from attrs import frozen
from telling import tell

from actorq import JobHandle, JobQueue, Processes, RestartBudget, Retry, current_job

NEVER_TOO_OFTEN = RestartBudget(deaths=10**6, task_deaths=10**6)
ONCE = Retry(1)
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@frozen
class Options:
    mode: Literal["deaths", "orphans"]
    backend: Literal["asyncio", "trio"] = "asyncio"
    jobs: int = 40
    seed: int = 0


queue = JobQueue(
    workers=4, processes=Processes(ahead=1, recycle_after=5), restarts=NEVER_TOO_OFTEN, max_pending=10_000, grace=0.2
)
in_process = partial(queue.task, run_in="process", retry=ONCE, max_interruptions=3)


# -- what the jobs do ------------------------------------------------------------------------------------


@in_process()
def work(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@in_process()
async def async_work(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@in_process()
def start(seconds: float) -> float:
    subprocess.Popen(SLEEPER)
    time.sleep(seconds)
    return seconds


@in_process()
def die(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(3)


@in_process()
def crash(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGSEGV)


@in_process()
def refuse(seconds: float) -> None:
    while True:
        with suppress(BaseException):
            time.sleep(seconds)


@in_process(timeout=0.1)
def outstay(seconds: float) -> None:
    time.sleep(600 + seconds)


@in_process()
def hold_the_interpreter(seconds: float) -> None:
    current_job().progress(message="begun")
    ctypes.PyDLL(None).sleep(int(600 + seconds))


@in_process()
def have_children(seconds: float) -> None:
    children = [subprocess.Popen(SLEEPER), os.fork()]
    if children[1] == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(600)
    current_job().progress(message="begun")
    time.sleep(600 + seconds)


# -- deaths ----------------------------------------------------------------------------------------------


class Deaths:
    """Many jobs, and what becomes of them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.random = Random(options.seed)
        self.states = Counter[str]()
        self.kills = 0

    async def run(self) -> None:
        before = remains()
        async with queue, anyio.create_task_group() as group:
            for _ in range(self.options.jobs):
                group.start_soon(self.live)
        with anyio.move_on_after(5):
            while remains() != before:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        told = {"states": self.states, "kills": self.kills, "left": remains(), "before": before}
        tell("at the end", orjson.dumps(told).decode())

    async def live(self) -> None:
        """Be one job."""
        task: Any = self.random.choice([work, work, async_work, start, die, crash, refuse, outstay])
        handle: JobHandle[Any] = await task.submit(self.random.uniform(0.0, 0.05))
        if task is refuse or self.random.random() < 0.2:
            await anyio.sleep(self.random.uniform(0.0, 0.5))
            await handle.cancel()
        if self.random.random() < 0.3:
            await self.until_it_runs(handle)
            await anyio.sleep(self.random.uniform(0.0, 0.2))
            self.kill()
        self.states[str(await handle.wait())] += 1
        tell("ended", handle.id)  # it goes on

    async def until_it_runs(self, handle: JobHandle[Any]) -> None:
        async with handle.watch("started", after=0) as events:
            async for _ in events:
                return

    def kill(self) -> None:
        """Kill one process, whoever it serves, and whether it is starting, running, idle or on its way out."""
        victims = psutil.Process().children()
        if victims:
            with suppress(psutil.NoSuchProcess):
                self.random.choice(victims).kill()
                self.kills += 1


def remains() -> dict[str, int]:
    """Return what there is of all that must not grow."""
    return {
        "children": len(psutil.Process().children(recursive=True)),  # zombies count
        "descriptors": len([*Path("/proc/self/fd").glob("*")]),
        "threads": threading.active_count(),
    }


# -- orphans ---------------------------------------------------------------------------------------------


async def leave_orphans() -> None:
    async with queue:
        handles = [await task.submit(0.0) for task in (hold_the_interpreter, have_children, refuse)]
        while not await all_have_begun(handles[:2]):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)
        tell("running", *(child.pid for child in psutil.Process().children(recursive=True)))
        await anyio.sleep(600)


async def all_have_begun(handles: list[JobHandle[Any]]) -> bool:
    return all([(await handle.record()).progress.message == "begun" for handle in handles])


def main() -> None:
    options = Options(**orjson.loads(sys.argv[1]))
    run = Deaths(options).run if options.mode == "deaths" else leave_orphans
    anyio.run(run, backend=options.backend)


if __name__ == "__main__":
    main()
