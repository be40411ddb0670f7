"""All the damage that one accident can do to small directories, and what becomes of it.

Whatever is done to a file, strict recovery refuses it, or finds exactly the ledger that was after one of the
transactions, none earlier than the last one that what is left proves to have been on the disk. And salvage opens
whatever was refused, strictly from then on, and keeps every job whose line is there.

This is the short form: 60,000 cases. ``ACTORQ_DAMAGE_EVERY=1`` salvages after each of them.
"""

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import Any

import orjson
import pytest
from attrs import frozen

from actorq.core import commands as c
from actorq.core.job import JobState
from actorq.core.ledger import Ledger
from actorq.errors import StoreCorrupt, StoreTooNew
from actorq.store.files import Files
from actorq.store.journal import MARK
from actorq.store.journal_codec import encode_mark
from actorq.store.recovery import recover
from actorq.store.salvage import salvage
from actorq.store.snapshot import SnapshotWriter
from actorq.testing import MemoryFiles

from .lives import Life, contents, ledger_of, photograph, restore, state_of

EVERY = int(os.environ.get("ACTORQ_DAMAGE_EVERY", "61"))
"""Of so many refused directories one is salvaged; a prime, so that it is another bit each time."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.store.journal.RESERVE_BYTES", 0)


# ── directories, and what is known of them ───────────────────────────────────────────────────────


@frozen
class Known:
    """A directory, and all that was ever true of it."""

    files: dict[str, bytes]
    states: dict[int, Any]
    """The ledger after each transaction, by its last fact."""
    lines: list[tuple[bytes, int, list[str], list[str]]]
    """Of each line: itself, its watermark, the jobs that it submits, the jobs that it ends."""
    last: int


def known(files: MemoryFiles, *lives: Life) -> Known:
    facts = [fact for life in lives for fact in life.facts]
    states = {0: state_of(Ledger())}
    for before, behind in zip(facts, [*facts[1:], None], strict=True):
        if behind is None or behind.at != before.at:
            states[before.n] = state_of(ledger_of(facts[: before.n]))
    lines = []
    for name, data in contents(files).items():
        if name.startswith("wal"):
            for line in data.splitlines()[1:]:
                said = orjson.loads(line)
                told = said.get("facts", [])
                submitted = [fact["id"] for fact in told if fact["t"] == "submitted"]
                ended = [fact["id"] for fact in told if fact["t"] == "succeeded"]
                lines.append((line, said["d"], submitted, ended))
    return Known(contents(files), states, lines, facts[-1].n)


def synced() -> Known:
    """Every transaction is synced: each line proves the one before."""
    files = MemoryFiles()
    life = Life(files)
    life.submit("a", "b")
    life.submit("c", payload=b'[["\\",\\"c\\":\\"00000000\\"}",{"n":1,"d":9}],{"n":[1]}]')
    life.finish("a")
    life.fail("b")
    files.unlink(MARK)
    return known(files, life)


def batched() -> Known:
    """Several transactions to a sync, and the last ones without."""
    files = MemoryFiles()
    life = Life(files)
    for number in range(6):
        life.submit(f"j{number}", sync=number in {1, 3})
    life.finish("j0", sync=False)
    files.unlink(MARK)
    return known(files, life)


def rotated() -> Known:
    """Three segments of two lives, the last one closed."""
    files = MemoryFiles()
    first = Life(files)
    first.submit("a")
    first.journal.rotate()
    first.submit("b")
    first.journal.abandon()
    second = Life(files, recover(files).ledger)
    second.submit("c")
    second.journal.close()
    files.unlink(MARK)
    return known(files, first, second)


def photographed() -> Known:
    """Two snapshots, and the journal since the first one."""
    files = MemoryFiles()
    life = Life(files)
    for name in ("a", "b"):
        life.submit(name)
        life.journal.rotate()
        picture = life.machine.ledger.picture()
        writer = SnapshotWriter(files, picture.totals, "mail", wall=1.0, salt=5)
        writer.begin()
        while jobs := picture.take(10):
            writer.write(writer.encode(jobs))
        writer.finish(lambda: None)
    life.submit("c")
    life.finish("a")
    files.unlink(MARK)
    return known(files, life)


def controlled() -> Known:
    """Keys, groups and pauses, a snapshot that knows of some, and the journal with more."""
    files = MemoryFiles()
    life = Life(files)
    life.do(c.PauseAll("red"), c.SetGroup("blue", 1))
    life.submit("a", "b", key="k")
    life.submit("c", group="red")
    photograph(life)
    life.do(c.Pause("b"), c.PauseAll(until=life.now + 5.0), c.Edit("c", None, {"group": "blue"}, 2.0))
    life.do(c.Resume("b"), c.ResumeAll())
    life.finish("a")
    life.do(c.Promote("c"), c.ResumeAll("red"), c.Rerun("a", 1.0))
    files.unlink(MARK)
    return known(files, life)


MAKERS: list[Callable[[], Known]] = [synced, batched, rotated, photographed, controlled]


# ── what one accident can do ─────────────────────────────────────────────────────────────────────


def truncated(data: bytes) -> Iterator[bytes]:
    for size in range(len(data)):
        yield data[:size]


def flipped(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            yield bytes(changed)


def bytes_lost_and_newlines_gained(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        yield data[:place] + data[place + 1 :]
        yield data[:place] + b"\n" + data[place:]


def lines_dropped_doubled_swapped(data: bytes) -> Iterator[bytes]:
    lines = data.splitlines(keepends=True)
    for place, line in enumerate(lines):
        yield b"".join(lines[:place] + lines[place + 1 :])
        for other in range(len(lines) + 1):
            yield b"".join([*lines[:other], line, *lines[other:]])
        for other in range(place):
            swapped = lines.copy()
            swapped[place], swapped[other] = swapped[other], swapped[place]
            yield b"".join(swapped)


def runs_of_nul(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 5):
        yield data[:start] + bytes(len(data) - start)
        for size in (1, 64, 512):
            yield (data[:start] + bytes(size) + data[start + size :])[: len(data)]
    for size in (1, 64, 4096):
        yield data + bytes(size)


ACCIDENTS = [truncated, flipped, bytes_lost_and_newlines_gained, lines_dropped_doubled_swapped, runs_of_nul]


# ── the judge ────────────────────────────────────────────────────────────────────────────────────


class Judge:
    """Opens what is left, strictly and, of what was refused, some with salvage."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.refused = 0
        self.opened = 0
        self.salvaged = 0
        self._files = MemoryFiles()

    def look(self, files: dict[str, bytes], mark: int = 0) -> None:
        here = files | ({MARK: encode_mark(mark)} if mark else {})
        directory = restore(self._files, here)
        try:
            found = recover(directory).ledger
        except (StoreCorrupt, StoreTooNew) as error:
            assert contents(directory) == here, "what is refused is left as it is"
            self.refused += 1
            if self.refused % EVERY == 0 and isinstance(error, StoreCorrupt):
                self._salvage(directory, here)
            return
        self.opened += 1
        assert state_of(found) == self.known.states[found.n]
        assert found.n >= max(mark, self._proven(here))

    def _proven(self, files: dict[str, bytes]) -> int:
        """Return the last fact of which anything that is left says that it was on the disk."""
        left = b"\n".join(data for name, data in files.items() if name.startswith("wal"))
        names = [int(name[4:24]) - 1 for name in files if name.startswith("wal")]
        return max([*names, *(durable for line, durable, _, _ in self.known.lines if line in left)])

    def _salvage(self, directory: Files, here: dict[str, bytes]) -> None:
        found = salvage(directory, "mail", wall=1.0)
        again = recover(directory)
        assert state_of(again.ledger) == state_of(found.ledger)
        assert not again.report.flaws
        assert found.report.has_loss
        kept = set(contents(directory).values())
        assert all(data in kept for name, data in here.items() if name.startswith(("wal", "snap")))
        jobs = found.ledger.jobs
        for submits, ends in self._provable(here):
            assert jobs.keys() >= set(submits)
            assert all(jobs[name].state is JobState.SUCCEEDED for name in ends if name in jobs)
        self.salvaged += 1

    def _provable(self, here: dict[str, bytes]) -> Iterator[tuple[list[str], list[str]]]:
        """Yield what the lines say that are intact, in files whose header is, or two lines, or all that were there."""
        for name, data in here.items():
            was = self.known.files.get(name, b"")
            lines = [known for known in self.known.lines if known[0] in was]
            intact = [known for known in lines if known[0] in data]
            if len(intact) > 1 or len(intact) == len(lines) or was.splitlines()[:1] == data.splitlines()[:1]:
                yield from ((submits, ends) for _, _, submits, ends in intact)


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("make", MAKERS)
def test_no_accident_makes_a_wrong_state_or_hides_a_loss(
    make: Callable[[], Known], accident: Callable[[bytes], Iterator[bytes]]
) -> None:
    known = make()
    judge = Judge(known)
    for name, data in known.files.items():
        if accident is flipped and name.startswith("snap"):
            continue  # test_snapshot does that
        for number, damaged in enumerate(accident(data)):
            judge.look(known.files | {name: damaged})
            if accident is not flipped or number % 31 == 0:
                judge.look(known.files | {name: damaged}, mark=known.last)
    assert judge.refused > 20
    assert judge.opened


