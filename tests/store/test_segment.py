"""One segment: the watermark tells a torn tail, which is cut, from damage, of which nothing is guessed."""

from collections.abc import Iterator
from typing import Any

import pytest

from actorq.config import LINE_LIMIT
from actorq.core import facts as f
from actorq.core.job import JobOptions
from actorq.store import journal_codec
from actorq.store import line as line_module
from actorq.store import segment as module
from actorq.store.files import Entry, MediumError
from actorq.store.journal_codec import VERSION, FactEncoder, Header, encode_end, encode_header
from actorq.store.line import HEADER_SEED, Damage, NewerVersion, frame
from actorq.store.segment import SegmentReader, first_of, pieces, segment_name, segments, watermark
from actorq.testing import MemoryFiles

SALT = 77

HEADER = encode_header(Header(1, SALT, "mail", "boot", 1.0))

NAME = segment_name(1)


def line(n: int, durable: int, payload: bytes = b"[]", *, salt: int = SALT) -> bytes:
    fact = f.Submitted(float(n), f"job-{n}", float(n), n, "t", payload, JobOptions())
    fact.n = n
    return b"".join(FactEncoder(salt).encode([fact], durable))


class Read:
    """A segment with these bytes, read to its end."""

    def __init__(self, data: bytes, *, proven: int = 0, name: str = NAME, files: Any = None) -> None:
        files = files or MemoryFiles()
        if name not in files.names():
            files.put(name, data)
        self.reader = SegmentReader(files, Entry(name, name not in files.odd), proven)
        self.facts: list[int] = []
        self.damage: Damage | None = None
        try:
            for facts in self.reader.transactions():
                self.facts += [fact.n for fact in facts]
        except Damage as damage:
            self.damage = damage

    @property
    def why(self) -> str:
        return self.damage.why if self.damage else ""

    @property
    def line(self) -> int:
        return self.damage.line if self.damage else 0


# ── a whole segment ──────────────────────────────────────────────────────────────────────────────


def test_a_segment_is_read_to_its_end() -> None:
    read = Read(HEADER + line(1, 0) + line(2, 1))
    assert (read.facts, read.damage) == ([1, 2], None)
    assert read.reader.header == Header(1, SALT, "mail", "boot", 1.0)
    assert (read.reader.next, read.reader.size) == (3, len(HEADER + line(1, 0) + line(2, 1)))
    assert (read.reader.is_complete, read.reader.is_unused, read.reader.tear) == (False, False, None)


def test_a_segment_that_was_closed_says_so() -> None:
    data = HEADER + line(1, 0) + encode_end(1, SALT)
    read = Read(data, proven=1)
    assert read.reader.is_complete
    assert read.reader.size == len(data)


def test_a_segment_without_facts_is_whole() -> None:
    assert Read(HEADER).reader.tear is None
    assert Read(HEADER + encode_end(0, SALT)).reader.is_complete


def test_names_tell_what_comes_first_and_sort_in_order_of_history() -> None:
    names = [segment_name(n) for n in (10**19, 1, 25)]
    assert [first_of(entry) for entry in segments(Entry(name, True) for name in names)] == [1, 25, 10**19]
    assert segments([Entry("wal-1.jsonl", True), Entry(f"x{NAME}", True), Entry(f"{NAME}.tmp", True)]) == []


def test_a_transaction_of_several_lines_counts_when_its_last_line_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_codec, "LINE_TARGET", 10)
    facts: list[f.Fact] = [f.BecameDue(1.0, f"j{n}") for n in (1, 2, 3)]
    for n, fact in enumerate(facts, 1):
        fact.n = n
    lines = list(FactEncoder(SALT).encode(facts, 0))
    assert len(lines) == 3
    assert Read(HEADER + b"".join(lines) + line(4, 0)).facts == [1, 2, 3, 4]
    for cut in (lines[:1], lines[:2]):
        read = Read(HEADER + b"".join(cut))
        assert (read.facts, read.damage, read.reader.tear) == ([], None, len(HEADER))
        assert Read(HEADER + b"".join(cut), proven=1).damage
        ended = Read(HEADER + b"".join(cut) + encode_end(len(cut), SALT))
        assert (ended.facts, ended.why[:22]) == ([], "the file is complete w")


def test_a_line_that_may_be_overlooked_is_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    note = frame(b'{"t":"note"}', SALT)
    monkeypatch.setattr(journal_codec, "LINE_TARGET", 10)
    facts: list[f.Fact] = [f.BecameDue(1.0, "a"), f.BecameDue(1.0, "b")]
    for n, fact in enumerate(facts, 1):
        fact.n = n
    first, second = FactEncoder(SALT).encode(facts, 0)
    whole = HEADER + note + first + note + second + note
    read = Read(whole)
    assert (read.facts, read.reader.size, read.reader.tear) == ([1, 2], len(whole), None)
    assert Read(HEADER + note + first + note).reader.tear == len(HEADER + note)


