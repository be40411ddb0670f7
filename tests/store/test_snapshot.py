"""Writing: whole or absent, whatever fails at whichever step. Reading: no damage passes for truth."""

from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from actorq.config import LINE_LIMIT
from actorq.core.facts import Submitted
from actorq.core.job import (
    Attempt,
    Failure,
    HoldReason,
    Job,
    JobOptions,
    JobState,
    Progress,
    Reason,
)
from actorq.core.ledger import Ledger
from actorq.core.picture import Totals
from actorq.core.retry import Retry
from actorq.errors import StoreError
from actorq.store import line as line_module
from actorq.store import snapshot as module
from actorq.store.files import DiskFiles, MediumError
from actorq.store.line import Damage, NewerVersion
from actorq.store.recovery import recover
from actorq.store.snapshot import SnapshotReader, SnapshotWriter, put_in_place, rest
from actorq.store.snapshot_codec import VERSION
from actorq.testing import Died, Fault, FaultyFiles

NAME = "snap-00000000000000000003.jsonl"

FORMATS = Path(__file__).parent / "formats"


@pytest.fixture
def jobs(make_job: Callable[..., Job]) -> list[Job]:
    return [make_job(1), make_job(3, state=JobState.SUCCEEDED, ended_at=1.7e9, result=b"[1,2]")]


@pytest.fixture
def data(files: Any, write: Any, jobs: list[Job]) -> bytes:
    """A small snapshot."""
    write(files, 3, jobs)
    return files.read(NAME)


def read(files: Any, name: str = NAME) -> list[Job]:
    return list(SnapshotReader(files, name).jobs())


def refusal(files: Any, data: bytes) -> Damage:
    files.put(NAME, data)
    with pytest.raises(Damage) as caught:
        read(files)
    return caught.value


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def test_what_is_written_is_read(files: Any, write: Any, jobs: list[Job]) -> None:
    assert write(files, 3, jobs) == NAME
    assert files.names() == [NAME]
    reader = SnapshotReader(files, NAME)
    assert list(reader.jobs()) == jobs
    assert reader.header.queue == "mail"
    assert reader.header.removed == 1
    assert reader.footer.upto == 3
    assert reader.line == 4
    assert reader.size == len(files.read(NAME))


def test_a_ledger_comes_back_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger()
    for seq in range(1, 7):
        fact = Submitted(1.5 * seq, f"j{seq}", 1.5 * seq, seq, "t", b"[[],{}]", JobOptions(), seq % 3 == 0)
        fact.payload = b"" if fact.ephemeral else fact.payload
        fact.n = seq
        ledger.apply(fact)
    picture = ledger.picture()
    disk = DiskFiles(tmp_path)
    writer = SnapshotWriter(disk, picture.totals, "mail", wall=1.0)
    writer.begin()
    while some := picture.take(2):
        writer.write(writer.encode(some))
    writer.finish()
    assert writer.count == 6
    assert writer.size == (tmp_path / writer.name).stat().st_size

    again = recover(disk).ledger
    assert (again.n, again.now, again.seq, again.removed) == (6, 9.0, 6, 0)
    assert again.jobs == ledger.jobs
    assert again.seq == again.live + again.removed


def test_an_empty_ledger_makes_a_snapshot_too(files: Any, write: Any) -> None:
    name = write(files, 0, [])
    assert name == "snap-00000000000000000000.jsonl"
    assert read(files, name) == []


def test_files_are_for_their_owner_alone(tmp_path: Path, write: Any, jobs: list[Job]) -> None:
    write(DiskFiles(tmp_path), 3, jobs)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_the_last_two_generations_are_kept(files: Any, write: Any, jobs: list[Job]) -> None:
    files.put("snap-1.jsonl", b"not ours")
    files.put("lock")
    for n in (3, 5, 9, 9, 12):
        write(files, n, jobs)
    assert files.names() == [
        "lock",
        "snap-00000000000000000009.jsonl",
        "snap-00000000000000000012.jsonl",
        "snap-1.jsonl",
    ]