@pytest.mark.parametrize("make", MAKERS)
def test_what_the_witness_has_seen_is_never_missed_in_silence(make: Callable[[], Known]) -> None:
    """The witness of each moment, with all that a power cut could leave of the last segment."""
    known = make()
    judge = Judge(known)
    name = max(name for name in known.files if name.startswith("wal"))
    for mark in known.states:
        for damaged in (
            *islice(truncated(known.files[name]), 0, None, 3),
            *lines_dropped_doubled_swapped(known.files[name]),
        ):
            judge.look(known.files | {name: damaged}, mark=mark)
    assert judge.refused
    assert judge.opened


@pytest.mark.parametrize("make", MAKERS)
def test_files_that_vanish_or_change_places_are_noticed(make: Callable[[], Known]) -> None:
    known = make()
    judge = Judge(known)
    names = [name for name in known.files if re.match("wal|snap", name)]
    for name in names:
        judge.look({other: data for other, data in known.files.items() if other != name}, mark=known.last)
        for other in names:
            judge.look(known.files | {name: known.files[other]}, mark=known.last)
    judge.look({}, mark=known.last)
    assert judge.refused


@pytest.mark.parametrize("make", MAKERS)
def test_two_accidents_at_a_time_are_no_worse(make: Callable[[], Known]) -> None:
    random = Random(7)  # noqa: S311 - one seed, one verdict
    known = make()
    judge = Judge(known)
    names = [name for name in known.files if name.startswith("wal")]
    for _ in range(1500):
        files = dict(known.files)
        for _ in range(random.randint(2, 4)):
            name = random.choice(names)
            data = files[name]
            start = random.randrange(len(data) + 1)
            size = random.choice((0, 1, 1, 20, 300))
            new = random.choice((b"", b"\n", bytes(size), random.randbytes(size), data[:size]))
            files[name] = data[:start] + new + data[start + size :]
        judge.look(files, mark=random.choice((0, 0, known.last)))
    assert judge.refused
    assert judge.salvaged


