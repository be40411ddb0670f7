"""What may be asked of a job, and what it knows of its own limits."""

import math
from datetime import timedelta
from typing import Any

import pytest

from actorq.config import (
    INTERRUPTIONS_LIMIT,
    LONGEST_S,
    MEMORY_LIMIT_MB,
    NAME_LIMIT,
    PRIORITY_LIMIT,
    TAGS_LIMIT,
)
from actorq.core.job import HoldReason, Job, JobOptions, JobState, Priority, Reason
from actorq.errors import InvalidOption

LIMITS = ("timeout", "heartbeat_timeout", "expires", "deadline")


def job(first_started_at: float | None = None, **options: Any) -> Job:
    made = Job("j", 1, "mail", b"", JobOptions(**options), JobState.QUEUED, 100.0, 100.0)
    made.limits_from = 100.0
    made.first_started_at = first_started_at
    return made


@pytest.mark.parametrize("option", LIMITS)
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, LONGEST_S * 1.01, True, "5", timedelta(0), [1]])
def test_a_limit_must_be_a_positive_number_of_seconds(option: str, value: object) -> None:
    with pytest.raises(InvalidOption, match=rf"^{option}="):
        JobOptions(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", LIMITS)
def test_a_limit_may_be_a_timedelta_or_not_set(option: str) -> None:
    options = JobOptions(**{option: timedelta(minutes=2)})  # type: ignore[arg-type]
    assert getattr(options, option) == 120.0
    assert getattr(JobOptions(), option) is None


def test_grace_may_be_zero_and_is_ten_seconds_by_default() -> None:
    assert JobOptions(grace=0).grace == 0.0
    assert JobOptions().grace == 10.0


@pytest.mark.parametrize("value", [-0.1, None, math.nan, False])
def test_a_bad_grace_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^grace="):
        JobOptions(grace=value)


@pytest.mark.parametrize("value", [PRIORITY_LIMIT + 1, -PRIORITY_LIMIT - 1, 1.0, True, None])
def test_a_bad_priority_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^priority="):
        JobOptions(priority=value)


def test_a_retry_rule_must_be_one() -> None:
    with pytest.raises(InvalidOption, match=r"^retry="):
        JobOptions(retry=5)  # type: ignore[arg-type]


def test_priorities_have_names_in_their_order() -> None:
    names = (Priority.LOWEST, Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.HIGHEST)
    assert list(names) == sorted(names)
    assert JobOptions().priority == Priority.NORMAL


# -- tags ------------------------------------------------------------------------------------------------


def test_a_list_of_tags_becomes_keys_with_empty_values() -> None:
    assert JobOptions(tags=["a", "b"]).tags == {"a": "", "b": ""}  # type: ignore[arg-type]


def test_a_mapping_of_tags_is_copied() -> None:
    tags = {"a": "1"}
    options = JobOptions(tags=tags)
    tags["b"] = "2"
    assert options.tags == {"a": "1"}


@pytest.mark.parametrize("value", [[], {}, ()])
def test_no_tags_are_an_empty_mapping(value: Any) -> None:
    assert JobOptions(tags=value).tags == {}


@pytest.mark.parametrize(
    "value",
    [
        "urgent",
        "",
        None,
        5,
        {"a": 1},
        {1: "a"},
        [None],
        ["x" * (NAME_LIMIT + 1)],
        {"a": "x" * (NAME_LIMIT + 1)},
        [str(i) for i in range(TAGS_LIMIT + 1)],
    ],
)
def test_bad_tags_are_refused(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^tags="):
        JobOptions(tags=value)


@pytest.mark.parametrize("value", [True, False, "mail"])
def test_dead_lettering_is_asked_for_or_not_or_names_a_task(value: Any) -> None:
    assert JobOptions(dead_letter=value).dead_letter == value


@pytest.mark.parametrize("value", ["", "x" * 201, 1, None])
def test_dead_lettering_is_nothing_else(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^dead_letter="):
        JobOptions(dead_letter=value)


@pytest.mark.parametrize("value", ["", "x" * 201, 1, ["red"]])
def test_a_group_has_a_name(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^group="):
        JobOptions(group=value)


# -- limits of the whole job -------------------------------------------------------------------------------


def test_a_job_without_limits_has_none() -> None:
    assert job().limit_at() == math.inf


def test_expires_counts_until_the_first_start_only() -> None:
    assert job(expires=5.0).limit_at() == 105.0
    assert job(expires=5.0).limit_reason() is Reason.EXPIRED
    assert job(expires=5.0, first_started_at=101.0).limit_at() == math.inf


def test_the_deadline_counts_on_after_the_first_start() -> None:
    assert job(deadline=5.0, first_started_at=101.0).limit_at() == 105.0
    assert job(expires=3.0, deadline=5.0, first_started_at=1.0).limit_reason() is Reason.DEADLINE


@pytest.mark.parametrize(
    ("expires", "deadline", "at", "reason"),
    [
        (3.0, 5.0, 103.0, Reason.EXPIRED),
        (5.0, 3.0, 103.0, Reason.DEADLINE),
        (3.0, 3.0, 103.0, Reason.EXPIRED),
        (None, 3.0, 103.0, Reason.DEADLINE),
    ],
)
def test_of_two_limits_the_earlier_counts(expires: float | None, deadline: float, at: float, reason: Reason) -> None:
    waiting = job(expires=expires, deadline=deadline)
    assert (waiting.limit_at(), waiting.limit_reason()) == (at, reason)


def test_four_states_are_final() -> None:
    assert [state.value for state in JobState if state.is_final] == [
        "succeeded", "failed", "dead_letter", "cancelled",
    ]  # fmt: skip


def test_three_holds_are_ended_by_nothing_that_goes_on_in_the_queue() -> None:
    assert [hold.value for hold in HoldReason if hold.is_parked] == ["no_task", "bad_payload", "task_paused"]


def test_two_reasons_are_interruptions_and_no_fault_of_the_function() -> None:
    assert [reason.value for reason in Reason if reason.is_interruption] == ["bad_exit", "interrupted"]


# -- places and budgets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["loop", "thread", "process", None])
def test_a_function_runs_in_one_of_three_places(value: Any) -> None:
    assert JobOptions(run_in=value).run_in == value


@pytest.mark.parametrize("value", ["", "Thread", "moon", 1, ["loop"]])
def test_a_function_runs_nowhere_else(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^run_in="):
        JobOptions(run_in=value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("memory_mb", 0),
        ("memory_mb", 1.5),
        ("memory_mb", "1g"),
        ("memory_mb", MEMORY_LIMIT_MB + 1),
        ("max_interruptions", 0),
        ("max_interruptions", None),
        ("max_interruptions", True),
        ("max_interruptions", INTERRUPTIONS_LIMIT + 1),
        ("max_snoozes", -1),
        ("max_snoozes", 0.5),
        ("max_snoozes", INTERRUPTIONS_LIMIT + 1),
    ],
)
def test_a_budget_is_a_whole_number_within_its_bounds(option: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=rf"^{option}="):
        JobOptions(**{option: value})


def test_no_budget_but_that_of_interruptions_is_set() -> None:
    plain = JobOptions()
    assert (plain.memory_mb, plain.max_interruptions, plain.max_snoozes) == (None, 5, None)
    assert JobOptions(max_snoozes=0).max_snoozes == 0
