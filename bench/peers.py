"""What one would pick instead, each in its fastest fair setting.

Fair: a call that has returned is on the disk, so SQLite syncs each commit (``synchronous=FULL``). Fastest: one
thread that calls again and again, for the writers of SQLite exclude one another, and more of them are slower; a
write-ahead log, with one sync a commit in the place of three; and with DBOS its bare client, which enqueues, and
does not look for work meanwhile. Neither can accept many in one commit.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

PEERS: Final = tuple(name for name in ("huey", "dbos") if find_spec(name))
"""Those that are installed: ``make bench`` sees to it."""


class Peer:
    """A queue that accepts one job after the other."""

    def __init__(self, enqueue: Callable[[int], object], arguments: Callable[[], list[int]]) -> None:
        self.enqueue = enqueue
        """Returns when the job with this argument is on the disk."""
        self.arguments = arguments
        """Returns those of all jobs that wait."""


def open_peer(name: str, path: Path) -> AbstractContextManager[Peer]:
    """Open the peer in this directory."""
    return {"huey": _open_huey, "dbos": _open_dbos}[name](path)


@contextlib.contextmanager
def _open_huey(path: Path) -> Generator[Peer]:
    from huey import SqliteHuey  # noqa: PLC0415 - may not be installed

    huey = SqliteHuey("bench", filename=str(path / "huey.db"), fsync=True)

    @huey.task()
    def echo(n: int) -> int:
        return n

    yield Peer(echo, lambda: [task.args[0] for task in huey.pending()])
    huey.storage.close()


@contextlib.contextmanager
def _open_dbos(path: Path) -> Generator[Peer]:
    from dbos import DBOS, DBOSClient  # noqa: PLC0415 - may not be installed

    file = path / "dbos.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma journal_mode=wal")  # the file remembers it
    url = f"sqlite:///{file}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "console_log_level": "ERROR"})
    DBOS.launch()  # it makes the tables …
    DBOS.register_queue("bench")
    DBOS.destroy()  # … and need not run any more
    client = DBOSClient(system_database_url=url)
    options: Any = {"queue_name": "bench", "workflow_name": "echo"}
    yield Peer(
        lambda n: client.enqueue(options, n),
        lambda: [one.input["args"][0] for one in client.list_queued_workflows(queue_name="bench")],
    )
    client.destroy()
