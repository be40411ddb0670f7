"""One line: whole or absent; and any file, in lines, in bounded memory."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorq.config import LINE_LIMIT
from actorq.store import line as module
from actorq.store.line import (
    Damage,
    Line,
    NewerVersion,
    check_version,
    draw_salt,
    dump,
    frame,
    read_lines,
    unframe,
    whole,
)
from actorq.testing import MemoryFiles

SALT = 12345


def lines_of(data: bytes, block: int = 1024) -> list[Line]:
    files = MemoryFiles()
    files.block = block
    files.put("a", data)
    return list(read_lines(files, "a"))


# ── one line ─────────────────────────────────────────────────────────────────────────────────────


def test_the_checksum_comes_last_and_depends_on_the_seed() -> None:
    assert frame(b'{"a":1}', 0) == b'{"a":1,"c":"a702fc6e"}\n'
    with pytest.raises(Damage, match="the checksum is wrong"):
        unframe(b'{"a":1,"c":"a702fc6e"}', 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a":1 1}', "this is not JSON"),
        (b'{"a":"\xff"}', "this is not JSON"),
        (b'{"a":' + b"[" * 2000 + b"}", "this is not JSON"),
    ],
)
def test_a_line_with_a_right_checksum_that_is_not_json_is_damage(text: bytes, why: str) -> None:
    with pytest.raises(Damage, match=why):
        unframe(frame(text, SALT)[:-1], SALT)


def test_a_line_that_is_no_object_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    # No list can end like a line does, so this cannot be; but what follows counts on it.
    monkeypatch.setattr(module.orjson, "loads", lambda _: [])
    with pytest.raises(Damage, match="not a JSON object"):
        unframe(frame(b"{}", SALT)[:-1], SALT)


def test_half_a_character_is_written_so_that_it_can_be_read() -> None:
    assert orjson.loads(dump({"\udcff": ["\ud800", ("é", 1, None)]})) == {"\\udcff": ["\\ud800", ["é", 1, None]]}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"t": "job", "f": "x", "v": 1}, "not the first line of an x"),
        ({"t": "hdr", "f": "y", "v": 1}, "not the first line of an x"),
        ({"t": "hdr", "f": "x", "v": 0}, "v is not a format version"),
        ({"t": "hdr", "f": "x", "v": True}, "v is not a format version"),
        ({"t": "hdr", "f": "x"}, "v is not a format version"),
    ],
)
def test_a_first_line_of_another_kind_is_damage(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(Damage, match=why):
        check_version(fields, "x", 2)


def test_earlier_versions_are_told_and_later_ones_are_no_damage() -> None:
    assert check_version({"t": "hdr", "f": "x", "v": 1}, "x", 2) == 1
    with pytest.raises(NewerVersion) as caught:
        check_version({"t": "hdr", "f": "x", "v": 3}, "x", 2)
    assert caught.value.found == 3


def test_a_salt_is_drawn_anew_each_time() -> None:
    salts = {draw_salt() for _ in range(20)}
    assert len(salts) > 1
    assert all(0 <= salt < 2**32 for salt in salts)


# ── many lines ───────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.binary(max_size=5).filter(lambda data: b"\n" not in data), max_size=5), st.integers(1, 9))
def test_lines_say_where_they_stand_however_the_file_is_read(texts: list[bytes], block: int) -> None:
    lines = lines_of(b"".join(text + b"\n" for text in texts), block)
    assert [line.data for line in lines] == texts
    assert [line.number for line in lines] == list(range(1, len(texts) + 1))
    assert [line.offset for line in lines] == [sum(len(text) + 1 for text in texts[:i]) for i in range(len(texts))]
    assert not any(line.why for line in lines)


def test_a_last_line_without_its_newline_is_cut_off() -> None:
    first, last = lines_of(b"a\nbc")
    assert whole(first) == b"a"
    assert (last.number, last.offset, last.data) == (2, 2, b"bc")
    with pytest.raises(Damage, match="the line is cut off"):
        whole(last)


def test_of_a_line_that_is_too_long_its_end_is_kept_and_the_next_one_is_read() -> None:
    data = b"a\n" + b"x" * (3 * LINE_LIMIT) + b"y\nb\n"
    first, long, last = lines_of(data, LINE_LIMIT // 3)
    assert (first.data, last.data, last.number, last.offset) == (b"a", b"b", 3, len(data) - 2)
    assert long.why == "the line is too long"
    assert long.data.endswith(b"xy")
    assert LINE_LIMIT <= len(long.data) < 2 * LINE_LIMIT


def test_the_longest_line_is_one_with_its_newline() -> None:
    assert [line.why for line in lines_of(b"x" * (LINE_LIMIT - 1) + b"\n")] == [""]
    assert [line.why for line in lines_of(b"x" * LINE_LIMIT + b"\n")] == ["the line is too long"]


def test_a_file_that_claims_any_size_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = 0

    class Endless(MemoryFiles):
        def blocks(self, name: str) -> Iterator[bytes]:
            nonlocal blocks
            yield b"a\n"
            while True:
                blocks += 1
                yield bytes(LINE_LIMIT)

    monkeypatch.setattr(module, "JUNK_LIMIT", 10 * LINE_LIMIT)
    first, last = read_lines(Endless(), "a")
    assert not first.is_endless
    assert last.is_endless
    assert (last.number, last.offset, last.why) == (2, 2, "the line has no end")
    assert blocks == 12
