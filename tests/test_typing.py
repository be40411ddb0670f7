"""What the type checkers see: right uses pass, and exactly the lines marked `# error` do not.

The files are checked by pyright and by mypy, both strict, as a user's would be. A marker that no checker
complains about fails as loudly as a complaint without a marker.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = [HERE / "typing" / "right.py", HERE / "typing" / "wrong.py"]

Complaints = dict[str, set[int]]


def pyright() -> Complaints:
    args = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run([*args, *map(str, PAGES)], capture_output=True, text=True, cwd=ROOT, check=False)
    report = json.loads(result.stdout)
    assert report["summary"]["filesAnalyzed"] == len(PAGES), result.stdout
    found: Complaints = {}
    for complaint in report["generalDiagnostics"]:
        found.setdefault(Path(complaint["file"]).name, set()).add(complaint["range"]["start"]["line"] + 1)
    return found


def mypy() -> Complaints:
    args = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "--config-file="]
    result = subprocess.run([*args, *map(str, PAGES)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    found: Complaints = {}
    for line in result.stdout.splitlines():
        path, number, kind, _ = line.split(":", 3)
        if kind.strip() == "error":
            found.setdefault(Path(path).name, set()).add(int(number))
    return found


def markers(page: Path) -> set[int]:
    return {n for n, line in enumerate(page.read_text().splitlines(), 1) if line.endswith("# error")}


@pytest.mark.parametrize("checker", [pyright, mypy])
def test_a_checker_complains_of_what_is_wrong_and_of_nothing_else(checker: Callable[[], Complaints]):
    found = checker()
    assert {page.name: found.get(page.name, set()) for page in PAGES} == {page.name: markers(page) for page in PAGES}


def test_there_is_something_to_complain_of():
    right, wrong = map(markers, PAGES)
    assert (len(right), len(wrong) > 20) == (0, True)