# ── torn or damaged ──────────────────────────────────────────────────────────────────────────────

BAD = b'{"n":2,"d":1,"at":2.0,"facts":[]}\n'


@pytest.mark.parametrize("tail", [BAD, BAD[:-1], BAD[:5], b"\0" * 100, b"\0" * 100 + b"\n", b"\n", b"\xff{\n" * 3])
def test_a_tail_of_which_nobody_was_told_is_torn(tail: bytes) -> None:
    whole = HEADER + line(1, 0)
    read = Read(whole + tail)
    assert (read.facts, read.damage) == ([1], None)
    assert read.reader.tear == read.reader.size == len(whole)
    assert read.reader.line == 3


def test_lines_behind_a_bad_one_are_torn_off_if_none_of_them_saw_it_on_the_disk() -> None:
    whole = HEADER + line(1, 0)
    read = Read(whole + BAD + line(3, 1) + line(4, 1))
    assert (read.facts, read.damage, read.reader.tear) == ([1], None, len(whole))


@pytest.mark.parametrize(
    "later",
    [
        line(3, 2),
        line(3, 1) + line(4, 2),
        BAD + line(4, 3),
        encode_end(2, SALT),
        line(3, 2)[:-1],
        b"\0\0" + line(3, 2),
        b'{"n":1,"d":9' + line(3, 2),
        line(3, 1)[:-1] + line(4, 2),
        line(3, 1)[:-1] + line(4, 3)[:-1] + BAD,
        line(3, 1)[:-1] + b"\x0b" + line(4, 3)[:-1] + b"\0",
        line(3, 2, b'[{"a":0,"c":"00000000"},{"n":1,"d":9,"c":"00000000"}]')[:-1] + BAD,
        b'{"n":1,"d":1' * 900 + line(3, 2),
        b'{"n":1,"d":1' * 2000 + b',"c":"00000000"}' + line(3, 2),
    ],
)
def test_a_bad_line_is_damage_if_a_later_one_saw_it_on_the_disk(later: bytes) -> None:
    read = Read(HEADER + line(1, 0) + BAD + later)
    assert read.facts == [1]
    assert "a later line says that it had been on the disk" in read.why
    assert read.line == 3


def test_a_bad_line_is_damage_if_the_line_glued_to_it_saw_it_on_the_disk() -> None:
    for glued in (BAD[:-1] + line(3, 2), BAD[:-1] + line(3, 1)[:-1] + line(4, 2)):
        read = Read(HEADER + line(1, 0) + glued)
        assert "a later line says" in read.why
        assert read.line == 3


def test_a_bad_line_is_damage_if_a_later_segment_or_the_witness_saw_it_on_the_disk() -> None:
    data = HEADER + line(1, 0) + BAD
    assert Read(data, proven=1).damage is None
    assert Read(data, proven=2).why == "the checksum is wrong"


def test_a_bad_line_is_damage_if_the_segment_was_closed_behind_it() -> None:
    strange = frame(b'{"t":"note","must":true}', SALT)
    assert Read(HEADER + line(1, 0) + strange).reader.tear
    assert "a later line says" in Read(HEADER + line(1, 0) + strange + encode_end(1, SALT)).why


def test_a_segment_that_ends_too_early_is_damage() -> None:
    assert Read(HEADER + line(1, 0), proven=1).damage is None
    read = Read(HEADER + line(1, 0), proven=2)
    assert (read.why, read.line) == ("the file ends before fact 2, which had been on the disk", 3)
    assert Read(HEADER, proven=1).line == 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (line(1, 0) + line(1, 0) + line(2, 1) + line(3, 2), "fact 1 stands where fact 2 should be"),
        (line(2, 1), "fact 2 stands where fact 1 should be"),
        (line(2, 1) + line(1, 0), "fact 2 stands where fact 1 should be"),
        (line(1, 0) + line(3, 2), "fact 3 stands where fact 2 should be"),
        (line(1, 0) + encode_end(2, SALT), "the file is complete with fact 2, and not all that is before is there"),
        (line(1, 0) + encode_end(1, SALT) + line(2, 1), "the file goes on behind its last line"),
        (line(1, 0) + encode_end(1, SALT) + b"\n", "the file goes on behind its last line"),
    ],
)
def test_lines_dropped_doubled_or_swapped_are_damage_if_they_were_on_the_disk(data: bytes, why: str) -> None:
    assert Read(HEADER + data).why.startswith(why)


def test_a_line_of_another_life_is_a_bad_one() -> None:
    read = Read(HEADER + line(1, 0) + line(2, 1, salt=SALT + 1) + line(3, 2, salt=SALT + 1))
    assert (read.facts, read.damage) == ([1], None)
    assert read.reader.tear


