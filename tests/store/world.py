"""A world with one queue in it, without its loop and threads: a machine, a journal, a disk of the worst kind.

It lives, dies and lives again, as one seed decides. What was said to those outside is kept in a book outside, and
after each death the book is compared with what the next life finds.

It does what the writer, the compaction and the supervisor do, in their order: write, sync, then speak; rotate,
compact, put in place; on a full disk refuse what is not written, and go on in a new segment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Literal

import pytest
from attrs import define, field

from actorq.config import RestartBudget, Retention, Settings
from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.job import Failure, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine, replay
from actorq.core.retry import Retry
from actorq.errors import StoreError, StoreFailed, StoreFull
from actorq.store import compaction, journal, journal_codec, snapshot
from actorq.store.journal import Journal
from actorq.store.recovery import recover
from actorq.testing import Died, Fault, FaultyFiles, SimulatedDisk

from .lives import state_of

Mode = Literal["fsync", "flush"]

SETTINGS = Settings(
    workers=3, max_pending=60, retention=Retention(age_s=40.0, count=6), restarts=RestartBudget(task_deaths=3)
)

SEGMENT_LIMIT = 4_000
"""Bytes; a few turns fill a segment."""

LIVES = 8

OPTIONS = (
    JobOptions(retry=Retry(max_attempts=3, delay=2.0, jitter=0.0)),
    JobOptions(retry=Retry(max_attempts=1), dead_letter=True, tags={"a": ""}),
    JobOptions(priority=3, expires=20.0, group="red"),
    JobOptions(group="blue", heartbeat_timeout=4.0, timeout=60.0),
    JobOptions(retry=Retry(max_attempts=1), dead_letter="mail", group="red"),
    JobOptions(run_in="process", memory_mb=64, max_interruptions=2, max_snoozes=1),
    JobOptions(),
)

GROUPS = ("", "red", "blue")
"""The whole queue, and the groups of jobs."""

POLICIES: tuple[c.OnConflict, ...] = ("return_existing", "reject", "strict_body", *("replace", "keep_last") * 2)

REGISTER = c.Register(("mail",), {"mail": JobOptions(dead_letter="mail")})

ERRORS = (
    *(("sync", "wal-*"),) * 3, ("sync", "*"), *(("write", "wal-*"),) * 3, ("write", "*"), ("create", "wal-*"),
    ("create", "*"), ("rename", "*"), ("sync_directory", ""), ("unlink", "*"), ("cut", "*"), ("overwrite", "*"),
    ("settle", "*"), ("close", "*"), ("list", "*"), ("make_directory", "*"),
)  # fmt: skip
"""Kinds and names of what may fail. What cannot be read is damage, and so not of this world."""

MISHAPS = (Fault.ERROR, Fault.ERROR_WITHIN, Fault.FULL, Fault.FULL, Fault.FULL_WITHIN, Fault.FULL_WITHIN)

DEATHS = (Fault.DEATH, Fault.DEATH_WITHIN, Fault.DEATH_AFTER)

MOMENTS = (
    ("write", "wal-*"), ("sync", "wal-*"), ("create", "wal-*"), ("sync", "snap-*"), ("rename", "snap-*"), ("cut", "*"),
    ("overwrite", "*"), ("unlink", "*"), ("sync_directory", ""),
)  # fmt: skip
"""Kinds and names at which it is worth while to die."""

VERBS = (
    *("submit",) * 6, *("submit_many",) * 2, *("finish",) * 6, *("fail",) * 3, "fail_for_good", "snooze", "park",
    "progress", "log", "cancel", "cancel", "rerun", "register", "clone", "pause", "pause", *("resume",) * 3, "promote",
    "edit", "edit", "remove", "pause_all", *("resume_all",) * 3, "set_group", "extend", "block", *("die",) * 2, "kill",
    *("resume_task",) * 2,
)  # fmt: skip


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Make everything small that is large, and everything certain that is left to chance elsewhere."""
    patch.setattr(journal_codec, "LINE_TARGET", 300)
    patch.setattr(journal, "BATCH_BYTES", 700)
    patch.setattr(journal, "RESERVE_BYTES", 700)
    patch.setattr(compaction, "SLICE", 4)
    patch.setattr(compaction, "boot_id", lambda: "boot")
    patch.setattr(compaction, "time", SimpleNamespace(time=lambda: 1.0))
    patch.setattr(snapshot, "SLICE_S", float("inf"))


class Lie(AssertionError):
    """Somebody was told what is not so."""


