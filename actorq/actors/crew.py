"""The workers of one supervisor, also those that are lost; and where else functions run: threads and processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

import anyio

from actorq.actors.attempt import Attempt
from actorq.actors.spawn import Spawned, spawn
from actorq.actors.worker import Employer, Worker
from actorq.config import LET_GO_S
from actorq.core import effects as e
from actorq.core.job import Job

__all__ = ["Crew"]

log = logging.getLogger("actorq")


class Owner(Employer, Protocol):
    """What a crew needs of the supervisor."""

    name: str

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so after a turn."""
        ...


class Crew:
    """Does what the machine's effects say about workers; never waits, but to see them off."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._workers: dict[int, Worker] = {}
        self._lost: set[Worker] = set()
        self._tasks: dict[int, Spawned] = {}
        """Of the workers, also of those that are lost."""

    def __iter__(self) -> Iterator[Worker]:
        """Yield all of them."""
        yield from [*self._workers.values(), *self._lost]

    @property
    def is_gone(self) -> bool:
        """Whether nobody is left, but those that are lost."""
        return not self._workers

    def attempt_of(self, job: Job) -> Attempt | None:
        """Return the attempt at a running job, if it has begun."""
        worker = self._workers.get(job.worker)
        return None if worker is None else worker.attempt_at(job.claim)

    # -- effects ---------------------------------------------------------------------------------------

    def dispatch(self, effect: e.Dispatch) -> None:
        """Give a worker an attempt to run; one whose loop is closing under it may be gone."""
        if (worker := self._workers.get(effect.worker)) is not None:
            worker.dispatch(effect)

    def abort(self, effect: e.Abort) -> None:
        """Ask a worker's attempt to stop."""
        if (worker := self._workers.get(effect.worker)) is not None:
            worker.abort(effect)

    def hire(self, effect: e.Hire) -> None:
        """Let a new worker begin."""
        worker = self._workers[effect.worker] = Worker(effect.worker, self._owner)
        self._tasks[effect.worker] = spawn(worker.run, f"actorq {self._owner.name} worker {effect.worker}")

    def retire(self, effect: e.Retire) -> None:
        """Send an idle worker home."""
        if (worker := self._workers.get(effect.worker)) is not None:
            worker.retire()

    def abandon(self, effect: e.Abandon) -> None:
        """Expect nothing more of a worker."""
        log.warning("queue %s: worker %d is lost: %s", self._owner.name, effect.worker, effect.cause)
        worker = self._workers.pop(effect.worker, None)
        if worker is not None:
            self._lost.add(worker)
            worker.abandon()

    # -- ends ------------------------------------------------------------------------------------------

    def forget(self, worker: Worker) -> None:
        """Hear that a worker's task is over."""
        self._tasks.pop(worker.number, None)
        self._workers.pop(worker.number, None)
        self._lost.discard(worker)

    def send_home(self) -> None:
        """Let the idle go home, and let go of those that are lost."""
        for worker in self:
            worker.retire()
        for worker in list(self._lost):
            worker.let_go()

    async def see_off(self) -> None:
        """Wait a moment for the workers that were let go of; whoever is in a shield hears the second call."""
        for insist in (True, False):
            with anyio.move_on_after(LET_GO_S):
                await self._owner.until(lambda: not self._workers and not self._lost)
            for worker in self if insist else ():
                self._tasks[worker.number].cancel()
        for worker in self:
            log.warning(
                "queue %s: worker %d is left behind with a job that ignores even its end",
                self._owner.name,
                worker.number,
            )
        self._owner.threads.close()

    def let_go(self) -> None:
        """Let go of all of them, at once, and of their threads and processes; whoever is in a shield is called, too."""
        for worker in self:
            worker.let_go()
            self._tasks[worker.number].cancel()
        self._owner.threads.close()
        self._owner.processes.kill()
