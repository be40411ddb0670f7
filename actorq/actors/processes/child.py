"""What runs in a worker process.

The main thread runs functions, one after the other, for that is where signals and ``asyncio.run`` are at home. A
second thread listens to the queue: it hands over what is to be run, stops it, says where it stands, and beats, so
that a function which only computes is not taken for dead. Both end when the queue has nothing more to say.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import traceback
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, cast

from actorq.actors.context import Home
from actorq.actors.frames import standing_of_thread
from actorq.actors.processes.assignment import Assignment
from actorq.actors.processes.birth import end_group, end_with_queue, leave_stopping_to_queue, prepare
from actorq.actors.processes.interrupt import Interrupt
from actorq.actors.processes.line import Line
from actorq.actors.processes.resident import resident_mb
from actorq.actors.processes.wire import AskStack, Cancel, NotReady, Over, Prepare, Ready, Run, Said, Saying, Stack
from actorq.actors.processes.wire import Verdict as Outcome
from actorq.actors.verdict import traceback_of
from actorq.config import PROCESS_BEATS
from actorq.core import commands as c

__all__ = ["Child", "main"]


class Child:
    """The process; also the home of the job contexts in it."""

    queue: object = None
    """The queue is elsewhere."""

    def __init__(self, theirs: socket.socket, lifeline: int) -> None:
        self._interrupt = Interrupt()
        self._line = Line(theirs, self._interrupt)
        self._lifeline = lifeline
        self._main = threading.get_ident()
        self._pid = os.getpid()
        self._work = SimpleQueue[Assignment | None]()
        self._current: Assignment | None = None
        self._backend = ""
        os.register_at_fork(after_in_child=lambda: os.close(lifeline))

    # -- the main thread -----------------------------------------------------------------------------

    def live(self) -> int:
        """Do what the queue asks for, until it asks no more; return the exit code."""
        wanted = self._line.receive()
        if not isinstance(wanted, Prepare):
            return 0  # it is closing
        try:
            prepare(wanted)
        except BaseException as error:
            self._line.send(NotReady(traceback_of(error)))
            raise
        self._backend = wanted.backend
        threading.Thread(target=self._listen, name="actorq listener", daemon=True).start()
        self._line.send(Ready())
        folder = os.getcwd()  # noqa: PTH109 - as it is; no path is made of it
        while (assignment := self._work.get()) is not None:
            report = assignment.execute()
            if os.getpid() != self._pid:
                os._exit(0)  # the function has forked, and returned twice
            self._current = None
            self._tidy(folder)
            if not self._line.send(Over(cast("Outcome", report), resident_mb())):
                return 1
        return 0

    def _tidy(self, folder: str) -> None:
        """Leave nothing of this job to the next one, nor to a kill."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the function may have closed it, or put anything in its place
                stream.flush()
        with suppress(OSError):
            os.chdir(folder)

    # -- the home of contexts, from any thread ---------------------------------------------------------

    @property
    def thread(self) -> int:
        """The thread that asks: all may speak."""
        return threading.get_ident()

    def call_soon(self, fn: Any) -> None:
        """Call the function."""
        fn()

    def tell(self, command: c.Command) -> Any:
        """Say something of the attempt that runs; what is said of another one, nobody would hear."""
        current = self._current
        if current is not None and isinstance(command, Saying) and command.claim == current.claim:
            self._line.send(Said(command))

    # -- the other thread ----------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            self._converse()
        except BaseException:  # noqa: BLE001 - without this thread it would be deaf
            traceback.print_exc()
            os._exit(1)

    def _converse(self) -> None:
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        poll.register(self._lifeline, select.POLLIN)  # nothing is ever written to it
        is_open = True
        while is_open:
            while self._line.has_message:
                self._obey(self._line.receive())
            ready = dict(poll.poll(self._patience()))
            if self._lifeline in ready:
                end_group()
            if not ready:
                self._beat()
            elif self._line.fileno() in ready:
                is_open = self._line.read()
        self._work.put(None)

    def _obey(self, message: object) -> None:
        current = self._current
        match message:
            case Run():
                self._current = Assignment(message, cast("Home", self), self._interrupt, self._backend)
                self._work.put(self._current)
            case Cancel(reason) if current is not None:
                current.cancel(reason)
            case AskStack():
                self._beat()  # what is heard puts off the next one
                self._line.send(Stack(standing_of_thread(self._main).text))
            case _:
                pass

    def _patience(self) -> float | None:
        """Return after how many milliseconds to beat."""
        current = self._current
        if current is None or current.heartbeat_timeout is None:
            return None
        return current.heartbeat_timeout / PROCESS_BEATS * 1000

    def _beat(self) -> None:
        current = self._current
        if current is not None and current.heartbeat_timeout is not None:
            self._line.send(Said(c.Beat(current.job_id, current.claim)))


def main(wire: int, lifeline: int) -> None:
    """Be a worker process, with these descriptors."""
    for descriptor in (wire, lifeline):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - what jobs start does not inherit it
    leave_stopping_to_queue()
    end_with_queue(lifeline)
    child = Child(socket.socket(fileno=wire), lifeline)
    sys.exit(child.live())