# ── lines that are right, and say nonsense ───────────────────────────────────────────────────────

NONSENSE: list[dict[str, Any]] = [
    {"n": "5"}, {"n": None}, {"n": -1}, {"n": 0}, {"n": 2**63}, {"n": 2**64 - 1}, {"n": 1e300}, {"n": True},
    {"d": "0"}, {"d": None}, {"d": 2**63}, {"at": None}, {"at": "now"}, {"at": []}, {"at": -1e308}, {"at": True},
    {"facts": None}, {"facts": {}}, {"facts": []}, {"facts": [None]}, {"facts": [[]]}, {"facts": [{"t": "submitted"}]},
    {"facts": [{"t": "lost", "id": "a"}]}, {"facts": [{"t": ["submitted"], "id": "a"}]}, {"more": 1},
    {"t": "hdr"}, {"t": "job", "must": True}, {"t": None}, {"t": 5, "must": True},
    {"facts": [{"t": "succeeded", "id": "nobody", "result": 1}]}, {"facts": [{"t": "removed", "id": "nobody"}]},
    {"facts": [{"t": "submitted", "id": "new", "seq": 2**62, "task": "t", "payload": 1}]},
    {"facts": [{"t": "submitted", "id": "new", "seq": 0, "task": "t", "payload": 1}]},
    {"facts": [{"t": "started", "id": "a", "attempt": -1, "claim": 1, "worker": 1}]},
    {"facts": [{"t": "started", "id": "a", "attempt": 0, "claim": 0, "worker": 0}]},
    {"facts": [{"t": "parked", "id": "a", "failure": {"reason": "timeout", "type": ""}}]},
    {"facts": [{"t": "retry_scheduled", "id": "a", "due_at": None, "failure": {"reason": "error", "type": ""}}]},
    {"facts": [{"t": "edited", "id": "a"}]}, {"facts": [{"t": "edited", "id": "a", "due_at": 1, "options": []}]},
    {"facts": [{"t": "resumed", "id": "a"}]}, {"facts": [{"t": "group_paused"}]}, {"facts": [{"t": "group_resumed"}]},
    {"facts": [{"t": "group_paused", "group": ""}]}, {"facts": [{"t": "queue_paused", "until": "later"}]},
    {"facts": [{"t": "group_resumed", "group": "nobody's"}]}, {"facts": [{"t": "deduplicated", "id": "nobody"}]},
    {"facts": [{"t": "resumed", "id": "nobody", "due_at": 1}]},
]  # fmt: skip
"""What is put into a line; none of it can ever have been."""


