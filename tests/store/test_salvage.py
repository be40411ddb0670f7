"""Of a damaged directory all is kept that can be read, what is missing is named, and it opens strictly from then on."""

from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import fields

from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import Failure, HoldReason, Job, JobOptions, JobState, Progress, Reason
from actorq.core.ledger import Ledger
from actorq.core.lifecycle import BY_DUE_TIME, TRANSITIONS
from actorq.core.picture import Totals
from actorq.core.retry import Retry
from actorq.errors import StoreCorrupt, StoreError, StoreTooNew
from actorq.store import salvage as module
from actorq.store.files import DiskFiles, Entry
from actorq.store.journal import MARK, Journal
from actorq.store.journal_codec import encode_mark
from actorq.store.recovery import Recovered, Report, recover
from actorq.store.salvage import keep_what_can_be_read, salvage
from actorq.store.segment import segment_name
from actorq.testing import Died, Fault, FaultyFiles, MemoryFiles

from .lives import EPOCH, Life, contents, make_odd, photograph, restore, state_of

FIRST = segment_name(1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.store.journal.RESERVE_BYTES", 0)


@pytest.fixture
def life(files: Any) -> Life:
    return Life(files)


def saved(files: Any) -> Recovered:
    """Return what salvage makes of a directory that strict recovery refuses; see that nothing was thrown away."""
    with pytest.raises(StoreCorrupt):
        recover(files)
    before = contents(files)
    found = salvage(files, "mail", wall=5.0, boot="boot")
    behind = contents(files)
    for name, data in before.items():
        if name.startswith(("wal", "snap", "mark")):
            assert behind[f"quarantine/{name}"] == data
    again = recover(files)
    assert state_of(again.ledger) == state_of(found.ledger)
    assert again.report.flaws == []
    assert found.report.has_loss
    return found


def lines(files: Any, name: str = FIRST) -> list[bytes]:
    return files.read(name).splitlines(keepends=True)


def spoil(files: Any, name: str, place: int, new: bytes = b"spoilt\n") -> None:
    """Let a line be another; the first is 0."""
    found = lines(files, name)
    found[place] = new
    files.put(name, b"".join(found))


# ── what is not damaged ──────────────────────────────────────────────────────────────────────────


def test_what_is_whole_is_opened_as_always(files: Any, life: Life) -> None:
    life.submit("a")
    other = files.copy()
    assert state_of(salvage(files, "mail", wall=1.0).ledger) == state_of(recover(other).ledger)
    assert contents(files) == contents(other)


def test_an_empty_directory_is_an_empty_queue(files: Any) -> None:
    assert salvage(files, "mail", wall=1.0).ledger.n == 0
    assert files.names() == []


def test_a_torn_tail_is_no_damage(files: Any, life: Life) -> None:
    life.submit("a")
    life.submit("b", sync=False)
    files.put(FIRST, files.read(FIRST)[:-5])
    found = salvage(files, "mail", wall=1.0)
    assert found.ledger.jobs.keys() == {"a"}
    assert not found.report.has_loss


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────


def test_for_a_damaged_snapshot_the_one_before_and_the_journal_lose_nothing(files: Any, life: Life) -> None:
    names = []
    for name in ("a", "b", "c"):
        life.submit(name)
        life.journal.rotate()
        names.append(photograph(life))
    life.finish("a")
    spoil(files, names[-1], 1)
    found = saved(files)
    assert found.ledger.jobs == life.machine.ledger.jobs
    assert found.report.snapshot == names[-2]
    assert found.report.missing == []
    assert found.report.doubtful == []
    assert f"DAMAGED: {names[-1]}, line 2: the checksum is wrong. It is now /memory/quarantine/{names[-1]}." in str(
        found.report
    )


def test_without_a_whole_snapshot_it_begins_empty_and_says_what_is_gone(
    files: Any, write: Any, make_job: Callable[..., Job]
) -> None:
    names = [write(files, 3, [make_job(1)]), write(files, 5, [make_job(1), make_job(5)])]
    for name in names:
        spoil(files, name, 1)
    found = saved(files)
    assert found.ledger.jobs == {}
    assert found.ledger.n == 6
    assert [flaw.name for flaw in found.report.flaws] == names[::-1]


def test_a_second_salvage_finds_another_name_in_the_quarantine(files: Any, life: Life) -> None:
    life.submit("a")
    life.submit("b")
    spoil(files, FIRST, 1)
    files.put(f"quarantine/{FIRST}", b"of an earlier time")
    files.put(f"quarantine/{FIRST}.2", b"of an earlier time")
    before = files.read(FIRST)
    files.make_directory("quarantine")
    salvage(files, "mail", wall=1.0)
    assert files.read(f"quarantine/{FIRST}.3") == before
    assert files.read(f"quarantine/{FIRST}") == b"of an earlier time"


# ── the journal ──────────────────────────────────────────────────────────────────────────────────


def test_a_lost_line_is_named_and_what_follows_is_kept(files: Any, life: Life) -> None:
    life.submit("a")
    life.submit("b")
    life.submit("c")
    spoil(files, FIRST, 2)
    found = saved(files)
    assert found.ledger.jobs.keys() == {"a", "c"}
    assert found.report.missing == [(3, 4)]
    assert (found.ledger.seq, found.ledger.removed) == (3, 1)
    assert "MISSING: facts 3 to 4." in str(found.report)


def test_a_job_whose_end_was_lost_runs_again(files: Any, life: Life) -> None:
    life.submit("a")
    life.finish("a")
    life.submit("b")
    spoil(files, FIRST, 2)
    found = saved(files)
    assert found.ledger.jobs["a"].state is JobState.RUNNING
    again = Life(files, recover(files).ledger)
    assert again.machine.ledger.jobs["a"].interruptions == 1


def test_a_job_of_which_only_the_end_is_left_is_named(files: Any, life: Life) -> None:
    life.submit("a")
    life.finish("a")
    spoil(files, FIRST, 1)
    found = saved(files)
    assert found.ledger.jobs == {}
    assert found.report.doubtful == ["a"]
    assert "Jobs that are in doubt, and may run again: a." in str(found.report)


@pytest.mark.parametrize("delay", [0.0, 3.0])
def test_a_job_that_ended_is_known_to_have_run(files: Any, life: Life, delay: float) -> None:
    life.machine.step([c.SetWorkers(1)], life.now)
    life.submit("busy")
    life.submit("a", delay=delay)
    life.finish("busy")
    life.now += 5.0
    life.do()
    life.finish("a")
    for place, line in enumerate(lines(files)):
        if b'"started"' in line and b'"id":"a"' in line and b"submitted" not in line:
            spoil(files, FIRST, place)
    found = saved(files)
    assert found.ledger.jobs["a"].state is JobState.SUCCEEDED
    assert found.report.doubtful[0] == "a"


@pytest.mark.parametrize("lost", [b'"became_due"', b'"retry_scheduled"'])
def test_a_job_whose_wait_was_lost_goes_on(files: Any, life: Life, lost: bytes) -> None:
    life.machine.step([c.SetWorkers(1)], life.now)
    life.submit("a")
    life.submit("busy")
    life.fail("a")
    life.now += 10.0
    life.do()
    life.finish("busy")
    life.finish("a")
    for place, line in enumerate(lines(files)):
        if lost in line:
            spoil(files, FIRST, place)
    found = saved(files)
    assert found.ledger.jobs["a"].state is JobState.SUCCEEDED
    assert "a" in found.report.doubtful


def test_a_job_that_was_removed_had_ended(files: Any, life: Life) -> None:
    for name in "abcde":
        life.submit(name)
        life.finish(name)
    removed = next(line for line in lines(files) if b'"removed","id":"a"' in line)
    for place, line in enumerate(lines(files)):
        if b'"succeeded","id":"a"' in line:
            assert line != removed
            spoil(files, FIRST, place)
    found = saved(files)
    assert "a" not in found.ledger.jobs
    assert found.report.doubtful[:1] == ["a"]


def test_what_cannot_have_happened_to_a_job_that_ended_is_passed_over(files: Any, life: Life, forge: Any) -> None:
    life.submit("a")
    life.finish("a")
    life.submit("b")

    def change(said: list[Any]) -> None:
        said[3]["facts"].insert(0, {"t": "progressed", "id": "a", "progress": {}})
        said[3]["facts"].insert(1, {"t": "became_due", "id": "a"})

    files.put(FIRST, forge(files.read(FIRST), change))
    found = saved(files)
    assert found.ledger.jobs["a"].state is JobState.SUCCEEDED
    assert found.ledger.jobs["b"]
    assert found.report.doubtful == ["a"]


@pytest.mark.parametrize("seq", [0, 1, 2**62])
def test_a_job_whose_place_in_the_order_cannot_be_gets_the_next_one(
    files: Any, life: Life, forge: Any, seq: int
) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
    files.put(FIRST, forge(files.read(FIRST), lambda said: said[2]["facts"][0].update(seq=seq)))
    found = saved(files)
    assert [job.seq for job in found.ledger.jobs.values()] == [1, 2, 3]
    assert found.report.doubtful == ["b"]


def test_times_that_go_back_are_brought_into_order(files: Any, life: Life, forge: Any) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
    files.put(FIRST, forge(files.read(FIRST), lambda said: said[2].update(at=1.0)))
    found = saved(files)
    assert found.ledger.jobs.keys() == {"a", "b", "c"}
    assert found.ledger.jobs["b"].submitted_at == found.ledger.jobs["a"].submitted_at


def test_a_missing_segment_is_named_and_the_others_are_kept(files: Any, life: Life) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
        life.journal.rotate()
    files.unlink(segment_name(3))
    found = saved(files)
    assert found.ledger.jobs.keys() == {"a", "c"}
    assert found.report.missing == [(3, 4)]


def test_a_missing_last_segment_is_known_by_the_witness(files: Any, life: Life) -> None:
    life.submit("a")
    life.journal.rotate()
    life.submit("b")
    life.journal.mark()
    files.unlink(segment_name(3))
    found = saved(files)
    assert found.ledger.jobs.keys() == {"a"}
    assert found.report.missing == [(3, 4)]
    assert found.ledger.n == 5, "a number that no fact has had"


def test_with_all_gone_but_the_witness_that_is_named(files: Any, life: Life) -> None:
    life.submit("a")
    life.journal.mark()
    files.unlink(FIRST)
    found = saved(files)
    assert [(flaw.name, flaw.moved_to) for flaw in found.report.flaws] == [(MARK, f"/memory/quarantine/{MARK}")]


def test_what_a_later_life_went_on_before_is_not_taken_up_again(files: Any, life: Life) -> None:
    life.submit("a")
    life.submit("b", sync=False)
    life.submit("c", sync=False)
    spoil(files, FIRST, 2)  # torn, and the line behind it is there by chance
    second = Life(files, recover(files).ledger)
    second.submit("d")
    second.submit("e")
    second.submit("f")
    spoil(files, segment_name(3), 3)
    assert saved(files).ledger.jobs.keys() == {"a", "d", "f"}


def test_a_snapshot_that_knows_a_segment_whole_makes_it_needless(files: Any, life: Life) -> None:
    life.submit("a")
    life.journal.rotate()
    photograph(life)
    files.put(FIRST, b"spoilt")
    life.submit("b")
    life.submit("c")
    spoil(files, segment_name(3), 1)
    found = saved(files)
    assert found.ledger.jobs.keys() == {"a", "c"}
    assert found.report.segments == 1


def test_lines_that_changed_their_places_are_brought_into_order(files: Any, life: Life) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
    header, *rest = lines(files)
    files.put(FIRST, b"".join([header, *reversed(rest)]))
    found = saved(files)
    assert list(found.ledger.jobs) == ["a", "b", "c"]
    assert found.report.missing == []
    assert "fact" in str(found.report), "what strict recovery stumbled over is told"


# ── what has been asked of jobs, of groups and of the queue ──────────────────────────────────────


SAMPLES: dict[str, Any] = {
    "due_at": EPOCH + 9.0, "seq": 2, "task": "mail", "payload": b"[]", "options": JobOptions(group="red"),
    "attempt": 2, "claim": 2, "worker": 1, "progress": Progress(0.5), "level": "info", "message": "", "data": b"",
    "failure": Failure(Reason.NO_TASK, "E"), "result": b"1", "seconds": 1.0,
}  # fmt: skip

KINDS = sorted({kind for _, kind in TRANSITIONS}, key=lambda kind: kind.__name__)

GONE = (f.Removed, f.Dropped)


def kept(job: Job, kind: type[f.Fact]) -> Job | None:
    """Return what becomes of the job if facts 6 to 8 are lost, and 9 is of this kind."""
    ledger = Ledger(Totals(5, EPOCH + 1.0, 1, 0), [job])
    fact = kind(EPOCH, job.id, **{one.name: SAMPLES[one.name] for one in fields(kind) if one.name in SAMPLES})
    fact.n = 9
    module._keep(ledger, fact, Entry(FIRST, True), Report(""))
    assert ledger.n == 9
    return ledger.jobs.get(job.id)


@pytest.fixture(params=[-5.0, 500.0])
def make_started(request: pytest.FixtureRequest, make_job: Callable[..., Job]) -> Callable[..., Job]:
    """Make a job in any state, due or not."""
    due_at = EPOCH + request.param

    def make(state: JobState, key: str | None = "k") -> Job:
        return make_job(1, state=state, key=key, due_at=due_at, attempt=1, claim=1, started_at=EPOCH, ended_at=EPOCH)

    return make


LIVE = [state for state in JobState if not state.is_final and state is not JobState.CREATED]
FINAL = [state for state in JobState if state.is_final]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (f.Submitted, f.Deduplicated, *GONE)])
@pytest.mark.parametrize("state", LIVE)
def test_whatever_is_lost_before_a_fact_a_live_job_is_then_where_that_leads(
    make_started: Callable[..., Job], kind: type[f.Fact], state: JobState
) -> None:
    job = kept(make_started(state), kind)
    targets = {start: target for (start, one), target in TRANSITIONS.items() if one is kind}
    allowed = {targets.get(state, BY_DUE_TIME), *(targets.values() if state not in targets else ())}
    if BY_DUE_TIME in allowed:
        allowed |= {JobState.SCHEDULED, JobState.QUEUED}
    assert job is not None
    assert job.state in allowed


