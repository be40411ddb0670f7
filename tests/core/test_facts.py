"""What a fact tells of itself."""

import pytest

from actorq.core import facts as f
from actorq.core.job import Failure, JobOptions, Reason

BAD = Failure(Reason.ERROR, "ValueError", "no", "Traceback …")

WEIGHTS: list[tuple[f.Fact, int]] = [
    (f.Submitted(1.0, "a", 1.0, 1, "t", b"[1,2]", JobOptions()), 5),
    (f.Edited(1.0, "a", 1.0, b"[1,2]"), 5),
    (f.Logged(1.0, "a", "info", "hello", b"{}"), 7),
    (f.RetryScheduled(1.0, "a", 1.0, BAD), 13),
    (f.Interrupted(1.0, "a", 1.0, BAD), 13),
    (f.Parked(1.0, "a", BAD), 13),
    (f.Succeeded(1.0, "a", b"null"), 4),
    (f.Failed(1.0, "a", BAD), 13),
    (f.DeadLettered(1.0, "a", BAD), 13),
    (f.Cancelled(1.0, "a", BAD), 13),
    (f.Removed(1.0, "a"), 0),
    (f.QueuePaused(1.0), 0),
    (f.LoopBlocked(1.0, "a", 2.0, "File …"), 6),
]


@pytest.mark.parametrize(("fact", "weight"), WEIGHTS, ids=[type(fact).__name__ for fact, _ in WEIGHTS])
def test_the_weight_of_a_fact_is_what_a_user_may_make_of_any_size(fact: f.Fact, weight: int) -> None:
    assert fact.weight == weight


def test_an_edit_that_leaves_the_arguments_weighs_nothing() -> None:
    assert f.Edited(1.0, "a", 1.0).weight == 0


def test_an_interruption_of_which_nobody_said_how_it_came_weighs_nothing() -> None:
    assert f.Interrupted(1.0, "a", 1.0).weight == 0
