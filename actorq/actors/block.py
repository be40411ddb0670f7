"""Whose step holds up the event loop, read off from the frames of its thread.

Three marks lead to the job. Where an event loop carries out a step, of a task or a callback, the context of that step
is at hand, and a task that a job has begun has the job's. Where a job's own coroutine is driven, the drive has it. And
what is inside of the innermost mark is the user's code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from itertools import dropwhile
from types import FrameType
from typing import Final

from attrs import define, frozen

from actorq.actors.awaiting import is_drive, library_of
from actorq.actors.context import JobContext, running_attempt
from actorq.actors.frames import RUNNING, Standing, is_ours, standing_of

__all__ = ["Block", "BlockLimit", "block_in", "is_step"]


@frozen
class Block:
    """The event loop does not turn."""

    job_id: str
    """Who holds it up; empty: no job of this queue does."""
    task: str
    standing: Standing
    """Of that job, or of whoever it is."""


@define
class BlockLimit:
    """For how long the loop may be held up; may be changed while the queue is open."""

    seconds: float | None
    """None: nobody looks."""
    hear: Callable[[Block], object] | None = None
    """Hears, in the watchdog's thread, of each block while it lasts."""


_STEPS: Final = {("asyncio.events", "Handle._run"), ("trio._core._run", "unrolled_run")}


def is_step(frame: FrameType) -> bool:
    """Tell whether a loop carries out a step here: of a task, or a callback."""
    return (frame.f_globals.get("__name__"), frame.f_code.co_qualname) in _STEPS


def block_in(frames: Sequence[FrameType], queue: object, *, must_be_step: bool) -> Block | None:
    """Return what the loop is doing, and for which job of the queue; None: nothing.

    Args:
        frames: of its thread, the innermost last.
        queue: whose jobs are named.
        must_be_step: whether it does nothing where no step is to be seen.
    """
    step = max((number for number, frame in enumerate(frames) if is_step(frame)), default=None)
    if not frames or (step is None and must_be_step):
        return None
    start = max((number for number, frame in enumerate(frames) if is_drive(frame)), default=step or 0)
    job = _job_of(frames[start])
    inner = frames[start + 1 :]
    standing = standing_of([*dropwhile(_is_apparatus, inner)] or inner, RUNNING)
    if job is None or job.queue is not queue:
        return Block("", "", standing)
    return Block(job.job_id, job.task, standing)


def _is_apparatus(frame: FrameType) -> bool:
    return is_ours(frame) or library_of(frame) is not None


def _job_of(frame: FrameType) -> JobContext | None:
    """Return the job in whose context this drive or step goes on, if in any."""
    own = frame.f_locals
    holder = own.get("task") if frame.f_code.co_name == "unrolled_run" else own.get("self")
    context = getattr(holder, "context", None) or getattr(holder, "_context", None)
    return context.get(running_attempt) if isinstance(context, Context) else None
