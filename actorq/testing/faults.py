"""Any directory, made to fail where a test wants it.

What the store asks of its files is counted from 1: each call of the port, and of the files that it opened, is one
operation with a kind (the name of the method) and the name of a file. Any of them can be made to fail::

    faulty = FaultyFiles(MemoryFiles())
    faulty.fail(Fault.FULL, kind="write", name="wal-*")  # the next such one
    faulty.fail(Fault.ERROR, at=7)  # whatever the seventh is
    faulty.fail(Fault.DEATH, at=9)  # the process ends before the ninth

After its death nothing can be done any more through it: whatever is tried dies at once, but for closing and unlocking,
which the operating system has done for it. What is left is in ``faulty.inner``; a new FaultyFiles around it is the
next life. (A queue that runs has threads, and an end of a process does not wait for those. To see what it would leave
if its process ended at some moment, copy the MemoryFiles or the SimulatedDisk beneath it.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from enum import Enum
from fnmatch import fnmatchcase
from random import Random
from typing import Protocol, TypeVar, runtime_checkable

from attrs import define, frozen

from actorq.errors import StoreError, StoreFull
from actorq.store.files import Entry, Files, MediumError, NewFile

__all__ = ["Died", "Fault", "FaultyFiles", "Operation"]

T = TypeVar("T")


class Died(BaseException):
    """Stands for the end of the process: nothing in it may go on after this."""


class Fault(Enum):
    """How an operation fails. Those in which a part is written are, where nothing is written, like the one before."""

    ERROR = "the disk fails, and nothing is done"
    ERROR_WITHIN = "a part is written, and then the disk fails"
    FULL = "there is no room, and nothing is done"
    FULL_WITHIN = "a part is written, and then there is no room"
    DEATH = "the process dies before it is done"
    DEATH_WITHIN = "the process dies when a part is written"
    DEATH_AFTER = "it is done, and the process dies before it hears of that"

    @property
    def is_death(self) -> bool:
        """Whether the process does not outlive it."""
        return self in (Fault.DEATH, Fault.DEATH_WITHIN, Fault.DEATH_AFTER)


@frozen
class Operation:
    """Something that was asked of the files."""

    number: int
    """From 1."""
    kind: str
    """The name of the method."""
    name: str
    """Of the file: the name under which it was created, or the one that a rename gives it."""

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.name}".rstrip()


@runtime_checkable
class Forgetful(Protocol):
    """A file that can act the part when its sync fails."""

    def lose(self) -> None:
        """Let the sync fail: what becomes of the bytes is up to the file."""
        ...


@define
class _Plan:
    how: Fault
    at: int | None
    kind: str
    name: str
    skip: int
    times: int

    def is_for(self, operation: Operation) -> bool:
        """Tell whether the operation is to fail, and count it."""
        is_meant = (
            self.at in (None, operation.number)
            and fnmatchcase(operation.kind, self.kind)
            and fnmatchcase(operation.name, self.name)
        )
        if not is_meant or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultyFiles:
    """Stands before other files; without a fault it is as if it were not there."""

    def __init__(self, inner: Files, random: Random | None = None) -> None:
        """Stand before ``inner``.

        Args:
            inner: what does the work.
            random: decides how large a part is written; without it, it is a half.
        """
        self.inner = inner
        self.log: list[Operation] = []
        """All that was asked."""
        self.is_dead = False
        self._is_owner = False
        self._random = random
        self._plans: list[_Plan] = []
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"<FaultyFiles {len(self.log)} operations{' dead' if self.is_dead else ''}, {self.inner!r}>"

    # -- what a test asks ------------------------------------------------------------------------------

    def fail(
        self, how: Fault, *, at: int | None = None, kind: str = "*", name: str = "*", skip: int = 0, times: int = 1
    ) -> None:
        """Let operations fail; what is asked of several calls adds up.

        Args:
            how: they fail.
            at: the number of the one that is meant; None: any that fits the rest.
            kind: their kind; ``*`` and ``?`` stand for what they do in file names.
            name: the same for their file.
            skip: so many that are meant succeed first …
            times: … and so many fail then.
        """
        with self._turn:
            self._plans.append(_Plan(how, at, kind, name, skip, times))

    def heal(self) -> None:
        """Let nothing fail any more. The dead stay dead."""
        with self._turn:
            self._plans.clear()

    def die(self) -> None:
        """Let the process be dead from now on."""
        self.is_dead = True
        if self._is_owner:
            self._is_owner = False
            self.inner.unlock()

    # -- the port --------------------------------------------------------------------------------------

    def where(self, name: str = "") -> str:
        """Return the path; this is no operation."""
        return self.inner.where(name)

    def make_directory(self, name: str = "") -> None:
        """Operation ``make_directory``."""
        self.do("make_directory", name, lambda: self.inner.make_directory(name))

    def lock(self) -> None:
        """Operation ``lock``."""
        self.do("lock", "", self._lock)

    def unlock(self) -> None:
        """Operation ``unlock``."""
        if not self.is_dead:
            self.do("unlock", "", self._unlock)

    def list(self, name: str = "") -> list[Entry]:
        """Operation ``list``."""
        return self.do("list", name, lambda: self.inner.list(name))

    def create(self, name: str) -> NewFile:
        """Operation ``create``."""
        return _FaultyFile(self, name, self.do("create", name, lambda: self.inner.create(name)))

    def blocks(self, name: str) -> Iterator[bytes]:
        """Operation ``blocks``, when the first one is asked for."""
        yield from self.do("blocks", name, lambda: self.inner.blocks(name))

    def settle(self, name: str) -> None:
        """Operation ``settle``."""
        self.do("settle", name, lambda: self.inner.settle(name))

    def rename(self, old: str, new: str) -> None:
        """Operation ``rename``."""
        self.do("rename", new, lambda: self.inner.rename(old, new))

    def unlink(self, name: str) -> None:
        """Operation ``unlink``."""
        self.do("unlink", name, lambda: self.inner.unlink(name))

    def sync_directory(self, name: str = "") -> None:
        """Operation ``sync_directory``."""
        self.do("sync_directory", name, lambda: self.inner.sync_directory(name))

    # -- how it is done ----------------------------------------------------------------------------------

    def do(self, kind: str, name: str, act: Callable[[], T], act_in_part: Callable[[], object] = lambda: None) -> T:
        """Do it, or what the fault that is planned for it leaves of it."""
        with self._turn:
            if self.is_dead:
                raise Died(f"{kind} {name} by one who is dead")
            operation = Operation(len(self.log) + 1, kind, name)
            self.log.append(operation)
            faults = [plan.how for plan in self._plans if plan.is_for(operation)]
        if not faults:
            return act()
        how = faults[0]
        if how is Fault.DEATH_AFTER:
            act()
        elif how in (Fault.ERROR_WITHIN, Fault.FULL_WITHIN, Fault.DEATH_WITHIN):
            act_in_part()
        if how.is_death:
            self.die()
            raise Died(f"at operation {operation}")
        raise self._error_of(how, operation)

    def a_part_of(self, data: bytes) -> bytes:
        """Return the beginning of the data."""
        return data[: len(data) // 2 if self._random is None else self._random.randint(0, len(data))]

    def _lock(self) -> None:
        self.inner.lock()
        self._is_owner = True

    def _unlock(self) -> None:
        self._is_owner = False
        self.inner.unlock()

    def _error_of(self, how: Fault, operation: Operation) -> StoreError:
        error = MediumError if operation.kind == "blocks" else StoreError
        error, word = (StoreFull, "no room") if how in (Fault.FULL, Fault.FULL_WITHIN) else (error, "an error")
        return error(self.where(operation.name), f"cannot {operation.kind} it: {word}, as the test wanted it.")


class _FaultyFile:
    """A file that is being written."""

    def __init__(self, files: FaultyFiles, name: str, inner: NewFile) -> None:
        self._files = files
        self._name = name
        self._inner = inner

    def write(self, data: bytes) -> None:
        part = self._files.a_part_of
        self._files.do("write", self._name, lambda: self._inner.write(data), lambda: self._inner.write(part(data)))

    def cut(self, size: int) -> None:
        self._files.do("cut", self._name, lambda: self._inner.cut(size))

    def overwrite(self, data: bytes) -> None:
        part = self._files.a_part_of
        self._files.do(
            "overwrite", self._name, lambda: self._inner.overwrite(data), lambda: self._inner.overwrite(part(data))
        )

    def sync(self) -> None:
        try:
            self._files.do("sync", self._name, self._inner.sync)
        except StoreError:
            if isinstance(self._inner, Forgetful):
                self._inner.lose()
            raise

    def is_in_place(self) -> bool:
        return self._files.do("is_in_place", self._name, self._inner.is_in_place)

    def close(self) -> None:
        if not self._files.is_dead:
            self._files.do("close", self._name, self._inner.close)
