"""What time it is, and the one sleeper.

``now`` is seconds since the epoch: the system clock at the start plus the event loop's monotonic time since.
So delays survive a restart and never go back while running, and a loop with virtual time makes the queue
virtual too. Nothing in the house sleeps but the supervisor, through :meth:`Clock.sleep`; whoever brings a
clock of his own owns all of the queue's time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf
from typing import Protocol

import anyio

from actorq.actors.spawn import loop_time
from actorq.config import WALL_STEP_S

__all__ = ["Clock", "SystemClock"]

log = logging.getLogger("actorq")


class Clock(Protocol):
    """The port: what the queue asks of time."""

    def now(self) -> float:
        """Return seconds since the epoch; never less than before."""
        ...

    async def sleep(self, until: float, or_event: anyio.Event) -> None:
        """Return when it is ``until`` (infinity: never), or when the event is set."""
        ...


class SystemClock:
    """The clock of the event loop it is made on."""

    def __init__(self, not_before: float = 0.0) -> None:
        """Start at the wall clock, or at ``not_before``, the last instant that was written, if that is later."""
        self._loop_time: Callable[[], float] = loop_time()
        self._offset = max(time.time(), not_before) - self._loop_time()
        self._wall_offset = time.time() - time.monotonic()
        self._look_at = 0.0

    def now(self) -> float:
        """Return seconds since the epoch."""
        monotonic = time.monotonic()
        if monotonic >= self._look_at:
            self._look_at_wall(monotonic)
        return self._offset + self._loop_time()

    def _look_at_wall(self, monotonic: float) -> None:
        """Notice that the wall clock was set. The queue's time goes on as if it had not been, until the next start."""
        self._look_at = monotonic + 1.0
        offset = time.time() - monotonic
        if abs(offset - self._wall_offset) > WALL_STEP_S:
            log.warning(
                "the wall clock was set by %+.1f s; delays and limits count as before", offset - self._wall_offset
            )
            self._wall_offset = offset

    async def sleep(self, until: float, or_event: anyio.Event) -> None:
        """Return when it is ``until``, or when the event is set."""
        if until == inf:
            await or_event.wait()
            return
        with anyio.move_on_after(max(until - self.now(), 0.0)):
            await or_event.wait()
