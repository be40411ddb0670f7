"""The process's end of the socket: one message at a time is read, and any thread may speak."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from contextlib import AbstractContextManager
from typing import Final

from actorq.actors.processes.wire import Frames, FromChild, ToChild, encode, to_child

__all__ = ["Line"]

_CHUNK: Final = 64 * 1024


class Line:
    """Messages to and from the queue."""

    def __init__(self, theirs: socket.socket, whole: AbstractContextManager[None]) -> None:
        """Talk over this socket.

        Args:
            theirs: blocks.
            whole: surrounds the sending of a message, which must not be broken off.
        """
        self._socket = theirs
        self._whole = whole
        self._lock = threading.Lock()
        self._frames = Frames()
        self._inbox = deque[bytes]()
        theirs.setblocking(True)  # noqa: FBT003 - it is not if the program has set a default timeout
        os.register_at_fork(after_in_child=self._fall_silent)

    def fileno(self) -> int:
        """Return the socket's descriptor; -1: it is closed."""
        return self._socket.fileno()

    def send(self, message: FromChild) -> bool:
        """Send a message; tell whether there was somebody to send it to.

        Raises:
            Garbage: it is too long.
        """
        frame = encode(message)
        with self._whole, self._lock:
            try:
                self._socket.sendall(frame)
            except OSError:  # the queue is gone, or a job has closed what is not its own
                return False
        return True

    def receive(self) -> ToChild | None:
        """Wait for the next message; None: no more will come."""
        while not self._inbox:
            if not self.read():
                return None
        return to_child(self._inbox.popleft())

    def read(self) -> bool:
        """Read what there is, wait if there is nothing; tell whether more may come."""
        try:
            data = self._socket.recv(_CHUNK)
        except OSError:
            return False
        self._inbox.extend(self._frames.feed(data))
        return bool(data)

    def _fall_silent(self) -> None:
        """Have nothing to say: this is a fork of the process."""
        self._lock = threading.Lock()  # a thread that is not in the fork may have held it
        self._socket.close()

    @property
    def has_message(self) -> bool:
        """Whether :meth:`receive` would return at once."""
        return bool(self._inbox)