def test_segments_go_that_neither_of_the_two_generations_needs(files: Any, write: Any, jobs: list[Job]) -> None:
    segments = {first: f"wal-{first:020}.jsonl" for first in (1, 3, 4, 6, 10)}
    for name in segments.values():
        files.put(name)
    for n in (3, 5):
        write(files, n, jobs)
    assert segments.keys() - {1, 3} == {first for first, name in segments.items() if name in files.names()}
    write(files, 9, jobs)
    assert [name for name in files.names() if name.startswith("wal")] == [segments[6], segments[10]]


def test_what_only_has_the_name_of_ours_is_not_removed(files: Any, write: Any, jobs: list[Job]) -> None:
    odd = {"snap-00000000000000000001.jsonl", "wal-00000000000000000001.jsonl"}
    for name in (*odd, "wal-00000000000000000002.jsonl", "wal-00000000000000000003.jsonl"):
        files.put(name)
    files.odd |= odd
    for n in (3, 5, 9):
        write(files, n, jobs)
    assert odd < set(files.names())
    assert "wal-00000000000000000002.jsonl" not in files.names()


def test_a_completed_snapshot_is_nothing_until_it_is_put_in_place(files: Any, write: Any, jobs: list[Job]) -> None:
    for n in (3, 5):
        write(files, n, jobs)
    writer = SnapshotWriter(files, Totals(9, 1.0, 3, 1), "mail", wall=1.0)
    writer.begin()
    writer.write(writer.encode(jobs))
    writer.complete(lambda: None)
    before = files.copy()
    assert recover(before).ledger.n == 5
    put_in_place(files, writer.name, remove=False)
    assert len(files.names()) == 3
    assert recover(files).ledger.n == 9


def test_a_snapshot_of_the_same_moment_takes_the_place_of_the_first(files: Any, write: Any, jobs: list[Job]) -> None:
    write(files, 3, jobs)
    write(files, 3, jobs, salt=99)
    assert files.names() == [NAME]
    assert b'"salt":99' in files.read(NAME)
    assert read(files) == jobs


def test_a_snapshot_can_be_abandoned_at_any_time(files: Any, jobs: list[Job]) -> None:
    writer = SnapshotWriter(files, Totals(3, 1.0, 3, 1), "mail", wall=1.0)
    writer.abandon()
    writer.begin()
    writer.write(writer.encode(jobs))
    writer.abandon()
    assert files.names() == []
    writer.begin()
    assert files.names() == [NAME + ".tmp"]


def test_a_file_left_beside_is_replaced(files: Any, write: Any, jobs: list[Job]) -> None:
    files.put(NAME + ".tmp", b"half of a snapshot of an earlier life")
    write(files, 3, jobs)
    assert read(files) == jobs


@pytest.mark.parametrize("lie", ["flipped", "lost", "another"])
def test_what_cannot_be_read_back_is_not_put_in_place(files: Any, write: Any, jobs: list[Job], lie: str) -> None:
    write(files, 3, jobs)
    another = files.read(NAME)
    writer = SnapshotWriter(files, Totals(3, 1.0, 3, 1), "mail", wall=1.0)
    writer.begin()
    writer.write(writer.encode(jobs))

    def settle(name: str) -> None:
        written = files.read(name)
        found = {"flipped": written.replace(b"mail.send", b"mail.sent"), "lost": written[:-100], "another": another}
        files.put(name, found[lie])

    files.settle = settle
    with pytest.raises(StoreError, match="was not read back as it was meant"):
        writer.finish()
    writer.abandon()
    assert files.names() == [NAME]
    assert files.read(NAME) == another


def test_reading_back_rests_between_turns(files: Any, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[None] = []
    times = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times) / 1000)
    writer = SnapshotWriter(files, Totals(3, 1.0, 3, 1), "mail", wall=1.0)
    writer.begin()
    writer.write(writer.encode(jobs))
    writer.finish(lambda: turns.append(None))
    assert len(turns) == 2


def test_resting_takes_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    rest()
    assert slept == [0.001]


# ── a crash at every step ────────────────────────────────────────────────────────────────────────


