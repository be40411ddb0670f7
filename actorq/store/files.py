"""The few file operations we need, as a port; the real ones; the lock.

Everything that the store asks of a disk goes through :class:`Files`, so that each operation can
fail, lie or be cut short in a test. The port is one directory seen by names; it is synchronous,
because the scribe calls it from a thread of its own; and it is as small as it can be, because it is
implemented three times.

What is assumed of a disk: once ``sync`` of a file has returned, its bytes are there after a power
cut; once ``sync_directory`` has returned, so are its names; ``rename`` puts the new file in the
place of the old one whole. Nothing is assumed of what was not synced, nor of a file whose sync has
failed: the operating system may answer the next sync with success although the bytes are gone. So a
failed sync is never tried again.

Every OSError becomes a :class:`~actorq.errors.StoreError` that says what was tried and what to do.
Symlinks are never followed to a file, neither for writing nor for reading, and what is no regular
file is not opened:
a FIFO in the directory cannot make us wait. Directories are made with mode 0700, files with 0600.

Network file systems are outside all this. macOS is asked for ``F_FULLFSYNC``, because its ``fsync``
does not reach the disk; Windows, which cannot sync a directory, is not supported.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
from attrs import frozen

from actorq.errors import StoreError, StoreFull, StoreLocked

__all__ = ["DiskFiles", "Entry", "Files", "MediumError", "NewFile", "boot_id"]

BLOCK: Final = 1024 * 1024
"""Bytes read at a time."""

LOCK: Final = "lock"

RESERVED_NAMES: Final = frozenset({LOCK, "mark", "reserve", "quarantine"})
"""Names in the directory that are ours, beside those of segments and snapshots, which have a dot."""

FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""The fcntl that takes bytes to the disk where fsync does not."""


class MediumError(StoreError):
    """The disk cannot give back what the file holds: this is damage, not a wrong setting."""


@frozen
class Entry:
    """A name in a directory."""

    name: str
    is_file: bool
    """Whether it is a regular file, and no directory, symlink, FIFO or device."""


class NewFile(Protocol):
    """A file that is being written."""

    def write(self, data: bytes) -> None:
        """Append all of the data.

        Raises:
            StoreFull: there is no room; a part of the data may have been written.
        """
        ...

    def cut(self, size: int) -> None:
        """Keep only the first ``size`` bytes; what is written next stands behind them."""
        ...

    def overwrite(self, data: bytes) -> None:
        """Put the data in the place of the first bytes of the file, in one operation."""
        ...

    def sync(self) -> None:
        """Return once all that was written is on the disk; never to be tried again."""
        ...

    def is_in_place(self) -> bool:
        """Tell whether the file still is what the directory has under its name."""
        ...

    def close(self) -> None:
        """Let go of the file. A second call does nothing."""
        ...


class Files(Protocol):
    """One directory, and what may be done in it.

    Names are relative to it and hold at most one slash; ``""`` is the directory itself. Every
    method may raise StoreError; what it has changed by then is unknown.
    """

    def where(self, name: str = "") -> str:
        """Return the path, for messages."""
        ...

    def make_directory(self, name: str = "") -> None:
        """See to it that there is a directory, mode 0700 if it is made now, and that it stays."""
        ...

    def lock(self) -> None:
        """Own the directory until :meth:`unlock`, or until the process is gone; do not wait for it.

        Raises:
            StoreLocked: another owns it, in this process or elsewhere.
        """
        ...

    def unlock(self) -> None:
        """Let the directory go; the file ``lock`` stays. Does nothing if it is not owned."""
        ...

    def list(self, name: str = "") -> list[Entry]:
        """Return what is in the directory, in the order of names."""
        ...

    def create(self, name: str) -> NewFile:
        """Create a file, mode 0600, that must not exist."""
        ...

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a regular file from its beginning, one block at a time.

        Raises:
            MediumError: it was opened, but cannot be read.
        """
        ...

    def settle(self, name: str) -> None:
        """See to it that what is read from now on is what the disk holds, not what memory does."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give the file another name, in the place of any file that has it."""
        ...

    def unlink(self, name: str) -> None:
        """Remove the file; that there is none is no error."""
        ...

    def sync_directory(self, name: str = "") -> None:
        """Return once all names made, changed and removed in the directory are on the disk."""
        ...


def boot_id() -> str:
    """Return a name of the present boot of this machine, or an empty text where there is none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""


# -- the real one ----------------------------------------------------------------------------------


ADVICE: Final = {
    errno.EACCES: "give the user of this process the right to read and write there",
    errno.EPERM: "give the user of this process the right to read and write there",
    errno.EROFS: "name a directory on a file system that can be written to",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in the quota",
    errno.EFBIG: "raise the limit of the size of a file (ulimit -f)",
    errno.EMFILE: "close files, or raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close files, or raise the limit of open files of the machine",
    errno.ENOTDIR: "a part of this path is a file: name another directory",
    errno.EISDIR: "there is a directory of this name: move it away",
    errno.ENOENT: "see whether the directory was moved or removed",
    errno.EEXIST: "something of this name is there already: move it away",
    errno.ELOOP: "symbolic links are not followed here: put the real file in its place",
    errno.EIO: "the disk is failing: see the log of the kernel",
    errno.EOPNOTSUPP: "use a local file system",
    errno.ENOLCK: "use a local file system",
}
"""What to do about an error of the operating system."""


NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors that pass when there is room again."""


