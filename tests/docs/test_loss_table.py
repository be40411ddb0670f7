"""The loss table of the README is true: it is read from the page, and every cell of it is tried.

A life has three stages, each with an end that was told and a job that was accepted: *early* is in the last
snapshot, *middle* came after that and has been on the disk for a while, *late* came at the last moment. What is left
of them in the next life is one of the words of the table. Where chance has a say, the worst fate counts.
"""

import copy
import inspect
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from attrs import define, field, frozen

from actorq import JobQueue, JobState, Retention, Retry, StoreCorrupt, StoreError, StoreFailed, StoreFull
from actorq.config import DURABILITIES, SNAPSHOT_INTERVAL_S
from actorq.testing import Fault, FaultyFiles, MemoryFiles, SimulatedDisk

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n## What survives what\n")[2].partition("\n## ")[0]

NO_DISK = "–"
FATES = 30
DAY = 86_400.0


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the table, by row and by setting."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line[:1] == "|"]
    settings = [re.sub(r'[`"]', "", cell) for cell in rows[0][1:]]
    return {row[0]: dict(zip(settings, row[1:], strict=True)) for row in rows[2:]}


# -- a life, and what is left of it --------------------------------------------------------------------


@frozen
class Stage:
    ended: str
    accepted: str

    async def is_kept(self, queue: JobQueue) -> bool:
        """Tell whether what was said of these jobs still holds."""
        ended, accepted = await queue.get(self.ended), await queue.get(self.accepted)
        return ended is not None and ended.state is JobState.SUCCEEDED and accepted is not None


@define
class Life:
    """One life of a queue, with all that was acknowledged in it."""

    queue: JobQueue
    stages: dict[str, Stage] = field(factory=dict)

    async def pass_stage(self, name: str) -> None:
        ended = await self.queue.work.submit(name)
        assert await ended == name
        accepted = await self.queue.work.using(delay=DAY).submit(name)
        self.stages[name] = Stage(ended.id, accepted.id)

    async def sync(self) -> None:
        """Let the disk have all that is written, as ``sync_interval`` would in its time."""
        writer = self.queue._house.scribe._writer
        if writer is not None:
            synced = anyio.Event()
            writer.seal(lambda n: synced.set())
            await synced.wait()

    def word(self, kept: set[str]) -> str:
        words = {("early", "middle"): "all but 1 s", ("early",): "last snapshot", (): "nothing"}
        return "all" if kept == self.stages.keys() else words[tuple(sorted(kept))]


def make(durability: str, where: Any, **options: Any) -> JobQueue:
    where = {} if durability == "memory" else {"path" if isinstance(where, Path) else "files": where}
    options = {"sync_interval": DAY, "retention": Retention(age_s=1e9)} | options
    queue = JobQueue(**where, durability=durability, **options)
    queue.ran = []

    @queue.task(name="work", context=True)
    async def work(job: Any, name: str) -> str:
        queue.ran.append(job.job_id)
        return name

    queue.work = work
    return queue


@asynccontextmanager
async def living(durability: str, where: Any) -> AsyncIterator[Life]:
    """Open a queue that is in its second stage; it may have been closed when the block ends."""
    life = Life(make(durability, where))
    await life.queue.__aenter__()
    try:
        await life.pass_stage("early")
        await life.queue.snapshot()
        await life.pass_stage("middle")
        await life.sync()
        yield life
    finally:
        with suppress(StoreError):
            await life.queue.close()


async def kept_in(durability: str, where: Any, life: Life) -> set[str]:
    """Return the stages of which everything is there in the next life."""
    async with make(durability, where) as queue:
        kept = {name for name, stage in life.stages.items() if await stage.is_kept(queue)}
        assert not {life.stages[name].ended for name in kept} & set(queue.ran), "what has ended does not run again"
        return kept


async def worst_after_power_cut(durability: str, disk: SimulatedDisk, life: Life) -> str:
    """Cut the power, many times from this moment on, and return what is kept in every one of these fates."""
    kept = set(life.stages)
    if durability == "memory":
        kept = await kept_in(durability, disk, life)
    for seed in range(FATES):
        fate = twin(disk, seed)
        fate.power_cut()
        kept &= await kept_in(durability, fate, life)
    return life.word(kept)


def new_disk(seed: int = 0) -> SimulatedDisk:
    return SimulatedDisk(Random(seed))  # noqa: S311 - a fate is no secret


def twin(disk: SimulatedDisk, seed: int) -> SimulatedDisk:
    """Return a disk in the same state, in memory and on its platters, with another fate before it."""
    other = new_disk(seed)
    with disk._turn:
        vars(other).update(copy.deepcopy({name: value for name, value in vars(disk).items() if name != "_turn"}))
    other._random.seed(seed)  # the contents of its files share it
    return other


# -- what may happen: each returns the word for what it leaves -----------------------------------------


async def giving_up(durability: str, path: Path) -> str:
    queue = make(durability, MemoryFiles())

    @queue.task(name="nap")
    async def nap() -> str:
        await anyio.sleep(100)
        return "rested"

    async with queue:
        job = await nap.submit()
        with pytest.raises(TimeoutError):
            await job.result(timeout=1)
        with anyio.move_on_after(1):
            await job
        return "all" if await job == "rested" else "nothing"


