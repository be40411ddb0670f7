"""DataQueue's view: numeric ids, ``failed`` with and without a next attempt, and its three retry formulas."""

from datetime import UTC, datetime
from typing import Any

import pytest

from actorq.config import LONGEST_S
from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState, Reason
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.views import Meaning, dataqueue

from .life import Life, submitted, waiting

START = "2023-11-14T22:13:20.000Z"
LATER = "2023-11-14T22:13:30.000Z"

# -- the document ----------------------------------------------------------------------------------


def test_a_record_has_the_fields_of_the_document_and_no_others():
    options: dict[str, Any] = {"priority": 3, "timeout": 1.5, "tags": ["a", "b"], "dead_letter": "morgue"}
    assert dataqueue.status(submitted(options=options, key="k").record) == {
        "id": 1,
        "jobType": "mail",
        "payload": 1,
        "status": "processing",
        "createdAt": START,
        "updated_at": START,
        "locked_at": START,
        "locked_by": "worker-1",
        "attempts": 1,
        "maxAttempts": 2,
        "nextAttemptAt": None,
        "priority": 3,
        "runAt": START,
        "pendingReason": None,
        "errorHistory": [],
        "timeoutMs": 1500,
        "failureReason": None,
        "completedAt": None,
        "startedAt": START,
        "lastRetriedAt": None,
        "lastFailedAt": None,
        "lastCancelledAt": None,
        "tags": ["a", "b"],
        "idempotencyKey": "k",
        "progress": None,
        "output": None,
        "deadLetterJobType": "morgue",
        "deadLetteredAt": None,
        "deadLetterJobId": None,
    }


def some(life: Life, *fields: str) -> list[Any]:
    document = dataqueue.status(life.record)
    return [document[field] for field in fields]


def test_only_what_runs_is_locked():
    assert some(waiting(), "locked_at", "locked_by", "timeoutMs") == [None, None, None]
    assert some(submitted().finish(), "locked_at", "locked_by") == [None, None]


def test_failed_has_a_next_attempt_as_long_as_one_follows():
    life = submitted().fail()
    assert some(life, "status", "nextAttemptAt", "runAt") == ["failed", LATER, START]
    assert some(life.busy().rest(10.0), "status", "nextAttemptAt", "attempts") == ["failed", LATER, 1]
    again = submitted().fail().rest(10.0).fail()
    assert some(again, "status", "nextAttemptAt", "attempts") == ["failed", None, 2]


def test_the_history_of_errors_is_kept_and_no_cancellation_is_in_it():
    life = submitted().fail("first").rest(10.0)
    assert some(life, "errorHistory", "lastFailedAt", "lastRetriedAt") == [
        [{"message": "first", "timestamp": START}],
        START,
        LATER,
    ]
    life.do(c.Quit("j1", 2, "no use"))
    fields = ("status", "lastFailedAt", "failureReason", "lastCancelledAt", "updated_at")
    assert some(life, *fields) == ["cancelled", START, "handler_error", LATER, LATER]
    assert some(life, "errorHistory") == [[{"message": "first", "timestamp": START}]]


def test_a_job_that_failed_without_a_run_has_its_error_in_the_history():
    history, reason = some(waiting(options={"expires": 10.0}).rest(10.0), "errorHistory", "failureReason")
    assert [one["timestamp"] for one in history] == [LATER]
    assert reason == "timeout"


def test_silence_has_no_reason_there():
    assert some(submitted().fail("quiet", Reason.HEARTBEAT), "failureReason") == [None]


def test_started_is_the_first_pick_up():
    life = submitted().fail().rest(10.0)
    assert some(life, "startedAt", "locked_at") == [START, LATER]


def test_a_rerun_is_a_retry_by_hand_and_its_attempts_begin_anew():
    life = submitted().finish()
    life.now += 10.0
    life.busy().do(c.Rerun("j1"))
    assert some(life, "status", "attempts", "lastRetriedAt", "completedAt", "updated_at") == [
        "pending",
        0,
        LATER,
        None,
        LATER,
    ]


def test_a_rerun_that_is_to_come_has_changed_nothing_yet():
    life = submitted().finish().do(c.Rerun("j1", 10.0))
    assert some(life, "status", "runAt", "updated_at") == ["pending", LATER, START]


@pytest.mark.parametrize(
    ("life", "reason"),
    [
        (waiting(), None),
        (waiting().do(c.Pause("j1")), '{"reason": "paused"}'),
        (submitted(task="unknown"), '{"reason": "no_task"}'),
    ],
    ids=["ready", "paused", "parked"],
)
def test_what_waits_for_more_than_its_time_says_for_what(life: Life, reason: str | None):
    assert some(life, "pendingReason") == [reason]


def test_progress_is_whole_percent_and_the_output_is_the_result():
    life = submitted().do(c.ShowProgress("j1", 1, 0.336))
    assert some(life, "progress") == [34]
    assert some(life.finish(b'{"n":1}'), "progress", "output", "completedAt") == [100, {"n": 1}, START]


def test_a_dead_letter_is_failed_with_a_time_and_the_number_of_the_job_made_of_it():
    life = submitted(options={"dead_letter": "morgue"}).fail(retryable=False)
    letter = life.of(life.record.dead_letter_job_id or "")
    document = dataqueue.status(life.record, letter)
    assert (document["status"], document["deadLetteredAt"], document["deadLetterJobId"]) == ("failed", START, 2)
    assert dataqueue.status(life.record)["deadLetterJobId"] is None