@pytest.mark.parametrize("make", MAKERS)
def test_nonsense_under_a_right_checksum_is_refused_or_cut(make: Callable[[], Known], forge: Any) -> None:
    known = make()
    judge = Judge(known)
    for name in (name for name in known.files if name.startswith("wal")):
        for place, line in enumerate(known.files[name].splitlines()):
            if b'"facts"' not in line:
                continue
            for changes in NONSENSE:
                damaged = forge(known.files[name], lambda lines, at=place, to=changes: lines[at].update(to))
                judge.look(known.files | {name: damaged})
                judge.look(known.files | {name: damaged}, mark=known.last)
    assert judge.refused
    assert judge.salvaged


STRANGE: list[dict[str, Any]] = [
    {"at": 0}, {"at": 1.0}, {"at": 16_725_225_600.0}, {"at": 1e308}, {"colour": "red"}, {"t": "note"}, {"d": 0},
    {"facts": [{"t": "submitted", "id": "new", "seq": 3, "task": "t", "payload": 1, "due_at": -1e308}]},
    {"facts": [{"t": "submitted", "id": "new", "seq": 2, "task": "", "payload": 1, "due_at": 1e308}]},
    {"facts": [{"t": "dropped", "id": "a"}, {"t": "dropped", "id": "b"}]}, {"facts": [{"t": "requeued", "id": "a"}]},
    {"facts": [{"t": "started", "id": "c", "attempt": 2**63, "claim": 2**63, "worker": 2**63}]},
    {"facts": [{"t": "paused", "id": "a"}, {"t": "resumed", "id": "a", "due_at": 1e308}]},
    {"facts": [{"t": "queue_paused", "until": -1e308}, {"t": "group_paused", "group": "red", "until": 1e308}]},
    {"facts": [{"t": "blocked", "id": "a"}, {"t": "blocked", "id": "c"}]}, {"facts": [{"t": "unblocked", "id": "c"}]},
    {"facts": [{"t": "edited", "id": "a", "due_at": 1e308, "payload": 1, "options": {"group": "red"}}]},
    {"facts": [{"t": "promoted", "id": "a"}, {"t": "deduplicated", "id": "a"}]},
]  # fmt: skip
"""What could have been, under circumstances, and was not: no checksum can tell."""


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_only_strange_is_refused_or_can_be_written_down(make: Callable[[], Known], forge: Any) -> None:
    known = make()
    outcomes = set()
    for name in (name for name in known.files if name.startswith("wal")):
        for place, line in enumerate(known.files[name].splitlines()):
            if b'"facts"' not in line:
                continue
            for changes in STRANGE:
                damaged = forge(known.files[name], lambda lines, at=place, to=changes: lines[at].update(to))
                files = restore(MemoryFiles(), known.files | {name: damaged})
                try:
                    life = Life(files, recover(files).ledger)
                except StoreCorrupt:
                    outcomes.add("refused")
                    life = Life(files, salvage(files, "mail", wall=1.0).ledger)
                life.submit("behind")
                life.journal.close()
                assert state_of(recover(files).ledger) == state_of(life.machine.ledger)
                outcomes.add("opened")
    assert outcomes == {"refused", "opened"}
