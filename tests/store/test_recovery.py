"""At a start: the newest whole snapshot, or a refusal that says what to do; salvage loses nothing silently."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actorq.core.job import Job
from actorq.core.picture import Totals
from actorq.errors import StoreCorrupt, StoreError, StoreTooNew
from actorq.store.files import DiskFiles
from actorq.store.recovery import recover

OLD = "snap-00000000000000000003.jsonl"
NEW = "snap-00000000000000000005.jsonl"


@pytest.fixture
def two(files: Any, write: Any, make_job: Callable[..., Job]) -> Any:
    """A directory with two snapshots."""
    write(files, 3, [make_job(1)])
    write(files, 5, [make_job(1), make_job(5)])
    return files


def spoil(files: Any, *names: str) -> None:
    for name in names:
        files.files[name] = files.files[name].replace(b"mail.send", b"mail.sent", 1)


@pytest.mark.parametrize("mode", ["strict", "salvage"])
def test_an_empty_directory_is_an_empty_queue(files: Any, mode: Any) -> None:
    found = recover(files, mode)
    assert found.totals == Totals()
    assert found.jobs == []
    assert not found.report.has_loss
    assert str(found.report) == "/memory: no snapshot, so the queue begins empty."


@pytest.mark.parametrize("mode", ["strict", "salvage"])
def test_the_newest_snapshot_is_loaded(two: Any, make_job: Any, mode: Any) -> None:
    before = dict(two.files)
    found = recover(two, mode)
    assert found.totals == Totals(5, 1_700_000_100.5, 5, 3)
    assert found.jobs == [make_job(1), make_job(5)]
    assert str(found.report) == f"/memory: loaded {NEW}, written at 2023-11-14 22:16:40+00:00."
    assert two.files == before


def test_an_older_snapshot_may_be_damaged(two: Any) -> None:
    spoil(two, OLD)
    assert recover(two).totals.n == 5


def test_leftovers_are_removed_and_what_is_not_ours_is_not(two: Any) -> None:
    two.files |= {f"{NEW}.tmp": b"x", "mine.tmp": b"x", "snap-x.jsonl": b"x", f"x{NEW}": b"x"}
    two.odd.add(f"{OLD}.tmp")
    two.files[f"{OLD}.tmp"] = b""
    assert recover(two).totals.n == 5
    assert sorted(two.files) == sorted([OLD, NEW, f"{OLD}.tmp", "mine.tmp", "snap-x.jsonl", f"x{NEW}"])


def test_strict_refuses_damage_and_says_what_the_other_way_means(two: Any) -> None:
    spoil(two, NEW)
    two.files[f"{NEW}.tmp"] = b"x"
    before = dict(two.files)
    with pytest.raises(StoreCorrupt) as caught:
        recover(two)
    assert caught.value.path == f"/memory/{NEW}"
    assert caught.value.line == 2
    assert str(caught.value) == (
        f"/memory/{NEW}: line 2: the checksum is wrong. Nothing was changed. Open with "
        f"recovery='salvage' to set this one aside and to go on from {OLD}, "
        "written at 2023-11-14 22:16:40+00:00: what came after is forgotten."
    )
    assert two.files == before


def test_strict_says_that_there_is_nothing_to_go_on_from(two: Any) -> None:
    spoil(two, OLD, NEW)
    with pytest.raises(StoreCorrupt, match=r"no whole snapshot.*aside 2 damaged and begin EMPTY"):
        recover(two)


def test_salvage_goes_on_from_the_newest_whole_one_and_keeps_the_damaged(two: Any) -> None:
    spoil(two, NEW)
    damaged = two.files[NEW]
    two.files[f"{NEW}.tmp"] = b"x"
    two.files[f"quarantine/{NEW}"] = b"of an earlier time"
    found = recover(two, "salvage")
    assert found.totals.n == 3
    assert [job.seq for job in found.jobs] == [1]
    assert found.report.has_loss
    assert str(found.report) == (
        f"/memory: loaded {OLD}, written at 2023-11-14 22:16:40+00:00.\n"
        f"DAMAGED: {NEW}, line 2: the checksum is wrong. It is now /memory/quarantine/{NEW}.2.\n"
        "What happened after that is forgotten: "
        "jobs accepted since are lost, jobs ended since run again."
    )
    assert two.files.keys() == {OLD, f"quarantine/{NEW}", f"quarantine/{NEW}.2"}
    assert two.files[f"quarantine/{NEW}.2"] == damaged
    assert not recover(two).report.has_loss


def test_salvage_begins_empty_if_it_must_and_says_so(two: Any) -> None:
    spoil(two, OLD, NEW)
    found = recover(two, "salvage")
    assert found.totals == Totals()
    assert found.jobs == []
    assert [file.name for file in found.report.set_aside] == [NEW, OLD]
    text = str(found.report)
    assert text.startswith("/memory: no snapshot, so the queue begins empty.\nDAMAGED: ")
    assert two.files.keys() == {f"quarantine/{OLD}", f"quarantine/{NEW}"}


@pytest.mark.parametrize("mode", ["strict", "salvage"])
def test_a_later_version_is_refused_in_every_mode(two: Any, forge: Any, mode: Any) -> None:
    two.files[NEW] = forge(two.files[NEW], lambda lines: lines[0].update(v=3))
    before = dict(two.files)
    with pytest.raises(StoreTooNew, match="format version 3, but this actorq reads up to 1"):
        recover(two, mode)
    assert two.files == before


def test_two_jobs_of_one_id_are_damage(two: Any, forge: Any) -> None:
    two.files[NEW] = forge(two.files[NEW], lambda lines: lines[2].update(id="job-1"))
    with pytest.raises(StoreCorrupt, match="line 3: job job-1 is there twice"):
        recover(two)


@pytest.mark.parametrize("wall", [-1e300, 1e300, -6e10, 2.6e11, 1e15])
def test_a_clock_that_was_wrong_is_no_obstacle(two: Any, forge: Any, wall: float) -> None:
    two.files[NEW] = forge(two.files[NEW], lambda lines: lines[0].update(wall=wall))
    assert NEW in str(recover(two).report)


@pytest.mark.parametrize("was_on", [True, False])
def test_the_garbage_collector_is_left_as_it_was(two: Any, was_on: bool) -> None:
    seen: list[bool] = []
    two.settle = lambda name: seen.append(gc.isenabled())
    (gc.enable if was_on else gc.disable)()
    try:
        recover(two)
        assert gc.isenabled() is was_on
        spoil(two, NEW)
        with pytest.raises(StoreCorrupt):
            recover(two)
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink"])
def test_what_only_has_the_name_of_a_snapshot_is_damage_and_nobody_waits(
    tmp_path: Path, write: Any, make_job: Callable[..., Job], kind: str
) -> None:
    disk = DiskFiles(tmp_path)
    write(disk, 3, [make_job(1)])
    path = tmp_path / NEW
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(OLD)
    with pytest.raises(StoreCorrupt, match="line 1: this is no regular file"):
        recover(disk)
    found = recover(disk, "salvage")
    assert found.totals.n == 3
    assert [one.name for one in (tmp_path / "quarantine").iterdir()] == [NEW]
    assert (tmp_path / "quarantine").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot list it"):
        recover(DiskFiles(tmp_path / "nothing"))
