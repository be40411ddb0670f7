"""Letters to the supervisor, read one batch at a time.

A letter is read in the turn of whoever posts it when the supervisor is not already reading; what is posted
meanwhile waits, and is read in the next batch of the same turn. So the supervisor needs no task to be
spoken to, a submit to an idle queue costs no hop, and still one thing happens at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import anyio

from actorq.core.commands import Command, Rerun, Submit
from actorq.errors import ActorqError

__all__ = ["BATCH_LIMIT", "Letter", "Mailbox"]

BATCH_LIMIT: Final = 1_000
"""The most letters in one batch: one step of the machine, one reading of the clock."""


class Letter:
    """A command, and where its answer goes. The core sees only the first half.

    Its answer is *decided* in the turn that reads it, and *told* when the facts that it stands on are kept.
    """

    __slots__ = ("_decision", "_error", "_is_told", "_told", "cause", "command")

    def __init__(self, command: Command | None, cause: BaseException | None = None) -> None:
        self.command = command
        """None: whoever sent it only wants to know when all until now is kept."""
        self.cause = cause
        """The exception behind a reported failure, for those who wait for the job in this process."""
        self._decision: Any = None
        self._error: ActorqError | None = None
        self._is_told = False
        self._told: anyio.Event | None = None

    def decide(self, decision: Any) -> None:
        """Say what will be answered."""
        self._decision = decision

    def tell(self, error: ActorqError | None = None) -> None:
        """Give the answer; or this error in its place, if none has been given."""
        if not self._is_told:
            self._is_told = True
            self._error = error
            if self._told is not None:
                self._told.set()

    async def answer(self) -> Any:
        """Wait for the answer and return it; a refusal is raised."""
        if not self._is_told:
            self._told = anyio.Event()
            await self._told.wait()
        if self._error is not None:
            raise self._error
        return self.decision()

    def jobs(self) -> Sequence[str]:
        """Return the jobs that were accepted by it, or stand for those that it asked for."""
        decision = self._decision
        if isinstance(self.command, Submit) and isinstance(decision, tuple):
            return cast("tuple[str, ...]", decision)
        return (decision,) if isinstance(self.command, Rerun) and isinstance(decision, str) else ()

    def decision(self) -> Any:
        """Return what was decided, None if nothing has been yet; a refusal is raised."""
        if isinstance(self._decision, ActorqError):
            raise self._decision
        return self._decision


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

    def post_all(self, letters: Sequence[Letter]) -> None:
        """Have the letters read together, one after the other."""
        self._letters.extend(letters)
        if not self._is_reading:
            self.read()

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
