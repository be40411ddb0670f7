"""kill -9 at any moment, again and again over one directory: nothing acknowledged is lost, and nothing is done twice.

Each round is a process under load. It is killed somewhere in its start, or somewhere in its work; the next one
opens what it has left, and says what it has found.
"""

import os
import sys
from pathlib import Path
from random import Random

import pytest

from .life import Life
from .outside import Outside

ROUNDS = int(os.environ.get("ACTORQ_CRASH_ROUNDS", "12"))

SHARES = [("asyncio", "fsync", 1 / 3), ("asyncio", "flush", 1 / 3), ("trio", "fsync", 1 / 6), ("trio", "flush", 1 / 6)]

PROGRESS = 50
"""After so many rounds, a line on the standard error."""


def live_and_die(path: Path, outside: Outside, random: Random, **options: object) -> None:
    """Let one life begin, and kill it in its start, in its work, or not at all."""
    life = Life(
        "program.py",
        path=str(path),
        seed=random.getrandbits(32),
        seconds=random.choice((0.3, 9.0, 9.0, 9.0, 9.0)),
        snapshot_interval=random.choice((0.05, 0.3, 1.0)),
        in_thread=random.random() < 0.5,
        **options,
    )
    if random.random() < 0.15:
        life.listen(random.uniform(0.2, 0.7))
    else:
        life.listen(60.0, until=b"opened")
        life.listen(random.uniform(0.0, 0.8))
    life.kill()
    life.confess(outside)


def die_often(path: Path, outside: Outside, rounds: int, random: Random, **options: object) -> None:
    """Live and die for so many rounds, or until there is a lie."""
    for number in range(1, rounds + 1):
        live_and_die(path, outside, random, **options)
        if outside.lies:
            return
        if number % PROGRESS == 0:
            files, size = count_files(path)
            print(
                f"\n{options}: {number} of {rounds} kills; accepted {outside.accepted}, runs {outside.runs}, ends told "
                f"{outside.ends}, lies {len(outside.lies)}; {files} files of {size / 1e6:.1f} MB",
                file=sys.stderr,
            )


def count_files(path: Path) -> tuple[int, int]:
    files = [file for file in path.rglob("*") if file.is_file()]
    return len(files), sum(file.stat().st_size for file in files)


def come_to_rest(path: Path, outside: Outside) -> None:
    """Let everything that is left come to its end, and look at it once more."""
    for options in ({"drains": True}, {"seconds": 0.0, "clients": 0}):
        life = Life("program.py", path=str(path), **options)
        life.wait()
        life.confess(outside)


@pytest.mark.parametrize(("backend", "durability", "share"), SHARES)
def test_nothing_acknowledged_is_lost_or_done_twice_by_kill_9(
    backend: str, durability: str, share: float, tmp_path: Path
) -> None:
    outside = Outside()
    random = Random(os.environ.get("ACTORQ_CRASH_SEED", "a constant one"))
    die_often(tmp_path / "q", outside, max(round(ROUNDS * share), 2), random, backend=backend, durability=durability)
    assert outside.lies == []
    come_to_rest(tmp_path / "q", outside)
    assert outside.lies == []
    assert outside.unfinished == 0
    assert outside.accepted > 0


@pytest.mark.crash
@pytest.mark.parametrize("durability", ["flush", "fsync"])
@pytest.mark.parametrize("bug", ["acknowledge first", "run first", "lose ends"])
def test_planted_bug_is_seen(bug: str, durability: str, tmp_path: Path) -> None:
    outside = Outside()
    die_often(tmp_path / "q", outside, 60, Random("a constant one"), durability=durability, bug=bug)
    assert outside.lies != []
