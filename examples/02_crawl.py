"""The main job: crawl a folder, be killed in the middle, and come to the right end all the same.

``make demo``, or ``python examples/02_crawl.py [FOLDER]``; the folder is Python's own standard library if none
is named. Each folder is a job. It submits a job for each file in it, large ones first, and one for each folder
below. A file is read, hashed and, if it is Python, parsed and counted, in a thread. For show, some files fail at
first and are retried, one is delayed, and one gets stuck until its missing heartbeat gives it away.

The work is done by a child process. The parent shows how it gets on, kills it with SIGKILL around the middle and
starts it again. The second child recovers from the last snapshot, at most some half a second old, and goes on.
Why nothing is missing at the end, and nothing is there twice:

* A snapshot is the queue as it stood at one moment. So a folder that has succeeded in it has all its
  children in it: they were accepted before the folder's job returned.
* What was submitted after the snapshot is lost with the process. But the folder that submitted it had not
  ended in that picture: its job runs again, and finds its children again. The root's id stands in a file; if even
  the root is lost, the crawl begins anew.
* Jobs run at least once, so a folder may run twice. Before it submits, it notes the ids of its children in
  its own log, which is part of the picture; ``submit_many`` takes all of them or none. If the first child that
  the note names is there, all are, and the folder has nothing left to do.
* A file may be read twice as well. That does no harm: its job has one result, the last one.

A folder's result is the ids of its children, so all results hang on the root like leaves on a tree. The parent
walks the same folder with a plain loop. Only if both come to the same digest, and every job that was
ever submitted is accounted for, is the exit code 0. Hidden files, links and caches are left out.
"""

import ast
import hashlib
import json
import os
import random
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
from functools import partial
from pathlib import Path
from zlib import crc32

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from actorq import JobContext, JobEvent, JobQueue, JobRecord, JobState, Retention, Retry

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_paths()["stdlib"]).resolve()
HOME, DELAYED, STUCK = sys.argv[2:] or (None, "", "")  # what the parent tells the child
BATCH = 200  # the children that one job submits; the rest of a large folder is a job of its own
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages"}

queue = JobQueue(
    HOME,
    workers=8,
    snapshot_interval=0.5,
    max_pending=1_000_000,
    retention=Retention(count=1_000_000),  # the results are wanted at the end
)


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


@queue.task(name="crawl", context=True, retry=Retry(max_attempts=5, delay=0.2))
async def crawl(job: JobContext, folder: str, skip: int = 0) -> list[str]:
    """Submit the files and folders in this folder; return the ids of their jobs."""
    me = await queue.get(job.job_id)
    noted = me.log[-1].data["children"] if me.log else []
    if noted and await queue.get(noted[0]):
        return noted  # a run before this one has submitted them

    entries = sorted(entries_of(FOLDER / folder), key=lambda entry: entry.name)[skip:]
    children = [request_for(f"{folder}{entry.name}", entry) for entry in entries[:BATCH]]
    if len(entries) > BATCH:
        children.append(crawl.build(folder, skip + BATCH))

    ids = [child.id for child in children]
    job.log("submits", children=ids)
    await crawl.submit_many(children)
    return ids


@queue.task(name="read", context=True, retry=Retry(max_attempts=5, delay=0.2), heartbeat_timeout=2, grace=5)
def read(job: JobContext, path: str) -> Page:
    """Read one file. A plain ``def``: it runs in a thread, and the event loop stays free."""
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
    """Begin the crawl or go on with it; tell the parent all along, and hand it all results at the end."""
    async with queue:
        tell("opened", jobs=(await queue.stats()).submitted)
        async with anyio.create_task_group() as telling:
            telling.start_soon(tell_counts)
            telling.start_soon(tell_troubles)
            root_id = await begin()
            await queue.join()
            telling.cancel_scope.cancel()
        tell("report", **await report(root_id))


async def begin() -> str:
    """Submit the root, unless a life before this one has done so and it is in the snapshot."""
    note = anyio.Path(HOME, "root-id")
    root_id = await note.read_text() if await note.exists() else ""
    if await queue.get(root_id):
        return root_id
    root = crawl.build("")
    await note.write_text(root.id)
    await crawl.submit_many([root])
    return root.id


async def tell_counts() -> None:
    while True:
        stats = await queue.stats()
        tell("counts", jobs=stats.submitted, done=stats.submitted - stats.live, saved=stats.snapshot_fact)
        await anyio.sleep(0.05)


async def tell_troubles() -> None:
    """Follow the queue's events, from the first that this life can know of."""
    async with queue.watch(after=0) as events:
        async for event in events:
            if isinstance(event, JobEvent) and event.name in ("stalled", "interrupted", "failed"):
                record = await queue.get(event.job_id)
                tell("trouble", event=event.name, what=f"{record.task} {record.args[0]}")


async def report(root_id: str) -> dict:
    """Collect all jobs, from the root to the leaves."""
    records: list[JobRecord] = []
    todo = [root_id]
    while todo:
        record = await queue.get(todo.pop())
        records.append(record)
        if record.task == "crawl":
            todo += record.result or []
    stats = await queue.stats()
    runs = [attempt for record in records for attempt in record.attempts]
    return {
        "pages": [record.result for record in records if record.task == "read" and record.result],
        "in_the_tree": len(records),
        "submitted": stats.submitted,
        "removed": stats.removed,
        "counts": stats.counts,
        "retries": sum(run.outcome == "retry_scheduled" for run in runs),
        "silent": sum(run.error is not None and run.error.reason == "heartbeat" for run in runs),
        "interruptions": sum(record.interruptions for record in records),
        "waits": [(record.started_at - record.due_at).total_seconds() for record in records],
        "runs": [(record.ended_at - record.started_at).total_seconds() for record in records],
    }


