"""``python -m actorq``: look into a queue's directory without opening the queue, and mend it.

``verify``, ``inspect`` and ``export`` only read: they change no byte, need no lock, and work beside the
process that owns the directory. ``repair`` takes the lock, so it refuses a directory that is in use.

What was found goes to the standard output, as text for people or, with ``--json``, as one JSON document
whose field names are promised; what went wrong goes to the standard error. The exit codes, too, are a promise.
``docs/how-to/verify.md`` has both.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from actorq.cli.answer import Answer, ExitCode, shown
from actorq.cli.export import FILTERS, export
from actorq.cli.inspect import inspect
from actorq.cli.repair import repair
from actorq.cli.verify import verify
from actorq.core.job import JobState
from actorq.errors import StoreCorrupt, StoreError, StoreLocked, StoreTooNew
from actorq.store.line import dump

__all__ = ["ExitCode", "main"]

CODES: Final = """\
exit codes:
  0    whole: nothing is wrong (after repair: any more); a torn tail is not wrong
  1    damaged: something that had been on the disk is damaged or gone
  2    usage: the command line makes no sense
  3    unreadable: no such directory, no queue in it, no permission, or no room
  4    too_new: a later actorq wrote it
  5    owned: a living process owns the directory, and it cannot be repaired
  130  interrupted by Ctrl-C
  141  unheard: whoever read the output has gone
"""

COMMANDS: Final = {
    "verify": "tell whether the directory is whole, and if not, where it is damaged; read-only",
    "inspect": "tell what is in the directory: jobs by state and task, files, damage, owner; read-only",
    "export": "write every job, also those that have ended, as one line of JSON each; read-only",
    "repair": "copy everything aside, make a damaged directory whole, and say what that has cost",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code.

    Raises:
        SystemExit: it makes no sense (2), or asks for help (0).
    """
    asked = _parser().parse_args(argv)
    try:
        code = _obey(asked)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.UNHEARD
    except OSError as error:  # what the store meets is a StoreError: this is the output
        _complain(asked, f"cannot write the output: {error.strerror}")
        code = ExitCode.UNREADABLE
    return code


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m actorq",
        description="Look into the directory of a queue, and mend it.",
        epilog=CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        command = commands.add_parser(
            name, help=what, description=what, epilog=CODES, formatter_class=RawDescriptionHelpFormatter
        )
        command.add_argument("directory", metavar="DIR", help="the directory that the queue was given")
        command.add_argument("--json", action="store_true", help="one JSON document on the standard output")
        if name == "export":
            states = [state.value for state in JobState if state is not JobState.CREATED]
            for kind in FILTERS:
                choices = states if kind == "state" else None
                command.add_argument(
                    f"--{kind}", action="append", choices=choices, default=[], help=f"only jobs of this {kind}"
                )
    return parser


# -- doing it --------------------------------------------------------------------------------------


def _obey(asked: Namespace) -> ExitCode:
    try:
        if asked.command == "export":
            return _export(asked)
        answer = _answer(asked)
    except StoreError as error:
        return _refuse(asked, error)
    if asked.json:
        _write(_document(asked, answer.code, answer.fields))
    else:
        _write_text(answer.text)
    return answer.code


def _answer(asked: Namespace) -> Answer:
    match asked.command:
        case "verify":
            return verify(asked.directory)
        case "inspect":
            return inspect(asked.directory)
        case _:
            return repair(asked.directory, time.time())


def _export(asked: Namespace) -> ExitCode:
    """Write each job as it comes: there may be more than fit into memory a second time."""
    before, behind, between = (b'{"jobs":[', b"", b",") if asked.json else (b"", b"\n", b"")

    def write(job: bytes) -> None:
        nonlocal before
        _write(before + job + behind)
        before = between

    answer = export(asked.directory, write, {kind: getattr(asked, kind) for kind in FILTERS})
    if asked.json:
        opening = before.removeprefix(between)
        _write(opening + b"]," + _document(asked, answer.code, answer.fields)[1:])
    else:
        for line in answer.text:
            _complain(asked, line.strip())
    return answer.code


def _refuse(asked: Namespace, error: StoreError) -> ExitCode:
    match error:
        case StoreTooNew():
            code = ExitCode.TOO_NEW
        case StoreLocked():
            code = ExitCode.OWNED
        case StoreCorrupt():
            code = ExitCode.DAMAGED
        case _:
            code = ExitCode.UNREADABLE
    _complain(asked, str(error))
    if asked.json:
        _write(_document(asked, code, {"error": str(error)}))
    return code


# -- saying it -------------------------------------------------------------------------------------


def _document(asked: Namespace, code: ExitCode, fields: dict[str, Any]) -> bytes:
    common = {"command": asked.command, "path": asked.directory, "status": code.name.lower(), "exit_code": code.value}
    return dump(common | fields) + b"\n"


def _write(data: bytes) -> None:
    """Write JSON, which is UTF-8 whatever the terminal speaks."""
    sys.stdout.buffer.write(data)


def _write_text(lines: Iterable[str]) -> None:
    for line in lines:
        _write((line + "\n").encode(sys.stdout.encoding, "backslashreplace"))


def _complain(asked: Namespace, what: str) -> None:
    sys.stderr.write(f"python -m actorq {asked.command}: {shown(what)}\n")
