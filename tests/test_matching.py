"""Whether a filter means a job."""

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq import HoldReason, JobRecord, JobState, Reason
from actorq.core.job import Failure, Job, JobOptions
from actorq.matching import Matcher, matches
from actorq.query import Filter
from actorq.record import record_of

from .questions import filters, is_meant, make_job

JOBS = [make_job(seq) for seq in range(1, 61)]
RECORDS = [record_of(job) for job in JOBS]


@settings(max_examples=10 * settings.default.max_examples)
@given(filters())
def test_a_filter_means_the_jobs_for_which_all_that_it_says_is_so(where: Filter):
    matcher = Matcher(where)
    assert [job.id for job in JOBS if matcher(job)] == [record.id for record in RECORDS if is_meant(where, record)]


OPTIONS = JobOptions(priority=5, tags={"user": "ada", "urgent": ""}, group="red")
JOB = evolve(
    Job("j7", 7, "mail", b"[[1],{}]", OPTIONS, JobState.SCHEDULED, 100.0, 110.0),
    key="k",
    hold_reason=HoldReason.RETRY,
    attempt=2,
    started_at=105.0,
    failure=Failure(Reason.ERROR, "app.NoRoute", "Host ist DRAUßEN", "File x.py, line 5"),
)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"state": "scheduled"},
        {"state": ["queued", "scheduled"]},
        {"hold_reason": "retry"},
        {"task": "mail", "group": "red", "key": "k", "ids": ["j7", "j8"]},
        {"min_priority": 5, "max_priority": 5},
        {"min_attempt": 2},
        {"submitted_after": 100, "submitted_before": 100.5},
        {"submitted_after": datetime.fromtimestamp(100, UTC)},
        {"due_after": 110},
        {"started_before": 105.5},
        {"error": "noroute"},
        {"error": "DRAUSSEN"},
        {"error": "draußen"},
        {"error": "LINE 5"},
        {"where": lambda record: record.args == (1,)},
        {"tags": {}},
        {"tags": {}, "tags_mode": "none"},
    ],
    ids=str,
)
def test_a_filter_means(said: dict[str, Any]):
    assert matches(JOB, Filter(**said))


@pytest.mark.parametrize(
    "said",
    [
        {"state": "queued"},
        {"state": []},
        {"hold_reason": "delay"},
        {"task": "mai"},
        {"group": "blue"},
        {"key": "kk"},
        {"ids": []},
        {"min_priority": 6},
        {"max_priority": 4},
        {"min_attempt": 3},
        {"max_attempt": 1},
        {"submitted_after": 100.5},
        {"submitted_before": 100},
        {"due_before": 110},
        {"started_after": 106},
        {"ended_after": 0},
        {"ended_before": 1e12},
        {"error": "noroute host"},
        {"where": lambda record: False},
        {"task": "mail", "group": "blue"},
        {"tags": {}, "tags_mode": "any"},
        {"tags": {}, "tags_mode": "exact"},
    ],
    ids=str,
)
def test_a_filter_does_not_mean(said: dict[str, Any]):
    assert not matches(JOB, Filter(**said))


@pytest.mark.parametrize(
    ("tags", "modes"),
    [
        (["user"], "all any"),
        (["user", "urgent"], "all any exact"),
        (["user", "city"], "any"),
        (["city"], "none"),
        ({"user": "ada"}, "all any"),
        ({"user": "bob"}, "none"),
        ({"user": ""}, "none"),
        ({"user": None}, "all any"),
        ({"urgent": ""}, "all any"),
        ({"user": "ada", "urgent": ""}, "all any exact"),
        ({"user": "ada", "urgent": None}, "all any exact"),
        ({"user": "bob", "urgent": ""}, "any"),
    ],
    ids=str,
)
def test_tags_are_compared_in_four_ways(tags: Any, modes: str):
    found = [mode for mode in ("all", "any", "exact", "none") if matches(JOB, Filter(tags=tags, tags_mode=mode))]
    assert found == modes.split()


def test_the_users_own_function_is_asked_last():
    asked: list[str] = []
    matcher = Matcher(Filter(task="mail", min_priority=0, where=lambda record: asked.append(record.id) is None))
    assert [job.id for job in JOBS if matcher(job)] == asked


@given(st.floats(1.6e9, 2e9))
def test_the_instant_that_a_record_shows_finds_that_job(at: float):
    shown = record_of(evolve(JOB, submitted_at=at)).submitted_at
    job = evolve(JOB, submitted_at=at)
    assert matches(job, Filter(submitted_after=shown))
    assert not matches(job, Filter(submitted_before=shown))
    assert matches(job, Filter(submitted_after=at))
    assert not matches(job, Filter(submitted_before=at))


class Odd(Exception):
    """An error of the user's."""


@pytest.mark.parametrize("kind", [Odd, StopIteration, KeyboardInterrupt])
def test_what_the_users_own_function_raises_comes_out_as_it_is(kind: type[BaseException]):
    def fail(record: JobRecord) -> bool:
        raise kind("no")

    with pytest.raises(kind, match="no"):
        matches(JOB, Filter(where=fail))


def test_an_error_of_the_users_own_function_says_of_which_job_it_was_asked():
    with pytest.raises(ZeroDivisionError) as caught:
        matches(JOB, Filter(where=lambda record: record.seq // 0 > 1))
    assert caught.value.__notes__ == ["raised by the where= of a Filter, asked of job j7"]
