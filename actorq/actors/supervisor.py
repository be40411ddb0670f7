"""The supervisor owns the machine: receive, step, write, act.

A turn is synchronous from the first letter to the last effect, so nothing can be cancelled half way, and
nothing it does ever waits: whoever wants to wait does so for a letter's answer, for the end of a job, for
room, or on the feed. Its own task only sleeps until the machine's next deadline.

The order within a turn is the house's third law: the facts go to the scribe first, and everything else
leaves when he says that they are written.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from copy import copy
from math import inf
from typing import Any

import anyio
from anyio.lowlevel import current_token
from attrs import define

from actorq.actors.clock import Clock
from actorq.actors.door import Door
from actorq.actors.feed import Feed, Published
from actorq.actors.mailbox import Letter, Mailbox
from actorq.actors.scribe import Scribe
from actorq.actors.spawn import Spawned, spawn
from actorq.actors.waiter import Ended, Waiter, Waiters
from actorq.actors.worker import Worker
from actorq.config import LATE_LOOP_S, LET_GO_S
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core.job import Job
from actorq.core.machine import Machine, Step
from actorq.errors import ActorqError, InternalError, QueueClosed
from actorq.function import Function

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
        name: str,
    ) -> None:
        self.machine = machine
        self.clock = clock
        self.scribe = scribe
        self.feed = Feed(machine.ledger.n)
        self.limiter = anyio.CapacityLimiter(inf)  # threads of our own; the workers are their bound
        self.queue = queue
        self.thread = threading.get_ident()
        self.token = current_token()
        self.name = name
        self.error: ActorqError | None = None
        """Why nothing is taken any more."""
        self.is_sound = True
        """Whether the ledger can be trusted: no bug of ours has struck in the middle of a turn."""
        self.loop_lag_s = 0.0
        """How late the last alarm was."""
        self._functions = functions
        self.door = Door(self)
        self._mailbox = Mailbox(self._turn)
        self._workers: dict[int, Worker] = {}
        self._lost: set[Worker] = set()
        self._tasks: dict[int, Spawned] = {}
        """Of the workers, also of those that are lost."""
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
            e.Hire: self._hire,
            e.Retire: self._retire,
            e.Abandon: self._abandon,
            e.GiveUp: self._give_up,
        }

    # -- speaking to it ------------------------------------------------------------------------------

    def tell(self, command: c.Command, cause: BaseException | None = None) -> Any:
        """Post a command; return its answer where it is there at once, else None.

        Raises:
            ActorqError: the command was refused, or the queue has stopped.
        """
        return self._post(command, cause).now()

    async def ask(self, command: c.Command) -> Any:
        """Post a command, wait for its answer and return it.

        Raises:
            ActorqError: the command was refused, or the queue has stopped.
        """
        letter = self._post(command)
        return letter.now() if letter.is_answered else await letter.answered()

    def _post(self, command: c.Command, cause: BaseException | None = None) -> Letter:
        letter = Letter(command, cause)
        if self.error is not None:
            letter.answer(self.error)
            return letter
        return self._mailbox.post(letter)

    @property
    def room(self) -> int:
        """How many more live jobs there may be."""
        return self.limit - self.machine.ledger.live

    @property
    def limit(self) -> int:
        """How many live jobs there may be at all."""
        return self.machine.roster.settings.max_pending

    def job(self, job_id: str) -> Job | None:
        """Return the job, to be read at once."""
        return self.machine.ledger.jobs.get(job_id)

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
        job = self.job(job_id)
        if job is None or job.state.is_final:
            waiter.hear(Ended(job_id, copy(job)))
        elif self.error is not None:
            waiter.hear(Ended(job_id, error=self.error))
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
        self._tasks.pop(worker.number, None)
        self._workers.pop(worker.number, None)
        self._lost.discard(worker)
        self._end_turn()

    # -- its life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take up what a former life left behind, and begin to keep the machine's time.

        Raises:
            InternalError: what was recovered does not hold together.
        """
        self._turn([Letter(c.Register(tuple(self._functions))), Letter(c.Recover())])
        if self.error is not None:
            raise self.error
        self.scribe.tell_when_due = self._wake
        self._task = spawn(self._keep_time, f"actorq {self.name} supervisor")

    async def stop(self) -> ActorqError | None:
        """Send the workers home, let go of those that are lost, and end; waiters hear that the queue is closed.

        Returns: why it had stopped by itself, if it had.
        """
        with suppress(ActorqError):
            self.tell(c.SetWorkers(0))
        for worker in [*self._workers.values(), *self._lost]:
            worker.retire()
        for worker in list(self._lost):
            worker.let_go()
        await self.until(lambda: self.error is not None or not self._workers)
        await self._see_off()
        self._is_stopping = True
        self._poke.set()
        await self._stopped.wait()
        failure = self.error
        self._dismiss(failure or QueueClosed(self.name, "closed"))
        return failure

    async def _see_off(self) -> None:
        """Wait a moment for the workers that were let go of. One whose job is in a shield cannot hear it."""
        for insist in (True, False):
            with anyio.move_on_after(LET_GO_S):
                await self.until(lambda: not self._workers and not self._lost)
            for worker in [*self._workers.values(), *self._lost] if insist else ():
                self._tasks[worker.number].cancel()
        for worker in [*self._workers.values(), *self._lost]:
            log.warning("queue %s: worker %d is left behind with a job in a shield", self.name, worker.number)

    async def _keep_time(self) -> None:
        try:
            while not self._is_stopping:
                self._poke = anyio.Event()
                self._sleeps_until = self._next_deadline()
                await self.clock.sleep(self._sleeps_until, self._poke)
                self._mailbox.read()
        except Exception as error:  # noqa: BLE001 - every bug ends here, and everybody hears of it
            self._fail(error)
        finally:
            self._stopped.set()
            if not self._is_stopping:  # the loop is being torn down: nothing will run any more
                self._collapse(QueueClosed(self.name, "gone: its event loop was closed"))

    def _wake(self) -> None:
        self._poke.set()

    def _next_deadline(self) -> float:
        if self.error is not None:
            return inf
        return min(self.machine.next_deadline(), self.scribe.next_snapshot_at)

    # -- a turn ----------------------------------------------------------------------------------------

    def _turn(self, letters: list[Letter]) -> None:
        """Step the machine once, and act on what comes of it."""
        if self.error is not None:
            for letter in letters:
                letter.answer(self.error)
            return
        try:
            now = self.clock.now()
            if now >= self._sleeps_until:
                self.loop_lag_s = now - self._sleeps_until
            late = max(now - max(self._sleeps_until, self._forgiven_until), 0.0)
            commands = [letter.command for letter in letters]
            # A letter that comes before the overdue alarm: the loop has not turned, so nobody could have beaten.
            is_blocked = late > LATE_LOOP_S or (late > 0.0 and bool(commands))
            if is_blocked:
                self._forgiven_until = now  # each moment once
            step = self.machine.step(commands, now, late=late if is_blocked else 0.0)
            self.scribe.write(step.facts, step.now, lambda: self._act(step, letters))
            if now >= self.scribe.next_snapshot_at:
                self.scribe.begin_snapshot(self.machine.ledger, now)
            if self._next_deadline() < self._sleeps_until:
                self._poke.set()
        except BaseException as error:
            self._fail(error)
            for letter in letters:
                letter.answer(self.error)
            if not isinstance(error, Exception):
                raise  # a KeyboardInterrupt that hit us in the middle

    def _act(self, step: Step, letters: list[Letter]) -> None:
        """Let the step out of the house: its facts are written."""
        if step.facts:
            self.feed.publish(Published(fact, job.task) for fact, job in zip(step.facts, step.jobs, strict=True))
        for effect in step.effects:
            if self.error is not None:
                break  # we gave up in this very step: what it had planned after that is off
            self._effects[type(effect)](effect)
        for letter, answer in zip(letters, step.answers, strict=True):
            letter.answer(answer)
        for job in step.ended:
            self._locals.pop(job.id, None)
            self._waiters.tell(job, _cause_of(job, letters))
        self._end_turn()

    def _end_turn(self) -> None:
        if self._next_turn is not None:
            self._next_turn.set()
            self._next_turn = None
        self.door.look()

    # -- effects ---------------------------------------------------------------------------------------

    def _dispatch(self, effect: e.Dispatch) -> None:
        self._workers[effect.worker].dispatch(effect)

    def _abort(self, effect: e.Abort) -> None:
        self._workers[effect.worker].abort(effect)

    def _hire(self, effect: e.Hire) -> None:
        worker = self._workers[effect.worker] = Worker(effect.worker, self)
        self._tasks[effect.worker] = spawn(worker.run, f"actorq {self.name} worker {effect.worker}")

    def _retire(self, effect: e.Retire) -> None:
        self._workers[effect.worker].retire()

    def _abandon(self, effect: e.Abandon) -> None:
        log.warning("queue %s: worker %d is lost: %s", self.name, effect.worker, effect.cause)
        worker = self._workers.pop(effect.worker, None)
        if worker is not None:
            self._lost.add(worker)
            worker.abandon()

    def _give_up(self, effect: e.GiveUp) -> None:
        self._collapse(effect.error)

    # -- ends ------------------------------------------------------------------------------------------

    def _dismiss(self, error: ActorqError) -> None:
        """Tell everybody who waits for anything that nothing more will come."""
        if self.error is None:
            self.error = error
        self._waiters.dismiss(error)
        self._locals.clear()
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
        for worker in [*self._workers.values(), *self._lost]:
            worker.let_go()


def _cause_of(job: Job, letters: list[Letter]) -> BaseException | None:
    """Return the exception behind the end of the job, if it was reported in one of these letters."""
    for letter in letters:
        if letter.cause is not None and isinstance(letter.command, c.Report) and letter.command.job_id == job.id:
            return letter.cause
    return None