@pytest.mark.parametrize("state", [*LIVE, *FINAL])
def test_whatever_is_lost_before_it_goes_a_job_that_is_gone_is_gone(
    make_started: Callable[..., Job], state: JobState
) -> None:
    for kind in GONE:
        assert kept(make_started(state), kind) is None


@pytest.mark.parametrize("state", [*LIVE, *FINAL])
def test_a_job_is_not_accepted_a_second_time_and_nothing_happens_to_what_is_asked_for_again(
    make_started: Callable[..., Job], state: JobState
) -> None:
    for kind in (f.Submitted, f.Deduplicated):
        assert kept(make_started(state), kind) == make_started(state)


@pytest.mark.parametrize("state", FINAL)
def test_a_job_that_ended_stays_so_if_it_is_not_known_that_it_was_run_anew(
    make_started: Callable[..., Job], state: JobState
) -> None:
    for kind in KINDS:
        if (state, kind) not in TRANSITIONS:
            assert kept(make_started(state), kind) == make_started(state)


@pytest.mark.parametrize("state", LIVE)
def test_a_job_without_a_key_is_held_up_by_nothing(make_started: Callable[..., Job], state: JobState) -> None:
    assert kept(make_started(state, None), f.Blocked) == make_started(state, None)


@pytest.mark.parametrize("claim", [0, 1, 2**62, 2**63])
def test_a_run_whose_number_does_not_grow_or_leaves_no_room_is_not_believed(
    make_started: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, claim: int
) -> None:
    monkeypatch.setitem(SAMPLES, "claim", claim)
    for state in LIVE:
        assert kept(make_started(state), f.Started) == make_started(state)


