"""At a start: what was on the disk is folded, a torn tail is cut, and all else that is wrong is refused unchanged."""

import gc
from collections.abc import Callable
from copy import copy
from math import inf
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import Failure, HoldReason, Job, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.retry import Retry
from actorq.errors import StoreCorrupt, StoreError, StoreTooNew
from actorq.store import journal_codec
from actorq.store.files import DiskFiles
from actorq.store.journal import MARK, Journal
from actorq.store.journal_codec import encode_mark
from actorq.store.recovery import recover
from actorq.store.segment import segment_name
from actorq.testing import Fault, FaultyFiles, MemoryFiles

from .lives import BAD, EPOCH, PATIENT, Life, contents, controlled, ledger_of, make_odd, photograph, state_of

FORMATS = Path(__file__).parent / "formats"

FIRST = segment_name(1)

NEW = "snap-00000000000000000005.jsonl"

OLD = "snap-00000000000000000003.jsonl"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.store.journal.RESERVE_BYTES", 0)


@pytest.fixture
def two(files: Any, write: Any, make_job: Callable[..., Job]) -> Any:
    """A directory with two snapshots."""
    write(files, 3, [make_job(1)])
    write(files, 5, [make_job(1), make_job(5)])
    return files


def spoil(files: Any, name: str, old: bytes = b"mail", new: bytes = b"male") -> None:
    data = files.read(name)
    assert old in data
    files.put(name, data.replace(old, new, 1))


def refusal(files: Any) -> StoreCorrupt:
    """Return why the directory is refused, and see that it is left as it is."""
    before = contents(files)
    with pytest.raises(StoreCorrupt) as caught:
        recover(files)
    assert contents(files) == before
    return caught.value


# ── what is found ────────────────────────────────────────────────────────────────────────────────


def test_an_empty_directory_is_an_empty_queue(files: Any) -> None:
    found = recover(files)
    assert state_of(found.ledger) == state_of(Ledger())
    assert str(found.report) == "/memory: nothing is there, so the queue begins empty."


def test_the_newest_snapshot_is_loaded(two: Any, make_job: Any) -> None:
    before = contents(two)
    found = recover(two)
    assert state_of(found.ledger)[:2] == ((5, 1_700_000_100.5, 5, 3, {}), [make_job(1), make_job(5)])
    assert str(found.report) == (
        f"/memory: {NEW}, written at 2023-11-14 22:16:40+00:00, and 0 facts of 0 segments of the journal."
    )
    assert not found.report.has_loss
    assert contents(two) == before


def test_the_facts_of_a_journal_are_folded(files: Any) -> None:
    life = Life(files)
    life.submit("a", "b", "c")
    life.finish("a")
    life.fail("b")
    found = recover(files.copy())
    assert state_of(found.ledger) == state_of(life.machine.ledger) == state_of(ledger_of(life.facts))
    assert found.report.segments == 1
    assert found.report.replayed == found.ledger.n
    assert found.report.queue == "mail"
    assert found.report.journal_bytes == life.journal.size


def test_each_start_goes_on_in_a_segment_of_its_own_and_touches_no_other(files: Any) -> None:
    known = []
    for name in ("a", "b", "c"):
        life = Life(files, recover(files).ledger)
        life.submit(name)
        before = {name: data for name, data in contents(files).items() if name.startswith("wal")}
        assert known == [name for name in sorted(before) if name in known]
        assert len(before) == len(known) + 1
        known = sorted(before)
    found = recover(files)
    assert found.ledger.jobs.keys() == {"a", "b", "c"}
    assert found.report.segments == 3


def test_a_segment_in_which_nothing_was_written_is_removed_and_its_name_used_again(files: Any) -> None:
    Life(files)
    assert FIRST in files.names()
    recover(files)
    assert FIRST not in files.names()
    Life(files).submit("a")
    assert recover(files).ledger.n


@pytest.mark.parametrize("data", [b"", b"\0" * 30, b'{"t":"hdr","f":"actorq-jour'])
def test_a_segment_whose_header_was_never_finished_is_removed(files: Any, data: bytes) -> None:
    life = Life(files)
    life.submit("a")
    last = segment_name(life.machine.ledger.n + 1)
    files.put(last, data)
    assert state_of(recover(files).ledger) == state_of(life.machine.ledger)
    assert last not in files.names()