async def failing_jobs(durability: str, path: Path) -> str:
    queue = make(durability, MemoryFiles())

    @queue.task(
        name="fail",
        context=True,
        retry=Retry(max_attempts=2, delay=1),
        timeout=50,
        heartbeat_timeout=10,
    )
    async def fail(job: Any, how: str) -> int:
        if job.attempt == 1 and how == "exception":
            raise ValueError(how)
        while job.attempt == 1:
            await anyio.sleep(1)
            if how == "endless":
                job.heartbeat()
        return job.attempt

    async with queue:
        attempts = {await fail.run(how) for how in ("exception", "silent", "endless")}
    return "retried" if attempts == {2} else "failed"


async def clean_stop(durability: str, path: Path) -> str:
    disk = new_disk()
    async with living(durability, disk) as life:
        await life.pass_stage("late")
        await life.queue.close()
    return await worst_after_power_cut(durability, disk, life)


async def kill(durability: str, path: Path) -> str:
    files = MemoryFiles()
    async with living(durability, files) as life:
        await life.pass_stage("late")
        found = files.copy()
    return life.word(await kept_in(durability, found, life))


async def power_cut(durability: str, path: Path) -> str:
    disk = new_disk()
    async with living(durability, disk) as life:
        await life.pass_stage("late")
        return await worst_after_power_cut(durability, disk, life)


async def full_disk(durability: str, path: Path) -> str:
    files = MemoryFiles()
    async with living(durability, files) as life:
        files.room = sum(len(files.read(name)) for name in files.names()) + 10
        if durability == "snapshot":
            await life.pass_stage("late")
        else:
            with pytest.raises(StoreFull):
                await life.pass_stage("late")
        with suppress(StoreError):
            await life.queue.close()
        found = files.copy()
    return life.word(await kept_in(durability, found, life))


async def failing_disk(durability: str, path: Path) -> str:
    disk = new_disk(1)  # one that forgets what it fails to sync
    faulty = FaultyFiles(disk)
    async with living(durability, faulty) as life:
        faulty.fail(Fault.ERROR, kind="sync", times=1_000)
        if durability == "fsync":
            with pytest.raises(StoreFailed):
                await life.pass_stage("late")
        else:
            await life.pass_stage("late")
        with pytest.raises(StoreFailed if durability != "snapshot" else StoreError):
            await life.queue.close()
    return life.word(await kept_in(durability, disk, life))


async def damage(durability: str, path: Path) -> str:
    files = MemoryFiles()
    async with living(durability, files) as life:
        await life.queue.close()
    newest = max(name for name in files.names() if name.startswith("snap-"))
    behind = f"wal-{newest[5:25]}.jsonl"  # older files are the generation before, which nobody reads
    needed = [newest, *(name for name in files.names() if name.startswith("wal-") and name > behind)]
    words = set()
    for name in needed:
        found = files.copy()
        data = bytearray(files.read(name))
        data[len(data) // 2] ^= 1
        found.put(name, bytes(data))
        before = {each: found.read(each) for each in found.names()}
        try:
            words.add(life.word(await kept_in(durability, found, life)))
        except StoreCorrupt:
            words.add("refused")
            assert {each: found.read(each) for each in found.names()} == before
        async with make(durability, found, recovery="salvage"):
            pass
    return " or ".join(sorted(words))


async def deletion(durability: str, path: Path) -> str:
    directory = path / "queue"
    async with living(durability, directory) as life:
        shutil.rmtree(directory)
        with pytest.raises(StoreFailed if durability != "snapshot" else StoreError):
            await life.queue.close()
    return life.word(await kept_in(durability, directory, life))


TRIALS: dict[str, Callable[[str, Path], Awaitable[str]]] = {
    "a waiter gives up, a client hangs up": giving_up,
    "an exception, a silent or an endless job": failing_jobs,
    "a clean stop": clean_stop,
    "`kill -9`, a crash, out of memory": kill,
    "loss of power, a crash of the kernel": power_cut,
    "a disk that is full to the end": full_disk,
    "a disk that fails to sync": failing_disk,
    "a damaged file": damage,
    "the directory is deleted": deletion,
}

OF_A_DISK = (full_disk, failing_disk, damage, deletion)


def test_the_table_has_all_that_is_tried_for_all_settings() -> None:
    assert list(table()) == list(TRIALS)
    assert all(tuple(cells) == DURABILITIES for cells in table().values())


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("what", TRIALS)
async def test_the_word_in_the_cell_is_what_happens(what: str, durability: str, tmp_path: Path) -> None:
    trial = TRIALS[what]
    has_disk = durability != "memory" or trial not in OF_A_DISK
    word = await trial(durability, tmp_path) if has_disk else NO_DISK
    assert word == table()[what][durability]


def test_the_words_are_explained_below_the_table() -> None:
    explained = set(re.findall(r"^- \*\*([^*]+)\*\*:", SECTION, re.MULTILINE))
    words = {word for cells in table().values() for word in cells.values()}
    assert words - {NO_DISK, "nothing"} == explained


def test_the_figures_in_the_explanation_are_the_defaults() -> None:
    options = inspect.signature(JobQueue).parameters
    assert f"`sync_interval` ({options['sync_interval'].default:g} s)" in SECTION
    assert f"made {SNAPSHOT_INTERVAL_S:g} s after the first change" in SECTION
