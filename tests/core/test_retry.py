"""How long to wait before the next attempt, and whether there is one."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorq.config import ATTEMPTS_LIMIT, LONGEST_S
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
    st.floats(0.0, 1.0),
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
        ("backoff", "quadratic"),
        ("factor", 0.9),
        ("factor", math.nan),
        ("factor", 1_001),
        ("factor", True),
        ("factor", "2"),
        ("jitter", -0.1),
        ("jitter", 1.1),
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
