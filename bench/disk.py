"""The floor of the disk: what is written and read with nothing above it."""

import gc
import os
from collections.abc import Iterable
from pathlib import Path

import orjson

IN_MEMORY = ("tmpfs", "ramfs")


def file_system(path: Path) -> str:
    """Return the kind of file system the path is on; "unknown" where the system does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    return max((len(where), kind) for where, kind in mounts if path.resolve().is_relative_to(where))[1]


def on_disk(*choices: Path) -> Path:
    """Return the first that is no memory in disguise; the first of all if there is none."""
    return next((path for path in choices if file_system(path) not in IN_MEMORY), choices[0])


class BareFile:
    """A file that grows, and is synced each time."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def parse_lines(files: Iterable[Path]) -> int:
    """Parse each line of the files, and keep nothing; return how many there were."""
    lines, was_on = 0, gc.isenabled()
    gc.disable()  # so does recovery
    try:
        for path in files:
            with path.open("rb") as file:
                for line in file:
                    orjson.loads(line)
                    lines += 1
    finally:
        if was_on:
            gc.enable()
    return lines


def drop_from_memory(files: Iterable[Path]) -> None:
    """Let the files be read from the disk next time: so does recovery, which trusts no memory."""
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
