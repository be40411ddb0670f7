"""The main job: crawl a folder, be killed three times in the middle, and lose nothing.

``make demo``, or ``python examples/02_crawl.py [FOLDER]``; the folder is Python's own standard library if none
is named. Each folder is a job. It submits a job for each file in it, large ones first, and one for each folder
below. A file is read, hashed and, if it is Python, parsed and counted, in a thread. For show, some files fail at
first and are retried, one is delayed, and one gets stuck until its missing heartbeat gives it away.

The work is done by a child process. Its parent kills it with SIGKILL, three times, at random moments, and starts
it again. All that the crawl does about that is to name a directory, ``JobQueue(HOME)``. Then two things hold:

* A job is on the disk when ``submit`` or ``submit_many`` returns, and is never lost.
* A job whose end anybody was told does not run again.

In between a job runs at least once: whatever the kill has interrupted begins anew. To read a file twice does no
harm. But a folder must not submit its children twice, so before it does it notes the id of the first in its log.
Things are written in the order in which they happen, and ``submit_many`` takes all or none: if that child is
there, all are.

The parent does not believe a word of this. The child tells it over a pipe which jobs were accepted, which runs
begin and which ends were heard; it keeps that outside the queue, and compares it with what ``python -m actorq
export`` finds in the directory at the end. It also walks the folder with a plain loop. Only if nothing is lost,
nothing ran again after its end was heard, and both come to the same digest, is the exit code 0.

``SEED=7 make demo`` repeats the choices of a run that has printed that seed. Hidden files, links and caches are
left out; the rest of the folder must not change meanwhile.
"""

import ast
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from pathlib import Path
from zlib import crc32

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from actorq import JobContext, JobEvent, JobHandle, JobQueue, Retention, Retry

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_paths()["stdlib"]).resolve()
HOME, DELAYED, STUCK = sys.argv[2:] or (None, "", "")  # what the parent tells the child
BATCH = 200  # the children that one job submits; the rest of a large folder is a job of its own
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages"}

queue = JobQueue(
    HOME,
    workers=8,
    max_pending=1_000_000,
    retention=Retention(age_s=86_400, count=1_000_000),  # the results are wanted at the end
)
retry = Retry(max_attempts=5, delay=0.2)


# ── the jobs ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Page:
    """What is known of a file when it has been read."""

    path: str
    size: int
    sha256: str
    lines: int = 0
    functions: int = 0
    classes: int = 0


@queue.task(name="crawl", context=True, retry=retry)
async def crawl(job: JobContext, folder: str, skip: int = 0) -> None:
    """Submit the files and folders in this folder."""
    tell("begins", job.job_id, job.claim)
    log = (await queue.get(job.job_id)).log
    if log and await queue.get(log[-1].data["first"]):
        return  # a run before this one has submitted them

    entries = sorted(entries_of(FOLDER / folder), key=lambda entry: entry.name)[skip:]
    children = [request_for(f"{folder}{entry.name}", entry) for entry in entries[:BATCH]]
    if len(entries) > BATCH:
        children.append(crawl.build(folder, skip + BATCH))
    if children:
        job.log("submits", first=children[0].id)
        tell_accepted(await queue.submit_many(children))


@queue.task(name="read", context=True, retry=retry, heartbeat_timeout=3, grace=5)
def read(job: JobContext, path: str) -> Page:
    """Read one file. A plain ``def``: it runs in a thread, and the event loop stays free."""
    tell("begins", job.job_id, job.claim)
    if job.attempt == 1 and path == STUCK:
        while job.cancel_reason is None:  # says nothing, does nothing, until it is told to stop
            time.sleep(0.05)
    if job.attempt == 1 and crc32(path.encode()) % 25 == 0:
        raise ConnectionError("the first attempt fails, for show")
    return read_page(path, job.heartbeat)