@contextmanager
def _telling(path: str, verb: str, kind: type[StoreError] = StoreError) -> Generator[None]:
    """Turn an OSError into a StoreError that says what was tried and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            kind = StoreFull
        advice = ADVICE.get(error.errno or 0, "see what the operating system means by that")
        raise kind(path, f"cannot {verb} it: {error.strerror}; {advice}.") from error


class DiskFiles:
    """A directory of the operating system."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100 - a string is what os wants everywhere below
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"<DiskFiles {self._path!r}{'' if self._lock is None else ' locked'}>"

    def where(self, name: str = "") -> str:
        """Return the path."""
        return os.path.join(self._path, name) if name else self._path  # noqa: PTH118

    def make_directory(self, name: str = "") -> None:
        """Make the directory, and those above it that are missing."""
        path = self.where(name)
        with _telling(path, "make"):
            _make_directory(path, 0o700)
            status = os.stat(path)  # noqa: PTH116
        if status.st_mode & stat.S_IWOTH:
            raise StoreError(path, "everybody may write there, and so decide what runs here: chmod o-w it.")
        if status.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
            raise StoreError(path, f"belongs to another user (uid {status.st_uid}): name a directory of your own.")

    def lock(self) -> None:
        """Lock the file ``lock`` with flock, and write into it who we are.

        flock, because it is refused to a second opener in the same process too, and is let go
        whatever kills the owner. (lockf is neither.)
        """
        path = self.where(LOCK)
        with _telling(path, "lock"):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(fd, 0)
                os.write(fd, _card())
            except BlockingIOError:
                owner = _owner(os.pread(fd, 4096, 0))
                os.close(fd)
                raise StoreLocked(self._path, owner) from None
            except BaseException:
                os.close(fd)
                raise
        self._lock = fd

    def unlock(self) -> None:
        """Close the file ``lock``. It stays: were it removed, two could own it, one namelessly."""
        if self._lock is not None:
            with suppress(OSError):  # to close it lets it go as well, unless a child that was forked holds it, too
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def list(self, name: str = "") -> list[Entry]:
        """Return what is in the directory, in the order of names."""
        path = self.where(name)
        with _telling(path, "list"), os.scandir(path) as found:
            entries = [Entry(one.name, one.is_file(follow_symlinks=False)) for one in found]
        return sorted(entries, key=lambda entry: entry.name)

    def create(self, name: str) -> NewFile:
        """Create a file that must not exist, not even as a symlink."""
        path = self.where(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _telling(path, "create"):
            return _DiskFile(path, os.open(path, flags, 0o600))

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a regular file, a mebibyte at a time."""
        path = self.where(name)
        fd = _open_to_read(path)
        try:
            while True:
                with _telling(path, "read", MediumError):
                    block = os.read(fd, BLOCK)
                if not block:
                    return
                yield block
        finally:
            os.close(fd)

    def settle(self, name: str) -> None:
        """Sync the file, and drop the pages of it that are in memory."""
        path = self.where(name)
        fd = _open_to_read(path)
        try:
            with _telling(path, "sync"):
                _sync(fd)
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        """Rename it within the file system."""
        path = self.where(new)
        with _telling(path, f"rename {old} to"):
            os.replace(self.where(old), path)  # noqa: PTH105

    def unlink(self, name: str) -> None:
        """Remove the file."""
        path = self.where(name)
        with _telling(path, "remove"), suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108

    def sync_directory(self, name: str = "") -> None:
        """Sync the names in the directory."""
        path = self.where(name)
        with _telling(path, "sync"):
            _sync_directory(path)


class _DiskFile:
    """A file of the operating system that is being written."""

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd

    def write(self, data: bytes) -> None:
        """Append all of the data: what a short write leaves, the next one writes."""
        left = memoryview(data)
        with _telling(self._path, "write"):
            while left:
                left = left[os.write(self._fd, left) :]

    def cut(self, size: int) -> None:
        with _telling(self._path, "shorten"):
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)

    def overwrite(self, data: bytes) -> None:
        with _telling(self._path, "write"):
            os.pwrite(self._fd, data, 0)

    def sync(self) -> None:
        with _telling(self._path, "sync"):
            _sync(self._fd)

    def is_in_place(self) -> bool:
        try:
            mine, there = os.fstat(self._fd), os.lstat(self._path)
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with _telling(self._path, "close"):
                os.close(fd)


def _open_to_read(path: str) -> int:
    """Open a regular file; without waiting, whatever else it may be."""
    with _telling(path, "open"):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    raise StoreError(path, "is no regular file: move it away.")


def _make_directory(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)  # noqa: PTH102
    except FileExistsError:
        if not os.path.isdir(path):  # noqa: PTH112
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    except FileNotFoundError:
        above = os.path.dirname(path)  # noqa: PTH120
        if above == path or os.path.isdir(above):  # noqa: PTH112 - such as /proc, where nothing can be made
            raise
        _make_directory(above, 0o777)
        _make_directory(path, mode)
    else:
        _sync_directory(os.path.dirname(path))  # noqa: PTH120


def _sync(fd: int) -> None:
    """Take the bytes of the file, and its size, to the disk; its times may follow when they like."""
    if FULL_SYNC is None:
        os.fdatasync(fd)
    else:
        fcntl.fcntl(fd, FULL_SYNC)


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# -- the card in the lock --------------------------------------------------------------------------


def _card() -> bytes:
    """Return who we are, for the messages of others."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return orjson.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started})


def _owner(card: bytes) -> str:
    """Return who a card speaks of; it may be half written, or anything."""
    try:
        fields: Any = orjson.loads(card)
        owner = f"pid {fields['pid']} on {fields['host']} since {fields['started']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "another process"
    return owner if owner.isprintable() else "another process"
