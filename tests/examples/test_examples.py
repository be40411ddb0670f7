"""Every example runs to its end, as a reader would run it: by its file name, in an empty folder."""

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
]
TIMEOUT_S = 120


def test_the_list_of_examples_is_complete():
    assert sorted(path.name for path in FOLDER.glob("*.py")) == EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_runs(example: str, tmp_path: Path):
    subprocess.run([sys.executable, FOLDER / example], cwd=tmp_path, timeout=TIMEOUT_S, check=True)
