"""Keep what can be read of a damaged directory, and say what is missing.

Rather run again than lose: a job whose end may be lost runs again, a job that is known by a later fact
only is named. Every line that verifies is used, wherever it stands. Where facts between are lost, what
follows is applied as far as it can be: a job that ended is known to have run.

The way back is as safe as the way in. First a snapshot of all that was kept is written and synced, under
a number that no file has had; then all else, the witness too, is moved into ``quarantine/``, where we never remove
anything; and then the directory is opened as any other, strictly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from operator import attrgetter
from typing import Final
from zlib import crc32

from actorq.core import facts as f
from actorq.core.job import Failure, Job, JobState, Reason
from actorq.core.ledger import QUEUE, Ledger
from actorq.core.lifecycle import TRANSITIONS, next_state
from actorq.errors import StoreCorrupt
from actorq.store.files import Entry, Files, MediumError
from actorq.store.journal import MARK, read_mark
from actorq.store.journal_codec import End, Transaction, TransactionDecoder, decode_header
from actorq.store.line import Damage, Line, read_lines, whole
from actorq.store.recovery import (
    QUARANTINE,
    Flaw,
    Recovered,
    Report,
    collector_off,
    free_name,
    load_snapshot,
    recover,
    refusing_newer,
)
from actorq.store.segment import first_of, pieces, segments
from actorq.store.snapshot import SnapshotWriter, n_of, put_in_place, snapshots

__all__ = ["keep_what_can_be_read", "salvage"]

SLICE: Final = 1_000
"""Jobs encoded at a time."""

N_LIMIT: Final = 2**62
"""No fact has a larger number: a file that claims one is not believed, and there is room above to go on."""

SEEDS_LIMIT: Final = 20
"""The most lines that are asked for the salt of a file whose header cannot tell it."""

FLAWS_LIMIT: Final = 1_000
"""Flaws in a report from which on single bad lines are not told of any more."""


def salvage(files: Files, queue: str, *, wall: float, boot: str = "") -> Recovered:
    """Open a directory, which must be locked, whatever is in it.

    Raises:
        StoreTooNew: a later actorq wrote it. Nothing was changed.
        StoreError: the directory cannot be used.
    """
    try:
        return recover(files)
    except StoreCorrupt as damage:
        refusal = damage
    with collector_off():
        kept = keep_what_can_be_read(files)
    if not kept.report.has_loss:
        kept.report.flaws.append(Flaw(refusal.path, refusal.line, refusal.why))
    entries = files.list()
    _write(files, kept.ledger, queue, wall, boot)
    moved = _set_aside(files, entries)
    flaws = [Flaw(one.name, one.line, one.why, moved_to=moved.get(one.name, "")) for one in kept.report.flaws]
    kept.report.flaws[:] = flaws
    return Recovered(recover(files).ledger, kept.report)


def keep_what_can_be_read(files: Files) -> Recovered:
    """Fold every line that verifies; change nothing.

    Raises:
        StoreTooNew, StoreError: as :func:`salvage`.
    """
    entries = files.list()
    report = Report(files.where())
    ledger = _newest_whole(files, entries, report)
    journal = segments(entries)
    mark = read_mark(files, entries)
    for place, entry in enumerate(journal):
        next_first = first_of(journal[place + 1]) if place + 1 < len(journal) else N_LIMIT
        if next_first <= ledger.n + 1:
            continue
        with refusing_newer(files, entry.name):
            _keep_segment(files, entry, next_first, ledger, report)
        if ledger.n + 1 < next_first < N_LIMIT:
            _miss(entry.name, next_first - 1, ledger, report)
    if ledger.n < mark < N_LIMIT:
        _miss(journal[-1].name if journal else MARK, mark, ledger, report)
    _unblock(ledger)
    numbers = (n_of(entry.name) for entry in snapshots(entries))
    ledger.n = 1 + max([ledger.n, *(n for n in numbers if n < N_LIMIT)])
    if report.missing:  # an end may be among what is gone, so whatever has not ended may have, and runs again
        named = set(report.doubtful)
        report.doubtful += [job.id for job in ledger.jobs.values() if not job.state.is_final and job.id not in named]
    return Recovered(ledger, report)


def _newest_whole(files: Files, entries: list[Entry], report: Report) -> Ledger:
    for entry in snapshots(entries):
        try:
            with refusing_newer(files, entry.name):
                return load_snapshot(files, entry, report)
        except Damage as damage:
            report.flaws.append(Flaw(entry.name, damage.line, damage.why))
    return Ledger()


# -- the journal -------------------------------------------------------------------------------------


def _keep_segment(files: Files, entry: Entry, next_first: int, ledger: Ledger, report: Report) -> None:
    report.segments += 1
    transactions: list[Transaction] = []
    try:
        transactions.extend(_whole_lines(files, entry, report))
    except Damage as damage:
        report.flaws.append(Flaw(entry.name, damage.line or 1, damage.why))
    except MediumError as error:
        report.flaws.append(Flaw(entry.name, 1, f"it cannot be read: {error}"))
    for transaction in sorted(transactions, key=attrgetter("n")):  # lines may have changed their places
        for fact in transaction.facts:
            if ledger.n < fact.n < next_first:  # else a later life has gone on from before it
                _keep(ledger, fact, entry, report)


def _whole_lines(files: Files, entry: Entry, report: Report) -> Iterator[Transaction]:
    if not entry.is_file:
        raise Damage("this is no regular file", 1)
    files.settle(entry.name)
    salt = _salt(files, entry, report)
    if salt is None:
        return
    decoder = TransactionDecoder(salt)
    for line in read_lines(files, entry.name):
        try:
            found = [decoder.decode(whole(line))]
        except Damage as damage:
            if line.number > 1 and len(report.flaws) < FLAWS_LIMIT:  # of the first one it is known
                report.flaws.append(Flaw(entry.name, line.number, damage.why, is_torn=not line.is_endless))
            found = list(_whole_pieces(line, decoder))
        yield from (said for said in found if isinstance(said, Transaction))


def _whole_pieces(line: Line, decoder: TransactionDecoder) -> Iterator[Transaction | End | None]:
    """Yield what verifies within a line that does not."""
    for piece in pieces(line.data):
        with suppress(Damage):
            yield decoder.decode(piece)


def _salt(files: Files, entry: Entry, report: Report) -> int | None:
    """Return the salt of a segment: from its header, or from what its lines agree on; None: there is nothing."""
    seeds: dict[int, bytes] = {}
    for line in read_lines(files, entry.name):
        for piece in pieces(line.data):
            with suppress(Damage):
                return decode_header(piece).salt
            seed = _seed(piece)
            if seed is not None and seeds.setdefault(seed, piece) != piece:
                return seed
        if line.number == 1:
            report.flaws.append(Flaw(entry.name, 1, line.why or "this is not the first line that it should be"))
        if len(seeds) > SEEDS_LIMIT:
            break
    for seed, piece in seeds.items():
        with suppress(Damage):
            TransactionDecoder(seed).decode(piece)
            return seed
    return None


def _seed(line: bytes) -> int | None:
    """Return the seed with which the checksum of the line would be right: CRC-32, run backwards; None: it has none."""
    checksum = _CHECKSUM.fullmatch(line)
    if checksum is None:
        return None
    state = int(checksum[1], 16) ^ 0xFFFFFFFF
    for byte in reversed(line[:-16]):
        index = _BY_TOP[state >> 24]
        state = ((state ^ _TABLE[index]) << 8 & 0xFFFFFFFF) | (index ^ byte)
    return state ^ 0xFFFFFFFF


_CHECKSUM: Final = re.compile(rb'\{"(?:n"|t":"end").*,"c":"([0-9a-f]{8})"\}', re.DOTALL)
_TABLE: Final = [crc32(bytes([byte])) ^ crc32(b"\0") for byte in range(256)]
_BY_TOP: Final = {entry >> 24: index for index, entry in enumerate(_TABLE)}


# -- facts with gaps between -------------------------------------------------------------------------


def _keep(ledger: Ledger, fact: f.Fact, entry: Entry, report: Report) -> None:
    """Apply the fact if there is any way in which it can have happened."""
    n = fact.n  # the steps on the way are numbered anew, and the fact is one of them
    if n > ledger.n + 1:
        _miss(entry.name, n - 1, ledger, report)
    fact.at = max(fact.at, ledger.now)
    if isinstance(fact, f.QueueFact):
        if _can_happen(ledger, fact):
            ledger.apply(fact)
    else:
        _keep_of_job(ledger, fact, report)
    ledger.n = n
    report.replayed += 1


def _can_happen(ledger: Ledger, fact: f.QueueFact) -> bool:
    """Tell whether the fact ends a pause that is known, or begins one."""
    match fact:
        case f.QueueResumed():
            return QUEUE in ledger.pauses
        case f.GroupResumed(group=group):
            return group in ledger.pauses
        case _:
            return True


def _keep_of_job(ledger: Ledger, fact: f.Fact, report: Report) -> None:
    n = fact.n
    way = _way_to(ledger.jobs.get(fact.job_id), fact)
    is_as_it_was = way == [fact]
    for step in way:
        if isinstance(step, f.Submitted):
            if not ledger.seq < step.seq <= n:  # each number before it took a fact
                is_as_it_was = False
                step.seq = ledger.seq + 1
            ledger.removed += step.seq - 1 - ledger.seq  # those between are lost
            ledger.seq = step.seq - 1
        step.n = ledger.n + 1
        ledger.apply(step)
    if not is_as_it_was and fact.job_id not in report.doubtful:
        report.doubtful.append(fact.job_id)


def _miss(name: str, upto: int, ledger: Ledger, report: Report) -> None:
    """Note that the facts up to this one are gone, and go on behind them."""
    report.missing.append((ledger.n + 1, upto))
    report.flaws.append(Flaw(name, 1, f"facts {ledger.n + 1} to {upto} are gone"))
    ledger.n = upto


def _way_to(job: Job | None, fact: f.Fact) -> list[f.Fact]:
    """Return the facts that lead to this one, and itself, as far as there is a way."""
    kind = type(fact)
    state = None if job is None else job.state
    if (state, kind) in TRANSITIONS and (job is None or _is_credible(job, fact)):
        return [fact]
    if job is None or job.state.is_final or kind is f.Submitted or not _is_credible(job, fact):
        return []
    if kind in (f.Removed, f.Requeued, f.Reinstated):
        return _end_before(job, fact)
    way: list[f.Fact] = []
    while (state, kind) not in TRANSITIONS:
        step = _step(job, state, kind, fact.at)
        if step is None:
            return way
        way.append(step)
        state = next_state(state, step)
    return [*way, fact]


def _end_before(job: Job, fact: f.Fact) -> list[f.Fact]:
    """Return the end that there must have been, and the fact that needs it."""
    if isinstance(fact, f.Removed):
        return [f.Dropped(fact.at, job.id)]
    failure = Failure(Reason.ERROR, "Lost", "how it ended is lost", attempt=job.attempt, at=fact.at)
    end = f.Cancelled if isinstance(fact, f.Reinstated) else f.Failed
    return [end(fact.at, job.id, failure), fact]


def _is_credible(job: Job, fact: f.Fact) -> bool:
    """Tell whether the fact fits what never changes in a job, or only grows."""
    match fact:
        case f.Blocked():
            return job.key is not None
        case f.Started(claim=claim):
            return job.claim < claim < N_LIMIT
        case _:
            return True


def _step(job: Job, state: JobState | None, kind: type[f.Fact], at: float) -> f.Fact | None:
    """Return what must have happened to a job in this state before the fact; None: it is where that leads to."""
    match state:
        case JobState.PAUSED:
            return None if kind is f.Paused else f.Resumed(at, job.id, job.due_at)
        case JobState.RUNNING:
            return f.Interrupted(at, job.id, at)
        case _ if kind is f.Resumed:
            return f.Paused(at, job.id)
        case JobState.SCHEDULED:
            return f.BecameDue(at, job.id)
        case _:
            is_there = kind in (f.BecameDue, f.Promoted, f.Unblocked, f.Unparked)
            return None if is_there else f.Started(at, job.id, job.attempt + 1, job.claim + 1, 0)


def _unblock(ledger: Ledger) -> None:
    """Let the first that waits for its key go on, where nobody is left who could let it."""
    n = ledger.n
    for job_id in [job_id for key in ledger.blocked for job_id in ledger.free_of(key)]:
        step = f.Unblocked(ledger.now, job_id)
        step.n = ledger.n + 1
        ledger.apply(step)
    ledger.n = n


# -- the way back ------------------------------------------------------------------------------------


def _write(files: Files, ledger: Ledger, queue: str, wall: float, boot: str) -> None:
    picture = ledger.picture()
    writer = SnapshotWriter(files, picture.totals, queue, wall=wall, boot=boot)
    try:
        writer.begin()
        while jobs := picture.take(SLICE):
            writer.write(writer.encode(jobs))
        writer.complete(lambda: None)
    except BaseException:
        writer.abandon()
        raise
    put_in_place(files, writer.name, remove=False)


def _set_aside(files: Files, entries: list[Entry]) -> dict[str, str]:
    """Move all that was there into the quarantine; return where each has gone."""
    files.make_directory(QUARANTINE)
    taken = {entry.name for entry in files.list(QUARANTINE)}
    moved: dict[str, str] = {}
    for entry in (*snapshots(entries), *segments(entries), *(entry for entry in entries if entry.name == MARK)):
        to = f"{QUARANTINE}/{free_name(entry.name, taken)}"
        files.rename(entry.name, to)
        moved[entry.name] = files.where(to)
    files.sync_directory(QUARANTINE)
    files.sync_directory()
    return moved
