"""A job is led by the real core through each situation there is, and each of the five finds his word for it.

The table stands here a second time, typed from the descriptions of the five systems and not from the code.
"""

from collections.abc import Callable

import pytest

from actorq import views
from actorq.core import commands as c
from actorq.core.job import Failure, HoldReason, JobState, Reason
from actorq.views.situation import Situation, situation_of
from actorq.views.vocabulary import REASONS, STATES

from .life import Life, submitted, waiting

Row = tuple[str, str, str, str, str]


def delayed() -> Life:
    return submitted(delay=60.0)


def retry_delayed() -> Life:
    return submitted().fail()


def interrupted_again() -> Life:
    return submitted().crash().crash()


def after_failure() -> Life:
    return submitted().fail().busy().rest(10.0)


def by_rerun() -> Life:
    return submitted().finish().busy().do(c.Rerun("j1"))


def rerun_after_a_cancel_before_any_run() -> Life:
    return waiting().do(c.Cancel("j1"), c.Rerun("j1"))


def reclaimed() -> Life:
    life = submitted()
    return life.do(c.PauseAll()).crash()


def reclaimed_after_a_failure() -> Life:
    return submitted().fail().rest(10.0).do(c.PauseAll()).crash()


def snoozed() -> Life:
    return submitted().do(c.Snooze("j1", 1, 30.0))


def snoozed_and_due() -> Life:
    return snoozed().busy().rest(30.0)


def paused_while_queued() -> Life:
    return waiting().do(c.Pause("j1"))


def paused_while_retried() -> Life:
    return retry_delayed().do(c.Pause("j1"))


def held_by_its_key() -> Life:
    life = Life()
    life.machine.step([c.SetWorkers(2)], life.now)
    life.submit("j0", key="k").submit("j1", key="k", on_conflict="keep_last")
    return life


def taken_back() -> Life:
    life = submitted().do(c.PauseAll(stop=True))
    return life.do(c.Fail("j1", 1, failure_of_a_cancel()))


def failure_of_a_cancel() -> Failure:
    return Failure(Reason.CLIENT_REQUEST, "CancelledError")


def stalled() -> Life:
    return submitted(options={"heartbeat_timeout": 5.0}).rest(5.0)


def cancel_requested() -> Life:
    return submitted().do(c.Cancel("j1", "enough"))


def parked() -> Life:
    return submitted(task="unknown")


def parked_with_its_task() -> Life:
    return submitted(options={"max_interruptions": 9}).die().die().rest(10.0)


def killed_for_its_memory() -> Life:
    return submitted().die(Reason.KILLED)


def exited_once() -> Life:
    return submitted().do(c.PauseAll()).die()


def exited_too_often() -> Life:
    return submitted(options={"max_interruptions": 1}).die()


def interrupted_too_often() -> Life:
    return submitted(options={"max_interruptions": 1}).crash()


def handed_back_too_often() -> Life:
    return submitted(options={"max_snoozes": 0}).do(c.Snooze("j1", 1, 30.0))


def succeeded() -> Life:
    return submitted().finish()


def failed() -> Life:
    return retry_delayed().rest(10.0).fail()


def expired() -> Life:
    return waiting(options={"expires": 5.0}).rest(5.0)


def dead() -> Life:
    return submitted(options={"dead_letter": True}).fail(retryable=False)


def cancelled() -> Life:
    return waiting().do(c.Cancel("j1"))


def cancelled_by_itself() -> Life:
    return submitted().do(c.Quit("j1", 1, "no use"))


