"""PipesHub's view: milliseconds, attempts counted when they end, and the options of PipesHub and of BullMQ."""

from datetime import UTC, datetime, timedelta

import pytest

from actorq.config import JITTER_LIMIT, LONGEST_S
from actorq.core import commands as c
from actorq.core.job import HoldReason, JobState, Reason
from actorq.core.retry import Retry
from actorq.errors import InvalidOption
from actorq.views import Meaning, pipeshub

from .life import EPOCH, Life, submitted, waiting

START = round(EPOCH * 1000)

# -- the document ----------------------------------------------------------------------------------


def test_a_status_has_the_fields_of_the_document_and_no_others():
    assert pipeshub.status(submitted(payload=b'[[],{"connector":"drive"}]').record) == {
        "id": "j1",
        "name": "mail",
        "data": {"connector": "drive"},
        "progress": 0.0,
        "delay": 0,
        "timestamp": START,
        "attemptsMade": 0,
        "processedOn": START,
        "finishedOn": None,
        "failedReason": None,
        "state": "active",
    }


def test_times_are_whole_milliseconds():
    life = submitted(delay=1.2345).rest(1.2345)
    life.now += 0.5
    status = pipeshub.status(life.finish().record)
    assert (status["processedOn"], status["finishedOn"]) == (START + 1234, START + 1734)
    assert all(type(status[field]) is int for field in ("timestamp", "processedOn", "finishedOn", "delay"))


def test_attempts_are_counted_when_they_end():
    life = submitted()
    seen = [pipeshub.status(life.record)["attemptsMade"]]
    for step in (life.fail, lambda: life.rest(10.0), life.finish):
        step()
        seen.append(pipeshub.status(life.record)["attemptsMade"])
    assert seen == [0, 1, 1, 2]


def test_a_delay_counts_from_when_the_job_came_to_wait():
    assert pipeshub.status(submitted(delay=2.5).record)["delay"] == 2_500
    life = submitted().rest(3.0).fail()
    assert pipeshub.status(life.record)["delay"] == 10_000
    assert pipeshub.status(life.rest(10.0).record)["delay"] == 0


def test_progress_is_a_number_of_a_hundred_or_an_object_if_there_is_more_to_say():
    life = submitted().do(c.ShowProgress("j1", 1, 0.29))
    assert pipeshub.status(life.record)["progress"] == 29.0
    life.rest(1.0).do(c.ShowProgress("j1", 1, 0.5, 5.0, 10.0))
    assert pipeshub.status(life.record)["progress"] == {"percentage": 50.0, "current": 5.0, "total": 10.0}


@pytest.mark.parametrize(
    ("life", "reason"),
    [
        (waiting(), None),
        (submitted().fail("boom"), "boom"),
        (submitted().fail("boom", retryable=False), "boom"),
        (submitted().fail("boom").rest(10.0).finish(), None),
        (submitted().fail("quiet", Reason.HEARTBEAT), "job stalled more than allowable limit"),
        (submitted(task="unknown"), None),
        (waiting().do(c.Cancel("j1", "enough")), "enough"),
        (submitted().die(Reason.KILLED), "exit code 9"),
        (submitted().die(), None),
        (submitted().fail("boom").rest(10.0).die(), "boom"),
        (submitted(options={"max_interruptions": 1}).die(), "exit code 9"),
        (submitted(options={"max_interruptions": 1}).crash(), "job stalled more than allowable limit"),
        (submitted(options={"max_interruptions": 9}).die().die().rest(10.0), None),
    ],
    ids=[
        "waiting",
        "retried",
        "failed",
        "succeeded",
        "stalled",
        "parked",
        "cancelled",
        "killed",
        "taken back",
        "taken back after a failure",
        "exited too often",
        "interrupted too often",
        "parked with its task",
    ],
)
def test_the_reason_of_a_failure_is_a_text(life: Life, reason: str | None):
    assert pipeshub.status(life.record)["failedReason"] == reason


