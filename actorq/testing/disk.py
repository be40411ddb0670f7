"""The worst disk that the rules allow.

What a disk must do is little (see ``actorq.store.files``): keep the bytes of a file that was synced, and the names
of a directory that was. Everything else it may do or leave, and this one draws lots for it:

* a power cut keeps of the names not yet synced none, the first ones, or any; and of the bytes not yet synced of
  each file none, the first ones, all, or all but for holes of 64 bytes;
* a sync that fails leaves mostly zeros on the disk, while the bytes are still read from memory as if they were
  there; and the next sync of them succeeds, for they are taken for clean. Linux does that;
* a process that is killed leaves all that it has written, but it is in memory: what is read after a kill may be
  gone after a power cut, unless it was settled between. ``settle`` shows what the disk has.

One Random decides it all, so one seed is one fate. The disk itself never fails: for that, and for the death of the
process at a chosen moment, put a FaultyFiles before it. ::

    disk = SimulatedDisk(Random(seed))
    faulty = FaultyFiles(disk)
    faulty.fail(Fault.DEATH_WITHIN, kind="write", skip=10)
    ...  # until it raises Died
    disk.power_cut()
    ...  # the next life begins with another FaultyFiles(disk)

Source of the model: crash consistency as ALICE and CrashMonkey test it, and what Linux does after a failed fsync
(Rebello and others, "Can applications recover from fsync failures?").
"""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Final

from attrs import frozen

from actorq.testing.files import Content, MemoryFiles

__all__ = ["SimulatedDisk"]

HOLE: Final = 64
"""Bytes of which a disk has all or none."""

FORGETS: Final = 0.7
"""How often the bytes are gone after a sync that failed."""


@frozen
class _Put:
    """Bytes that have not reached the disk."""

    offset: int
    data: bytes


@frozen
class _Cut:
    """A size that has not reached the disk."""

    size: int


class _Sectors(Content):
    """What is in a file: what is read of it, and what of that the disk has."""

    def __init__(self, random: Random, data: bytes = b"") -> None:
        super().__init__(data)
        self._random = random
        self._disk = bytearray(data)
        self._pending: list[_Put | _Cut] = []

    def put(self, offset: int, data: bytes) -> None:
        super().put(offset, data)
        self._pending.append(_Put(offset, data))

    def cut(self, size: int) -> None:
        super().cut(size)
        self._pending.append(_Cut(size))

    def sync(self) -> None:
        for change in self._pending:
            self._apply(change)
        self._pending.clear()

    def settle(self) -> None:
        self.sync()
        self.data = bytearray(self._disk)

    def lose(self) -> None:
        """Fail to sync: the bytes are gone, or nothing has happened."""
        if self._random.random() < FORGETS:
            for change in self._pending:
                self._apply(_Put(change.offset, bytes(len(change.data))) if isinstance(change, _Put) else change)
            self._pending.clear()

    def lose_power(self) -> None:
        keep = self._random.choice((self._keep_none, self._keep_first, self.sync, self._keep_with_holes))
        keep()
        self._pending.clear()
        self.data = bytearray(self._disk)

    def _keep_none(self) -> None:
        pass

    def _keep_first(self) -> None:
        if self._pending:
            whole = self._random.randrange(len(self._pending))
            for change in self._pending[:whole]:
                self._apply(change)
            last = self._pending[whole]
            if isinstance(last, _Put):
                self._apply(_Put(last.offset, last.data[: self._random.randint(0, len(last.data))]))

    def _keep_with_holes(self) -> None:
        holes = self._random.random()  # how many: few are as bad as many
        for change in self._pending:
            if isinstance(change, _Cut):
                if self._random.random() > holes:
                    self._apply(change)
                continue
            self._extend(change.offset + len(change.data))
            for start in range(0, len(change.data), HOLE):
                if self._random.random() > holes:
                    self._apply(_Put(change.offset + start, change.data[start : start + HOLE]))

    def _apply(self, change: _Put | _Cut) -> None:
        if isinstance(change, _Cut):
            del self._disk[change.size :]
        else:
            self._extend(change.offset)
            self._disk[change.offset : change.offset + len(change.data)] = change.data

    def _extend(self, size: int) -> None:
        self._disk.extend(bytes(max(size - len(self._disk), 0)))


_Names = dict[str, Content | None]
"""A change of names that a disk makes whole or not at all; None: the name is gone."""


class SimulatedDisk(MemoryFiles):
    """A directory on it. After a crash, the same object is what the next life finds."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._disk: dict[str, Content] = {}
        self._pending: dict[str, list[_Names]] = {}
        """By directory."""

    def copy(self) -> SimulatedDisk:
        """Return another disk in the same state, and with the same fate, not locked: what is under way stays so."""
        with self._turn:
            random = Random()  # noqa: S311 - a fate, not a secret
            random.setstate(self._random.getstate())
            other = SimulatedDisk(random)
            mine = (self._files, self._disk, self._pending)
            other._files, other._disk, other._pending = deepcopy(mine, {id(self._random): random})
            other._take_over(self)
            return other

    def kill(self) -> None:
        """Let the process be gone: what it has written is there, and not on the disk."""
        with self._turn:
            self._is_locked = False

    def power_cut(self) -> None:
        """Let the power be gone, and come back: what was synced is there, and of the rest what the lot says."""
        with self._turn:
            self._is_locked = False
            for pending in self._pending.values():
                keep = self._random.choice((self._keep_none, self._keep_first, self._keep_any))
                for names in keep(pending):
                    self._apply(names)
            self._pending.clear()
            self._files = dict(self._disk)
            for content in self._files.values():
                content.lose_power()

    def put(self, name: str, data: bytes = b"") -> None:
        """Let there be a file with these bytes, on the disk."""
        with self._turn:
            super().put(name, data)
            self._disk[name] = self._files[name]

    def sync_directory(self, name: str = "") -> None:
        """Take the names to the disk."""
        with self._turn:
            super().sync_directory(name)
            for names in self._pending.pop(name, ()):
                self._apply(names)

    # -- inside ----------------------------------------------------------------------------------------

    def _make_content(self, data: bytes = b"") -> Content:
        return _Sectors(self._random, data)

    def _link(self, name: str, content: Content) -> None:
        super()._link(name, content)
        self._note({name: content})

    def _move(self, old: str, new: str) -> None:
        super()._move(old, new)
        content = self._files[new]
        if _above(old) == _above(new):
            self._note({old: None, new: content})
        else:
            self._note({new: content})
            self._note({old: None})

    def _unlink(self, name: str) -> None:
        super()._unlink(name)
        self._note({name: None})

    def _note(self, names: _Names) -> None:
        self._pending.setdefault(_above(next(iter(names))), []).append(names)

    def _apply(self, names: _Names) -> None:
        for name, content in names.items():
            if content is None:
                self._disk.pop(name, None)
            else:
                self._disk[name] = content

    def _keep_none(self, pending: list[_Names]) -> list[_Names]:
        del pending
        return []

    def _keep_first(self, pending: list[_Names]) -> list[_Names]:
        return pending[: self._random.randint(0, len(pending))]

    def _keep_any(self, pending: list[_Names]) -> list[_Names]:
        return [names for names in pending if self._random.random() < 0.5]  # noqa: PLR2004 - as likely as not


def _above(name: str) -> str:
    return name.rpartition("/")[0]
