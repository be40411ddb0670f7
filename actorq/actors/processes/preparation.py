"""What a fresh process must know to find the same functions: what ``multiprocessing`` tells its own.

The main module is imported again, under the name ``__mp_main__``: what stands under ``if __name__ == "__main__"`` is
not run. A program that opens its queue elsewhere would run again in each of its processes, and each of these would
start processes: so while a process imports the main module, no queue is opened and no process is started in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from actorq.actors.processes.wire import Prepare

__all__ = ["check_not_preparing", "paths", "preparation", "preparing"]

_preparing: list[bool] = []


def paths() -> list[str]:
    """Return where this process looks for modules; the current folder by its name."""
    return [str(path) or os.getcwd() for path in sys.path]  # noqa: PTH109 - sys.path is of strings


def preparation(backend: str) -> Prepare:
    """Return what a process of this program has to know."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = None if spec is not None else getattr(main, "__file__", None)
    return Prepare(
        argv=list(sys.argv),
        main_name=None if spec is None else spec.name,
        main_path=None if path is None else str(Path(path).absolute()),
        backend=backend,
    )


@contextmanager
def preparing() -> Generator[None]:
    """Be a worker process that imports the main module."""
    _preparing.append(True)
    try:
        yield
    finally:
        _preparing.clear()


def check_not_preparing() -> None:
    """Raise RuntimeError while this is a worker process that imports the main module."""
    if _preparing:
        raise RuntimeError(
            "The program is being run again in one of its worker processes, which import its main module to find the "
            'functions of tasks. Put what starts the program under `if __name__ == "__main__":`.'
        )