def _fail_at_each_step(
    files: Any, write: Any, make_job: Callable[..., Job], how: Fault
) -> Iterator[tuple[Any, FaultyFiles]]:
    """Yield, for each operation of writing a third snapshot, the directory in which it fails so."""
    for n in (3, 5):
        write(files, n, [make_job(n)])
    at = 0
    while True:
        at += 1
        found = files.copy()
        faulty = FaultyFiles(found)
        faulty.fail(how, at=at)
        yield found, faulty
        if len(faulty.log) < at:
            return


@pytest.mark.parametrize("how", [how for how in Fault if how.is_death])
def test_a_crash_at_any_step_leaves_the_old_snapshot_or_the_new_one(
    files: Any, write: Any, make_job: Callable[..., Job], how: Fault
) -> None:
    outcomes: list[int] = []
    for found, faulty in _fail_at_each_step(files, write, make_job, how):
        try:
            write(faulty, 9, [make_job(9)])
        except Died:
            recovered = recover(found)
            assert recovered.report.flaws == []
            assert list(recovered.ledger.jobs.values()) == [make_job(recovered.ledger.n)]
            assert not [name for name in found.names() if name.endswith(".tmp")]
            outcomes.append(recovered.ledger.n)
        write(found, 9, [make_job(9)])
        assert recover(found).ledger.n == 9
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {5, 9}
    assert len(outcomes) == 13


@pytest.mark.parametrize("how", [how for how in Fault if not how.is_death])
def test_an_error_at_any_step_leaves_a_whole_snapshot_and_the_next_one_succeeds(
    files: Any, write: Any, make_job: Callable[..., Job], how: Fault
) -> None:
    failed = 0
    for found, faulty in _fail_at_each_step(files, write, make_job, how):
        writer = SnapshotWriter(faulty, Totals(9, 1.0, 9, 8), "mail", wall=1.0)
        try:
            _write_all(writer, [make_job(9)])
        except StoreError:
            failed += 1
            writer.abandon()
        assert not [name for name in found.names() if name.endswith(".tmp")]
        assert recover(found).ledger.n in {5, 9}
        write(found, 9, [make_job(9)])
        assert recover(found).ledger.n == 9
    assert failed == 13


def _write_all(writer: SnapshotWriter, jobs: list[Job]) -> None:
    writer.begin()
    writer.write(writer.encode(jobs))
    writer.finish(lambda: None)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


def test_every_cut_is_refused(files: Any, data: bytes) -> None:
    for size in range(len(data)):
        refusal(files, data[:size])


def test_every_flipped_bit_is_refused(files: Any, data: bytes) -> None:
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            refusal(files, bytes(changed))


def test_every_byte_dropped_or_doubled_is_refused(files: Any, data: bytes) -> None:
    for place in range(len(data)):
        refusal(files, data[:place] + data[place + 1 :])
        refusal(files, data[:place] + b"\n" + data[place:])


def test_lines_dropped_doubled_or_swapped_are_refused(files: Any, data: bytes) -> None:
    lines = data.splitlines(keepends=True)
    for place in range(len(lines)):
        refusal(files, b"".join(lines[:place] + lines[place + 1 :]))
        refusal(files, b"".join([*lines[:place], lines[place], *lines[place:]]))
        for other in range(place):
            swapped = lines.copy()
            swapped[place], swapped[other] = swapped[other], swapped[place]
            refusal(files, b"".join(swapped))


def test_runs_of_nul_are_refused(files: Any, data: bytes) -> None:
    for start in range(0, len(data), 7):
        for size in (1, 64, 4096):
            refusal(files, (data[:start] + bytes(size) + data[start + size :])[: len(data)])
        refusal(files, data[:start] + bytes(64))
    refusal(files, data + bytes(64))


def test_a_snapshot_read_in_small_pieces_is_the_same(files: Any, data: bytes, jobs: list[Job]) -> None:
    assert data
    for files.block in (1, 2, 16, 100):
        assert read(files) == jobs