def test_the_facts_behind_a_snapshot_are_folded_into_it(files: Any) -> None:
    life = Life(files)
    life.submit("a", "b", "c")
    photograph(life)
    life.finish("a")
    life.submit("d")
    found = recover(files)
    assert state_of(found.ledger) == state_of(life.machine.ledger)
    assert found.report.replayed < found.ledger.n
    assert found.report.snapshot is not None


def test_a_segment_that_the_snapshot_knows_whole_is_not_read(files: Any) -> None:
    life = Life(files)
    life.submit("a")
    life.journal.rotate()
    old = files.read(FIRST)
    photograph(life)
    life.submit("b")
    files.put(FIRST, old.replace(b"mail", b"male"))
    found = recover(files)
    assert found.ledger.jobs.keys() == {"a", "b"}
    assert found.report.segments == 1


def test_an_ephemeral_job_has_its_facts_and_its_line(files: Any) -> None:
    life = Life(files)
    life.submit("a", ephemeral=True)
    life.submit("b")
    assert recover(files.copy()).ledger.jobs["a"].ephemeral
    photograph(life)
    life.finish("a")
    found = recover(files).ledger
    assert found.jobs["a"].state is JobState.SUCCEEDED
    assert state_of(found) == state_of(life.machine.ledger)


def test_an_older_snapshot_may_be_damaged(two: Any) -> None:
    spoil(two, OLD)
    assert recover(two).ledger.n == 5


def test_leftovers_are_removed_and_what_is_not_ours_is_not(two: Any) -> None:
    for name in (f"{NEW}.tmp", "mine.tmp", "snap-x.jsonl", f"x{NEW}", "wal-1.jsonl", f"{OLD}.tmp"):
        two.put(name, b"x")
    two.odd.add(f"{OLD}.tmp")
    assert recover(two).ledger.n == 5
    assert two.names() == sorted([OLD, NEW, f"{OLD}.tmp", "snap-x.jsonl", f"x{NEW}", "wal-1.jsonl"])


def test_what_is_built_on_is_settled_before_it_is_read(files: Any) -> None:
    life = Life(files)
    life.submit("a")
    photograph(life)
    life.journal.rotate()
    life.submit("b")
    life.journal.mark()
    faulty = FaultyFiles(files)
    recover(faulty)
    log = [(one.kind, one.name) for one in faulty.log]
    for _, name in [one for one in log if one[0] == "blocks"]:
        assert log.index(("settle", name)) < log.index(("blocks", name))
    assert log.index(("sync_directory", "")) < log.index(("blocks", MARK))


@pytest.mark.parametrize("kind", ["list", "sync_directory", "settle"])
def test_a_directory_that_fails_is_an_error(files: Any, kind: str) -> None:
    Life(files).submit("a")
    faulty = FaultyFiles(files)
    faulty.fail(Fault.ERROR, kind=kind)
    with pytest.raises(StoreError, match="as the test wanted it"):
        recover(faulty)


# ── what is paused, and what is derived ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("when", ["never", "before", "between", "behind"])
def test_pauses_keys_and_groups_are_what_they_were_by_snapshot_journal_and_both(files: Any, when: str) -> None:
    life = Life(files)
    if when == "before":
        photograph(life)
    controlled(life)
    if when == "between":
        photograph(life)
    life.do(c.PauseAll(until=life.now + 30.0), c.ResumeAll("blue"), c.Resume("d"))
    life.finish("a")
    if when == "behind":
        photograph(life)
    ledger = life.machine.ledger
    assert ledger.pauses.keys() == {"", "green"}
    assert set(ledger.paused) == {"c"}
    assert state_of(recover(files).ledger) == state_of(ledger)


def test_a_pause_ends_in_the_next_life_when_it_would_have_ended(files: Any) -> None:
    life = Life(files)
    life.do(c.PauseAll(until=life.now + 50.0), c.PauseAll("red"))
    life.submit("a")
    photograph(life)
    second = Life(files, recover(files).ledger)
    assert second.machine.ledger.jobs["a"].state is JobState.QUEUED
    second.now += 60.0
    second.do()
    assert second.machine.ledger.jobs["a"].state is JobState.RUNNING
    assert second.machine.ledger.pauses == {"red": inf}


