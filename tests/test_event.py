"""An event: a fact, as it is told to those who watch."""

import pytest

from actorq.core import facts as f
from actorq.event import event_of, name_of
from actorq.record import instant


@pytest.mark.parametrize(
    ("kind", "name"),
    [(f.Submitted, "submitted"), (f.RetryScheduled, "retry_scheduled"), (f.BecameDue, "became_due")],
)
def test_an_event_has_the_name_of_its_fact_in_lower_case(kind: type[f.Fact], name: str):
    assert name_of(kind) == name


def test_every_fact_has_a_name_of_its_own():
    kinds = [getattr(f, name) for name in f.__all__]
    assert len({name_of(kind) for kind in kinds}) == len(kinds)


def test_an_event_tells_all_that_the_fact_tells():
    fact = f.BecameDue(12.5, "j1")
    fact.n = 7
    event = event_of(fact, "send")
    assert (event.number, event.at, event.name, event.job_id, event.task, event.fact) == (
        7,
        instant(12.5),
        "became_due",
        "j1",
        "send",
        fact,
    )
