"""A clock that the test owns.

Nothing in the queue sleeps but through its clock, so a test that owns the clock owns all of the queue's time:
delays, retries, limits, heartbeats, retention and snapshots. ::

    clock = VirtualClock()
    async with JobQueue(make_clock=clock.start) as queue:
        await remind.using(delay=3600).submit("Ada")
        await clock.advance(3600)

It does not own the time of the job functions themselves: one that calls ``anyio.sleep(60)`` sleeps on the event
loop, for a minute. For such jobs give the whole loop virtual time, and leave the queue its own clock, which
follows the loop: ``looptime`` on asyncio, ``trio.testing.MockClock(autojump_threshold=0)`` on trio. And a thread
works in real time whatever the clock says: await the handle of a job that is a plain ``def`` before you advance.

A queue that is being closed waits for running jobs in its own time, too: let them end before the block does.

Source of the idea: trio's ``MockClock``.
"""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import frozen

from actorq.actors.spawn import is_trio
from actorq.config import Seconds, duration
from actorq.core.job import JobState
from actorq.queue import JobQueue

__all__ = ["VirtualClock"]

_PATIENCE_S: Final = 0.2
"""Real seconds that running jobs are given, as they may be at work in a thread, before time goes on."""


@frozen(eq=False)
class _Sleeper:
    until: float
    alarm: anyio.Event


class VirtualClock:
    """Time stands still until the test moves it. One clock may serve several queues."""

    def __init__(self, start_at: float = 946_684_800.0) -> None:
        """Begin at this instant, in seconds since the epoch: the first of January 2000, if nothing is said."""
        self._now = start_at
        self._sleepers: list[_Sleeper] = []

    def __repr__(self) -> str:
        return f"<VirtualClock {self._now:.6f}, {len(self._sleepers)} asleep>"

    def start(self, not_before: float) -> VirtualClock:
        """Serve a queue, and go on from what it has stored: ``JobQueue(make_clock=clock.start)``."""
        self._now = max(self._now, not_before)
        return self

    # -- what the queue asks -------------------------------------------------------------------------

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    async def sleep(self, until: float, or_event: anyio.Event) -> None:
        """Return when time has been moved to ``until``, or when the event is set."""
        if until <= self._now:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = _Sleeper(until, or_event)
        self._sleepers.append(sleeper)
        try:
            await or_event.wait()
        finally:
            self._sleepers.remove(sleeper)

    # -- what the test asks --------------------------------------------------------------------------

    @property
    def next_at(self) -> float:
        """When something will happen by itself; infinity if nothing will."""
        return min((sleeper.until for sleeper in self._sleepers), default=inf)

    async def advance(self, seconds: Seconds) -> None:
        """Let so much time pass, from one thing that happens to the next, each at its own instant and in order.

        Args:
            seconds: a number, or a timedelta; 0 lets happen what can happen now.
        """
        until = self._now + duration("advance", seconds)
        await self.settle()
        while self.next_at <= until:
            await self._move_to(self.next_at)
        await self._move_to(until)

    async def run_until_idle(self, queue: JobQueue, *, at_most: Seconds = 365 * 86_400.0) -> None:
        """Let time pass until every job has ended, but for those that are parked.

        Jobs that work in threads are waited for; they have a fifth of a second before time goes on.

        Raises:
            TimeoutError: there were jobs left after ``at_most``, or some that no clock will end.
        """
        until = self._now + duration("at_most", at_most)
        while not await self._is_idle(queue):
            if self.next_at > until:
                raise TimeoutError(f"after {at_most} s of virtual time there are jobs left: {queue!r}")
            await self._move_to(self.next_at)

    async def settle(self) -> None:
        """Let everything happen that needs no time: return when every other task waits for something."""
        if is_trio():
            await anyio.wait_all_tasks_blocked()
            return
        me = asyncio.current_task()  # anyio's sleeps a tenth of a second between two looks
        while True:
            await asyncio.sleep(0)
            if all(_is_blocked(task) for task in asyncio.all_tasks() if task is not me):
                return

    async def _move_to(self, instant: float) -> None:
        self._now = max(instant, self._now)
        for sleeper in self._sleepers:
            if sleeper.until <= self._now:
                sleeper.alarm.set()
        await self.settle()

    async def _is_idle(self, queue: JobQueue) -> bool:
        patient_until = time.monotonic() + _PATIENCE_S
        while True:
            await self.settle()
            stats = await queue.stats()
            if stats.live == stats.parked:
                return True
            if not stats.counts[JobState.RUNNING] or time.monotonic() > patient_until:
                return False
            await anyio.to_thread.run_sync(time.sleep, 0.001)


def _is_blocked(task: asyncio.Task[Any]) -> bool:
    waits_for: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    return waits_for is not None and not waits_for.done()
