"""Letters to the supervisor, read one batch at a time.

A letter is read in the turn of whoever posts it when the supervisor is not already reading; what is posted
meanwhile waits, and is read in the next batch of the same turn. So the supervisor needs no task to be
spoken to, a submit to an idle queue costs no hop, and still one thing happens at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import anyio

from actorq.core.commands import Command
from actorq.errors import ActorqError

__all__ = ["BATCH_LIMIT", "Letter", "Mailbox"]

BATCH_LIMIT: Final = 1_000
"""The most letters in one batch: one step of the machine, one reading of the clock."""

_PENDING: Final = object()


class Letter:
    """A command, and where its answer goes. The core sees only the first half."""

    __slots__ = ("_answer", "_answered", "cause", "command")

    def __init__(self, command: Command, cause: BaseException | None = None) -> None:
        self.command = command
        self.cause = cause
        """The exception behind a reported failure, for those who wait for the job in this process."""
        self._answer: Any = _PENDING
        self._answered: anyio.Event | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the answer has been given."""
        return self._answer is not _PENDING

    def answer(self, answer: Any) -> None:
        """Give the answer, once the facts behind it are written."""
        self._answer = answer
        if self._answered is not None:
            self._answered.set()

    async def answered(self) -> Any:
        """Wait for the answer and return it; a refusal is raised."""
        if self._answer is _PENDING:
            self._answered = anyio.Event()
            await self._answered.wait()
        return self.now()

    def now(self) -> Any:
        """Return the answer that has been given, None if none has been yet; a refusal is raised."""
        if self._answer is _PENDING:
            return None
        if isinstance(self._answer, ActorqError):
            raise self._answer
        return self._answer


class Mailbox:
    """The supervisor's; bounded, because what waits in it was all posted in the one turn that is reading it."""

    def __init__(self, read: Callable[[list[Letter]], None]) -> None:
        self._read = read
        self._letters: deque[Letter] = deque()
        self._is_reading = False

    def post(self, letter: Letter) -> Letter:
        """Have the letter read: now, or at the end of the turn that is reading."""
        self._letters.append(letter)
        if not self._is_reading:
            self.read()
        return letter

    def read(self) -> None:
        """Read what waits; with nothing waiting, let the supervisor look at the clock."""
        self._is_reading = True
        try:
            self._read_batch()
            while self._letters:
                self._read_batch()
        finally:
            self._is_reading = False

    def _read_batch(self) -> None:
        try:
            self._read([self._letters.popleft() for _ in range(min(len(self._letters), BATCH_LIMIT))])
        except BaseException:  # the end of the supervisor: whoever has a letter here must hear of it
            while self._letters:
                self._read([self._letters.popleft()])
            raise
