"""Opens the house and closes it, in the order of the floors.

Left to right: files, ledger, supervisor, workers. Right to left: stop intake, drain, cancel what runs, wait out its
grace, let go of what is left and send the workers home, complete the journal (or take the last snapshot, where there
is none), let callbacks hear the last events, end the worker processes, give up the lock.

Closing runs in a task of its own, so a caller who is cancelled in the middle can hurry it but not break it; one more
signal to the program does the same. Every phase has a bound, so the whole has one: ``drain_timeout``, ``grace`` and
``CLOSE_SLACK_S``, or, from when it is hurried, ``HURRY_S``. Two things are not ours to bound: how long the disk takes
for what is still to be written, and how long a function that awaits nothing blocks the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio

from actorq.actors.plan import Plan
from actorq.actors.processes import check_not_preparing
from actorq.actors.scribe import Scribe
from actorq.actors.signals import hurried_by_signals
from actorq.actors.spawn import spawn
from actorq.actors.supervisor import Supervisor
from actorq.config import HURRY_GRACE_S, LET_GO_S, LISTENERS_CLOSE_S, PROCESS_LEAVE_S
from actorq.core import commands as c
from actorq.core.machine import Machine
from actorq.errors import ActorqError
from actorq.function import Function

__all__ = ["House"]

log = logging.getLogger("actorq")


class House:
    """One life of a queue, from open to closed."""

    def __init__(self, supervisor: Supervisor, scribe: Scribe, plan: Plan) -> None:
        self.supervisor = supervisor
        self.scribe = scribe
        self._plan = plan
        self._is_closing = False
        self._hurry = anyio.Event()
        self._closed = anyio.Event()
        self._trouble: BaseException | None = None

    @classmethod
    async def open(
        cls, plan: Plan, functions: dict[str, Function], queue: object, declared: Sequence[c.Command]
    ) -> House:
        """Recover what was left, and start the workers.

        Args:
            plan: how to build it.
            functions: the tasks; what is declared later comes into the same dictionary.
            queue: for those who ask the context of a job.
            declared: what is to be known of tasks and groups before anything starts.

        Raises:
            StoreError: the directory cannot be used; it is as it was.
            RuntimeError: a worker process is importing the program, which must not run again there.
        """
        check_not_preparing()
        scribe, ledger = await Scribe.open(plan.keeping, plan.settings.name)
        try:
            machine = Machine(plan.settings, ledger, holds_runs=scribe.has_journal)
            clock = plan.make_clock(ledger.now)
            supervisor = Supervisor(machine, clock, scribe, functions, queue, plan)
            supervisor.start(declared)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await scribe.close()
            raise
        return cls(supervisor, scribe, plan)

    @property
    def is_closed(self) -> bool:
        """Whether it has come to its end, or its loop has."""
        return self._closed.is_set() or self.supervisor.is_torn_down

    async def close(self, *, hurry: bool = False) -> None:
        """Close it, or wait until whoever is closing it has done so.

        In a hurry it does not drain, and what runs gets the shortest grace.

        Raises:
            StoreError: what came last could not be written, and is lost.
            InternalError, WorkersKeepDying: the queue had stopped by itself.
        """
        if hurry:
            self._hurry.set()
        if not self._is_closing:
            self._is_closing = True
            spawn(self._close, f"actorq {self._plan.settings.name} closing")
        try:
            await self._closed.wait()
        except BaseException:
            self._hurry.set()
            with anyio.CancelScope(shield=True):
                await self._closed.wait()
            raise
        if self._trouble is not None:
            raise self._trouble

    async def _close(self) -> None:
        try:
            with hurried_by_signals(lambda: self.supervisor.call_soon(self._hurry.set)):
                await self._go_home()
        except BaseException as error:
            log.exception("queue %s did not close cleanly", self._plan.settings.name)
            self._trouble = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._closed.set()

    async def _go_home(self) -> None:
        supervisor = self.supervisor
        try:
            if supervisor.error is None:
                with suppress(ActorqError):  # it is supervisor.error by now
                    await self._end_what_runs()
            failure = await supervisor.stop()
            if not self.scribe.has_journal and (failure is None or supervisor.is_sound):
                await self.scribe.snapshots.snapshot(supervisor.machine.ledger, supervisor.clock.now, gently=False)
        finally:
            with anyio.CancelScope(shield=True):
                await self._end_what_is_left()
                await self.scribe.close()
        if failure is not None:
            raise failure

    async def _end_what_runs(self) -> None:
        supervisor, settings = self.supervisor, self._plan.settings
        supervisor.tell(c.Drain())
        supervisor.door.close()
        if running := len(supervisor.machine.roster.claims):
            log.info(
                "queue %s closes when %d running jobs have ended, or in %g s",
                self._plan.settings.name,
                running,
                self._plan.drain_timeout_s,
            )
        drained_at = supervisor.clock.now() + self._plan.drain_timeout_s
        await self._unless_hurried(self._nothing_runs, lambda: supervisor.clock.sleep(drained_at, anyio.Event()))
        supervisor.tell(c.Halt(settings.grace_s))
        if not await self._unless_hurried(self._nothing_runs, anyio.sleep_forever):
            supervisor.tell(c.Halt(HURRY_GRACE_S))
            await self._nothing_runs()

    async def _nothing_runs(self) -> None:
        supervisor = self.supervisor
        await supervisor.until(lambda: supervisor.error is not None or not supervisor.machine.roster.claims)

    async def _end_what_is_left(self) -> None:
        """Let the callbacks hear how it ended, and the worker processes leave; but not for long."""
        listeners, pool = self._plan.listeners, self.supervisor.processes
        await self._unless_hurried(listeners.heard, lambda: anyio.sleep(LISTENERS_CLOSE_S))
        if self._hurry.is_set():  # a moment is theirs all the same
            with anyio.move_on_after(LET_GO_S):
                await listeners.heard()
        await listeners.stop()
        await self._unless_hurried(pool.close, lambda: anyio.sleep(PROCESS_LEAVE_S + LET_GO_S))
        pool.kill()

    async def _unless_hurried(self, wait: Callable[[], Awaitable[None]], alarm: Callable[[], Awaitable[None]]) -> bool:
        """Wait, until the alarm rings or someone is in a hurry; tell whether it came to an end."""
        is_over = False

        async def watch() -> None:
            nonlocal is_over
            await wait()
            is_over = True

        async def end_with(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for each in (watch, alarm, self._hurry.wait):
                group.start_soon(end_with, each)
        return is_over
