"""What a queue and its worker processes say to each other: frames of JSON over a socket.

A frame is four bytes, the length (big-endian), and as many bytes of JSON: an object whose field ``is`` names the
class. Nothing is pickled: what a broken process sends can be wrong, but it is never run. What is too long, or cannot
be read, is :class:`Garbage`, and the end of the process that sent it.

What is stored as JSON (arguments, results) travels inside of that as a text: no binary has to be armoured.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from struct import Struct
from typing import Any, Final

import orjson
from attrs import frozen
from cattrs.preconf.orjson import make_converter
from cattrs.strategies import configure_tagged_union

from actorq.actors.processes.reference import Reference
from actorq.config import FRAME_LIMIT
from actorq.core import commands as c
from actorq.core.job import JobOptions, Reason
from actorq.store.line import dump

__all__ = [
    "AskStack", "Cancel", "Frames", "FromChild", "Garbage", "NotReady", "Over", "Prepare", "Ready", "Run", "Said",
    "Saying", "Stack", "ToChild", "Verdict", "encode", "from_child", "to_child",
]  # fmt: skip


class Garbage(Exception):
    """What came over the wire is not what is spoken there."""


# -- to a process ----------------------------------------------------------------------------------


@frozen
class Prepare:
    """Come to see what the queue's own process sees: its arguments, and its main module."""

    argv: list[str]
    main_name: str | None
    """Of the main module, if it was started by its name; otherwise …"""
    main_path: str | None
    """… its file, if it has one."""
    backend: str
    """``asyncio`` or ``trio``: what coroutine functions run on."""


@frozen
class Run:
    """Run this attempt."""

    job_id: str
    task: str
    payload: bytes
    options: JobOptions
    limits_from: float
    attempt: int
    claim: int
    reference: Reference
    takes_context: bool
    is_of_this_life: bool
    epoch: float
    """What the clock of the queue says more than the monotonic clock, which is the same in all processes."""


@frozen
class Cancel:
    """Stop the attempt."""

    reason: Reason


@frozen
class AskStack:
    """Say where the attempt stands."""


ToChild = Prepare | Run | Cancel | AskStack


# -- from a process --------------------------------------------------------------------------------


@frozen
class Ready:
    """It is prepared."""


@frozen
class NotReady:
    """It could not be prepared, and ends."""

    traceback: str


Saying = c.Beat | c.Extend | c.ShowProgress | c.Log
Verdict = c.Finish | c.Fail | c.Snooze | c.Quit | c.Park


@frozen
class Said:
    """The function says something of its attempt."""

    report: Saying


@frozen
class Over:
    """The attempt has ended, and this becomes of it."""

    report: Verdict
    resident_mb: int
    """The memory that the process holds on to; 0: not known."""


@frozen
class Stack:
    """Where the attempt stands."""

    text: str


FromChild = Ready | NotReady | Said | Over | Stack


# -- frames ----------------------------------------------------------------------------------------

_LENGTH: Final = Struct(">I")


def encode(message: ToChild | FromChild) -> bytes:
    """Return the message as a frame.

    Raises:
        Garbage: it is longer than a frame may be.
    """
    union: Any = ToChild if isinstance(message, ToChild) else FromChild
    text = dump(_converter().unstructure(message, unstructure_as=union))
    if len(text) > FRAME_LIMIT:
        raise Garbage(f"a message of {len(text)} bytes, the limit is {FRAME_LIMIT}")
    return _LENGTH.pack(len(text)) + text


def to_child(text: bytes) -> ToChild:
    """Return the message that the queue sent."""
    message: ToChild = _decode(text, ToChild)
    return message


def from_child(text: bytes) -> FromChild:
    """Return the message that a process sent.

    Raises:
        Garbage: it is none.
    """
    message: FromChild = _decode(text, FromChild)
    return message


def _decode(text: bytes, union: Any) -> Any:
    try:
        return _converter().structure(orjson.loads(text), union)
    except Exception as error:
        raise Garbage(f"a message that cannot be read ({type(error).__name__}): {text[:50]!r}") from error


class Frames:
    """Cuts what arrives into messages, as long as they may be and no longer."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has arrived, and yield each message that is whole now.

        Raises:
            Garbage: one claims to be longer than any may be.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > FRAME_LIMIT:
                raise Garbage(f"a message of {length} bytes, the limit is {FRAME_LIMIT}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            text = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield text


@cache
def _converter() -> Any:  # made when it is first needed: it takes tens of milliseconds
    converter = make_converter()
    converter.register_unstructure_hook(bytes, bytes.decode)  # all that is bytes here is JSON, so it is UTF-8
    converter.register_structure_hook(bytes, lambda text, _: text.encode())
    converter.register_unstructure_hook(float, float)  # it may be a whole number beyond 64 bits, or of numpy
    for union in (Saying, Verdict, ToChild, FromChild):
        configure_tagged_union(union, converter, tag_name="is")
    return converter
