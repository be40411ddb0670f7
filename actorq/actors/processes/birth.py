"""The first moments of a worker process: it becomes a process of the queue's program, and lives no longer than that."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from multiprocessing import process, spawn
from types import FrameType
from typing import Final

from actorq.actors.processes.preparation import preparing
from actorq.actors.processes.wire import Prepare

__all__ = ["end_group", "end_with_queue", "leave_stopping_to_queue", "prepare"]

_F_SETSIG: Final = 10
"""Of Linux; :mod:`fcntl` has no name for it."""

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


def prepare(wanted: Prepare) -> None:
    """See what the queue's own process sees; raises whatever its main module raises.

    ``sys.path`` was set before anything of ours was imported.
    """
    data: dict[str, object] = {"sys_argv": wanted.argv}
    if wanted.main_name is not None:
        data["init_main_from_name"] = wanted.main_name
    elif wanted.main_path is not None:
        data["init_main_from_path"] = wanted.main_path
    current = process.current_process()
    with preparing():
        current._inheriting = True  # type: ignore[attr-defined]  # noqa: SLF001 - multiprocessing's guard of the same
        try:
            spawn.prepare(data)
        finally:
            del current._inheriting  # type: ignore[attr-defined]  # noqa: SLF001


def leave_stopping_to_queue() -> None:
    """Do not end by a SIGINT or SIGTERM that is meant for the whole program: the queue says when jobs are to end.

    They are not ignored, but heard without doing anything: what jobs start would inherit the former. A fork stops when
    it is told, from its first moment on.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the thread that started us may have listened to less
    for signum in _STOPPING:
        signal.signal(signum, _do_nothing)
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _STOPPING),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOPPING),
        after_in_child=_stop_when_told,
    )


def _do_nothing(signum: int, frame: FrameType | None) -> None:
    """Hear a signal."""


def _stop_when_told() -> None:
    """Be a usual process again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def end_with_queue(lifeline: int) -> None:
    """Ask the system to end this process and its group when the other end of the pipe is closed.

    Only the queue's process holds that open. Linux can do this: the kernel sends SIGKILL, so nothing in here has to be
    able to run for it, and what the jobs have started goes, too. Elsewhere the thread that listens does it.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # then the thread does it here, too
            fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def end_group() -> None:
    """End this process and its group."""
    os.killpg(0, signal.SIGKILL)