# -- words read back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "beside", "meaning"),
    [
        ("pending", {}, Meaning(JobState.QUEUED)),
        ("pending", {"ahead": True}, Meaning(JobState.SCHEDULED, HoldReason.DELAY)),
        ("processing", {}, Meaning(JobState.RUNNING)),
        ("completed", {}, Meaning(JobState.SUCCEEDED)),
        ("cancelled", {}, Meaning(JobState.CANCELLED)),
        ("failed", {}, Meaning(JobState.FAILED)),
        ("failed", {"dead_lettered_at": START}, Meaning(JobState.DEAD_LETTER)),
        ("failed", {"next_attempt_at": START}, Meaning(JobState.QUEUED)),
        ("failed", {"next_attempt_at": START, "ahead": True}, Meaning(JobState.SCHEDULED, HoldReason.RETRY)),
    ],
)
def test_a_status_with_the_fields_beside_it_has_a_meaning(word: str, beside: dict[str, Any], meaning: Meaning):
    assert dataqueue.parse_state(word, **beside) == meaning


@pytest.mark.parametrize("word", ["waiting", "queued"])
def test_a_status_that_means_nothing_here_is_refused(word: str):
    with pytest.raises(InvalidOption):
        dataqueue.parse_state(word)


# -- retry -----------------------------------------------------------------------------------------


def test_if_nothing_is_said_the_waits_are_powers_of_two_in_minutes():
    rule = dataqueue.retry(10)
    assert [rule.wait("j", n) for n in range(1, 8)] == [60.0 * 2**n for n in range(1, 8)]


@pytest.mark.parametrize("failures", range(1, 6))
def test_else_they_double_and_chance_takes_up_to_half_off(failures: int):
    full = 10.0 * 2**failures
    found = [dataqueue.retry(retry_delay=10).wait(f"j{i}", failures) for i in range(300)]
    assert full * 0.5 <= min(found) <= full * 0.52
    assert full * 0.98 <= max(found) <= full


def test_the_longest_wait_is_cut_before_chance_takes_off():
    found = [dataqueue.retry(20, retry_delay=10, retry_delay_max=100).wait(f"j{i}", 12) for i in range(300)]
    assert 50.0 <= min(found) <= 51.0
    assert 99.0 <= max(found) <= 100.0


def test_without_backoff_they_are_all_the_same():
    rule = dataqueue.retry(retry_backoff=False)
    assert [rule.wait("j", n) for n in (1, 2, 3)] == [60.0, 60.0, 60.0]


def test_a_backoff_alone_begins_with_a_minute():
    assert dataqueue.retry(retry_backoff=True) == dataqueue.retry(retry_delay=60)


# -- options ---------------------------------------------------------------------------------------


def test_a_job_has_dataqueues_defaults():
    assert dataqueue.options({}) == {"retry": dataqueue.retry(3), "priority": 0, "timeout": None, "tags": []}
    assert dataqueue.retry(3) == Retry(3, 120.0, cap=LONGEST_S, jitter=0.0)


def test_a_job_is_converted():
    body = {"jobType": "mail", "payload": {}, "maxAttempts": 5, "priority": -2, "runAt": "2030-01-01T00:00:00Z"}
    more = {"timeoutMs": 1_500, "tags": ["a"], "idempotencyKey": "k", "retryDelay": 5, "retryDelayMax": 50}
    last = {"deadLetterJobType": "morgue", "group": {"id": "red", "tier": "gold"}, "forceKillOnTimeout": False}
    assert dataqueue.options({**body, **more, **last}) == {
        "retry": dataqueue.retry(5, retry_delay=5, retry_delay_max=50),
        "priority": -2,
        "timeout": 1.5,
        "tags": ["a"],
        "run_at": datetime(2030, 1, 1, tzinfo=UTC),
        "key": "k",
        "on_conflict": "return_existing",
        "dead_letter": "morgue",
        "group": "red",
    }


def test_what_is_to_be_killed_at_its_timeout_runs_in_a_process_and_has_no_grace():
    known = dataqueue.options({"forceKillOnTimeout": True, "timeoutMs": 500})
    assert (known["run_in"], known["grace"], known["timeout"]) == ("process", 0.0, 0.5)


def test_a_fixed_delay_is_asked_for_by_no_backoff():
    assert dataqueue.options({"retryBackoff": False, "retryDelay": 7})["retry"].wait("j", 3) == 7.0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("maxAttempts", 0),
        ("maxAttempts", "3"),
        ("priority", 1.5),
        ("timeoutMs", 0),
        ("timeoutMs", -5),
        ("runAt", "2030-01-01"),
        ("forceKillOnTimeout", 0),
        ("tags", "a"),
        ("tags", [1]),
        ("tags", {"a": "b"}),
        ("idempotencyKey", ""),
        ("retryDelay", -1),
        ("retryDelayMax", -1),
        ("retryBackoff", "yes"),
        ("deadLetterJobType", 5),
        ("dependsOn", {"jobIds": [1]}),
        ("group", "red"),
        ("id", None),
        ("maxRetries", 3),
    ],
)
def test_what_dataqueue_refuses_or_is_not_here_is_refused(option: str, value: object):
    body = {"group": {}} if option == "id" else {option: value}
    with pytest.raises(InvalidOption) as refused:
        dataqueue.options(body)
    assert refused.value.option == option