def test_a_job_that_was_edited_after_its_run_was_lost_is_the_edited_one(files: Any, life: Life) -> None:
    life.submit("a")
    life.fail("a")
    life.do(c.Edit("a", b"[[1],{}]", {"priority": 4}, 60.0))
    spoil(files, FIRST, 2)
    job = saved(files).ledger.jobs["a"]
    assert (job.payload, job.options.priority, job.state) == (b"[[1],{}]", 4, JobState.SCHEDULED)
    assert job.due_at == life.machine.ledger.jobs["a"].due_at


def test_a_job_that_was_paused_after_what_was_lost_does_not_run(files: Any, life: Life) -> None:
    life.submit("a")
    life.fail("a")
    life.do(c.Pause("a"))
    spoil(files, FIRST, 2)
    assert saved(files).ledger.jobs["a"].state is JobState.PAUSED


def test_a_job_whose_pause_was_lost_waits_for_its_time(files: Any, life: Life) -> None:
    life.submit("a", delay=60.0)
    life.do(c.Pause("a"))
    life.do(c.Resume("a"))
    spoil(files, FIRST, 2)
    job = saved(files).ledger.jobs["a"]
    assert (job.state, job.hold_reason) == (JobState.SCHEDULED, HoldReason.DELAY)
    assert job.due_at == life.machine.ledger.jobs["a"].due_at