def test_a_paused_job_keeps_all_that_it_had_over_starts(files: Any) -> None:
    life = controlled(Life(files))
    before = copy(life.machine.ledger.jobs["d"])
    photograph(life)
    second = Life(files, recover(files).ledger)
    assert second.machine.ledger.jobs["d"] == before
    second.do(c.Resume("d"))
    job = second.machine.ledger.jobs["d"]
    assert (job.state, job.hold_reason, job.due_at) == (JobState.SCHEDULED, HoldReason.DELAY, before.due_at)


def test_a_job_that_waits_for_its_key_goes_on_when_the_run_is_over_that_is_begun_again(files: Any) -> None:
    life = controlled(Life(files))
    assert life.machine.ledger.jobs["b"].hold_reason is HoldReason.KEY
    second = Life(files, recover(files).ledger)
    jobs = second.machine.ledger.jobs
    assert [jobs[name].state for name in "ab"].count(JobState.RUNNING) == 1
    running = next(name for name in "ab" if jobs[name].state is JobState.RUNNING)
    second.finish(running)
    other = jobs["b" if running == "a" else "a"]
    assert other.state is JobState.RUNNING


def test_of_two_running_jobs_with_one_key_each_is_interrupted_and_one_waits_for_the_other(
    files: Any, write: Any, make_job: Callable[..., Job]
) -> None:
    how = {"task": "mail", "key": "k", "options": JobOptions(group="red"), "attempt": 1, "claim": 1}
    running = how | {"state": JobState.RUNNING, "started_at": EPOCH}
    blocked = how | {"state": JobState.SCHEDULED, "hold_reason": HoldReason.KEY}
    write(files, 3, [make_job(1, **running), make_job(2, **running), make_job(3, **blocked)])
    life = Life(files, recover(files).ledger)
    ledger = life.machine.ledger
    assert [ledger.jobs[f"job-{n}"].interruptions for n in (1, 2, 3)] == [1, 1, 0]
    ended = []
    while ledger.running:
        assert state_of(recover(files.copy()).ledger) == state_of(ledger)
        (name,) = ledger.running
        ended.append(name)
        life.finish(name)
    assert sorted(ended) == ["job-1", "job-2", "job-3"]
    assert (ledger.running_keys, ledger.running_groups, ledger.blocked) == ({}, {}, {})


# ── a torn tail ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def torn(files: Any) -> Any:
    """A directory whose last line is torn, and nobody was told of it."""
    life = Life(files)
    life.submit("a")
    life.submit("b", sync=False)
    files.put(FIRST, files.read(FIRST)[:-10])
    return files


def test_a_torn_tail_is_cut_and_kept_and_the_file_is_not_touched(torn: Any) -> None:
    before = torn.read(FIRST)
    found = recover(torn)
    assert found.ledger.jobs.keys() == {"a"}
    assert torn.read(FIRST) == before
    (kept,) = (name for name in torn.names() if name.startswith("quarantine/"))
    assert before.endswith(torn.read(kept))
    assert torn.read(kept).startswith(b'{"n":3')
    assert not found.report.has_loss
    assert "torn tail: " + FIRST in str(found.report)


def test_a_torn_tail_is_kept_once_for_each_start_and_the_next_life_goes_on_before_it(torn: Any) -> None:
    recover(torn)
    life = Life(torn, recover(torn).ledger)
    life.submit("c")
    assert len([name for name in torn.names() if name.startswith("quarantine/")]) == 2
    found = recover(torn)
    assert found.ledger.jobs.keys() == {"a", "c"}
    assert found.report.flaws == []
    assert len([name for name in torn.names() if name.startswith("quarantine/")]) == 2


def test_a_torn_tail_is_kept_whole_however_it_is_read(torn: Any) -> None:
    whole = torn.read(FIRST)
    for torn.block in (1, 7, 100, 10_000):
        recover(torn)
    kept = {torn.read(name) for name in torn.names() if name.startswith("quarantine/")}
    assert kept == {whole[whole.index(b'{"n":3') :]}


@pytest.mark.parametrize("kind", ["make_directory", "create", "write", "sync"])
def test_evidence_that_cannot_be_kept_is_no_obstacle(torn: Any, kind: str) -> None:
    faulty = FaultyFiles(torn)
    faulty.fail(Fault.ERROR, kind=kind, name="quarantine*")
    assert recover(faulty).ledger.jobs.keys() == {"a"}


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


