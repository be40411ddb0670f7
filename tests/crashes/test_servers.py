"""Real servers are sent SIGTERM while jobs of all kinds run: they end in time, and at the next start all goes on."""

import os
import sys
import time
from pathlib import Path
from random import Random
from statistics import median

import pytest

from actorq.config import CLOSE_SLACK_S, HURRY_S

from .visitor import Run, Visit, is_alive, read_diary, wait_until

SERVERS = ["uvicorn", "hypercorn", "hypercorn on trio", "aiohttp"]

ROUNDS = max(int(os.environ.get("ACTORQ_CRASH_ROUNDS", "0")) // 40, 2)
"""For each server: a round takes as long as many kills."""

DRAIN_S = 0.5
GRACE_S = 0.5
BOUND_S = DRAIN_S + GRACE_S + CLOSE_SLACK_S + 1.0
"""The last second is the server's own, and the interpreter's."""

on_each_server = pytest.mark.parametrize("server", SERVERS)


def live_until_signal(server: str, folder: Path, random: Random) -> Visit:
    """Let a server live for a moment, with jobs of all kinds, and return it as it is to be stopped."""
    visit = Visit(server, folder, drain_timeout=DRAIN_S, grace=GRACE_S)
    visit.submit_for(random.uniform(0.0, 1.5), random)
    return visit


def check_that_nothing_runs_on(visit: Visit) -> None:
    """Fail if a process of the life that has ended is still there, or has written in the diary since."""
    ended_at = time.monotonic()
    runs = read_diary(visit.diary)
    assert not [run for run in runs if is_alive(run.pid)]
    assert all((run.ended_at or run.began_at) < ended_at for run in runs)


def check_that_all_goes_on(before: Visit, server: str, folder: Path, *, interruptions: int = 0) -> None:
    """Start again: what was accepted is there, ends, has used no second attempt, and never ran twice at once."""
    after = Visit(server, folder, drain_timeout=DRAIN_S, grace=GRACE_S, is_calm=True)
    rest = after.ask("GET", "/rest")
    after.stop()
    assert after.complaints() == []
    assert before.accepted <= set(rest)
    assert {tuple(end[:2]) for end in rest.values()} <= {("succeeded", 1)}
    assert max((end[2] for end in rest.values()), default=0) <= interruptions
    assert overlaps(read_diary(before.diary)) == []


def overlaps(runs: list[Run]) -> list[tuple[Run, Run]]:
    """Return the runs of one job that began before its last run had ended, in a process that was still alive."""
    last: dict[str, Run] = {}
    found = []
    for run in runs:
        before = last.get(run.job)
        if before is not None and before.pid == run.pid and (before.ended_at is None or before.ended_at > run.began_at):
            found.append((before, run))
        last[run.job] = run
    return found


@on_each_server
def test_server_ends_within_its_bound_whatever_its_jobs_do_and_all_goes_on_at_the_next_start(
    server: str, tmp_path: Path
) -> None:
    random = Random(os.environ.get("ACTORQ_CRASH_SEED", server))
    took_s: list[float] = []
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        visit = live_until_signal(server, folder, random)
        took_s.append(visit.stop())
        check_that_nothing_runs_on(visit)
        assert visit.complaints() == []
        assert took_s[-1] < BOUND_S
        check_that_all_goes_on(visit, server, folder)
    over = [seconds - DRAIN_S - GRACE_S for seconds in took_s]
    print(
        f"\n{server}: {len(took_s)} times; beyond drain_timeout and grace {median(over):.2f} s (median), "
        f"{max(over):.2f} s (worst)",
        file=sys.stderr,
    )


@on_each_server
def test_second_signal_ends_within_a_second_and_all_goes_on_at_the_next_start(server: str, tmp_path: Path) -> None:
    visit = Visit(server, tmp_path, drain_timeout=1_000.0, grace=1_000.0)
    for task in ("obey", "ignore", "tidy_up", "block", "compute"):
        visit.submit(task, 1_000.0)
    took_s = visit.stop(again_at=b"log queue default closes when 5 running jobs")
    check_that_nothing_runs_on(visit)
    assert took_s < HURRY_S + 1.0
    check_that_all_goes_on(visit, server, tmp_path, interruptions=server == "aiohttp")


def test_reload_of_uvicorn_moves_the_queue_to_the_new_process(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    source = watched / "source.py"
    source.touch()
    visit = Visit("uvicorn --reload", tmp_path, drain_timeout=DRAIN_S, grace=GRACE_S, watched=str(watched))
    before = visit.ask("GET", "/pid")
    jobs = {visit.submit(task, 60.0) for task in ("obey", "compute")}
    wait_until(lambda: len(read_diary(visit.diary)) == 2)
    os.utime(source, (time.time() + 10, time.time() + 10))
    wait_until(lambda: len(read_diary(visit.diary)) == 4)
    after = visit.ask("GET", "/pid")
    runs = read_diary(visit.diary)
    assert {(run.job, run.claim) for run in runs} == {(job, claim) for job in jobs for claim in (1, 2)}
    assert [run.claim for run in runs if run.pid == before] == [1]
    assert [run.claim for run in runs if run.pid == after] == [2]
    assert not is_alive(before)
    visit.stop()
    check_that_nothing_runs_on(visit)
    assert visit.complaints() == []
