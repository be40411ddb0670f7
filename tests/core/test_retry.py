"""How long to wait before the next attempt, and whether there is one."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorq.config import ATTEMPTS_LIMIT, JITTER_LIMIT, LONGEST_S
from actorq.core.retry import Backoff, Retry, type_name
from actorq.errors import InvalidOption


def waits(backoff: Backoff, n: int = 4, **options: Any) -> list[float]:
    retry = Retry(backoff=backoff, jitter=0.0, **options)
    return [retry.wait("j", failures) for failures in range(1, n + 1)]


def test_fixed_waits_are_all_the_same() -> None:
    assert waits("fixed", delay=2.0) == [2.0, 2.0, 2.0, 2.0]


def test_linear_waits_grow_by_the_delay() -> None:
    assert waits("linear", delay=2.0) == [2.0, 4.0, 6.0, 8.0]


def test_exponential_waits_grow_by_the_factor() -> None:
    assert waits("exponential", delay=2.0, factor=3) == [2.0, 6.0, 18.0, 54.0]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ("fixed", [0.5, 2.0, 2.0, 2.0]),
        ("linear", [0.5, 2.5, 4.5, 6.5]),
        ("exponential", [0.5, 2.0, 4.0, 8.0]),
    ],
)
def test_after_an_initial_wait_of_its_own_the_rule_begins(backoff: Backoff, expected: list[float]) -> None:
    assert waits(backoff, delay=2.0, initial=0.5) == expected


@pytest.mark.parametrize("backoff", ["fixed", "linear", "exponential"])
def test_an_initial_wait_of_the_delay_changes_no_first_wait(backoff: Backoff) -> None:
    assert waits(backoff, n=1, delay=2.0, initial=2.0) == waits(backoff, n=1, delay=2.0)


def test_an_initial_wait_of_nothing_lets_the_second_attempt_follow_at_once() -> None:
    assert waits("linear", delay=2.0, initial=0) == [0.0, 2.0, 4.0, 6.0]


def test_an_initial_wait_may_be_a_timedelta_and_is_cut_at_the_cap() -> None:
    assert waits("fixed", n=2, delay=1.0, initial=timedelta(minutes=1), cap=30.0) == [30.0, 1.0]


@pytest.mark.parametrize("backoff", ["linear", "exponential"])
def test_no_wait_is_longer_than_the_cap(backoff: Backoff) -> None:
    assert waits(backoff, delay=2.0, cap=5.0) == [2.0, 4.0, 5.0, 5.0]


def test_a_cap_below_the_delay_wins() -> None:
    assert waits("fixed", n=1, delay=2.0, cap=0.5) == [0.5]


def test_a_delay_may_be_a_timedelta() -> None:
    assert waits("fixed", n=1, delay=timedelta(minutes=1)) == [60.0]


@pytest.mark.parametrize("factor", [2, 1_000.0, 1_000])
def test_an_overflow_is_cut_at_the_cap(factor: float) -> None:
    retry = Retry(max_attempts=ATTEMPTS_LIMIT, factor=factor, jitter=0.0, cap=77.0)
    assert retry.wait("j", ATTEMPTS_LIMIT) == 77.0


def test_an_overflow_of_no_delay_is_no_delay() -> None:
    assert Retry(delay=0.0, jitter=0.0).wait("j", ATTEMPTS_LIMIT) == 0.0


@given(
    st.text(max_size=20),
    st.integers(1, ATTEMPTS_LIMIT),
    st.sampled_from(["fixed", "linear", "exponential"]),
    st.floats(0.0, LONGEST_S),
    st.floats(0.0, LONGEST_S),
    st.floats(0.0, JITTER_LIMIT),
)
def test_jitter_only_lengthens_and_is_the_same_in_every_replay(
    job_id: str, failures: int, backoff: Backoff, delay: float, cap: float, jitter: float
) -> None:
    plain = Retry(backoff=backoff, delay=delay, cap=cap, jitter=0.0).wait(job_id, failures)
    rule = Retry(backoff=backoff, delay=delay, cap=cap, jitter=jitter)
    wait = rule.wait(job_id, failures)
    assert plain <= wait <= min(plain * (1.0 + jitter), LONGEST_S)
    assert wait <= LONGEST_S
    assert rule.wait(job_id, failures) == wait


def test_jitter_spreads_jobs_and_attempts() -> None:
    retry = Retry(delay=100.0, backoff="fixed", jitter=1.0)
    seen = {retry.wait(f"j{i}", n) for i in range(20) for n in range(1, 6)}
    assert len(seen) == 100
    assert min(seen) < 110.0
    assert max(seen) > 190.0


@given(st.text(max_size=20), st.integers(1, 20), st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_spread_lengthens_by_seconds_and_never_over_the_cap(
    job_id: str, failures: int, delay: float, cap: float, spread: float
) -> None:
    plain = Retry(backoff="linear", delay=delay, cap=cap, jitter=0.0).wait(job_id, failures)
    rule = Retry(backoff="linear", delay=delay, cap=cap, spread=spread, jitter=0.0)
    wait = rule.wait(job_id, failures)
    assert plain <= wait <= min(delay * failures + spread, cap)
    assert rule.wait(job_id, failures) == wait


def test_spread_spreads_jobs_and_attempts_and_not_as_jitter_does() -> None:
    by_spread = Retry(delay=100.0, backoff="fixed", spread=100.0, jitter=0.0)
    by_jitter = Retry(delay=100.0, backoff="fixed", jitter=1.0)
    seen = [(by_spread.wait(f"j{i}", n), by_jitter.wait(f"j{i}", n)) for i in range(20) for n in range(1, 6)]
    assert len({one for one, _ in seen}) == 100
    assert min(seen)[0] < 110.0
    assert max(seen)[0] > 190.0
    assert {(one < 150.0, other < 150.0) for one, other in seen} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_jitter_lengthens_what_was_cut_at_the_cap_spread_included() -> None:
    retry = Retry(delay=5.0, backoff="fixed", spread=1000.0, cap=6.0, jitter=1.0)
    waits = {retry.wait(f"j{i}", 1) for i in range(100)}
    assert 6.0 < max(waits) < 12.0


# -- which exceptions ----------------------------------------------------------------------------------


class Upset(OSError):
    pass


def test_everything_is_retried_unless_something_is_said() -> None:
    assert Retry().retries(ValueError)


def test_with_on_only_those_and_their_subclasses_are_retried() -> None:
    retry = Retry(on=OSError)
    assert retry.retries(OSError)
    assert retry.retries(Upset)
    assert not retry.retries(ValueError)


def test_never_wins_over_on() -> None:
    retry = Retry(on=(OSError, ValueError), never=[Upset])
    assert retry.retries(OSError)
    assert not retry.retries(Upset)


def test_never_goes_for_subclasses_too() -> None:
    assert not Retry(never=OSError).retries(ConnectionResetError)


def test_exception_types_are_known_by_name_after_a_restart() -> None:
    assert Retry(on="builtins.OSError") == Retry(on=OSError)
    assert Retry(never={type_name(Upset)}).never == (type_name(Upset),)


def test_a_type_is_named_by_module_and_qualified_name() -> None:
    assert type_name(ValueError) == "builtins.ValueError"
    assert type_name(Upset).endswith("test_retry.Upset")


# -- bad options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", True),
        ("max_attempts", 2.0),
        ("max_attempts", ATTEMPTS_LIMIT + 1),
        ("delay", -1.0),
        ("delay", math.nan),
        ("delay", math.inf),
        ("delay", "1"),
        ("delay", None),
        ("cap", timedelta(seconds=-1)),
        ("cap", True),
        ("initial", -1),
        ("initial", "0"),
        ("initial", math.nan),
        ("spread", -1.0),
        ("spread", None),
        ("spread", LONGEST_S * 2),
        ("backoff", "quadratic"),
        ("factor", 0.9),
        ("factor", math.nan),
        ("factor", 1_001),
        ("factor", True),
        ("factor", "2"),
        ("jitter", -0.1),
        ("jitter", JITTER_LIMIT + 1),
        ("jitter", math.nan),
        ("jitter", False),
        ("jitter", "0"),
        ("on", 5),
        ("on", int),
        ("never", [ValueError, None]),
    ],
)
def test_a_bad_option_is_refused(option: str, value: object) -> None:
    with pytest.raises(InvalidOption):
        Retry(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [[f"a.b{n}" for n in range(65)], ["a." + "b" * 500], ["nodot"], [3]])
def test_exception_types_that_a_rule_names_are_bounded(names: list[Any]) -> None:
    with pytest.raises(InvalidOption, match="on/never"):
        Retry(on=names)
