"""Sees that the event loop does not turn, and names who holds it up.

A coroutine that computes, or calls what blocks, holds up everything: other jobs, limits, the application. Nobody on
the loop can tell of it while it lasts, so a thread does. It lives as long as the queue, from the first run on, and
sleeps whenever nothing runs: idle costs nothing.

While something runs it looks at the loop's thread a few times a second, from outside. A loop that waits for events is
well, and is not woken. One that is carrying out a step is asked for a sign of life; if that takes longer than it may,
the loop is blocked, and the thread still stands where it blocks. Python's own frames tell whose step it is: in the
drive of a job's coroutine, or in a task or a callback that a job has begun, the context names the job.

Costs: some ten microseconds per look, and one attribute per dispatch. A block is seen after ``blocked_after`` and at
most one interval more; a function that holds the interpreter's lock all the while is seen when it lets go of it.
"""

from __future__ import annotations

import logging
import threading
import time
from asyncio import BaseEventLoop, get_running_loop
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from math import inf
from types import FrameType
from typing import Any, Protocol

from actorq.actors.block import Block, BlockLimit, block_in, is_step
from actorq.actors.frames import Standing, frames_of_thread
from actorq.actors.spawn import is_trio, knock
from actorq.config import WATCH_ALIVE_S, WATCH_INTERVAL_S, WATCH_SHARE
from actorq.core import commands as c
from actorq.errors import ActorqError

__all__ = ["Guarded", "Watchdog"]

log = logging.getLogger("actorq")


class Guarded(Protocol):
    """Whose loop it is."""

    name: str
    queue: object
    thread: int
    call_soon: Callable[[Callable[[], None]], object]

    @property
    def is_working(self) -> bool:
        """Whether anything runs; may be asked from any thread."""
        ...

    def tell(self, command: c.Command) -> Any:
        """Post a command, on the event loop."""
        ...


class Watchdog:
    """Of one queue."""

    def __init__(self, home: Guarded, limit: BlockLimit) -> None:
        """Watch the loop that this is called on, from the first :meth:`look`."""
        self.blocks = 0
        """How often the loop was blocked …"""
        self.blocked_s = 0.0
        """… and for how many seconds in all."""
        self._home = home
        self._limit = limit
        self._knows_steps = is_trio() or isinstance(get_running_loop(), BaseEventLoop)
        self._looked_at = self._alive_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._is_awake = False
        self._wake = threading.Event()
        self._stopped = threading.Event()

    # -- on the loop -----------------------------------------------------------------------------------

    def look(self) -> None:
        """Watch, for something begins to run."""
        if not self._is_awake:
            self._wake_up()

    def stop(self) -> None:
        """Look no more. It does not wait for the thread, which is about to end."""
        self._stopped.set()
        self._wake.set()

    def tell_silent(self, job_id: str, task: str, seconds: float, standing: Standing) -> None:
        """Say in the log where a job stands that gives no sign of life, while the loop turns."""
        text = "queue %s: job %s (%s) has given no sign of life for %g s. It stands here:\n%s"
        log.warning(text, self._home.name, job_id, task, seconds, standing.text)

    def _wake_up(self) -> None:
        if self._limit.seconds is None or self._stopped.is_set():
            return
        self._looked_at = time.monotonic()
        self._is_awake = True
        self._wake.set()
        if self._thread is None:
            name = f"actorq {self._home.name} watchdog"
            self._thread = threading.Thread(target=Context().run, args=(self._watch,), name=name, daemon=True)
            self._thread.start()

    # -- in the thread ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        with suppress(RuntimeError):  # the loop is gone
            while not self._stopped.is_set():
                limit = self._limit.seconds
                if limit is None:
                    self._is_awake = False
                if self._is_awake and limit is not None:
                    self._look_after_interval(limit)
                else:
                    self._wake.wait()
                    self._wake.clear()

    def _look_after_interval(self, limit: float) -> None:
        due_at = self._looked_at + min(WATCH_INTERVAL_S, limit * WATCH_SHARE)
        if self._stopped.wait(max(due_at - time.monotonic(), 0.0)):
            return
        self._inspect(limit, due_at)
        self._looked_at = time.monotonic()
        if self._is_idle():
            self._is_awake = False
            if not self._is_idle():  # a run has begun meanwhile, and somebody seemed to be awake
                self._is_awake = True

    def _is_idle(self) -> bool:
        return not self._home.is_working

    def _inspect(self, limit: float, due_at: float) -> None:
        """Ask the loop for a sign of life, if there is reason to."""
        now = time.monotonic()
        block = self._block() if now > due_at + limit else None
        if block is not None:  # it has held up even us, by the interpreter's lock
            self._follow(block, _Question(self._home.call_soon, due_at))
        elif self._is_in_a_step() or now > self._alive_at + WATCH_ALIVE_S:
            self._alive_at = now
            question = _Question(self._home.call_soon, now)
            if question.is_answered_within(limit) or self._stopped.is_set():
                return
            block = self._block()
            if block is not None and not question.is_answered_within(0):
                self._follow(block, question)

    def _follow(self, block: Block, question: _Question) -> None:
        """Tell of the block now, and how long it was when it is over."""
        self._tell(block, time.monotonic() - question.asked_at)
        while not question.is_answered_within(WATCH_ALIVE_S):
            knock(self._home.call_soon)
            if self._stopped.is_set():
                return
        seconds = question.answered_at - question.asked_at
        self.blocks += 1
        self.blocked_s += seconds
        command = c.ReportBlock(block.job_id, seconds, block.standing.text)

        def report() -> None:
            with suppress(ActorqError):  # the queue has stopped
                self._home.tell(command)

        self._home.call_soon(report)

    def _tell(self, block: Block, seconds: float) -> None:
        who = f"job {block.job_id} ({block.task})" if block.job_id else "what is no job of this queue"
        text = "queue %s: the event loop has not turned for %.1f s, held up by %s. It stands here:\n%s"
        if self._limit.hear is not None:
            self._limit.hear(block)
        log.warning(text, self._home.name, seconds, who, block.standing.text)

    # -- what it sees ----------------------------------------------------------------------------------

    def _frames(self) -> list[FrameType]:
        return frames_of_thread(self._home.thread)

    def _is_in_a_step(self) -> bool:
        return not self._knows_steps or any(map(is_step, self._frames()))

    def _block(self) -> Block | None:
        return block_in(self._frames(), self._home.queue, must_be_step=self._knows_steps)


class _Question:
    """Whether the loop turns."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], asked_at: float) -> None:
        self.asked_at = asked_at
        self.answered_at = inf
        self._is_answered = threading.Event()
        call_soon(self._answer)

    def is_answered_within(self, seconds: float) -> bool:
        """Wait for the answer, but no longer than this."""
        return self._is_answered.wait(seconds)

    def _answer(self) -> None:
        self.answered_at = time.monotonic()
        self._is_answered.set()