# -- words read back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("waiting", Meaning(JobState.QUEUED)),
        ("prioritized", Meaning(JobState.QUEUED)),
        ("active", Meaning(JobState.RUNNING)),
        ("stuck", Meaning(JobState.RUNNING, stalled=True)),
        ("completed", Meaning(JobState.SUCCEEDED)),
        ("failed", Meaning(JobState.FAILED)),
        ("delayed", Meaning(JobState.SCHEDULED, HoldReason.DELAY)),
        ("paused", Meaning(JobState.PAUSED)),
    ],
)
def test_a_state_has_a_meaning(word: str, meaning: Meaning):
    assert pipeshub.parse_state(word) == meaning


def test_a_delayed_job_that_made_attempts_waits_for_its_next_one():
    assert pipeshub.parse_state("delayed", attempts_made=1) == Meaning(JobState.SCHEDULED, HoldReason.RETRY)


def test_a_word_that_is_not_known_comes_back_unchanged():
    assert pipeshub.parse_state("waiting-children") == "waiting-children"


# -- retry -----------------------------------------------------------------------------------------


def waits(rule: Retry, n: int = 4) -> list[float]:
    return [rule.wait("j", failures) for failures in range(1, n + 1)]


def test_the_waits_double_from_five_seconds():
    assert waits(pipeshub.retry()) == [5.0, 10.0, 20.0, 40.0]
    assert pipeshub.retry().max_attempts == 3


def test_fixed_waits_are_all_the_same():
    assert waits(pipeshub.retry(3, 1_500, "fixed")) == [1.5, 1.5, 1.5, 1.5]


def test_nothing_cuts_a_long_wait():
    assert pipeshub.retry(30, 5_000).wait("j", 20) == 5.0 * 2**19


@pytest.mark.parametrize("jitter", [0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("failures", [1, 2, 3, 4])
def test_jitter_takes_off_up_to_its_part(jitter: float, failures: int):
    full = 5.0 * 2 ** (failures - 1)
    found = [pipeshub.retry(jitter=jitter).wait(f"j{i}", failures) for i in range(300)]
    least = full * (1 - jitter)
    assert least <= min(found) <= least + full * 0.05
    assert full * 0.95 <= max(found) <= full * 1.000001


def test_full_jitter_comes_as_near_to_no_wait_as_the_limit_allows():
    assert pipeshub.retry(jitter=1.0).delay == pytest.approx(5.0 / (1 + JITTER_LIMIT))


@pytest.mark.parametrize("jitter", [-0.1, 1.1, "1", float("nan"), True])
def test_jitter_is_a_part(jitter: float):
    with pytest.raises(InvalidOption):
        pipeshub.retry(jitter=jitter)


# -- PipesHub's options ------------------------------------------------------------------------------

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_a_crawl_has_pipeshubs_defaults():
    assert pipeshub.options({}) == {"priority": 0, "timeout": 300.0, "retry": pipeshub.retry(4)}


@pytest.mark.parametrize(("theirs", "ours"), [(1, 4), (5, 0), (10, -5)])
def test_priority_one_comes_first(theirs: int, ours: int):
    assert pipeshub.options({"priority": theirs})["priority"] == ours


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (3, 4), (10, 11)])
def test_retries_are_runs_after_the_first_and_none_is_none(retries: int, attempts: int):
    assert pipeshub.options({"maxRetries": retries})["retry"].max_attempts == attempts


def test_a_timeout_is_kept():
    assert pipeshub.options({"timeout": 1_500})["timeout"] == 1.5


def test_a_crawl_may_be_scheduled_once():
    schedule = {"scheduleType": "once", "scheduledTime": "2024-01-01T00:00:01.000Z", "timezone": "UTC"}
    known = pipeshub.options({"scheduleConfig": {**schedule, "isEnabled": True}}, now=NOW)
    assert known["run_at"] == NOW + timedelta(seconds=1)


def test_without_a_now_it_is_that_of_the_wall_clock():
    schedule = {"scheduleType": "once", "scheduledTime": datetime.now(UTC) + timedelta(days=1)}
    assert pipeshub.options({"scheduleConfig": schedule})["run_at"] == schedule["scheduledTime"]


