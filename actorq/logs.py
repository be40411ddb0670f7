"""What the code in a job writes to the log becomes lines of the job's own log.

By the contextvar that ``current_job()`` reads: so it is known of the function, of the tasks it starts, and of threads
that are given its context (``anyio.to_thread``, ``asyncio.to_thread``; not a bare ``threading.Thread``). The
application's own handlers see all records as before.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final

import orjson

from actorq.actors.context import running_attempt
from actorq.config import NAME_LIMIT, TEXT_LIMIT
from actorq.errors import ActorqError

__all__ = ["JobLogHandler"]


class JobLogHandler(logging.Handler):
    """Copies records made inside a job to its log: ``logging.getLogger("app").addHandler(JobLogHandler())``.

    Each becomes a line with level, message (with a formatter, as that writes it; with the exception's text), and in
    its ``data`` the name of the logger, where the call stands, and of the ``extra`` fields those that are JSON.
    Records made outside of a job, after its end, or by actorq itself are left out. Threads do not wait for the event
    loop, and nothing is raised.
    """

    def __init__(self, level: int | str = logging.INFO) -> None:
        super().__init__(level)

    def handle(self, record: logging.LogRecord) -> Any:
        """Emit the record if no filter refuses it; without the lock, for nothing is shared, and none waits for it."""
        passed: Any = self.filter(record)  # True, or from Python 3.12 on another record
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record to the log of the job that made it."""
        attempt = running_attempt.get()
        if attempt is None or attempt.is_over or record.name.partition(".")[0] == "actorq":
            return
        try:
            level, message, data = _level_of(record.levelno), _cut(self.format(record)), _data_of(record)
            with suppress(ActorqError, RuntimeError):  # the queue has stopped, or its loop is gone
                attempt.log_soon(level, message, data)
        except Exception:  # noqa: BLE001 - whatever it is, the application must not hear of it
            self.handleError(record)


_STANDARD: Final = frozenset({*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"})
"""The fields that every record has; all others are ``extra``."""

_LEVELS: Final = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"))


def _level_of(number: int) -> str:
    """Return the standard word for the level; one in between has the word below it."""
    return next((word for least, word in _LEVELS if number >= least), "debug")


def _cut(text: str) -> str:
    """Cut what is too long in its middle: a message begins with what matters, a traceback ends with it."""
    half = TEXT_LIMIT // 2
    return text if len(text) <= TEXT_LIMIT else f"{text[:half]}\n…\n{text[3 - half :]}"


def _data_of(record: logging.LogRecord) -> bytes:
    """Return as JSON where it comes from, and as many of the extra fields as there is room for."""
    where = f"{record.filename}:{record.lineno} {record.funcName}"
    fields = orjson.dumps({"logger": record.name[:NAME_LIMIT], "where": where[:NAME_LIMIT]})
    for name, value in vars(record).items():
        if name not in _STANDARD and name not in ("logger", "where"):
            with suppress(TypeError):  # it is no JSON
                more = fields[:-1] + b"," + orjson.dumps({name: value})[1:]
                fields = more if len(more) <= TEXT_LIMIT else fields
    return bytes(memoryview(fields))
