"""The page about the file format is true: its tables are the code's, and what it says is enough to read the files.

The reader in the middle is written from the page alone, and knows nothing of actorq. What a queue has written, and what
is made of it by cutting and by rot, it must read as actorq does: to the same jobs, the same end, the same damage.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from math import inf
from pathlib import Path
from typing import Any
from zlib import crc32

import anyio
import pytest

from actorq import JobQueue, JobState, Reason, Retention, Retry, StoreCorrupt
from actorq.config import JUNK_LIMIT, LINE_LIMIT, PLACES, RESERVE_BYTES, SEGMENT_LIMIT
from actorq.core.facts import QueueFact
from actorq.core.job import HoldReason
from actorq.core.lifecycle import BY_DUE_TIME, TRANSITIONS
from actorq.store import field, journal_codec, snapshot_codec
from actorq.store.line import HEADER_SEED
from actorq.store.recovery import recover
from actorq.testing import MemoryFiles

PAGE = (Path(__file__).parents[2] / "docs" / "file-format.md").read_text(encoding="utf-8")
FORMATS = Path(__file__).parents[1] / "store" / "formats"

STEP = 37
"""Bytes from one place that is cut or rots to the next."""

Fields = dict[str, tuple[str, bool]]
"""By name: the word for the type, and whether the field may be left out."""


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without the first row."""
    below = re.split(rf"^#+ {re.escape(heading)}$", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    found = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert found is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.group().splitlines()[2:]]


def fields_in(*texts: str) -> Fields:
    """Return the fields that a text of the page tells of."""
    found = re.findall(r"(\(?)`(\w+)` ([a-zA-Z1 ]+)", ",".join(texts))
    return {name: (kind.strip(), bool(bracket)) for bracket, name, kind in found}


def fields_of(heading: str) -> Fields:
    return fields_in(*(cells[0] for cells in rows(heading)))


FACTS = {cells[0].strip("`"): (fields_in(cells[1]), cells[2]) for cells in rows("Facts")}
OBJECTS = {cells[0]: fields_in(cells[1]) for cells in rows("What both share")}


# -- the tables are the code's -----------------------------------------------------------------------------


def in_words(parsers: dict[str, field.Parser], required: Iterable[str]) -> Fields:
    """Return what a table of parsers takes, in the words of the page."""
    words: dict[Any, str] = {
        field.text: "text",
        field.whole: "whole",
        field.positive: "from 1",
        field.number: "number",
        field.flag: "flag",
        field.json: "any JSON",
        field.failure: "failure",
        field.progress: "progress",
        journal_codec._parking: "failure",
        journal_codec._objects: "list of facts",
        journal_codec._group: "text",
        snapshot_codec._pauses: "object of times",
        snapshot_codec._stored_state: "state",
        field._FAILURE["reason"]: "reason",
        field._OPTIONS["retry"]: "retry",
        field._OPTIONS["tags"]: "object of texts",
    }
    names = {"options": "options", "hold_reason": "hold", "attempts": "list of attempts", "log": "list of log lines"}
    names |= {"on": "list of texts", "never": "list of texts"}
    return {
        name: (names.get(name) or words[parser], name not in set(required))
        for name, parser in parsers.items()
        if parser is not field._as_it_is
    }


def test_facts_of_the_page_are_those_of_the_journal() -> None:
    parsers = journal_codec.TransactionDecoder(0)._parsers
    assert set(FACTS) == set(parsers)
    for kind, (fact, known, required) in parsers.items():
        about = {} if issubclass(fact, QueueFact) else {"id": ("text", False)}
        assert about | FACTS[kind][0] == in_words(known, required), kind


def test_what_becomes_of_a_job_is_on_the_page_as_in_the_life_of_a_job() -> None:
    for kind, (fact, _, _) in journal_codec.TransactionDecoder(0)._parsers.items():
        moves = {state: target for (state, one), target in TRANSITIONS.items() if one is fact}
        words = {None: "gone", BY_DUE_TIME: "by due time"}
        if issubclass(fact, QueueFact):
            said = "–"
        elif len(moves) > 1 and all(state == target for state, target in moves.items()):
            said = "as it was"
        else:
            said = ", or ".join(dict.fromkeys(words.get(target) or target.value for target in moves.values()))
        assert FACTS[kind][1] == said, kind


