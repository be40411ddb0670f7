"""What can have happened: past tense, with its time and its number.

Facts are the only thing that changes the ledger, and the only thing that will ever be written about it;
folding them gives the ledger again, without a clock and without deciding anything anew. So a fact carries
every outcome that was decided (the due time of a retry, not its rule), and nothing that can be derived.

To add a fact: its class here, its row or rows in ``lifecycle``, its effect in ``Ledger.apply``.
A fact is made mutable because that is three times as fast to build; nobody changes one once it is numbered.
"""

from __future__ import annotations

from attrs import define, field

from actorq.core.job import Failure, JobOptions, Progress

__all__ = [
    "BecameDue", "Blocked", "CancelRequested", "Cancelled", "DeadLettered", "Deduplicated", "Dropped", "Edited",
    "Extended", "Fact", "Failed", "GroupPaused", "GroupResumed", "Interrupted", "Logged", "LoopBlocked", "Parked",
    "Paused", "Placed", "Progressed", "Promoted", "QueueFact", "QueuePaused", "QueueResumed", "Reinstated",
    "Released", "Removed", "Requeued", "Resumed", "RetryScheduled", "Snoozed", "Stalled", "Started", "Submitted",
    "Succeeded", "Unblocked", "Unparked",
]  # fmt: skip


@define
class Fact:
    """The root of the vocabulary."""

    at: float
    """Seconds since the epoch; never less than in the fact before."""
    job_id: str
    """Empty where the fact is about the queue or a group."""
    n: int = field(default=0, init=False)
    """Contiguous from 1; given by the machine."""

    @property
    def weight(self) -> int:
        """How many bytes of the user's it brings along."""
        return 0


@define
class Placed(Fact):
    """The root of those that say when the job may run."""

    due_at: float


@define
class Submitted(Placed):
    """A job was accepted."""

    seq: int
    task: str
    payload: bytes
    options: JobOptions
    ephemeral: bool = False
    key: str | None = None
    retry_of: str | None = None
    """The job that it is a clone of: that one is told of it, if it is there."""
    dead_letter_of: str | None = None
    """The dead job that it was made of: that one is told of it, too."""

    @property
    def weight(self) -> int:
        """Those of the arguments."""
        return len(self.payload)


@define
class Deduplicated(Fact):
    """The job was asked for again, by its key, and stands for the answer."""


# -- waiting ---------------------------------------------------------------------------------------


@define
class BecameDue(Fact):
    """A delay is over."""


@define
class Blocked(Fact):
    """The job has to wait: another of its task and key is running."""


@define
class Unblocked(Fact):
    """No other of its task and key is running any more."""


@define
class Paused(Fact):
    """Somebody holds the job by hand."""


@define
class Resumed(Placed):
    """The job is held no more, and is where it would be."""


@define
class Promoted(Fact):
    """Somebody asked for the delay to be over."""


@define
class Edited(Placed):
    """The job is another from now on: in its place, and in what is not None."""

    payload: bytes | None = None
    options: JobOptions | None = None

    @property
    def weight(self) -> int:
        """Those of the arguments."""
        return len(self.payload or b"")


# -- running ---------------------------------------------------------------------------------------


@define
class Started(Fact):
    """A worker has claimed the job. Written before the function runs, so a job that kills is counted."""

    attempt: int
    claim: int
    worker: int


@define
class Progressed(Fact):
    """The running attempt has come this far."""

    progress: Progress


@define
class Extended(Fact):
    """The running attempt asked for so many more seconds, and has them."""

    seconds: float


@define
class Logged(Fact):
    """A line for the job's log; ``data`` is JSON."""

    level: str
    message: str
    data: bytes

    @property
    def weight(self) -> int:
        """That of the line."""
        return len(self.message) + len(self.data)


@define
class Stalled(Fact):
    """The running attempt was silent for too long."""


@define
class CancelRequested(Fact):
    """The running attempt is asked to stop; whatever it reports now, the job ends as cancelled."""

    message: str


# -- the run is over, the job goes on --------------------------------------------------------------


@define
class RetryScheduled(Placed):
    """The attempt failed; another follows at ``due_at``."""

    failure: Failure

    @property
    def weight(self) -> int:
        """That of the texts."""
        return self.failure.weight


@define
class Snoozed(Placed):
    """The function handed the job back until ``due_at``; no attempt used."""


@define
class Interrupted(Placed):
    """The program, the process or the worker died under the attempt; no attempt used, one interruption counted."""

    failure: Failure | None = None
    """How; None: it was written by a version that did not say."""

    @property
    def weight(self) -> int:
        """That of the texts."""
        return 0 if self.failure is None else self.failure.weight


@define
class Released(Fact):
    """A clean shutdown took the attempt back; nothing used."""


@define
class Parked(Fact):
    """The job cannot run with the code as it is; no attempt used. ``failure.reason`` says why."""

    failure: Failure

    @property
    def weight(self) -> int:
        """That of the texts."""
        return self.failure.weight


@define
class Unparked(Fact):
    """The code has changed: the parked job may run."""


# -- the job is over -----------------------------------------------------------------------------


@define
class Succeeded(Fact):
    """``result`` is JSON."""

    result: bytes

    @property
    def weight(self) -> int:
        """Those of the result."""
        return len(self.result)


@define
class Failed(Fact):
    """The job ended without a result."""

    failure: Failure

    @property
    def weight(self) -> int:
        """That of the texts."""
        return self.failure.weight


@define
class DeadLettered(Fact):
    """As failed, for a job that asked to be kept apart."""

    failure: Failure

    @property
    def weight(self) -> int:
        """That of the texts."""
        return self.failure.weight


@define
class Cancelled(Fact):
    """The job was cancelled; ``failure.reason`` says by whom."""

    failure: Failure

    @property
    def weight(self) -> int:
        """That of the texts."""
        return self.failure.weight


@define
class Requeued(Placed):
    """Somebody asked for a job that had ended to run again, attempts fresh."""


@define
class Reinstated(Placed):
    """The job has its place again: the one that took it was refused."""


@define
class Removed(Fact):
    """The job is gone, some time after its end."""


@define
class Dropped(Fact):
    """The job is gone as if it had never been.

    Its submission found no room on the disk, and was refused; or it lived only in memory, and its process is gone.
    """


# -- the queue, and groups of jobs -----------------------------------------------------------------


@define
class QueueFact(Fact):
    """The root of those that are about no single job."""

    job_id: str = field(default="", init=False)


@define
class QueuePaused(QueueFact):
    """Nothing starts any more."""

    until: float | None = None
    """When that ends by itself; None: it does not."""


@define
class QueueResumed(QueueFact):
    """Jobs start again."""


@define
class GroupPaused(QueueFact):
    """No job of the group starts any more."""

    group: str
    until: float | None = None


@define
class GroupResumed(QueueFact):
    """Jobs of the group start again."""

    group: str


@define
class LoopBlocked(QueueFact):
    """The event loop did not turn for so many seconds."""

    job_id: str
    """Who blocked it; empty: no job did."""
    seconds: float
    stack: str
    """Where it stood, as text."""

    @property
    def weight(self) -> int:
        """That of the text."""
        return len(self.stack)
