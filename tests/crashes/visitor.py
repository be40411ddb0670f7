"""Who visits a server: submits jobs, sends it signals, and reads the diary of its jobs."""

import http.client
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson
from attrs import frozen

from .life import Life

PATIENCE_S: Final = 60.0
"""An answer that takes longer does not come."""

TASKS: Final = ("obey", "ignore", "shield", "tidy_up", "spin", "block", "compute")


@frozen
class Run:
    """One run of a job, from the diary."""

    job: str
    claim: int
    pid: int
    began_at: float
    ended_at: float | None
    """None: it wrote nothing more."""


def read_diary(path: Path) -> list[Run]:
    """Return the runs in the order in which they began."""
    if not path.exists():
        return []
    ends: dict[tuple[str, str], float] = {}
    lines = [line.split() for line in path.read_text().splitlines()]
    for word, job, claim, _, at in lines:
        if word == "end":
            ends[job, claim] = float(at)
    return [
        Run(job, int(claim), int(pid), float(at), ends.get((job, claim)))
        for word, job, claim, pid, at in lines
        if word == "begin"
    ]


class Visit:
    """One life of a server, from outside."""

    def __init__(self, server: str, folder: Path, **options: Any) -> None:
        self.diary = folder / "diary"
        self.accepted: set[str] = set()
        self.life = Life("servers/program.py", server=server, path=str(folder / "q"), diary=str(self.diary), **options)
        assert self.life.listen(PATIENCE_S, until=b"listening"), self.life.errors()
        [line] = [line for line, _ in self.life.lines() if line.startswith("listening")]
        self._port = int(line.split()[1])

    def ask(self, method: str, path: str) -> Any:
        """Return the answer.

        Raises:
            OSError, HTTPException: there is none.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            assert response.status in {200, 202}, (response.status, response.read())
            return orjson.loads(response.read())
        finally:
            connection.close()

    def submit(self, task: str, seconds: float) -> str:
        job_id: str = self.ask("POST", f"/jobs?task={task}&seconds={seconds:.3f}")
        self.accepted.add(job_id)
        return job_id

    def submit_for(self, seconds: float, random: Random) -> None:
        """Submit jobs of all kinds for so long: half of them are short, and half of them do not end by themselves."""
        end_at = time.monotonic() + seconds
        while time.monotonic() < end_at:
            self.submit(random.choice(TASKS), random.choice([random.uniform(0, 0.3), 60.0]))
            time.sleep(random.uniform(0, 0.05))

    def stop(self, *, again_at: bytes = b"") -> float:
        """Send SIGTERM, and once more when a line begins so; return how long it lived after the last one."""
        process = self.life.process
        process.send_signal(signal.SIGTERM)
        sent_at = time.monotonic()
        if again_at:
            assert self.life.listen(PATIENCE_S, until=again_at), self.life.errors()
            process.send_signal(signal.SIGTERM)
            sent_at = time.monotonic()
        process.wait(PATIENCE_S)
        took_s = time.monotonic() - sent_at
        self.life.wait()  # until nobody else has its standard output any more
        return took_s

    def complaints(self) -> list[str]:
        """Return what it has said that it should not have."""
        words = ("Traceback", "Error", "Warning", "never awaited", "still running", "bug")
        said = [*self.life.errors().splitlines(), *(line for line, _ in self.life.lines())]
        return [line for line in said if any(word in line for word in words)]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again."""
    end_at = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_at, "it does not come"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
