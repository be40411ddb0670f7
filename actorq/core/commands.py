"""What may be asked of the queue: imperative, and never stored.

A command is decided (``decide``) or, where it only concerns the living, followed by the roster. Those in
which a worker reports carry the claim under which it runs: a report for any other claim is late, and
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import define, field

from actorq.core.job import Failure, JobOptions

__all__ = [
    "Beat",
    "Begin",
    "Bury",
    "Cancel",
    "Command",
    "Crash",
    "Drain",
    "Edit",
    "Extend",
    "Fail",
    "Finish",
    "Halt",
    "Lend",
    "Log",
    "NewJob",
    "OnConflict",
    "Park",
    "Pause",
    "PauseAll",
    "Promote",
    "Quit",
    "Recover",
    "Register",
    "Remove",
    "Report",
    "ReportBlock",
    "Rerun",
    "Resume",
    "ResumeAll",
    "ResumeTask",
    "Return",
    "SetGroup",
    "SetWorkers",
    "ShowProgress",
    "Snooze",
    "Submit",
    "TakeBack",
    "Withdraw",
]  # fmt: skip


OnConflict = Literal["return_existing", "reject", "replace", "strict_body", "keep_last"]
"""What to do with a job whose key is held by another one of its task: see ``docs/how-to/keys.md``."""


class Command:
    """The root of the vocabulary."""

    __slots__ = ()


@define
class NewJob:
    """One job that a :class:`Submit` asks for."""

    id: str
    task: str
    payload: bytes
    options: JobOptions
    delay: float = 0.0
    """Seconds from acceptance; ``run_at`` wins."""
    run_at: float | None = None
    ephemeral: bool = False
    key: str | None = None
    on_conflict: OnConflict = "return_existing"


# -- from whoever holds the queue ----------------------------------------------------------------


@define
class Submit(Command):
    """Accept these jobs, all or none.

    Answer: their ids, or those of the jobs that stand for them; or QueueFull, QueueClosed, DuplicateJob.
    """

    jobs: tuple[NewJob, ...]


@define
class Cancel(Command):
    """End the job as cancelled. Answer: False if it has already ended; or JobNotFound."""

    job_id: str
    message: str = ""


@define
class Rerun(Command):
    """Queue a job that has ended again, attempts fresh. Answer: the id; or JobNotFound, InvalidState, QueueFull."""

    job_id: str
    delay: float = 0.0
    clone_id: str | None = None
    """Under which a new job does so in its place."""


@define
class Pause(Command):
    """Hold a job that waits. Answer: None; or JobNotFound, InvalidState."""

    job_id: str


@define
class Resume(Command):
    """Let go of a job that is paused. Answer: None; or JobNotFound, InvalidState."""

    job_id: str


@define
class Promote(Command):
    """End the delay of a job. Answer: None; or JobNotFound, InvalidState."""

    job_id: str


@define
class Edit(Command):
    """Change a job that does not run. Answer: None; or JobNotFound, InvalidState."""

    job_id: str
    payload: bytes | None = None
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    """Those of :class:`~actorq.core.job.JobOptions` that change; they have been checked."""
    delay: float | None = None
    """Seconds from now; ``run_at`` wins; with neither, its place stays."""
    run_at: float | None = None


@define
class Remove(Command):
    """Forget a job that has ended. Answer: None; or JobNotFound, InvalidState."""

    job_id: str


@define
class PauseAll(Command):
    """Start no more jobs. Answer: whether that was not so before; or InvalidOption: too many groups are paused."""

    group: str = ""
    """Only those of this group; empty: of the whole queue."""
    until: float | None = None
    """When to go on by itself."""
    stop: bool = False
    """Whether to take back what runs."""


@define
class ResumeAll(Command):
    """Start jobs again. Answer: whether that was not so before."""

    group: str = ""


@define
class ResumeTask(Command):
    """Let jobs of a task start again, that was paused because its workers kept dying. Answer: whether it was."""

    task: str


@define
class SetGroup(Command):
    """Let at most ``limit`` jobs of the group run at a time; None: as many as there are workers."""

    group: str
    limit: int | None


@define
class SetWorkers(Command):
    """Have this many workers."""

    count: int


@define
class Register(Command):
    """These tasks have a function now: what was parked for want of one may run."""

    tasks: tuple[str, ...]
    options: Mapping[str, JobOptions] = field(factory=dict[str, JobOptions])
    """Of the jobs that the core makes itself of these tasks."""


# -- from a worker, about the attempt it runs -----------------------------------------------------


@define
class Report(Command):
    """The root of what a worker says; it counts only for the claim that is running. Answer: whether it did."""

    job_id: str
    claim: int


@define
class Finish(Report):
    """The function returned; ``result`` is JSON."""

    result: bytes


@define
class Fail(Report):
    """The function failed."""

    failure: Failure
    retryable: bool = True
    delay: float | None = None
    """Seconds until the next attempt, in place of what the retry rule says."""


@define
class Snooze(Report):
    """The function hands the job back for ``delay`` seconds."""

    delay: float


@define
class Quit(Report):
    """The function cancelled its own job."""

    message: str


@define
class Park(Report):
    """The arguments do not fit the function."""

    failure: Failure


@define
class Crash(Report):
    """The process in which the attempt ran is gone: it died (bad_exit), or was killed for its memory (killed)."""

    failure: Failure


@define
class Begin(Report):
    """The attempt begins only now, as it was held until its start was written: its limits count from here."""


@define
class Beat(Report):
    """The attempt is alive."""


@define
class Extend(Report):
    """Move the run limit by ``seconds``."""

    seconds: float


@define
class ShowProgress(Report):
    """The attempt has come this far. None: as before."""

    value: float | None = None
    current: float | None = None
    total: float | None = None
    message: str | None = None


@define
class Log(Report):
    """Add a line to the job's log; ``data`` is JSON."""

    level: str
    message: str
    data: bytes


@define
class Lend(Report):
    """The attempt waits for another job: lend its slot. Answer: whether there was one to lend."""


@define
class TakeBack(Report):
    """The attempt waits no longer."""


# -- from the shell ------------------------------------------------------------------------------


@define
class Recover(Command):
    """What runs in the ledger has no worker: a former process died over it."""


@define
class Bury(Command):
    """A worker has died, by a bug of ours or by the loop's will."""

    worker: int
    cause: str


@define
class Return(Command):
    """The function of a worker that was abandoned has come to its end after all."""

    worker: int


@define
class ReportBlock(Command):
    """The event loop did not turn for so many seconds; it does again."""

    job_id: str
    """Who blocked it; empty: no job did."""
    seconds: float
    stack: str
    """Where it stood, as text."""


@define
class Withdraw(Command):
    """These submissions could not be stored: let it be as if they had not been, and whose place they took has it."""

    job_ids: tuple[str, ...]


@define
class Drain(Command):
    """Take no more jobs and start no more attempts."""


@define
class Halt(Command):
    """Cancel what runs, reason shutdown; what was being cancelled before is given no longer than ``grace``."""

    grace: float
