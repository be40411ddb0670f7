"""The ledger outside is itself looked at: it hears the truth in silence, and each kind of lie."""

import pytest

from .outside import Outside

LIFE = ["opened 0 0", "try a", "accepted a", "ran a 1 1", "ended a succeeded", "try b c", "accepted b c", "ran b 1 1"]


def hear(*lives: list[str], is_cut: bool = False) -> list[str]:
    """Return the lies of these lives, of which each but the last is killed, or ends with the power."""
    outside = Outside()
    for lines in lives:
        outside.begin_life()
        outside.hear((line, True) for line in lines)
        outside.was_cut = is_cut
    return outside.lies


@pytest.mark.parametrize(
    "second",
    [
        ["found a succeeded 1 1 0", "found b queued 1 0 1", "found c queued 0 0 0", "opened 3 3", "ran b 2 1"],
        ["found b running 2 1 1", "found c queued 0 0 0", "opened 3 2", "ran b 2 1"],
        ["found a succeeded 1 1 0", "found b succeeded 1 1 0", "found c cancelled 0 0 0", "opened 3 3"],
        ["found b queued 1 0 1", "found c queued 0 0 0", "found a queued 1 0 1"],
    ],
    ids=["as it was", "what has ended may go", "ends that nobody had heard", "killed while it told"],
)
def test_truth_is_no_lie(second: list[str]) -> None:
    assert hear(LIFE, second) == []


@pytest.mark.parametrize(
    ("second", "lie"),
    [
        (["found b queued 1 0 1", "opened 3 1"], "job c is LOST"),
        (
            ["found a queued 1 0 1", "found b queued 1 0 1", "found c queued 0 0 0", "opened 3 3"],
            "its end had been told",
        ),
        (["found b queued 1 0 1", "found c queued 0 0 0", "opened 3 2", "ran a 2 1"], "job a runs again"),
        (["found b queued 0 0 0", "found c queued 0 0 0", "opened 3 2"], "a run was not counted"),
        (["found b queued 1 0 1", "found c queued 0 0 0", "opened 3 2", "ran b 1 1"], "claim 1, which is not new"),
        (["found b queued 1 0 0", "found c queued 0 0 0", "opened 3 2"], "counts otherwise"),
        (
            ["found b queued 1 0 1", "found c queued 0 0 0", "found d queued 0 0 0", "opened 4 3"],
            "nobody has submitted",
        ),
        (["found b queued 1 0 1", "found c queued 0 0 0", "opened 3 3"], "found 3 jobs and told of 2"),
        (["found b queued 1 0 1", "found c queued 0 0 0", "opened 2 2"], "only 2 jobs"),
        (["boo"], "what nobody understands"),
    ],
)
def test_lie_is_heard(second: list[str], lie: str) -> None:
    assert lie in "\n".join(hear(LIFE, second))


def test_half_of_a_batch_is_a_lie_though_nobody_was_told_of_it() -> None:
    first = ["opened 0 0", "try a b c"]
    assert "2 of a batch of 3" in hear(first, ["found a queued 0 0 0", "found b queued 0 0 0", "opened 2 2"])[0]
    assert hear(first, ["opened 0 0"]) == []


def test_what_was_gone_does_not_come_back() -> None:
    lies = hear(["opened 0 0", "try a"], ["opened 0 0"], ["found a queued 0 0 0", "opened 1 1"])
    assert "is there again" in lies[0]


def test_what_was_cancelled_ends_as_cancelled() -> None:
    first = ["opened 0 0", "try a", "accepted a", "cancelling a", "cancelled a"]
    assert "had been cancelled" in hear(first, ["found a queued 0 0 0", "opened 1 1"])[0]
    assert hear(first, ["found a cancelled 0 0 0", "opened 1 1"]) == []


def test_what_was_rerun_is_not_as_it_was_before() -> None:
    first = [*LIFE[:5], "rerunning a", "reran a"]
    assert "before it was rerun" in hear(first, ["found a succeeded 1 1 0", "opened 1 1"])[0]
    assert hear(first, ["found a queued 1 0 0", "opened 1 1"]) == []


def test_power_cut_may_forget_the_count_of_the_last_runs() -> None:
    second = ["found b queued 0 0 0", "found c queued 0 0 0", "opened 3 2", "ran b 1 1"]
    assert hear(LIFE, second, is_cut=True) == []


def test_job_that_runs_more_often_than_crashes_allow_is_a_lie() -> None:
    lines = ["opened 0 0", "try a", "accepted a", *(f"ran a {claim} 1" for claim in range(1, 6))]
    assert "runs too often" in hear(lines)[0]
