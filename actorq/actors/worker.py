"""A worker: a task that lives as long as the queue, and runs one attempt at a time.

It is told by its inbox, a memory channel of one place, and reports to the supervisor's mailbox. It owns the
:class:`~actorq.actors.driven.Scopes` in which its attempts run; when it abandons one, it shields it for good.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from contextvars import Context
from time import perf_counter
from typing import Any, Protocol

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint

from actorq.actors.attempt import Attempt, Places
from actorq.actors.driven import LetGo, Scopes
from actorq.actors.inbox import Inbox
from actorq.actors.spawn import Spawned, current
from actorq.actors.verdict import message_of
from actorq.config import EAGER_S
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core.job import Job, Reason
from actorq.errors import ActorqError
from actorq.function import Function

__all__ = ["Employer", "Worker"]

log = logging.getLogger("actorq")


class Employer(Places, Protocol):
    """What a worker needs of the supervisor."""

    def tell(self, command: c.Command, cause: BaseException | None = None) -> Any:
        """Post a command."""
        ...

    def job(self, job_id: str) -> Job | None:
        """Return the job."""
        ...

    def work(self, job: Job) -> tuple[Function, tuple[Any, Any] | None, Context | None]:
        """Return what to call, with what if that was never encoded, and its submitter's context."""
        ...

    def is_being_torn_down(self) -> bool:
        """Tell whether the loop is closing under us."""
        ...

    def worker_ended(self, worker: Worker) -> None:
        """Hear that the worker's task is over."""
        ...


class Worker:
    """Runs what it is dispatched, until it is retired or abandoned."""

    def __init__(self, number: int, employer: Employer) -> None:
        self.number = number
        self._employer = employer
        self._inbox = Inbox[e.Dispatch]()
        self._attempt: Attempt | None = None
        self._aborted: tuple[str, int] | None = None
        self._is_abandoned = False
        self._leaves_a_thread = False
        self._scopes = Scopes()
        self._me: Spawned

    # -- what the supervisor does with it; never waits --------------------------------------------------

    def dispatch(self, effect: e.Dispatch) -> None:
        """Give it an attempt to run."""
        self._inbox.put(effect)

    def abort(self, effect: e.Abort) -> None:
        """Ask its attempt to stop."""
        attempt = self._attempt
        if attempt is None or attempt.job_context.claim != effect.claim:
            self._aborted = (effect.job_id, effect.claim)  # it has not begun: it never will
        elif attempt.job_context.cancel_reason is None:
            attempt.ask_to_stop(effect.reason)
            if attempt.where == "loop":  # elsewhere the scope is for the end of the grace
                self._scopes.outer.cancel()

    def attempt_at(self, claim: int) -> Attempt | None:
        """Return its attempt, if it is this one and has begun."""
        attempt = self._attempt
        return attempt if attempt is not None and attempt.job.claim == claim else None

    def retire(self) -> None:
        """Send it home; it is idle."""
        self._inbox.close()

    def abandon(self) -> None:
        """Expect nothing more of it. A process is killed, a thread left behind, a coroutine left alone."""
        self._is_abandoned = True
        self._inbox.close()
        if self._attempt is not None and self._attempt.where != "loop":
            self._scopes.outer.cancel()
        else:
            self._scopes.inner.shield = True

    def let_go(self) -> None:
        """End its task, whatever its coroutine does: it is not stepped again."""
        self._is_abandoned = True
        self._inbox.close()
        if self._attempt is not None:
            self._attempt.ask_to_stop(Reason.SHUTDOWN)  # all that a thread can hear
            self._attempt.let_go()
        self._scopes.inner.shield = False
        self._scopes.outer.cancel()

    # -- its own task -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until sent home."""
        self._me = current()
        try:
            while not self._is_abandoned and await self._serve():
                self._scopes = Scopes()
        except LetGo:
            pass  # whoever let go of it has said why
        except BaseException as error:
            if self._employer.is_being_torn_down():
                raise
            with suppress(ActorqError):  # the queue has stopped, and that may be why
                self._employer.tell(c.Bury(self.number, f"{type(error).__qualname__}: {message_of(error)}"))
        finally:
            self._employer.worker_ended(self)
            if self._is_abandoned and not self._leaves_a_thread:
                self._return()

    async def _serve(self) -> bool:
        """Run attempts until one was aborted (True: its scopes are spent) or the inbox is closed (False)."""
        with self._scopes.outer, self._scopes.inner:
            eager_since = perf_counter()
            while not self._scopes.outer.cancel_called:
                has_waited = self._inbox.is_empty
                effect = await self._inbox.get()
                if has_waited:
                    eager_since = perf_counter()
                if effect is None:
                    return False
                await self._run_attempt(effect)
                if self._is_abandoned:
                    return False
                if perf_counter() - eager_since > EAGER_S:
                    await cancel_shielded_checkpoint()
                    eager_since = perf_counter()
        return True

    async def _run_attempt(self, effect: e.Dispatch) -> None:
        job = self._employer.job(effect.job_id)
        if job is None or self._aborted == (effect.job_id, effect.claim):
            self._employer.tell(c.Quit(effect.job_id, effect.claim, ""))  # why it ends is known already
            return
        attempt = self._attempt = Attempt(job, *self._employer.work(job), self._employer, self._return)
        try:
            report, cause = await attempt.run(self._scopes.cancellation_arrives)
        finally:
            self._attempt = None
            self._leaves_a_thread = attempt.is_left_behind
            attempt.job_context.is_over = True
        if cause is not None and not self._scopes.outer.cancel_called:
            self._forget_foreign_cancellation(cause)
        self._employer.tell(report, cause)
        if self._me.is_cancelled and not self._scopes.outer.cancel_called and not self._employer.is_being_torn_down():
            await self._me.absorb_cancellation()  # the function cancelled its own task, and returned before it felt it

    def _return(self) -> None:
        """Say that the function has ended after all."""
        with suppress(ActorqError):  # the queue has stopped
            self._employer.tell(c.Return(self.number))

    def _forget_foreign_cancellation(self, cause: BaseException) -> None:
        """Go on after a job that cancelled its own task; do not stand in the way of a loop that is closing."""
        if isinstance(cause, anyio.get_cancelled_exc_class()):
            if self._employer.is_being_torn_down():
                raise cause
            self._me.forget_cancellation()
