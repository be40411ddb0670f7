"""Something goes wrong at each single system call of a scripted life, one at a time: and nobody is told a lie.

A life is recorded first, to see which calls touch the directory. Then it is lived again for each of them, on a copy
of the same directory, and strace lets that one call fail, or kills the process before it. Two more lives follow, in
peace: what they find must agree with what was promised, and they must be able to work.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from .life import Life
from .outside import Outside

CALLS: Final = ("openat", "write", "pwrite64", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "flock", "mkdir")

FAULTS: Final = {"killed": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}

BEFORE: Final = "submit 11\nend\nlater\nmany 5 900\nsubmit 10\nend\nsubmit 7\n"
"""What the life before has done; it does not close."""

SCRIPT: Final = (
    "submit 11\nend\nsubmit 10\nend\nrerun\nend\nlater\nmany 5 2000\nend\nsnapshot\ncancel\n"
    "many 12 900\nend\nsnapshot\nsubmit 3\nend\nroom\nsubmit 8\nend\n"
)

AFTER: Final = "submit 11\nend\nlater\nsnapshot\nmany 3 2000\nend\ncancel\n"

pytestmark = pytest.mark.crash


@frozen
class Outcome:
    """What became of one fault."""

    outside: Outside
    has_happened: bool


@frozen
class Recording:
    """A life in which nothing went wrong."""

    template: Path
    """The directory, as it was before."""
    outside: Outside
    """What was known before."""
    paths: tuple[str, ...]
    """All that was touched, relative to the directory."""
    counts: dict[str, int]
    """How often a thread has made each call, at the most."""


def live(
    path: Path, outside: Outside, script: str, *, prefix: tuple[str, ...] = (), dies: bool = False, bug: str = ""
) -> None:
    life = Life("steps.py", prefix, stdin=subprocess.PIPE, path=str(path), in_thread=True, bug=bug)
    life.is_killed = dies
    try:
        life.obey(script)
    except BrokenPipeError:
        assert dies or prefix
    life.wait()
    life.confess(outside)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("calls")
    template, path, trace = folder / "template", folder / "q", folder / "trace"
    outside = Outside()
    die_after(template, outside, BEFORE)
    shutil.copytree(template, path)
    strace = ("strace", "-f", "--seccomp-bpf", "-y", "-o", str(trace), "-e", f"trace={','.join(CALLS)}")
    live(path, deepcopy(outside), SCRIPT, prefix=strace)
    counts, paths = read_trace(trace, path)
    return Recording(template, outside, paths, counts)


def die_after(path: Path, outside: Outside, script: str) -> None:
    """Let a life do all that, and then be killed."""
    life = Life("steps.py", stdin=subprocess.PIPE, path=str(path))
    assert life.process.stdin is not None
    life.process.stdin.write(f"{script}state\n".encode())
    life.process.stdin.flush()
    assert life.listen(60.0, until=b"trouble")
    life.kill()
    life.confess(outside)


def read_trace(trace: Path, path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return how often each call is made by one thread at the most, and which paths are touched."""
    counts = Counter[tuple[str, str]]()
    paths = {""}
    for line in trace.read_text().splitlines():
        touched = re.findall(rf"{re.escape(str(path))}/?([^\">,]*)", line)
        call = re.match(r"(\d+) +(\w+)\(", line)
        if touched and call:
            counts[call[1], call[2]] += 1
            paths.update(touched)
    most = {name: max((n for (_, other), n in counts.items() if other == name), default=0) for name in CALLS}
    return most, tuple(sorted(paths))


def fail_at(recording: Recording, folder: Path, call: str, fault: str, k: int, bug: str = "") -> Outcome:
    """Live again what was recorded, with a fault at the k-th call of a thread; and then two lives in peace.

    Not with ``--seccomp-bpf``: together with ``-P`` strace 6.1 then injects nothing, and says nothing.
    """
    path, trace = folder / f"{call}-{fault}-{k}", folder / f"{call}-{fault}-{k}.trace"
    shutil.copytree(recording.template, path)
    outside = deepcopy(recording.outside)
    where = [argument for name in recording.paths for argument in ("-P", str(path / name))]
    inject = f"inject={call}:{FAULTS[fault]}:when={k}"
    strace = ("strace", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", inject, *where)
    live(path, outside, SCRIPT, prefix=strace, dies=fault == "killed", bug=bug)
    has_happened = any(word in trace.read_text() for word in ("(INJECTED)", "killed by SIGKILL"))
    live(path, outside, AFTER, bug=bug)
    live(path, outside, AFTER, bug=bug)
    shutil.rmtree(path)
    return Outcome(outside, has_happened)


def fail_everywhere(recording: Recording, folder: Path, call: str, fault: str, bug: str = "") -> dict[int, Outcome]:
    numbers = range(1, recording.counts[call] + 1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        outcomes = threads.map(lambda k: fail_at(recording, folder, call, fault, k, bug), numbers)
        return dict(zip(numbers, outcomes, strict=True))


def lies_in(heard: dict[int, Outcome]) -> dict[int, list[str]]:
    return {k: outcome.outside.lies for k, outcome in heard.items() if outcome.outside.lies}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_fault_at_each_system_call_makes_no_liar(call: str, fault: str, recording: Recording, tmp_path: Path) -> None:
    heard = fail_everywhere(recording, tmp_path, call, fault)
    assert lies_in(heard) == {}
    assert all(outcome.outside.starts >= recording.outside.starts + 2 for outcome in heard.values())
    missed = [k for k, outcome in heard.items() if not outcome.has_happened]
    assert len(missed) <= 1 + len(heard) // 5, "batches are not cut alike each time, but nearly so"
    if (call, fault) == ("write", "ENOSPC"):
        assert not any("StoreFailed" in str(outcome.outside.troubles) for outcome in heard.values())


@pytest.mark.parametrize(
    ("bug", "call", "fault"),
    [("swallow failed rotation", "fdatasync", "EIO"), ("split transactions", "write", "killed")],
)
def test_planted_bug_is_seen(bug: str, call: str, fault: str, recording: Recording, tmp_path: Path) -> None:
    assert lies_in(fail_everywhere(recording, tmp_path, call, fault, bug)) != {}