def test_headers_transactions_and_ends_are_on_the_page_as_in_the_code() -> None:
    head = {"t": ("text", False), "f": ("text", False), "v": ("from 1", False)}
    header = in_words(journal_codec._HEADER, journal_codec._HEADER)
    assert fields_of("Header of a segment") == head | header
    header = in_words({**snapshot_codec._HEADER, "pauses": snapshot_codec._pauses}, snapshot_codec._HEADER)
    assert fields_of("Header of a snapshot") == head | header
    transaction = in_words(journal_codec._TRANSACTION, ("n", "d", "at", "facts"))
    assert fields_of("Transaction") == transaction
    end = {"t": ("text", False), "d": ("whole", False)} | in_words(journal_codec._END, journal_codec._END)
    assert fields_of("End line") == end
    footer = in_words(snapshot_codec._FOOTER, snapshot_codec._FOOTER_REQUIRED)
    assert fields_of("End of a snapshot") == {"t": ("text", False)} | footer


def test_fields_of_a_job_are_on_the_page_as_in_the_code() -> None:
    parsers = snapshot_codec.JobDecoder()._parsers
    job = in_words(parsers, snapshot_codec._JOB_REQUIRED)
    assert fields_of("`job`") == {"t": ("text", False)} | job


def test_shared_objects_are_on_the_page_as_in_the_code() -> None:
    attempt = set(snapshot_codec._ATTEMPT) - {"failure"}
    expected = {
        "failure": (field._FAILURE, {"reason", "type"}),
        "attempt": (snapshot_codec._ATTEMPT, attempt),
        "progress": (field._PROGRESS, set()),
        "options": (field._OPTIONS, set()),
        "retry": (field._RETRY, set()),
    }
    assert set(OBJECTS) == set(expected)
    for name, (parsers, required) in expected.items():
        assert set(OBJECTS[name]) == set(parsers)
        known = in_words(parsers, required)
        assert {one: how for one, how in OBJECTS[name].items() if one in known} == known


def test_words_are_on_the_page_as_in_the_code() -> None:
    lists = re.findall(r"^\| (\w+) \| (`.*) \|$", PAGE, re.MULTILINE)
    words = {name: set(re.findall(r"`(\w+)`", text)) for name, text in lists}
    assert words["state"] == {state.value for state in JobState} - {"created"}
    assert words["hold"] == {reason.value for reason in HoldReason}
    assert words["place"] == set(PLACES)
    assert words["reason"] == {reason.value for reason in Reason}


def test_versions_seed_and_limits_are_on_the_page_as_in_the_code() -> None:
    assert f"Journal\nversion {journal_codec.VERSION}, snapshot version {snapshot_codec.VERSION}." in PAGE
    assert f"version: {journal_codec.VERSION} |" in PAGE
    assert f"version: {snapshot_codec.VERSION} |" in PAGE
    assert f"`{HEADER_SEED:#x}`" in PAGE
    assert f"at most {LINE_LIMIT:,} bytes" in PAGE
    assert f"{RESERVE_BYTES >> 20} MiB of zeros" in PAGE
    assert f"After {SEGMENT_LIMIT >> 20} MiB" in PAGE
    assert f"no end after {JUNK_LIMIT >> 30} GiB" in PAGE
    assert f"`mark` is {journal_codec.MARK_SIZE} bytes" in PAGE
    assert len(journal_codec.encode_mark(2**63)) == journal_codec.MARK_SIZE


# -- a reader that is written from the page ----------------------------------------------------------------


class Damaged(Exception):
    pass


