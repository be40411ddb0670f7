"""The power goes, at any moment, again and again: what was acknowledged is on the disk, or waits for the next sync.

The pipe is drained first, and the power cut second. Only what had been drained by then is a promise: the program
does not know that its disk is gone, and a sync that is on its way at that instant may be answered with success.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest

from .image import Image
from .life import Life
from .outside import Outside
from .test_kill import PROGRESS, come_to_rest

CUTS = int(os.environ.get("ACTORQ_CRASH_CUTS", "20"))

SYNC_INTERVAL_S: Final = 0.05

pytestmark = pytest.mark.crash


@pytest.fixture(params=["ext4", "xfs"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Image]:
    image = Image(tmp_path, request.param)
    yield image
    image.discard()


def live_until_cut(image: Image, outside: Outside, random: Random, durability: str, bug: str = "") -> None:
    life = Life(
        "program.py",
        path=str(image.mount_point / "q"),
        seed=random.getrandbits(32),
        seconds=60.0,
        tells_syncs=durability == "flush",
        backend=random.choice(("asyncio", "trio")),
        durability=durability,
        sync_interval=SYNC_INTERVAL_S,
        snapshot_interval=random.choice((0.05, 0.3, 1.0)),
        in_thread=random.random() < 0.5,
        bug=bug,
    )
    if random.random() < 0.15:
        life.listen(random.uniform(0.2, 0.7))
    else:
        life.listen(60.0, until=b"opened")
        life.listen(random.uniform(0.0, 2.0 if bug else 1.0))
    life.drain()
    image.cut_power()
    life.kill()
    image.restore_power()
    if durability == "flush":
        life.promise_by_sync()
    life.confess(outside, is_cut=True)


def cut_often(image: Image, outside: Outside, cuts: int, durability: str, bug: str = "") -> None:
    """Cut the power so often, or until there is a lie."""
    random = Random(os.environ.get("ACTORQ_CRASH_SEED", "a constant one"))
    for number in range(1, cuts + 1):
        live_until_cut(image, outside, random, durability, bug)
        if outside.lies:
            return
        if number % PROGRESS == 0:
            print(
                f"\n{image.kind} {durability}: {number} of {cuts} cuts; accepted {outside.accepted}, "
                f"runs {outside.runs}, ends told {outside.ends}, lies {len(outside.lies)}",
                file=sys.stderr,
            )


def test_nothing_acknowledged_is_lost_when_the_power_goes(image: Image) -> None:
    outside = Outside()
    cut_often(image, outside, CUTS, "fsync")
    assert outside.lies == []
    come_to_rest(image.mount_point / "q", outside)
    assert outside.lies == []
    assert outside.unfinished == 0
    assert outside.accepted > 0


def test_flush_loses_no_more_than_came_after_its_last_sync_when_the_power_goes(image: Image) -> None:
    outside = Outside()
    cut_often(image, outside, max(CUTS // 4, 5), "flush")
    assert outside.lies == []
    assert outside.accepted > 0


@pytest.mark.parametrize("bug", ["do not sync", "do not sync snapshots"])
def test_planted_bug_is_seen_when_the_power_goes(bug: str, image: Image) -> None:
    outside = Outside()
    cut_often(image, outside, 60, "fsync", bug)
    assert outside.lies != []
