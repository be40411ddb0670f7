"""A job led through its life by the real core: one machine, one worker, and a clock that is set by hand."""

from typing import Any

from attrs import define, field

from actorq.config import RestartBudget, Settings
from actorq.core import commands as c
from actorq.core.job import Failure, JobOptions, Reason
from actorq.core.machine import Machine
from actorq.core.retry import Retry
from actorq.record import JobRecord, record_of

EPOCH = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""

SETTINGS = Settings(workers=1, restarts=RestartBudget(task_deaths=1))

TWICE = Retry(max_attempts=2, delay=10.0, jitter=0.0)


@define
class Life:
    """One job, ``j1``, of the task ``mail``."""

    now: float = EPOCH
    machine: Machine = field(factory=lambda: Machine(SETTINGS))

    def __attrs_post_init__(self) -> None:
        self.step(c.Register(("mail", "morgue")))

    def step(self, *commands: c.Command) -> list[Any]:
        step = self.machine.step(list(commands), self.now)
        return step.answers

    def submit(self, job_id: str = "j1", *, task: str = "mail", **new: Any) -> "Life":
        options = JobOptions(**({"retry": TWICE} | new.pop("options", {})))
        self.step(c.Submit((c.NewJob(job_id, task, new.pop("payload", b"[[1],{}]"), options, **new),)))
        return self

    def busy(self) -> "Life":
        """Let another job have the one worker, so that ``j1`` must wait for it."""
        return self.submit("other", options={"priority": 9, "grace": 0.0})

    def rest(self, seconds: float) -> "Life":
        self.now += seconds
        self.step()
        return self

    def do(self, *commands: c.Command) -> "Life":
        self.step(*commands)
        return self

    def finish(self, result: bytes = b"42") -> "Life":
        return self.do(c.Finish("j1", self.claim, result))

    def fail(self, message: str = "no", reason: Reason = Reason.ERROR, **how: Any) -> "Life":
        attempt = self.machine.ledger.jobs["j1"].attempt
        failure = Failure(reason, "ValueError", message, "Traceback …", attempt, self.now)
        return self.do(c.Fail("j1", self.claim, failure, **how))

    def die(self, reason: Reason = Reason.BAD_EXIT) -> "Life":
        """Lose the process in which the job runs."""
        attempt = self.machine.ledger.jobs["j1"].attempt
        return self.do(c.Crash("j1", self.claim, Failure(reason, "ProcessDied", "exit code 9", "", attempt, self.now)))

    def crash(self) -> "Life":
        """Lose the program, and begin again with what it had noted."""
        self.machine = Machine(SETTINGS, self.machine.ledger)
        return self.do(c.Recover(), c.Register(("mail", "morgue")))

    @property
    def claim(self) -> int:
        return self.machine.ledger.jobs["j1"].claim

    @property
    def record(self) -> JobRecord:
        return self.of("j1")

    def of(self, job_id: str) -> JobRecord:
        return record_of(self.machine.ledger.jobs[job_id])


def submitted(**new: Any) -> Life:
    """Return the life of a job that was just submitted, and runs if nothing keeps it."""
    return Life().submit(**new)


def waiting(**new: Any) -> Life:
    """Return the life of a job that is ready, and waits for the worker."""
    return Life().busy().submit(**new)
