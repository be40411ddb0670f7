"""The port on a real disk: modes, symlinks, errors that say what to do, and the lock."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from actorq.errors import StoreError, StoreFull, StoreLocked
from actorq.store import files as module
from actorq.store.files import DiskFiles, Entry, MediumError, boot_id


@pytest.fixture
def disk(tmp_path: Path) -> DiskFiles:
    disk = DiskFiles(tmp_path / "queue")
    disk.make_directory()
    return disk


def mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777  # noqa: PTH116


def read(disk: DiskFiles, name: str) -> bytes:
    return b"".join(disk.blocks(name))


def put(disk: DiskFiles, name: str, data: bytes = b"") -> None:
    file = disk.create(name)
    file.write(data)
    file.sync()
    file.close()
    file.close()


def test_what_is_written_is_read(disk: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 3)
    put(disk, "a", b"eight by")
    disk.settle("a")
    assert list(disk.blocks("a")) == [b"eig", b"ht ", b"by"]
    assert mode(disk.where("a")) == 0o600
    assert mode(disk.where()) == 0o700


def test_a_short_write_is_completed(disk: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    put(disk, "a", b"eight by")
    assert read(disk, "a") == b"eight by"


def test_a_directory_in_which_everybody_may_write_is_refused(disk: DiskFiles) -> None:
    os.chmod(disk.where(), 0o777)  # noqa: PTH101, S103
    with pytest.raises(StoreError, match="everybody may write there"):
        disk.make_directory()


def test_the_directory_of_another_user_is_refused(disk: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # what belongs to root, anybody may trust
        os.chown(disk.where(), 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(StoreError, match="belongs to another user"):
        disk.make_directory()


def test_missing_directories_are_made_and_present_ones_left_alone(tmp_path: Path) -> None:
    disk = DiskFiles(tmp_path / "a/b/c")
    disk.make_directory()
    disk.make_directory()
    disk.make_directory("quarantine")
    assert mode(disk.where()) == mode(disk.where("quarantine")) == 0o700
    assert repr(disk) == f"<DiskFiles '{tmp_path}/a/b/c'>"


def test_entries_are_listed_in_order_and_what_is_no_file_is_marked(disk: DiskFiles) -> None:
    put(disk, "b")
    disk.make_directory("d")
    os.mkfifo(disk.where("c"))
    os.symlink("b", disk.where("a"))  # noqa: PTH211
    put(disk, "d/e")
    assert disk.list() == [
        Entry("a", is_file=False),
        Entry("b", is_file=True),
        Entry("c", is_file=False),
        Entry("d", is_file=False),
    ]
    assert disk.list("d") == [Entry("e", is_file=True)]


def test_a_file_takes_the_place_of_another(disk: DiskFiles) -> None:
    put(disk, "new", b"new")
    put(disk, "old", b"old")
    disk.rename("new", "old")
    disk.sync_directory()
    assert read(disk, "old") == b"new"
    disk.unlink("old")
    disk.unlink("old")
    assert disk.list() == []


@pytest.mark.parametrize("name", ["file", "link", "dangling"])
def test_a_file_is_only_created_where_there_is_nothing(disk: DiskFiles, name: str) -> None:
    put(disk, "file", b"kept")
    os.symlink("file", disk.where("link"))  # noqa: PTH211
    os.symlink("elsewhere", disk.where("dangling"))  # noqa: PTH211
    with pytest.raises(StoreError, match=r"cannot create it: File exists; .* move it away\."):
        disk.create(name)
    assert read(disk, "file") == b"kept"
    assert not os.path.exists(disk.where("elsewhere"))  # noqa: PTH110


def test_what_is_no_regular_file_is_not_read_and_nobody_waits(disk: DiskFiles) -> None:
    put(disk, "file")
    os.symlink("file", disk.where("link"))  # noqa: PTH211
    os.mkfifo(disk.where("fifo"))
    disk.make_directory("directory")
    for name, why in [
        ("link", "symbolic links are not followed"),
        ("fifo", "is no regular file"),
        ("directory", "is no regular file"),
        ("nothing", "No such file"),
    ]:
        with pytest.raises(StoreError, match=why):
            read(disk, name)
        with pytest.raises(StoreError, match=why):
            disk.settle(name)


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/actorq", "/proc/actorq/below"])
def test_a_directory_that_cannot_be_made_is_refused_with_advice(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    disk = DiskFiles(tmp_path / path)
    with pytest.raises(StoreError) as caught:
        disk.make_directory()
    assert caught.value.path == str(tmp_path / path)
    assert "cannot make it" in str(caught.value)
    for use in (disk.lock, disk.list, disk.sync_directory, lambda: disk.create("a")):
        with pytest.raises(StoreError):
            use()


def test_an_error_without_advice_of_ours_still_says_what_was_tried(
    disk: DiskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ETXTBSY, "Text file busy")

    put(disk, "a")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match=r"cannot rename a to it: Text file busy; see what"):
        disk.rename("a", "b")


def test_a_full_disk_and_a_failed_sync_are_told(disk: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.create("a")

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", fail)
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreError, match=r"cannot write it: No space .*; make room on the disk"):
            file.write(b"a")
        with pytest.raises(StoreError, match="cannot sync it"):
            file.sync()
    file.close()


def test_a_full_disk_is_told_apart_from_a_broken_one(disk: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.create("a")
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):

        def fail(*args: object, number: int = number) -> None:
            raise OSError(number, "no")

        monkeypatch.setattr(os, "write", fail)
        with pytest.raises(StoreError) as caught:
            file.write(b"a")
        assert isinstance(caught.value, StoreFull) is (number != errno.EIO)
    file.close()


def test_what_is_cut_is_gone_and_what_is_written_next_stands_there(disk: DiskFiles) -> None:
    file = disk.create("a")
    file.write(b"eight by")
    file.cut(3)
    file.write(b"!")
    file.close()
    assert read(disk, "a") == b"eig!"


def test_the_beginning_of_a_file_can_be_overwritten(disk: DiskFiles) -> None:
    file = disk.create("a")
    file.write(b"eight by")
    file.overwrite(b"EIGHT")
    file.write(b"te")
    file.close()
    assert read(disk, "a") == b"EIGHT byte"


def test_a_file_knows_whether_it_is_where_it_was_made(disk: DiskFiles) -> None:
    file = disk.create("a")
    assert file.is_in_place()
    disk.rename("a", "b")
    assert not file.is_in_place()
    put(disk, "a")
    assert not file.is_in_place(), "another one is there"
    disk.rename("b", "a")
    assert file.is_in_place()
    file.close()
    assert not file.is_in_place()


def test_a_disk_that_cannot_read_is_told_apart_from_a_wrong_setting(
    disk: DiskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    put(disk, "a")
    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(MediumError, match="the disk is failing"):
        read(disk, "a")


def test_where_fsync_does_not_reach_the_disk_another_call_is_made(
    disk: DiskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(module, "FULL_SYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, call: calls.append(call))
    monkeypatch.delattr(os, "posix_fadvise")
    put(disk, "a")
    disk.settle("a")
    assert calls == [51, 51]


def test_a_boot_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise FileNotFoundError

    assert len(boot_id()) == 36
    monkeypatch.setattr("builtins.open", fail)
    assert boot_id() == ""


def test_no_descriptor_is_left_open(disk: DiskFiles) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    disk.lock()
    put(disk, "a", b"x" * 10)
    disk.settle("a")
    next(blocks := disk.blocks("a"))
    del blocks
    disk.sync_directory()
    disk.unlock()
    disk.unlock()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


# ── the lock ─────────────────────────────────────────────────────────────────────────────────────


def test_the_lock_is_refused_to_a_second_opener_in_the_same_process(disk: DiskFiles) -> None:
    disk.lock()
    assert "locked" in repr(disk)
    assert mode(disk.where("lock")) == 0o600
    second = DiskFiles(disk.where())
    with pytest.raises(StoreLocked) as caught:
        second.lock()
    assert caught.value.path == disk.where()
    assert caught.value.owner.startswith(f"pid {os.getpid()} on {os.uname().nodename} since 20")
    disk.unlock()
    second.lock()
    second.unlock()
    assert disk.list() == [Entry("lock", is_file=True)]


@pytest.mark.parametrize(
    "card",
    [b"", b"nonsense", b"[]", b"{}", b'"text"', b'{"pid":1,"host":"\\u001b[2J","started":"x"}'],
)
def test_a_lock_that_does_not_say_whose_it_is_is_still_a_lock(disk: DiskFiles, card: bytes) -> None:
    disk.lock()
    Path(disk.where("lock")).write_bytes(card)
    with pytest.raises(StoreLocked, match="in use by another process"):
        DiskFiles(disk.where()).lock()
    disk.unlock()


def test_a_card_left_by_a_longer_life_is_overwritten_whole(disk: DiskFiles) -> None:
    Path(disk.where("lock")).write_bytes(b"x" * 1000)
    disk.lock()
    assert orjson.loads(Path(disk.where("lock")).read_bytes())["pid"] == os.getpid()
    disk.unlock()


@pytest.mark.parametrize("kind", ["symlink", "directory"])
def test_a_lock_that_is_no_file_is_refused(disk: DiskFiles, kind: str) -> None:
    if kind == "symlink":
        os.symlink("elsewhere", disk.where("lock"))  # noqa: PTH211
    else:
        disk.make_directory("lock")
    with pytest.raises(StoreError, match="cannot lock it"):
        disk.lock()
    assert not os.path.exists(disk.where("elsewhere"))  # noqa: PTH110


def test_a_file_system_without_locks_is_refused_with_advice(disk: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(StoreError, match="use a local file system"):
        disk.lock()
    disk.unlock()


OWNER = """
import sys
from actorq.store.files import DiskFiles
files = DiskFiles(sys.argv[1])
files.lock()
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_a_process_that_was_killed_is_free(disk: DiskFiles) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, disk.where()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"locked\n"
        with pytest.raises(StoreLocked, match=f"in use by pid {owner.pid} on "):
            disk.lock()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    disk.lock()
    disk.unlock()