WAYS: dict[Callable[[], Life], Row] = {
    #                                      Iron         PipesHub     rethinkdb     DataQueue     Flare
    delayed: ("delayed", "delayed", "added", "pending", "scheduled"),
    retry_delayed: ("delayed", "delayed", "failed", "failed", "pending"),
    interrupted_again: ("delayed", "delayed", "failed", "pending", "pending"),
    waiting: ("queued", "waiting", "added", "pending", "pending"),
    after_failure: ("queued", "waiting", "failed", "failed", "pending"),
    by_rerun: ("queued", "waiting", "added", "pending", "pending"),
    rerun_after_a_cancel_before_any_run: ("queued", "waiting", "added", "pending", "pending"),
    reclaimed: ("queued", "waiting", "failed", "pending", "pending"),
    reclaimed_after_a_failure: ("queued", "waiting", "failed", "pending", "pending"),
    snoozed: ("delayed", "delayed", "added", "pending", "scheduled"),
    snoozed_and_due: ("queued", "waiting", "added", "pending", "pending"),
    taken_back: ("queued", "waiting", "added", "pending", "pending"),
    paused_while_queued: ("delayed", "paused", "added", "pending", "scheduled"),
    paused_while_retried: ("delayed", "paused", "added", "pending", "scheduled"),
    held_by_its_key: ("delayed", "waiting", "added", "pending", "scheduled"),
    parked: ("queued", "waiting", "added", "pending", "pending"),
    parked_with_its_task: ("queued", "waiting", "added", "pending", "pending"),
    killed_for_its_memory: ("delayed", "delayed", "failed", "failed", "pending"),
    exited_once: ("queued", "waiting", "failed", "pending", "pending"),
    exited_too_often: ("error", "failed", "terminated", "failed", "failed"),
    interrupted_too_often: ("error", "failed", "terminated", "failed", "failed"),
    handed_back_too_often: ("error", "failed", "terminated", "failed", "failed"),
    submitted: ("running", "active", "active", "processing", "processing"),
    stalled: ("running", "stuck", "active", "processing", "processing"),
    cancel_requested: ("cancelled", "active", "cancelled", "processing", "processing"),
    succeeded: ("success", "completed", "completed", "completed", "succeeded"),
    failed: ("error", "failed", "terminated", "failed", "failed"),
    expired: ("error", "failed", "terminated", "failed", "failed"),
    dead: ("error", "failed", "terminated", "failed", "dead_letter"),
    cancelled: ("cancelled", "failed", "cancelled", "cancelled", "cancelled"),
    cancelled_by_itself: ("cancelled", "failed", "cancelled", "cancelled", "cancelled"),
}


@pytest.mark.parametrize(("way", "row"), WAYS.items(), ids=[way.__name__ for way in WAYS])
def test_each_of_the_five_has_his_word_for_it(way: Callable[[], Life], row: Row):
    record = way().record
    assert (
        views.iron.state(record),
        views.pipeshub.state(record),
        views.rethinkdb.state(record),
        views.dataqueue.state(record),
        views.flare.state(record),
    ) == row


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_document_says_what_the_word_alone_says(way: Callable[[], Life]):
    record = way().record
    assert views.iron.status(record)["status"] == views.iron.state(record)
    assert views.pipeshub.status(record)["state"] == views.pipeshub.state(record)
    assert views.rethinkdb.status(record)["status"] == views.rethinkdb.state(record)
    assert views.dataqueue.status(record)["status"] == views.dataqueue.state(record)
    assert views.flare.status(record)["State"] == views.flare.state(record)


def test_the_ways_lead_through_every_situation_of_the_table():
    assert {situation_of(way().record) for way in WAYS} == set(Situation) == set(STATES)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_where_the_table_says_added_the_later_word_is_waiting(way: Callable[[], Life]):
    record = way().record
    first, later = views.rethinkdb.state(record), views.rethinkdb.state(record, first="waiting")
    assert later == ("waiting" if first == "added" else first)


NEAREST = {Situation.PAUSED, Situation.KEY_HELD, Situation.PARKED, Situation.RUNNING_CANCEL_REQUESTED}
"""Situations for which most have no word of their own: the way back leads elsewhere."""

EXACT = [way for way in WAYS if situation_of(way().record) not in NEAREST]


