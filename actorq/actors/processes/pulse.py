"""A process whose interpreter is held by foreign code cannot beat; but that it computes can be seen from outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anyio

from actorq.actors.processes.process import Process
from actorq.config import PROCESS_BEATS, PROCESS_BUSY

__all__ = ["cpu_s", "feel_pulse"]


async def feel_pulse(process: Process, heartbeat_timeout: float, beat: Callable[[], None]) -> None:
    """Beat for the process whenever it has computed for long enough; for ever."""
    interval = heartbeat_timeout / PROCESS_BEATS
    before = cpu_s(process.pid)
    while True:
        await anyio.sleep(interval)
        now = cpu_s(process.pid)
        if now - before >= interval * PROCESS_BUSY:
            beat()
        before = now


def cpu_s(pid: int | None) -> float:
    """Return the seconds of a core that a process has used; where Linux is not, or it is not, always zero."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
