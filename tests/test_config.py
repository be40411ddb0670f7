"""Settings are checked once, when they are made."""

import math
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actorq import JobQueue
from actorq.config import (
    LONGEST_S,
    WORKERS_LIMIT,
    RestartBudget,
    Retention,
    Settings,
    duration,
    one_of,
    whole,
)
from actorq.errors import InvalidOption


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0.0), (1.5, 1.5), (timedelta(hours=1), 3600.0), (LONGEST_S, LONGEST_S)],
)
def test_a_duration_is_seconds_or_a_timedelta(value: object, seconds: float) -> None:
    result = duration("delay", value)
    assert result == seconds
    assert type(result) is float


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "wants seconds"),
        ("1", "wants seconds"),
        (None, "wants seconds"),
        (math.nan, "is not a number"),
        (-1, "zero or more"),
        (timedelta(seconds=-1), "zero or more"),
        (math.inf, "a hundred years"),
        (LONGEST_S + 1, "a hundred years"),
    ],
)
def test_a_bad_duration_is_refused_with_its_name(value: object, why: str) -> None:
    with pytest.raises(InvalidOption, match=rf"^delay=.*{why}"):
        duration("delay", value)


def test_a_duration_that_must_be_positive_is_not_zero() -> None:
    with pytest.raises(InvalidOption, match="more than zero"):
        duration("timeout", 0, positive=True)


@pytest.mark.parametrize("value", [0, 11, True, 5.0, "5", None])
def test_a_whole_number_is_an_int_within_its_bounds(value: object) -> None:
    assert whole("n", 10, 1, 10) == 10
    with pytest.raises(InvalidOption, match=r"^n="):
        whole("n", value, 1, 10)


def test_a_choice_must_be_one_of_those_offered() -> None:
    one_of("mode", "a", ("a", "b"))
    with pytest.raises(InvalidOption, match=r"^mode='c': must be one of a, b\.$"):
        one_of("mode", "c", ("a", "b"))


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (Settings, "workers", 0),
        (Settings, "workers", 2.0),
        (Settings, "workers", WORKERS_LIMIT + 1),
        (Settings, "max_pending", 0),
        (Settings, "grace_s", -1.0),
        (Settings, "on_unknown_task", "drop"),
        (Retention, "age_s", math.nan),
        (Retention, "count", -1),
        (RestartBudget, "deaths", 0),
        (RestartBudget, "window_s", -1.0),
    ],
)
def test_a_bad_setting_is_refused_with_its_name(kind: Any, option: str, value: object) -> None:
    with pytest.raises(InvalidOption, match=rf"^{option}="):
        kind(**{option: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().workers = 3  # type: ignore[misc]


def test_the_defaults_are_those_of_the_documents() -> None:
    settings = Settings()
    assert settings.retention == Retention(age_s=3600.0, count=10_000)
    assert (settings.grace_s, settings.on_unknown_task) == (10.0, "park")


@pytest.mark.parametrize("option", ["restarts", "processes", "retention"])
def test_a_number_where_settings_are_wanted_is_refused_at_once(option: str) -> None:
    with pytest.raises(InvalidOption, match=option):
        JobQueue(**{option: 5})
