"""The command line: what it says of a directory, what it leaves alone, and how it ends."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import define

from actorq import cli
from actorq.cli.answer import ExitCode, when
from actorq.cli.repair import repair
from actorq.config import Settings
from actorq.core import commands as c
from actorq.core.job import Failure, JobOptions, Reason
from actorq.core.machine import Machine
from actorq.errors import StoreError, StoreTooNew
from actorq.record import record_of
from actorq.store.files import DiskFiles, Entry
from actorq.store.inspection import UnownedFiles, examine
from actorq.store.journal import Journal
from actorq.store.line import HEADER_SEED, frame
from actorq.store.recovery import recover
from actorq.store.snapshot import SnapshotWriter

NOW = 1_700_000_000.0

COMMON = {"command", "path", "status", "exit_code"}

DAMAGE = {"torn_tail", "damage", "strict", "salvage"}

READ_ONLY = ("verify", "inspect", "export")

ALL = (*READ_ONLY, "repair")


class Life:
    """One life of a queue, without a loop: the machine, and the journal that is told of each step."""

    def __init__(self, path: Path, *, workers: int = 1) -> None:
        self.files = DiskFiles(path)
        self.files.make_directory()
        self.files.lock()
        ledger = recover(self.files).ledger
        self.machine = Machine(Settings(workers=workers), ledger)
        self.journal = Journal(self.files, "mail", ledger.n, boot="b", wall=lambda: NOW)
        self.journal.open()
        self.do(c.Register(("send", "resize")))

    def do(self, *commands: c.Command, at: float = 0.0) -> None:
        step = self.machine.step(commands, NOW + at)
        if step.facts:
            self.journal.append([step.facts])
            self.journal.sync()

    def submit(self, *ids: str, task: str = "send", delay: float = 0.0, payload: bytes = b'[["a"],{}]') -> None:
        for job_id in ids:
            self.do(c.Submit((c.NewJob(job_id, task, payload, JobOptions(), delay),)))

    def finish(self, job_id: str) -> None:
        self.do(c.Finish(job_id, self.machine.ledger.jobs[job_id].claim, b'"done"'))

    def fail(self, job_id: str) -> None:
        failure = Failure(Reason.ERROR, "OSError", "gone", "", 1, NOW)
        self.do(c.Fail(job_id, self.machine.ledger.jobs[job_id].claim, failure, delay=60.0))

    def snapshot(self) -> None:
        self.journal.rotate()
        picture = self.machine.ledger.picture()
        writer = SnapshotWriter(self.files, picture.totals, "mail", wall=NOW)
        writer.begin()
        while jobs := picture.take(100):
            writer.write(writer.encode(jobs))
        writer.finish(lambda: None)

    def close(self) -> None:
        self.journal.close()
        self.files.unlock()

    def crash(self) -> None:
        self.journal.abandon()
        self.files.unlock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a directory for a queue; there is none yet."""
    return tmp_path / "mail"


@pytest.fixture
def whole(path: Path) -> Path:
    """Make a directory of four jobs: one succeeded, one running at the crash, one queued, one delayed."""
    life = Life(path)
    life.submit("a", "b")
    life.finish("a")
    life.submit("d", task="resize", delay=3600.0)
    life.submit("c")
    life.journal.mark()
    life.crash()
    return path


@pytest.fixture
def generations(path: Path) -> Path:
    """Make a directory of two snapshots, with a segment before, between and behind them."""
    life = Life(path)
    for job_id in "abc":
        life.submit(job_id)
        life.finish(job_id)
        if job_id != "c":
            life.snapshot()
    life.close()
    return path


@define
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command to the command line, in this process."""

    def run(*argv: Any) -> Said:
        capsys.readouterr()
        code = cli.main([str(word) for word in argv])
        out, err = capsys.readouterr()
        assert code == int(code)
        return Said(code, out, err)

    return run


def process(*argv: Any, before: str = "", **how: Any) -> subprocess.Popen[bytes]:
    """Start ``python -m actorq`` in a process, after a few lines of Python that bring about its situation."""
    command = [sys.executable, "-m", "actorq", *map(str, argv)]
    if before:
        program = f"import os, sys\n{textwrap.dedent(before)}\nos.execv(sys.argv[1], sys.argv[1:])"
        command = [sys.executable, "-c", program, *command]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)


def run_process(*argv: Any, before: str = "", **how: Any) -> Said:
    started = process(*argv, before=before, **how)
    out, err = started.communicate(timeout=60)
    return Said(started.returncode, out.decode(errors="replace"), err.decode())


def segment(path: Path, place: int = 0) -> Path:
    return sorted(path.glob("wal-*.jsonl"))[place]


def snapshot(path: Path, place: int = 0) -> Path:
    return sorted(path.glob("snap-*.jsonl"))[place]


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def damage(file: Path, line: int) -> int:
    """Flip a bit in the middle of a line, counted from 1; return the byte at which the line begins."""
    lines = lines_of(file)
    offset = sum(map(len, lines[: line - 1]))
    data = bytearray(file.read_bytes())
    data[offset + len(lines[line - 1]) // 2] ^= 1
    file.write_bytes(data)
    return offset


def rewrite(file: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the fields of a line, and make its checksum right again."""
    lines = lines_of(file)
    fields = orjson.loads(lines[line - 1])
    del fields["c"]
    change(fields)
    seed = HEADER_SEED if line == 1 else orjson.loads(lines[0])["salt"]
    lines[line - 1] = frame(orjson.dumps(fields), seed)
    file.write_bytes(b"".join(lines))