def test_damage_says_in_which_line_it_is(files: Any, data: bytes) -> None:
    lines = data.splitlines(keepends=True)
    assert refusal(files, b"").line == 1
    assert refusal(files, b"\n" + data).line == 1
    assert refusal(files, data.replace(b"job-3", b"job-4")).line == 3
    assert refusal(files, data[:-1]).why == "the line is cut off"
    assert refusal(files, b"".join(lines[:2])).why == "the file ends without its last line"
    assert refusal(files, data + b"{}\n").why == "the file goes on behind its last line"


def test_a_line_without_end_is_not_read_to_its_end(files: Any, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(name: str) -> Iterator[bytes]:
        yield data[:50]
        while True:
            yield bytes(LINE_LIMIT)

    files.blocks = endless
    monkeypatch.setattr(line_module, "JUNK_LIMIT", 10 * LINE_LIMIT)
    with pytest.raises(Damage, match="the line has no end") as caught:
        read(files)
    assert caught.value.line == 1


def test_a_whole_line_that_is_too_long_is_refused(files: Any, data: bytes) -> None:
    damage = refusal(files, data + b"x" * LINE_LIMIT + b"\n")
    assert (damage.line, damage.why) == (5, "the line is too long")


def test_a_disk_that_cannot_read_is_damage(files: Any, data: bytes) -> None:
    def broken(name: str) -> Iterator[bytes]:
        yield data[:-10]
        raise MediumError(name, "cannot read it")

    files.blocks = broken
    with pytest.raises(Damage, match=r"it cannot be read: .* cannot read it") as caught:
        read(files)
    assert caught.value.line == 4


def test_a_file_under_the_name_of_another_is_refused(files: Any, data: bytes) -> None:
    other = "snap-00000000000000000004.jsonl"
    files.put(other, data)
    with pytest.raises(Damage, match="the name of another"):
        read(files, other)


# ── sound lines that do not fit together ─────────────────────────────────────────────────────────

HEADER, FIRST, SECOND, FOOTER = range(4)


@pytest.mark.parametrize(
    "case",
    [
        (HEADER, {"n": "3"}, "n is not a whole number"),
        (HEADER, {"n": 4}, "the name of another"),
        (HEADER, {"seq": 2}, "seq 3 is not in its order"),
        (HEADER, {"seq": 2**60}, "does not balance"),
        (HEADER, {"removed": 0}, "does not balance"),
        (HEADER, {"salt": 0}, "the checksum is wrong"),
        (FIRST, {"seq": 0}, "seq 0 is not in its order"),
        (SECOND, {"seq": 1}, "seq 1 is not in its order"),
        (SECOND, {"seq": "3"}, "seq is not a whole number"),
        (SECOND, {"attempts": None}, "attempts is not a list"),
        (SECOND, {"ended_at": None}, "ended_at is not a number"),
        (SECOND, {"t": "jot"}, "there are 1 jobs"),
        (SECOND, {"t": None}, "there are 1 jobs"),
        (SECOND, {"t": "jot", "must": True}, "must be understood"),
        (FOOTER, {"t": "job"}, "id is missing"),
        (FOOTER, {"t": "fin"}, "ends without its last line"),
        (FOOTER, {"count": 2**60}, "there are 2 jobs"),
        (FOOTER, {"left_out": 1}, "does not balance"),
        (FOOTER, {"upto": 2}, "knows less"),
        (FOOTER, {"digest": "00000000"}, "the digest of the file is wrong"),
        (FOOTER, {"digest": 5}, "digest is not a text"),
    ],
)
def test_nonsense_under_right_checksums_is_refused(
    files: Any, data: bytes, forge: Any, case: tuple[int, dict[str, Any], str]
) -> None:
    place, fields, why = case
    assert forge(data, lambda lines: None) == data
    assert why in refusal(files, forge(data, lambda lines: lines[place].update(fields))).why


def test_a_later_version_is_not_damage(files: Any, data: bytes, forge: Any) -> None:
    files.put(NAME, forge(data, lambda lines: lines[HEADER].update(v=VERSION + 1)))
    with pytest.raises(NewerVersion):
        read(files)


def test_fields_and_lines_that_are_not_known_are_passed_over(
    files: Any, data: bytes, forge: Any, jobs: list[Job]
) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line["colour"] = {"t": "end"}
        lines.insert(2, {"t": "note", "text": "hello", "must": False})

    files.put(NAME, forge(data, change))
    assert read(files) == jobs


# ── files of earlier releases ────────────────────────────────────────────────────────────────────

GOLDEN = [
    Job(
        "0198c0de",
        2,
        "mail.send",
        b'[["ada@example.org"],{"cc":null,"n":18446744073709551615,"x":1e-7}]',
        JobOptions(
            priority=10,
            retry=Retry(5, 2.5, "linear", 3.0, 600.0, 0.25, ["builtins.OSError"], ["a.B"]),
            timeout=30.0,
            heartbeat_timeout=5.5,
            expires=60.0,
            deadline=3600.0,
            grace=1.0,
            tags={"tenant": "é\u2028", 'odd","c":"00000000"}': ""},
            dead_letter=True,
        ),
        JobState.RUNNING,
        1_700_000_000.123456,
        1_700_000_005.5,
        attempt=2,
        claim=3,
        worker=7,
        interruptions=1,
        snoozes=1,
        limits_from=1_700_000_001.0,
        first_started_at=1_700_000_000.25,
        started_at=1_700_000_006.0,
        stalled=True,
        cancel_requested="enough",
    ),
    Job(
        "0198c0df",
        3,
        "mail.send",
        b"[[],{}]",
        JobOptions(),
        JobState.SUCCEEDED,
        1_700_000_001.0,
        1_700_000_001.0,
        limits_from=1_700_000_001.0,
        attempt=1,
        claim=1,
        worker=1,
        first_started_at=1_700_000_001.5,
        started_at=1_700_000_001.5,
        ended_at=1_700_000_002.0,
        result=b"null",
    ),
]


def golden_jobs() -> list[Job]:
    failure = Failure(Reason.ERROR, "OSError", "no route", "Traceback …", 1, 1_700_000_002.5)
    run = Attempt(1, 1, 4, 1_700_000_000.25, 1_700_000_002.5, "retry_scheduled", failure)
    first = evolve(
        GOLDEN[0],
        failure=failure,
        progress=Progress(0.5, 5.0, 10.0, "half"),
        attempts=(run, evolve(run, failure=None, outcome="snoozed")),
        log=((1_700_000_006.5, "info", "hello", b'{"a":1}'), (1_700_000_006.75, "info", "x", b"")),
    )
    held = evolve(
        GOLDEN[1],
        id="0198c0e0",
        seq=5,
        state=JobState.SCHEDULED,
        hold_reason=HoldReason.NO_TASK,
        ended_at=None,
        result=None,
        failure=Failure(Reason.NO_TASK, "UnknownTask"),
    )
    ephemeral = evolve(GOLDEN[1], id="0198c0e1", seq=6, ephemeral=True, payload=b"")
    return [first, GOLDEN[1], held, ephemeral]


def golden_jobs_of_version_3() -> list[Job]:
    jobs = golden_jobs()
    linked = JobOptions(group="red", dead_letter="bury", retry=Retry(initial=0.0, spread=3.0))
    paused = evolve(
        GOLDEN[1], id="0198c0e2", seq=7, state=JobState.PAUSED, hold_reason=HoldReason.DELAY, ended_at=None, result=None
    )
    blocked = evolve(
        paused, id="0198c0e3", seq=8, state=JobState.SCHEDULED, hold_reason=HoldReason.KEY, key="k", options=linked
    )
    dead = evolve(GOLDEN[1], id="0198c0e4", seq=9, retry_of="0198c0e2", retried_by="0198c0e3", key="k")
    letter = evolve(GOLDEN[1], id="0198c0e5", seq=10, dead_letter_of="0198c0e4", dead_letter_job_id="0198c0e2")
    return [*jobs, paused, blocked, dead, letter]


def golden_jobs_of_version_4() -> list[Job]:
    jobs = golden_jobs_of_version_3()
    bounded = JobOptions(run_in="process", memory_mb=512, max_interruptions=3, max_snoozes=0)
    held = evolve(
        GOLDEN[1],
        id="0198c0e6",
        seq=11,
        options=bounded,
        state=JobState.SCHEDULED,
        hold_reason=HoldReason.TASK_PAUSED,
        interruptions=2,
        ended_at=None,
        result=None,
        failure=Failure(Reason.TASK_PAUSED, "TaskPaused", "too many died"),
        attempts=tuple(
            Attempt(1, claim, 4, 1_700_000_000.25, 1_700_000_002.5, "interrupted", Failure(reason, "X", "exit code 9"))
            for claim, reason in enumerate((Reason.BAD_EXIT, Reason.INTERRUPTED), 1)
        ),
    )
    failures = [Failure(reason, "X") for reason in (Reason.KILLED, Reason.SNOOZED)]
    ended = [
        evolve(GOLDEN[1], id=f"0198c0e{n}", seq=5 + n, state=JobState.FAILED, result=None, failure=failure)
        for n, failure in enumerate(failures, 7)
    ]
    return [*jobs, held, *ended]


PAUSES = (("", 1_700_000_099.5), ("red", inf))


GOLDEN_NAME = "snap-00000000000000000042.jsonl"


@pytest.mark.parametrize("version", [1, 2])
def test_the_earlier_versions_are_read_for_ever(files: Any, version: int) -> None:
    files.put(GOLDEN_NAME, (FORMATS / f"snapshot-v{version}.jsonl").read_bytes())
    found = recover(files)
    ledger = found.ledger
    jobs = golden_jobs()
    if version == 1:  # it left ephemeral jobs out; here they are gone
        del jobs[-1]
    assert (ledger.n, ledger.now, ledger.seq, ledger.removed) == (42, 1_700_000_007.0, 6, 6 - len(jobs))
    assert list(ledger.jobs.values()) == jobs
    assert found.report.queue == "mäil"
    assert found.report.written_at == 1_700_000_008.5


def test_version_3_is_read_for_ever(files: Any) -> None:
    files.put(GOLDEN_NAME, (FORMATS / "snapshot-v3.jsonl").read_bytes())
    ledger = recover(files).ledger
    assert list(ledger.jobs.values()) == golden_jobs_of_version_3()
    assert tuple(ledger.pauses.items()) == PAUSES


def test_version_4_is_read_for_ever(files: Any) -> None:
    files.put(GOLDEN_NAME, (FORMATS / "snapshot-v4.jsonl").read_bytes())
    assert list(recover(files).ledger.jobs.values()) == golden_jobs_of_version_4()


def test_version_4_is_what_we_write(files: Any) -> None:
    """If this fails, what is written has changed: is it still read by the last release?"""
    totals = Totals(42, 1_700_000_007.0, 13, 2, PAUSES)
    writer = SnapshotWriter(files, totals, "mäil", wall=1_700_000_008.5, boot="3c9b", salt=0xDECADE)
    _write_all(writer, golden_jobs_of_version_4())
    assert files.read(GOLDEN_NAME) == (FORMATS / "snapshot-v4.jsonl").read_bytes()


def test_the_defaults_stand() -> None:
    """What is left out of a file means these for ever: to change one is to change the version."""
    retry = Retry(3, 1.0, "exponential", 2.0, 3600.0, 0.1, (), ())
    assert JobOptions() == JobOptions(0, retry, None, None, None, None, 10.0, {}, None, False, None, None, 5, None)
    assert (retry.initial, retry.spread) == (None, 0.0)
    assert Progress() == Progress(0.0, None, None, None)
    plain = Job("j", 1, "t", b"[]", JobOptions(), JobState.QUEUED, 1.0, 1.0)
    assert plain == evolve(plain, attempt=0, claim=0, worker=0, interruptions=0, snoozes=0)
    assert (plain.stalled, plain.failure, plain.result, plain.log) == (False, None, None, ())
