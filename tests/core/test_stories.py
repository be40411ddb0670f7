"""Transcripts: commands in; facts, effects and answers out.

A story is a text. A line that begins with ``>`` is a command; below it stands what the machine made of
it; a line that begins with ``#`` is a comment. ``pytest tests/core/test_stories.py --rewrite-stories``
writes down what happens now, to be read as a diff.

The language::

    > queue workers=2 on_unknown_task=fail      settings; must come first if at all
    > at +10                                    time passes (a step), by so much
    > next                                      time passes, until the next deadline
    > submit a task=mail delay=5 timeout=30     options of the job, max_attempts, retry_delay, backoff
    > cancel a | rerun a | register mail | workers 3 | bury 1 | drain | halt 2
    > finish a | fail a | snooze a 5 | quit a | park a | beat a | extend a 5 | progress a 0.5 | log a hi
    > lend a | takeback a
    > crash                                     a new machine from the ledger, and Recover
    > state                                     what is where

A report is for the running claim, or says ``claim=1``. Times are seconds since the beginning; every
story begins with the task ``mail`` registered, and one worker. Source of the idea: etcd raft's datadriven
tests.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from actorq.config import RestartBudget, Retention, Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.job import Attempt, Failure, Job, JobOptions, Reason
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine, Step
from actorq.core.picture import Totals
from actorq.core.retry import Retry

STORIES = sorted(Path(__file__).with_name("stories").glob("*.txt"))
EPOCH = 1_000.0
QUIET = {"at", "n", "job_id", "payload", "options", "seq", "data"}
"""Fields that a transcript leaves out: they say nothing, or stand elsewhere on the line."""


def test_there_are_stories() -> None:
    assert STORIES


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_is_told_as_it_happened(path: Path, pytestconfig: pytest.Config) -> None:
    text = path.read_text(encoding="utf-8")
    told = tell(text)
    if pytestconfig.getoption("--rewrite-stories"):
        path.write_text(told, encoding="utf-8")
    else:
        assert told == text


def tell(text: str) -> str:
    """Return the text with what happens below each of its commands."""
    teller = Teller()
    told: list[str] = []
    for line in text.splitlines():
        if line.startswith(">"):
            told += [line, *teller.run(line[1:].split())]
        elif line.startswith("#") or not line:
            told.append(line)
    return "\n".join(told) + "\n"


class Teller:
    """Turn a machine by words."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.machine = self._machine({})

    def run(self, words: list[str]) -> list[str]:
        """Carry out a command, and return the lines that tell of it."""
        verb, *rest = words
        plain = [word for word in rest if "=" not in word]
        named = dict(word.split("=", 1) for word in rest if "=" in word)
        match verb:
            case "queue":
                self.machine = self._machine(named)
                return []
            case "at":
                return self._step(until=self.now + float(plain[0]))
            case "next":
                return self._step(until=self.machine.next_deadline())
            case "crash":
                return self._crash()
            case "state":
                return self._state()
            case _:
                return self._step(self._command(verb, plain, named))

    def _machine(self, named: dict[str, str]) -> Machine:
        read: dict[str, Any] = {"workers": 1}
        read |= {key: _value(value) for key, value in named.items()}
        settings = Settings(
            retention=Retention(read.pop("age", 3600.0), read.pop("count", 10_000)),
            restarts=RestartBudget(read.pop("deaths", 100)),
            **read,
        )
        machine = Machine(settings, Ledger(Totals(now=self.now)))
        machine.step([c.Register(("mail",))], self.now)
        return machine

    def _step(self, *commands: c.Command, until: float | None = None) -> list[str]:
        if until is not None:
            self.now = until
        step = self.machine.step(commands, self.now)
        return [*([] if until is None else [f"  now {_time(until)}"]), *_tell(step)]

    def _crash(self) -> list[str]:
        picture = self.machine.ledger.picture()
        jobs: list[Job] = []
        while some := picture.take(100):
            jobs += some
        settings = self.machine.roster.settings
        self.machine = Machine(settings, Ledger(picture.totals, jobs))
        return self._step(c.Register(("mail",)), c.Recover())

    def _command(self, verb: str, plain: list[str], named: dict[str, str]) -> c.Command:
        report = _REPORTS.get(verb)
        if report is None:
            return _COMMANDS[verb](plain, named)
        job_id, *rest = plain
        job = self.machine.ledger.jobs.get(job_id)
        claim = int(named.get("claim", job.claim if job else 0))
        return report(job_id, claim, rest)

    def _state(self) -> list[str]:
        machine = self.machine
        deadline = machine.next_deadline()
        lines: list[str] = []
        for job in machine.ledger.jobs.values():
            lines += [f"  {_job(job)}", *(f"      {_run(run)}" for run in job.attempts)]
        workers = ", ".join(f"{n}: {job or '-'}" for n, job in machine.roster.workers.items())
        return [
            *lines,
            f"  workers {workers}; late reports {machine.roster.late_reports}",
            f"  wakes {_time(deadline)}",
        ]


