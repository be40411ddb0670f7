"""Opens the house and closes it, in the order of the floors.

Left to right: files, ledger, supervisor, workers. Right to left: stop intake, drain, cancel what runs, wait
out its grace, send the workers home, complete the journal (or take the last snapshot, where there is none), give
up the lock. Closing runs in a task of its own, so a caller who is cancelled in the middle can hurry it but not
break it, and every phase has a bound: the whole takes at most ``drain_timeout``, one grace, and what the disk needs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf

import anyio
from attrs import define

from actorq.actors.clock import Clock, SystemClock
from actorq.actors.listeners import Listeners
from actorq.actors.scribe import Keeping, Scribe
from actorq.actors.spawn import spawn
from actorq.actors.supervisor import Supervisor
from actorq.config import Settings
from actorq.core import commands as c
from actorq.core.machine import Machine
from actorq.errors import ActorqError
from actorq.function import Function

__all__ = ["House", "Plan"]

log = logging.getLogger("actorq")

HURRY_GRACE_S = 1.0
"""The grace of what runs when closing is in a hurry: its caller, or the body of ``async with``, was cancelled."""


@define
class Plan:
    """How to build it."""

    settings: Settings
    keeping: Keeping
    drain_timeout_s: float
    listeners: Listeners
    make_clock: Callable[[float], Clock] = SystemClock


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
        """
        scribe, ledger = await Scribe.open(plan.keeping, plan.settings.name)
        try:
            machine = Machine(plan.settings, ledger, holds_runs=scribe.has_journal)
            clock = plan.make_clock(ledger.now)
            supervisor = Supervisor(machine, clock, scribe, functions, queue, plan.listeners, plan.settings.name)
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
        await self._within(self._plan.drain_timeout_s, self._nothing_runs)
        supervisor.tell(c.Halt(settings.grace_s))
        if not await self._within(inf, self._nothing_runs):
            supervisor.tell(c.Halt(HURRY_GRACE_S))
            await self._nothing_runs()

    async def _nothing_runs(self) -> None:
        supervisor = self.supervisor
        await supervisor.until(lambda: supervisor.error is not None or not supervisor.machine.roster.claims)

    async def _within(self, seconds: float, wait: Callable[[], Awaitable[None]]) -> bool:
        """Wait for so long, or until someone is in a hurry; tell whether it came to an end."""
        is_over = False

        async def watch() -> None:
            nonlocal is_over
            await wait()
            is_over = True
            group.cancel_scope.cancel()

        async def listen() -> None:
            await self._hurry.wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            group.start_soon(listen)
            group.start_soon(self._alarm, seconds, group.cancel_scope)
        return is_over

    async def _alarm(self, seconds: float, scope: anyio.CancelScope) -> None:
        clock = self.supervisor.clock
        await clock.sleep(clock.now() + seconds, anyio.Event())
        scope.cancel()
