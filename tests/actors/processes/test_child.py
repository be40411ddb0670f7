"""What happens in a worker process: the same whatever loop its queue is on, so it is tried with one."""

import os
import signal
from pathlib import Path
from typing import Any

import process_jobs as jobs
import pytest

from actorq.actors.processes import Reference
from actorq.core import commands as c
from actorq.core.job import Reason

from .conftest import Pool, Trial

pytestmark = [pytest.mark.real_time, pytest.mark.asyncio_only]


async def test_static_method_and_builtin_function_run(pool: Pool) -> None:
    assert await pool.call(jobs.Box.add, 1, 2) == 3
    assert await pool.call(os.path.basename, "a/b") == "b"


async def test_arguments_are_built_from_the_annotations(pool: Pool) -> None:
    assert await pool.call(jobs.next_year, "2026-01-02") == "2027-01-02"


async def test_arguments_and_results_may_be_as_large_as_they_may_be_stored(pool: Pool) -> None:
    text = '"\\' * 60_000  # each character is escaped twice on its way
    assert await pool.call(jobs.repeat, text, 1) == text


async def test_context_is_that_of_the_job(pool: Pool) -> None:
    told = await pool.call(jobs.describe, 7, takes_context=True, tags={"a": "b"})
    assert told.pop("id").startswith("job ")
    assert told == {"attempt": 1, "of": 3, "tags": {"a": "b"}, "n": 7}


async def test_what_the_function_says_is_heard_in_its_order(pool: Pool) -> None:
    trial = Trial(jobs.tell, takes_context=True)
    report = await pool.run(trial)
    begin, beat, progress, extend, log = trial.heard
    assert isinstance(begin, c.Begin)
    assert isinstance(beat, c.Beat)
    assert isinstance(progress, c.ShowProgress)
    assert (progress.value, progress.current, progress.message) == (0.5, 1e30, "half")
    assert isinstance(extend, c.Extend)
    assert extend.seconds == 7
    assert isinstance(log, c.Log)
    assert (log.level, log.message, log.data) == ("warning", "a line", b'{"n":1}')
    assert report == c.Finish(log.job_id, log.claim, b'"said"')


async def test_what_is_logged_as_usual_becomes_lines_of_the_job(pool: Pool) -> None:
    trial = Trial(jobs.log_as_usual)
    await pool.run(trial)
    assert trial.lines == ["as usual"]


# -- verdicts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [jobs.fail, jobs.async_fail])
@pytest.mark.parametrize("name", ["ValueError", "SystemExit", "KeyboardInterrupt"])
async def test_what_the_function_raises_fails_it(pool: Pool, fn: Any, name: str) -> None:
    report = await pool.call(fn, name)
    assert isinstance(report, c.Fail)
    assert (report.failure.reason, report.failure.type, report.retryable) == (Reason.ERROR, name, True)
    assert f"in {fn.__name__}\n" in report.failure.traceback


async def test_verdicts_mean_what_they_mean_on_the_loop(pool: Pool) -> None:
    snooze = await pool.call(jobs.fail, "Snooze")
    assert isinstance(snooze, c.Snooze)
    assert snooze.delay == 5
    later = await pool.call(jobs.fail, "RetryAfter")
    assert isinstance(later, c.Fail)
    assert later.delay == 7
    assert isinstance(await pool.call(jobs.fail, "CancelJob"), c.Quit)
    never = await pool.call(jobs.fail, "Unrecoverable")
    assert isinstance(never, c.Fail)
    assert not never.retryable


async def test_message_that_is_no_text_is_told_all_the_same(pool: Pool) -> None:
    report = await pool.call(jobs.fail, "half")
    assert report.failure.message == r"half a character: \udcff"


async def test_arguments_that_do_not_fit_park_an_old_job_and_fail_a_new_one(pool: Pool) -> None:
    parked = await pool.call(jobs.add, payload=b'[[1,"two"],{}]', is_of_this_life=False)
    assert isinstance(parked, c.Park)
    failed = await pool.call(jobs.add, payload=b'[[1,"two"],{}]')
    assert isinstance(failed, c.Fail)
    assert failed.failure.reason is Reason.BAD_PAYLOAD


async def test_result_that_cannot_be_stored_fails_the_job(pool: Pool) -> None:
    report = await pool.call(jobs.unstorable)
    assert report.failure.reason is Reason.BAD_RESULT


async def test_function_that_is_not_there_any_more_fails_the_job(pool: Pool) -> None:
    report = await pool.call(jobs.add, 1, 2, reference=Reference("process_jobs", "gone"))
    assert isinstance(report, c.Fail)
    assert report.failure.type == "AttributeError"


async def test_module_that_cannot_be_imported_any_more_fails_the_job(pool: Pool) -> None:
    report = await pool.call(jobs.add, 1, 2, reference=Reference("no_such_module", "add"))
    assert isinstance(report, c.Fail)
    assert report.failure.type == "ModuleNotFoundError"
    assert "no_such_module" in report.failure.traceback


# -- manners -------------------------------------------------------------------------------------------


async def test_signals_that_are_meant_for_the_program_do_not_end_a_job(pool: Pool) -> None:
    assert await pool.call(jobs.terminate_itself) == "goes on"


async def test_what_a_job_forks_can_be_terminated(pool: Pool) -> None:
    assert await pool.call(jobs.fork_and_terminate) == -signal.SIGTERM


async def test_fork_that_returns_from_the_function_has_nothing_to_say(pool: Pool) -> None:
    assert await pool.call(jobs.fork_and_return) == "of the process"
    assert await pool.call(jobs.add, 1, 2) == 3


async def test_process_that_has_lost_its_wire_ends_with_its_job(pool: Pool) -> None:
    report = await pool.call(jobs.close_everything)
    assert report.failure.message == "its process exited with code 1"


async def test_next_job_begins_in_the_same_folder(pool: Pool, tmp_path: Path) -> None:
    before = await pool.call(jobs.folder)
    await pool.call(jobs.go_to, str(tmp_path))
    assert await pool.call(jobs.folder) == before


async def test_what_a_job_prints_is_not_kept_back(pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    await pool.call(jobs.print_it, "no end of line")
    assert capfd.readouterr().out == "no end of line"
