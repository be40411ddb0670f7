"""The laws of workers, dead, deaf and alive, each tried on a thousand random histories.

What is counted here is counted as an outsider would count it: from what was asked, what was answered, what was said
and what happened, and never from what the machine remembers of it.
"""

from collections import Counter

from attrs import define, field
from hypothesis import given

from actorq.config import RestartBudget
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.job import HoldReason, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger

from .driver import History, Turn, World, dump, dump_roster, histories
from .law import LAW, play

# -- how many there are --------------------------------------------------------------------------------


@define
class Payroll:
    """Counts those that work, those that should, and those that do not stop."""

    target: int
    running: set[str] = field(factory=set[str])
    lent: set[str] = field(factory=set[str])
    """Jobs that wait for others, and whose slots are used by these."""
    deaf: set[int] = field(factory=set[int])
    life: int = 1

    def see(self, world: World, turn: Turn) -> None:
        if world.lives != self.life:
            self.target, self.life = world.settings.workers, world.lives
            self.lent, self.deaf = set(), set()
        said = list(zip(turn.commands, turn.step.answers, strict=True))
        dead = {command.worker for command, answer in said if isinstance(command, c.Bury) and answer}
        self.deaf |= {one.worker for one in turn.step.effects if isinstance(one, e.Abandon)} - dead
        for command, answer in said:
            match command:
                case c.SetWorkers():
                    self.target = command.count
                case c.Return():
                    self.deaf.discard(command.worker)
                case c.Lend() if answer is True:
                    self.lent.add(command.job_id)
                case c.TakeBack() if answer is True:
                    self.lent.discard(command.job_id)
                case _:
                    pass
        self.running = {job.id for job in world.machine.ledger.jobs.values() if job.state is JobState.RUNNING}
        ended = {fact.job_id for fact in turn.step.facts if isinstance(fact, _ENDS_RUN)}
        self.lent -= ended


_ENDS_RUN = (
    f.Succeeded, f.Failed, f.DeadLettered, f.Cancelled, f.RetryScheduled, f.Snoozed, f.Interrupted, f.Released,
    f.Parked, f.Dropped,
)  # fmt: skip


@LAW
@given(histories())
def test_there_are_as_many_workers_as_there_should_be(history: History) -> None:
    """As many as were asked for and are lent, less the deaf beyond their bound; the busy stay until they are idle."""

    def is_staffed(world: World, turn: Turn) -> None:
        payroll.see(world, turn)
        roster = world.machine.roster
        beyond = max(len(payroll.deaf) - world.settings.max_abandoned, 0)
        wanted = max(payroll.target + len(payroll.lent) - beyond, 0)
        assert len(roster.workers) == wanted or (len(roster.workers) > wanted and not roster.idle)

    payroll = Payroll(history.settings.workers)
    play(history, is_staffed, may_batch=False)


@LAW
@given(histories())
def test_no_job_starts_while_too_many_functions_go_on(history: History) -> None:
    """With each that starts, those that run and those that do not stop are within what the settings allow."""

    def is_within_bounds(world: World, turn: Turn) -> None:
        payroll.see(world, turn)
        if any(isinstance(fact, f.Started) for fact in turn.step.facts):
            most = payroll.target + len(payroll.lent) + world.settings.max_abandoned
            assert len(payroll.running) + len(payroll.deaf) <= most

    payroll = Payroll(history.settings.workers)
    play(history, is_within_bounds, may_batch=False)


# -- how many have died ----------------------------------------------------------------------------------


