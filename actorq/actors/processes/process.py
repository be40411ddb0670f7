"""One worker process, seen from the queue: its start, its socket, its end.

A thread of its own starts it, waits for it, and tells the event loop: nothing blocks the loop, no signal handler is
needed, and asyncio and trio are alike. It also reaps it, and that under a lock: so a kill never hits a number that the
system has given to somebody else meanwhile. What the process leaves behind in its group is killed before it is reaped,
for as long as it is not, its group's number belongs to nobody else, either.

The process holds one end of a pipe, its lifeline, of which only we hold the other: see ``birth``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

import anyio
from attrs import frozen

from actorq.actors.processes.channel import Channel
from actorq.actors.processes.ends import Ends
from actorq.actors.processes.preparation import check_not_preparing, paths, preparation
from actorq.actors.processes.wire import FromChild, Garbage, NotReady, Ready, encode
from actorq.core.job import Reason

__all__ = ["Cause", "Process"]

_living: Final = set["Process"]()
"""Those that have not been reaped; for a fork of this program, which must not touch them."""


@frozen
class Cause:
    """Why a process came to its end, where its exit code does not say it."""

    text: str
    """Seen from its job: *its process …*."""
    reason: Reason = Reason.BAD_EXIT
    type: str = "ProcessDied"


class Process:
    """A worker process: it runs one job at a time, and many in turn."""

    def __init__(
        self, backend: str, call_soon: Callable[[Callable[[], None]], object], on_end: Callable[[Process], None]
    ) -> None:
        """Start it; must be called on the event loop.

        Args:
            backend: what its coroutines are to run on.
            call_soon: lets the event loop call a function.
            on_end: called on the event loop when it has ended.

        Raises:
            OSError, RuntimeError, Garbage: it cannot be.
        """
        check_not_preparing()
        first = encode(preparation(backend))
        self._ends = Ends()
        self.channel = Channel(self._ends.ours, first)
        self.jobs = 0
        """How many it has run."""
        self.resident_mb = 0
        """The memory that it held on to after the last one, in MiB."""
        self.is_ready = False
        self.is_in_use = False
        """Whether somebody holds it who will :meth:`release` it."""
        self.cause: Cause | None = None
        self.traceback = ""
        """Of what kept it from getting ready."""
        self.exit_code: int | None = None
        """Known when it has ended, if somebody else has not taken it; negative: the signal that killed it."""
        self.ended = anyio.Event()
        self._call_soon = call_soon
        self._on_end = on_end
        self._lock = threading.Lock()
        self._is_killed = False
        self._is_over = False
        self._pid: int | None = None
        """None: not started yet, or reaped."""
        _living.add(self)
        try:
            threading.Thread(target=self._live, name="actorq process", daemon=True).start()
        except RuntimeError:
            self._close()
            self.channel.close()
            raise

    @property
    def pid(self) -> int | None:
        """Its number, while it is its own."""
        return self._pid

    @property
    def is_usable(self) -> bool:
        """Whether it can be given a job, as far as is known."""
        return not (self._is_killed or self.ended.is_set() or self.channel.is_gone)

    def kill(self, cause: Cause | None = None) -> None:
        """End it and all of its group, now or as soon as it has started; from any thread. The first cause stands."""
        with self._lock:
            if not self._is_killed and not self._is_over:
                self._is_killed, self.cause = True, cause
            self._kill_group()

    def release(self) -> None:
        """Have done with it for now: nobody reads what it says."""
        self.is_in_use = False
        if self._is_killed or self.ended.is_set():
            self.channel.close()

    def discard(self) -> None:
        """End it, and have done with it for ever; whoever has it in use will :meth:`release` it.

        Nothing is left for the event loop to do: it may be closing.
        """
        self.kill()
        if not self.is_in_use:
            self.channel.close()

    def leave(self) -> None:
        """Ask it to leave: there will be no more jobs."""
        self.channel.close_sending()

    async def get_ready(self) -> bool:
        """Wait until it is ready; False: it never will be. May be cancelled, and asked again."""
        await self.channel.flush()
        while not self.is_ready:
            match await self.receive():
                case Ready():
                    self.is_ready = True
                case NotReady(text):
                    self.traceback = text
                case None:
                    return False
                case message:
                    self.reject(f"a {type(message).__name__} before it was ready")
        return True

    async def receive(self) -> FromChild | None:
        """Return what it says next; None: nothing more. What cannot be understood is its end."""
        try:
            return await self.channel.receive()
        except Garbage as garbage:
            self.reject(str(garbage))
            return None

    def reject(self, what: str) -> None:
        """End it for what it has sent."""
        self.kill(Cause(f"its process was ended, as it sent {what}"))

    def forget(self) -> None:
        """Close what belongs to it in a fork of this program, without a word to it."""
        self._lock = threading.Lock()  # a thread that we have not may have held it
        self._pid = None
        self.channel.close()
        os.close(self._ends.lifeline)

    # -- its thread ----------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            popen = self._start()
        except Exception as error:  # noqa: BLE001 - whatever it is: the process is not there, and its reader hears why
            self.cause = Cause(f"its process could not be started: {type(error).__name__}: {error}")
        else:
            self._wait(popen)
        finally:
            self._close()
        try:
            self._call_soon(self._hear_end)
        except RuntimeError:  # the loop is gone, and nobody will read any more
            self.channel.close()

    def _start(self) -> subprocess.Popen[bytes]:
        begin = f"from actorq.actors.processes.child import main; main{self._ends.of_the_process}"
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing
        popen = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, *cast("list[str]", flags), "-c", f"import sys; sys.path[:] = {paths()!r}; {begin}"],
            stdin=subprocess.DEVNULL,
            pass_fds=self._ends.of_the_process,
            start_new_session=True,
        )
        self._ends.theirs.close()
        with self._lock:
            self._pid = popen.pid
            if self._is_killed:
                self._kill_group()
        return popen

    def _wait(self, popen: subprocess.Popen[bytes]) -> None:
        """Wait for its end, and leave nothing of it."""
        try:
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
            else:  # for a moment, its number is not known to be its own
                self.exit_code = popen.wait()
        except ChildProcessError:  # somebody else has reaped it: he knows how it ended, and its number is free
            with self._lock:
                self._is_over, self._pid = True, None
            popen.wait()
            return
        with self._lock:
            self._kill_group()
            self.exit_code = popen.wait()
            self._is_over, self._pid = True, None

    def _close(self) -> None:
        _living.discard(self)  # first: a fork would close what may be somebody else's by then
        self._ends.close()

    def _kill_group(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of one that has ended
                os.killpg(self._pid, signal.SIGKILL)

    def _hear_end(self) -> None:
        self._on_end(self)
        self.ended.set()
        self.channel.end()
        if not self.is_in_use:
            self.channel.close()


def _forget_all() -> None:
    for process in list(_living):
        process.forget()
    _living.clear()


os.register_at_fork(after_in_child=_forget_all)
