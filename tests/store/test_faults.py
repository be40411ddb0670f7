"""One scripted run, and every fault at every single operation of it."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from attrs import define, field

from actorq.config import Settings
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import FINAL, JobOptions, JobState
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine
from actorq.errors import StoreError, StoreFailed, StoreFull
from actorq.store import compaction, journal
from actorq.store.compaction import compact
from actorq.store.journal import Journal
from actorq.store.recovery import recover
from actorq.store.snapshot import put_in_place, snapshots
from actorq.testing import Died, Fault, FaultyFiles, MemoryFiles, Operation

FULL = (Fault.FULL, Fault.FULL_WITHIN)
ERRORS = (Fault.ERROR, Fault.ERROR_WITHIN)
DEATHS = (Fault.DEATH, Fault.DEATH_WITHIN, Fault.DEATH_AFTER)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BATCH_BYTES", 200)
    monkeypatch.setattr(journal, "RESERVE_BYTES", 400)
    monkeypatch.setattr(compaction, "SLICE", 2)


@define
class Run:
    """Opening, submissions, ends, rotation, two snapshots, closing: what a life consists of."""

    files: FaultyFiles
    accepted: list[str] = field(factory=list)
    """Jobs whose submitters were told so."""
    ended: dict[str, JobState] = field(factory=dict)
    """Jobs whose end was told."""
    stages: list[tuple[str, int]] = field(factory=list)
    """What was begun, and how many operations there had been."""
    machine: Machine = field(init=False)
    journal: Journal = field(init=False)
    waits_for_room: int = 0
    """How often there was no room, and then there was."""
    failed_snapshots: int = 0

    def play(self) -> str:
        """Return how it ended."""
        try:
            self._begin("open")
            self._open()
        except Died:
            return "died"
        except StoreError:
            with suppress(StoreError):
                self.files.unlock()
            return "not opened"
        try:
            self._live()
        except Died:
            return "died"
        except StoreFailed:
            self.files.unlock()
            return "poisoned"
        return "completed"

    def _begin(self, stage: str) -> None:
        self.stages.append((stage, len(self.files.log)))

    def _open(self) -> None:
        files = self.files
        files.make_directory()
        files.lock()
        ledger = recover(files).ledger
        self.journal = Journal(files, "mail", ledger.n, boot="", wall=lambda: 1.0)
        self.journal.open()
        self.machine = Machine(Settings(workers=2), ledger)

    def _live(self) -> None:
        self._begin("journal")
        self._do(c.Register(("mail",)), c.Recover())
        self._do(*(self._submit(number) for number in range(4)))
        self._begin("rotation")
        self._rotate()
        self._begin("journal")
        self._do(*self._ends(), self._submit(4))
        self._begin("witness")
        self.journal.mark()
        for number in (5, 6, 7):
            self._begin("rotation")
            self._rotate()
            self._begin("snapshot")
            self._snapshot()
            self._begin("journal")
            self._do(*self._ends(), self._submit(number))
        self._begin("close")
        self.journal.close()
        self._begin("unlock")
        with suppress(StoreError):
            self.files.unlock()

    def _submit(self, number: int) -> c.Command:
        return c.Submit((c.NewJob(f"job-{number}", "mail", b'[["%s"],{}]' % (b"x" * 90), JobOptions()),))

    def _ends(self) -> Iterator[c.Command]:
        for job in self.machine.ledger.running.values():
            yield c.Finish(job.id, job.claim, b'"done"')

    def _do(self, *commands: c.Command) -> None:
        """Step, write, sync, and only then tell."""
        step = self.machine.step(commands, 1_000.0)
        if step.facts:
            self._write(step.facts)
            self.journal.sync()
        self.accepted += [fact.job_id for fact in step.facts if isinstance(fact, f.Submitted)]
        self.ended |= {job.id: job.state for job in step.ended}

    def _write(self, facts: list[f.Fact]) -> None:
        try:
            self.journal.append([facts])
        except StoreFull:
            assert self.journal.failure is None
            self._wait_for_room()
            self.journal.append([facts])

    def _rotate(self) -> None:
        try:
            self.journal.rotate()
        except StoreFull:
            assert self.journal.failure is None
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        self.waits_for_room += 1
        self.journal.give_up_reserve()
        self.journal.renew()
        self.journal.hold_reserve()

    def _snapshot(self) -> None:
        try:
            name, _ = compact(self.files, self.journal.synced, "mail", lambda: None)
            put_in_place(self.files, name)
        except StoreError:
            self.failed_snapshots += 1

    def stage_of(self, operation: Operation) -> str:
        """Return what was going on."""
        return [stage for stage, before in self.stages if before < operation.number][-1]


def play(how: Fault, operation: Operation) -> tuple[Run, str]:
    """Play the run with one fault."""
    run = Run(FaultyFiles(MemoryFiles()))
    run.files.fail(how, at=operation.number)
    return run, run.play()


def operations(*stages: str, kind: str = "", name: str = "") -> list[Operation]:
    """Return the operations of a run without a fault, or those of some stages, of a kind, on some files."""
    run = Run(FaultyFiles(MemoryFiles()))
    assert run.play() == "completed"
    return [
        one
        for one in run.files.log
        if (not stages or run.stage_of(one) in stages) and kind in ("", one.kind) and one.name.startswith(name)
    ]


def left_by(run: Run) -> MemoryFiles:
    """Return a copy of what the run has left."""
    assert isinstance(run.files.inner, MemoryFiles)
    return run.files.inner.copy()


def find(run: Run) -> Ledger:
    """Open what the run has left, and see that nobody was told a lie."""
    recovered = recover(left_by(run))
    assert not recovered.report.has_loss
    jobs = recovered.ledger.jobs
    assert set(run.accepted) <= set(jobs)
    assert all(jobs[job_id].state is state for job_id, state in run.ended.items())
    return recovered.ledger


def test_the_run_does_all_that_can_be_done() -> None:
    run = Run(FaultyFiles(MemoryFiles()))
    assert run.play() == "completed"
    assert {operation.kind for operation in run.files.log} == {
        "make_directory", "lock", "unlock", "list", "create", "blocks", "settle", "rename", "unlink", "sync_directory",
        "write", "cut", "overwrite", "sync", "is_in_place", "close",
    }  # fmt: skip
    assert len(run.accepted) == 8
    assert len(run.ended) >= 6
    assert len(snapshots(left_by(run).list())) == 2


@pytest.mark.parametrize("how", Fault)
def test_whatever_fails_wherever_nobody_was_told_a_lie(how: Fault) -> None:
    for operation in operations():
        run, end = play(how, operation)
        try:
            find(run)
            assert (end == "died") is how.is_death
        except (StoreError, AssertionError) as wrong:
            raise AssertionError(f"{how.name} at {operation}, {run.stage_of(operation)}: {end}; {wrong}") from wrong


@pytest.mark.parametrize("how", Fault)
def test_whatever_fails_wherever_the_next_life_is_as_if_it_had_not(how: Fault) -> None:
    for operation in operations():
        run, _ = play(how, operation)
        again = Run(FaultyFiles(left_by(run)))
        assert again.play() == "completed", f"{how.name} at {operation}"
        assert not [name for name in left_by(again).names() if name.endswith(".tmp")], f"{how.name} at {operation}"


@pytest.mark.parametrize("how", FULL)
@pytest.mark.parametrize("kind", ["write", "create"])
def test_when_there_is_no_room_the_journal_goes_on_where_there_is(how: Fault, kind: str) -> None:
    for operation in operations("journal", "rotation", kind=kind, name="wal-"):
        run, end = play(how, operation)
        assert end == "completed", operation
        assert len(run.accepted) == 8
        assert find(run).n == run.machine.ledger.n


def test_no_room_for_the_last_line_of_a_segment_is_no_failure() -> None:
    ends = [operations("rotation", kind="write")[0], operations("close", kind="write")[0]]
    for operation in ends:
        run, end = play(Fault.FULL_WITHIN, operation)
        assert (end, run.waits_for_room) == ("completed", 0)
        assert find(run).n == run.machine.ledger.n


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("kind", ["write", "sync", "create", "close"])
def test_any_other_error_of_the_journal_poisons_it(how: Fault, kind: str) -> None:
    for operation in operations("journal", "rotation", kind=kind, name="wal-"):
        run, end = play(how, operation)
        assert end == "poisoned", operation
        with pytest.raises(StoreFailed, match="as the test wanted it"):
            run.journal.append([])
        with pytest.raises(StoreFailed):
            run.journal.sync()
        with pytest.raises(StoreFailed):
            run.journal.rotate()
        run.journal.close()
        find(run)


@pytest.mark.parametrize("how", FULL)
def test_a_sync_that_finds_no_room_poisons_the_journal(how: Fault) -> None:
    for operation in operations("journal", "rotation", kind="sync", name="wal-"):
        run, end = play(how, operation)
        is_header = operations()[operation.number - 3].kind == "create"
        assert end == ("completed" if is_header else "poisoned"), operation
        find(run)


def test_a_part_that_cannot_be_cut_off_poisons_the_journal() -> None:
    for how in (*FULL, *ERRORS):
        for kind in ("cut", "sync"):
            run = Run(FaultyFiles(MemoryFiles()))
            writes = operations("journal", kind="write", name="wal-")
            run.files.fail(Fault.FULL_WITHIN, at=writes[-1].number)
            run.files.fail(how, at=writes[-1].number + (1 if kind == "cut" else 2), kind=kind)
            assert run.play() == "poisoned", (how, kind)
            find(run)


@pytest.mark.parametrize("how", [*FULL, *ERRORS])
def test_what_fails_in_a_snapshot_does_not_hurt_the_journal(how: Fault) -> None:
    for operation in operations("snapshot"):
        run, end = play(how, operation)
        assert end == "completed", operation
        assert run.failed_snapshots == 1, operation
        assert len(run.accepted) == 8
        assert find(run).n == run.machine.ledger.n


@pytest.mark.parametrize("how", [*FULL, *ERRORS])
def test_without_a_witness_life_goes_on(how: Fault) -> None:
    for operation in [one for one in operations("witness", "close") if one.name == "mark.tmp"]:
        run, end = play(how, operation)
        assert end == "completed", operation
        assert find(run).n == run.machine.ledger.n


@pytest.mark.parametrize("how", [*FULL, *ERRORS])
def test_without_a_reserve_life_goes_on(how: Fault) -> None:
    for operation in operations(name="reserve"):
        run, end = play(how, operation)
        assert end == "completed", operation
        assert find(run).n == run.machine.ledger.n


@pytest.mark.parametrize("how", [*FULL, *ERRORS])
def test_a_directory_that_could_not_be_opened_can_be_opened_then(how: Fault) -> None:
    former, _ = play(Fault.DEATH_WITHIN, operations("journal", kind="write")[-1])  # it has left a torn tail
    opening = Run(FaultyFiles(left_by(former)))
    opening.play()
    for operation in [one for one in opening.files.log if opening.stage_of(one) == "open"]:
        run = Run(FaultyFiles(left_by(former)))
        run.files.fail(how, at=operation.number)
        assert run.play() in ("not opened", "completed"), operation
        again = Run(FaultyFiles(left_by(run)))
        assert again.play() == "completed", operation
        assert set(former.accepted) <= set(find(again).jobs), operation


def test_a_job_that_ended_stays_ended_after_any_death() -> None:
    for operation in operations():
        for how in DEATHS:
            run, _ = play(how, operation)
            ledger = find(run)
            Machine(Settings(workers=2), ledger).step([c.Register(("mail",)), c.Recover()], 1_001.0)
            assert all(ledger.jobs[job_id].state in FINAL for job_id in run.ended)
