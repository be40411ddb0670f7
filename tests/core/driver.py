"""A world around one machine: callers, workers, a clock and crashes, all of them virtual.

A history is a list of :class:`Act`. An act names no job and no worker but carries small numbers, and
the world reads them as choices among what is there when it is played: so any list is a history, and
what is left of one after shrinking still is.

The world keeps all that was ever said: commands with their answers, facts, effects. After each step
it hands a :class:`Turn` to the law under test.
"""

from collections.abc import Callable, Iterator
from copy import copy
from math import inf
from typing import Any

from attrs import define, evolve, field, frozen
from hypothesis import strategies as st

from actorq.config import RestartBudget, Retention, Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.heap import Heap
from actorq.core.job import FINAL, Failure, Job, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine, Step, replay
from actorq.core.picture import Picture, Totals
from actorq.core.retry import Retry
from actorq.core.roster import Roster

EPOCH = 1_700_000_000.0
"""When every history begins: far from 0, so that rounding is what it is in life."""

GROUPS = ("", "red", "blue")
"""The whole queue, and the groups of jobs."""

KNOWN, UNKNOWN, LATER = "mail", "gone", "later"
"""Tasks: registered from the start, never, and by ``register`` acts only."""

REGISTER = c.Register((KNOWN,), {KNOWN: JobOptions(priority=1, dead_letter=KNOWN)})

RESERVED = 505
"""Jobs accepted and removed before the history begins, so that its jobs cross a page's edge."""


@frozen
class Act:
    """One thing that happens; a, b and c are choices."""

    verb: str
    a: int
    b: int
    c: int

    def __repr__(self) -> str:
        return f"{self.verb}({self.a},{self.b},{self.c})"


VERBS = (
    "rest", *("submit",) * 9, *("finish",) * 3, *("fail",) * 5, "fail_for_good", *("fail_with_delay",) * 2,
    *("snooze",) * 2, "quit", "park", "beat", "extend", *("progress",) * 3, "log", *("lend",) * 3, "take_back",
    *("cancel",) * 4, *("rerun",) * 3, "again", "stale", *("obey",) * 3, "set_workers", "bury", "register",
    "withdraw", *("pause",) * 3, *("resume",) * 3, "promote", *("edit",) * 2, "remove", *("clone",) * 2,
    "pause_all", *("resume_all",) * 2, *("set_group",) * 2, *("keyed",) * 7,
    "drain", "halt", *("wait",) * 5, *("deadline",) * 7, "back", "late", "crash", "photo", *("take",) * 2,
    *("die",) * 5, *("kill",) * 2, *("return",) * 2, *("resume_task",) * 2, "block", "begin",
)  # fmt: skip
"""What may happen, as often as it stands here. The first is nothing: zeros shrink to it."""

VERBS_OF_DEATH = (
    "rest", *("submit",) * 6, "finish", "fail", *("snooze",) * 3, *("die",) * 9, *("kill",) * 3, "stale",
    *("cancel",) * 3, *("bury",) * 3, *("wait",) * 2, *("deadline",) * 9, *("return",) * 3, *("resume_task",) * 3,
    "block", "begin", "set_workers", "lend", "take_back", "rerun", "register", "pause_all", "resume_all", "drain",
    "halt", "crash", "pause", "resume", "edit", "promote", "withdraw", *("keyed",) * 2, "set_group",
)  # fmt: skip
"""Another third are about what dies."""

VERBS_OF_CONTROL = (
    "rest", *("submit",) * 2, *("keyed",) * 8, *("finish",) * 2, "fail", "snooze", "cancel", *("rerun",) * 3,
    *("clone",) * 3, *("pause",) * 2, *("resume",) * 2, "promote", "edit", "remove", "pause_all",
    *("resume_all",) * 2, "set_group", "set_workers", "bury", "withdraw", "wait", *("deadline",) * 3, "obey", "crash",
)  # fmt: skip
"""A third of the histories are about keys, groups and pauses: their jobs meet too seldom in the others."""


@frozen
class History:
    """Settings, and what happens under them."""

    settings: Settings
    acts: tuple[Act, ...]