def tell(kind: str, **news: object) -> None:
    print(json.dumps({"kind": kind, **news}), flush=True)


# ── the parent ───────────────────────────────────────────────────────────────────────────────────


def main() -> int:
    """Have the folder crawled, kill the crawl, have it go on; return the exit code."""
    console = Console()
    files, job_count = look_around()
    if len(files) < 2:
        console.print(f"{FOLDER} has {len(files)} files: too few to show anything.", markup=False)
        return 1
    delayed, stuck = random.sample(files, 2)
    say = partial(console.print, highlight=False, markup=False)
    say(f"Crawling {FOLDER}: {len(files):,} files")
    say(f"  to be delayed: read {delayed}\n  to get stuck: read {stuck}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ThreadPoolExecutor(1) as beside,
        tempfile.TemporaryDirectory() as home,
        Progress(*columns, console=console) as bar,
    ):
        plain = beside.submit(plain_walk, files)
        show = Show(bar, bar.add_task("first life", total=job_count))
        began_at = time.monotonic()
        command = [sys.executable, __file__, str(FOLDER), home, delayed, stuck]
        show.life(command, kill_at=job_count * random.uniform(0.4, 0.6))
        bar.update(show.task, description="second life")
        found = show.life(command)
        seconds = time.monotonic() - began_at
        if found is None or not show.was_killed:
            console.print("[red]That was not two lives: see above.")
            return 1
        bar.update(show.task, completed=job_count)
        bar.stop()
        console.print("Comparing with a plain walk …")
        expected = plain.result()
    return judge(console, found, expected, seconds)


class Show:
    """Runs a life of the crawl, and shows what it tells."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self.bar = bar
        self.task = task
        self.jobs = 0
        self.was_killed = False

    def life(self, command: list[str], kill_at: float = float("inf")) -> dict | None:
        """Return the report, or None if the process was killed, or died, before it had made one."""
        say = partial(self.bar.console.print, highlight=False, markup=False)
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as child:  # noqa: S603 - this very file
            for line in child.stdout:
                match json.loads(line):
                    case {"kind": "opened", "jobs": jobs} if self.jobs:
                        say(f"It is back, and knows {jobs:,} jobs; {self.jobs - jobs:,} or more are to be found again.")
                    case {"kind": "counts", "jobs": jobs, "done": done, "saved": saved}:
                        self.jobs = jobs
                        self.bar.update(self.task, completed=done)
                        if done >= kill_at and saved:
                            child.kill()
                            self.was_killed = True
                            say(f"Killed with SIGKILL: {self.jobs:,} jobs submitted, {done:,} of them done.")
                            return None
                    case {"kind": "trouble", "event": event, "what": what}:
                        say(f"  {event}: {what}")
                    case {"kind": "report", **found}:
                        return found
        return None


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
    return files, job_count


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def plain_walk(files: Iterable[str]) -> list[Page]:
    """Do the same work without a queue: one file after the other."""
    return [read_page(path) for path in files]


def digest(pages: Iterable[Page]) -> str:
    rows = sorted(astuple(page) for page in pages)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def judge(console: Console, found: dict, expected: list[Page], seconds: float) -> int:
    """Show the figures and the proof; return the exit code."""
    pages = [Page(**page) for page in found["pages"]]
    accounted = sum(found["counts"].values()) + found["removed"]
    balances = found["submitted"] == accounted == found["in_the_tree"] == found["counts"][JobState.SUCCEEDED]
    is_proven = digest(pages) == digest(expected)

    figures = Table("the crawl", "", title="One crawl, two lives")
    figures.columns[1].justify = "right"
    figures.add_row("jobs submitted", f"{found['submitted']:,}")
    for state, count in {**found["counts"], "removed": found["removed"]}.items():
        figures.add_row(f"  {state}", f"{count:,}")
    figures.add_row("  together", f"{accounted:,}", end_section=True)
    for name in ("retries", "silent", "interruptions"):
        figures.add_row({"silent": "  of them for silence"}.get(name, name), f"{found[name]:,}")
    for name in ("waits", "runs"):
        p50, p99 = percentiles(found[name])
        figures.add_row(f"{name.removesuffix('s')} time, p50 and p99", f"{p50 * 1000:,.1f} ms  {p99 * 1000:,.1f} ms")
    figures.add_row("jobs a second", f"{found['submitted'] / seconds:,.0f}", end_section=True)
    for name in ("files", "size", "lines", "functions", "classes"):
        total = len(pages) if name == "files" else sum(asdict(page)[name] for page in pages)
        figures.add_row("bytes" if name == "size" else name, f"{total:,}")
    console.print(figures)

    console.print(f"crawl  {digest(pages)}\nplain  {digest(expected)}", highlight=False)
    console.print(
        f"{'[green]The digests are equal' if is_proven else '[red]THE DIGESTS DIFFER'}, "
        f"{'[green]and the counts balance.' if balances else '[red]AND THE COUNTS DO NOT BALANCE.'} {seconds:.1f} s."
    )
    return 0 if is_proven and balances else 1


def percentiles(times: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles([*times, *times], n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    warnings.simplefilter("ignore", SyntaxWarning)  # of the sources that are parsed
    if HOME:
        anyio.run(live)
    else:
        sys.exit(main())