def test_damage_is_refused_with_the_place_and_what_to_do(two: Any) -> None:
    spoil(two, NEW, b"mail.send", b"mail.sent")
    two.put(f"{NEW}.tmp", b"x")
    error = refusal(two)
    assert error.path == f"/memory/{NEW}"
    assert error.line == 2
    assert str(error).startswith(f"/memory/{NEW}: line 2: the checksum is wrong.")
    assert "recovery='salvage'" in str(error)


def test_damage_in_the_journal_is_refused(files: Any) -> None:
    life = Life(files)
    life.submit("a")
    life.submit("b")
    spoil(files, FIRST, b'"id":"a"', b'"id":"A"')
    error = refusal(files)
    assert (error.path, error.line) == (f"/memory/{FIRST}", 2)


def test_a_missing_segment_is_refused(files: Any) -> None:
    life = Life(files)
    for name in ("a", "b", "c"):
        life.submit(name)
        life.journal.rotate()
    names = [name for name in files.names() if name.startswith("wal")]
    for name in names[:-1]:
        found = files.copy()
        found.unlink(name)
        assert "missing before it" in str(refusal(found)) or "the file ends before" in str(refusal(found))


def test_a_missing_last_segment_is_refused_if_the_witness_has_seen_it(files: Any) -> None:
    life = Life(files)
    life.submit("a")
    life.journal.mark()
    files.unlink(FIRST)
    error = refusal(files)
    assert error.path == "/memory"
    assert "the journal ends with fact 0, and fact 2 had been on the disk" in str(error)


def test_a_tail_that_vanished_whole_is_refused_if_the_witness_has_seen_it(files: Any) -> None:
    life = Life(files)
    life.submit("a")
    before = files.read(FIRST)
    life.submit("b")
    found = files.copy()
    found.put(FIRST, before)
    assert recover(found).ledger.jobs.keys() == {"a"}
    life.journal.mark()
    files.put(FIRST, before)
    assert refusal(files).path == f"/memory/{FIRST}"


def test_a_gap_between_snapshot_and_journal_is_refused(two: Any) -> None:
    journal = Journal(two, "mail", 7, boot="", wall=lambda: 1.0)
    journal.open()
    two.unlink(MARK)
    assert "facts 6 to 7 are missing before it" in str(refusal(two))


def test_a_snapshot_that_vanished_is_refused_if_the_witness_has_seen_further(two: Any) -> None:
    two.put(MARK, encode_mark(5))
    two.unlink(NEW)
    assert "fact 5 had been on the disk" in str(refusal(two))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"t":"submitted"', '"t":"requeued"', "it tells what cannot have happened: Requeued"),
        ('"seq":1', '"seq":2', "does not accept a job in turn"),
        ('"at":1700000002.25', '"at":1', "cannot follow"),
        ('"id":"b"', '"id":"a"', "it tells what cannot have happened: Submitted"),
        ('"t":"submitted","id":"b"', '"t":"queue_resumed"', "what is not paused cannot be resumed"),
        ('"t":"submitted"', '"t":"group_resumed","group":"red"', "what is not paused cannot be resumed"),
        ('"t":"submitted","id":"b"', '"t":"deduplicated","id":"b"', "it tells what cannot have happened: Deduplicated"),
    ],
)
def test_facts_that_cannot_have_happened_are_refused(files: Any, forge: Any, old: str, new: str, why: str) -> None:
    life = Life(files)
    life.submit("a")
    life.submit("b")

    def change(lines: list[Any]) -> None:
        lines[1:] = [orjson.loads(orjson.dumps(line).replace(old.encode(), new.encode())) for line in lines[1:]]

    if old.startswith('"at"'):
        old = f'"at":{EPOCH + 3}'
    files.put(FIRST, forge(files.read(FIRST), change))
    assert why in str(refusal(files))


def test_two_jobs_of_one_id_are_refused(two: Any, forge: Any) -> None:
    two.put(NEW, forge(two.read(NEW), lambda lines: lines[2].update(id="job-1")))
    assert "line 3: job job-1 is there twice" in str(refusal(two))


