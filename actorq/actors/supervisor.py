"""The supervisor owns the machine: receive, step, write, act.

A turn is synchronous from the first letter to the last effect, so nothing can be cancelled half way, and
nothing it does ever waits: whoever wants to wait does so for a letter's answer, for the end of a job, for
room, or on the feed. Its own task only sleeps until the machine's next deadline.

The order within a turn is the house's third law: the facts go to the scribe first, and everything else leaves
through the outbox, when he says that they are written.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from copy import copy
from math import inf
from typing import Any

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint, current_token
from attrs import define

from actorq.actors.attempt import place_of
from actorq.actors.clock import Clock
from actorq.actors.crew import Crew
from actorq.actors.door import Door
from actorq.actors.explain import explain
from actorq.actors.feed import Feed
from actorq.actors.mailbox import Letter, Mailbox
from actorq.actors.meter import Meter
from actorq.actors.outbox import Outbox, Parcel
from actorq.actors.plan import Plan
from actorq.actors.processes import ProcessPool
from actorq.actors.scribe import Scribe
from actorq.actors.spawn import Spawned, caller, spawn
from actorq.actors.threads import Threads
from actorq.actors.waiter import Ended, Waiter, Waiters
from actorq.actors.watchdog import Watchdog
from actorq.actors.worker import Worker
from actorq.config import LATE_LOOP_S, LATE_TURN_S, TURNS_TO_SPEAK
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.decide import decide
from actorq.core.job import Job, JobState, Reason
from actorq.core.machine import Machine, Step
from actorq.errors import ActorqError, InternalError, JobError, QueueClosed, Refused, StoreFull
from actorq.explanation import Explanation
from actorq.function import Function
from actorq.stack import Stack

__all__ = ["Supervisor"]

log = logging.getLogger("actorq")


@define
class _Local:
    """What only this process knows of a job."""

    context: Context | None = None
    """Its submitter's."""
    function: Function | None = None
    """Of an ephemeral job."""
    call: tuple[Any, Any] | None = None
    """The arguments of an ephemeral job."""