def test_a_job_that_started_is_known_to_have_been_resumed(files: Any, life: Life) -> None:
    life.submit("a", delay=60.0)
    life.do(c.Pause("a"))
    life.do(c.Resume("a"))
    life.do(c.Promote("a"))
    life.finish("a")
    spoil(files, FIRST, 3, b"")
    job = saved(files).ledger.jobs["a"]
    assert job.state is JobState.SUCCEEDED


def test_a_job_whose_end_was_lost_before_it_was_run_anew_has_fresh_attempts(files: Any, life: Life) -> None:
    life.submit("a", retry=Retry(max_attempts=1))
    life.fail("a")
    life.do(c.Rerun("a", 60.0))
    spoil(files, FIRST, 2)
    job = saved(files).ledger.jobs["a"]
    assert (job.state, job.attempt, job.failure) == (JobState.SCHEDULED, 0, None)
    assert job.due_at == life.machine.ledger.jobs["a"].due_at
    (run,) = job.attempts
    assert run.failure is not None
    assert run.failure.message == "how it ended is lost"


def test_pauses_are_kept_and_an_end_of_one_that_is_not_known_is_passed_over(files: Any, life: Life) -> None:
    until = life.now + 500.0
    life.do(c.PauseAll("red"))
    life.do(c.PauseAll("blue"), c.PauseAll("green"))
    life.do(c.PauseAll(until=until))
    life.do(c.ResumeAll("red"), c.ResumeAll("green"))
    spoil(files, FIRST, 1)
    found = saved(files)
    assert found.ledger.pauses == {"blue": inf, "": until}
    assert found.report.doubtful == []


