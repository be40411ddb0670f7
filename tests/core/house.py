"""A machine to ask, one thing after another, and a few words for it."""

from math import inf
from typing import Any

from actorq.config import Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core.job import Failure, Job, JobOptions, JobState, Reason
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine, Step
from actorq.core.picture import Totals
from actorq.core.retry import Retry

from .driver import make_report

NO_JITTER = Retry(max_attempts=3, delay=1.0, backoff="fixed", jitter=0.0)
BAD = Failure(Reason.ERROR, "ValueError", "no", at=3.0)
BAD_PAYLOAD = Failure(Reason.BAD_PAYLOAD, "Misfit", "no", at=3.0)


class House:
    """A machine, and a clock that begins at 100."""

    def __init__(self, ledger: Ledger | None = None, **settings: Any) -> None:
        self.now = 100.0
        self.machine = Machine(Settings(**{"workers": 1} | settings), ledger or Ledger(Totals(now=self.now)))
        self.last = self.ask(c.Register(("mail",)))

    def ask(self, *commands: c.Command, after: float = 0.0, late: float = 0.0) -> Step:
        self.now += after
        self.last = self.machine.step(commands, self.now, late=late)
        return self.last

    def submit(self, *ids: str, task: str = "mail", delay: float = 0.0, **options: Any) -> Step:
        asked = JobOptions(**{"retry": NO_JITTER} | options)
        return self.ask(c.Submit(tuple(c.NewJob(i, task, b"[]", asked, delay) for i in ids)))

    def submit_keyed(self, job_id: str, on_conflict: c.OnConflict = "return_existing", **fields: Any) -> Any:
        """Submit a job with the key ``k``, and return the answer: the id that stands for it, or the refusal."""
        asked = JobOptions(retry=NO_JITTER, **fields.pop("options", {}))
        job = c.NewJob(job_id, "mail", fields.pop("payload", b"[]"), asked, key="k", on_conflict=on_conflict, **fields)
        answer = self.ask(c.Submit((job,))).answers[0]
        return answer[0] if isinstance(answer, tuple) else answer

    def finish(self, job_id: str = "a", after: float = 0.0) -> Step:
        return self.report("finish", job_id, after)

    def crash(self, *first: c.Command) -> Step:
        """Lose the program, and begin again with a picture of what was."""
        picture = self.machine.ledger.picture()
        jobs: list[Job] = []
        while some := picture.take(100):
            jobs += some
        self.machine = Machine(self.machine.roster.settings, Ledger(picture.totals, jobs))
        return self.ask(c.Register(("mail",)), *first, c.Recover())

    def report(self, verb: str, job_id: str = "a", after: float = 0.0) -> Step:
        return self.ask(make_report(verb, job_id, self.job(job_id).claim), after=after)

    def fail(self, job_id: str = "a", **options: Any) -> Step:
        return self.ask(c.Fail(job_id, self.job(job_id).claim, BAD, **options))

    def die(self, job_id: str = "a", reason: Reason = Reason.BAD_EXIT, after: float = 0.0) -> Step:
        """Let the process in which the job runs be gone."""
        failure = Failure(reason, "ProcessDied", f"{reason} of {job_id}")
        return self.ask(c.Crash(job_id, self.job(job_id).claim, failure), after=after)

    def bury(self, job_id: str = "a") -> Step:
        """Let the worker that runs the job die."""
        return self.ask(c.Bury(self.job(job_id).worker, "a bug"))

    def wake(self) -> Step:
        deadline = self.machine.next_deadline()
        return self.ask(after=max(deadline - self.now, 0.0) if deadline < inf else 0.0)

    def job(self, job_id: str = "a") -> Job:
        return self.machine.ledger.jobs[job_id]

    @property
    def state(self) -> JobState:
        return self.job().state

    def states(self) -> dict[str, str]:
        """Return where every job stands."""
        return {job.id: job.state.value for job in self.machine.ledger.jobs.values()}

    def running(self) -> list[str]:
        return sorted(self.machine.ledger.running)

    @property
    def reason(self) -> Reason | None:
        return self.reason_of("a")

    def reason_of(self, job_id: str) -> Reason | None:
        failure = self.job(job_id).failure
        return failure.reason if failure else None


def names(step: Step) -> list[str]:
    return [type(thing).__name__ for thing in (*step.facts, *step.effects)]


def aborts(step: Step) -> list[tuple[str, Reason, float]]:
    return [(x.job_id, x.reason, x.grace) for x in step.effects if isinstance(x, e.Abort)]
