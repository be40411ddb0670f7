"""A directory in memory, a small life written down in it, and a forger who knows how checksums are made."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

import orjson
import pytest

from actorq.core.job import Job, JobOptions, JobState
from actorq.core.picture import Totals
from actorq.store.line import HEADER_SEED, frame
from actorq.store.snapshot import SnapshotWriter
from actorq.testing import MemoryFiles

SALT = 0xC0FFEE


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
        seq = how.get("seq", n)
        totals = Totals(n, 1_700_000_100.5, seq, seq - len(jobs))
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
    """Change the fields of the lines of a file, and make all checksums right again."""

    def forge(data: bytes, change: Callable[[list[dict[str, Any]]], object]) -> bytes:
        lines = [orjson.loads(line) for line in data.splitlines()]
        salt = lines[0]["salt"]
        change(lines)
        out = b""
        for line in lines:
            if isinstance(line, dict):
                line.pop("c", None)
                if line.get("digest") in {"", old_digest(data)}:
                    line["digest"] = f"{crc32(out):08x}"
            seed = salt if out else HEADER_SEED
            text = line if isinstance(line, bytes) else orjson.dumps(line)
            out += frame(text, seed)
        return out

    return forge


def old_digest(data: bytes) -> str:
    lines = data.splitlines(keepends=True)
    return f"{crc32(b''.join(lines[:-1])):08x}"
