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

from actorq.actors.mailbox import Letter
from actorq.config import EAGER_SUBMITS
from actorq.core import commands as c
from actorq.errors import ActorqError, QueueFull

__all__ = ["Door"]


class Host(Protocol):
    """What the door needs of the supervisor."""

    @property
    def room(self) -> int:
        """How many more live jobs there may be."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether submitters are to wait for the disk."""
        ...

    @property
    def hindrance(self) -> ActorqError | None:
        """Why the disk takes no submissions."""
        ...

    @property
    def limit(self) -> int:
        """How many live jobs there may be at all."""
        ...

    def post(self, command: c.Command) -> Letter:
        """Post a command; the letter tells what was decided."""
        ...

    async def caught_up(self) -> None:
        """Wait until the disk is not behind any more."""
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

    def submit_now(self, command: c.Submit) -> tuple[str, ...]:
        """Submit the jobs, all or none; return the ids of those that were accepted, or that stand for them.

        Raises:
            QueueFull: there is no room, or others wait for it, or the disk is behind.
            QueueClosed: nothing is taken any more.
            DuplicateJob: a key is held.
            StoreFull, StoreFailed: the disk takes no more.
        """
        self.refuse_to_pass(len(command.jobs))
        ids: tuple[str, ...] = self._host.tell(command)
        return ids

    async def submit(self, command: c.Submit, *, may_wait: bool = True) -> tuple[str, ...]:
        """Submit the jobs, all or none, as soon as it is their turn and there is room; return when that is kept.

        Args:
            command: the jobs.
            may_wait: whether to stand in line; a job that did might wait for itself.

        Raises:
            QueueFull: there is no room, for one that may not wait; or there never will be for so many at a time.
            QueueClosed: nothing is taken any more.
            DuplicateJob: a key is held.
            StoreFull, StoreFailed: the disk takes no more.
        """
        self._submits += 1
        if self._submits % EAGER_SUBMITS == 0:
            await checkpoint()
        if not may_wait:
            letter = await self._post_in_job(command)
        else:
            try:
                self.refuse_to_pass(len(command.jobs))
                letter = self._post(command)
            except QueueFull as full:
                if full.asked > full.limit:
                    raise
                letter = await self._stand_in_line(command, full.asked)
        ids: tuple[str, ...] = await letter.answer()
        return ids

    def look(self) -> None:
        """Let the first in line try, if there is room now."""
        if self._line and (self._is_open_for(self._line[0].asked) or self._host.hindrance is not None):
            self._line[0].may_try.set()

    def close(self) -> None:
        """Let everybody in line try, and be refused: nothing is taken any more."""
        self._is_closed = True
        for place in self._line:
            place.may_try.set()

    def refuse_to_pass(self, asked: int) -> None:
        """Raise an error if the disk takes no more; QueueFull if others wait for room, for nobody passes them."""
        if self._host.hindrance is not None:
            raise self._host.hindrance
        if self._is_closed:
            return  # the queue says so itself
        if self._host.is_behind:
            raise QueueFull(asked, 0, self._host.limit, advice="The disk is behind: await submit() to wait for it.")
        if self._line:
            raise QueueFull(asked, 0, self._host.limit)

    def _is_open_for(self, asked: int) -> bool:
        return self._is_closed or (self._host.room >= asked and not self._host.is_behind)

    def _post(self, command: c.Submit) -> Letter:
        """Post the jobs; QueueFull, if that was decided, is raised at once and not when it is kept."""
        letter = self._host.post(command)
        letter.decision()
        return letter

    async def _post_in_job(self, command: c.Submit) -> Letter:
        """Wait for the disk, which needs no worker, and not for room, which might."""
        await self._host.caught_up()
        asked = len(command.jobs)
        if self._line and not self._is_open_for(self._line[0].asked):
            raise QueueFull(
                asked, 0, self._host.limit, advice="Others wait for room, and a job cannot: raise max_pending."
            )
        if self._host.hindrance is not None:
            raise self._host.hindrance
        return self._post(command)

    async def _stand_in_line(self, command: c.Submit, asked: int) -> Letter:
        place = _Place(asked)
        self._line.append(place)
        self.look()  # there may be room by now
        try:
            while True:
                await place.may_try.wait()
                if self._host.hindrance is not None:
                    raise self._host.hindrance
                try:
                    return self._post(command)
                except QueueFull as full:
                    place.asked, place.may_try = full.asked, anyio.Event()
        finally:
            self._line.remove(place)
            self.look()