def test_an_end_of_a_pause_of_the_queue_that_is_not_known_is_passed_over(files: Any, life: Life) -> None:
    life.do(c.PauseAll())
    life.do(c.ResumeAll())
    life.do(c.PauseAll("red"))
    spoil(files, FIRST, 1)
    assert saved(files).ledger.pauses == {"red": inf}


def test_a_job_waits_for_no_run_that_is_not_known(files: Any, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.store.journal_codec.LINE_TARGET", 30)
    life.submit("old", key="k")
    life.finish("old")
    life.submit("a", key="k")
    life.submit("b", key="k")
    life.do(c.Rerun("old", clone_id="c"))
    life.finish("a")  # which lets b go on, in the next line
    life.submit("z")
    place = next(place for place, line in enumerate(lines(files)) if b'"unblocked"' in line)
    spoil(files, FIRST, place)
    spoil(files, FIRST, place + 1)
    found = saved(files)
    assert found.ledger.jobs["b"].state is JobState.QUEUED
    assert found.ledger.jobs["c"].hold_reason is HoldReason.KEY, "one at a time"
    again = Life(files, recover(files).ledger)
    assert list(again.machine.ledger.running) == ["b"]
    again.finish("b")
    assert list(again.machine.ledger.running) == ["c"]


def test_a_job_waits_for_a_run_that_is_known(files: Any, life: Life) -> None:
    life.submit("a", key="k")
    life.submit("b", key="k")
    life.submit("y")
    life.submit("z")
    spoil(files, FIRST, 3)
    assert saved(files).ledger.blocked.keys() == {("mail", "k")}


def test_a_job_that_has_no_key_waits_for_none(files: Any, life: Life, forge: Any) -> None:
    life.submit("a", delay=60.0)
    life.submit("b")

    def change(said: list[Any]) -> None:
        said[2]["facts"] = [{"t": "blocked", "id": "a"}]

    files.put(FIRST, forge(files.read(FIRST), change))
    assert saved(files).ledger.jobs["a"].hold_reason is HoldReason.DELAY


# ── the first line ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("header", [b"", b"\n", b"spoilt\n", b'{"t":"hdr","f":"actorq-journal"}\n', b"\0" * 50])
def test_without_a_header_the_salt_is_found_from_what_the_lines_agree_on(files: Any, life: Life, header: bytes) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
    spoil(files, FIRST, 0, header)
    found = saved(files)
    assert found.ledger.jobs == life.machine.ledger.jobs
    assert found.report.missing == []


def test_without_a_header_one_line_is_believed_if_it_says_something(files: Any, life: Life) -> None:
    life.submit("a")
    junk = b'{"n":junk,"c":"00000000"}\n'
    spoil(files, FIRST, 0, junk)
    assert saved(files).ledger.jobs.keys() == {"a"}


def test_without_a_header_and_a_whole_line_nothing_is_believed(files: Any, life: Life) -> None:
    life.submit("a")
    files.put(FIRST, b'{"n":junk,"c":"00000000"}\n' + b"junk\n" * 3)
    found = saved(files)
    assert found.ledger.jobs == {}


def test_not_all_lines_of_a_long_file_are_asked_for_the_salt(
    files: Any, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEEDS_LIMIT", 2)
    life.submit("a")
    files.put(FIRST, b"".join(b'{"n":%d,"c":"00000000"}\n' % n for n in range(9)) + files.read(FIRST))
    assert saved(files).ledger.jobs == {}


def test_two_lines_without_a_newline_between_are_two(files: Any, life: Life) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
    for place in range(4):
        found = files.copy()
        spoil(found, FIRST, place, lines(files)[place][:-1])
        if place < 3:
            assert saved(found).ledger.jobs == life.machine.ledger.jobs


def test_of_very_many_bad_lines_a_few_are_told(files: Any, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLAWS_LIMIT", 3)
    life.submit("a")
    life.submit("b")
    spoil(files, FIRST, 1, b"bad\n" * 50)
    assert len(saved(files).report.flaws) == 4


# ── what cannot be ───────────────────────────────────────────────────────────────────────────────


def test_a_file_that_cannot_be_read_keeps_what_came_before(files: Any, life: Life) -> None:
    life.submit("a")
    life.journal.rotate()
    life.submit("b")
    faulty = FaultyFiles(files)
    faulty.fail(Fault.ERROR, kind="blocks", name=segment_name(3), times=9)
    found = salvage(faulty, "mail", wall=1.0)
    assert found.ledger.jobs.keys() == {"a"}
    assert "it cannot be read" in str(found.report)


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "dangling"])
@pytest.mark.parametrize("name", [segment_name(3), "snap-00000000000000000009.jsonl"])
def test_what_only_has_the_name_of_ours_is_set_aside(tmp_path: Path, kind: str, name: str) -> None:
    disk = DiskFiles(tmp_path)
    life = Life(disk)
    life.submit("a")
    life.journal.abandon()
    make_odd(tmp_path / name, kind, FIRST)
    found = salvage(disk, "mail", wall=1.0)
    assert found.ledger.jobs.keys() == {"a"}
    assert name in {one.name for one in (tmp_path / "quarantine").iterdir()}
    assert (tmp_path / "quarantine").stat().st_mode & 0o777 == 0o700
    assert recover(disk).ledger.jobs.keys() == {"a"}


@pytest.mark.parametrize("n", [2**62, 2**63, 2**64, 10**20 - 1])
def test_numbers_that_cannot_be_are_not_believed(files: Any, life: Life, n: int) -> None:
    life.submit("a")
    before = contents(files)
    names = [segment_name(n), f"snap-{n:020}.jsonl"]
    for name in names:
        restore(files, before | {name: b"junk"})
        assert saved(files).ledger.jobs.keys() == {"a"}
    if n <= 2**63:
        restore(files, before | {MARK: encode_mark(n)})
        found = saved(files)
        assert found.ledger.jobs.keys() == {"a"}
        assert found.ledger.n < 100


@pytest.mark.parametrize("kind", ["snapshot", "journal"])
def test_a_later_version_is_refused_unchanged(files: Any, life: Life, forge: Any, kind: str) -> None:
    life.submit("a")
    name = photograph(life) if kind == "snapshot" else FIRST
    files.put(name, forge(files.read(name), lambda said: said[0].update(v=9)))
    before = contents(files)
    for way in (lambda: salvage(files, "mail", wall=1.0), lambda: keep_what_can_be_read(files)):
        with pytest.raises(StoreTooNew):
            way()
        assert contents(files) == before


def test_looking_changes_nothing(files: Any, life: Life) -> None:
    for name in ("a", "b", "c"):
        life.submit(name)
    spoil(files, FIRST, 2)
    before = contents(files)
    assert keep_what_can_be_read(files).ledger.jobs.keys() == {"a", "c"}
    assert contents(files) == before


# ── the way back ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def damaged(files: Any, life: Life) -> Any:
    """A directory of two segments with a line lost, and a witness that has seen it."""
    for name in ("a", "b", "c"):
        life.submit(name)
    life.journal.rotate()
    life.submit("d")
    life.journal.close()
    spoil(files, FIRST, 2)
    return files


@pytest.mark.parametrize("how", list(Fault))
def test_a_crash_or_an_error_at_any_step_loses_nothing(damaged: MemoryFiles, how: Fault) -> None:
    evidence = {name: data for name, data in contents(damaged).items() if name.startswith("wal")}
    at = 0
    while True:
        at += 1
        files = damaged.copy()
        faulty = FaultyFiles(files)
        faulty.fail(how, at=at)
        with suppress(Died, StoreError):
            salvage(faulty, "mail", wall=1.0)
        found = salvage(files, "mail", wall=1.0)
        is_unreadable = not how.is_death and faulty.log[at - 1 :] and faulty.log[at - 1].kind == "blocks"
        assert found.ledger.jobs.keys() >= (set() if is_unreadable else {"a", "c", "d"})
        assert recover(files).ledger.jobs.keys() == found.ledger.jobs.keys()
        kept = {name.removeprefix("quarantine/"): data for name, data in contents(files).items()}
        assert evidence.items() <= kept.items()
        if len(faulty.log) < at:
            break
    assert at > 30


def test_many_jobs_are_written_in_slices(files: Any, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    life.submit(*"abcdefg")
    life.submit("h")
    life.submit("i")
    spoil(files, FIRST, 2)
    found = saved(files)
    assert found.ledger.jobs.keys() == set("abcdefgi")


def test_the_life_after_it_goes_on_as_any_other(damaged: Any) -> None:
    second = Life(damaged, saved(damaged).ledger)
    second.submit("e")
    second.journal.close()
    assert state_of(recover(damaged).ledger) == state_of(second.machine.ledger)


def test_a_line_of_a_snapshot_is_written_as_salvage_found_the_job(files: Any, life: Life) -> None:
    life.submit("a", payload=orjson.dumps([["\u2028"], {"n": 1}]))
    life.submit("b")
    life.submit("c")
    spoil(files, FIRST, 2)
    assert saved(files).ledger.jobs["a"].payload == life.machine.ledger.jobs["a"].payload


def test_a_gap_before_all_is_named(files: Any) -> None:
    journal = Journal(files, "mail", 7, boot="", wall=lambda: 1.0)
    journal.open()
    files.unlink(MARK)
    assert saved(files).ledger.jobs == {}