@pytest.mark.parametrize("kind", ["snapshot", "journal"])
def test_a_later_version_is_refused_unchanged(files: Any, forge: Any, kind: str) -> None:
    life = Life(files)
    life.submit("a")
    name = photograph(life) if kind == "snapshot" else FIRST
    files.put(name, forge(files.read(name), lambda lines: lines[0].update(v=9)))
    before = contents(files)
    supported = 4 if kind == "snapshot" else 3
    with pytest.raises(StoreTooNew, match=f"format version 9, but this actorq reads up to {supported}"):
        recover(files)
    assert contents(files) == before


@pytest.mark.parametrize("wall", [-1e300, 1e300, -6e10, 2.6e11, 1e15])
def test_a_clock_that_was_wrong_is_no_obstacle(two: Any, forge: Any, wall: float) -> None:
    two.put(NEW, forge(two.read(NEW), lambda lines: lines[0].update(wall=wall)))
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
        refusal(two)
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "dangling"])
@pytest.mark.parametrize("name", [NEW, segment_name(1)])
def test_what_only_has_the_name_of_ours_is_damage_and_nobody_waits(
    tmp_path: Path, write: Any, make_job: Callable[..., Job], kind: str, name: str
) -> None:
    disk = DiskFiles(tmp_path)
    write(disk, 3, [make_job(1)])
    make_odd(tmp_path / name, kind, OLD)
    with pytest.raises(StoreCorrupt, match="line 1: this is no regular file"):
        recover(disk)


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot list it"):
        recover(DiskFiles(tmp_path / "nothing"))


# ── files of earlier releases ────────────────────────────────────────────────────────────────────


