"""Flare's view: twelve fields, times only where they have happened, progress from 0.0 to 1.0."""

from datetime import UTC, datetime
from typing import Any

import pytest

from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.views import Meaning, flare

from .life import Life, submitted, waiting

START = "2023-11-14T22:13:20.000Z"

# -- the document ----------------------------------------------------------------------------------


def test_a_status_has_the_twelve_fields_of_the_document():
    options: dict[str, Any] = {"group": "email", "tags": {"user": "ada"}}
    assert flare.status(submitted(options=options).do(c.ShowProgress("j1", 1, 0.25)).record) == {
        "JobId": "j1",
        "State": "processing",
        "JobType": "mail",
        "Queue": "email",
        "CreatedAt": START,
        "StartedAt": START,
        "CompletedAt": None,
        "AttemptNumber": 1,
        "MaxAttempts": 2,
        "Progress": 0.25,
        "ErrorMessage": None,
        "Tags": {"user": "ada"},
    }


def test_what_was_not_said_is_null_and_the_queue_is_the_default_one():
    status = flare.status(waiting().record)
    assert [status[field] for field in ("Progress", "ErrorMessage", "Tags")] == [None, None, None]
    assert (status["Queue"], status["AttemptNumber"]) == ("default", 1)


@pytest.mark.parametrize(
    ("life", "started", "completed"),
    [
        (waiting(), None, None),
        (submitted(delay=5.0), None, None),
        (submitted().fail(), None, None),
        (submitted(), START, None),
        (submitted().finish(), START, START),
        (submitted().fail(retryable=False), START, START),
        (submitted(options={"dead_letter": True}).fail(retryable=False), START, START),
        (submitted().do(c.Quit("j1", 1, "")), None, START),
        (waiting().do(c.Cancel("j1")), None, START),
    ],
    ids=["pending", "scheduled", "retried", "processing", "succeeded", "failed", "dead", "cancelled", "never run"],
)
def test_started_is_null_for_what_waits_and_for_what_was_cancelled(
    life: Life, started: str | None, completed: str | None
):
    status = flare.status(life.record)
    assert (status["StartedAt"], status["CompletedAt"]) == (started, completed)


def test_progress_is_whole_once_a_job_has_succeeded():
    assert flare.status(submitted().finish().record)["Progress"] == 1.0


def test_the_error_is_that_of_the_last_attempt_that_failed():
    life = submitted().fail("first")
    assert flare.status(life.record)["ErrorMessage"] == "first"
    life.rest(10.0)
    assert (flare.status(life.record)["ErrorMessage"], flare.status(life.record)["AttemptNumber"]) == ("first", 2)
    assert flare.status(life.fail("second").record)["ErrorMessage"] == "second"


def test_a_job_that_failed_without_a_run_says_why_and_a_cancelled_one_has_no_error():
    assert flare.status(waiting(options={"expires": 5.0}).rest(5.0).record)["ErrorMessage"]
    assert flare.status(waiting().do(c.Cancel("j1", "enough")).record)["ErrorMessage"] is None


# -- words read back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", JobState.QUEUED),
        ("processing", JobState.RUNNING),
        ("succeeded", JobState.SUCCEEDED),
        ("failed", JobState.FAILED),
        ("dead_letter", JobState.DEAD_LETTER),
        ("cancelled", JobState.CANCELLED),
    ],
)
def test_a_state_has_a_meaning(word: str, state: JobState):
    assert flare.parse_state(word) == Meaning(state)


def test_what_waits_for_a_time_waits_for_its_delay_or_for_its_next_attempt():
    assert flare.parse_state("scheduled") == Meaning(JobState.SCHEDULED, HoldReason.DELAY)
    assert flare.parse_state("pending", ahead=True) == Meaning(JobState.SCHEDULED, HoldReason.RETRY)


def test_what_waits_for_a_parent_has_no_meaning_here():
    with pytest.raises(InvalidOption, match="parent"):
        flare.parse_state("scheduled", has_parent=True)


@pytest.mark.parametrize("word", ["DeadLetter", "queued", ""])
def test_a_state_that_is_none_is_refused(word: str):
    with pytest.raises(InvalidOption):
        flare.parse_state(word)


# -- retry and options -------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", range(1, 13))
def test_the_waits_double_from_a_minute_and_chance_adds_up_to_three_seconds_up_to_six_hours(failures: int):
    base = 60.0 * 2 ** (failures - 1)
    found = [flare.retry(100).wait(f"j{i}", failures) for i in range(300)]
    least, most = min(base, 21_600.0), min(base + 3.0, 21_600.0)
    assert least <= min(found) <= min(least + 0.1, most)
    assert max(most - 0.1, least) <= max(found) <= most


def test_a_job_has_flares_defaults():
    assert flare.options({}) == {"retry": flare.retry(3), "timeout": 1800.0, "dead_letter": True, "tags": {}}
    assert flare.retry(3) == Retry(3, 60.0, cap=21_600.0, spread=3.0, jitter=0.0)


def test_a_job_is_converted():
    body = {"job_type": "mail", "payload": {}, "queue": " email ", "run_at": "2030-01-01T00:00:00Z", "max_attempts": 7}
    known = flare.options({**body, "timeout_seconds": 60, "idempotency_key": "k", "tags": {"user": "ada"}})
    assert known == {
        "retry": flare.retry(7),
        "timeout": 60.0,
        "dead_letter": True,
        "tags": {"user": "ada"},
        "group": "email",
        "run_at": datetime(2030, 1, 1, tzinfo=UTC),
        "key": "k",
        "on_conflict": "strict_body",
    }


def test_the_default_queue_is_no_group():
    assert "group" not in flare.options({"queue": "default"})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", 101),
        ("timeout_seconds", 0),
        ("timeout_seconds", 86_401),
        ("timeout_seconds", 1.5),
        ("queue", "q" * 101),
        ("queue", 5),
        ("job_type", "j" * 501),
        ("idempotency_key", "k" * 201),
        ("idempotency_key", ""),
        ("tags", ["user"]),
        ("tags", {"user": 5}),
        ("tags", "user"),
        ("run_at", "tomorrow"),
        ("run_at", "2030-01-01T00:00:00"),
        ("run_at", 5),
        ("parent_job_id", "job_1"),
        ("priority", 5),
    ],
)
def test_what_flare_refuses_or_is_not_here_is_refused(option: str, value: object):
    with pytest.raises(InvalidOption) as refused:
        flare.options({option: value})
    assert refused.value.option == option