def tree(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return all that is in a directory, with modes and times; of the lock only its mode."""
    found = {}
    for one in sorted(path.rglob("*")):
        at = one.lstat()
        data = one.read_bytes() if one.is_file() and one.name != "lock" else b""
        found[str(one.relative_to(path))] = (at.st_mode, 0 if one.name == "lock" else at.st_mtime_ns, data)
    return found


# -- verify ----------------------------------------------------------------------------------------


def test_whole_directory_is_told_to_be_whole(whole: Path, run: Run) -> None:
    said = run("verify", whole)
    assert said == Said(0, f"{whole}: whole; 4 jobs, facts up to 7.\n", "")


def test_directory_that_was_closed_is_whole(generations: Path, run: Run) -> None:
    assert run("verify", generations).code == ExitCode.WHOLE


def test_directory_in_which_nothing_was_ever_stored_is_whole(path: Path, run: Run) -> None:
    Life(path).close()
    assert run("verify", path).out == f"{path}: whole; 0 jobs, facts up to 0.\n"


def test_verify_as_json_has_the_promised_names(whole: Path, run: Run) -> None:
    said = run("verify", whole, "--json").json
    assert said.keys() == COMMON | DAMAGE | {"owner", "last_fact", "mark", "jobs"}
    assert said["command"] == "verify"
    assert said["path"] == str(whole)
    assert (said["status"], said["exit_code"]) == ("whole", 0)
    assert (said["last_fact"], said["mark"]) == (7, 7)
    assert (said["strict"], said["damage"], said["torn_tail"], said["owner"]) == ("opens", [], None, None)
    assert said["salvage"] == {"missing": [], "doubtful": []}


def test_torn_tail_is_whole_and_told(whole: Path, run: Run) -> None:
    file = segment(whole)
    size = file.stat().st_size
    with file.open("ab") as tail:
        tail.write(b'{"n":8,"d":7,"at":17')
    said = run("verify", whole)
    assert said.code == ExitCode.WHOLE
    assert f"torn tail: {file.name}, line 7, byte {size}: " in said.out
    assert run("verify", whole, "--json").json["torn_tail"] == {"file": file.name, "line": 7, "byte": size}


def test_torn_witness_is_whole_and_not_there(whole: Path, run: Run) -> None:
    (whole / "mark").write_bytes(b'{"t":"mark","n":7  ')
    said = run("verify", whole, "--json").json
    assert (said["status"], said["mark"]) == ("whole", None)


def test_damaged_line_is_told_with_file_line_byte_facts_and_what_follows(whole: Path, run: Run) -> None:
    file = segment(whole)
    byte = damage(file, 4)
    said = run("verify", whole, "--json")
    assert said.code == said.json["exit_code"] == ExitCode.DAMAGED
    [spot] = said.json["damage"]
    assert spot.pop("why").startswith("the checksum is wrong")
    assert spot == {
        "file": file.name,
        "line": 4,
        "byte": byte,
        "facts": [4, 5],
        "intact_lines_behind": 2,
        "is_needed": True,
    }


def test_damage_is_told_with_what_the_ways_of_recovery_would_do(whole: Path, run: Run) -> None:
    damage(segment(whole), 4)
    said = run("verify", whole)
    assert said.code == ExitCode.DAMAGED
    assert said.out.startswith(f"{whole}: DAMAGED; ")
    assert "Facts 4 to 5 stood there. 2 intact lines follow in the file." in said.out
    assert "strict:  refuses to open (StoreCorrupt), and changes nothing." in said.out
    assert "salvage: keeps 4 jobs (1 scheduled, 2 queued, 1 running)" in said.out
    assert "Missing: facts 4 to 5: a job that was submitted there is lost" in said.out
    assert f"python -m actorq repair {whole}" in said.out


def test_doubtful_jobs_are_named_with_whether_they_run_again(whole: Path, run: Run) -> None:
    damage(segment(whole), 3)
    said = run("verify", whole, "--json").json
    assert said["strict"] == "refuses"
    assert said["salvage"]["missing"] == [[3, 3]]
    assert "b" in {job["id"] for job in said["salvage"]["doubtful"]}
    assert "In doubt, because facts about them may be missing: " in run("verify", whole).out


def test_every_damaged_file_is_told(generations: Path, run: Run) -> None:
    damage(segment(generations, -2), 2)
    damage(snapshot(generations, 0), 2)
    damage(snapshot(generations, 1), 2)
    said = run("verify", generations, "--json").json
    assert said["damage"][0]["file"] == snapshot(generations, 1).name
    assert len(said["damage"]) == 3
    assert [spot["line"] for spot in said["damage"]] == [2, 2, 2]


def test_two_lines_that_became_one_are_told_with_what_follows(whole: Path, run: Run) -> None:
    file = segment(whole)
    lines = lines_of(file)
    file.write_bytes(b"".join([*lines[:3], lines[3].rstrip(), *lines[4:]]))
    [spot] = run("verify", whole, "--json").json["damage"]
    assert (spot["line"], spot["facts"], spot["intact_lines_behind"]) == (4, [4, 5], 2)


def test_damaged_first_line_of_a_segment_leaves_what_follows_uncounted(whole: Path, run: Run) -> None:
    damage(segment(whole), 1)
    [spot] = run("verify", whole, "--json").json["damage"]
    assert (spot["line"], spot["byte"], spot["facts"], spot["intact_lines_behind"]) == (1, 0, [1, 7], None)
    assert "cannot be counted without its first line" in run("verify", whole).out


def test_salt_that_is_no_number_proves_nothing(whole: Path, run: Run) -> None:
    rewrite(segment(whole), 1, lambda fields: fields.update(salt="x"))
    [spot] = run("verify", whole, "--json").json["damage"]
    assert (spot["line"], spot["intact_lines_behind"]) == (1, None)


def test_line_that_is_too_long_is_damage(whole: Path, run: Run) -> None:
    file = segment(whole)
    lines = lines_of(file)
    lines[3] = b"x" * 2_000_000 + b"\n"
    file.write_bytes(b"".join(lines))
    [spot] = run("verify", whole, "--json").json["damage"]
    assert spot["why"].startswith("the line is too long")
    assert spot["facts"] == [4, 5]


def test_missing_segment_is_told_with_the_facts_that_stood_in_it(path: Path, run: Run) -> None:
    for job_id in "abc":
        life = Life(path)
        life.submit(job_id)
        life.close()
    segment(path, 1).unlink()
    said = run("verify", path, "--json").json
    [spot] = said["damage"]
    assert (spot["file"], spot["line"], spot["byte"]) == (segment(path, 1).name, 1, 0)
    assert "are missing before it" in spot["why"]
    assert [spot["facts"]] == said["salvage"]["missing"]


def test_tail_that_vanished_whole_is_told_because_of_the_witness(whole: Path, run: Run) -> None:
    file = segment(whole)
    lines = lines_of(file)
    file.write_bytes(b"".join(lines[:-1]))
    [spot] = run("verify", whole, "--json").json["damage"]
    assert (spot["file"], spot["line"], spot["byte"]) == (file.name, 6, file.stat().st_size)
    assert spot["facts"] == [7, 7]


def test_journal_that_vanished_whole_is_told_because_of_the_witness(whole: Path, run: Run) -> None:
    segment(whole).unlink()
    said = run("verify", whole, "--json")
    assert said.code == ExitCode.DAMAGED
    [spot] = said.json["damage"]
    assert (spot["file"], spot["facts"]) == ("mark", [1, 7])


def test_fact_that_cannot_have_happened_is_damage_in_spite_of_its_checksum(whole: Path, run: Run) -> None:
    rewrite(segment(whole), 4, lambda fields: fields["facts"][0].update(t="requeued"))
    said = run("verify", whole, "--json").json
    [spot] = said["damage"]
    assert spot["line"] == 4
    assert "cannot have happened" in spot["why"]


def test_damaged_end_of_the_snapshot_in_use_is_damage(generations: Path, run: Run) -> None:
    file = snapshot(generations, 1)
    byte = damage(file, len(lines_of(file)))
    said = run("verify", generations, "--json").json
    [spot] = said["damage"]
    assert (spot["file"], spot["byte"], spot["is_needed"]) == (file.name, byte, True)
    assert said["salvage"] == {"missing": [], "doubtful": []}


@pytest.mark.parametrize("kind", [snapshot, segment])
def test_damage_that_only_the_generation_before_needs_is_told_though_strict_opens(
    generations: Path, kind: Callable[..., Path], run: Run
) -> None:
    damage(kind(generations), 2)
    said = run("verify", generations, "--json")
    assert said.code == ExitCode.DAMAGED
    assert [spot["is_needed"] for spot in said.json["damage"]] == [False]
    assert said.json["strict"] == "opens"
    text = run("verify", generations).out
    assert "Only the generation before the newest snapshot needs it." in text
    assert "strict:  opens" in text


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_file_is_damage_and_never_opened(generations: Path, kind: str, place: int, run: Run) -> None:
    for file in (snapshot(generations, place), segment(generations, -1 if place else 0)):
        copy = generations.parent / f"{file.name}.copy"
        file.rename(copy)
        if kind == "symlink":
            file.symlink_to(copy)
        elif kind == "fifo":
            os.mkfifo(file)
        else:
            file.mkdir()
    said = run("verify", generations, "--json").json
    assert {spot["why"] for spot in said["damage"]} == {"this is no regular file"}
    assert len(said["damage"]) == 2


@pytest.mark.parametrize("command", ALL)
def test_newer_format_is_refused_and_left_alone(whole: Path, command: str, run: Run) -> None:
    rewrite(segment(whole), 1, lambda fields: fields.update(v=99))
    before = tree(whole)
    said = run(command, whole)
    assert (said.code, said.out) == (ExitCode.TOO_NEW, "")
    assert "format version 99" in said.err
    assert "upgrade actorq" in said.err
    assert tree(whole) == before


def test_newer_format_is_found_behind_damage_and_before_the_newest_snapshot(generations: Path) -> None:
    rewrite(snapshot(generations, 0), 1, lambda fields: fields.update(v=99))
    for _ in range(2):
        with pytest.raises(StoreTooNew):
            examine(UnownedFiles(generations))
        damage(segment(generations, -1), 2)


# -- what may be read, and what is no queue ----------------------------------------------------------


@pytest.mark.parametrize("command", ALL)
def test_directory_that_does_not_exist_is_told_and_not_made(path: Path, command: str, run: Run) -> None:
    said = run(command, path)
    assert (said.code, said.out) == (ExitCode.UNREADABLE, "")
    assert "No such file or directory" in said.err
    assert not path.exists()


@pytest.mark.parametrize("command", ALL)
def test_directory_that_is_a_file_is_told(path: Path, command: str, run: Run) -> None:
    path.write_bytes(b"mail")
    said = run(command, path)
    assert said.code == ExitCode.UNREADABLE
    assert "a part of this path is a file" in said.err


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("names", [[], ["README.md", "wal-1.jsonl", "snap.jsonl", "quarantine"]])
def test_directory_without_a_queue_is_told_and_left_alone(path: Path, command: str, names: list[str], run: Run) -> None:
    path.mkdir()
    for name in names:
        (path / name).write_text("hello", encoding="utf-8")
    before = tree(path)
    said = run(command, path)
    assert said.code == ExitCode.UNREADABLE
    assert "holds no queue" in said.err
    assert tree(path) == before


def test_refusal_is_a_document_too(path: Path, run: Run) -> None:
    said = run("verify", path, "--json")
    assert said.json.keys() == COMMON | {"error"}
    assert (said.json["status"], said.json["exit_code"]) == ("unreadable", 3)
    assert said.json["error"] in said.err


WITHOUT_PRIVILEGES = """
    if os.geteuid() == 0:  # or permission bits would not bind
        import ctypes
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
"""


@pytest.fixture
def read_only(whole: Path) -> Iterator[Path]:
    for one in whole.iterdir():
        one.chmod(0o400)
    whole.chmod(0o500)
    yield whole
    whole.chmod(0o700)


@pytest.mark.parametrize("command", READ_ONLY)
def test_read_only_directory_is_read(read_only: Path, command: str) -> None:
    before = tree(read_only)
    said = run_process(command, read_only, before=WITHOUT_PRIVILEGES)
    assert (said.code, said.err) == (ExitCode.WHOLE, "")
    assert tree(read_only) == before


def test_read_only_directory_is_not_repaired(read_only: Path) -> None:
    said = run_process("repair", read_only, before=WITHOUT_PRIVILEGES)
    assert said.code == ExitCode.UNREADABLE
    assert "give the user of this process the right to read and write there" in said.err


@pytest.mark.parametrize("mode", [0o000, 0o300])
def test_directory_that_must_not_be_read_is_told(whole: Path, mode: int) -> None:
    whole.chmod(mode)
    said = run_process("verify", whole, before=WITHOUT_PRIVILEGES)
    whole.chmod(0o700)
    assert said.code == ExitCode.UNREADABLE
    assert "cannot list it: Permission denied" in said.err


def test_file_that_must_not_be_read_is_no_damage(whole: Path) -> None:
    segment(whole).chmod(0)
    said = run_process("verify", whole, before=WITHOUT_PRIVILEGES)
    assert said.code == ExitCode.UNREADABLE
    assert "cannot open it: Permission denied" in said.err


def test_file_system_that_cannot_sync_has_nothing_to_sync(path: Path) -> None:
    with pytest.raises(StoreError, match="cannot sync it"):
        DiskFiles("/proc/self").settle("status")
    UnownedFiles("/proc/self").settle("status")


def test_file_that_is_gone_cannot_be_settled_and_has_no_size(whole: Path) -> None:
    with pytest.raises(StoreError, match="cannot open it"):
        UnownedFiles(whole).settle("nothing")
    assert UnownedFiles(whole).size("nothing") == 0


@pytest.mark.parametrize("command", READ_ONLY)
def test_reading_changes_not_one_byte_of_damage_tails_and_leftovers(whole: Path, command: str, run: Run) -> None:
    damage(segment(whole), 3)
    (whole / "snap-00000000000000000009.jsonl.tmp").write_bytes(b"half")
    before = tree(whole)
    assert run(command, whole).code == ExitCode.DAMAGED
    assert tree(whole) == before


# -- a directory in use ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_directory_in_use_is_told_to_be_a_moving_picture(path: Path, command: str, run: Run) -> None:
    life = Life(path)
    life.submit("a", "b")
    before = tree(path)
    said = run(command, path)
    assert said.code == ExitCode.WHOLE
    assert f"in use by pid {os.getpid()} on " in said.out
    assert "moving picture" in said.out
    assert run(command, path, "--json").json["owner"]["pid"] == os.getpid()
    assert tree(path) == before
    life.close()
    assert "in use by pid" not in run(command, path).out


def test_export_of_a_directory_in_use_says_so_beside_the_jobs(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("a")
    said = run("export", path)
    life.close()
    assert orjson.loads(said.out)["id"] == "a"
    assert "moving picture" in said.err


@pytest.mark.parametrize("card", [b"", b"{", b"[]", b'{"pid":1}', b'{"pid":"x","host":1,"started":1}'])
def test_owner_whose_card_cannot_be_read_is_another_process(path: Path, card: bytes, run: Run) -> None:
    life = Life(path)
    (path / "lock").write_bytes(card)
    said = run("verify", path)
    life.close()
    assert "in use by another process: " in said.out


def test_directory_without_a_lock_is_owned_by_nobody(whole: Path) -> None:
    (whole / "lock").unlink()
    assert UnownedFiles(whole).owner() is None


@define(slots=False)
class Moving(UnownedFiles):
    """A directory whose first listings are out of date when its files are read."""

    path: Path
    stale: int

    def __attrs_post_init__(self) -> None:
        super().__init__(self.path)

    def list(self, name: str = "") -> list[Entry]:
        gone = Entry("snap-00000000000000000999.jsonl", is_file=True)
        if self.stale <= 0:
            return super().list(name)
        self.stale -= 1
        return [*super().list(name), gone]


def test_file_that_goes_while_a_directory_in_use_is_looked_at_is_no_damage(path: Path) -> None:
    life = Life(path)
    assert examine(Moving(path, stale=2)).is_whole
    life.close()


def test_file_that_goes_again_and_again_is_told(path: Path) -> None:
    life = Life(path)
    with pytest.raises(StoreError, match="cannot open it"):
        examine(Moving(path, stale=10))
    life.close()
    with pytest.raises(StoreError, match="cannot open it"):
        examine(Moving(path, stale=2))


def test_damage_of_a_directory_in_use_is_told_when_it_stays(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("a", "b")
    life.journal.mark()
    damage(segment(path), 2)
    said = run("verify", path)
    life.crash()
    assert said.code == ExitCode.DAMAGED
    assert "moving picture" in said.out


# -- inspect -----------------------------------------------------------------------------------------


def test_inspect_as_json_has_the_promised_names(whole: Path, run: Run) -> None:
    said = run("inspect", whole, "--json").json
    names = {"owner", "queue", "last_fact", "last_fact_at", "mark", "paused", "jobs", "files"}
    assert said.keys() == COMMON | DAMAGE | names
    assert said["paused"] == []
    assert said["queue"] == "mail"
    assert (said["last_fact"], said["last_fact_at"], said["mark"]) == (7, "2023-11-14T22:13:20.000+00:00", 7)
    segments = {"count": 1, "bytes": segment(whole).stat().st_size}
    assert said["files"] == {"snapshots": {"count": 0, "bytes": 0}, "segments": segments, "leftovers": []}


def test_inspect_counts_jobs_by_state_and_by_task(whole: Path, run: Run) -> None:
    jobs = run("inspect", whole, "--json").json["jobs"]
    states = {
        "scheduled": 1,
        "queued": 1,
        "paused": 0,
        "running": 1,
        "succeeded": 1,
        "failed": 0,
        "dead_letter": 0,
        "cancelled": 0,
    }
    nothing = dict.fromkeys(states, 0)
    assert jobs["by_state"] == states
    assert jobs["by_task"] == {"resize": nothing | {"scheduled": 1}, "send": states | {"scheduled": 0}}
    assert jobs["by_group"] == {}
    assert [jobs[name] for name in ("accepted", "removed", "kept", "live", "parked")] == [4, 0, 4, 3, 0]
    assert [jobs[name] for name in ("blocked", "keys")] == [0, 0]


def test_inspect_names_the_oldest_the_next_and_the_running(whole: Path, run: Run) -> None:
    jobs = run("inspect", whole, "--json").json["jobs"]
    assert (jobs["oldest_queued"]["id"], jobs["oldest_queued"]["due_at"]) == ("c", "2023-11-14T22:13:20.000+00:00")
    assert (jobs["next_due"]["id"], jobs["next_due"]["due_at"]) == ("d", "2023-11-14T23:13:20.000+00:00")
    [running] = jobs["running"]
    assert running == {
        "id": "b",
        "task": "send",
        "group": None,
        "key": None,
        "due_at": "2023-11-14T22:13:20.000+00:00",
        "started_at": "2023-11-14T22:13:20.000+00:00",
        "attempt": 1,
        "interruptions": 0,
    }


def test_inspect_tells_people_the_same(whole: Path, run: Run) -> None:
    (whole / "snap-00000000000000000009.jsonl.tmp").write_bytes(b"half")
    said = run("inspect", whole)
    size = segment(whole).stat().st_size
    at = "2023-11-14T22:13:20.000+00:00"
    assert said.out == textwrap.dedent(f"""\
        {whole}: queue 'mail', whole
          in use by nobody
          jobs:      4 kept, 3 of them live; 4 ever accepted
          by state:  1 scheduled, 1 queued, 1 running, 1 succeeded
          task       resize: 1 scheduled
          task       send: 1 queued, 1 running, 1 succeeded
          oldest queued: c (send), due {at}
          next due: d (resize), due 2023-11-14T23:13:20.000+00:00
          was running (the next opening interrupts it, and it runs again): b (send), attempt 1 since {at}
          files:     0 snapshots (0 bytes), 1 segment ({size:,} bytes)
          last fact: 7 at {at}; seen on the disk up to fact 7
          unfinished, to be removed by the next opening: snap-00000000000000000009.jsonl.tmp
        """)


def test_inspect_of_a_directory_in_use_tells_what_is_running(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("a")
    said = run("inspect", path)
    life.close()
    assert "\n  running: a (send), attempt 1" in said.out


def test_inspect_tells_what_is_parked_and_what_was_interrupted(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("b", task="unknown")
    life.submit("a")
    life.do(c.Recover())
    life.close()
    said = run("inspect", path)
    assert run("inspect", path, "--json").json["jobs"]["interrupted"] == 1
    assert "interrupted: 1 live jobs have been" in said.out
    assert "parked:    1, waiting for code that fits them" in said.out


@pytest.fixture
def controlled(path: Path) -> Path:
    """Make a directory in which the queue, a group and a job are paused, and a job waits for its key."""
    life = Life(path, workers=2)
    red = JobOptions(group="red")
    life.do(c.Submit((c.NewJob("a", "send", b"[[],{}]", red, key="k"), c.NewJob("b", "send", b"[[],{}]", red))))
    life.do(c.Submit((c.NewJob("c", "resize", b"[[],{}]", JobOptions(group="bl\x1bue"), 60.0, key="l"),)))
    life.finish("b")
    life.do(c.Submit((c.NewJob("d", "send", b"[[],{}]", JobOptions(), key="k", on_conflict="keep_last"),)))
    life.do(c.Pause("c"), c.PauseAll("red"), c.PauseAll(until=NOW + 3600.0))
    life.crash()
    return path


def test_inspect_tells_what_is_paused_and_until_when(controlled: Path, run: Run) -> None:
    said = run("inspect", controlled)
    assert "\n  paused:    the whole queue, until 2023-11-14T23:13:20.000+00:00\n" in said.out
    assert "\n  paused:    group red, until it is resumed\n" in said.out
    assert "  by state:  1 scheduled, 1 paused, 1 running, 1 succeeded\n" in said.out
    document = run("inspect", controlled, "--json").json
    assert document["paused"] == [
        {"group": None, "until": "2023-11-14T23:13:20.000+00:00"},
        {"group": "red", "until": None},
    ]
    assert document["jobs"]["by_state"]["paused"] == 1


def test_inspect_tells_keys_and_groups_and_what_waits_for_its_key(controlled: Path, run: Run) -> None:
    said = run("inspect", controlled)
    assert "\n  group      bl\\x1bue: 1 paused\n  group      red: 1 running, 1 succeeded\n" in said.out
    assert "\n  keys:      2\n  blocked:   1, waiting for the end of another job with their key\n" in said.out
    jobs = run("inspect", controlled, "--json").json["jobs"]
    assert (jobs["blocked"], jobs["keys"]) == (1, 2)
    assert jobs["by_group"]["red"] == jobs["by_state"] | {"paused": 0, "scheduled": 0}
    [running] = jobs["running"]
    assert (running["id"], running["key"], running["group"]) == ("a", "k", "red")


def test_inspect_of_a_snapshot_tells_the_same(controlled: Path, run: Run) -> None:
    before = run("inspect", controlled, "--json").json
    life = Life(controlled, workers=2)
    life.snapshot()
    life.crash()
    after = run("inspect", controlled, "--json").json
    assert after["paused"] == before["paused"]
    assert after["jobs"] == before["jobs"]


@pytest.mark.parametrize("first", [b"", b"nonsense\n"])
def test_inspect_of_a_file_that_does_not_tell_its_queue_looks_into_another(
    generations: Path, first: bytes, run: Run
) -> None:
    segment(generations, -1).write_bytes(first)
    assert run("inspect", generations, "--json").json["queue"] == "mail"


def test_inspect_of_damage_tells_what_salvage_would_keep(whole: Path, run: Run) -> None:
    damage(segment(whole), 5)
    said = run("inspect", whole)
    assert said.code == ExitCode.DAMAGED
    assert said.out.startswith(f"{whole}: queue 'mail', DAMAGED\n")
    assert "strict:  refuses" in said.out
    assert run("inspect", whole, "--json").json["jobs"]["kept"] == 3


def test_inspect_of_an_empty_queue_has_nothing_to_count(path: Path, run: Run) -> None:
    Life(path).close()
    (path / "mark").unlink()
    segment(path).unlink()
    said = run("inspect", path)
    assert said.code == ExitCode.WHOLE
    assert "by state:  none" in said.out
    assert "last fact: 0; no witness" in said.out


# -- export ------------------------------------------------------------------------------------------


def test_export_writes_every_job_with_all_its_fields_in_the_order_of_acceptance(whole: Path, run: Run) -> None:
    said = run("export", whole)
    jobs = [orjson.loads(line) for line in said.out.splitlines()]
    ledger = examine(UnownedFiles(whole)).ledger
    assert jobs == [orjson.loads(orjson.dumps(record_of(job).to_dict())) for job in ledger.jobs.values()]
    assert [(job["id"], job["state"], job["result"]) for job in jobs] == [
        ("a", "succeeded", "done"),
        ("b", "running", None),
        ("d", "scheduled", None),
        ("c", "queued", None),
    ]
    assert (said.code, said.err) == (ExitCode.WHOLE, "")


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--state", "queued"], "c"),
        (["--state", "queued", "--state", "succeeded"], "ac"),
        (["--task", "resize"], "d"),
        (["--task", "resize", "--task", "send"], "abdc"),
        (["--task", "send", "--state", "running"], "b"),
        (["--task", "nothing"], ""),
    ],
)
def test_export_can_be_told_which_jobs(whole: Path, filters: list[str], ids: str, run: Run) -> None:
    said = run("export", whole, *filters)
    assert "".join(orjson.loads(line)["id"] for line in said.out.splitlines()) == ids


@pytest.mark.parametrize(("filters", "count"), [([], 4), (["--task", "resize"], 1), (["--task", "nothing"], 0)])
def test_export_as_json_is_one_document(whole: Path, filters: list[str], count: int, run: Run) -> None:
    said = run("export", whole, "--json", *filters).json
    assert said.keys() == COMMON | DAMAGE | {"owner", "paused", "jobs", "count", "not_shown"}
    assert (len(said["jobs"]), said["count"], said["not_shown"]) == (count, count, [])


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--state", "paused"], "c"),
        (["--group", "red"], "ab"),
        (["--key", "k"], "ad"),
        (["--key", "k", "--key", "l"], "acd"),
        (["--group", "red", "--key", "k"], "a"),
        (["--group", ""], ""),
    ],
)
def test_export_can_be_told_which_states_groups_and_keys(
    controlled: Path, filters: list[str], ids: str, run: Run
) -> None:
    said = run("export", controlled, *filters)
    assert "".join(orjson.loads(line)["id"] for line in said.out.splitlines()) == ids


def test_export_tells_what_is_paused_and_of_each_job_its_key_its_group_and_what_holds_it(
    controlled: Path, run: Run
) -> None:
    said = run("export", controlled, "--json").json
    assert [pause["group"] for pause in said["paused"]] == [None, "red"]
    told = [(job["key"], job["options"]["group"], job["state"], job["hold_reason"]) for job in said["jobs"]]
    assert told == [
        ("k", "red", "running", None),
        (None, "red", "succeeded", None),
        ("l", "bl\x1bue", "paused", "delay"),
        ("k", None, "scheduled", "key"),
    ]


def test_export_of_damage_writes_what_can_be_read_and_complains(whole: Path, run: Run) -> None:
    damage(segment(whole), 5)
    said = run("export", whole)
    assert said.code == ExitCode.DAMAGED
    assert [orjson.loads(line)["id"] for line in said.out.splitlines()] == ["a", "b", "c"]
    assert "python -m actorq export: strict:  refuses" in said.err


@pytest.mark.parametrize(
    "change", [{"payload": 5}, {"payload": [1, 2, 3]}, {"due_at": 1e300}, {"options": {"priority": 1}, "payload": {}}]
)
def test_job_that_is_nonsense_in_spite_of_its_checksum_is_named_and_left_out(
    whole: Path, change: dict[str, Any], run: Run
) -> None:
    rewrite(segment(whole), 6, lambda fields: fields["facts"][0].update(change))
    said = run("export", whole)
    assert said.code == ExitCode.DAMAGED
    assert [orjson.loads(line)["id"] for line in said.out.splitlines()] == ["a", "b", "d"]
    assert "cannot be shown: job c: " in said.err
    assert len(run("export", whole, "--json").json["not_shown"]) == 1


# -- repair ------------------------------------------------------------------------------------------


def test_repair_of_a_whole_directory_changes_nothing_and_says_so(whole: Path, run: Run) -> None:
    with segment(whole).open("ab") as tail:
        tail.write(b'{"n":8,"d":7,"at":17')
    before = tree(whole)
    said = run("repair", whole)
    assert said.code == ExitCode.WHOLE
    assert said.out.startswith(f"{whole}: whole, so nothing was changed.\n  torn tail: ")
    assert run("repair", whole, "--json").json["changed"] is False
    assert tree(whole) == before


def test_repair_copies_everything_aside_first(whole: Path, run: Run) -> None:
    damage(segment(whole), 4)
    (whole / "snap-00000000000000000009.jsonl.tmp").write_bytes(b"half")
    before = {name: found for name, found in tree(whole).items() if name not in ("lock", "reserve")}
    said = run("repair", whole, "--json").json
    copies = Path(said["copies"])
    assert copies.parent == whole / "quarantine"
    assert copies.name.startswith("repair-20")
    assert sorted(said["copied"]) == sorted(before)
    assert {name: found[-1] for name, found in tree(copies).items()} == {
        name: found[-1] for name, found in before.items()
    }
    assert copies.stat().st_mode & 0o777 == 0o700


def test_repaired_directory_is_whole_and_opens(whole: Path, run: Run) -> None:
    damage(segment(whole), 4)
    assert run("repair", whole).code == ExitCode.WHOLE
    assert run("verify", whole).code == ExitCode.WHOLE
    assert run("repair", whole, "--json").json["changed"] is False
    life = Life(whole)
    assert set(life.machine.ledger.jobs) == set("abcd")
    life.close()


def test_repair_names_each_job_concerned_and_what_is_missing(whole: Path, run: Run) -> None:
    damage(segment(whole), 3)
    said = run("repair", whole)
    assert "missing: fact 3: a job that was submitted there is lost, and one that ended there runs again" in said.out
    assert "doubtful: b (" not in said.out
    assert "doubtful: b: facts about it are missing, and it is not among the jobs" in said.out


def test_repair_names_jobs_that_may_run_once_more(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("a", "b")
    life.finish("a")
    life.fail("b")
    life.crash()
    damage(segment(path), 4)
    assert "2 jobs of them may run once more" in run("verify", path).out
    said = run("repair", path)
    assert said.code == ExitCode.WHOLE
    assert "missing: facts 4 to 5" in said.out
    assert "doubtful: b (send): facts about it may be missing; it is scheduled, and may run once more" in said.out


def test_repair_names_jobs_that_have_ended_too(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("a", "b")
    life.finish("a")
    life.finish("b")
    life.crash()
    damage(segment(path), 4)
    said = run("repair", path)
    assert "doubtful: b (send): facts about it may be missing; it is succeeded, and has ended" in said.out


def test_repair_as_json_has_the_promised_names(whole: Path, run: Run) -> None:
    damage(segment(whole), 3)
    said = run("repair", whole, "--json").json
    assert said.keys() == COMMON | {
        "changed", "damage", "copies", "copied", "not_copied", "missing", "doubtful", "jobs", "last_fact",
    }  # fmt: skip
    assert (said["status"], said["changed"], said["missing"]) == ("whole", True, [[3, 3]])
    assert [spot["line"] for spot in said["damage"]] == [3]
    assert {"id": "b", "task": None, "state": None, "runs_again": False} in said["doubtful"]
    assert run("repair", whole, "--json").json.keys() == said.keys()


def test_repair_without_loss_says_that_nothing_is_missing(generations: Path, run: Run) -> None:
    damage(snapshot(generations, 1), 2)
    said = run("repair", generations)
    assert said.code == ExitCode.WHOLE
    assert "nothing is missing" in said.out
    assert "kept:    3 jobs" in said.out


def test_repair_mends_damage_by_which_no_fact_was_lost(generations: Path, run: Run) -> None:
    with segment(generations, -1).open("ab") as end:
        end.write(b"more\n")
    assert "goes on behind its last line" in run("verify", generations).out
    said = run("repair", generations)
    assert said.code == ExitCode.WHOLE
    assert "nothing is missing" in said.out


def test_repair_moves_a_damaged_generation_aside_that_nothing_needs(generations: Path, run: Run) -> None:
    newest = snapshot(generations, 1).read_bytes()
    damage(snapshot(generations, 0), 2)
    said = run("repair", generations)
    assert said.code == ExitCode.WHOLE
    assert "nothing is missing" in said.out
    assert [one.read_bytes() for one in generations.glob("snap-*")] == [newest]
    assert run("verify", generations).code == ExitCode.WHOLE
    assert len(list((generations / "quarantine").glob("snap-*"))) == 1


def test_repair_of_a_directory_in_use_is_refused(path: Path, run: Run) -> None:
    life = Life(path)
    before = tree(path)
    said = run("repair", path, "--json")
    assert said.code == ExitCode.OWNED
    assert f"in use by pid {os.getpid()}" in said.err
    assert said.json["status"] == "owned"
    assert tree(path) == before
    life.close()


def test_repair_lets_the_directory_go(whole: Path, run: Run) -> None:
    damage(segment(whole), 4)
    for _ in range(2):
        run("repair", whole)
        assert UnownedFiles(whole).owner() is None


def test_two_repairs_within_a_second_keep_both_copies(whole: Path) -> None:
    for _ in range(2):
        damage(max([*whole.glob("snap-*"), *whole.glob("wal-*")]), 1)
        assert repair(str(whole), NOW).code == ExitCode.WHOLE
        Life(whole).close()
    names = [one.name for one in sorted(whole.glob("quarantine/repair-*"))]
    assert names == ["repair-20231114T221320Z", "repair-20231114T221320Z.2"]


def test_repair_without_room_for_the_copies_changes_nothing(whole: Path) -> None:
    damage(segment(whole), 4)
    before = tree(whole)
    small = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))"
    said = run_process("repair", whole, before=small)
    assert said.code == ExitCode.UNREADABLE
    assert "raise the limit of the size of a file" in said.err
    left = {name: found for name, found in tree(whole).items() if not name.startswith("quarantine")}
    assert left == before
    assert not list(whole.glob("quarantine/*/*"))


def test_what_the_disk_does_not_give_back_is_named_and_does_not_stop_the_repair(
    whole: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = segment(whole)
    read = os.read

    def fail(fd: int, size: int) -> bytes:
        if os.path.samestat(os.fstat(fd), file.lstat() if file.exists() else os.fstat(0)):
            raise OSError(5, "Input/output error")
        return read(fd, size)

    monkeypatch.setattr(os, "read", fail)
    said = run("repair", whole)
    assert said.code == ExitCode.WHOLE
    assert f"{file.name} could not be read, so its copy is not whole" in said.out
    assert "missing: facts 1 to 7" in said.out


# -- the process ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv", [[], ["mend", "x"], ["verify"], ["verify", "x", "y"], ["export", "x", "--state", "created"]]
)
def test_command_line_that_makes_no_sense_is_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == ExitCode.USAGE
    assert "usage: python -m actorq" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["verify", "--help"], ["repair", "--help"]])
def test_help_tells_every_exit_code(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for code in ExitCode:
        assert f"\n  {code.value:<4} {code.name.lower()}" in said


def test_the_module_runs_as_a_process(whole: Path) -> None:
    assert run_process("verify", whole) == Said(0, f"{whole}: whole; 4 jobs, facts up to 7.\n", "")
    damage(segment(whole), 4)
    assert run_process("verify", whole).code == ExitCode.DAMAGED
    assert run_process("verify").code == ExitCode.USAGE


@pytest.fixture
def large(path: Path) -> Path:
    """Make a directory with more jobs than a pipe holds."""
    life = Life(path)
    life.submit(*(f"job-{number}" for number in range(20)), payload=b'[["%b"],{}]' % (b"x" * 20_000))
    life.close()
    return path


def test_reader_who_goes_ends_the_command_quietly(large: Path) -> None:
    started = process("export", large)
    assert started.stdout is not None
    assert started.stdout.read(10) == b'{"id":"job'
    started.stdout.close()
    assert started.wait(timeout=60) == ExitCode.UNHEARD
    assert started.stderr is not None
    assert started.stderr.read() == b""
    started.stderr.close()


def test_interrupt_ends_the_command_quietly(large: Path) -> None:
    started = process("export", large)
    assert started.stdout is not None
    assert started.stdout.read(10) == b'{"id":"job'
    started.send_signal(signal.SIGINT)  # while it waits for room in the pipe
    out, err = started.communicate(timeout=60)
    assert (started.returncode, err) == (ExitCode.INTERRUPTED, b"")
    assert len(out.splitlines()) < 20


def test_output_that_cannot_be_written_is_told(whole: Path) -> None:
    full = "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    said = run_process("verify", whole, before=full)
    assert said.code == ExitCode.UNREADABLE
    assert said.err == "python -m actorq verify: cannot write the output: No space left on device\n"


def test_names_from_the_files_cannot_do_anything_to_a_terminal(path: Path, run: Run) -> None:
    life = Life(path)
    life.submit("a\x1b[2J")
    life.submit("b", task="send\r\n")
    life.close()
    said = run("inspect", path)
    assert "a\\x1b[2J (send)" in said.out
    assert "send\\r\\n: " in said.out
    assert "\x1b" not in said.out


def test_paths_and_names_of_any_kind_are_shown_on_any_terminal(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xe4il-\xff-\xc3\xa9")
    life = Life(path)
    life.submit("jöb")
    life.close()
    for command in ALL:
        said = run_process(command, path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert (said.code, said.err) == (ExitCode.WHOLE, "")
    document = orjson.loads(run_process("inspect", path, "--json").out)
    assert document["path"].endswith("m\\udce4il-\\udcff-é")
    assert document["jobs"]["running"][0]["id"] == "jöb"


def test_instant_that_no_calendar_has_is_not_told() -> None:
    assert when(1e300) is None
    assert when(None) is None
    assert when(0.0) == "1970-01-01T00:00:00.000+00:00"
