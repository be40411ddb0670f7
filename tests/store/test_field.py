"""Values and fields: what is read has its type, or is damage."""

from typing import Any

import pytest

from actorq.core.job import JobOptions, JobState, Progress
from actorq.store import field
from actorq.store.line import Damage


@pytest.mark.parametrize(
    ("parser", "good", "bad"),
    [
        (field.text, ["", "é"], [None, 1, b"a"]),
        (field.whole, [0, 5, 2**63], [-1, 1.0, True, None, "1", 2**63 + 1]),
        (field.positive, [1, 2**63], [0, -1, 1.0, "1"]),
        (field.number, [1, -0.5], [True, None, "1"]),
        (field.flag, [True, False], [0, 1, None]),
        (field.one_of(JobState), ["queued"], ["lost", None, [], {}]),
        (field.each(field.text), [[], ["a"]], [None, "a", {}, [1], [None]]),
    ],
)
def test_a_value_is_what_it_should_be_or_damage(parser: field.Parser, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        parsed = parser(value)
        assert (list(parsed) if isinstance(value, list) else parsed) == value
    for value in bad:
        with pytest.raises(Damage):
            parser(value)


def test_fields_that_are_not_known_are_ignored_and_missing_ones_are_named() -> None:
    assert field.parse({"a": 1, "b": object()}, {"a": field.whole}, ("a",)) == {"a": 1}
    with pytest.raises(Damage, match="a is missing"):
        field.parse({}, {"a": field.whole}, ("a",))
    with pytest.raises(Damage, match="a is not a whole number"):
        field.parse({"a": "1"}, {"a": field.whole}, ("a",))


def test_options_at_their_defaults_take_no_field() -> None:
    assert field.OptionsEncoder().encode(JobOptions()) is None


def test_progress_that_says_nothing_takes_no_field() -> None:
    assert field.progress_fields(Progress()) == {}
    assert field.progress({}) == Progress()
