"""One line of a file: a JSON object whose last field is its checksum.

``,"c":"`` and eight hex digits: the CRC-32 of all bytes before them. So a line is whole or absent,
whatever became of the lines around it; the checksum is no chain, because salvage needs the good
lines behind a bad one. It is seeded with a number that each file draws for itself (its salt) and
tells in its first line, so a line of another file, or of an earlier life, does not pass for one of
this. All this is against accidents, not against an attacker.

Nothing is believed because its checksum is right: what does not fit is :class:`Damage`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final, cast
from zlib import crc32

import orjson
from attrs import frozen

from actorq.config import JUNK_LIMIT, LINE_LIMIT
from actorq.store.files import Files

__all__ = [
    "HEADER_SEED", "Damage", "Line", "NewerVersion", "check_version", "draw_salt", "dump", "frame", "read_lines",
    "unframe", "whole",
]  # fmt: skip

HEADER_SEED: Final = 0x61637471
"""In place of the salt, for the line that tells the salt. The letters ``actq``."""


class Damage(Exception):
    """What was read cannot be trusted: ``why``, and in which ``line`` (from 1; 0: not known)."""

    def __init__(self, why: str, line: int = 0) -> None:
        self.why = why
        self.line = line
        super().__init__(why)


class NewerVersion(Exception):
    """A sound header says that a later actorq wrote the file."""

    def __init__(self, found: int) -> None:
        self.found = found
        super().__init__(found)


def frame(text: bytes, seed: int) -> bytes:
    """Return the JSON object as a line: with its checksum put in last, and a newline."""
    body = text[:-1]
    return b'%b,"c":"%08x"}\n' % (body, crc32(body, seed))


def unframe(line: bytes, seed: int) -> dict[str, Any]:
    """Return the object that the line holds, given without its newline.

    Raises:
        Damage: the checksum is wrong, or this is no JSON object.
    """
    body = line[:-16]
    if line[-16:] != b',"c":"%08x"}' % crc32(body, seed):
        raise Damage("the checksum is wrong")
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Damage(f"this is not JSON: {error}") from None
    if type(fields) is not dict:
        raise Damage("this is not a JSON object")
    return cast("dict[str, Any]", fields)


def dump(fields: Any) -> bytes:
    """Return the fields as JSON, whatever texts of users stand in them."""
    try:
        return orjson.dumps(fields)
    except TypeError:  # half a character: the message of an OSError may hold the bytes of a bad file name
        return orjson.dumps(_without_surrogates(fields))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in pairs}
    if isinstance(value, list | tuple):
        return [_without_surrogates(inner) for inner in cast("list[Any]", value)]
    return value


@frozen
class Line:
    """A line of a file, without its newline."""

    number: int
    """From 1."""
    offset: int
    data: bytes
    """Of a line that is too long, its end."""
    why: str = ""
    """What is wrong with its length; empty: nothing."""
    is_endless: bool = False
    """Whether it was not read to its end, nor was what may stand behind it."""


def whole(line: Line) -> bytes:
    """Return what is in the line; raise Damage if it has not the right length."""
    if line.why:
        raise Damage(line.why)
    return line.data


def read_lines(files: Files, name: str) -> Iterator[Line]:
    """Yield the lines of a file, of any file, in bounded memory."""
    number, offset, carry, lost = 1, 0, b"", 0
    for block in files.blocks(name):
        *whole, carry = (carry + block).split(b"\n")
        for data in whole:
            size = lost + len(data)
            yield Line(number, offset, data, "the line is too long" if size >= LINE_LIMIT else "")
            number, offset, lost = number + 1, offset + size + 1, 0
        if len(carry) > LINE_LIMIT:
            lost += len(carry) - LINE_LIMIT
            carry = carry[-LINE_LIMIT:]
        if lost > JUNK_LIMIT:
            yield Line(number, offset, carry, "the line has no end", is_endless=True)
            return
    if carry:
        yield Line(number, offset, carry, "the line is cut off")


def check_version(fields: dict[str, Any], format_: str, supported: int) -> int:
    """Return the version of the file whose first line this is.

    Raises:
        NewerVersion: a later actorq wrote it.
        Damage: it is not the first line of a file of this format.
    """
    if fields.get("t") != "hdr" or fields.get("f") != format_:
        raise Damage(f"this is not the first line of an {format_}")
    version = fields.get("v")
    if type(version) is not int or version < 1:
        raise Damage("v is not a format version")
    if version > supported:
        raise NewerVersion(version)
    return version


def draw_salt() -> int:
    """Return 32 random bits."""
    return int.from_bytes(os.urandom(4), "big")