def read_settings(a: int, b: int, c: int) -> Settings:
    """Return small settings that these numbers choose."""
    return Settings(
        workers=3 - a % 3,
        max_pending=(3, 6, 12, 40)[a // 3 % 4],
        grace_s=(0.0, 2.0, 60.0)[a // 12 % 3],
        retention=Retention(age_s=(0.0, 7.0, 3600.0)[b % 3], count=(0, 1, 3, 1000)[b // 3 % 4]),
        restarts=RestartBudget(1 + c % 3, (0.0, 5.0, 60.0)[c // 3 % 3], task_deaths=1 + c // 36 % 3),
        on_unknown_task="fail" if c // 9 % 4 == 0 else "park",
        max_abandoned=(0, 1, 2, 100)[b // 12 % 4],
    )


def read_history(data: bytes) -> History:
    """Return the history that these bytes spell: three for the settings, four for each act."""
    verbs = (VERBS_OF_CONTROL, VERBS_OF_DEATH, VERBS)[data[0] // 36 % 3]
    acts = (Act(verbs[data[i] % len(verbs)], data[i + 1], data[i + 2], data[i + 3]) for i in range(3, len(data) - 3, 4))
    return History(read_settings(*data[:3]), tuple(act for act in acts if act.verb != "rest"))


def histories(acts: int = 50) -> st.SearchStrategy[History]:
    """Random histories of up to so many acts; two draws each, so that a thousand take a second.

    The length is drawn first: left to itself, Hypothesis makes byte strings of a few bytes.
    """
    lengths = st.integers(1, acts)
    return lengths.flatmap(lambda n: st.binary(min_size=3 + 4 * n, max_size=3 + 4 * n)).map(read_history)


def some_failure(reason: Reason = Reason.ERROR) -> Failure:
    """Return what a worker says of an exception; its own time and number are none of the core's."""
    return Failure(reason, "ValueError", "no")


@define
class Run:
    """What a worker knows of the attempt it runs."""

    worker: int
    job_id: str
    claim: int
    abort: Reason | None = None


@define
class Turn:
    """One step, and what led to it."""

    commands: list[c.Command]
    now: float
    step: Step


Law = Callable[["World", Turn], None]


@define
class World:
    """Play acts on a machine. ``laws`` see every turn; ``before`` sees what is about to be asked."""

    settings: Settings
    laws: tuple[Law, ...] = ()
    before: tuple[Callable[["World", list[c.Command], float], None], ...] = ()
    may_batch: bool = True
    """Whether a step may carry several commands."""
    may_crash: bool = True

    machine: Machine = field(init=False)
    now: float = EPOCH
    facts: list[f.Fact] = field(factory=list)
    runs: dict[int, Run] = field(factory=dict)
    """By worker, of those that are on the payroll."""
    ghosts: list[Run] = field(factory=list)
    """Runs of workers that were abandoned, or of a former process."""
    deaf: list[int] = field(factory=list)
    """Workers that were abandoned, and whose functions have not ended yet."""
    held: list[c.Command] = field(factory=list)
    ids: list[str] = field(factory=list)
    lives: int = 1
    photo: Picture | None = None
    photo_meant: list[Job] = field(factory=list)
    photo_taken: list[Job] = field(factory=list)
    photos: list[tuple[Totals, list[Job], list[Job]]] = field(factory=list)
    """Finished pictures: totals, the jobs as they were at their beginning, the jobs as taken."""
    is_draining: bool = False

    def __attrs_post_init__(self) -> None:
        self.machine = Machine(self.settings, self.blank())
        self.step([REGISTER, c.SetGroup("red", 1)], self.now)

    @staticmethod
    def blank() -> Ledger:
        """Return the ledger with which every history begins."""
        return Ledger(Totals(seq=RESERVED, removed=RESERVED))

    # -- one step ---------------------------------------------------------------------------------

    def step(self, commands: list[c.Command], now: float, late: float = 0.0, *, is_start: bool = False) -> list[Any]:
        """Turn the machine, and do what a shell would do about it. A start is one step, whatever else is not."""
        if not self.may_batch and len(commands) > 1 and not is_start:
            return [self.step([command], now)[0] for command in commands]
        for look in self.before:
            look(self, commands, now)
        step = self.machine.step(commands, now, late=late)
        self.now = max(self.now, step.now)
        self.facts += step.facts
        for effect in step.effects:
            self._carry_out(effect)
        turn = Turn(commands, now, step)
        for law in self.laws:
            law(self, turn)
        return step.answers

    def _carry_out(self, effect: e.Effect) -> None:
        match effect:
            case e.Dispatch():
                self.runs[effect.worker] = Run(effect.worker, effect.job_id, effect.claim)
            case e.Abort():
                if run := self.runs.get(effect.worker):  # else its report is under way
                    run.abort = effect.reason
            case e.Abandon():
                run = self.runs.pop(effect.worker, None)
                self.ghosts += [run] if run else []
                self.deaf += [effect.worker] if effect.goes_on else []
            case _:
                pass

    # -- acts -------------------------------------------------------------------------------------

    def play(self, acts: tuple[Act, ...]) -> None:
        """Let all this happen."""
        for act in acts:
            self.do(act)
        self.flush()

    def do(self, act: Act) -> None:
        """Let this happen; a third of the commands wait for the next, to make batches."""
        commands = list(self._commands(act))
        if commands:
            self.held += commands
            if act.c % 3:
                self.flush()
            return
        match act.verb:
            case "wait":
                self.flush(self.now + act.a % 16 * 0.3)
            case "deadline":
                self.flush(self._deadline())
            case "back":
                self.flush(self.now - act.a * 0.1)
            case "late":
                self.flush(self.now + act.a % 8 * 0.5, late=act.a % 8 * 0.5)
            case "crash" if self.may_crash:
                self.crash(from_picture=act.a % 2 == 0, registered=act.b % 3 > 0)
            case "photo" if self.photo is None:
                self.begin_photo()
            case "take" if self.photo is not None:
                self.take_photo(1 + act.a)
            case _:
                pass

    def flush(self, now: float | None = None, late: float = 0.0) -> None:
        """Make a step with what is held."""
        commands, self.held = self.held, []
        self.step(commands, self.now if now is None else now, late)

    def _deadline(self) -> float:
        at = self.machine.next_deadline()
        return self.now + 1.0 if at == inf else at

    def _commands(  # noqa: C901, PLR0912, PLR0915 - one match, a case for each verb
        self, act: Act
    ) -> Iterator[c.Command]:
        a, b = act.a, act.b
        match act.verb:
            case "submit":
                yield c.Submit(tuple(self._new_job(a, b, act.c + i) for i in range(1 + a % 3)))
            case "again" if self.ids:
                known = self._pick_id(a)
                yield c.Submit((c.NewJob(known, KNOWN, b"[]", JobOptions()),))
            case "cancel" if self.ids:
                yield c.Cancel(self._pick_id(a) if a % 16 else "nobody", "enough")
            case "keyed":
                yield c.Submit(tuple(self._keyed_job(a + i, b, act.c) for i in range(1 + b % 2)))
            case "rerun" if self.ids:
                yield c.Rerun(self._pick_fit(a, FINAL), (0.0, 0.0, 1.7)[b % 3])
            case "clone" if self.ids:
                origin = self._pick_fit(a, FINAL)
                self.ids.append(f"j{len(self.ids) + 1}")
                yield c.Rerun(origin, clone_id=self.ids[-1])
            case verb if verb in _VERBS and self.ids:
                states, make = _VERBS[verb]
                yield make(self._pick_fit(a, states), b)
            case "pause_all":
                yield c.PauseAll(GROUPS[a % 3], (None, self.now + 1.9, self.now - 1.0)[b % 3], b % 4 == 0)
            case "resume_all":
                scopes = tuple(self.machine.ledger.pauses) or GROUPS
                yield c.ResumeAll(scopes[a % len(scopes)])
            case "set_group":
                yield c.SetGroup(GROUPS[1 + a % 2], (None, 1, 2)[b % 3])
            case "set_workers":
                yield c.SetWorkers(1 + a % 4)
            case "bury":
                yield self._bury(1 + a % 8)
            case "return":
                yield c.Return(self.deaf.pop(a % len(self.deaf)) if self.deaf and a % 8 else 1 + b % 8)
            case "resume_task":
                yield c.ResumeTask((KNOWN, KNOWN, KNOWN, LATER, UNKNOWN)[a % 5])
            case "block":
                yield c.ReportBlock(self._pick_id(a) if self.ids and a % 4 else ("", "nobody")[b % 2], b / 64, "File …")
            case "withdraw" if self.ids:
                yield self._withdraw(self._pick_id(a), self._pick_id(b))
            case "register":
                yield c.Register((LATER, KNOWN, LATER)[: 1 + a % 3])
            case "drain" if a % 4 == 0:
                self.is_draining = True
                yield c.Drain()
            case "halt" if self.is_draining or a % 4 == 0:
                yield c.Halt(b % 3 * 1.5)
            case "obey":
                for run in [run for run in self.runs.values() if run.abort]:
                    yield self.end(run, b)
            case "stale":
                yield from self._stale(a, b)
            case verb if verb in _REPORTS and (runs := [*self.runs.values(), *self.ghosts]):
                yield self.report(verb, runs[a % len(runs)], b)
            case _:
                pass

    def _pick_id(self, a: int) -> str:
        recent = self.ids[-12:]
        return recent[a % len(recent)]

    def _pick_fit(self, a: int, states: tuple[JobState, ...]) -> str:
        """Return mostly a job in one of these states, sometimes another, seldom one that nobody knows."""
        fit = [job_id for job_id in self.ids[-12:] if self._state_of(job_id) in states]
        if fit and a % 4:
            return fit[a // 4 % len(fit)]
        return self._pick_id(a) if a % 16 else "nobody"

    def _state_of(self, job_id: str) -> JobState | None:
        job = self.machine.ledger.jobs.get(job_id)
        return None if job is None else job.state

    def _bury(self, worker: int) -> c.Bury:
        run = self.runs.pop(worker, None)
        self.ghosts += [run] if run else []
        return c.Bury(worker, "a bug")

    def _withdraw(self, *job_ids: str) -> c.Withdraw:
        for worker, run in list(self.runs.items()):
            if run.job_id in job_ids:
                self.ghosts.append(self.runs.pop(worker))
        return c.Withdraw(job_ids)

    def _stale(self, a: int, b: int) -> Iterator[c.Command]:
        if self.ids:
            job = self.machine.ledger.jobs.get(job_id := self._pick_id(a))
            claim = job.claim + (1, -1, 7)[b % 3] if job else b
            yield make_report(tuple(_REPORTS)[a % len(_REPORTS)], job_id, claim, b)

    def _new_job(self, a: int, b: int, c_: int) -> c.NewJob:
        self.ids.append(f"j{len(self.ids) + 1}")
        return c.NewJob(
            id=self.ids[-1],
            task=UNKNOWN if b % 16 == 1 else LATER if b % 16 == 2 else KNOWN,
            payload=b"" if b // 16 == 7 else b"[]",
            options=read_options(a, b, c_),
            delay=(0.0, 0.0, 0.7, 3.1)[c_ % 4],
            run_at=(None, None, None, self.now - 5.0, self.now + 2.3)[c_ // 4 % 5],
            ephemeral=b // 16 == 7,
        )

    def _keyed_job(self, a: int, b: int, c_: int) -> c.NewJob:
        policy = ("keep_last", "return_existing", "replace", "reject", "keep_last", "strict_body")[a % 6]
        job = self._new_job(a, b, c_)
        key = f"k{b // 4 % 2}"
        return evolve(job, ephemeral=False, key=key, on_conflict=policy, payload=(b"[]", b"[1]")[c_ % 2])

    # -- workers ----------------------------------------------------------------------------------

    def report(self, verb: str, run: Run, b: int) -> c.Report:
        """Let the worker say this of its run; with most verbs its run is over."""
        if verb in _ENDS:
            self._ends(run)
        return make_report(verb, run.job_id, run.claim, b)

    def end(self, run: Run, b: int) -> c.Report:
        """Let the worker stop, one way or another."""
        return self.report(_ENDS[b % len(_ENDS)], run, b)

    def _ends(self, run: Run) -> None:
        if self.runs.get(run.worker) is run:
            del self.runs[run.worker]

    # -- crashes and pictures -------------------------------------------------------------------------

    def crash(self, *, from_picture: bool, registered: bool) -> None:
        """Lose everything but the ledger, and begin again with it."""
        self.held.clear()
        self.close_photo()
        self.lives += 1
        self.is_draining = False
        self.ghosts = [*self.ghosts, *self.runs.values()][-6:]
        self.runs = {}
        self.deaf = []
        ledger = self.machine.ledger
        if from_picture:
            picture = ledger.picture()
            jobs: list[Job] = []
            while some := picture.take(64):
                jobs += map(copy, some)
            self.machine = Machine(self.settings, Ledger(picture.totals, jobs))
        else:
            self.machine = Machine(self.settings, replay(map(copy, self.facts), self.blank()))
        first: list[c.Command] = [c.SetGroup("red", 1), *([REGISTER] if registered else [])]
        self.step([*first, c.Recover()], self.now, is_start=True)
        if not registered:
            self.step([REGISTER], self.now)

    def begin_photo(self) -> None:
        """Begin a picture, and remember what should be on it."""
        ledger = self.machine.ledger
        self.photo = ledger.picture()
        self.photo_meant = sorted((copy(job) for job in ledger.jobs.values()), key=lambda job: job.seq)
        self.photo_taken = []

    def take_photo(self, most: int) -> bool:
        """Take the next slice; False at the end."""
        assert self.photo is not None
        some = self.photo.take(most)
        self.photo_taken += map(copy, some)
        if not some:
            self.photos.append((self.photo.totals, self.photo_meant, self.photo_taken))
            self.photo = None
        return bool(some)

    def close_photo(self) -> None:
        """Take the rest of a picture."""
        while self.photo is not None:
            self.take_photo(7)


def read_options(a: int, b: int, c_: int) -> JobOptions:
    """Return options that these numbers choose: about half of the jobs have no limit at all."""
    limited = a % 2 == 0
    return JobOptions(
        priority=(0, 0, 5, -5)[b % 4],
        retry=Retry(max_attempts=1 + b % 3, delay=(0.0, 0.4, 2.0)[c_ % 3], jitter=0.1 if b % 2 else 0.0),
        timeout=(None, 1.1, 4.0)[a // 2 % 3] if limited else None,
        heartbeat_timeout=(None, 0.9, 2.5)[a // 6 % 3] if limited else None,
        expires=(None, 1.3, 6.0)[a // 18 % 3] if limited else None,
        deadline=(None, 2.9, 9.0)[b // 4 % 3] if limited else None,
        grace=(0.0, 0.8, 5.0)[c_ // 3 % 3],
        group=(None, None, "red", "blue")[c_ // 9 % 4],
        dead_letter=(True, KNOWN, False, False, False)[b // 12 % 5],
        run_in="process" if a // 54 % 4 == 1 else None,
        max_interruptions=(1, 2, 3, 5)[c_ // 36 % 4],
        max_snoozes=(None, None, 0, 1)[b // 60 % 4],
    )


WAITING = (JobState.SCHEDULED, JobState.QUEUED, JobState.PAUSED)


def _edit(job_id: str, b: int) -> c.Command:
    options = ({}, {"priority": 7}, {"group": "red"}, {"expires": 2.0, "tags": {"a": "b"}})[b // 2 % 4]
    return c.Edit(job_id, (None, b"[2]")[b % 2], options, (None, 0.0, 2.1)[b // 8 % 3])


_VERBS: dict[str, tuple[tuple[JobState, ...], Callable[[str, int], c.Command]]] = {
    "pause": (WAITING, lambda job_id, b: c.Pause(job_id)),
    "resume": ((JobState.PAUSED,), lambda job_id, b: c.Resume(job_id)),
    "promote": ((JobState.SCHEDULED,), lambda job_id, b: c.Promote(job_id)),
    "remove": (FINAL, lambda job_id, b: c.Remove(job_id)),
    "edit": (WAITING, _edit),
}
"""What is asked of one job by callers, beside those that stand by themselves; and in which states it makes sense."""


_REPORTS: dict[str, Callable[[str, int, int], c.Report]] = {
    "finish": lambda job_id, claim, b: c.Finish(job_id, claim, b"1"),
    "fail": lambda job_id, claim, b: c.Fail(job_id, claim, some_failure()),
    "fail_for_good": lambda job_id, claim, b: c.Fail(job_id, claim, some_failure(), retryable=False),
    "fail_with_delay": lambda job_id, claim, b: c.Fail(job_id, claim, some_failure(), delay=b % 4 * 0.5),
    "snooze": lambda job_id, claim, b: c.Snooze(job_id, claim, b % 4 * 0.5),
    "quit": lambda job_id, claim, b: c.Quit(job_id, claim, "not for me"),
    "park": lambda job_id, claim, b: c.Park(job_id, claim, some_failure(Reason.BAD_PAYLOAD)),
    "beat": lambda job_id, claim, b: c.Beat(job_id, claim),
    "extend": lambda job_id, claim, b: c.Extend(job_id, claim, b % 8 * 0.5),
    "progress": lambda job_id, claim, b: c.ShowProgress(job_id, claim, b / 256 or None, message=str(b)),
    "log": lambda job_id, claim, b: c.Log(job_id, claim, "info", str(b), b"{}"),
    "lend": lambda job_id, claim, b: c.Lend(job_id, claim),
    "take_back": lambda job_id, claim, b: c.TakeBack(job_id, claim),
    "begin": lambda job_id, claim, b: c.Begin(job_id, claim),
    "die": lambda job_id, claim, b: c.Crash(job_id, claim, some_failure(Reason.BAD_EXIT)),
    "kill": lambda job_id, claim, b: c.Crash(job_id, claim, some_failure(Reason.KILLED)),
}
_ENDS = ("finish", "fail", "fail_for_good", "fail_with_delay", "snooze", "quit", "park", "die", "kill")


def make_report(verb: str, job_id: str, claim: int, b: int = 0) -> c.Report:
    """Return the report of that name."""
    return _REPORTS[verb](job_id, claim, b)


def all_reports(job_id: str, claim: int) -> list[c.Command]:
    """Return a report of each kind."""
    return [make_report(verb, job_id, claim, 1) for verb in _REPORTS]


# -- what is where ------------------------------------------------------------------------------------


def entries(heap: Heap[Any]) -> list[tuple[Any, ...]]:
    """Return what a heap holds, in the order in which it would be popped."""
    return sorted(heap._live.values())


def place_of(job: Job) -> str:
    """Return the name of the place in which a ledger must keep the job."""
    if job.state is JobState.SCHEDULED:
        assert job.hold_reason is not None
        return "parked" if job.hold_reason.is_parked else "delayed" if job.hold_reason.is_timed else "blocked"
    return {JobState.QUEUED: "ready"}.get(job.state, job.state.value)


def places(ledger: Ledger) -> dict[str, list[str]]:
    """Return the ids in each place."""
    return {
        "ready": sorted(ledger.ready),
        "delayed": sorted(ledger.delayed),
        "parked": sorted(job_id for jobs in ledger.parked.values() for job_id in jobs),
        "blocked": sorted(job_id for by in ledger.blocked.values() for jobs in by.values() for job_id in jobs),
        "paused": sorted(ledger.paused),
        "running": sorted(ledger.running),
        **{state.value: sorted(ledger.finished[state]) for state in FINAL},
    }


def dump(ledger: Ledger) -> dict[str, Any]:
    """Return all that a ledger is, as plain data that does not change with it."""
    return {
        "totals": (ledger.n, ledger.now, ledger.seq, ledger.removed),
        "jobs": {job_id: copy(job) for job_id, job in ledger.jobs.items()},
        "ready": sorted(ledger.ready.entries()),
        "delayed": entries(ledger.delayed),
        "limits": entries(ledger.limits),
        "places": places(ledger),
        "shelves": {task: set(jobs) for task, jobs in ledger.parked.items()},
        "keys": {key: list(jobs) for key, jobs in ledger.keys.items()},
        "blocked": {key: {group: set(jobs) for group, jobs in by.items()} for key, by in ledger.blocked.items()},
        "queued_keys": {key: set(jobs) for key, jobs in ledger.queued_keys.items()},
        "running_keys": {key: job.id for key, job in ledger.running_keys.items()},
        "running_groups": {group: set(jobs) for group, jobs in ledger.running_groups.items()},
        "pauses": dict(ledger.pauses),
        "pause_ends": entries(ledger.pause_ends),
        "ended": {state: _ends_of(ledger, state) for state in FINAL},
        "count": ledger.count(),
        "live": ledger.live,
    }


def _ends_of(ledger: Ledger, state: JobState) -> list[tuple[float | None, int]]:
    # Jobs that ended at one time may stand in any order: a picture does not remember it.
    return sorted((job.ended_at, job.seq) for job in ledger.finished[state].values())


def dump_roster(roster: Roster) -> dict[str, Any]:
    """Return all that a roster is, but for the count of late reports."""
    return {
        "target": roster.target,
        "workers": dict(roster.workers),
        "idle": list(roster.idle),
        "claims": {job_id: (copy(claim), set(claim.armed)) for job_id, claim in roster.claims.items()},
        "alarms": entries(roster.alarms),
        "tasks": set(roster.tasks),
        "task_options": dict(roster.task_options),
        "group_limits": dict(roster.group_limits),
        "is_draining": roster.is_draining,
        "lost": roster.lost_workers,
        "abandoned": set(roster.abandoned),
        "paused_tasks": dict(roster.paused_tasks),
        "deaths": (list(roster.deaths), list(roster._past_deaths)),
        "lent": roster.lent,
    }
