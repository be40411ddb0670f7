"""One attempt in a worker process, seen from the queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import anyio

from actorq.actors.processes import wire
from actorq.actors.processes.memory import MemoryGuard
from actorq.actors.processes.obituary import obituary
from actorq.actors.processes.process import Cause, Process
from actorq.actors.processes.pulse import feel_pulse
from actorq.actors.processes.reference import Reference
from actorq.config import PROCESS_LEAVE_S, PROCESS_STACK_S, PROCESS_START_S, TEXT_LIMIT
from actorq.core import commands as c
from actorq.core.job import Failure, Job, Reason
from actorq.errors import ActorqError
from actorq.function import Function

__all__ = ["ProcessRun"]

log = logging.getLogger("actorq")

_FORCE: Final = Cause("its process was ended by force", Reason.KILLED, "ProcessKilled")


class ProcessRun:
    """An attempt that is run by :meth:`ProcessPool.run`, and can be stopped meanwhile."""

    def __init__(
        self,
        job: Job,
        function: Function,
        reference: Reference,
        *,
        is_of_this_life: bool,
        now: Callable[[], float],
        hear: Callable[[c.Report], Any],
    ) -> None:
        """Be ready to run the job.

        Args:
            job: as it is now; its attempt is the one to run.
            function: of its task.
            reference: where the function stands.
            is_of_this_life: whether the job was submitted by the code that is running now.
            now: the clock of the queue.
            hear: called on the event loop with what the function says, and with Begin before that.
        """
        self.cancel_reason: Reason | None = None
        self._options = job.options
        self._job_id, self._claim, self._attempt = job.id, job.claim, job.attempt
        self._request = wire.Run(
            job_id=job.id,
            task=job.task,
            payload=job.payload,
            options=job.options,
            limits_from=job.limits_from,
            attempt=job.attempt,
            claim=job.claim,
            reference=reference,
            takes_context=function.takes_context,
            is_of_this_life=is_of_this_life,
            epoch=now() - time.monotonic(),
        )
        self._now = now
        self._hear = hear
        self._is_killed = False
        self._process: Process | None = None
        self._starting: anyio.CancelScope | None = None
        """While the process is not ready."""
        self._has_begun = False
        self._stack: str | None = None
        self._stack_came: anyio.Event | None = None

    # -- from outside; never waits -------------------------------------------------------------------

    def cancel(self, reason: Reason) -> None:
        """Ask the function to stop; one that has not begun never will. The first reason stands."""
        if self.cancel_reason is not None:
            return
        self.cancel_reason = reason
        if self._starting is not None:
            self._starting.cancel()
        elif self._has_begun and self._process is not None:
            self._process.channel.post(wire.Cancel(reason))

    def kill(self) -> None:
        """End the process, and all that it has started, at once."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill(_FORCE)

    async def stack(self) -> str:
        """Return where the function stands now, as text."""
        if self._process is None or not self._has_begun:
            return "It has not begun: its process is being started."
        if self._stack_came is None:
            self._stack, self._stack_came = None, anyio.Event()
            self._process.channel.post(wire.AskStack())
        with anyio.move_on_after(PROCESS_STACK_S):
            await self._stack_came.wait()
        return self._stack or "Its process does not answer: it is stopped, or its interpreter is held by foreign code."

    # -- by the pool ---------------------------------------------------------------------------------

    def quit(self) -> c.Report:
        """Say that it does not begin; why it ends is known already."""
        return c.Quit(self._job_id, self._claim, "")

    def could_not_start(self, error: Exception) -> c.Report:
        """Say that there is no process for it."""
        text = f"its process could not be started: {type(error).__name__}: {error}"
        return self._crashed(Failure(Reason.BAD_EXIT, "ProcessDied", text[:TEXT_LIMIT], "", self._attempt, self._now()))

    async def on(self, process: Process, guard: MemoryGuard) -> c.Report:
        """Run it on a process of which nobody else makes use; say what became of it.

        Whether the process can be used again, it must be asked. If this is cancelled, or raises, it can not.
        """
        self._process = process
        if self._is_killed:
            self.kill()
        try:
            if not await self._begin(process):
                return await self._crash(process)
            if self.cancel_reason is not None:
                return self.quit()
            process.jobs += 1
            with guard.watch(process, self._options.memory_mb):
                return await self._accompany(process) or await self._crash(process)
        finally:
            self._process = None
            self._hear_stack("It has just ended.")

    async def _begin(self, process: Process) -> bool:
        """Wait until the process is ready, and give it the attempt; False: it will not be ready."""
        with anyio.move_on_after(PROCESS_START_S) as self._starting:
            await process.get_ready()
        is_late = self._starting.cancelled_caught
        self._starting = None
        if self.cancel_reason is not None:
            return True
        if not process.is_ready:
            if is_late:
                process.kill(Cause(f"its process was ended, as it was not ready within {PROCESS_START_S:g} s"))
            return False
        self._tell(c.Begin(self._job_id, self._claim))  # its limits count from here, and not from its process' start
        process.channel.post(self._request)
        self._has_begun = True
        return True

    async def _accompany(self, process: Process) -> c.Report | None:
        """Hear it, and feel its pulse, until the verdict; None: it says nothing more."""
        if self._options.heartbeat_timeout is None:
            return await self._converse(process)
        report = None
        async with anyio.create_task_group() as group:
            group.start_soon(feel_pulse, process, self._options.heartbeat_timeout, self._beat)
            report = await self._converse(process)
            group.cancel_scope.cancel()
        return report

    async def _converse(self, process: Process) -> c.Report | None:
        """Hear what the process says until the verdict; None: it says nothing more."""
        await process.channel.flush()
        while True:
            match await process.receive():
                case wire.Over() as over:
                    process.resident_mb = over.resident_mb
                    return over.report
                case wire.Said(report):
                    self._tell(report)
                case wire.Stack(text):
                    self._hear_stack(text)
                case None:
                    return None
                case message:
                    process.reject(f"a {type(message).__name__} that nobody has asked for")

    def _hear_stack(self, text: str) -> None:
        if self._stack_came is not None:
            self._stack = text
            self._stack_came.set()
            self._stack_came = None

    async def _crash(self, process: Process) -> c.Report:
        """Make sure that the process has ended, and say how."""
        with anyio.move_on_after(PROCESS_LEAVE_S):  # it closes its socket a moment before it has ended
            await process.ended.wait()
        if not process.ended.is_set():
            process.kill(Cause("its process was ended, as it closed its connection to the queue"))
            with anyio.move_on_after(PROCESS_LEAVE_S):  # the system may hold it
                await process.ended.wait()
        return self._crashed(obituary(process, self._attempt, self._now()))

    def _crashed(self, failure: Failure) -> c.Report:
        log.warning("job %s (%s): %s", self._job_id, self._request.task, failure.message)
        return c.Crash(self._job_id, self._claim, failure)

    def _beat(self) -> None:
        self._tell(c.Beat(self._job_id, self._claim))

    def _tell(self, report: c.Report) -> None:
        if report.claim == self._claim and report.job_id == self._job_id:
            with suppress(ActorqError):  # the queue has stopped
                self._hear(report)
