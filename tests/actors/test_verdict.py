"""What becomes of a job, by what its function raised."""

from typing import Any

from actorq.actors.verdict import Judge
from actorq.core import commands as c
from actorq.core.job import Job, JobOptions, JobState
from actorq.errors import UnsendableTask
from actorq.function import Function


def verdict(error: BaseException) -> Any:
    job = Job("a", 1, "work", b"[[], {}]", JobOptions(), JobState.RUNNING, 0.0, 0.0)
    return Judge(job, 1, Function(print, "work"), is_of_this_life=True, now=lambda: 0.0).of_error(error)


def test_what_a_process_would_not_find_is_not_tried_again() -> None:
    report = verdict(UnsendableTask("work", "is local"))
    assert isinstance(report, c.Fail)
    assert not report.retryable


def test_what_a_function_raises_is_tried_again() -> None:
    assert verdict(ValueError("no")).retryable
