"""Files that nobody should have put there: each is refused or passed over, in bounded time and memory."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from actorq.config import LINE_LIMIT
from actorq.core.job import Job
from actorq.errors import StoreCorrupt, StoreError
from actorq.store import line as line_module
from actorq.store.files import DiskFiles
from actorq.store.journal import MARK, Journal
from actorq.store.journal_codec import Header, encode_header
from actorq.store.line import HEADER_SEED, frame
from actorq.store.recovery import recover
from actorq.store.salvage import salvage
from actorq.store.segment import segment_name

from .lives import Life, contents, make_odd, restore, state_of

FIRST = segment_name(1)

SNAPSHOT = "snap-00000000000000000005.jsonl"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.store.journal.RESERVE_BYTES", 0)
    monkeypatch.setattr(line_module, "JUNK_LIMIT", 8 * LINE_LIMIT)


@pytest.fixture
def disk(tmp_path: Path) -> DiskFiles:
    """A directory in which there is one job."""
    disk = DiskFiles(tmp_path)
    life = Life(disk)
    life.submit("a")
    life.journal.close()
    return disk


def refused_then_saved(files: Any) -> StoreCorrupt:
    """See that the directory is refused, and that salvage makes of it one that opens; return why."""
    with pytest.raises(StoreCorrupt) as caught:
        recover(files)
    found = salvage(files, "mail", wall=1.0)
    assert state_of(recover(files).ledger) == state_of(found.ledger)
    return caught.value


# ── what is no file ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "dangling"])
@pytest.mark.parametrize("name", [segment_name(3), SNAPSHOT])
def test_what_is_no_file_is_damage(disk: DiskFiles, tmp_path: Path, kind: str, name: str) -> None:
    make_odd(tmp_path / name, kind, FIRST)
    assert refused_then_saved(disk).why == "this is no regular file"


def test_a_device_is_no_file(disk: DiskFiles, tmp_path: Path) -> None:
    """A link to one, because only root can make one."""
    (tmp_path / segment_name(3)).symlink_to("/dev/zero")
    (tmp_path / MARK).unlink()
    (tmp_path / MARK).symlink_to("/dev/zero")
    assert refused_then_saved(disk).why == "this is no regular file"


@pytest.mark.parametrize("kind", ["fifo", "symlink", "dangling"])
def test_a_witness_that_is_no_file_tells_nothing_and_is_replaced(disk: DiskFiles, tmp_path: Path, kind: str) -> None:
    (tmp_path / MARK).unlink()
    make_odd(tmp_path / MARK, kind, FIRST)
    life = Life(disk, recover(disk).ledger)
    assert (tmp_path / MARK).is_file()
    assert not (tmp_path / MARK).is_symlink()
    life.submit("b")
    life.journal.close()
    assert recover(disk).ledger.jobs.keys() == {"a", "b"}


@pytest.mark.parametrize("name", [MARK, "mark.tmp", "reserve"])
def test_a_directory_in_the_place_of_a_small_file_is_an_error_or_no_matter(
    disk: DiskFiles, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    ledger = recover(disk).ledger
    if name == "reserve":
        assert not Life(disk, ledger).journal.has_reserve
        return
    with pytest.raises(StoreError, match=name):
        Life(disk, ledger)


def test_a_file_of_two_names_is_read_and_never_written_to(disk: DiskFiles, tmp_path: Path) -> None:
    os.link(tmp_path / FIRST, tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    life = Life(disk, recover(disk).ledger)
    life.submit("b")
    life.journal.close()
    assert (tmp_path / "backup").read_bytes() == before
    assert recover(disk).ledger.jobs.keys() == {"a", "b"}


def test_one_file_under_the_names_of_two_segments_is_damage(disk: DiskFiles, tmp_path: Path) -> None:
    os.link(tmp_path / FIRST, tmp_path / segment_name(3))
    assert refused_then_saved(disk).why == "the file has the name of another one"


# ── what is too large ────────────────────────────────────────────────────────────────────────────


def test_a_file_that_claims_a_terabyte_is_not_read_to_its_end(disk: DiskFiles, tmp_path: Path) -> None:
    for name in (FIRST, segment_name(3)):
        path = tmp_path / name
        was = path.read_bytes() if path.exists() else None
        with path.open("ab") as file:
            file.truncate(2**40)
        with pytest.raises(StoreCorrupt):
            recover(disk)
        if was is None:
            path.unlink()
        else:
            path.write_bytes(was)
    assert recover(disk).ledger.jobs.keys() == {"a"}


def test_of_a_file_that_claims_a_terabyte_its_lines_are_saved(disk: DiskFiles, tmp_path: Path) -> None:
    with (tmp_path / FIRST).open("ab") as file:
        file.truncate(2**40)
    refused_then_saved(disk)
    assert recover(disk).ledger.jobs.keys() == {"a"}
    assert (tmp_path / "quarantine" / FIRST).stat().st_size == 2**40


def test_a_snapshot_or_a_witness_that_claims_a_terabyte_is_no_burden(disk: DiskFiles, tmp_path: Path) -> None:
    for name in (MARK, SNAPSHOT):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)
    refused_then_saved(disk)
    assert recover(disk).ledger.jobs.keys() == {"a"}


def test_one_very_long_line_is_damage_if_it_had_been_on_the_disk(disk: DiskFiles, tmp_path: Path) -> None:
    header, first, rest = (tmp_path / FIRST).read_bytes().split(b"\n", 2)
    long = b"\n".join([header, first[:-2] + b"x" * (3 * LINE_LIMIT), rest])
    (tmp_path / FIRST).write_bytes(long)
    assert "the line is too long" in refused_then_saved(disk).why


# ── what is no journal ───────────────────────────────────────────────────────────────────────────


OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "BOM": lambda data: b"\xef\xbb\xbf" + data,
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "empty lines": lambda data: data.replace(b"\n", b"\n\n"),
    "pretty": lambda data: data.replace(b",", b", "),
    "program": lambda data: b"\x7fELF" + bytes(range(256)) * 50,
    "deep": lambda data: b"[" * 100_000,
    "headers": lambda data: b'{"t":"hdr"}\n' * 1_000,
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_another_program_made_of_a_file_is_damage(disk: DiskFiles, tmp_path: Path, other: str) -> None:
    path = tmp_path / FIRST
    path.write_bytes(OTHERS[other](path.read_bytes()))
    assert refused_then_saved(disk).path == str(path)


def test_segments_whose_numbers_overlap_are_refused(files: Any) -> None:
    life = Life(files)
    for name in ("a", "b", "c"):
        life.submit(name)
    overlap = Journal(files, "mail", 3, boot="", wall=lambda: 1.0)
    overlap.open()
    assert refused_then_saved(files).why == "fact 4 stands in it, and the next file begins with another one"
    assert recover(files).ledger.jobs.keys() == {"a", "b"}, "the later life is believed"


# ── what cannot be counted ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 10**20 - 1])
def test_a_file_with_a_number_that_cannot_be_is_damage(files: Any, n: int) -> None:
    Life(files).submit("a")
    before = contents(files)
    header = b'{"t":"hdr","f":"actorq-journal","v":1,"first":%d,"salt":1,"queue":"","boot":"","wall":1}' % n
    for name, data in (
        (segment_name(n), frame(header, HEADER_SEED)),
        (f"snap-{n:020}.jsonl", b""),
    ):
        restore(files, before | {name: data})
        refused_then_saved(files)
        assert recover(files).ledger.jobs.keys() == {"a"}


def test_a_last_number_that_can_be_counted_can_be_gone_on_from(files: Any, write: Any, make_job: Any) -> None:
    write(files, 2**62, [make_job(1)], seq=1)
    life = Life(files, recover(files).ledger)
    life.submit("b")
    life.journal.close()
    assert recover(files).ledger.jobs.keys() == {"job-1", "b"}


def test_a_snapshot_that_claims_very_many_jobs_is_damage_and_no_burden(
    files: Any, write: Any, make_job: Callable[..., Job], forge: Any
) -> None:
    name = write(files, 5, [make_job(1), make_job(5)])
    good = files.read(name)
    for place, changes in ((0, {"seq": 2**60}), (3, {"count": 2**60}), (0, {"removed": 2**60})):
        files.put(name, forge(good, lambda lines, at=place, to=changes: lines[at].update(to)))
        with pytest.raises(StoreCorrupt):
            recover(files)


def test_very_many_jobs_that_are_gone_are_no_burden(files: Any, write: Any, make_job: Callable[..., Job]) -> None:
    write(files, 2**60, [make_job(1), make_job(2**60)], seq=2**60)
    found = recover(files).ledger
    assert len(found.jobs) == 2
    assert found.removed == 2**60 - 2
    assert [job.seq for job in found.picture().take(10)] == [1]


def test_a_line_nested_as_deep_as_it_is_long_is_damage(files: Any) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    text = b'{"n":1,"d":0,"at":1.0,"facts":[{"t":"submitted","id":"a","seq":1,"task":"t","payload":%b}]}' % deep
    Journal(files, "mail", 0, boot="", wall=lambda: 1.0).open()
    header = Header(1, 7, "mail", "", 1.0)
    files.put(FIRST, encode_header(header) + frame(text, 7) + frame(b'{"t":"end","n":1,"d":1}', 7))
    refused_then_saved(files)
    assert orjson.loads(files.read(files.names()[-1]).splitlines()[0])["t"] == "hdr"
