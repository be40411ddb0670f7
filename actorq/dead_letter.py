"""What a dead-letter task is handed, if it annotates its parameter; if not, it gets the same as a dictionary."""

from __future__ import annotations

from typing import Any

from attrs import frozen

__all__ = ["DeadJob", "DeadLetter", "LastFailure"]


@frozen
class DeadJob:
    """The job that failed."""

    id: str
    task: str
    key: str | None
    group: str | None
    tags: dict[str, str]
    attempt: int
    """Its last."""
    max_attempts: int
    submitted_at: float
    """Seconds since the epoch."""


@frozen
class LastFailure:
    """Why it failed; as text."""

    reason: str
    type: str
    message: str
    traceback: str
    attempt: int
    at: float
    """Seconds since the epoch."""


@frozen
class DeadLetter:
    """A job that failed for good: ``async def bury(letter: DeadLetter)``."""

    job: DeadJob
    payload: list[Any]
    """Its arguments, ``[args, kwargs]``, as stored: plain JSON."""
    failure: LastFailure

    @property
    def args(self) -> list[Any]:
        """Its arguments by position."""
        args: list[Any] = self.payload[0]
        return args

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its arguments by name."""
        kwargs: dict[str, Any] = self.payload[1]
        return kwargs