@pytest.mark.parametrize("way", EXACT, ids=lambda way: way.__name__)
def test_a_word_with_the_field_beside_it_leads_back_to_the_state(way: Callable[[], Life]):
    life = way()
    record = life.record
    ahead = record.due_at.timestamp() > life.now
    document = views.dataqueue.status(record)
    rest = {"next_attempt_at": document["nextAttemptAt"], "dead_lettered_at": document["deadLetteredAt"]}
    assert views.dataqueue.parse_state(document["status"], ahead=ahead, **rest).state is record.state
    assert views.flare.parse_state(views.flare.state(record), ahead=ahead).state is record.state
    meaning = views.rethinkdb.parse_state(views.rethinkdb.state(record), ahead=ahead)
    assert meaning.state is (JobState.FAILED if record.state is JobState.DEAD_LETTER else record.state)


def test_what_holds_a_job_is_read_back_from_the_field_beside_the_word():
    assert views.rethinkdb.parse_state("failed").hold_reason is HoldReason.RETRY
    assert views.flare.parse_state("pending", ahead=True).hold_reason is HoldReason.RETRY
    assert views.flare.parse_state("scheduled").hold_reason is HoldReason.DELAY


IRON_REASONS = {
    Reason.ERROR: "bad_exit",
    Reason.TIMEOUT: "timeout",
    Reason.HEARTBEAT: "timeout",
    Reason.KILLED: "killed",
    Reason.BAD_EXIT: "bad_exit",
    Reason.INTERRUPTED: "timeout",
    Reason.SNOOZED: "bad_exit",
    Reason.NO_TASK: "bad_exit",
    Reason.CLIENT_REQUEST: "client_request",
}

DATAQUEUE_REASONS = {
    Reason.ERROR: "handler_error",
    Reason.TIMEOUT: "timeout",
    Reason.HEARTBEAT: None,
    Reason.KILLED: "handler_error",
    Reason.BAD_EXIT: "handler_error",
    Reason.INTERRUPTED: None,
    Reason.SNOOZED: "handler_error",
    Reason.NO_TASK: "no_handler",
    Reason.CLIENT_REQUEST: None,
}


@pytest.mark.parametrize("reason", [Reason.ERROR, Reason.TIMEOUT, Reason.HEARTBEAT])
def test_why_a_job_failed_is_said_in_the_words_of_the_two_that_have_words(reason: Reason):
    record = submitted().fail(reason=reason, retryable=False).record
    assert views.iron.status(record)["reason"] == IRON_REASONS[reason]
    assert views.dataqueue.status(record)["failureReason"] == DATAQUEUE_REASONS[reason]


BY_REASON = {
    Reason.KILLED: lambda: killed_for_its_memory().rest(10.0).die(Reason.KILLED),
    Reason.BAD_EXIT: exited_too_often,
    Reason.INTERRUPTED: interrupted_too_often,
    Reason.SNOOZED: handed_back_too_often,
}


@pytest.mark.parametrize("reason", BY_REASON)
def test_what_died_under_a_job_is_said_in_the_words_of_the_two_that_have_words(reason: Reason):
    record = BY_REASON[reason]().record
    assert record.error is not None
    assert record.error.reason is reason
    assert views.iron.status(record)["reason"] == IRON_REASONS[reason]
    assert views.dataqueue.status(record)["failureReason"] == DATAQUEUE_REASONS[reason]


def test_each_reason_of_ours_has_theirs():
    assert set(REASONS) == set(Reason)
    assert {reason: REASONS[reason].iron for reason in IRON_REASONS} == IRON_REASONS
    assert {reason: REASONS[reason].dataqueue for reason in DATAQUEUE_REASONS} == DATAQUEUE_REASONS
    assert {row.iron for row in REASONS.values()} == {"timeout", "killed", "bad_exit", "client_request"}
    assert {row.dataqueue for row in REASONS.values()} == {"timeout", "handler_error", "no_handler", None}
