"""Real limits, real full disks and real failures of the operating system, while a program is at work.

What a queue may do then is written in its errors: refuse (StoreFull) and go on by itself once there is room, or
give up (StoreFailed) and say so. It may never lie, hang, or forget; a look by another process tells.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .faults import LARGE, Told, limit_descriptors, limited, look, words_of
from .image import Image, mount_tmpfs, unmount
from .outside import Outside

FILL = "many 10 4000"


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system in memory with room for little."""
    mount_point = tmp_path / "small"
    mount_tmpfs(mount_point, "size=512k")
    yield mount_point
    unmount(mount_point)


def fill(life: Told) -> None:
    """Let it submit until there is no room any more."""
    for _ in range(100):
        said = words_of(life.do(FILL, "end"))
        if "accepted" not in said:
            assert "refused" in said
            return
    raise AssertionError("it does not become full")


def test_file_that_may_not_grow_is_left_for_another_and_the_queue_goes_on_by_itself(tmp_path: Path) -> None:
    outside = Outside()
    life = Told(tmp_path / "q", limited("-f", 200), limits=LARGE, in_thread=True)
    fill(life)
    assert "trouble None" in life.do("room")
    assert {"accepted", "ended"} <= words_of(life.do("submit 10", "end"))
    life.close(outside)
    look(tmp_path / "q", outside)
    assert outside.lies == []


@pytest.mark.parametrize("bug", ["", "ignore short writes"])
def test_write_that_is_cut_short_is_completed_or_taken_back(bug: str, tmp_path: Path) -> None:
    outside = Outside()
    life = Told(tmp_path / "q", limited("-f", 200), limits=LARGE, in_thread=True, bug=bug)
    for _ in range(4):
        life.do(FILL, "end", "room")
    life.kill()
    life.confess(outside)
    again = Told.begin(tmp_path / "q", outside)
    assert (outside.lies != []) == bool(bug), "and a planted bug is seen"
    assert again


def test_descriptors_that_run_out_are_told_and_nothing_is_lost(tmp_path: Path) -> None:
    outside = Outside()
    life = Told(tmp_path / "q", limits={})
    life.do("submit 10", "end")
    limit_descriptors(life, 0)
    assert "trouble" in words_of(life.do("snapshot"))
    life.do("submit 10", "end")
    life.close(outside)
    look(tmp_path / "q", outside)
    assert outside.lies == []


def test_directory_that_is_removed_is_noticed_and_told(tmp_path: Path) -> None:
    outside = Outside()
    life = Told(tmp_path / "q", in_thread=True)
    life.do("submit 10", "end")
    shutil.rmtree(tmp_path / "q")
    life.do("submit 10", "failure")
    assert {"try", "unknown", "trouble"} == words_of(life.do("submit 10"))
    life.close(outside)
    assert outside.lies == []
    assert not (tmp_path / "q").exists()


# -- with mounts -----------------------------------------------------------------------------------------


@pytest.mark.crash
@pytest.mark.parametrize("durability", ["fsync", "flush"])
def test_full_disk_refuses_and_goes_on_by_itself_when_there_is_room(durability: str, small_tmpfs: Path) -> None:
    outside = Outside()
    path, ballast = small_tmpfs / "q", small_tmpfs / "ballast"
    life = Told(path, limits=LARGE, in_thread=True, durability=durability)
    life.do("submit 10", "end")
    ballast.write_bytes(bytes(256 * 1024))
    fill(life)
    ballast.unlink()
    assert "trouble None" in life.do("room")
    assert {"accepted", "ended"} <= words_of(life.do("submit 10", "end"))
    life.kill()
    life.confess(outside)
    look(path, outside)
    assert outside.lies == []


@pytest.mark.crash
def test_directory_in_which_nothing_can_be_made_fails_the_rotation_and_loses_nothing(tmp_path: Path) -> None:
    outside = Outside()
    path = tmp_path / "q"
    life = Told(path, in_thread=True)
    life.do("submit 10", "end")
    subprocess.run(["/usr/bin/chattr", "+i", str(path)], check=True)
    try:
        said = life.do(*["many 10 4000", "end"] * 3)
        assert "unknown" in words_of(said)
    finally:
        subprocess.run(["/usr/bin/chattr", "-i", str(path)], check=True)
    life.close(outside)
    look(path, outside)
    assert outside.lies == []


@pytest.fixture
def hollow_image(tmp_path: Path) -> Iterator[Image]:
    """Yield a file system that promises more room than the disk below it has.

    Not XFS: where the room below ends within one of its larger writes, the loop device of newer kernels takes the
    part for the whole and answers with success. That is a disk that lies, and nobody can be held to it.
    """
    below = tmp_path / "below"
    mount_tmpfs(below, "size=1g")
    image = Image(below, "ext4")
    used = os.statvfs(below)
    ballast = below / "ballast"
    with ballast.open("wb") as file:
        for _ in range((used.f_bavail * used.f_bsize - 384 * 1024) // 65_536):
            file.write(bytes(65_536))
    yield image
    image.discard()
    unmount(below)


@pytest.mark.crash
@pytest.mark.parametrize("bug", ["", "sync again"])
def test_sync_that_fails_is_believed_and_never_tried_again(bug: str, hollow_image: Image) -> None:
    outside = Outside()
    path = hollow_image.mount_point / "q"
    life = Told(path, limits={**LARGE, "RESERVE_BYTES": 0, "SEGMENT_LIMIT": 1 << 30}, in_thread=True, bug=bug)
    for _ in range(60):
        said = words_of(life.do(FILL, "end"))
        if not bug and "unknown" in said:
            break
    life.drain()
    hollow_image.cut_power()
    life.kill()
    hollow_image.file.with_name("ballast").unlink()
    hollow_image.restore_power()
    life.confess(outside, is_cut=True)
    again = Told.begin(path, outside)
    assert again or bug
    assert (outside.lies != []) == bool(bug), "and a planted bug is seen"
