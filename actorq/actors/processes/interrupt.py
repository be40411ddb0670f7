"""How a plain function is stopped: by an exception that is raised in it, wherever it stands.

A signal to the main thread, in which functions run, ends what it waits for in the system; its handler raises. So even
``time.sleep()`` ends, and ``finally`` runs. Foreign code that does not come back to the interpreter is not reached,
and a function may swallow the exception: then the grace of the job ends both.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["Interrupt"]


class Interrupt:
    """Raises an exception in the main thread: once for a call, and only in what was called.

    As a context manager it puts that off: half a message must not be sent. In other threads it does nothing.
    """

    def __init__(self) -> None:
        """Must be made in the main thread."""
        self._main = threading.get_ident()
        self._is_open = False
        self._is_due = False
        self._held = 0
        self._make_error: Callable[[], BaseException | None] = KeyboardInterrupt

    def strike(self) -> None:
        """Let it be raised; from any thread."""
        signal.pthread_kill(self._main, signal.SIGUSR1)

    def call(self, fn: Callable[[], Any], make_error: Callable[[], BaseException | None]) -> Any:
        """Call the function, which may be interrupted by what the other one makes; None: not any more."""
        self._is_due, self._make_error = False, make_error
        signal.signal(signal.SIGUSR1, self._on_signal)  # each time: a function may have had another use for it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        try:
            self._is_open = True
            return fn()
        finally:
            self._is_open = False

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._held += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main:
            self._held -= 1
            self._raise_if_due()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._is_due = True
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self._is_due and self._is_open and not self._held:
            self._is_open = self._is_due = False
            error = self._make_error()
            if error is not None:
                raise error
