"""Where a running job stands: the lines of code that wait for each other, and what the last of them waits for.

Only where, never with what: the values of variables are the user's, and a log is not the place for them.
"""

from __future__ import annotations

from attrs import frozen

from actorq.config import RunIn

__all__ = ["Frame", "Stack"]


@frozen
class Frame:
    """One function on its way."""

    file: str
    line: int
    function: str
    text: str
    """The line itself; empty if it cannot be read."""

    def __str__(self) -> str:
        head = f'  File "{self.file}", line {self.line}, in {self.function}\n'
        return f"{head}    {self.text}\n" if self.text else head


@frozen
class Stack:
    """Where a job stood when it was asked for; prints like a traceback."""

    job_id: str
    task: str
    where: RunIn
    frames: tuple[Frame, ...]
    """From the job's function inwards. Bounded: the innermost ones."""
    waits_for: str
    """What the last of them does, as a sentence."""

    def __str__(self) -> str:
        head = f"Job {self.job_id} ({self.task}) in its {_PLACE[self.where]} (most recent call last):\n"
        return f"{head}{''.join(map(str, self.frames))}{self.waits_for}"


_PLACE: dict[RunIn, str] = {"loop": "coroutine", "thread": "thread", "process": "process"}
