"""The worker processes of a queue: who is idle, who is to leave, who is started ahead of need.

A job gets the process that became idle last, whose caches are warm, and otherwise a new one; at the same time another
is started, if fewer wait than there are to be ``ahead``. There is no task, thread or timer while nothing runs and no
more wait than that. A process that cannot be started or prepared is told of by the attempt that waited for it, and
not replaced until the next attempt needs one: it does not start again and again by itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress

import anyio
from attrs import define

from actorq.actors.processes.memory import MemoryGuard
from actorq.actors.processes.process import Process
from actorq.actors.processes.run import ProcessRun
from actorq.actors.processes.wire import Garbage
from actorq.actors.spawn import caller, is_trio, spawn
from actorq.config import PROCESS_IDLE_S, PROCESS_LEAVE_S, Processes
from actorq.core import commands as c

__all__ = ["ProcessPool"]


@define
class _Idle:
    process: Process
    since: float


class ProcessPool:
    """Runs attempts in processes. Belongs to the event loop on which it was made."""

    def __init__(self, settings: Processes, workers: Callable[[], int]) -> None:
        """Start nothing yet.

        Args:
            settings: how to keep the processes.
            workers: returns how many attempts may run at a time; no more processes are of use.
        """
        self._settings = settings
        self._workers = workers
        self._backend = "trio" if is_trio() else "asyncio"
        self._call_soon = caller()
        self._guard = MemoryGuard()
        self._all = set[Process]()
        """Also those that run a job, or are on their way out."""
        self._idle: list[_Idle] = []
        """The next one to get a job stands last."""
        self._tending: anyio.CancelScope | None = None
        self._is_closed = False
        weakref.finalize(self, _discard, self._all)  # a loop that was closed around us calls nobody

    def start_ahead(self) -> None:
        """Start those that are to be there before they are needed."""
        self._bury()
        busy = len(self._all) - len(self._idle)
        wanted = min(self._settings.ahead, self._workers() - busy) - len(self._idle)
        for _ in range(wanted):
            with suppress(OSError, RuntimeError, Garbage):  # whoever needs one will try again, and tell
                self._idle.insert(0, _Idle(self._start(), anyio.current_time()))

    async def run(self, run: ProcessRun) -> c.Report:
        """Run an attempt in a process, and return what becomes of it. If this is cancelled, the process is killed."""
        if run.cancel_reason is not None:
            return run.quit()
        try:
            process = self._take()
        except (OSError, RuntimeError, Garbage) as error:
            return run.could_not_start(error)
        self.start_ahead()
        try:
            report = await run.on(process, self._guard)
        except BaseException:
            process.kill()
            process.release()
            raise
        self._put_back(process)
        return report

    def kill(self) -> None:
        """End all of them at once; no more are started."""
        self._is_closed = True
        _discard(self._all)

    async def close(self) -> None:
        """Send all of them home; those that do not leave in time are killed."""
        self._is_closed = True
        if self._tending is not None:
            self._tending.cancel()
        self._idle.clear()
        for process in list(self._all):
            process.leave() if process.jobs and not process.is_in_use else process.discard()
        try:
            with anyio.move_on_after(PROCESS_LEAVE_S):
                await self._until_nobody_is_left()
        finally:
            self.kill()
        with anyio.move_on_after(PROCESS_LEAVE_S):  # the system may hold one of them
            await self._until_nobody_is_left()

    # -- one process -----------------------------------------------------------------------------------

    def _start(self) -> Process:
        if self._is_closed:
            raise RuntimeError("the queue is closing")
        process = Process(self._backend, self._call_soon, self._all.discard)
        self._all.add(process)
        return process

    def _take(self) -> Process:
        self._bury()
        process = self._idle.pop().process if self._idle else self._start()
        process.is_in_use = True
        return process

    def _put_back(self, process: Process) -> None:
        settings = self._settings
        process.release()
        if not process.is_usable or self._is_closed:
            process.discard()
        elif process.jobs >= settings.recycle_after or process.resident_mb > settings.recycle_above_mb:
            self._retire(process)
        else:
            self._idle.append(_Idle(process, anyio.current_time()))
            if len(self._idle) > settings.ahead and self._tending is None:
                self._tending = anyio.CancelScope()
                spawn(self._tend, "actorq idle processes")

    def _bury(self) -> None:
        """Forget those that have died while they were idle."""
        for idle in [idle for idle in self._idle if not idle.process.is_usable]:
            idle.process.discard()
            self._idle.remove(idle)

    def _retire(self, process: Process) -> None:
        process.leave()

        async def see_off() -> None:
            try:
                with anyio.move_on_after(PROCESS_LEAVE_S):
                    await process.ended.wait()
            finally:
                process.discard()

        spawn(see_off, "actorq leaving process")

    async def _tend(self) -> None:
        """Let go of those that have been idle for too long, while there are more than are to be ahead."""
        assert self._tending is not None
        try:
            with self._tending:
                while len(self._idle) > self._settings.ahead:
                    oldest = min(self._idle, key=lambda idle: idle.since)
                    await anyio.sleep_until(oldest.since + PROCESS_IDLE_S)
                    if oldest in self._idle:  # it may have got a job meanwhile
                        self._idle.remove(oldest)
                        self._retire(oldest.process)
        finally:
            self._tending = None

    async def _until_nobody_is_left(self) -> None:
        while self._all:
            await next(iter(self._all)).ended.wait()


def _discard(processes: set[Process]) -> None:
    for process in list(processes):
        process.discard()