def test_a_last_line_that_is_bad_loses_no_fact() -> None:
    end = encode_end(1, SALT)
    for tail in (end[:-1], end[:-2], end.replace(b"end", b"eNd")):
        read = Read(HEADER + line(1, 0) + tail, proven=1)
        assert (read.facts, read.damage) == ([1], None)


@pytest.mark.parametrize(
    "payload",
    [b'["\\",\\"c\\":\\"00000000\\"}"]', b'[{"n":1,"d":9}]', b'["\\n{\\"n\\":1,\\"d\\":9"]', b'[{"t":"end","d":9}]'],
)
def test_what_users_write_does_not_fool_the_search_for_later_lines(payload: bytes) -> None:
    whole = HEADER + line(1, 0, payload)
    assert Read(whole).facts == [1]
    bad = line(2, 1, payload).replace(b"job", b"jab")
    read = Read(whole + bad)
    assert (read.facts, read.damage, read.reader.tear) == ([1], None, len(whole))
    assert "a later line says" in Read(whole + bad[:-1] + line(3, 2, payload)).why
    forged = line(2, 1, b"[%b]" % line(9, 8, salt=SALT + 1).strip())
    assert watermark(forged.replace(b"job-2", b"jab-2"), SALT, 5) == -1


# ── lengths ──────────────────────────────────────────────────────────────────────────────────────


def test_a_line_that_is_too_long_is_a_bad_one_and_what_follows_is_read() -> None:
    long = b"x" * LINE_LIMIT + b"\n"
    assert Read(HEADER + long).reader.tear == len(HEADER)
    read = Read(HEADER + long + line(2, 1))
    assert read.why.startswith("the line is too long; and a later line")


@pytest.mark.parametrize("head", [HEADER, b"", HEADER + line(1, 0) + BAD])
def test_a_file_that_claims_any_size_is_damage(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(MemoryFiles):
        def blocks(self, name: str) -> Iterator[bytes]:
            yield head
            while True:
                yield bytes(LINE_LIMIT)

    monkeypatch.setattr(line_module, "JUNK_LIMIT", 3 * LINE_LIMIT)
    files = Endless()
    files.put(NAME)
    assert "has no end" in Read(b"", files=files).why


# ── the first line ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [b"", HEADER[:20], HEADER[:-1], b"\0" * 50, HEADER.replace(b"mail", b"male")])
def test_a_file_with_nothing_but_a_broken_header_was_never_used(data: bytes) -> None:
    read = Read(data)
    assert (read.facts, read.damage, read.reader.is_unused) == ([], None, True)


def test_a_broken_header_is_damage_if_the_file_was_used() -> None:
    broken = HEADER.replace(b"mail", b"male")
    for data in (broken + line(1, 0), broken + b"\n", broken[:-1] + line(1, 0), broken[:30] + encode_end(1, SALT)):
        read = Read(data)
        assert (read.why, read.line) == ("the checksum is wrong", 1)
    assert Read(broken, proven=1).line == 1


def test_a_file_under_the_name_of_another_is_damage() -> None:
    assert Read(HEADER, name=segment_name(2)).why == "the file has the name of another one"


def test_a_later_version_is_not_damage() -> None:
    files = MemoryFiles()
    files.put(NAME, frame(b'{"t":"hdr","f":"actorq-journal","v":%d}' % (VERSION + 1), HEADER_SEED) + b"who knows\n")
    with pytest.raises(NewerVersion):
        list(SegmentReader(files, Entry(NAME, True), 0).transactions())


def test_what_only_has_the_name_of_a_segment_is_damage() -> None:
    files = MemoryFiles()
    files.put(NAME)
    files.odd.add(NAME)
    read = Read(b"", files=files)
    assert (read.why, read.line) == ("this is no regular file", 1)


def test_a_disk_that_cannot_read_is_damage() -> None:
    class Broken(MemoryFiles):
        def blocks(self, name: str) -> Iterator[bytes]:
            yield HEADER + line(1, 0)
            raise MediumError(name, "cannot read it")

    files = Broken()
    files.put(NAME)
    read = Read(b"", files=files)
    assert read.facts == [1]
    assert "it cannot be read" in read.why
    assert read.line == 3


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────


def test_lines_that_lost_their_newlines_are_told_apart() -> None:
    first, second = line(1, 0, b'[{"n":1}]')[:-1], line(2, 1)[:-1]
    found = list(pieces(HEADER[:-1] + first + second + b"junk"))
    assert HEADER[:-1] in found
    assert first in found
    assert watermark(first + second, SALT, 9) == 1


def test_of_very_many_places_a_few_are_looked_at() -> None:
    assert len(list(pieces(b'{"n":1,"d":1' * 5000))) == module._GLUED_LIMIT + 1