# -- words to commands ---------------------------------------------------------------------------------


def _value(word: str) -> Any:
    for read in (int, float):
        try:
            return read(word)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(word, word)


def _submit(plain: list[str], named: dict[str, str]) -> c.Command:
    read: dict[str, Any] = {key: _value(value) for key, value in named.items()}
    task, delay = read.pop("task", "mail"), float(read.pop("delay", 0.0))
    retry = Retry(
        read.pop("max_attempts", 3),
        read.pop("retry_delay", 1.0),
        read.pop("backoff", "exponential"),
        jitter=0.0,
    )
    options = JobOptions(retry=retry, **read)
    return c.Submit(tuple(c.NewJob(job_id, task, b"[]", options, delay) for job_id in plain))


_COMMANDS: dict[str, Callable[[list[str], dict[str, str]], c.Command]] = {
    "submit": _submit,
    "cancel": lambda words, named: c.Cancel(words[0], " ".join(words[1:])),
    "rerun": lambda words, named: c.Rerun(words[0]),
    "register": lambda words, named: c.Register(tuple(words)),
    "workers": lambda words, named: c.SetWorkers(int(words[0])),
    "bury": lambda words, named: c.Bury(int(words[0]), "a bug"),
    "drain": lambda words, named: c.Drain(),
    "halt": lambda words, named: c.Halt(float(words[0])),
}
_REPORTS: dict[str, Callable[[str, int, list[str]], c.Command]] = {
    "finish": lambda job, claim, rest: c.Finish(job, claim, " ".join(rest or ["null"]).encode()),
    "fail": lambda job, claim, rest: c.Fail(job, claim, Failure(Reason.ERROR, "OSError", "no")),
    "snooze": lambda job, claim, rest: c.Snooze(job, claim, float(rest[0])),
    "quit": lambda job, claim, rest: c.Quit(job, claim, " ".join(rest)),
    "park": lambda job, claim, rest: c.Park(job, claim, Failure(Reason.BAD_PAYLOAD, "TypeError")),
    "beat": lambda job, claim, rest: c.Beat(job, claim),
    "extend": lambda job, claim, rest: c.Extend(job, claim, float(rest[0])),
    "progress": lambda job, claim, rest: c.ShowProgress(job, claim, float(rest[0])),
    "log": lambda job, claim, rest: c.Log(job, claim, "info", " ".join(rest), b"{}"),
    "lend": lambda job, claim, rest: c.Lend(job, claim),
    "takeback": lambda job, claim, rest: c.TakeBack(job, claim),
}


# -- what happened, in words ------------------------------------------------------------------------------


def _tell(step: Step) -> list[str]:
    lines = [f"  {fact.n} {_said(fact, fact.job_id)}" for fact in step.facts]
    lines += [f"  -> {_said(effect, getattr(effect, 'job_id', ''))}" for effect in step.effects]
    lines += [f"  = {_answer(answer)}" for answer in step.answers if answer is not None]
    return lines


def _said(thing: f.Fact | e.Effect, job_id: str) -> str:
    fields = {field.name: getattr(thing, field.name) for field in attrs.fields(type(thing))}
    told = [
        f"{name}={_plain(name, value)}" for name, value in fields.items() if name not in QUIET and value is not False
    ]
    return " ".join([type(thing).__name__, *([job_id] if job_id else []), *told])


def _plain(name: str, value: Any) -> str:
    if name.endswith("_at"):
        return _time(value)
    if isinstance(value, Failure):
        return f"{value.reason}/{value.type}"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Exception):
        return type(value).__name__
    if isinstance(value, str) and " " in value:
        return repr(value)
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))


def _answer(answer: object) -> str:
    return f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else str(answer)


def _time(at: float) -> str:
    return f"{at - EPOCH:g}"


def _job(job: Job) -> str:
    told = [job.id, job.state.value]
    told += [job.hold_reason.value, f"due {_time(job.due_at)}"] if job.hold_reason else []
    told += [f"attempt {job.attempt}", f"claim {job.claim}"]
    told += [f"interruptions {job.interruptions}"] if job.interruptions else []
    told += [f"snoozes {job.snoozes}"] if job.snoozes else []
    told += ["stalled"] if job.stalled else []
    told += ["being cancelled"] if job.cancel_requested is not None else []
    told += [f"failure {_plain('', job.failure)}"] if job.failure else []
    told += [f"result {job.result.decode()}"] if job.result is not None else []
    return ", ".join(told)


def _run(run: Attempt) -> str:
    return f"run {run.claim} by worker {run.worker}: {_time(run.started_at)} to {_time(run.ended_at)}, {run.outcome}"
