"""The index answers as looking at every job would."""

from itertools import chain
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq.config import Settings
from actorq.core import commands as c
from actorq.core.bitmap import Bitmap, places
from actorq.core.index import Index, Query, Term, lasting_terms, passing_terms
from actorq.core.job import HoldReason, Job, JobOptions, JobState
from actorq.core.ledger import Ledger
from actorq.core.picture import PAGE

from .driver import History, Turn, World, histories

# -- a few jobs, on pages far from one another -------------------------------------------------------

TAGS: list[Any] = [{}, {"user": "ada"}, {"user": "bob"}, ["urgent"], {"user": "ada", "urgent": ""}]


def make_job(seq: int) -> Job:
    options = JobOptions(tags=TAGS[seq % 5], group=(None, "red", "blue")[seq % 3])
    state = tuple(JobState)[seq // 2 % len(JobState)]
    job = Job(f"j{seq}", seq, ("mail", "crawl")[seq % 2], b"[]", options, state, 0.0, 0.0)
    job.key = (None, "a", "b", f"only {seq}")[seq % 4]
    job.hold_reason = tuple(HoldReason)[seq % 5] if state in (JobState.SCHEDULED, JobState.PAUSED) else None
    return job


def index_of(jobs: list[Job]) -> Index:
    index = Index()
    for job in jobs:
        index.add(job)
        index.enter(job)
    return index


JOBS = [make_job(seq) for page in (0, 1, 7) for seq in range(page * PAGE, page * PAGE + 40)]
INDEX = index_of(JOBS)
TERMS = sorted(INDEX.terms())


def terms_of(job: Job) -> set[Term]:
    return {*passing_terms(job), *lasting_terms(job, job.options)}


def answers(query: Query, jobs: list[Job]) -> list[int]:
    """Return what a look at every job finds."""
    return [
        job.seq
        for job in jobs
        if all(terms_of(job) & set(clause) for clause in query.clauses)
        and not terms_of(job) & set(query.none_of)
        and (query.among is None or job.seq in query.among)
    ]


def ask(index: Index, query: Query, first: int = 0, last: int | None = None, *, descending: bool = False) -> list[int]:
    pages = index.pages(query, first, last, descending=descending)
    return list(chain.from_iterable(places(n, bits, descending=descending) for n, bits in pages))


SOME_TERMS = st.lists(st.sampled_from([*TERMS, ("task", "nobody's")]), max_size=4).map(tuple)
QUERIES = st.builds(
    Query,
    st.lists(SOME_TERMS, max_size=3).map(tuple),
    SOME_TERMS,
    st.none() | st.lists(st.sampled_from([job.seq for job in JOBS] + [5000])).map(Bitmap),
)


@settings(max_examples=10 * settings.default.max_examples)
@given(QUERIES)
def test_a_query_finds_what_a_look_at_every_job_finds(query: Query):
    found = answers(query, JOBS)
    assert ask(INDEX, query) == found
    assert INDEX.count(query) == len(found)


@given(QUERIES, st.integers(0, 8 * PAGE), st.integers(-1, 8 * PAGE))
def test_a_query_can_be_asked_of_a_stretch_of_jobs_in_either_order(query: Query, first: int, last: int):
    found = [seq for seq in answers(query, JOBS) if first <= seq <= last]
    assert ask(INDEX, query, first, last) == found
    assert ask(INDEX, query, first, last, descending=True) == found[::-1]


def test_a_clause_without_terms_is_met_by_no_job():
    assert INDEX.count(Query(((),))) == 0


def test_no_job_is_found_among_those_that_are_gone():
    assert ask(Index(), Query(among=Bitmap([1, 2, 3]))) == []


def test_terms_can_be_had_by_their_kind():
    assert sorted(INDEX.terms("task", "group")) == [
        ("group", "blue"),
        ("group", "red"),
        ("task", "crawl"),
        ("task", "mail"),
    ]


# -- what comes and goes -----------------------------------------------------------------------------


def test_what_no_job_has_any_more_takes_no_room():
    index = index_of(JOBS)
    for job in JOBS:
        index.leave(job)
        index.remove(job)
    assert index.terms() == []
    assert sum(map(len, index._sets.values())) == len(JobState) + len(HoldReason)


def test_a_term_that_one_job_alone_has_takes_the_room_of_a_number():
    assert {type(INDEX._sets["key"]["key", f"only {job.seq}"]) for job in JOBS if job.seq % 4 == 3} == {int}


@pytest.mark.parametrize("others", [0, 1, 2])
def test_a_term_is_kept_for_those_who_still_have_it(others: int):
    jobs = JOBS[: 1 + others]
    index = index_of([evolve(job, key="same") for job in jobs])
    index.remove(evolve(jobs[0], key="same"))
    assert ask(index, Query(((("key", "same"),),))) == [job.seq for job in jobs[1:]]


def test_other_options_are_found_in_place_of_the_old_ones():
    job = Job("j", 3, "mail", b"[]", JobOptions(tags={"user": "ada"}, group="red"), JobState.QUEUED, 0.0, 0.0)
    index = index_of([job])
    before, job.options = job.options, JobOptions(tags={"user": "bob"}, group="blue")
    index.retag(job, before)
    assert set(index.terms()) == terms_of(job)


def test_the_same_options_change_nothing():
    index = index_of(JOBS)
    for job in JOBS:
        index.retag(job, job.options)
    assert sorted(index.terms()) == TERMS


# -- any history ------------------------------------------------------------------------------------


def content(index: Index) -> dict[Term, list[int]]:
    return {term: ask(index, Query(((term,),))) for term in index.terms()}


def content_meant(ledger: Ledger) -> dict[Term, list[int]]:
    meant: dict[Term, list[int]] = {}
    for job in sorted(ledger.jobs.values(), key=lambda job: job.seq):
        for term in terms_of(job):
            meant.setdefault(term, []).append(job.seq)
    return meant


def index_tells_of_the_jobs(world: World, turn: Turn) -> None:
    ledger = world.machine.ledger
    assert content(ledger.index) == content_meant(ledger)


@settings(max_examples=10 * settings.default.max_examples)
@given(histories(30))
def test_in_any_history_the_index_says_of_each_job_what_is_so(history: History):
    World(history.settings, laws=(index_tells_of_the_jobs,)).play(history.acts)


def test_tags_and_groups_of_an_edited_job_are_found():
    world = World(Settings(), laws=(index_tells_of_the_jobs,))
    options = JobOptions(tags={"a": "1"}, group="red")
    world.step([c.Submit((c.NewJob("j", "gone", b"[]", options),))], world.now)
    world.step([c.Edit("j", None, {"tags": {"a": "2"}, "group": "blue"}, None)], world.now)
    found = content(world.machine.ledger.index)
    assert {("tag", "a", "2"), ("group", "blue")} <= found.keys()