@pytest.mark.parametrize(
    ("option", "schedule"),
    [
        ("scheduledTime", {"scheduleType": "once"}),
        ("scheduledTime", {"scheduleType": "once", "scheduledTime": "2024-01-01T00:00:00Z"}),
        ("scheduledTime", {"scheduleType": "once", "scheduledTime": "2024-02-01T00:00:00"}),
        ("scheduledTime", {"scheduleType": "once", "scheduledTime": "soon"}),
        ("scheduledTime", {"scheduleType": "once", "scheduledTime": 5}),
        ("isEnabled", {"scheduleType": "once", "scheduledTime": "2024-02-01T00:00:00Z", "isEnabled": False}),
        ("isEnabled", {"scheduleType": "once", "scheduledTime": "2024-02-01T00:00:00Z", "isEnabled": "no"}),
        ("timezone", {"scheduleType": "once", "scheduledTime": "2024-02-01T00:00:00Z", "timezone": 1}),
        ("scheduleType", {"scheduleType": "daily"}),
        ("scheduleType", {}),
        ("cronExpression", {"scheduleType": "custom", "cronExpression": "* * * * *"}),
        ("scheduleConfig", "daily"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(option: str, schedule: object):
    with pytest.raises(InvalidOption) as refused:
        pipeshub.options({"scheduleConfig": schedule}, now=NOW)
    assert refused.value.option == option


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("priority", 0),
        ("priority", 11),
        ("maxRetries", -1),
        ("maxRetries", 11),
        ("timeout", 999),
        ("timeout", 600_001),
        ("timeout", 1_000.5),
        ("attempts", 3),
    ],
)
def test_what_pipeshub_refuses_is_refused(option: str, value: object):
    with pytest.raises(InvalidOption) as refused:
        pipeshub.options({option: value})
    assert refused.value.option == option


# -- BullMQ's options --------------------------------------------------------------------------------


def test_a_job_has_bullmqs_defaults():
    known = pipeshub.bullmq_options({})
    assert (known["priority"], known["delay"]) == (0, 0.0)
    assert (known["retry"].max_attempts, known["retry"].wait("j", 1)) == (1, 0.0)


def test_a_job_is_converted():
    known = pipeshub.bullmq_options({"priority": 7, "delay": 1_500, "attempts": 5, "jobId": "work", "lifo": False})
    assert {name: value for name, value in known.items() if name != "retry"} == {
        "priority": -7,
        "delay": 1.5,
        "key": "work",
        "on_conflict": "return_existing",
    }


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        (500, [0.5, 0.5, 0.5]),
        ({"type": "fixed", "delay": 250}, [0.25, 0.25, 0.25]),
        ({"type": "exponential", "delay": 1_000}, [1.0, 2.0, 4.0]),
        (None, [0.0, 0.0, 0.0]),
    ],
)
def test_a_backoff_is_a_number_or_an_object(backoff: object, expected: list[float]):
    assert waits(pipeshub.bullmq_options({"attempts": 4, "backoff": backoff})["retry"], 3) == expected


def test_a_backoff_may_have_jitter():
    rule = pipeshub.bullmq_options({"backoff": {"type": "fixed", "delay": 1_000, "jitter": 0.5}})["retry"]
    assert rule == Retry(1, 0.5, "fixed", 2.0, LONGEST_S, jitter=1.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("priority", -1),
        ("priority", 2**21),
        ("attempts", 0),
        ("delay", -1),
        ("jobId", ""),
        ("jobId", 5),
        ("backoff", "soon"),
        ("backoff", -1),
        ("lifo", True),
        ("removeOnComplete", 10),
        ("removeOnFail", True),
        ("repeat", {"every": 1000}),
        ("parent", {"id": "1"}),
        ("deduplication", {"id": "1"}),
        ("timeout", 5),
    ],
)
def test_what_bullmq_refuses_or_is_not_here_is_refused(option: str, value: object):
    with pytest.raises(InvalidOption) as refused:
        pipeshub.bullmq_options({option: value})
    assert refused.value.option == option


@pytest.mark.parametrize(
    ("option", "value"), [("type", "linear"), ("delay", -1), ("jitter", 2.0), ("jitter", "a"), ("factor", 2)]
)
def test_a_backoff_of_another_kind_is_refused(option: str, value: object):
    with pytest.raises(InvalidOption) as refused:
        pipeshub.bullmq_options({"backoff": {"type": "fixed", option: value}})
    assert refused.value.option == option
