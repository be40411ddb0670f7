"""The descriptors between a queue and one of its processes."""

from __future__ import annotations

import os
import socket

__all__ = ["Ends"]


class Ends:
    """A pair of sockets, to talk over, and a pipe, whose writing end only the queue's process holds open."""

    def __init__(self) -> None:
        """Open them; raises OSError if there are none to be had."""
        self.ours, self.theirs = socket.socketpair()
        try:
            self.reading, self.lifeline = os.pipe()
        except OSError:
            self.ours.close()
            self.theirs.close()
            raise

    @property
    def of_the_process(self) -> tuple[int, int]:
        """What the process is to inherit."""
        return self.theirs.fileno(), self.reading

    def close(self) -> None:
        """Close all but the socket of ours, which may have to be read to its end."""
        self.theirs.close()
        os.close(self.reading)
        os.close(self.lifeline)
