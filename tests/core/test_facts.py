"""What a fact tells of itself."""

from actorq.core import facts as f
from actorq.core.job import JobOptions


def test_the_weight_of_a_fact_is_what_a_user_may_make_of_any_size() -> None:
    assert f.Submitted(1.0, "a", 1.0, 1, "t", b"[1,2]", JobOptions()).weight == 5
    assert f.Succeeded(1.0, "a", b"null").weight == 4
    assert f.Removed(1.0, "a").weight == 0
