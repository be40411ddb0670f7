"""Limits of memory are kept for a process and all that it has started."""

import importlib.util
from typing import Any

import process_jobs as jobs
import psutil
import pytest

from actorq.actors.processes import check_memory_can_be_measured
from actorq.core import commands as c
from actorq.core.job import Reason
from actorq.errors import InvalidOption

from .conftest import Begin, Pool, Trial, begun, until

pytestmark = pytest.mark.real_time

SMALL_MB = 150
"""More than an idle process holds."""


@pytest.mark.parametrize(("fn", "others"), [(jobs.hold, ""), (jobs.let_a_child_hold, ", with 1 of its own")])
async def test_job_that_holds_more_than_it_may_is_killed(pool: Pool, fn: Any, others: str) -> None:
    report = await pool.call(fn, 300, memory_mb=SMALL_MB)
    assert isinstance(report, c.Crash)
    failure = report.failure
    assert (failure.reason, failure.type) == (Reason.KILLED, "MemoryLimitExceeded")
    assert failure.message.startswith("its process held ")
    assert failure.message.endswith(f" MiB{others}, and its limit is memory_mb={SMALL_MB}")
    held = int(failure.message.split()[3])
    assert SMALL_MB < held < 500


@pytest.mark.asyncio_only
async def test_child_that_holds_too_much_is_killed_in_a_session_of_its_own_too(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.let_a_child_of_another_session_hold, 300, memory_mb=SMALL_MB)
    outcome = begin(trial)
    said = await trial.said("begun")
    assert isinstance(await outcome, c.Crash)
    await until(lambda: not psutil.pid_exists(said["pid"]))


async def test_job_that_holds_less_goes_on(pool: Pool) -> None:
    assert await pool.call(jobs.add, 1, 2, memory_mb=SMALL_MB) == 3


async def test_limit_is_that_of_the_job_and_not_of_the_process(pool: Pool, begin: Begin) -> None:
    await pool.call(jobs.keep, 300, memory_mb=2000)
    trial = Trial(jobs.sleep)
    outcome = await begun(begin, trial)
    await until(lambda: not pool._guard._is_watching)
    trial.cancel(Reason.TIMEOUT)
    assert isinstance(await outcome, c.Fail)


async def test_nobody_measures_while_there_is_no_limit(pool: Pool) -> None:
    await pool.call(jobs.add, 1, 2)
    assert not pool._guard._is_watching


def test_limit_that_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_memory_can_be_measured()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidOption, match=r"psutil, which is not here: install actorq\[process\]"):
        check_memory_can_be_measured()
