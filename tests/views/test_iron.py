"""Iron's view: tasks of a chain, seconds, RFC 3339, and what ``NewTask`` takes."""

from typing import Any

import pytest

from actorq.config import ATTEMPT_HISTORY, LONGEST_S
from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.views import Meaning, iron

from .life import TWICE, Life, submitted, waiting

# -- the document ----------------------------------------------------------------------------------


def test_a_task_has_the_fields_of_the_document_and_no_others():
    options = {"timeout": 90.5, "priority": 1, "group": "red", "retry": Retry(4, 15.0, "fixed")}
    assert iron.status(submitted(options=options, delay=0.0).record) == {
        "id": "j1",
        "status": "running",
        "image": "mail",
        "payload": "1",
        "group_name": "red",
        "delay": 0,
        "timeout": 91,
        "priority": 1,
        "max_retries": 3,
        "retries_delay": 15,
        "error": None,
        "reason": None,
        "created_at": "2023-11-14T22:13:20.000Z",
        "started_at": "2023-11-14T22:13:20.000Z",
        "completed_at": None,
        "env_vars": {},
        "retry_of": None,
        "retry_at": None,
    }


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'[["as it is"],{}]', "as it is"),
        (b"[[1,2],{}]", "[1, 2]"),
        (b'[[],{"to":"ada"}]', '{"to": "ada"}'),
        (b"[[],{}]", "{}"),
        (b'[[1],{"a":2}]', '{"args": [1], "kwargs": {"a": 2}}'),
    ],
)
def test_a_payload_is_a_string(payload: bytes, text: str):
    assert iron.status(submitted(payload=payload).record)["payload"] == text


@pytest.mark.parametrize(("priority", "shown"), [(-5, 0), (0, 0), (2, 2), (7, 2)])
def test_priorities_are_cut_to_irons_three(priority: int, shown: int):
    assert iron.status(submitted(options={"priority": priority}).record)["priority"] == shown


def test_a_delay_is_whole_seconds_and_no_timeout_is_null():
    task = iron.status(submitted(delay=9.5).record)
    assert (task["delay"], task["timeout"], task["started_at"]) == (10, None, None)


def test_an_error_has_its_text_and_its_time():
    task = iron.status(submitted().fail("boom", retryable=False).record)
    assert (task["error"], task["reason"], task["completed_at"]) == ("boom", "bad_exit", "2023-11-14T22:13:20.000Z")


@pytest.mark.parametrize(
    "life",
    [
        waiting().do(c.Cancel("j1")),
        submitted().do(c.Cancel("j1")),
        submitted().do(c.Quit("j1", 1, "")),
        submitted().fail().do(c.Cancel("j1")),
    ],
    ids=["queued", "running", "by the function", "retried"],
)
def test_whatever_was_cancelled_was_so_by_a_client_and_has_no_error(life: Life):
    task = iron.status(life.record)
    assert (task["status"], task["reason"], task["error"]) == ("cancelled", "client_request", None)


# -- the chain -------------------------------------------------------------------------------------


def brief(life: Life, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(task[field] for field in ("id", "status", *fields)) for task in iron.chain(life.record)]


def test_each_retry_is_a_task_of_its_own_tied_to_the_one_before():
    life = submitted().fail()
    links = ("retry_of", "retry_at")
    assert brief(life, *links) == [("j1", "error", None, "j1.2"), ("j1.2", "delayed", "j1", None)]
    life.rest(10.0)
    assert brief(life)[-1] == ("j1.2", "running")
    life.finish()
    assert brief(life, *links) == [("j1", "error", None, "j1.2"), ("j1.2", "success", "j1", None)]


def test_a_task_of_the_chain_never_changes_once_it_is_final():
    life = submitted().fail()
    first = iron.chain(life.record)[0]
    for step in (life.rest(10.0), life.fail(), life.do(c.Rerun("j1"))):
        assert iron.chain(step.record)[0] == first


def test_retries_count_down_along_the_chain_and_begin_after_their_delay():
    life = submitted(options={"retry": Retry(3, 10.0, "fixed", jitter=0.0)}).fail().rest(10.0).fail()
    assert brief(life, "max_retries", "delay", "created_at", "started_at") == [
        ("j1", "error", 2, 0, "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000Z"),
        ("j1.2", "error", 1, 10, "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:30.000Z"),
        ("j1.3", "delayed", 0, 10, "2023-11-14T22:13:30.000Z", None),
    ]


def test_a_run_that_was_interrupted_or_snoozed_goes_back_in_line_as_the_same_task():
    life = submitted().crash()
    assert brief(life) == [("j1", "running")]
    life.do(c.Snooze("j1", 2, 5.0))
    assert brief(life) == [("j1", "delayed")]
    assert brief(life.rest(5.0).finish()) == [("j1", "success")]


def test_a_rerun_is_another_task_with_its_retries_anew():
    life = submitted().finish()
    life.now += 5.0
    life.do(c.Rerun("j1"))
    fields = ("max_retries", "retry_of", "created_at")
    assert brief(life, *fields) == [
        ("j1", "success", 1, None, "2023-11-14T22:13:20.000Z"),
        ("j1.2", "running", 1, "j1", "2023-11-14T22:13:25.000Z"),
    ]


