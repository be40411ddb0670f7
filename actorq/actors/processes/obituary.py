"""How a worker process ended, in words."""

from __future__ import annotations

import signal

from actorq.actors.processes.process import Cause, Process
from actorq.config import TEXT_LIMIT
from actorq.core.job import Failure

__all__ = ["describe", "obituary"]


def obituary(process: Process, attempt: int, now: float) -> Failure:
    """Return what its end means for the attempt that it ran."""
    when = "" if process.is_ready else ", before it was ready,"
    cause = process.cause or Cause(f"its process{when} {describe(process.exit_code)}")
    why = process.traceback.rstrip().rpartition("\n")[2]  # of what kept it from getting ready
    text = f"{cause.text}: {why}" if why else cause.text
    return Failure(cause.reason, cause.type, text[:TEXT_LIMIT], process.traceback[-TEXT_LIMIT:], attempt, now)


def describe(code: int | None) -> str:
    """Say how a process ended, by its exit code."""
    if code is None:
        return "has ended, or cannot be ended; how, is not known"
    if code >= 0:
        return f"exited with code {code}"
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL, and not by its queue: so does the kernel for want of memory"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
