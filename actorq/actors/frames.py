"""Where code stands now, read off from outside: a coroutine with all that it awaits, or a thread.

May be asked from any thread. Of what belongs to another thread the answer is a picture of a moment, and that may
have passed. Nothing is ever read of the values of the user's variables.
"""

from __future__ import annotations

import linecache
import re
import sys
import threading
from collections.abc import Iterable
from itertools import dropwhile
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import frozen

from actorq.actors.awaiting import follow, is_drive, main_coroutine, sentence
from actorq.config import NAME_LIMIT, STACK_LIMIT, TEXT_LIMIT
from actorq.stack import Frame

__all__ = [
    "Standing",
    "frames_of_thread",
    "is_ours",
    "standing_in_text",
    "standing_of",
    "standing_of_coroutine",
    "standing_of_thread",
]

HOUSE: Final = str(Path(__file__).parents[1]) + "/"
"""Where our own code is: nobody asks where that stands."""

NOT_RUNNING: Final = "It has not begun, or it has just ended."
RUNNING: Final = "It is running."


@frozen
class Standing:
    """Where something stands."""

    frames: tuple[Frame, ...]
    """The innermost last."""
    waits_for: str
    """What the last of them does, as a sentence."""

    @property
    def text(self) -> str:
        """Like a traceback; of one that is too long, the end."""
        return ("".join(map(str, self.frames)) + self.waits_for)[-TEXT_LIMIT:]


def standing_of_coroutine(coroutine: object) -> Standing:
    """Return where a coroutine stands, and those that it awaits, through tasks, futures and asynchronous generators."""
    frames, does = _frames_of(coroutine)
    frames = _without_outer(frames)
    return standing_of(frames, does if frames else NOT_RUNNING)


def standing_of_thread(ident: int | None) -> Standing:
    """Return where the function stands that runs in this thread of ours; None: in no thread at all."""
    frames, does = [] if ident is None else frames_of_thread(ident), RUNNING
    for number, frame in reversed([*enumerate(frames)]):
        coroutine = main_coroutine(frame)
        if coroutine is not None:
            inner, does = _frames_of(coroutine)
            frames = [*frames[: number + 1], *inner]
            break
    start = next((number for number, frame in enumerate(frames) if is_ours(frame)), 0)
    drive = max((number for number, frame in enumerate(frames) if is_drive(frame)), default=start)
    frames = _without_outer(frames[drive:])
    return standing_of(frames, does if frames else NOT_RUNNING)


def _frames_of(coroutine: object) -> tuple[list[FrameType], str]:
    """Return the frames of a coroutine and of what it awaits, and what the last one does."""
    chain = follow(coroutine)
    if chain.is_suspended:
        return chain.frames, sentence(chain) if chain.frames else NOT_RUNNING
    return [*chain.frames[:-1], *_running_in(chain.frames[-1])], RUNNING


def standing_in_text(text: str) -> Standing:
    """Return what another process says of where something stands there."""
    frames = tuple(
        Frame(match["file"], int(match["line"]), match["function"], (match["text"] or "").strip())
        for match in _FRAME.finditer(text)
    )
    return Standing(frames, _FRAME.sub("", text).strip() or RUNNING)


_FRAME = re.compile(
    r'^ {2}File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)\n(?: {4}(?P<text>.*)\n)?(?: +[~^]+\n)?',
    re.MULTILINE,
)


def standing_of(frames: Iterable[FrameType], waits_for: str) -> Standing:
    """Write down where these frames stand."""
    return Standing(tuple(map(_frame_of, list(frames)[-STACK_LIMIT:])), waits_for)


def frames_of_thread(ident: int) -> list[FrameType]:
    """Return what the thread does now, the innermost last; nothing, if there is no such thread.

    Where it is the thread that asks, what asks is left out: a frame that held itself would be kept alive, and all that
    its callers hold.
    """
    return _outer_to_inner(_tops().get(ident), is_here=ident == threading.get_ident())


def _outer_to_inner(top: FrameType | None, *, is_here: bool) -> list[FrameType]:
    while is_here and top is not None and is_ours(top):
        top = top.f_back
    frames: list[FrameType] = []
    while top is not None:
        frames.append(top)
        top = top.f_back
    return frames[::-1]


def _tops() -> dict[int, FrameType]:
    return sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented, with its name


def is_ours(frame: FrameType) -> bool:
    """Tell whether the code is that of actorq itself."""
    return frame.f_code.co_filename.startswith(HOUSE)


def _running_in(outermost: FrameType) -> list[FrameType]:
    """Return this frame, which is running, and what it has called."""
    for ident in _tops():
        frames = frames_of_thread(ident)
        if outermost in frames:
            return frames[frames.index(outermost) :]
    return [outermost]


def _without_outer(frames: list[FrameType]) -> list[FrameType]:
    return [*dropwhile(is_ours, frames)]


def _frame_of(frame: FrameType) -> Frame:
    code, line = frame.f_code, frame.f_lineno or 0
    text = linecache.getline(code.co_filename, line).strip()[:NAME_LIMIT]
    return Frame(code.co_filename, line, code.co_qualname, text)
