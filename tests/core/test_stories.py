"""Transcripts: commands in; facts, effects and answers out.

A story is a text. A line that begins with ``>`` is a command; below it stands what the machine made of
it; a line that begins with ``#`` is a comment. ``pytest tests/core/test_stories.py --rewrite-stories``
writes down what happens now, to be read as a diff.

The language::

    > queue workers=2 on_unknown_task=fail      settings; must come first if at all
    > at +10                                    time passes (a step), by so much
    > next                                      time passes, until the next deadline
    > submit a task=mail delay=5 timeout=30     options of the job, max_attempts, retry_delay, backoff
    > submit a key=k on_conflict=replace payload=[1] group=red dead_letter=mail
    > cancel a | rerun a | clone a b | register mail | workers 3 | bury 1 | drain | halt 2
    > pause a | resume a | promote a | remove a
    > edit a delay=5 payload=[2] priority=3    what changes, of the place, the arguments, the options
    > register bury max_attempts=1             options of the jobs that are made of dead ones
    > pauseall [red] [stop] until=10 | resumeall [red]   the queue, or a group
    > group red 1 | group red none             how many of a group may run at a time
    > finish a | fail a | snooze a 5 | quit a | park a | beat a | extend a 5 | progress a 0.5 | log a hi
    > lend a | takeback a | die a | kill a     the process of the run is gone: by itself, or for its memory
    > return 1 | resumetask mail | block a 2   a deaf function ends, a paused task goes on, the loop was blocked
    > crash                                     a new machine from the ledger, and Recover
    > state                                     what is where

A report is for the running claim, or says ``claim=1``. Times are seconds since the beginning; every
story begins with the task ``mail`` registered, and one worker. An answer is told unless it says nothing new:
the ids that were asked for. Source of the idea: etcd raft's datadriven tests.
"""

