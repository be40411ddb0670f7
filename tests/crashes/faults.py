"""A program that does what it is told (``steps``), step by step, while the world around it is broken and mended."""

import resource
import subprocess
from pathlib import Path
from typing import Any, Final

from .life import Life
from .outside import Outside

WAIT_S: Final = 60.0

LARGE: Final = {
    "SEGMENT_LIMIT": 1024 * 1024,
    "RESERVE_BYTES": 32 * 1024,
    "BATCH_BYTES": 16 * 1024,
    "FULL_RETRY_CAP_S": 0.1,
}
"""Segments that grow until something is in their way."""


class Told(Life):
    """A life that takes one command at a time."""

    def __init__(self, path: Path, prefix: tuple[str, ...] = (), **options: Any) -> None:
        super().__init__("steps.py", prefix, stdin=subprocess.PIPE, path=str(path), **options)
        if not self.listen(WAIT_S, until=b"opened"):
            raise AssertionError(f"it does not open: {self.errors()}")
        self._step = 0

    @classmethod
    def begin(cls, path: Path, outside: Outside) -> bool:
        """Open it, close it, and compare what it has found with what was promised; tell whether it could be opened."""
        life = Life("steps.py", stdin=subprocess.PIPE, path=str(path), in_thread=True)
        life.obey("")
        life.wait()
        starts = outside.starts
        life.confess(outside)
        if outside.starts == starts:
            outside.lies.append(f"life {outside.lives} cannot open it: {outside.troubles[-1:]}")
        return outside.starts > starts

    def do(self, *commands: str) -> list[str]:
        """Let it do these, and return what it has said meanwhile."""
        self._step += 1
        assert self.process.stdin is not None
        before = len(self.lines())
        self.process.stdin.write("".join(f"{command}\n" for command in (*commands, f"step {self._step}")).encode())
        self.process.stdin.flush()
        if not self.listen(WAIT_S, until=f"said {self._step}\n".encode()):
            raise AssertionError(f"it hangs in {commands}: {self.errors()}")
        return [line for line, _ in self.lines()][before:-1]

    def close(self, outside: Outside) -> None:
        """Let it close, and tell the ledger outside everything."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.wait()
        self.confess(outside)


def limited(limit: str, value: int) -> tuple[str, ...]:
    """Return the beginning of a command that runs under a limit of the operating system."""
    return ("/bin/sh", "-c", f'ulimit {limit} {value}; exec "$@"', "sh")


def limit_descriptors(life: Life, more: int) -> None:
    """Let the program open only so many more files than it has open now."""
    pid = life.process.pid
    highest = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + more, highest + 1 + more))


def look(path: Path, outside: Outside) -> None:
    """Open it once more, let it work, and compare with what was promised."""
    life = Told(path, in_thread=True)
    answers = life.do("submit 10", "end")
    assert {"accepted", "ended"} <= words_of(answers), answers
    life.close(outside)


def words_of(lines: list[str]) -> set[str]:
    return {line.split()[0] for line in lines}
