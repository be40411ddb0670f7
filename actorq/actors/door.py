"""Where those stand in line whose jobs find no room: first come, first served.

A place in the line is nothing but an event, so giving it up leaves no trace. Nobody passes those who wait,
even if his own jobs would find room.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from actorq.config import EAGER_SUBMITS
from actorq.core import commands as c
from actorq.errors import QueueFull

__all__ = ["Door"]


class Host(Protocol):
    """What the door needs of the supervisor."""

    @property
    def room(self) -> int:
        """How many more live jobs there may be."""
        ...

    @property
    def limit(self) -> int:
        """How many live jobs there may be at all."""
        ...

    async def ask(self, command: c.Command) -> Any:
        """Post a command and wait for the answer."""
        ...

    def tell(self, command: c.Command) -> Any:
        """Post a command and return its answer."""
        ...


@define(eq=False)
class _Place:
    """One place in the line."""

    asked: int
    may_try: anyio.Event = field(factory=anyio.Event)


class Door:
    """Lets submissions in while there is room."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._line: deque[_Place] = deque()
        self._is_closed = False
        self._submits = 0

    def submit_now(self, command: c.Submit) -> None:
        """Submit the jobs, all or none.

        Raises:
            QueueFull: there is no room, or others wait for it.
            QueueClosed: nothing is taken any more.
        """
        self.refuse_to_pass(len(command.jobs))
        self._host.tell(command)

    async def submit(self, command: c.Submit) -> None:
        """Submit the jobs, all or none, as soon as it is their turn and there is room.

        Raises:
            QueueFull: there will never be room for so many at a time.
            QueueClosed: nothing is taken any more.
        """
        self._submits += 1
        if self._submits % EAGER_SUBMITS == 0:
            await checkpoint()
        try:
            self.refuse_to_pass(len(command.jobs))
            await self._host.ask(command)
        except QueueFull as full:
            if full.asked > full.limit:
                raise
            await self._stand_in_line(command, full.asked)

    def look(self) -> None:
        """Let the first in line try, if there is room now."""
        if self._line and (self._is_closed or self._host.room >= self._line[0].asked):
            self._line[0].may_try.set()

    def close(self) -> None:
        """Let everybody in line try, and be refused: nothing is taken any more."""
        self._is_closed = True
        for place in self._line:
            place.may_try.set()

    def refuse_to_pass(self, asked: int) -> None:
        """Raise QueueFull if others wait for room: nobody passes them."""
        if self._line and not self._is_closed:
            raise QueueFull(asked, 0, self._host.limit)

    async def _stand_in_line(self, command: c.Submit, asked: int) -> None:
        place = _Place(asked)
        self._line.append(place)
        try:
            while True:
                await place.may_try.wait()
                try:
                    await self._host.ask(command)
                except QueueFull as full:
                    place.asked, place.may_try = full.asked, anyio.Event()
                else:
                    return
        finally:
            self._line.remove(place)
            self.look()
