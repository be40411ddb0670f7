"""How much memory processes hold, and the end of those that hold more than they may.

Measured is what is resident, of the process and of all that descends from it, by psutil. Pages that several of them
share are counted for each: the sum is never too small. A thread does it, for as long as anybody has a limit; and it
kills by itself, so a blocked event loop does not let memory run out.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

from actorq.actors.processes.process import Cause, Process
from actorq.config import MEMORY_COST, MEMORY_INTERVAL_S
from actorq.core.job import Reason
from actorq.errors import InvalidOption

__all__ = ["MemoryGuard", "check_memory_can_be_measured"]

_MIB: Final = 1024 * 1024


def check_memory_can_be_measured() -> None:
    """Raise InvalidOption if a limit of memory could not be kept here."""
    if importlib.util.find_spec("psutil") is None:
        why = "is kept with psutil, which is not here: install actorq[process]"
        raise InvalidOption("memory_mb", "a limit", why)


class MemoryGuard:
    """Watches the processes whose jobs have a limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[Process, int] = {}
        self._is_watching = False

    @contextmanager
    def watch(self, process: Process, limit_mb: int | None) -> Generator[None]:
        """Kill the process if it comes to hold more than so many MiB meanwhile; None: let it be."""
        if limit_mb is None:
            yield
            return
        with self._lock:
            self._limits[process] = limit_mb
            if not self._is_watching:
                self._is_watching = True
                threading.Thread(target=self._watch, name="actorq memory", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._limits[process]

    def _watch(self) -> None:
        while True:
            with self._lock:
                limits = dict(self._limits)
                self._is_watching = bool(limits)
            if not limits:
                return
            began_at = time.perf_counter()
            for process, limit_mb in limits.items():
                self._measure(process, limit_mb)
            took = time.perf_counter() - began_at
            time.sleep(max(MEMORY_INTERVAL_S, took / MEMORY_COST))

    def _measure(self, process: Process, limit_mb: int) -> None:
        pid = process.pid
        if pid is None:
            return
        size, family = _tree_of(pid)
        if size > limit_mb * _MIB:
            others = f", with {len(family) - 1} of its own" if len(family) > 1 else ""
            text = f"its process held {size // _MIB} MiB{others}, and its limit is memory_mb={limit_mb}"
            with self._lock:
                if self._limits.get(process) == limit_mb:  # else its job has ended meanwhile
                    process.kill(Cause(text, Reason.KILLED, "MemoryLimitExceeded"))
                    _kill(family)


def _kill(family: list[Any]) -> None:
    """End those, too, that have left the group of the process: they hold what was counted."""
    import psutil  # noqa: PLC0415 - an extra

    for each in family:
        with suppress(psutil.Error):  # it has ended
            each.kill()


def _tree_of(pid: int) -> tuple[int, list[Any]]:
    """Return the bytes that a process and its descendants hold, and who they are."""
    import psutil  # noqa: PLC0415 - an extra

    size, family = 0, list[Any]()
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for each in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):  # it has ended
                size += each.memory_info().rss
                family.append(each)
    return size, family
