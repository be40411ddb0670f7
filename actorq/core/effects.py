"""What the shell must now do: imperative, and never stored.

An effect leaves the house only after the facts of its step are written as the durability setting says.
"""

from __future__ import annotations

from attrs import define

from actorq.core.job import Reason
from actorq.errors import ActorqError

__all__ = ["Abandon", "Abort", "Dispatch", "Effect", "GiveUp", "Hire", "PauseTask", "Retire"]


class Effect:
    """The root of the vocabulary."""

    __slots__ = ()


@define
class Dispatch(Effect):
    """Let the worker run the job under this claim."""

    worker: int
    job_id: str
    claim: int


@define
class Abort(Effect):
    """Tell the worker to stop its attempt, and the attempt why."""

    worker: int
    job_id: str
    claim: int
    reason: Reason
    grace: float
    """Seconds until it is abandoned."""


@define
class Abandon(Effect):
    """Expect nothing more of the worker: it ignores cancellation, or it is dead."""

    worker: int
    cause: str
    counts: bool = True
    """Whether it is a sign that workers die: not if many were to be stopped at once, because somebody asked for it."""
    goes_on: bool = True
    """Whether its function may go on all the same: not if it is dead."""


@define
class Hire(Effect):
    """Start a worker under this number."""

    worker: int


@define
class Retire(Effect):
    """Let an idle worker go home."""

    worker: int


@define
class PauseTask(Effect):
    """Tell that jobs of the task are not started any more: too many workers died under them."""

    task: str
    cause: str


@define
class GiveUp(Effect):
    """Stop the queue with this error."""

    error: ActorqError
