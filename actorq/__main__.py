"""The process around the command line: see ``cli``."""

import os
import sys
from contextlib import suppress

from actorq.cli import ExitCode, main

__all__: list[str] = []


def _let_go_of_output() -> None:
    """Throw away what was not written yet: at its end the interpreter would try, and wait or complain."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())


if __name__ == "__main__":
    code = main()
    if code in (ExitCode.INTERRUPTED, ExitCode.UNHEARD):
        _let_go_of_output()
    sys.exit(code)