def request_for(path: str, entry: os.DirEntry[str]):
    """Build the job for a file, the larger the earlier, or for a folder, which comes after all files."""
    if entry.is_dir():
        return crawl.build(f"{path}/")
    delay = 2 if path == DELAYED else 0
    return read.using(priority=entry.stat().st_size.bit_length(), delay=delay).build(path)


def entries_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files and folders in a folder that are wanted."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_wanted(entry.name) and (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)):
                yield entry


def is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in LEFT_OUT and name.isprintable()


def read_page(path: str, beat: Callable[[], None] = lambda: None) -> Page:
    """Read, hash, parse and count one file."""
    content = bytearray()
    with (FOLDER / path).open("rb") as file:
        while chunk := file.read(1_000_000):
            content += chunk
            beat()
    page = Page(path, len(content), hashlib.sha256(content).hexdigest())
    return count_code(page, bytes(content)) if path.endswith(".py") else page


def count_code(page: Page, source: bytes) -> Page:
    functions = classes = 0
    try:
        todo: list[ast.AST] = [ast.parse(source)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return page  # Python's own tests have sources that are wrong on purpose
    while todo:
        node = todo.pop()
        functions += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        classes += isinstance(node, ast.ClassDef)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):  # definitions stand nowhere else
            inner = getattr(node, block, None)
            if isinstance(inner, list):
                todo += inner
    return Page(page.path, page.size, page.sha256, source.count(b"\n"), functions, classes)


# ── the child: one life of the queue ─────────────────────────────────────────────────────────────


async def live() -> None:
    """Begin the crawl, or go on with it, to its end."""
    async with anyio.create_task_group() as beside, queue:
        beside.start_soon(tell_events)  # until the queue is closed
        stats = await queue.stats()
        tell("found", stats.submitted, stats.submitted - stats.live)
        if not stats.submitted:
            tell_accepted([await crawl.submit("")])
        await queue.join()


async def tell_events() -> None:
    """Follow the queue's events, from the first of this life: what one is told is on the disk."""
    async with queue.watch(after=0) as events:
        async for event in events:
            if not isinstance(event, JobEvent):
                continue  # those of former lives are not remembered
            if event.is_end:
                tell("ended", event.job_id)
            if event.name in ("stalled", "failed"):
                record = await queue.get(event.job_id)
                tell("trouble", f"{event.name}: {record.task} {record.args[0][:200]}")


def tell_accepted(handles: Iterable[JobHandle]) -> None:
    for handle in handles:
        tell("accepted", handle.id)


def tell(*news: object) -> None:
    """Tell the parent, at once: a line so short gets into a pipe as a whole, or not at all."""
    os.write(sys.stdout.fileno(), json.dumps(news).encode() + b"\n")


# ── the parent: it kills, and keeps count ────────────────────────────────────────────────────────

KILLS = 3
SEED = int(os.environ.get("SEED") or random.randrange(10_000))


