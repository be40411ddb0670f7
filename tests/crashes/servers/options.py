"""What a server is told, and the queue that it makes of it."""

import logging
import os
from typing import Final

from attrs import frozen
from behaviour import DIARY, IS_CALM

from actorq import JobQueue

OPTIONS: Final = "SERVER_OPTIONS"
"""In the environment of processes that are not started by hand: the options, as JSON."""


@frozen
class Options:
    server: str
    path: str
    diary: str
    drain_timeout: float
    grace: float
    is_calm: bool = False
    watched: str = ""
    """The folder whose change makes uvicorn begin anew."""

    def make_queue(self) -> JobQueue:
        os.environ[DIARY] = self.diary
        if self.is_calm:
            os.environ[IS_CALM] = "yes"
        log = logging.getLogger("actorq")
        log.setLevel(logging.INFO)
        log.addHandler(Telling())
        return JobQueue(self.path, drain_timeout=self.drain_timeout, grace=self.grace)


class Telling(logging.Handler):
    """Says what is logged on the standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        tell("log", record.getMessage().replace("\n", " "))


def tell(*words: object) -> None:
    """Say a line, in one piece."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
