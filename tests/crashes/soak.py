"""Mixed load on one directory for a long time, with a kill now and then: what may not grow does not grow.

``make soak``, or ``MINUTES=60 make soak``. Every half minute a line: memory, descriptors, threads and tasks of the
program, files and bytes of its directory, and whether its counts balance. At the end of each life its second and its
last third are compared; in the first it warms up. The ledger outside (``outside``) listens all the while.
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from attrs import frozen

from tests.crashes.life import Life
from tests.crashes.outside import Outside

MINUTES: Final = float(os.environ.get("MINUTES", "10"))

LIFE_S: Final = (150.0, 240.0)
"""How long a program may live until it is killed."""

CALM: Final = {"clients": 10, "calm": 0.02, "seconds": 1e6, "jobs": sys.maxsize, "kept": 500, "reports": True}

SAMPLE_S: Final = 2.0

REPORT_S: Final = 30.0

RSS_GROWTH: Final = 0.10
"""By this part, and …"""

RSS_FLOOR: Final = 4 * 1024 * 1024
"""… by so many bytes memory may have grown from the second third of a life to the last."""

SPARE_DESCRIPTORS: Final = 8
"""A snapshot that is being made opens some."""

FILES_LIMIT: Final = 250

BYTES_LIMIT: Final = 64 * 1024 * 1024
"""Twice as much as is live in the worst moment, two segments, two snapshots, and some."""


@frozen
class Sample:
    rss: int
    descriptors: int
    threads: int
    files: int
    size: int


def sample(pid: int, path: Path) -> Sample:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = [file for file in path.iterdir() if file.is_file()]
    return Sample(
        int(status["VmRSS"].split()[0]) * 1024,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        int(status["Threads"]),
        len(files),
        sum(size_of(file) for file in files),
    )


def size_of(file: Path) -> int:
    """Return its size, or nothing if it is gone by now."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def growth(samples: Sequence[Sample]) -> list[str]:
    """Return what has grown from the second third to the last."""
    third = len(samples) // 3
    if third < 5:
        return []
    middle, last = samples[third : 2 * third], samples[2 * third :]
    before, after = mean(one.rss for one in middle), mean(one.rss for one in last)
    found = []
    if after > before * (1 + RSS_GROWTH) + RSS_FLOOR:
        found.append(f"memory grows: {before / 1e6:.1f} MB, then {after / 1e6:.1f} MB")
    for what in ("descriptors", "threads"):
        most, later = (max(getattr(one, what) for one in part) for part in (middle, last))
        if later > most + SPARE_DESCRIPTORS:
            found.append(f"{what} grow: {most}, then {later}")
    if max(one.files for one in last) > FILES_LIMIT:
        found.append(f"too many files: {max(one.files for one in last)}")
    if max(one.size for one in last) > BYTES_LIMIT:
        found.append(f"too many bytes: {max(one.size for one in last)}")
    return found


def live(path: Path, outside: Outside, random: Random, end_at: float) -> list[str]:
    """Let one life pass; return what has grown in it."""
    options: dict[str, Any] = {
        "durability": random.choice(("flush", "fsync")),
        "backend": random.choice(("asyncio", "trio")),
        "snapshot_interval": 5.0,
        "seed": random.getrandbits(32),
    }
    life = Life("program.py", path=str(path), **CALM, **options)
    dies_at = min(time.monotonic() + random.uniform(*LIFE_S), end_at)
    samples: list[Sample] = []
    report_at = 0.0
    life.listen(60.0, until=b"opened")
    while time.monotonic() < dies_at and life.process.poll() is None:
        life.listen(SAMPLE_S)
        life.hand_over(outside)
        samples.append(sample(life.process.pid, path))
        if time.monotonic() >= report_at:
            report_at = time.monotonic() + REPORT_S
            say(options, samples[-1], outside)
    life.kill()
    life.confess(outside)
    return growth(samples)


def say(options: dict[str, Any], now: Sample, outside: Outside) -> None:
    print(
        f"{time.strftime('%H:%M:%S')} life {outside.lives} {options['backend']} {options['durability']}: "
        f"{now.rss / 1e6:.1f} MB, {now.descriptors} descriptors, {now.threads} threads; {now.files} files of "
        f"{now.size / 1e6:.1f} MB; accepted {outside.accepted}, ends told {outside.ends}; {outside.last_report}",
        flush=True,
    )


def main() -> int:
    end_at = time.monotonic() + MINUTES * 60
    outside, random, grown = Outside(remembers=False), Random(), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end_at and not outside.lies and not grown:
            grown = live(Path(folder) / "q", outside, random, end_at)
    print(f"{outside.lives} lives, {outside.accepted} jobs accepted; has grown: {grown}; lies: {outside.lies[:9]}")
    return 1 if grown or outside.lies else 0


if __name__ == "__main__":
    sys.exit(main())
