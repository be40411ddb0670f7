"""``repair``: make a damaged directory one that opens, and say what that has cost.

Everything is copied aside before anything is touched, into ``quarantine/repair-<time>/``, and nothing of that
is ever removed by us. What a failing disk does not give back cannot be copied; it is moved aside later, by salvage,
as it is.

Where only the generation before the newest snapshot is damaged, that generation is moved aside as a whole:
it is no use as it is, and the next snapshot begins another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, field

from actorq.cli.answer import Answer, ExitCode, count_of, facts_of, job_fields, shown, state_counts
from actorq.cli.verify import code_of, damage_fields, damage_text, spots_text, tail_text
from actorq.core.ledger import Ledger
from actorq.errors import StoreFull
from actorq.store.files import DiskFiles, MediumError, boot_id
from actorq.store.inspection import Finding, UnownedFiles, examine, refuse_other_directories
from actorq.store.recovery import NAMED, QUARANTINE, Report, free_name
from actorq.store.salvage import salvage
from actorq.store.spot import spares

__all__ = ["repair"]

NOT_COPIED: Final = ("lock", "reserve")
"""What holds nothing."""

UNNAMED: Final = "default"
"""The name of the queue, if no file tells it."""


@define
class _Copies:
    """What was copied aside."""

    path: str
    names: list[str] = field(factory=list[str])
    failed: list[str] = field(factory=list[str])
    """Files that the disk did not give back whole."""


def repair(path: str, now: float) -> Answer:
    """Take the directory, and make it whole.

    Raises:
        StoreLocked: it is in use. Nothing was changed.
        StoreTooNew: a later actorq wrote it. Nothing was changed.
        StoreError: there is no queue in it, or no room for the copies; or else it is half done, and the copies stand.
    """
    files = UnownedFiles(path)
    refuse_other_directories(files)  # before the lock: nothing is made in a directory that is not one of ours
    files.lock()
    try:
        found = examine(files, is_ours=True)
        if found.is_whole:
            return _nothing_to_do(path, found)
        copies = _copy_aside(files, now)
        doubt = _mend(files, found, now)
        return _answer(path, found, copies, doubt, examine(files, is_ours=True))
    finally:
        files.unlock()


# -- doing it --------------------------------------------------------------------------------------


def _copy_aside(files: DiskFiles, now: float) -> _Copies:
    files.make_directory(QUARANTINE)
    taken = {entry.name for entry in files.list(QUARANTINE)}
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    into = DiskFiles(files.where(f"{QUARANTINE}/{free_name(f'repair-{at}', taken)}"))
    into.make_directory()
    copies = _Copies(into.where())
    try:
        for entry in files.list():
            if entry.is_file and entry.name not in NOT_COPIED:
                _copy(files, into, entry.name, copies)
    except StoreFull:
        for name in (*copies.names, *copies.failed):
            into.unlink(name)  # what is half of a copy is of no use, and there is no room for it
        raise
    into.sync_directory()
    files.sync_directory(QUARANTINE)
    return copies


def _copy(files: DiskFiles, into: DiskFiles, name: str, copies: _Copies) -> None:
    copies.names.append(name)
    copy = into.create(name)
    try:
        for block in files.blocks(name):
            copy.write(block)
    except MediumError:
        copies.names.remove(name)
        copies.failed.append(name)
    finally:
        copy.sync()
        copy.close()


def _mend(files: DiskFiles, found: Finding, now: float) -> Report:
    """Let salvage do its work, or move the generation before aside; return what is in doubt."""
    if found.refusal is not None:
        return salvage(files, found.queue or UNNAMED, wall=now, boot=boot_id()).report
    taken = {entry.name for entry in files.list(QUARANTINE)}
    for entry in spares(files.list()):
        files.rename(entry.name, f"{QUARANTINE}/{free_name(entry.name, taken)}")
    files.sync_directory(QUARANTINE)
    files.sync_directory()
    return found.report


# -- telling it ------------------------------------------------------------------------------------


def _nothing_to_do(path: str, found: Finding) -> Answer:
    fields = _fields(found, None, found.report, found)
    return Answer(ExitCode.WHOLE, [f"{shown(path)}: whole, so nothing was changed.", *tail_text(found)], fields)


def _answer(path: str, found: Finding, copies: _Copies, report: Report, after: Finding) -> Answer:
    text = [
        f"{shown(path)}: {'repaired' if after.is_whole else 'STILL DAMAGED'}.",
        *spots_text(found),
        f"  copies:  {count_of(len(copies.names), 'file')} as they were, in {shown(copies.path)}",
    ]
    text += [f"  copies:  {name} could not be read, so its copy is not whole" for name in copies.failed]
    text += [
        f"  missing: {facts_of(*gap)}: a job that was submitted there is lost, and one that ended there runs again"
        for gap in report.missing
    ]
    text += [_doubtful_text(after.ledger, job_id) for job_id in report.doubtful[:NAMED]]
    if (unnamed := len(report.doubtful) - NAMED) > 0:
        text.append(f"  doubtful: {count_of(unnamed, 'more job')}: --json names them all")
    if not report.missing and not report.doubtful:
        text.append("  nothing is missing")
    text.append(f"  kept:    {count_of(len(after.ledger.jobs), 'job')}")
    text += damage_text(path, after)
    return Answer(code_of(after), text, _fields(found, copies, report, after))


def _doubtful_text(ledger: Ledger, job_id: str) -> str:
    job = ledger.jobs.get(job_id)
    if job is None:
        return f"  doubtful: {shown(job_id)}: facts about it are missing, and it is not among the jobs"
    again = "has ended" if job.state.is_final else "may run once more"
    name = f"{shown(job_id)} ({shown(job.task)})"
    return f"  doubtful: {name}: facts about it may be missing; it is {job.state}, and {again}"


def _fields(found: Finding, copies: _Copies | None, report: Report, after: Finding) -> dict[str, Any]:
    return {
        "changed": copies is not None,
        "damage": damage_fields(found)["damage"],
        "copies": None if copies is None else copies.path,
        "copied": [] if copies is None else copies.names,
        "not_copied": [] if copies is None else copies.failed,
        "missing": [list(gap) for gap in report.missing],
        "doubtful": [job_fields(after.ledger, job_id) for job_id in report.doubtful],
        "jobs": state_counts(after.ledger.jobs.values()),
        "last_fact": after.last,
    }
