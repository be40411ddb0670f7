"""A directory in memory: names and bytes, and nothing that could fail but for want of room.

It outlives the queue that used it, so a second queue finds what the first one left; and
:meth:`MemoryFiles.copy` gives, at any moment, what would be found if the process ended now. ::

    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        await remind.submit("Ada")
        found = files.copy()
    async with JobQueue(files=found) as queue:
        ...  # as after a crash
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Final

from actorq.errors import StoreError, StoreFull, StoreLocked
from actorq.store.files import Entry, NewFile

__all__ = ["Content", "MemoryFiles"]

BLOCK: Final = 1024 * 1024
"""Bytes read at a time."""

LOCK: Final = "lock"


class Content:
    """What is in a file, whatever its name is, and whether it still has one."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def put(self, offset: int, data: bytes) -> None:
        """Put the data there, over what is there."""
        self.data[offset : offset + len(data)] = data

    def cut(self, size: int) -> None:
        """Keep only the first bytes."""
        del self.data[size:]

    def sync(self) -> None:
        """Take the bytes to the disk."""

    def settle(self) -> None:
        """Take the bytes to the disk, and show from now on what that has."""

    def lose(self) -> None:
        """Fail to take them there."""

    def lose_power(self) -> None:
        """Show from now on what the disk has, and what it has by chance."""


class MemoryFiles:
    """A directory that is not one. All its methods may be called from any thread."""

    def __init__(self) -> None:
        self.room = inf
        """Bytes that all files together may take; what goes beyond is a StoreFull, and is written in part."""
        self.odd = set[str]()
        """Names of what is to be taken for no regular file: a symlink, a FIFO."""
        self.block = BLOCK
        """Bytes read at a time."""
        self._files: dict[str, Content] = {}
        self._directories = {""}
        self._is_locked = False
        self._turn = threading.RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._files)} files{' locked' if self._is_locked else ''}>"

    # -- what a test asks ------------------------------------------------------------------------------

    def copy(self) -> MemoryFiles:
        """Return another directory with the same files, not locked, as a process that begins now would find it."""
        with self._turn:
            other = MemoryFiles()
            other._files = {name: Content(bytes(content.data)) for name, content in self._files.items()}
            other._take_over(self)
            return other

    def names(self) -> list[str]:
        """Return the names of all files, those in directories with a slash, in order."""
        with self._turn:
            return sorted(self._files)

    def read(self, name: str) -> bytes:
        """Return what is in the file."""
        with self._turn:
            return bytes(self._find(name).data)

    def put(self, name: str, data: bytes = b"") -> None:
        """Let there be a file with these bytes, in the place of any other."""
        with self._turn:
            self._files[name] = self._make_content(data)

    # -- the port --------------------------------------------------------------------------------------

    def where(self, name: str = "") -> str:
        """Return a path that leads nowhere."""
        return f"/memory/{name}" if name else "/memory"

    def make_directory(self, name: str = "") -> None:
        """Note that there is one."""
        with self._turn:
            if name in self._files:
                raise StoreError(self.where(name), "cannot make it: there is a file of this name.")
            self._directories.add(name)

    def lock(self) -> None:
        """Lock it, for whoever holds this object."""
        with self._turn:
            if self._is_locked:
                raise StoreLocked(self.where(), "another queue of this process")
            if LOCK not in self._files:
                self._link(LOCK, self._make_content())
            self._is_locked = True

    def unlock(self) -> None:
        """Let it go."""
        self._is_locked = False

    def list(self, name: str = "") -> list[Entry]:
        """Return files and directories."""
        with self._turn:
            self._need_directory(name)
            above = f"{name}/" if name else ""
            found = {*self._files, *self._directories} - {name}
            names = sorted(one.removeprefix(above) for one in found if one.startswith(above))
            return [Entry(one, self._is_file(above + one)) for one in names if "/" not in one]

    def create(self, name: str) -> NewFile:
        """Create an empty file."""
        with self._turn:
            self._need_directory(name.rpartition("/")[0])
            if name in self._files or name in self._directories:
                raise StoreError(self.where(name), "cannot create it: there is something of this name.")
            content = self._make_content()
            self._link(name, content)
            return _MemoryFile(
                content, self._turn, partial(self._write, name, content), partial(self._has, name, content)
            )

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file; what is written meanwhile may be read, too."""
        with self._turn:
            content = self._find(name)
        offset = 0
        while True:
            with self._turn:
                block = bytes(content.data[offset : offset + self.block])
            if not block:
                return
            yield block
            offset += len(block)

    def settle(self, name: str) -> None:
        """See that there is such a file."""
        with self._turn:
            self._find(name).settle()

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        with self._turn:
            self._find(old)
            self._need_directory(new.rpartition("/")[0])
            if new in self._directories:
                raise StoreError(self.where(new), f"cannot rename {old} to it: there is a directory of this name.")
            if old != new:
                self._move(old, new)

    def unlink(self, name: str) -> None:
        """Remove a file, if there is one."""
        with self._turn:
            if name in self._directories:
                raise StoreError(self.where(name), "cannot remove it: there is a directory of this name.")
            if name in self._files:
                self._unlink(name)

    def sync_directory(self, name: str = "") -> None:
        """See that there is such a directory."""
        with self._turn:
            self._need_directory(name)

    # -- for those who build on it ---------------------------------------------------------------------

    def _take_over(self, other: MemoryFiles) -> None:
        self._directories = set(other._directories)
        self.odd, self.block, self.room = set(other.odd), other.block, other.room

    def _make_content(self, data: bytes = b"") -> Content:
        return Content(data)

    def _link(self, name: str, content: Content) -> None:
        self._files[name] = content

    def _move(self, old: str, new: str) -> None:
        self._files[new] = self._files.pop(old)

    def _unlink(self, name: str) -> None:
        del self._files[name]

    def _is_file(self, name: str) -> bool:
        return name in self._files and name not in self.odd

    def _find(self, name: str) -> Content:
        if self._is_file(name):
            return self._files[name]
        why = "is no regular file: move it away." if name in self.odd | self._directories else "there is no such file."
        raise StoreError(self.where(name), why)

    def _need_directory(self, name: str) -> None:
        if name not in self._directories:
            raise StoreError(self.where(name), "there is no such directory.")

    def _write(self, name: str, content: Content, data: bytes) -> None:
        with self._turn:
            size = len(content.data)
            used = 0 if self.room == inf else sum(len(one.data) for one in self._files.values())
            if used + len(data) > self.room:
                content.put(size, data[: max(int(self.room) - used, 0)])
                raise StoreFull(self.where(name), "cannot write it: no space left in memory.")
            content.put(size, data)

    def _has(self, name: str, content: Content) -> bool:
        with self._turn:
            return self._files.get(name) is content


class _MemoryFile:
    """A file that is being written."""

    def __init__(
        self, content: Content, turn: threading.RLock, write: Callable[[bytes], None], is_in_place: Callable[[], bool]
    ) -> None:
        self._content = content
        self._turn = turn
        self._write = write
        self._is_in_place = is_in_place

    def write(self, data: bytes) -> None:
        self._write(data)

    def cut(self, size: int) -> None:
        with self._turn:
            self._content.cut(size)

    def overwrite(self, data: bytes) -> None:
        with self._turn:
            self._content.put(0, data)

    def sync(self) -> None:
        with self._turn:
            self._content.sync()

    def lose(self) -> None:
        """Let a sync fail; see :class:`~actorq.testing.faults.Forgetful`."""
        with self._turn:
            self._content.lose()

    def is_in_place(self) -> bool:
        return self._is_in_place()

    def close(self) -> None:
        pass