def test_a_rerun_that_is_cancelled_before_it_runs_is_cancelled_as_the_newer_task():
    life = submitted().do(c.Quit("j1", 1, "")).busy().do(c.Rerun("j1"), c.Cancel("j1"))
    assert brief(life) == [("j1", "cancelled"), ("j1.2", "cancelled")]


def test_a_clone_is_the_retry_that_a_client_asked_for():
    life = submitted().fail(retryable=False).do(c.Rerun("j1", clone_id="j2"))
    assert iron.status(life.record)["retry_at"] == "j2"
    assert iron.status(life.of("j2"))["retry_of"] == "j1"


def test_a_chain_longer_than_the_history_has_lost_its_beginning_and_keeps_its_ids():
    life = submitted(options={"retry": Retry(50, 1.0, "fixed", jitter=0.0)})
    for _ in range(ATTEMPT_HISTORY + 5):
        before = [task["id"] for task in iron.chain(life.record)]
        life.fail().rest(1.0)
    chain = iron.chain(life.record)
    assert len(chain) == ATTEMPT_HISTORY + 1
    assert [task["id"] for task in chain][:-1] == before[-ATTEMPT_HISTORY:]
    assert chain[0]["retry_of"] is None


def test_the_job_of_a_task_is_found_by_its_id():
    record = submitted().fail().record
    assert [iron.job_id_of(task["id"]) for task in iron.chain(record)] == ["j1", "j1"]
    assert iron.job_id_of("a.b") == "a.b"


# -- words read back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", JobState.QUEUED),
        ("running", JobState.RUNNING),
        ("success", JobState.SUCCEEDED),
        ("error", JobState.FAILED),
        ("cancelled", JobState.CANCELLED),
    ],
)
def test_a_status_has_a_meaning(word: str, state: JobState):
    assert iron.parse_state(word) == Meaning(state)


def test_a_delayed_task_that_is_a_retry_waits_for_its_next_attempt():
    assert iron.parse_state("delayed") == Meaning(JobState.SCHEDULED, HoldReason.DELAY)
    assert iron.parse_state("delayed", retry_of="j1") == Meaning(JobState.SCHEDULED, HoldReason.RETRY)


def test_of_a_task_that_was_retried_the_newer_one_is_to_be_asked():
    with pytest.raises(InvalidOption, match=r"ask task j1\.2"):
        iron.parse_state("error", retry_at="j1.2")


def test_a_status_that_is_none_is_refused():
    with pytest.raises(InvalidOption, match="waiting"):
        iron.parse_state("waiting")


# -- retry and options -------------------------------------------------------------------------------


def test_every_wait_is_the_same():
    rule = iron.retry(max_retries=3, retries_delay=90)
    assert rule.max_attempts == 4
    assert [rule.wait("j", n) for n in (1, 2, 3)] == [90.0, 90.0, 90.0]
    assert iron.retry().wait("j", 1) == 60.0


def test_a_long_wait_is_not_cut():
    assert iron.retry(1, 7_200).wait("j", 1) == 7_200.0
    assert iron.retry(1, 7_200).cap == LONGEST_S


def test_a_new_task_has_irons_defaults():
    assert iron.options({"priority": 0}) == {
        "priority": 0,
        "delay": 0.0,
        "timeout": 60.0,
        "retry": Retry(max_attempts=1, backoff="fixed", delay=60.0, cap=LONGEST_S, jitter=0.0),
    }


def test_a_new_task_is_converted():
    task = {"image": "mail", "payload": "x", "delay": 5, "timeout": 30, "priority": 2, "max_retries": 25}
    known = iron.options({**task, "retries_delay": 10, "idle_timeout": 30})
    assert (known["delay"], known["timeout"], known["priority"]) == (5.0, 30.0, 2)
    assert (known["retry"].max_attempts, known["retry"].wait("j", 7)) == (26, 10.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("priority", None),
        ("priority", 3),
        ("priority", -1),
        ("priority", "1"),
        ("priority", True),
        ("delay", -1),
        ("delay", 1.5),
        ("timeout", 0),
        ("timeout", "60"),
        ("max_retries", 26),
        ("max_retries", -1),
        ("retries_delay", -1),
        ("idle_timeout", -1),
        ("image", ""),
        ("image", 5),
        ("payload", {"to": "ada"}),
        ("payload", "x" * 300_000),
        ("retry_delay", 5),
    ],
)
def test_what_iron_refuses_is_refused(option: str, value: object):
    with pytest.raises(InvalidOption) as refused:
        iron.options({"priority": 1, option: value})
    assert refused.value.option == option


def test_what_is_no_object_is_refused():
    with pytest.raises(InvalidOption):
        iron.options([])  # type: ignore[arg-type]


def test_a_job_of_ours_that_retries_at_all_is_told_in_irons_terms():
    assert iron.status(submitted(options={"retry": TWICE}).record)["max_retries"] == 1
