"""rethinkdb-job-queue's view: the document with the user's fields in it, its log, and retries that begin at once."""

from datetime import UTC, datetime
from typing import Any

import pytest

from actorq.config import LONGEST_S
from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.views import Meaning, rethinkdb

from .life import Life, submitted, waiting

START = "2023-11-14T22:13:20.000Z"
LATER = "2023-11-14T22:13:30.000Z"

# -- the document ----------------------------------------------------------------------------------


def test_a_document_has_its_fields_and_those_of_the_user():
    options: dict[str, Any] = {"heartbeat_timeout": 300.0, "tags": {"name": "letter"}}
    assert rethinkdb.status(waiting(payload=b'[[],{"to":"ada"}]', options=options).record) == {
        "to": "ada",
        "id": "j1",
        "name": "letter",
        "priority": "normal",
        "timeout": 300_000,
        "retryDelay": 10_000,
        "retryMax": 1,
        "repeat": False,
        "repeatDelay": 300_000,
        "retryCount": 0,
        "processCount": 0,
        "progress": 0.0,
        "status": "added",
        "log": [],
        "dateCreated": START,
        "dateEnable": START,
        "dateStarted": None,
        "dateFinished": None,
        "queueId": None,
    }


def some(life: Life, *fields: str) -> list[Any]:
    document = rethinkdb.status(life.record)
    return [document[field] for field in fields]


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b"[[7],{}]", 7),
        (b'[[],{"status":"mine","to":"ada"}]', {"status": "mine", "to": "ada"}),
        (b"[[1,2],{}]", [1, 2]),
    ],
)
def test_arguments_that_cannot_be_fields_are_data(payload: bytes, data: object):
    assert some(submitted(payload=payload), "data", "status") == [data, "active"]


def test_the_word_for_what_waits_may_be_that_of_the_later_code():
    assert rethinkdb.status(waiting().record, first="waiting")["status"] == "waiting"


def test_a_job_without_a_name_is_called_by_its_id_and_no_timeout_is_null():
    assert some(submitted(), "name", "timeout") == ["j1", None]


@pytest.mark.parametrize(
    ("priority", "name"),
    [(99, "highest"), (30, "highest"), (20, "high"), (12, "medium"), (0, "normal"), (-10, "low"), (-99, "lowest")],
)
def test_a_priority_has_the_name_of_the_nearest(priority: int, name: str):
    assert some(submitted(options={"priority": priority}), "priority") == [name]


def test_retries_count_from_the_failure_and_runs_from_their_start():
    life = submitted()
    seen = [some(life, "retryCount", "processCount")]
    for step in (life.fail, lambda: life.rest(10.0), life.fail):
        step()
        seen.append(some(life, "retryCount", "processCount"))
    assert seen == [[0, 1], [1, 1], [1, 2], [1, 2]]


def test_a_job_that_is_cancelled_while_it_waits_for_its_retry_has_used_that():
    assert some(submitted().fail().do(c.Cancel("j1")), "retryCount", "status") == [1, "cancelled"]


def test_progress_is_that_of_the_run_and_none_after_a_failure():
    life = submitted().do(c.ShowProgress("j1", 1, 0.5))
    assert some(life, "progress") == [50.0]
    assert some(life.fail(), "progress") == [0.0]
    assert some(submitted().finish(), "progress") == [100.0]


def test_while_a_job_runs_it_is_enabled_again_when_its_lease_is_over():
    life = submitted(options={"timeout": 5.0, "retry": Retry(3, 2.0, jitter=0.0)}).fail().rest(5.0)
    assert some(life, "dateStarted", "dateEnable") == ["2023-11-14T22:13:25.000Z", "2023-11-14T22:13:32.000Z"]


def test_a_job_that_failed_has_an_end_also_if_it_runs_again():
    life = submitted().fail()
    assert some(life, "dateFinished", "dateEnable", "queueId") == [START, LATER, "worker-1"]
    assert some(life.rest(10.0), "dateFinished") == [None]


# -- the log ---------------------------------------------------------------------------------------


def test_the_last_entry_of_a_log_has_the_result():
    life = submitted().do(c.Log("j1", 1, "warning", "slow", b'{"s":5}'))
    life.now += 1.5
    log = some(life.finish(b'"done"'), "log")[0]
    assert log == [
        {
            "date": START,
            "queueId": "worker-1",
            "type": "warning",
            "status": "active",
            "retryCount": 0,
            "processCount": 1,
            "message": "slow",
            "data": {"s": 5},
        },
        {
            "date": "2023-11-14T22:13:21.500Z",
            "queueId": "worker-1",
            "type": "information",
            "status": "completed",
            "retryCount": 0,
            "processCount": 1,
            "message": "Job completed",
            "data": "done",
            "duration": 1500,
        },
    ]


