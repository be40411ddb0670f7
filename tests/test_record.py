"""A record: a job as users see it, with aware instants, plain JSON, and its attempts."""

from datetime import UTC, datetime

import pytest

from actorq.core.job import Attempt, Failure, Job, JobOptions, JobState, Reason
from actorq.core.retry import Retry
from actorq.record import instant, record_of

FAILURE = Failure(Reason.ERROR, "ValueError", "no", "Traceback …", 1, 105.0)


def job(**changes: object) -> Job:
    options = JobOptions(priority=3, tags={"a": "b"}, retry=Retry(max_attempts=7))
    made = Job("j1", 1, "send", b'[[1,"a"],{"k":null}]', options, JobState.QUEUED, 100.0, 101.5)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_instants_are_aware_datetimes_in_utc():
    assert instant(0.5) == datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    record = record_of(job())
    assert (record.submitted_at, record.due_at) == (instant(100), instant(101.5))
    assert record.started_at is record.ended_at is record.first_started_at is None


def test_arguments_are_plain_json():
    record = record_of(job())
    assert (record.args, record.kwargs) == ((1, "a"), {"k": None})


def test_an_ephemeral_job_has_no_arguments_to_show():
    record = record_of(job(payload=b"", ephemeral=True))
    assert (record.args, record.kwargs, record.ephemeral) == ((), {}, True)


def test_options_that_are_often_asked_for_are_at_hand():
    record = record_of(job())
    assert (record.priority, record.tags, record.max_attempts) == (3, {"a": "b"}, 7)


def test_a_job_that_has_not_run_has_no_attempts():
    assert record_of(job()).attempts == ()


def test_the_run_that_is_on_is_the_last_attempt_and_has_no_end():
    record = record_of(job(state=JobState.RUNNING, attempt=1, claim=1, worker=4, started_at=102.0))
    (run,) = record.attempts
    assert (run.number, run.claim, run.worker, run.ended_at, run.outcome, run.error) == (1, 1, 4, None, None, None)


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_the_run_that_ended_the_job_is_the_last_attempt(state: JobState):
    failure = None if state is JobState.SUCCEEDED else FAILURE
    record = record_of(job(state=state, attempt=1, claim=1, started_at=102.0, ended_at=105.0, failure=failure))
    (run,) = record.attempts
    assert (run.outcome, run.ended_at, run.error) == (state.value, instant(105), record.error)


def test_attempts_and_what_went_wrong_in_them_are_told_in_their_order():
    before = Attempt(1, 1, 2, 102.0, 105.0, "retry_scheduled", FAILURE)
    record = record_of(job(state=JobState.RUNNING, attempt=2, claim=2, started_at=110.0, attempts=(before,)))
    assert [(run.number, run.outcome) for run in record.attempts] == [(1, "retry_scheduled"), (2, None)]
    assert [error.message for error in record.error_history] == ["no"]


def test_log_lines_have_their_data():
    (line,) = record_of(job(log=((103.0, "info", "hello", b'{"n":1}'),))).log
    assert (line.at, line.level, line.message, line.data) == (instant(103), "info", "hello", {"n": 1})


@pytest.mark.parametrize(("stored", "result"), [(None, None), (b"null", None), (b"[1]", [1])], ids=str)
def test_a_result_is_plain_json(stored: bytes | None, result: object):
    assert record_of(job(result=stored)).result == result