@define
class Graveyard:
    """Counts the dead, for each task and for all; one command a step, so that it is known what came first."""

    budget: RestartBudget
    deaths: list[tuple[float, str]] = field(factory=list[tuple[float, str]])
    paused: set[str] = field(factory=set[str])
    asked_to_stop: set[tuple[str, int]] = field(factory=set[tuple[str, int]])
    shadow: Ledger = field(factory=World.blank)
    """As it was before the step."""
    is_draining: bool = False
    life: int = 1
    should: list[tuple[str, str]] = field(factory=list[tuple[str, str]])
    """What should be said in this step, and of which task."""

    def see(self, world: World, turn: Turn) -> None:
        if world.lives != self.life:
            self.life, self.is_draining = world.lives, False
            self.deaths, self.paused = [], set()
        self.should = []
        command, answer = (turn.commands[-1], turn.step.answers[-1]) if turn.commands else (None, None)
        self.asked_to_stop |= {(x.job_id, x.claim) for x in turn.step.effects if isinstance(x, e.Abort)}
        tasks = {job.worker: job.task for job in self.shadow.running.values()}
        for effect in turn.step.effects:
            if isinstance(effect, e.Abandon) and effect.counts:
                self.note(turn.step.now, tasks.get(effect.worker, ""))
        if isinstance(command, c.Crash) and answer and (command.job_id, command.claim) not in self.asked_to_stop:
            self.note(turn.step.now, self.shadow.jobs[command.job_id].task)
        if isinstance(command, c.ResumeTask):
            assert answer is (command.task in self.paused)
            if answer:
                self.paused.discard(command.task)
                self.deaths = [(at, "" if task == command.task else task) for at, task in self.deaths]
        self.is_draining = self.is_draining or isinstance(command, c.Drain)
        for fact in turn.step.facts:
            self.shadow.apply(fact)

    def note(self, now: float, task: str) -> None:
        if self.is_draining:
            return
        self.deaths.append((now, task))
        recent = [whose for at, whose in self.deaths if at > now - self.budget.window_s]
        if task and task not in self.paused and recent.count(task) > self.budget.task_deaths:
            self.paused.add(task)
            self.should.append(("PauseTask", task))
        if len(recent) > self.budget.deaths:
            self.should.append(("GiveUp", ""))


@LAW
@given(histories())
def test_a_task_is_paused_and_the_queue_gives_up_if_and_only_if_too_many_have_died(history: History) -> None:
    """PauseTask, once, if more than ``task_deaths`` died under its jobs; GiveUp if more than ``deaths`` did in all."""

    def is_justified(world: World, turn: Turn) -> None:
        graves.see(world, turn)
        said = [effect for effect in turn.step.effects if isinstance(effect, e.PauseTask | e.GiveUp)]
        assert [(type(effect).__name__, getattr(effect, "task", "")) for effect in said] == graves.should

    graves = Graveyard(history.settings.restarts)
    play(history, is_justified, may_batch=False)


@LAW
@given(histories())
def test_a_paused_task_starts_nothing(history: History) -> None:
    """Not from its last death until it is resumed, or the next start; and nothing is parked for it after that."""

    def is_still(world: World, turn: Turn) -> None:
        graves.see(world, turn)
        for fact in turn.step.facts:
            if isinstance(fact, f.Started):
                assert world.machine.ledger.jobs[fact.job_id].task not in graves.paused
        held = [job for job in world.machine.ledger.jobs.values() if job.state is JobState.SCHEDULED]
        assert {job.task for job in held if job.hold_reason is HoldReason.TASK_PAUSED} <= graves.paused

    graves = Graveyard(history.settings.restarts)
    play(history, is_still, may_batch=False)


# -- three budgets ---------------------------------------------------------------------------------------