class Supervisor:
    """One machine, its workers, and those who wait."""

    def __init__(
        self,
        machine: Machine,
        clock: Clock,
        scribe: Scribe,
        functions: dict[str, Function],
        queue: object,
        plan: Plan,
    ) -> None:
        self.machine = machine
        self.clock = clock
        self.scribe = scribe
        self.feed = Feed(machine.ledger.n)
        self.meter = Meter(clock.now())
        self.listeners = plan.listeners
        self.queue = queue
        self.thread = threading.get_ident()
        self.token = current_token()
        self.call_soon = caller()
        self.threads = Threads(self.call_soon, self.token)
        self.watchdog = Watchdog(self, plan.block_limit)
        self.processes = ProcessPool(plan.processes, lambda: machine.roster.wanted)
        self.name = plan.settings.name
        self.error: ActorqError | None = None
        """Why nothing is taken any more."""
        self.is_sound = True
        """Whether the ledger can be trusted: no bug of ours has struck in the middle of a turn."""
        self.is_torn_down = False
        """Whether the event loop ended before the queue was closed."""
        self.loop_lag_s = 0.0
        """How late the last alarm was."""
        self._functions = functions
        self.door = Door(self)
        self._mailbox = Mailbox(self._turn)
        self._outbox = Outbox(self._carry_out, self._tell_all)
        self._is_refusing = False
        """Whether it is known that there is no room on the disk."""
        self._crew = Crew(self)
        self._waiters = Waiters()
        self._locals: dict[str, _Local] = {}
        self._next_turn: anyio.Event | None = None
        self._poke = anyio.Event()
        self._sleeps_until = inf
        self._forgiven_until = -inf
        self._task: Spawned | None = None
        self._is_stopping = False
        self._stopped = anyio.Event()
        self._effects: dict[type[e.Effect], Callable[[Any], None]] = {
            e.Dispatch: self._dispatch,
            e.Abort: self._abort,
            e.Hire: self._crew.hire,
            e.Retire: self._crew.retire,
            e.Abandon: self._crew.abandon,
            e.PauseTask: self._tell_paused_task,
            e.GiveUp: self._give_up,
        }

    # -- speaking to it ------------------------------------------------------------------------------

    def tell(self, command: c.Command, cause: BaseException | None = None) -> Any:
        """Post a command; return what was decided, if it was at once, and do not wait until that is kept.

        Raises:
            ActorqError: the command was refused, or the queue has stopped.
        """
        return self._post(Letter(command, cause)).decision()

    async def ask(self, command: c.Command) -> Any:
        """Post a command, wait until what follows is as durable as was promised, and return the answer.

        Raises:
            ActorqError: the command was refused, or the queue has stopped.
            StoreFull: there was no room to write it; nothing was changed.
            StoreFailed: it is unknown whether it was written.
        """
        return await self.post(command).answer()

    def post(self, command: c.Command) -> Letter:
        """Post a command; the letter tells at once what was decided, and the answer when that is kept.

        Raises:
            StoreFailed: nothing is kept any more.
        """
        if self.scribe.failure is not None:
            raise self.scribe.failure
        return self._post(Letter(command))

    async def ask_all(self, commands: Sequence[c.Command]) -> list[Any]:
        """Post the commands, to be decided one after the other in one turn; return the answers, refusals among them.

        Raises:
            StoreError: it is unknown what of it was written.
        """
        if self.trouble is not None:
            raise self.trouble
        letters = [Letter(command) for command in commands]
        self._mailbox.post_all(letters)
        answers: list[Any] = []
        for letter in letters:
            try:
                answers.append(await letter.answer())
            except (Refused, JobError) as refusal:
                answers.append(refusal)
        return answers

    def weigh(self, command: c.Command) -> Any:
        """Return what would be answered, and change nothing."""
        machine = self.machine
        return decide(command, machine.ledger, machine.roster, self.clock.now()).answer

    async def kept(self, job_id: str | None = None) -> None:
        """Wait until all that has happened until now, or all of one job, is as durable as was promised.

        Raises:
            StoreFull: it will not be before there is room.
            ActorqError: it will not be.
        """
        if self.trouble is not None:
            raise self.trouble
        n = self.machine.ledger.n if job_id is None else self._outbox.last_of(job_id)
        if self.scribe.kept < n:
            letter = Letter(None)
            self._outbox.put_letter(n, letter)
            self._tell_if_stuck([letter])
            await letter.answer()

    async def caught_up(self) -> None:
        """Wait until the disk is not behind any more, or takes nothing."""
        await self.until(lambda: not self.is_behind or self.hindrance is not None or self.error is not None)

    def _post(self, letter: Letter) -> Letter:
        if self.error is None:
            return self._mailbox.post(letter)
        letter.decide(self.error)
        letter.tell()
        return letter

    @property
    def trouble(self) -> ActorqError | None:
        """Why nothing more comes of anything."""
        return self.error or self.scribe.failure

    @property
    def room(self) -> int:
        """How many more live jobs there may be."""
        return self.limit - self.machine.ledger.live

    @property
    def is_working(self) -> bool:
        """Whether any job runs; may be asked from any thread."""
        return bool(self.machine.roster.claims)

    @property
    def is_behind(self) -> bool:
        """Whether submitters are to wait for the disk."""
        return self.scribe.is_behind

    @property
    def hindrance(self) -> ActorqError | None:
        """Why the disk takes no submissions."""
        return self.scribe.failure or self.scribe.full

    @property
    def limit(self) -> int:
        """How many live jobs there may be at all."""
        return self.machine.roster.settings.max_pending

    def job(self, job_id: str) -> Job | None:
        """Return the job, to be read at once."""
        return self.machine.ledger.jobs.get(job_id)

    def explain(self, job: Job) -> Explanation:
        """Say why the job is not running."""
        machine, now = self.machine, self.clock.now()
        runs = self.meter.last_hour(now).run
        mean_run_s = runs.mean if runs.count else None
        return explain(job, machine.ledger, machine.roster, now, mean_run_s=mean_run_s, disk=self._why_not_written(job))

    async def stack(self, job: Job) -> Stack:
        """Return where a running job stands right now."""
        attempt = self._crew.attempt_of(job)
        if attempt is not None:
            return await attempt.stack()
        where = place_of(self.work(job)[0], job)
        return Stack(job.id, job.task, where, (), "It has not begun.")

    def _why_not_written(self, job: Job) -> str | None:
        """Return why the disk keeps the job from its run, if it does."""
        if job.state is JobState.RUNNING and not self._outbox.holds_run(job.id):
            return None
        if self.hindrance is not None:
            return f"the disk takes nothing: {self.hindrance}".rstrip(".")
        return "it begins when it is on the disk that it does" if job.state is JobState.RUNNING else None

    def is_live(self, job_id: str) -> bool:
        """Tell whether the end of the job is still to be told."""
        job = self.job(job_id)
        return (job is not None and not job.state.is_final) or self._outbox.hides_end_of(job_id)

    def remember(
        self,
        job_id: str,
        context: Context | None,
        function: Function | None = None,
        call: tuple[Any, Any] | None = None,
    ) -> None:
        """Keep what only this process knows of a job, until it ends."""
        if job_id not in self.machine.ledger.jobs:  # else it was submitted before, and is accepted once
            self._locals[job_id] = _Local(context, function, call)

    def forget(self, job_id: str) -> None:
        """Let go of what :meth:`remember` kept: the job was not accepted."""
        if job_id not in self.machine.ledger.jobs:
            self._locals.pop(job_id, None)

    def attach(self, waiter: Waiter, job_id: str) -> None:
        """Let the waiter hear the end of the job, or of the queue; at once, if it has come."""
        if self.scribe.failure is not None:  # an end that is known here may not be kept
            waiter.hear(Ended(job_id, error=self.scribe.failure))
        elif not self.is_live(job_id):
            waiter.hear(Ended(job_id, copy(self.job(job_id))))
        elif self.trouble is not None:
            waiter.hear(Ended(job_id, error=self.trouble))
        else:
            self._waiters.attach(job_id, waiter)

    def detach(self, waiter: Waiter, job_id: str) -> None:
        """Take the waiter's name off the list."""
        self._waiters.detach(job_id, waiter)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so after a turn."""
        while not is_so():
            if self._next_turn is None:
                self._next_turn = anyio.Event()
            await self._next_turn.wait()

    # -- what workers ask of it ------------------------------------------------------------------------

    def work(self, job: Job) -> tuple[Function, tuple[Any, Any] | None, Context | None]:
        """Return what to call for the job, with what if that was never encoded, and its submitter's context."""
        local = self._locals.get(job.id)
        if local is not None and local.function is not None:
            return local.function, local.call, local.context
        return self._functions[job.task], None, None if local is None else local.context

    def is_being_torn_down(self) -> bool:
        """Tell whether the loop is closing under us."""
        return self._task is not None and self._task.is_being_torn_down()

    def worker_ended(self, worker: Worker) -> None:
        """Hear that a worker's task is over."""
        self._crew.forget(worker)
        self._end_turn()

    # -- its life --------------------------------------------------------------------------------------

    def start(self, declared: Sequence[c.Command]) -> None:
        """Take up what a former life left behind, and begin to keep the machine's time.

        ``declared`` tells of the tasks and groups that there are.

        Raises:
            InternalError: what was recovered does not hold together.
        """
        self.scribe.hear = self._hear_scribe
        self.scribe.use_clock(self.clock.now)
        self.listeners.start(self.feed)
        self._turn([*map(Letter, declared), Letter(c.Recover())])
        if self.error is not None:
            raise self.error
        self.scribe.snapshots.tell_when_due = self._wake
        self._task = spawn(self._keep_time, f"actorq {self.name} supervisor")
        self._start_processes_ahead()

    def declare(self, command: c.Command) -> None:
        """Take what is declared while the queue is open.

        Raises:
            QueueClosed: it has stopped.
        """
        self.tell(command)
        self._start_processes_ahead()

    def _start_processes_ahead(self) -> None:
        """Have worker processes at hand, if any task wants them."""
        if any(options.run_in == "process" for options in self.machine.roster.task_options.values()):
            self.processes.start_ahead()

    async def stop(self) -> ActorqError | None:
        """Send the workers home, let go of those that are lost, and end; waiters hear that the queue is closed.

        Returns: why it had stopped by itself, if it had.
        """
        with suppress(ActorqError):
            self.tell(c.SetWorkers(0))
        self._crew.send_home()
        await self.until(lambda: self.error is not None or self._crew.is_gone)
        await self._crew.see_off()
        unwritten = await self.scribe.finish()
        self._is_stopping = True
        self._poke.set()
        await self._stopped.wait()
        failure = self.error or unwritten
        self._dismiss(failure or QueueClosed(self.name, "closed"))
        return failure

    async def _keep_time(self) -> None:
        try:
            while not self._is_stopping:
                self._poke = anyio.Event()
                self._sleeps_until = self._next_deadline()
                await self.clock.sleep(self._sleeps_until, self._poke)
                if self.clock.now() > self._sleeps_until + LATE_TURN_S:
                    await self._let_others_speak()
                self._mailbox.read()
        except Exception as error:  # noqa: BLE001 - every bug ends here, and everybody hears of it
            self._fail(error)
        finally:
            self._stopped.set()
            if not self._is_stopping and self.error is None:  # the loop is being torn down: nothing will run any more
                self.is_torn_down = True
                self._collapse(QueueClosed(self.name, "gone: its event loop was closed"))
                self.scribe.abandon()

    async def _let_others_speak(self) -> None:
        """Let the loop turn: whom it has kept from giving a sign of life is ready, and to be heard first."""
        for _ in range(TURNS_TO_SPEAK):
            await cancel_shielded_checkpoint()

    def _wake(self) -> None:
        self._poke.set()

    def _next_deadline(self) -> float:
        if self.error is not None:
            return inf
        return min(self.machine.next_deadline(), self.scribe.snapshots.next_at)

    # -- a turn ----------------------------------------------------------------------------------------

    def _turn(self, letters: list[Letter]) -> None:
        """Step the machine once, and act on what comes of it."""
        if self.error is not None:
            self._answer_with(self.error, letters)
            return
        try:
            now = self.clock.now()
            if now >= self._sleeps_until:
                self.loop_lag_s = now - self._sleeps_until
            late = max(now - max(self._sleeps_until, self._forgiven_until), 0.0)
            commands = [letter.command for letter in letters if letter.command is not None]
            # A letter that comes before the overdue alarm: the loop has not turned, so nobody could have beaten.
            is_blocked = late > LATE_LOOP_S or (late > 0.0 and bool(commands))
            if is_blocked:
                self._forgiven_until = now  # each moment once
            step = self.machine.step(commands, now, late=late if is_blocked else 0.0)
            for letter, decision in zip(letters, step.answers, strict=True):
                letter.decide(decision)
            if step.facts:
                self._measure(step)
            self._let_out(step, letters)
            if now >= self.scribe.snapshots.next_at:
                self.scribe.snapshots.begin(self.machine.ledger, now)
            if self._next_deadline() < self._sleeps_until:
                self._poke.set()
        except BaseException as error:
            self._fail(error)
            self._answer_with(self.error, letters)
            if not isinstance(error, Exception):
                raise  # a KeyboardInterrupt that hit us in the middle

    def _let_out(self, step: Step, letters: list[Letter]) -> None:
        """Write what has happened, and let out what may leave already."""
        scribe = self.scribe
        if scribe.failure is not None:
            for effect in step.effects:
                self._carry_out(effect)
            for letter in letters:
                letter.tell(scribe.failure)
        else:
            scribe.write(step.facts, step.now, is_urgent=_begins_a_run(step))
            self._outbox.put(self.machine.ledger.n, step, letters, scribe.written, scribe.kept)
            self._tell_if_stuck(letters)
        self._end_turn()

    def _measure(self, step: Step) -> None:
        ledger = self.machine.ledger
        self.meter.hear(step.facts, step.jobs)
        is_idle = not ledger.running and next(iter(ledger.ready), None) is None
        self.feed.expect(ledger.n, is_idle=is_idle)

    def _tell_if_stuck(self, letters: Sequence[Letter]) -> None:
        """Let nobody wait for an answer that will not come before somebody has made room."""
        if self.scribe.is_stuck:
            for letter in letters:
                letter.tell(self.scribe.full)

    def _tell_all(self, parcel: Parcel) -> None:
        """Let everybody hear what has come of a step: its facts are kept."""
        step, letters = parcel.step, parcel.letters
        if step is not None and step.facts:
            self.feed.publish(step.facts, step.jobs)
        for letter in letters:
            letter.tell()
        for job in parcel.ended:
            self._locals.pop(job.id, None)
            self._waiters.tell(job, _cause_of(job, letters))

    def _answer_with(self, error: ActorqError | None, letters: list[Letter]) -> None:
        for letter in letters:
            letter.decide(error)
            letter.tell()

    # -- what the scribe says --------------------------------------------------------------------------

    def _hear_scribe(self) -> None:
        """Let out what may leave now; or stop taking what can not be written."""
        try:
            scribe = self.scribe
            if scribe.failure is not None:
                self._stand_still(scribe.failure)
            elif scribe.full is not None and not self._is_refusing:
                self._refuse_unwritten(scribe.full)
                scribe.go_on()
            self._is_refusing = scribe.full is not None
            self._outbox.release(scribe.written, scribe.kept)
            for parcel in self._outbox.parcels if scribe.is_stuck else ():
                self._tell_if_stuck(parcel.letters)
            self._end_turn()
        except Exception as bug:  # noqa: BLE001 - every bug ends here, and everybody hears of it
            self._fail(bug)

    def _refuse_unwritten(self, full: StoreFull) -> None:
        """Refuse the submissions that found no room; their facts will be written as those of jobs without payload."""
        parcels = [parcel for parcel in self._outbox.parcels if parcel.n > self.scribe.written]
        facts = [fact for parcel in parcels if parcel.step is not None for fact in parcel.step.facts]
        refused = {fact.job_id: fact for fact in facts if isinstance(fact, f.Submitted) and not fact.dead_letter_of}
        for fact in refused.values():
            fact.ephemeral = True
        for letter in (letter for parcel in parcels for letter in parcel.letters):
            if any(job_id in refused for job_id in letter.jobs()):
                letter.tell(full)
        superseded = {fact.job_id for fact in facts if _is_superseded(fact)} - set(refused)
        self._outbox.unsay_ends(superseded)
        if refused:
            self.tell(c.Withdraw(tuple(refused)))
        for job_id in refused:
            self._locals.pop(job_id, None)
            self._waiters.disappoint(job_id, full)

    def _stand_still(self, failure: ActorqError) -> None:
        """Start nothing and tell nothing more: nothing is kept. What runs may come to its end."""
        runs, parcels = self._outbox.drain()
        for letter in (letter for parcel in parcels for letter in parcel.letters):
            letter.tell(failure)
        self._waiters.dismiss(failure)
        self.door.close()
        self.feed.close()
        if self.error is None and not self.machine.roster.is_draining:
            self.tell(c.Drain())
        for run in runs:  # they do not begin: their workers say at once that they are over
            self._carry_out(e.Abort(run.worker, run.job_id, run.claim, Reason.SHUTDOWN, 0.0))
            self._carry_out(run)

    def _end_turn(self) -> None:
        if self._next_turn is not None:
            self._next_turn.set()
            self._next_turn = None
        self.door.look()

    # -- effects ---------------------------------------------------------------------------------------

    def _carry_out(self, effect: e.Effect) -> None:
        if self.error is None:  # else we gave up: what was planned after that is off
            self._effects[type(effect)](effect)

    def _dispatch(self, effect: e.Dispatch) -> None:
        claim = self.machine.roster.claim_of(effect.job_id, effect.claim)
        if claim is None:
            return  # it is over before it has begun
        self._crew.dispatch(effect)
        self.watchdog.look()
        options = claim.job.options
        has_limit = options.timeout is not None or options.heartbeat_timeout is not None
        if has_limit and self.scribe.has_journal and options.run_in != "process":  # which says itself when it is ready
            self.tell(c.Begin(effect.job_id, effect.claim))

    def _abort(self, effect: e.Abort) -> None:
        if effect.reason is Reason.HEARTBEAT:
            self._tell_silent(effect)
        self._crew.abort(effect)
        held = self._outbox.take_run(effect.job_id, effect.claim)
        if held is not None:
            self._dispatch(held)  # the worker knows that it is not to begin, and says so at once

    def _tell_silent(self, effect: e.Abort) -> None:
        claim = self.machine.roster.claim_of(effect.job_id, effect.claim)
        if claim is None:
            return  # it has ended while the disk was asked
        job = claim.job
        attempt, limit = self._crew.attempt_of(job), job.options.heartbeat_timeout
        if attempt is not None and limit is not None:
            self.watchdog.tell_silent(job.id, job.task, limit, attempt.standing())

    def _tell_paused_task(self, effect: e.PauseTask) -> None:
        budget = self.machine.roster.settings.restarts
        log.error(
            "queue %s: task %s is paused: more than %d workers died under its jobs within %g s (the last: %s); "
            "resume_task() lets it go on",
            self.name,
            effect.task,
            budget.task_deaths,
            budget.window_s,
            effect.cause,
        )

    def _give_up(self, effect: e.GiveUp) -> None:
        self._collapse(effect.error)

    # -- ends ------------------------------------------------------------------------------------------

    def _dismiss(self, error: ActorqError) -> None:
        """Tell everybody who waits for anything that nothing more will come."""
        if self.error is None:
            self.error = error
        for letter in (letter for parcel in self._outbox.drain()[1] for letter in parcel.letters):
            letter.tell(error)
        self._waiters.dismiss(error)
        self._locals.clear()
        self.watchdog.stop()
        self.door.close()
        self.feed.close()
        self._end_turn()

    def _fail(self, bug: BaseException) -> None:
        self.is_sound = False
        log.critical("queue %s has stopped by a bug in actorq", self.name, exc_info=bug)
        error = InternalError(f"queue {self.name!r}: {type(bug).__name__}: {bug}")
        error.__cause__ = bug
        self._collapse(error)

    def _collapse(self, error: ActorqError) -> None:
        """Stop at once: no more turns; every worker is let go of."""
        self._dismiss(error)
        self._crew.let_go()


def _begins_a_run(step: Step) -> bool:
    return any(isinstance(effect, e.Dispatch) for effect in step.effects)


def _is_superseded(fact: f.Fact) -> bool:
    return isinstance(fact, f.Cancelled) and fact.failure.reason is Reason.SUPERSEDED


def _cause_of(job: Job, letters: Sequence[Letter]) -> BaseException | None:
    """Return the exception behind the end of the job, if it was reported in one of these letters."""
    for letter in letters:
        if letter.cause is not None and isinstance(letter.command, c.Report) and letter.command.job_id == job.id:
            return letter.cause
    return None
