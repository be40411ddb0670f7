"""While a queue is closing, one more SIGINT or SIGTERM hurries it. The handlers stay the application's.

Most servers heed a first signal and have no use for a second while the application closes: nobody but the one who
closes can make it shorter. So for that time, and no longer, a link of ours stands before the handler that is there:
it passes on that there is a hurry, and then calls that handler with what it was called with itself. Signals that no
Python function handles are left alone, and so is all that is done by other means (a wake-up descriptor, ``sigwait``).

Only the main thread may set handlers; a queue that is closed in another one is hurried by cancelling ``close()``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

__all__ = ["hurried_by_signals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_hurries: Final[list[Callable[[], object]]] = []
"""Of all queues that are closing now: they share the links, so whoever has come last need not be the first to go."""


class _Link:
    """Stands before one handler of the application. Whoever has kept it for his own is passed on for ever."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, signum: int, frame: FrameType | None) -> Any:
        """Tell all that are closing, and let the application do what it would have done."""
        for hurry in tuple(_hurries):
            with suppress(RuntimeError):  # its loop is gone
                hurry()
        return self.handler(signum, frame)


_links: Final[dict[signal.Signals, _Link]] = {}


@contextmanager
def hurried_by_signals(hurry: Callable[[], object]) -> Generator[None]:
    """Call ``hurry`` in the handler of each signal that comes inside the block. It must not wait for anything."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _hurries.append(hurry)
    try:
        _put_links()
        yield
    finally:
        _hurries.remove(hurry)
        if not _hurries:
            _take_links()


def _put_links() -> None:
    for signum in _SIGNALS:
        handler = signal.getsignal(signum)
        if callable(handler) and handler is not _links.get(signum):  # SIG_DFL and SIG_IGN are no functions
            link = _links[signum] = _Link(handler)
            _set(signum, link)


def _take_links() -> None:
    """Put the handlers back; one that was set meanwhile stays."""
    for signum, link in _links.items():
        if signal.getsignal(signum) is link:
            _set(signum, link.handler)
    _links.clear()


def _set(signum: signal.Signals, handler: Callable[[int, FrameType | None], Any]) -> None:
    with suppress(ValueError):  # a subinterpreter; or whoever closed was thrown away, in a thread that happened by
        signal.signal(signum, handler)