@LAW
@given(histories())
def test_no_job_is_interrupted_more_often_than_it_may_be(history: History) -> None:
    """Nor handed back; each since its last rerun. With the last interruption it fails, and is not tried again."""
    interruptions, snoozes = Counter[str](), Counter[str]()
    shadow = World.blank()
    for fact in play(history).facts:
        job = shadow.jobs.get(fact.job_id)
        options = JobOptions() if job is None else job.options
        match fact:
            case f.Submitted() | f.Requeued():
                interruptions[fact.job_id] = snoozes[fact.job_id] = 0
            case f.Started():
                assert interruptions[fact.job_id] < options.max_interruptions
            case f.Interrupted():
                interruptions[fact.job_id] += 1
                assert interruptions[fact.job_id] < options.max_interruptions
            case f.Failed() | f.DeadLettered() if fact.failure.reason.is_interruption:
                assert interruptions[fact.job_id] == options.max_interruptions - 1
            case f.Snoozed():
                snoozes[fact.job_id] += 1
                assert options.max_snoozes is None or snoozes[fact.job_id] <= options.max_snoozes
            case _:
                pass
        shadow.apply(fact)


@LAW
@given(histories())
def test_only_failures_of_the_function_use_attempts(history: History) -> None:
    """The number of an attempt is one more than there were failed ones since the last rerun, whatever else was."""
    failures = Counter[str]()
    for fact in play(history).facts:
        match fact:
            case f.Submitted() | f.Requeued():
                failures[fact.job_id] = 0
            case f.RetryScheduled():
                assert not fact.failure.reason.is_interruption
                failures[fact.job_id] += 1
            case f.Started():
                assert fact.attempt == failures[fact.job_id] + 1
            case _:
                pass


@LAW
@given(histories())
def test_interruptions_wait_longer_and_longer(history: History) -> None:
    """The first not at all, the second a second, and each further one twice as long."""
    interruptions = Counter[str]()
    for fact in play(history).facts:
        if isinstance(fact, f.Submitted | f.Requeued):
            interruptions[fact.job_id] = 0
        if isinstance(fact, f.Interrupted):
            n = interruptions[fact.job_id]
            assert fact.due_at == fact.at + (2.0 ** (n - 1) if n else 0.0)
            interruptions[fact.job_id] += 1


# -- what a block of the loop does to jobs -----------------------------------------------------------------


@LAW
@given(histories(40))
def test_a_block_of_the_loop_is_told_and_changes_nothing(history: History) -> None:
    """Neither the jobs, whatever they are doing, nor the living."""

    def is_harmless(world: World, turn: Turn) -> None:
        machine, now = world.machine, turn.step.now
        ledger, roster = machine.ledger, machine.roster
        if machine.next_deadline() <= now:
            return
        jobs = ["", "nobody", *(job.id for job in list(ledger.jobs.values())[-3:])]
        before = dump(ledger) | {"totals": ()}, dump_roster(roster)
        step = machine.step([c.ReportBlock(job_id, 1.5, "File …") for job_id in jobs], now)
        world.facts += step.facts
        assert [(type(fact), fact.job_id) for fact in step.facts] == [(f.LoopBlocked, job_id) for job_id in jobs]
        assert step.jobs == [ledger.jobs.get(job_id) for job_id in jobs]
        assert (step.effects, step.ended) == ([], [])
        assert (dump(ledger) | {"totals": ()}, dump_roster(roster)) == before

    play(history, is_harmless)


# -- limits of what has not begun ----------------------------------------------------------------------------


@LAW
@given(histories())
def test_no_limit_of_a_run_counts_before_it_begins_in_its_process(history: History) -> None:
    """It is neither silent nor late; only its deadline, and somebody who asks it to stop, may end it."""
    begun: set[tuple[str, int]] = set()
    places: dict[str, str | None] = {}

    def has_begun(world: World, turn: Turn) -> None:
        for command, answer in zip(turn.commands, turn.step.answers, strict=True):
            if isinstance(command, c.Begin) and answer:
                begun.add((command.job_id, command.claim))
        for effect in turn.step.effects:
            if isinstance(effect, e.Abort) and effect.reason in (Reason.TIMEOUT, Reason.HEARTBEAT):
                assert places[effect.job_id] != "process" or (effect.job_id, effect.claim) in begun
        places.update({fact.job_id: fact.options.run_in for fact in turn.step.facts if isinstance(fact, f.Submitted)})

    play(history, has_begun)
