"""Every example runs to its end, as a reader would run it: by its file name, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = [
    "01_hello.py",
    "02_crawl.py",
    "03_web_server.py",
    "04_fastapi_lifespan.py",
    "05_trio.py",
    "06_priorities_and_delays.py",
    "07_retries_and_limits.py",
    "08_cancel.py",
    "09_testing_your_jobs.py",
    "10_cpu_bound.py",
    "11_threads.py",
    "12_memory_limit.py",
    "13_watchdog.py",
    "20_pausing.py",
    "21_keys.py",
    "22_tags_and_queries.py",
    "23_groups.py",
    "24_events_and_progress.py",
    "25_dead_letters.py",
    "30_coming_from_ironworker.py",
    "31_coming_from_bullmq.py",
    "32_coming_from_rethinkdb_job_queue.py",
    "33_coming_from_dataqueue.py",
    "34_coming_from_flare.py",
]
TIMEOUT_S = 120

LYING_JOURNAL = """
import time
from actorq.actors.writer import News, Writer

def write(self, write=Writer._write):
    n = self._left[-1].facts[-1].n
    news = News(n, n, self._size)
    self._call_loop(lambda: self._take(news, is_last=False))
    time.sleep(0.2)
    write(self)

Writer._write = write
"""
"""Acknowledges before it writes. Python runs it at the start of a process that finds it as sitecustomize.py."""


def test_the_list_of_examples_is_complete():
    assert sorted(path.name for path in FOLDER.glob("*.py")) == EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_runs(example: str, tmp_path: Path):
    subprocess.run([sys.executable, FOLDER / example], cwd=tmp_path, timeout=TIMEOUT_S, check=True)


def test_the_crawl_fails_if_a_journal_acknowledges_before_it_writes(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for n in range(20):
        (folder / f"{n}.txt").write_text("text")
    (tmp_path / "sitecustomize.py").write_text(LYING_JOURNAL)
    crawl = subprocess.run(
        [sys.executable, FOLDER / "02_crawl.py", folder],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "✗ NOT TRUE: no job ran after its end was heard" in crawl.stdout
    assert crawl.returncode == 1