from collections.abc import Callable, Sequence
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
QUIET = {"at", "n", "job_id", "payload", "options", "seq", "data", "counts"}
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
            restarts=RestartBudget(read.pop("deaths", 100), task_deaths=read.pop("task_deaths", 10)),
            **read,
        )
        machine = Machine(settings, Ledger(Totals(now=self.now)))
        machine.step([c.Register(("mail",))], self.now)
        return machine

    def _step(self, *commands: c.Command, until: float | None = None) -> list[str]:
        if until is not None:
            self.now = until
        step = self.machine.step(commands, self.now)
        return [*([] if until is None else [f"  now {_time(until)}"]), *_tell(step, commands)]

    def _crash(self) -> list[str]:
        picture = self.machine.ledger.picture()
        jobs: list[Job] = []
        while some := picture.take(100):
            jobs += some
        roster = self.machine.roster
        self.machine = Machine(roster.settings, Ledger(picture.totals, jobs))
        groups = [c.SetGroup(group, limit) for group, limit in roster.group_limits.items()]
        return self._step(*groups, c.Register(("mail",)), c.Recover())

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
        pauses = ", ".join(f"{scope or 'queue'} until {_time(until)}" for scope, until in machine.ledger.pauses.items())
        return [
            *lines,
            *([f"  paused {pauses}"] if pauses else []),
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


def _options(read: dict[str, Any]) -> JobOptions:
    retry = Retry(
        read.pop("max_attempts", 3),
        read.pop("retry_delay", 1.0),
        read.pop("backoff", "exponential"),
        jitter=0.0,
    )
    return JobOptions(retry=retry, **read)


def _register(plain: list[str], named: dict[str, str]) -> c.Command:
    options = _options({key: _value(value) for key, value in named.items()})
    return c.Register(tuple(plain), dict.fromkeys(plain, options))


def _submit(plain: list[str], named: dict[str, str]) -> c.Command:
    read: dict[str, Any] = {key: _value(value) for key, value in named.items()}
    task, delay = read.pop("task", "mail"), float(read.pop("delay", 0.0))
    key, on_conflict = read.pop("key", None), read.pop("on_conflict", "return_existing")
    payload = str(read.pop("payload", "[]")).encode()
    new = c.NewJob("", task, payload, _options(read), delay, key=key, on_conflict=on_conflict)
    return c.Submit(tuple(attrs.evolve(new, id=job_id) for job_id in plain))


def _edit(plain: list[str], named: dict[str, str]) -> c.Command:
    payload, delay = named.pop("payload", None), named.pop("delay", None)
    options = {key: _value(value) for key, value in named.items()}
    return c.Edit(
        plain[0], None if payload is None else payload.encode(), options, None if delay is None else float(delay)
    )


def _pause_all(plain: list[str], named: dict[str, str]) -> c.Command:
    until = named.get("until")
    group = "".join(word for word in plain if word != "stop")
    return c.PauseAll(group, None if until is None else EPOCH + float(until), "stop" in plain)


_COMMANDS: dict[str, Callable[[list[str], dict[str, str]], c.Command]] = {
    "submit": _submit,
    "cancel": lambda words, named: c.Cancel(words[0], " ".join(words[1:])),
    "rerun": lambda words, named: c.Rerun(words[0], float(named.get("delay", 0.0))),
    "clone": lambda words, named: c.Rerun(words[0], clone_id=words[1]),
    "pause": lambda words, named: c.Pause(words[0]),
    "resume": lambda words, named: c.Resume(words[0]),
    "promote": lambda words, named: c.Promote(words[0]),
    "edit": _edit,
    "remove": lambda words, named: c.Remove(words[0]),
    "pauseall": _pause_all,
    "resumeall": lambda words, named: c.ResumeAll("".join(words)),
    "group": lambda words, named: c.SetGroup(words[0], None if words[1] == "none" else int(words[1])),
    "register": _register,
    "workers": lambda words, named: c.SetWorkers(int(words[0])),
    "bury": lambda words, named: c.Bury(int(words[0]), "a bug"),
    "return": lambda words, named: c.Return(int(words[0])),
    "resumetask": lambda words, named: c.ResumeTask(words[0]),
    "block": lambda words, named: c.ReportBlock(words[0], float(words[1]), "File …"),
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
    "die": lambda job, claim, rest: c.Crash(job, claim, Failure(Reason.BAD_EXIT, "BadExit", "exit code 9")),
    "kill": lambda job, claim, rest: c.Crash(job, claim, Failure(Reason.KILLED, "MemoryExceeded", "300 MiB")),
}


# -- what happened, in words ------------------------------------------------------------------------------


def _tell(step: Step, commands: Sequence[c.Command]) -> list[str]:
    lines = [f"  {fact.n} {_said(fact, fact.job_id)}" for fact in step.facts]
    lines += [f"  -> {_said(effect, getattr(effect, 'job_id', ''))}" for effect in step.effects]
    answers = zip(commands, step.answers, strict=True)
    lines += [f"  = {_answer(answer)}" for command, answer in answers if _is_news(command, answer)]
    return lines


def _is_news(command: c.Command, answer: object) -> bool:
    match command:
        case c.Submit():
            return answer != tuple(job.id for job in command.jobs)
        case c.Rerun():
            return answer != (command.clone_id or command.job_id)
        case _:
            return answer is not None


def _said(thing: f.Fact | e.Effect, job_id: str) -> str:
    fields = {field.name: getattr(thing, field.name) for field in attrs.fields(type(thing))}
    told = [
        f"{name}={_plain(name, value)}"
        for name, value in fields.items()
        if name not in QUIET and value is not None and value is not False
    ]
    return " ".join([type(thing).__name__, *([job_id] if job_id else []), *told])


def _plain(name: str, value: Any) -> str:
    if name.endswith("_at") or name == "until":
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
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}: {answer}"
    return " ".join(answer) if isinstance(answer, tuple) else str(answer)


def _time(at: float) -> str:
    return f"{at - EPOCH:g}"


def _job(job: Job) -> str:
    told = [job.id, job.state.value]
    told += [job.hold_reason.value, f"due {_time(job.due_at)}"] if job.hold_reason else []
    told += [f"{word} {value}" for word, value in _ties(job).items() if value is not None]
    told += [f"attempt {job.attempt}", f"claim {job.claim}"]
    told += [f"interruptions {job.interruptions}"] if job.interruptions else []
    told += [f"snoozes {job.snoozes}"] if job.snoozes else []
    told += ["stalled"] if job.stalled else []
    told += ["being cancelled"] if job.cancel_requested is not None else []
    told += [f"failure {_plain('', job.failure)}"] if job.failure else []
    told += [f"result {job.result.decode()}"] if job.result is not None else []
    return ", ".join(told)


def _ties(job: Job) -> dict[str, str | None]:
    """Return what ties the job to others, in words."""
    return {
        "key": job.key,
        "group": job.options.group,
        "retry of": job.retry_of,
        "retried by": job.retried_by,
        "dead letter of": job.dead_letter_of,
        "dead letter": job.dead_letter_job_id,
    }


def _run(run: Attempt) -> str:
    return f"run {run.claim} by worker {run.worker}: {_time(run.started_at)} to {_time(run.ended_at)}, {run.outcome}"
