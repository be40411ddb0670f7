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
    "BecameDue", "CancelRequested", "Cancelled", "DeadLettered", "Dropped", "Fact", "Failed", "Interrupted", "Logged",
    "Parked", "Placed", "Progressed", "Released", "Removed", "Requeued", "RetryScheduled", "Snoozed", "Stalled",
    "Started", "Submitted", "Succeeded", "Unparked",
]  # fmt: skip


@define
class Fact:
    """The root of the vocabulary."""

    at: float
    """Seconds since the epoch; never less than in the fact before."""
    job_id: str
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

    @property
    def weight(self) -> int:
        """Those of the arguments."""
        return len(self.payload)


@define
class BecameDue(Fact):
    """A delay is over."""


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
    """The process or the worker died under the attempt; no attempt used, one interruption counted."""


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
class Requeued(Fact):
    """Somebody asked for a job that had ended to run again, attempts fresh."""


@define
class Removed(Fact):
    """The job is gone, some time after its end."""


@define
class Dropped(Fact):
    """The job is gone as if it had never been.

    Its submission found no room on the disk, and was refused; or it lived only in memory, and its process is gone.
    """