class Reader:
    """Reads the files of a directory, given as bytes by name, to the states of the jobs."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.n, self.states, self.payloads, self.results = 0, dict[str, str](), dict[str, Any](), dict[str, Any]()
        self.pauses = dict[str, float | None]()
        snapshots = sorted(name for name in files if re.fullmatch(r"snap-\d{20}\.jsonl", name))
        segments = sorted(name for name in files if re.fullmatch(r"wal-\d{20}\.jsonl", name))
        if snapshots:
            self.read_snapshot(snapshots[-1], files[snapshots[-1]])
        try:
            mark = self.checked(files.get("mark", b"").removesuffix(b"\n"), 0x61637471)["n"]
        except Damaged:
            mark = 0
        for name, successor in zip_longest(segments, segments[1:]):
            behind = None if successor is None else int(successor[4:24])
            if behind is None or behind > self.n + 1:
                self.read_segment(int(name[4:24]), files[name], mark if behind is None else behind - 1)
        if mark > self.n:
            raise Damaged("the witness has seen more")

    def checked(self, line: bytes, seed: int) -> dict[str, Any]:
        if not line.endswith(b',"c":"%08x"}' % crc32(line[:-16], seed)) or len(line) >= 1_048_576:
            raise Damaged("the checksum is wrong")
        return json.loads(line)

    def header(self, line: bytes, number: int, what: str, key: str) -> dict[str, Any]:
        header = self.checked(line, 0x61637471)
        if (header["t"], header["f"]) != ("hdr", what) or header[key] != number:
            raise Damaged("another file's header")
        return header

    def read_snapshot(self, name: str, data: bytes) -> None:
        first, *lines, last, behind = data.split(b"\n") if data.count(b"\n") > 1 else (b"", b"", b"-")
        header = self.header(first, int(name[5:25]), "actorq-snapshot", "n")
        jobs = [job for line in lines if (job := self.checked(line, header["salt"]))["t"] == "job"]
        end = self.checked(last, header["salt"])
        digest = crc32(data[: len(data) - len(last) - 1])
        if behind or end["t"] != "end" or end["count"] != len(jobs) or end["digest"] != f"{digest:08x}":
            raise Damaged("the end is wrong")
        if header["seq"] != end["count"] + end.get("left_out", 0) + header["removed"]:
            raise Damaged("it does not balance")
        for job in jobs:
            self.states[job["id"]], self.payloads[job["id"]] = job["state"], job.get("payload")
            self.results[job["id"]] = job.get("result")
        self.n, self.pauses = header["n"], header.get("pauses", {})

    def read_segment(self, first: int, data: bytes, proven: int) -> None:
        top, *lines = data.split(b"\n")
        cut_off = lines.pop() if lines else b""  # behind the last newline
        try:
            salt = self.header(top if data.count(b"\n") else b"", first, "actorq-journal", "first")["salt"]
        except Damaged:
            if lines or cut_off or proven >= first or re.search(rb'\{"n":\d|\{"t":"end"', top):
                raise
            return  # it was never begun
        if first > self.n + 1:
            raise Damaged("facts are missing before it")
        next_n, transaction, is_complete = first, list[dict[str, Any]](), False
        for number, line in enumerate(lines):
            said = None if is_complete else self.sound(line, salt, next_n, len(transaction))
            if said is None:
                self.tear([*lines[number:], cut_off], salt, next_n, proven, is_complete)
                return
            is_complete = "t" in said
            transaction += [fact | {"at": said["at"]} for fact in said.get("facts", ())]
            if not said.get("more"):
                next_n = self.fold(next_n, transaction)
                transaction = []
        if cut_off or not is_complete:
            self.tear([cut_off], salt, next_n, proven, is_complete)

    def sound(self, line: bytes, salt: int, next_n: int, open_facts: int) -> dict[str, Any] | None:
        """Return what the line says, if it is right where it stands."""
        try:
            said = self.checked(line, salt)
        except Damaged:
            return None
        is_there = said["n"] == next_n + open_facts if "facts" in said else not open_facts and said["n"] == next_n - 1
        return said if is_there else None

    def tear(self, bad: list[bytes], salt: int, k: int, proven: int, is_complete: bool) -> None:
        if is_complete or proven >= k or any(seen >= k for seen in self.proofs(bad, salt, k)):
            raise Damaged(f"fact {k} had been on the disk")

    def fold(self, next_n: int, facts: list[dict[str, Any]]) -> int:
        for n, fact in enumerate(facts, next_n):
            if n > self.n:
                self.apply(fact)
                self.n = n
        return next_n + len(facts)

    def proofs(self, lines: list[bytes], salt: int, k: int) -> Iterator[int]:
        """Yield what later lines prove to have been on the disk; the first of them is the bad one."""
        for number, line in enumerate(lines):
            starts = [found.start() for found in re.finditer(rb'\{"n":\d|\{"t":"end"', line)]
            for start, stop in [(start, stop) for start in starts for stop in [*starts, len(line)] if stop > start]:
                try:
                    said = self.checked(line[start:stop], salt)
                except Damaged:
                    continue
                yield said["d"] if number == 0 or "t" not in said else max(said["d"], k)

    def apply(self, fact: dict[str, Any]) -> None:
        then = FACTS[fact["t"]][1]
        if then == "–":
            self.apply_to_queue(fact)
            return
        job_id = fact["id"]
        if then == "as it was" or (then.endswith("or paused") and self.states[job_id] == "paused"):
            then = self.states[job_id]
        elif then.startswith("by due time"):
            then = "scheduled" if fact.get("due_at", fact["at"]) > fact["at"] else "queued"
        self.states[job_id] = then
        if fact["t"] == "submitted" or "payload" in fact:
            self.payloads[job_id] = fact.get("payload")
        if fact["t"] != "deduplicated":
            self.results[job_id] = fact.get("result")
        if then == "gone":
            del self.states[job_id]

    def apply_to_queue(self, fact: dict[str, Any]) -> None:
        scope = fact.get("group", "")
        if fact["t"].endswith("_paused"):
            self.pauses[scope] = fact.get("until")
        elif fact["t"].endswith("_resumed"):
            del self.pauses[scope]


def read_by_the_page(files: MemoryFiles) -> dict[str, str] | str:
    try:
        return Reader({name: files.read(name) for name in files.names()}).states
    except Damaged:
        return "damaged"


def read_by_actorq(files: MemoryFiles) -> dict[str, str] | str:
    try:
        return {job.id: job.state.value for job in recover(files).ledger.jobs.values()}
    except StoreCorrupt:
        return "damaged"


async def written(*, has_snapshot: bool, is_closed: bool) -> MemoryFiles:
    """Return a directory in which very much has happened."""
    files = MemoryFiles()
    queue = JobQueue(files=files, workers=2, retention=Retention(count=2))

    @queue.task(name="work", context=True, retry=Retry(max_attempts=2, delay=5), dead_letter=True)
    async def work(job: Any, how: str, value: Any = None) -> Any:
        job.progress(0.5, message=how)
        job.log(how, value=value)
        if how == "fail":
            raise ValueError(value)
        await anyio.sleep(1e6 if how == "hang" else 1)
        return value

    async with queue:
        jobs = [await work.submit("return", value) for value in (None, "☃\n", {"n": [1.5, 2**63]}, 4)]
        jobs.append(await work.submit("fail", '{"n":7}'))
        await queue.submit(anyio.sleep, 0)
        queue.group("red", limit=1)
        await queue.pause_group("red")
        keyed = work.using(key="k", on_conflict="keep_last", group="red")
        await keyed.submit("return", 1)
        last = await keyed.submit("return", 2)
        await work.using(key="k", on_conflict="return_existing").submit("return", 3)
        await queue.edit(last.id, args=("return", "edited"), priority=2)
        await queue.pause((await work.using(delay=50).submit("paused")).id)
        await queue.resume_group("red")
        await queue.pause_group("blue")
        await queue.pause_group("green", until=4e9)
        await jobs[1].wait()
        if has_snapshot:
            await queue.snapshot()
        await queue.join()
        await queue.rerun(jobs[-1].id, clone=True)
        await queue.rerun(jobs[-1].id)
        await work.using(delay=1e5, priority=-3, tags={"a": "b"}).submit_many(
            [work.build("later", n) for n in range(3)]
        )
        await (await work.using(timeout=3, retry=Retry(max_attempts=1)).submit("hang")).wait()
        await (await work.using(delay=100).submit("cancelled")).cancel("enough")
        await queue.resume_group("blue")
        await queue.pause_group("gray")
        await work.submit("hang", "x" * 100)
        found = files.copy()
        await queue.cancel((await work.submit("hang")).id)
    return files if is_closed else found


WAYS = pytest.mark.parametrize("has_snapshot", [False, True])


@WAYS
@pytest.mark.parametrize("is_closed", [False, True])
async def test_what_a_queue_has_written_is_read_by_the_page_to_the_same_jobs(
    has_snapshot: bool, is_closed: bool
) -> None:
    files = await written(has_snapshot=has_snapshot, is_closed=is_closed)
    reader = Reader({name: files.read(name) for name in files.names()})
    ledger = recover(files).ledger
    assert reader.n == ledger.n
    assert reader.states == {job.id: job.state.value for job in ledger.jobs.values()}
    assert len(set(reader.states.values())) >= 4
    assert reader.pauses == {scope: None if until == inf else until for scope, until in ledger.pauses.items()}
    assert reader.pauses.keys() == {"green", "gray"}
    for job in ledger.jobs.values():
        assert reader.payloads[job.id] == (json.loads(job.payload) if job.payload else None)
        assert reader.results[job.id] == (json.loads(job.result) if job.result else None)


@pytest.mark.asyncio_only
@WAYS
async def test_journal_that_was_cut_anywhere_has_by_the_page_the_same_end_or_is_damaged(has_snapshot: bool) -> None:
    files = await written(has_snapshot=has_snapshot, is_closed=False)
    files.unlink("reserve")
    segment = max(name for name in files.names() if name.startswith("wal"))
    files.put("mark", journal_codec.encode_mark(int(segment[4:24]) + 9))
    data = files.read(segment)
    verdicts = []
    for size in range(0, len(data), STEP):
        cut = files.copy()
        cut.put(segment, data[:size])
        verdicts.append(read_by_the_page(cut))
        assert verdicts[-1] == read_by_actorq(cut), size
    assert "damaged" in verdicts
    assert len([verdict for verdict in verdicts if verdict != "damaged"]) > len(verdicts) / 3


@pytest.mark.asyncio_only
@WAYS
async def test_rot_anywhere_is_by_the_page_the_same_damage_or_the_same_torn_tail(has_snapshot: bool) -> None:
    files = await written(has_snapshot=has_snapshot, is_closed=False)
    files.unlink("reserve")
    files.unlink("mark")
    verdicts = []
    for name in [name for name in files.names() if name.endswith(".jsonl")]:
        data = files.read(name)
        newlines = [place for place, byte in enumerate(data) if byte == ord("\n")]
        for place in sorted({*range(0, len(data), STEP), *newlines}):
            rotten = files.copy()
            rotten.put(name, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            verdicts.append(read_by_the_page(rotten))
            assert verdicts[-1] == read_by_actorq(rotten), (name, place)
    assert "damaged" in verdicts
    assert has_snapshot or any(verdict != "damaged" for verdict in verdicts)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in sorted(FORMATS.glob("*.jsonl"))])
def test_files_of_old_releases_are_read_by_the_page_to_the_same_jobs(path: Path) -> None:
    header = json.loads(path.read_bytes().split(b"\n", 1)[0])
    start, number = ("wal", header["first"]) if path.name.startswith("journal") else ("snap", header["n"])
    files = MemoryFiles()
    files.put(f"{start}-{number:020}.jsonl", path.read_bytes())
    states = read_by_the_page(files)
    assert isinstance(states, dict)
    assert len(states) > 1
    assert states == read_by_actorq(files)
