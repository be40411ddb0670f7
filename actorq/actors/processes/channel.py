"""The queue's end of the socket to a worker process, for one task at a time.

Nobody reads while no job runs, so an idle process costs nothing. What is posted goes out at once as far as the system
takes it; the rest follows when something is received, or in :meth:`Channel.flush`.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from actorq.actors.processes.wire import Frames, FromChild, ToChild, encode, from_child

__all__ = ["Channel"]

_CHUNK: Final = 64 * 1024


class Channel:
    """Messages to and from one process."""

    def __init__(self, ours: socket.socket, first: bytes) -> None:
        """Talk over this socket; this frame comes first."""
        ours.setblocking(False)  # noqa: FBT003 - the socket wants it so
        self._socket = ours
        self._frames = Frames()
        self._inbox = deque[FromChild]()
        self._outbox = bytearray(first)
        self._waiting: anyio.CancelScope | None = None
        self._is_over = False
        """Whether the process has ended: what it has said can still be read."""
        self._push()

    def post(self, message: ToChild) -> None:
        """Send it; what the process does not hear any more is lost."""
        self._outbox += encode(message)
        self._push()

    async def flush(self) -> None:
        """Wait until all that was posted has been sent, or nobody will take it."""
        while self._push() and not self._is_over:
            await self._wait(anyio.wait_writable)

    async def receive(self) -> FromChild | None:
        """Return the next message; None: no more will come. May be cancelled: nothing is lost.

        Raises:
            Garbage: that is not what a process says.
        """
        while not self._inbox:
            try:
                data = self._socket.recv(_CHUNK)
            except BlockingIOError:
                if self._is_over:
                    return None
                await self._wait(anyio.wait_readable)
                continue
            except OSError:
                return None
            if not data:
                return None
            self._inbox.extend(map(from_child, self._frames.feed(data)))
            self._push()
            await checkpoint()  # a process that talks without a pause must not hold up the loop
        return self._inbox.popleft()

    @property
    def is_gone(self) -> bool:
        """Whether the other end is closed, as far as is known while nobody reads."""
        if self._is_over:
            return True
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close_sending(self) -> None:
        """Let the process hear that there is nothing more to come."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Know that the process has ended, and wait for nothing more."""
        self._is_over = True
        if self._waiting is not None:
            self._waiting.cancel()

    def close(self) -> None:
        """Close the socket; nobody waits at it."""
        self._is_over = True
        self._socket.close()

    async def _wait(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        try:
            with anyio.CancelScope() as self._waiting:  # anyio.notify_closing() works only in tasks
                await wait(self._socket)
        finally:
            self._waiting = None

    def _push(self) -> bool:
        """Send what goes; tell whether something is left."""
        with suppress(BlockingIOError):
            while self._outbox:
                try:
                    sent = self._socket.send(self._outbox)
                except BlockingIOError:
                    raise
                except OSError:  # nobody will take it
                    self._outbox.clear()
                    break
                del self._outbox[:sent]
        return bool(self._outbox)