def golden(files: Any, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Live a life in which there is something of everything."""
    monkeypatch.setattr("actorq.store.journal.draw_salt", lambda: 0xDECADE)
    monkeypatch.setattr("actorq.store.journal_codec.LINE_TARGET", 300)
    life = Life(files)

    def claim(name: str) -> int:
        return life.machine.ledger.jobs[name].claim

    life.submit("a", "b", "c", "d", payload=b'[["\xc3\xa9"],{"n":1e-7}]')
    life.submit("e", delay=60.0)
    life.submit("f", ephemeral=True)
    life.do(c.ShowProgress("a", claim("a"), 0.5, message="half"))
    life.do(c.Log("a", claim("a"), "info", "hello", b'{"a":1}'), c.Log("a", claim("a"), "info", "bye", b""))
    life.fail("a")
    life.do(c.Cancel("b", "enough"))
    life.do(c.Quit("b", claim("b"), "I stop"))
    life.do(c.Snooze("c", claim("c"), 2.0))
    life.do(c.Park("d", claim("d"), Failure(Reason.BAD_PAYLOAD, "Misfit")))
    life.do(c.Submit((c.NewJob("g", "gone", b"[]", life.machine.ledger.jobs["a"].options),)))
    life.now += 10.0
    life.do()
    life.do(c.Cancel("e", ""))
    life.do(c.Rerun("b"))
    life.do(c.Withdraw(("f",)))
    life.do(c.Recover())
    return life


def golden_of_version_2(files: Any, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Go on with it: what was not there before."""
    life = golden(files, monkeypatch)
    options = JobOptions(group="red", dead_letter="bury", retry=Retry(max_attempts=1), timeout=9.0)
    life.do(c.SetGroup("red", 1), c.PauseAll("red"), c.PauseAll("", until=EPOCH + 1e6))

    def keyed(name: str) -> c.NewJob:
        return c.NewJob(name, "mail", b"[]", options, key="k", on_conflict="keep_last")

    life.do(c.Submit((keyed("h"), keyed("i"))), c.Submit((c.NewJob("j", "mail", b"[]", options, key="k"),)))
    life.do(c.Pause("i"), c.Edit("i", b"[1]", {"priority": 7}, 5.0))
    life.do(c.Resume("i"), c.Promote("i"), c.Edit("i", None, {}, 0.0), c.ResumeAll("red"), c.ResumeAll())

    def clear() -> None:
        while names := [name for name in life.machine.ledger.running if name != "i"]:
            life.finish(names[0])

    clear()
    claim = life.machine.ledger.jobs["i"].claim
    life.do(c.SetGroup("red", 2), c.Extend("i", claim, 2.5), c.Submit((keyed("l"),)))  # it is blocked by i
    clear()
    life.do(c.Fail("i", claim, BAD))
    waiting = c.NewJob("n", "mail", b"[]", options, 99.0, key="n", on_conflict="replace")
    life.do(c.Submit((waiting,)), c.Submit((evolve(waiting, id="o"),)), c.Withdraw(("o",)), c.Cancel("n"))
    life.do(c.Rerun("i", 3.0), c.Rerun("h", clone_id="m"), c.Remove("h"))
    clear()
    silent = JobOptions(heartbeat_timeout=0.5, retry=Retry(max_attempts=1))
    life.do(
        c.Submit((c.NewJob("s", "mail", b"[]", silent), c.NewJob("x", "mail", b"[]", JobOptions(expires=1.0), 9.0)))
    )
    life.do()
    clear()
    life.submit("z")
    life.do(c.Halt(1.0))
    for name, job in list(life.machine.ledger.running.items()):
        life.do(c.Quit(name, job.claim, ""))
    return life


def golden_of_version_3(files: Any, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Go on with it: what dies, and how."""
    life = golden_of_version_2(files, monkeypatch)
    for name in list(life.machine.ledger.running):
        life.finish(name)

    def die(name: str, reason: Reason) -> None:
        failure = Failure(reason, "ProcessDied", "exit code 9", attempt=1, at=life.now)
        life.do(c.Crash(name, life.machine.ledger.jobs[name].claim, failure))

    bounded = evolve(PATIENT, run_in="process", memory_mb=64, max_interruptions=2, max_snoozes=0)
    life.do(c.Submit(tuple(c.NewJob(name, "mail", b"[]", bounded) for name in ("p", "q"))))
    life.do(c.ReportBlock("p", 1.5, "File …"), c.ReportBlock("", 0.75, ""))
    die("p", Reason.KILLED)
    die("q", Reason.BAD_EXIT)  # with the worker that a silent job held, too many of the task
    life.now += 9.0
    life.do()
    life.do(c.ResumeTask("mail"))
    life.do(c.Snooze("p", life.machine.ledger.jobs["p"].claim, 1.0))
    die("q", Reason.BAD_EXIT)
    life.submit("r")
    life.do(c.Bury(life.machine.ledger.jobs["r"].worker, "a bug"))
    return life


def without_causes(facts: list[f.Fact]) -> list[f.Fact]:
    """Return what earlier versions told of these facts: not how a run was interrupted."""
    told = [copy(fact) for fact in facts]
    for fact in told:
        if isinstance(fact, f.Interrupted):
            fact.failure = None
    return told


@pytest.mark.parametrize(("version", "live"), [(1, golden), (2, golden_of_version_2)], ids=["v1", "v2"])
def test_earlier_versions_of_the_journal_are_read_for_ever(
    files: Any, monkeypatch: pytest.MonkeyPatch, version: int, live: Callable[..., Life]
) -> None:
    life = live(MemoryFiles(), monkeypatch)
    files.put(FIRST, (FORMATS / f"journal-v{version}.jsonl").read_bytes())
    found = recover(files)
    assert state_of(found.ledger) == state_of(ledger_of(without_causes(life.facts)))
    assert found.report.flaws == []


def test_version_3_of_the_journal_is_read_for_ever(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    life = golden_of_version_3(MemoryFiles(), monkeypatch)
    files.put(FIRST, (FORMATS / "journal-v3.jsonl").read_bytes())
    found = recover(files)
    assert state_of(found.ledger) == state_of(ledger_of(life.facts))
    assert found.report.flaws == []


def test_version_3_of_the_journal_is_what_we_write(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, what is written has changed: is it still read by the last release?"""
    life = golden_of_version_3(files, monkeypatch)
    life.journal.close()
    assert files.read(FIRST) == (FORMATS / "journal-v3.jsonl").read_bytes()


def test_there_is_something_of_every_fact_in_the_golden_journal(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {type(fact) for fact in golden_of_version_3(files, monkeypatch).facts}
    assert {kind.__name__ for kind in journal_codec._WRITERS} - {kind.__name__ for kind in kinds} == set()


def test_there_is_something_of_every_new_reason_in_the_golden_journal(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [getattr(fact, "failure", None) for fact in golden_of_version_3(files, monkeypatch).facts]
    reasons = {failure.reason for failure in failures if failure is not None}
    assert reasons >= {Reason.KILLED, Reason.BAD_EXIT, Reason.INTERRUPTED, Reason.SNOOZED, Reason.TASK_PAUSED}
