"""Several queues in one directory tree."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from actorq import InvalidOption, JobQueue, JobState, StoreError, StoreLocked
from actorq.cli import main

NAMES = ("default", "mail", "reports")


def echoes(queue: JobQueue) -> Any:
    async def echo(value: str) -> str:
        await anyio.sleep(1)
        return f"{queue.name}: {value}"

    return queue.task(name="echo")(echo)


async def test_queues_of_other_names_live_side_by_side_in_one_tree(tmp_path: Path) -> None:
    queues = [JobQueue(tmp_path, name=name, workers=1) for name in NAMES]
    ids = {}
    for queue in queues:
        await queue.__aenter__()
    for queue in queues:
        handle = await echoes(queue).submit("hello")
        assert await handle == f"{queue.name}: hello"
        ids[queue.name] = handle.id
    with pytest.raises(StoreLocked):
        async with JobQueue(tmp_path, name="mail"):
            pass
    for queue in queues:
        await queue.close()
    for name in NAMES:
        async with JobQueue(tmp_path, name=name) as queue:
            assert (await queue.stats()).submitted == 1
            assert await queue.get(ids[name]) is not None


async def test_each_queue_has_workers_and_pauses_of_its_own(tmp_path: Path) -> None:
    async with JobQueue(tmp_path, name="mail", workers=1) as mail, JobQueue(tmp_path, name="reports") as reports:
        send, report = echoes(mail), echoes(reports)
        await mail.pause_queue()
        waiting = await send.submit("later")
        assert await report.run("now") == "reports: now"
        assert (await waiting.record()).state is JobState.QUEUED
        await mail.resume_queue()
        assert await waiting == "mail: later"


async def test_a_file_in_the_place_of_its_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("letters")
    with pytest.raises(StoreError):
        async with JobQueue(tmp_path, name="mail"):
            pass
    assert (tmp_path / "mail").read_text() == "letters"


async def test_the_files_of_a_named_queue_are_in_the_directory_of_its_name(tmp_path: Path) -> None:
    async with JobQueue(tmp_path, name="mail") as queue:
        assert queue.path == tmp_path / "mail"
    assert [path.name for path in tmp_path.iterdir()] == ["mail"]  # noqa: ASYNC240 - the queue is closed


async def test_the_directory_of_the_default_queue_is_whole_with_others_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        async with JobQueue(tmp_path, name=name) as queue:
            await (await echoes(queue).submit("hello"))
    for path in (tmp_path, tmp_path / "mail"):
        assert main(["verify", str(path)]) == 0
        assert "whole" in capsys.readouterr().out
        for verb in ("inspect", "export"):
            assert main([verb, str(path)]) == 0
            assert "reports" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "a\\b", "a b", ".hidden", "-x", "lock", "Lock", "mark", "reserve", "quarantine"]
)
def test_a_name_that_is_no_directory_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOption, match="name="):
        JobQueue(tmp_path, name=name)


def test_a_name_is_free_where_there_are_no_files() -> None:
    assert JobQueue(name="a/b").name == "a/b"
