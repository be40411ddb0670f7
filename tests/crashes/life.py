"""One life of a program that is going to be killed: its process, and the pipe on which it speaks.

What is in the pipe outlives the process. So a line that can be read was written before the process died, and a
line is only written when the queue has said what the line tells.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from .outside import Outside

HERE: Final = Path(__file__).parent

lives: Final = set["Life"]()
"""Those of which nobody has heard the end."""

TOO_LONG_S: Final = 120.0
"""A program that says nothing new for so long hangs."""


class Life:
    """A child process, and what it has said."""

    def __init__(self, script: str, prefix: Sequence[str] = (), *, stdin: int = subprocess.DEVNULL, **options: Any):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this does
        command = [*prefix, sys.executable, str(HERE / script), orjson.dumps(options).decode()]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=self._errors)
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._chunks: list[tuple[float, bytes]] = []
        self._promised: float | None = None
        self._by_sync = False
        self._ended_before = False
        self._is_handed_over = False
        self.is_killed = False
        """Whether it is not to be wondered at that it was killed."""
        lives.add(self)

    # -- listening -----------------------------------------------------------------------------------

    def obey(self, script: str) -> None:
        """Give it all its commands at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(script.encode())
        self.process.stdin.close()

    def listen(self, seconds: float, until: bytes | None = None) -> bool:
        """Read what it says for so long, or until a line begins with that word; tell whether it did."""
        end_at = time.monotonic() + seconds
        said = b"\n"
        while (left := end_at - time.monotonic()) > 0:
            select.select([self._out], [], [], left)
            chunk = self._read()
            if chunk == b"":
                return False
            if until is not None:
                said = said[-100:] + (chunk or b"")
                if b"\n" + until in said:
                    return True
        return False

    def drain(self) -> None:
        """Read all that is there now: what it says from now on is no promise any more."""
        while self._read():
            pass
        self._promised = time.monotonic()
        self._ended_before = self.process.poll() is not None

    def promise_by_sync(self) -> None:
        """Take only what was said before the last sync that it told of for a promise."""
        self._by_sync = True

    def _read(self) -> bytes | None:
        try:
            chunk = os.read(self._out, 1 << 20)
        except BlockingIOError:
            return None
        if chunk:
            self._chunks.append((time.monotonic(), chunk))
        return chunk

    # -- its end -------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it as a machine would: without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.is_killed = True
        self.wait()

    def wait(self) -> int:
        """Read to the end, and return the exit code."""
        while True:
            ready = select.select([self._out], [], [], TOO_LONG_S)[0]
            if not ready:
                self.process.kill()
                raise TimeoutError(f"It hangs. {self.errors()}")
            if self._read() == b"":
                break
        return self.process.wait(TOO_LONG_S)

    def errors(self) -> str:
        """Return what it has said on its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-4_000:]

    # -- what it has said ----------------------------------------------------------------------------

    def lines(self) -> list[tuple[str, bool]]:
        """Return each whole line, and whether it is a promise."""
        lines: list[tuple[str, bool]] = []
        rest = b""
        for at, chunk in self._chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            is_promise = self._promised is None or at <= self._promised
            lines += [(line.decode(), is_promise) for line in whole]
        if not self._by_sync:
            return lines
        synced = max((n for n, line in enumerate(lines) if line == ("synced", True)), default=0)
        begun = max((n for n, line in enumerate(lines[:synced]) if line == ("syncing", True)), default=0)
        return [(line, n < begun) for n, (line, _) in enumerate(lines)]

    def hand_over(self, outside: Outside) -> None:
        """Tell the ledger outside what was said up to now, and forget it: a long life says much."""
        if not self._is_handed_over:
            outside.begin_life()
            self._is_handed_over = True
        data = b"".join(chunk for _, chunk in self._chunks)
        whole, _, rest = data.rpartition(b"\n")
        self._chunks = [(time.monotonic(), rest)]
        outside.hear((line, True) for line in whole.decode().split("\n") if line)

    def confess(self, outside: Outside, *, is_cut: bool = False) -> None:
        """Tell the ledger outside everything; that it ended otherwise than by our hand is a lie, too."""
        code = self.process.wait()
        if not self._is_handed_over:
            outside.begin_life()
        outside.hear(self.lines())
        outside.was_cut = is_cut
        is_our_doing = (is_cut and not self._ended_before) or (self.is_killed and code == -signal.SIGKILL)
        if code and not is_our_doing:
            outside.lies.append(f"life {outside.lives} ended by itself with code {code}: {self.errors()}")
        self.discard()

    def discard(self) -> None:
        """Leave nothing of it behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        lives.discard(self)
        for file in (self._errors, self.process.stdin, self.process.stdout):
            if file is not None:
                file.close()