def test_each_failure_is_in_the_log_with_its_stack():
    log = some(submitted().fail("first").rest(10.0).fail("second"), "log")[0]
    fields = ("type", "status", "retryCount", "processCount", "errorMessage", "errorStack")
    assert [tuple(entry[field] for field in fields) for entry in log] == [
        ("error", "failed", 0, 1, "first", "Traceback …"),
        ("error", "terminated", 1, 2, "second", "Traceback …"),
    ]


def test_a_run_that_was_handed_back_is_put_back_in_the_log():
    assert [entry["status"] for entry in some(submitted().do(c.Snooze("j1", 1, 5.0)), "log")[0]] == ["added"]


@pytest.mark.parametrize(
    ("level", "kind"), [("debug", "information"), ("info", "information"), ("error", "error"), ("critical", "error")]
)
def test_levels_are_their_three_types(level: str, kind: str):
    assert some(submitted().do(c.Log("j1", 1, level, "m", b"{}")), "log")[0][0]["type"] == kind


# -- words read back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "ahead", "meaning"),
    [
        ("created", None, Meaning(JobState.CREATED)),
        ("added", None, Meaning(JobState.QUEUED)),
        ("waiting", False, Meaning(JobState.QUEUED)),
        ("waiting", True, Meaning(JobState.SCHEDULED, HoldReason.DELAY)),
        ("active", None, Meaning(JobState.RUNNING)),
        ("completed", None, Meaning(JobState.SUCCEEDED)),
        ("cancelled", None, Meaning(JobState.CANCELLED)),
        ("failed", None, Meaning(JobState.SCHEDULED, HoldReason.RETRY)),
        ("failed", True, Meaning(JobState.SCHEDULED, HoldReason.RETRY)),
        ("failed", False, Meaning(JobState.QUEUED)),
        ("terminated", None, Meaning(JobState.FAILED)),
    ],
)
def test_a_status_has_a_meaning(word: str, ahead: bool | None, meaning: Meaning):
    assert rethinkdb.parse_state(word, ahead=ahead) == meaning


def test_a_status_that_is_none_is_refused():
    with pytest.raises(InvalidOption):
        rethinkdb.parse_state("queued")


# -- retry and options -------------------------------------------------------------------------------


def test_the_first_retry_follows_at_once_and_the_others_ever_later():
    rule = rethinkdb.retry()
    assert [rule.wait("j", n) for n in (1, 2, 3)] == [0.0, 600.0, 1200.0]
    assert rule.max_attempts == 4


def test_a_job_has_their_defaults():
    assert rethinkdb.options({}) == {"priority": 0, "heartbeat_timeout": 300.0, "retry": rethinkdb.retry()}
    rule = Retry(4, 600.0, "linear", cap=LONGEST_S, initial=0.0, jitter=0.0)
    assert rethinkdb.retry() == rule


def test_a_job_is_converted():
    job = {"name": "letter", "priority": "highest", "timeout": 1_500, "retryMax": 0, "retryDelay": 0, "repeat": False}
    assert rethinkdb.options({**job, "repeatDelay": 5, "dateEnable": datetime(2030, 1, 1, tzinfo=UTC)}) == {
        "priority": 30,
        "heartbeat_timeout": 1.5,
        "retry": rethinkdb.retry(0, 0),
        "tags": {"name": "letter"},
        "run_at": datetime(2030, 1, 1, tzinfo=UTC),
    }


def test_a_name_and_a_priority_come_out_as_they_went_in():
    options = rethinkdb.options({"name": "letter", "priority": "low"})
    document = rethinkdb.status(submitted(options=options).record)
    assert (document["name"], document["priority"], document["timeout"]) == ("letter", "low", 300_000)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", ""),
        ("name", 5),
        ("priority", "urgent"),
        ("priority", 40),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", 0.5),
        ("retryMax", -1),
        ("retryDelay", -1),
        ("repeat", True),
        ("repeat", 3),
        ("repeatDelay", -1),
        ("dateEnable", "later"),
        ("dateEnable", datetime(2030, 1, 1)),  # noqa: DTZ001 - it is refused for that
        ("delay", 5),
    ],
)
def test_what_is_refused_there_or_is_not_here_is_refused(option: str, value: object):
    with pytest.raises(InvalidOption) as refused:
        rethinkdb.options({option: value})
    assert refused.value.option == option
