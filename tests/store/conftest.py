"""A directory in memory, a small snapshot in it, and a forger who knows how checksums are made."""

from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import orjson
import pytest
from attrs import define, field

from actorq.core.job import Job, JobOptions, JobState
from actorq.core.picture import Totals
from actorq.errors import StoreError
from actorq.store.codec import HEADER_SEED, frame
from actorq.store.files import Entry
from actorq.store.snapshot import SnapshotWriter

SALT = 0xC0FFEE


@define
class MemoryFile:
    files: dict[str, bytes]
    name: str

    def write(self, data: bytes) -> None:
        self.files[self.name] += data

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


@define(slots=False)
class MemoryFiles:
    """What the port asks for, and no more: names and bytes. A test may replace a method."""

    files: dict[str, bytes] = field(factory=dict)
    odd: set[str] = field(factory=set)
    """Names of what is no regular file."""
    block: int = 1024 * 1024

    def where(self, name: str = "") -> str:
        return f"/memory/{name}".rstrip("/")

    def make_directory(self, name: str = "") -> None:
        pass

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass

    def list(self, name: str = "") -> list[Entry]:
        start = f"{name}/" if name else ""
        names = [one.removeprefix(start) for one in self.files if one.startswith(start)]
        return [Entry(one, start + one not in self.odd) for one in sorted(names) if "/" not in one]

    def create(self, name: str) -> MemoryFile:
        if name in self.files:
            raise StoreError(self.where(name), "is there already")
        self.files[name] = b""
        return MemoryFile(self.files, name)

    def blocks(self, name: str) -> Iterator[bytes]:
        data = self.files[name]
        for start in range(0, len(data), self.block):
            yield data[start : start + self.block]

    def settle(self, name: str) -> None:
        pass

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def unlink(self, name: str) -> None:
        self.files.pop(name, None)

    def sync_directory(self, name: str = "") -> None:
        pass


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


def job(seq: int, **fields: Any) -> Job:
    values: dict[str, Any] = {
        "id": f"job-{seq}",
        "seq": seq,
        "task": "mail.send",
        "payload": b'[["a@b.example"],{"n":%d}]' % seq,
        "options": JobOptions(),
        "state": JobState.QUEUED,
        "submitted_at": 1_700_000_000.25 + seq,
        "due_at": 1_700_000_000.25 + seq,
        "limits_from": 1_700_000_000.25 + seq,
    }
    return Job(**values | fields)


@pytest.fixture
def make_job() -> Callable[..., Job]:
    return job


Write = Callable[..., str]


@pytest.fixture
def write() -> Write:
    """Write a snapshot into any Files, as the scribe does; return its name."""

    def write(files: Any, n: int, jobs: list[Job], **how: Any) -> str:
        totals = Totals(n, 1_700_000_100.5, n, n - len(jobs))
        writer = SnapshotWriter(files, totals, "mail", wall=1_700_000_200.0, salt=how.get("salt", SALT))
        writer.begin()
        for one in jobs:
            writer.write(writer.encode([one]))
        writer.finish(lambda: None)
        return writer.name

    return write


Forge = Callable[..., bytes]


@pytest.fixture
def forge() -> Forge:
    """Change the fields of the lines of a snapshot, and make all checksums right again."""

    def forge(data: bytes, change: Callable[[list[dict[str, Any]]], object]) -> bytes:
        lines = [orjson.loads(line) for line in data.splitlines()]
        change(lines)
        out = b""
        for line in lines:
            if isinstance(line, dict):
                line.pop("c", None)
                if line.get("digest") in {"", old_digest(data)}:
                    line["digest"] = f"{crc32(out):08x}"
            seed = HEADER_SEED if not out else SALT
            text = line if isinstance(line, bytes) else orjson.dumps(line)
            out += frame(text, seed)
        return out

    return forge


def old_digest(data: bytes) -> str:
    lines = data.splitlines(keepends=True)
    return f"{crc32(b''.join(lines[:-1])):08x}"
