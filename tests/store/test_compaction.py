"""A snapshot made of the last one and the journal behind it, in this process and in another one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorq.core import commands as c
from actorq.errors import StoreCorrupt, StoreError
from actorq.store import compaction as module
from actorq.store.compaction import REFUSED, compact
from actorq.store.files import DiskFiles
from actorq.store.recovery import recover
from actorq.store.segment import segment_name
from actorq.store.snapshot import put_in_place
from actorq.testing import Died, Fault, FaultyFiles, MemoryFiles

from .lives import Life, contents, controlled, make_odd, state_of

FIRST = segment_name(1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.store.journal.RESERVE_BYTES", 0)


def rest() -> None:
    """Do not rest."""


def live(files: Any) -> Life:
    """Live a life whose journal was sealed behind its last fact."""
    life = Life(files)
    life.submit("a", "b", "c")
    life.journal.rotate()
    life.submit("d", ephemeral=True)
    life.finish("a")
    life.do(c.PauseAll("red"), c.PauseAll(until=life.now + 90.0))
    life.journal.rotate()
    return life


# ── in this process ──────────────────────────────────────────────────────────────────────────────


def test_what_is_made_is_the_ledger(files: Any) -> None:
    life = live(files)
    upto = life.journal.synced
    was = state_of(life.machine.ledger)
    life.submit("behind")
    name, size = compact(files, upto, "mail", rest)
    assert name == f"snap-{upto:020}.jsonl"
    assert size == len(files.read(f"{name}.tmp"))
    before = files.names()
    put_in_place(files, name)
    assert files.names() == sorted({*before, name} - {f"{name}.tmp"}), "the journal is the generation before"
    assert state_of(recover(files).ledger) == state_of(life.machine.ledger)
    for one in files.names():
        if one != name:
            files.unlink(one)
    assert state_of(recover(files).ledger) == was


def test_pauses_keys_and_groups_are_in_what_is_made(files: Any) -> None:
    life = controlled(Life(files))
    life.journal.rotate()
    name, _ = compact(files, life.journal.synced, "mail", rest)
    put_in_place(files, name)
    for one in files.names():
        if one != name:
            files.unlink(one)
    ledger = recover(files).ledger
    assert state_of(ledger) == state_of(life.machine.ledger)
    assert len(ledger.pauses) == 2


def test_the_next_one_is_made_of_the_last_one_and_the_journal_since(files: Any) -> None:
    life = live(files)
    first, _ = compact(files, life.journal.synced, "mail", rest)
    put_in_place(files, first)
    for name in ("e", "f"):
        life.submit(name)
        life.journal.rotate()
    second, _ = compact(files, life.journal.synced, "mail", rest)
    put_in_place(files, second)
    assert [name for name in files.names() if name.startswith("snap")] == [first, second]
    assert state_of(recover(files).ledger) == state_of(life.machine.ledger)


def test_nothing_is_in_place_and_no_file_is_changed_before_the_owner_puts_it_there(files: Any) -> None:
    life = live(files)
    before = contents(files)
    name, _ = compact(files, life.journal.synced, "mail", rest)
    made = contents(files)
    assert made.pop(f"{name}.tmp")
    assert made == before
    recover(files)
    assert f"{name}.tmp" not in files.names(), "whoever comes next takes it for a leftover"


def test_the_segment_that_is_being_written_is_not_looked_at(files: Any) -> None:
    life = live(files)
    upto = life.journal.synced
    files.put(segment_name(upto + 1), b"being written")
    name, _ = compact(files, upto, "mail", rest)
    assert name == f"snap-{upto:020}.jsonl"


def test_it_rests_between_slices(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 1)
    monkeypatch.setattr("actorq.store.snapshot.SLICE_S", 0.0)
    life = live(files)
    rests: list[None] = []
    compact(files, life.journal.synced, "mail", lambda: rests.append(None))
    assert len(rests) == 4 + 4


@pytest.mark.parametrize("old", [b'"id":"a"', b'"t":"end"'])
def test_damage_is_refused_and_leaves_nothing_beside(files: Any, old: bytes) -> None:
    life = live(files)
    files.put(FIRST, files.read(FIRST).replace(old, old.upper(), 1))
    before = contents(files)
    if b"end" in old:  # of a last line that is bad nothing is lost
        compact(files, life.journal.synced, "mail", rest)
        return
    with pytest.raises(StoreCorrupt):
        compact(files, life.journal.synced, "mail", rest)
    assert contents(files) == before


def test_a_journal_that_ends_too_early_is_refused(files: Any) -> None:
    life = live(files)
    with pytest.raises(StoreCorrupt, match="had been on the disk"):
        compact(files, life.journal.synced + 1, "mail", rest)


@pytest.mark.parametrize("how", list(Fault))
def test_a_crash_or_an_error_at_any_step_leaves_a_directory_that_opens(files: Any, how: Fault) -> None:
    life = live(files)
    life.submit("behind")
    upto = life.journal.synced - 2
    was = state_of(life.machine.ledger)
    at = 0
    while True:
        at += 1
        here: MemoryFiles = files.copy()
        faulty = FaultyFiles(here)
        faulty.fail(how, at=at)
        try:
            name, _ = compact(faulty, upto, "mail", rest)
            put_in_place(faulty, name)
        except Died:
            pass
        except StoreError:
            assert not any(one.startswith("snap") and one.endswith(".tmp") for one in here.names()) or (
                faulty.log[at - 1].kind in {"rename", "unlink"}
            )
        found = recover(here)
        assert state_of(found.ledger) == was
        assert found.report.flaws == []
        assert not [one for one in here.names() if one.endswith(".tmp")]
        if len(faulty.log) < at:
            break
    assert at > 15


# ── in another process ───────────────────────────────────────────────────────────────────────────


PROGRAM = "import sys; from actorq.store.compaction import main; sys.exit(main())"


def process(path: Path, upto: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(path), str(upto), "mail"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.real_time
def test_another_process_makes_the_same_and_says_its_name_and_size(tmp_path: Path) -> None:
    disk = DiskFiles(tmp_path)
    life = live(disk)
    with process(tmp_path, life.journal.synced) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        said = child.stdout.read()
        assert (child.wait(), child.stderr.read()) == (0, "")
    name, size = said.split()
    assert (tmp_path / f"{name}.tmp").stat().st_size == int(size)
    put_in_place(disk, name)
    life.journal.abandon()
    found = recover(disk)
    assert state_of(found.ledger) == state_of(life.machine.ledger)
    assert found.report.snapshot == name


@pytest.mark.real_time
def test_another_process_ends_when_its_owner_is_gone(tmp_path: Path) -> None:
    life = live(DiskFiles(tmp_path))
    before = sorted(tmp_path.iterdir())
    with process(tmp_path, life.journal.synced) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait() == 2
    assert sorted(tmp_path.iterdir()) == before
    life.journal.abandon()


@pytest.mark.real_time
def test_another_process_says_what_went_wrong(tmp_path: Path) -> None:
    life = live(DiskFiles(tmp_path))
    life.journal.abandon()
    (tmp_path / FIRST).unlink()
    with process(tmp_path, life.journal.synced) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.wait() == REFUSED
        assert "are missing before it" in child.stderr.read()
        assert child.stdout.read() == ""


def test_the_command_can_be_asked_in_this_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    life = live(DiskFiles(tmp_path))
    life.journal.abandon()
    monkeypatch.setattr("os.nice", lambda by: by)
    monkeypatch.setattr(module.select, "select", lambda *_: ([], [], []))
    monkeypatch.setattr(sys, "argv", ["compaction", str(tmp_path), str(life.journal.synced), "mail"])
    assert module.main() == 0
    assert capsys.readouterr().out.startswith("snap-")
    monkeypatch.setattr(module.select, "select", lambda *_: ([sys.stdin], [], []))
    with pytest.raises(SystemExit):
        module.main()
    make_odd(tmp_path / "snap-00000000000000000099.jsonl", "directory", "")
    assert module.main() == REFUSED
    assert "no regular file" in capsys.readouterr().err