@define
class Book:
    """What those outside were told, each with the last fact that it stands on."""

    accepted: dict[str, int] = field(factory=dict)
    ended: dict[str, tuple[JobState, int]] = field(factory=dict)
    refused: set[str] = field(factory=set)
    """Submissions that found no room; nobody was to see them again."""
    released: set[str] = field(factory=set)
    """Jobs that may be gone: old ones, ephemeral ones."""

    def forget_beyond(self, n: int) -> None:
        """Let go of what was only promised for as long as the power holds."""
        self.accepted = {job_id: at for job_id, at in self.accepted.items() if at <= n}
        self.ended = {job_id: end for job_id, end in self.ended.items() if end[1] <= n}


@define
class Promise:
    """What will be told once all facts up to ``n`` are kept."""

    n: int
    accepted: tuple[str, ...] = ()
    ended: tuple[tuple[str, JobState], ...] = ()


class World:
    """One seed, one fate."""

    hears_too_early = False
    """A bug: what is not synced is told."""

    def __init__(self, seed: int, mode: Mode) -> None:
        self.random = Random(seed)  # noqa: S311 - a fate, not a secret
        self.mode: Mode = mode
        self.disk = SimulatedDisk(self.random)
        self.seen = Counter[str]()
        """What has happened, so that a test can say that it did."""
        self.book = Book()
        self.lived: list[f.Fact] = []
        self.now = 1_000.0
        self.jobs = 0
        self.outlives_kill = 0
        """Up to this fact everything must be there after a kill …"""
        self.outlives_cut = 0
        """… and after a power cut."""
        self.trace: list[str] = []

    def live(self) -> World:
        """Live all lives; each ends with a check by the next."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (journal, snapshot):
                patch.setattr(module, "draw_salt", lambda: self.random.getrandbits(32))
            for _ in range(LIVES):
                life = Life(self)
                self._suffer(life.files)
                self._die(life.live(), life)
            Life(self, is_last=True).live()
        return self

    def _suffer(self, files: FaultyFiles) -> None:
        """Draw the lots of one life: at most one error, and mostly a sudden death."""
        random = self.random
        if random.random() < 0.5:
            (kind, name), how, skip = random.choice(ERRORS), random.choice(MISHAPS), random.choice((0, 0, 1, 2, 5, 12))
            lasts = how in (Fault.FULL, Fault.FULL_WITHIN) and name == "wal-*"  # room does not come back at once
            files.fail(how, kind=kind, name=name, skip=skip, times=random.choice((1, 2, 6)) if lasts else 1)
            if lasts and random.random() < 0.3:
                files.fail(random.choice(DEATHS), kind="create", name="wal-*", skip=random.choice((1, 2)))
        if random.random() < 0.4:
            files.fail(random.choice(DEATHS), at=random.randint(1, random.choice((15, 60, 250))))
        elif random.random() < 0.7:
            kind, name = random.choice(MOMENTS)
            files.fail(random.choice(DEATHS), kind=kind, name=name, skip=random.choice((0, 1, 2, 5, 12)))

    def _die(self, how: str, life: Life) -> None:
        self.seen[f"end: {how}"] += 1
        if life.files.is_dead:
            self.seen[f"death at {life.files.log[-1].kind}"] += 1
        self.trace += [str(operation) for operation in life.files.log]
        for _ in range(self.random.choice((1, 1, 2))):
            if self.random.random() < 0.5:
                self.disk.kill()
                self.seen["kill"] += 1
            else:
                self.disk.power_cut()
                self.seen["power cut"] += 1
                self.outlives_kill = self.outlives_cut
                if self.mode == "flush":
                    self.book.forget_beyond(self.outlives_cut)

    def judge(self, found: Ledger) -> None:
        """Compare what was found with what was promised, and forget what nobody was told of."""
        if found.n < self.outlives_kill:
            raise Lie(f"facts up to {self.outlives_kill} had been kept, and only those up to {found.n} are there")
        del self.lived[found.n :]
        was = replay(self.lived)
        if (found.n, found.now, found.seq, found.removed) != (was.n, was.now, was.seq, was.removed):
            raise Lie("the totals are not those that were")
        if found.jobs != was.jobs:
            raise Lie("the jobs are not those that were")
        if state_of(found) != state_of(was):
            raise Lie("the jobs are the same, and do not stand where they stood, or what is paused is another")
        balance(found)
        self._judge_by_book(found)
        self.outlives_kill = self.outlives_cut = found.n

    def _judge_by_book(self, found: Ledger) -> None:
        for job_id in self.book.accepted:
            if job_id not in found.jobs and job_id not in self.book.released:
                raise Lie(f"job {job_id} was accepted, and is not there")
        for job_id, (state, _) in self.book.ended.items():
            job = found.jobs.get(job_id)
            if job is not None and job.state is not state:
                raise Lie(f"job {job_id} had ended as {state}, and is {job.state}")
        for job_id in self.book.refused:
            job = found.jobs.get(job_id)
            if job is not None and not job.ephemeral:  # those are let go of before anything runs
                raise Lie(f"job {job_id} was refused, and is there")


class Life:
    """From one opening to one death."""

    def __init__(self, world: World, *, is_last: bool = False) -> None:
        self.files = FaultyFiles(world.disk, world.random)
        self.world = world
        self.random = world.random
        self.is_last = is_last
        self.machine: Machine
        self.journal: Journal
        self.left: list[list[f.Fact]] = []
        self.promises: list[Promise] = []
        self.is_full = False
        self.must_renew = False
        self.made: str | None = None
        """A snapshot that is to be put in place."""

    def live(self) -> str:
        """Return how it ended."""
        world = self.world
        try:
            try:
                self._open()
                if self.is_last:
                    return "judged"
                for _ in range(self.random.randint(1, 40)):
                    self._turn()
                self._close()
            finally:
                world.outlives_kill = max(world.outlives_kill, self._outlives("kill"))
                world.outlives_cut = max(world.outlives_cut, self._outlives("cut"))
        except Died:
            return "death"
        except StoreFull:
            return "no room to open"
        except StoreFailed:
            if world.mode == "flush":  # whoever was told that it is written knows now that it has failed
                world.outlives_kill = world.outlives_cut
                world.book.forget_beyond(world.outlives_cut)
            return "failure"
        except StoreError as error:
            if not any("as the test wanted it" in str(one) for one in (error, error.__cause__)):
                raise
            return "not opened"
        return "closed"

    def _outlives(self, what: Literal["kill", "cut"]) -> int:
        if not hasattr(self, "journal"):
            return 0
        is_doubtful = self.journal.failure is not None and not self.files.is_dead
        return self.journal.synced if what == "cut" or is_doubtful else self.journal.written

    # -- opening and closing -----------------------------------------------------------------------------

    def _open(self) -> None:
        files, world = self.files, self.world
        files.lock()
        recovered = recover(files)
        world.seen["torn tail"] += bool(recovered.report.flaws)
        world.seen["snapshot loaded"] += recovered.report.snapshot is not None
        ledger = recovered.ledger
        world.judge(ledger)
        if self.is_last:
            return
        opened = Journal(files, "mail", ledger.n, boot="boot", wall=lambda: 1.0)
        opened.open()
        self.journal = opened
        self.is_full = not opened.has_reserve
        self.machine = Machine(SETTINGS, ledger)
        self._step([REGISTER, c.Recover()])

    def _close(self) -> None:
        self._write()
        if self.random.random() < 0.7:
            self.journal.close()
            self._hear()

    # -- a turn --------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        random = self.random
        self.world.now += random.choice((0.0, 0.001, 0.5, 3.0, 15.0))
        self._step([command for _ in range(random.randint(1, 4)) for command in self._command(random.choice(VERBS))])
        if random.random() < 0.6:
            self._write()
        if self.must_renew:
            return
        if random.random() < 0.15:
            self._sync()
        if random.random() < 0.15:
            self.journal.mark()
        if self.journal.size >= SEGMENT_LIMIT:
            self._rotate()
        if random.random() < 0.06:
            self._compact()
        if self.made is not None and random.random() < 0.3:
            self._put_in_place()

    def _step(self, commands: list[c.Command]) -> None:
        machine, world = self.machine, self.world
        step = machine.step(commands, world.now)
        if step.facts:
            world.lived += step.facts
            self.left.append(step.facts)
        balance(machine.ledger)
        self._note(step.facts)
        submits = [
            job_id
            for command, answer in zip(commands, step.answers, strict=True)
            if isinstance(command, c.Submit) and isinstance(answer, tuple)
            for job_id in answer
        ]
        again = {fact.job_id for fact in step.facts if isinstance(fact, f.Requeued | f.Reinstated)}
        ended = tuple((job.id, job.state) for job in step.ended if job.id not in again)
        self.promises.append(Promise(machine.ledger.n, tuple(submits), ended))

    def _note(self, facts: list[f.Fact]) -> None:
        """Keep account of what takes a promise back."""
        for fact in facts:
            self.world.seen[type(fact).__name__] += 1
            if isinstance(fact, f.Removed | f.Dropped):
                self.world.book.released.add(fact.job_id)
            elif isinstance(fact, f.Requeued | f.Reinstated):  # somebody asked for it; or it had made room for nothing
                self.world.book.ended.pop(fact.job_id, None)
                for promise in self.promises:
                    promise.ended = tuple(end for end in promise.ended if end[0] != fact.job_id)

    def _command(self, verb: str) -> list[c.Command]:
        random, jobs = self.random, list(self.machine.ledger.jobs.values())
        if verb in ("submit", "submit_many") and not self.is_full:
            count = 1 if verb == "submit" else random.choice((2, 5, 12))
            return [c.Submit(tuple(self._new_job() for _ in range(count)))]
        asked = self._about_all(verb)
        if asked is None and jobs:
            held = list(self.machine.ledger.paused.values())
            asked = self._about(verb, random.choice(held if held and verb == "resume" else jobs).id)
        return self._report(verb) if asked is None else [asked]

    def _about_all(self, verb: str) -> c.Command | None:
        """Return what is asked or told of the queue, a group or a task."""
        random, jobs = self.random, list(self.machine.ledger.jobs)
        asked: dict[str, Callable[[], c.Command]] = {
            "register": lambda: c.Register(("later",)),
            "pause_all": lambda: c.PauseAll(
                random.choice(GROUPS), random.choice((None, self.world.now + 10.0)), stop=random.random() < 0.5
            ),
            "resume_all": lambda: c.ResumeAll(random.choice(GROUPS)),
            "resume_task": lambda: c.ResumeTask("mail"),
            "set_group": lambda: c.SetGroup(random.choice(GROUPS[1:]), random.choice((1, 2, None))),
            "block": lambda: c.ReportBlock(random.choice(("", *jobs)), random.random(), "z" * random.choice((0, 50))),
        }
        return asked[verb]() if verb in asked else None

    def _about(self, verb: str, job_id: str) -> c.Command | None:
        """Return what is asked of a job, fit or not."""
        random = self.random
        asked: dict[str, Callable[[], c.Command]] = {
            "cancel": lambda: c.Cancel(job_id, "not wanted"),
            "rerun": lambda: c.Rerun(job_id, random.choice((0.0, 5.0))),
            "pause": lambda: c.Pause(job_id),
            "resume": lambda: c.Resume(job_id),
            "promote": lambda: c.Promote(job_id),
            "edit": lambda: self._edit(job_id),
            "remove": lambda: c.Remove(job_id),
        }
        if verb == "clone" and not self.is_full:
            self.world.jobs += 1
            return c.Rerun(job_id, clone_id=f"job-{self.world.jobs}")
        return asked[verb]() if verb in asked else None

    def _edit(self, job_id: str) -> c.Edit:
        random = self.random
        payload = random.choice((None, b'[["edited"],{}]'))
        options = {"group": random.choice((None, "red", "blue")), "priority": random.randint(-1, 1)}
        return c.Edit(job_id, payload, options, random.choice((None, 0.0, 6.0)))

    def _report(self, verb: str) -> list[c.Command]:
        """Return what a worker says of the job that it runs."""
        random, ledger = self.random, self.machine.ledger
        running = [job for job in ledger.running.values() if self._is_begun(job.id)]
        if not running:
            return []
        job = random.choice(running)
        failure = Failure(Reason.ERROR, "ValueError", "x" * random.choice((0, 9, 400)), attempt=job.attempt)
        reports: dict[str, Callable[[], c.Command]] = {
            "finish": lambda: c.Finish(job.id, job.claim, b'"%s"' % (b"r" * random.choice((0, 5, 200)))),
            "fail": lambda: c.Fail(job.id, job.claim, failure),
            "fail_for_good": lambda: c.Fail(job.id, job.claim, failure, retryable=False),
            "snooze": lambda: c.Snooze(job.id, job.claim, 4.0),
            "die": lambda: c.Crash(job.id, job.claim, Failure(Reason.BAD_EXIT, "BadExit", "exit code 9")),
            "kill": lambda: c.Crash(job.id, job.claim, Failure(Reason.KILLED, "MemoryExceeded", "64 MiB")),
            "park": lambda: c.Park(job.id, job.claim, Failure(Reason.BAD_PAYLOAD, "BadPayload")),
            "progress": lambda: c.ShowProgress(job.id, job.claim, value=random.random()),
            "log": lambda: c.Log(job.id, job.claim, "info", "y" * random.choice((1, 100)), b""),
            "extend": lambda: c.Extend(job.id, job.claim, 3.0),
        }
        return [reports[verb]()] if verb in reports else []

    def _is_begun(self, job_id: str) -> bool:
        """Tell whether its start is written, so that a worker may have begun."""
        return not any(fact.job_id == job_id and isinstance(fact, f.Started) for facts in self.left for fact in facts)

    def _new_job(self) -> c.NewJob:
        random, world = self.random, self.world
        world.jobs += 1
        is_ephemeral = random.random() < 0.1
        payload = b"" if is_ephemeral else b'[["%s"],{}]' % (b"p" * random.choice((0, 3, 30, 150)))
        task = random.choice(("mail", "mail", "mail", "later"))
        delay = random.choice((0.0, 0.0, 2.0, 30.0))
        return c.NewJob(
            f"job-{world.jobs}",
            task,
            payload,
            random.choice(OPTIONS),
            delay,
            ephemeral=is_ephemeral,
            key=random.choice((None, "k", "k", "l")),
            on_conflict=random.choice(POLICIES),
        )

    # -- the writer's part -------------------------------------------------------------------------------

    def _write(self) -> None:
        if self.is_full:
            self._look_for_room()
        if self.must_renew or not self.left:
            return
        try:
            self.journal.append(self.left)
        except StoreFull:
            self._find_no_room("in the middle")
            return
        self.left = []
        self._hear()
        if self.world.mode == "fsync":
            self._sync()

    def _sync(self) -> None:
        self.journal.sync()
        self._hear()

    def _rotate(self) -> bool:
        try:
            self.journal.rotate()
        except StoreFull:
            self._find_no_room("at a rotation")
            return False
        self.world.seen["rotation"] += 1
        self._hear()
        return True

    def _find_no_room(self, where: str) -> None:
        self.world.seen[f"no room {where}"] += 1
        self.must_renew = True
        self.journal.give_up_reserve()
        self._hear()
        if not self.is_full:
            self.is_full = True
            self._refuse_unwritten()

    def _refuse_unwritten(self) -> None:
        facts = [fact for facts in self.left for fact in facts if fact.n > self.journal.written]
        refused = {fact.job_id: fact for fact in facts if isinstance(fact, f.Submitted)}
        for fact in refused.values():
            fact.ephemeral, fact.payload = True, b""
        for promise in self.promises:
            promise.accepted = tuple(job_id for job_id in promise.accepted if job_id not in refused)
            promise.ended = tuple(end for end in promise.ended if end[0] not in refused)
        self.world.book.refused |= refused.keys()
        self.world.seen["refused"] += len(refused)
        if refused:
            self._step([c.Withdraw(tuple(refused))])

    def _look_for_room(self) -> None:
        if self.must_renew:
            try:
                self.journal.renew()
            except StoreFull:
                self._find_no_room("for a new segment")
                return
            self.must_renew = False
            if self.left:
                self.is_full = False
                self._write()
                self.is_full = True
        if not self.must_renew and self.journal.hold_reserve():
            self.world.seen["room again"] += 1
            self.is_full = False

    def _hear(self) -> None:
        """Tell those outside what is as durable as they were promised."""
        is_kept_when_written = self.world.mode == "flush" or self.world.hears_too_early
        kept = self.journal.written if is_kept_when_written else self.journal.synced
        book = self.world.book
        while self.promises and self.promises[0].n <= kept:
            promise = self.promises.pop(0)
            book.accepted |= dict.fromkeys(promise.accepted, promise.n)
            book.ended |= {job_id: (state, promise.n) for job_id, state in promise.ended}

    # -- the compaction's part -----------------------------------------------------------------------------

    def _compact(self) -> None:
        """Seal the journal and fold it; life goes on meanwhile."""
        self._write()
        if self.must_renew or self.left or not self._rotate():
            return
        upto = self.journal.synced
        with suppress(StoreError):
            self.made, _ = compaction.compact(self.files, upto, "mail", self._write_meanwhile)
            self.world.seen["compaction"] += 1

    def _write_meanwhile(self) -> None:
        if not self.must_renew:
            self._step(self._command("submit"))
            self._write()

    def _put_in_place(self) -> None:
        name, self.made = self.made, None
        assert name is not None
        with suppress(StoreError):  # an alarm, not an outage
            snapshot.put_in_place(self.files, name)
            self.world.seen["put in place"] += 1


def balance(ledger: Ledger) -> None:
    """See that no job is there twice or nowhere."""
    finished = sum(map(len, ledger.finished.values()))
    if ledger.seq != ledger.live + finished + ledger.removed or len(ledger.jobs) != ledger.live + finished:
        raise Lie("the jobs do not balance")


def live(seed: int, mode: Mode) -> World:
    """Live a world; what goes wrong names it."""
    try:
        return World(seed, mode).live()
    except Exception as error:
        raise AssertionError(f"seed {seed}, {mode}: {type(error).__name__}: {error}") from error