def main() -> int:
    """Have the folder crawled, kill the crawl again and again, have it go on; return the exit code."""
    console = Console(highlight=False, markup=False)
    files, job_count = look_around()
    if len(files) <= KILLS:
        console.print(f"{FOLDER} has {len(files)} files: too few to show anything.")
        return 1
    chance = random.Random(SEED)
    delayed, stuck = chance.sample(files, 2)
    # A crawl must be alive to be killed; the stuck file alone keeps the smallest one alive for three seconds.
    moments = sorted(chance.sample(range(1, max(KILLS + 1, job_count * 9 // 10)), KILLS))
    console.print(f"Crawling {FOLDER}: {len(files):,} files; SEED={SEED}")
    console.print(f"  to be delayed: read {delayed}\n  to get stuck: read {stuck}")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ThreadPoolExecutor(1) as beside,
        tempfile.TemporaryDirectory() as home,
        Progress(*columns, console=console) as bar,
    ):
        plain = beside.submit(plain_walk, files)
        began_at = time.monotonic()
        witness = Witness(bar, job_count)
        command = [sys.executable, __file__, str(FOLDER), home, delayed, stuck]
        for moment in moments:
            witness.life(command, kill_at=moment, linger=chance.uniform(0, 0.02))
        code = witness.life(command)
        seconds = time.monotonic() - began_at
        bar.stop()
        if code != 0 or witness.kills != KILLS:
            console.print("That was not as it should have been: see above.", style="red")
            return 1
        console.print("Comparing with the directory, and with a plain walk …")
        jobs = export(home)
        expected = plain.result()
    show_figures(console, jobs, witness, seconds)
    return judge(console, jobs, job_count, witness, expected)


class Witness:
    """Lets a child live and die, and remembers what it has told."""

    def __init__(self, bar: Progress, job_count: int) -> None:
        self.kills = 0
        self.found: list[tuple[int, int]] = []  # by each life: jobs, and how many of them had ended
        self.accepted: set[str] = set()
        self.ended: set[str] = set()
        self.claims: set[tuple[str, int]] = set()
        self.claimed_twice: list[str] = []
        self.ran_after_end: list[str] = []
        self.done = 0
        self._has_begun = False
        self._bar = bar
        self._task = bar.add_task("", total=job_count)

    def life(self, command: list[str], kill_at: float = float("inf"), linger: float = 0.0) -> int:
        """Let a child live, and kill it a moment after so many jobs were done; return its exit code."""
        self._has_begun = is_killed = False
        self._bar.update(self._task, description=f"life {len(self.found) + 1}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as child:  # noqa: S603 - this very file
            for line in child.stdout:  # to the last one: what it told before it was killed counts
                self.hear(*json.loads(line))
                if self.done >= kill_at and self._has_begun and not is_killed:
                    time.sleep(linger)
                    child.kill()
                    is_killed = True
        if child.returncode == -signal.SIGKILL:
            self.kills += 1
            self.say(f"Killed with SIGKILL: {len(self.accepted):,} jobs accepted, {len(self.ended):,} ends heard.")
        return child.returncode

    def hear(self, what: str, *news) -> None:
        """Keep the news, and see at once if a job runs that should not."""
        match what, *news:
            case "found", jobs, done:
                self.found.append((jobs, done))
                self.done = done
                if self.kills:
                    self.say(f"It is back, and has found {jobs:,} jobs again, {done:,} of them done.")
            case "accepted", job_id:
                self.accepted.add(job_id)
            case "begins", job_id, claim:
                if job_id in self.ended:
                    self.ran_after_end.append(job_id)
                if (job_id, claim) in self.claims:
                    self.claimed_twice.append(job_id)
                self.claims.add((job_id, claim))
                self._has_begun = True
            case "ended", job_id:
                self.ended.add(job_id)
                self.done += 1
                self._bar.update(self._task, completed=self.done)
            case "trouble", trouble:
                self.say(f"  {trouble}")

    def say(self, text: str) -> None:
        self._bar.console.print(text)


def look_around() -> tuple[list[str], int]:
    """Return all files of the folder, and how many jobs the crawl will take."""
    files: list[str] = []
    job_count = 0
    for folder, folders, names in os.walk(FOLDER):
        here = Path(folder)
        folders[:] = [name for name in folders if is_wanted(name) and not (here / name).is_symlink()]
        wanted = [here / name for name in names if is_wanted(name) and is_plain(here / name)]
        files += [path.relative_to(FOLDER).as_posix() for path in wanted]
        job_count += len(wanted) + max(1, -(-len(folders + wanted) // BATCH))
    return sorted(files), job_count


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def plain_walk(files: Iterable[str]) -> list[Page]:
    """Do the same work without a queue: one file after the other."""
    return [read_page(path) for path in files]


# ── the proof ────────────────────────────────────────────────────────────────────────────────────


def export(home: str) -> dict[str, dict]:
    """Return all jobs that are in the directory, by their ids, as another process finds them."""
    command = [sys.executable, "-m", "actorq", "export", home]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()  # noqa: S603
    jobs = [json.loads(line) for line in lines]
    return {job["id"]: job for job in jobs}


def show_figures(console: Console, jobs: dict[str, dict], witness: Witness, seconds: float) -> None:
    """Show what there was to do."""
    runs = [run for job in jobs.values() for run in job["attempts"]]
    pages = pages_of(jobs)
    table = Table("the work", "", title=f"One crawl, {len(witness.found)} lives, {seconds:.1f} s")
    table.columns[1].justify = "right"
    for name in ("files", "size", "lines", "functions", "classes"):
        total = len(pages) if name == "files" else sum(asdict(page)[name] for page in pages)
        table.add_row("bytes" if name == "size" else name, f"{total:,}")
    table.add_section()
    table.add_row("runs", f"{len(witness.claims):,}")
    table.add_row("  failed, and retried", f"{sum(run['outcome'] == 'retry_scheduled' for run in runs):,}")
    table.add_row(
        "    for their silence", f"{sum(run['error']['reason'] == 'heartbeat' for run in runs if run['error']):,}"
    )
    table.add_row("  interrupted by a kill", f"{sum(run['outcome'] == 'interrupted' for run in runs):,}")
    for name, since, until in (("wait", "due_at", "started_at"), ("run", "started_at", "ended_at")):
        times = [seconds_between(job[since], job[until]) for job in jobs.values() if job[until]]
        p50, p99 = percentiles(times)
        table.add_row(f"{name} time, p50 and p99", f"{p50 * 1000:,.1f} ms  {p99 * 1000:,.1f} ms")
    table.add_row("jobs a second", f"{len(jobs) / seconds:,.0f}")
    console.print(table)


def judge(console: Console, jobs: dict[str, dict], job_count: int, witness: Witness, expected: Iterable[Page]) -> int:
    """Compare what was told with what is there; return the exit code."""
    succeeded = {job["id"] for job in jobs.values() if job["state"] == "succeeded"}
    lost = (witness.accepted | witness.ended) - succeeded
    table = Table("the promises", "", title="What was told, and what is there")
    table.columns[1].justify = "right"
    table.add_row("jobs accepted", f"{len(witness.accepted):,}")
    table.add_row("ends heard", f"{len(witness.ended):,}")
    table.add_row("kills", f"{witness.kills}")
    for life, (found, done) in enumerate(witness.found[1:], 2):
        table.add_row(f"  jobs found again by life {life}", f"{found:,}")
        table.add_row("    of them done", f"{done:,}")
    table.add_row("jobs in the directory", f"{len(jobs):,}", end_section=True)
    table.add_row("lost", f"{len(lost):,}")
    table.add_row("run again after the end was heard", f"{len(witness.ran_after_end):,}")
    table.add_row("run twice under one claim", f"{len(witness.claimed_twice):,}")
    console.print(table)

    digests = {"crawl": digest(pages_of(jobs)), "plain": digest(expected)}
    for name, value in digests.items():
        console.print(f"{name}  {value}")
    checks = {
        "No job that was accepted is lost": not lost,
        "no job ran after its end was heard": not witness.ran_after_end,
        "no claim was given twice": not witness.claimed_twice,
        "every file and folder is one job that succeeded": len(jobs) == len(succeeded) == job_count,
        "the digests are equal": digests["crawl"] == digests["plain"],
    }
    for check, holds in checks.items():
        console.print(f"{'✓' if holds else '✗ NOT TRUE:'} {check}", style="green" if holds else "red")
    return 0 if all(checks.values()) else 1


def pages_of(jobs: dict[str, dict]) -> list[Page]:
    return [Page(**job["result"]) for job in jobs.values() if job["task"] == "read" and job["result"]]


def digest(pages: Iterable[Page]) -> str:
    rows = sorted(astuple(page) for page in pages)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def seconds_between(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def percentiles(times: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles([*times, *times], n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    warnings.simplefilter("ignore", SyntaxWarning)  # of the sources that are parsed
    if HOME:
        anyio.run(live)
    else:
        sys.exit(main())
