"""Errors say what happened, where, and what to do next; and keep it as attributes."""

from typing import Any

import pytest

from actorq import errors as er

MADE: list[tuple[er.ActorqError, dict[str, Any], str]] = [
    (
        er.QueueFull(3, 1, 10),
        {"asked": 3, "room": 1, "limit": 10},
        r"No room for 3 more: 1 of max_pending=10 are free\. Await submit\(\)",
    ),
    (er.QueueFull(3, 1, 10, advice="Come back."), {}, r"free\. Come back\.$"),
    (
        er.QueueClosed("mail", "closing"),
        {"name": "mail", "when": "closing"},
        r"Queue 'mail' is closing\. Use it inside 'async with queue:'",
    ),
    (
        er.PayloadError("send", "argument 'to'", "a socket is not JSON"),
        {"task": "send", "where": "argument 'to'", "why": "a socket is not JSON"},
        r"^Task 'send': argument 'to' cannot be stored: a socket is not JSON\.$",
    ),
    (
        er.InvalidOption("timeout", -1, "must be more than zero"),
        {"option": "timeout", "value": -1, "why": "must be more than zero"},
        r"^timeout=-1: must be more than zero\.$",
    ),
    (
        er.InvalidCursor("x-1"),
        {"cursor": "x-1"},
        r"^cursor='x-1' is not of this query\. Give the cursor of a Page as it is, with the same filter and order",
    ),
    (
        er.UnstorableTask("<lambda>", "give it a name"),
        {"name": "<lambda>", "why": "give it a name"},
        r"^<lambda>: give it a name\.$",
    ),
    (
        er.UnsendableTask("<lambda>", "a process would not find it"),
        {"name": "<lambda>", "why": "a process would not find it"},
        r"^<lambda>: a process would not find it\.$",
    ),
    (
        er.JobFailed("j7", "send", "error", "OSError", "no route", "Traceback …", 3),
        {"job_id": "j7", "task": "send", "reason": "error", "type": "OSError", "attempts": 3},
        r"^Job j7 \(send\) failed after 3 attempts, reason error: OSError: no route$",
    ),
    (
        er.JobFailed("j7", "send", "timeout", "TimeoutPassed", "", "", 1),
        {"message": "", "traceback": ""},
        r"failed after 1 attempt, reason timeout: TimeoutPassed$",
    ),
    (
        er.JobCancelled("j7", "send", "client_request", "enough"),
        {"job_id": "j7", "task": "send", "reason": "client_request", "message": "enough"},
        r"^Job j7 \(send\) was cancelled, reason client_request: enough$",
    ),
    (er.JobCancelled("j7", "send", "handler", ""), {}, r"reason handler$"),
    (er.JobLost("j7"), {"job_id": "j7"}, r"^Job j7 is not known .* retention=\.$"),
    (er.JobNotFound("j7"), {"job_id": "j7"}, r"^There is no job j7 in this queue\.$"),
    (
        er.InvalidState("j7", "running", "rerun"),
        {"job_id": "j7", "state": "running", "verb": "rerun"},
        r"^Cannot rerun job j7: it is running\.$",
    ),
    (er.StoreError("/q", "is a file"), {"path": "/q"}, r"^/q: is a file$"),
    (
        er.StoreLocked("/q", "pid 7"),
        {"path": "/q", "owner": "pid 7"},
        r"^/q: in use by pid 7\. One queue owns a directory",
    ),
    (
        er.StoreCorrupt("/q/a", 12, "a wrong sum", "Open with recovery='salvage'."),
        {"path": "/q/a", "line": 12, "why": "a wrong sum"},
        r"^/q/a: line 12: a wrong sum\. Nothing was changed\. Open with recovery='salvage'\.$",
    ),
    (
        er.StoreTooNew("/q/a", 3, 1),
        {"found": 3, "supported": 1},
        r"^/q/a: format version 3, but this actorq reads up to 1: upgrade actorq\.$",
    ),
    (er.UnknownTask("send"), {"name": "send"}, r"^Unknown task 'send': import the module"),
    (er.UnknownTask("send", "spell it well"), {}, r"^Unknown task 'send': spell it well\.$"),
    (
        er.WorkersKeepDying(5, 60.0, "job j7 ignored cancellation"),
        {"deaths": 5, "window_s": 60.0},
        r"5 workers .* within 60 s \(the last: job j7 ignored.*raise restarts=\.$",
    ),
    (er.InternalError("a job fell down"), {}, r"^a job fell down\. This is a bug in actorq"),
]


@pytest.mark.parametrize(
    ("error", "attributes", "message"),
    MADE,
    ids=[f"{type(error).__name__}-{i}" for i, (error, _, _) in enumerate(MADE)],
)
def test_an_error_keeps_its_data_and_says_what_to_do(
    error: er.ActorqError, attributes: dict[str, Any], message: str
) -> None:
    assert {name: getattr(error, name) for name in attributes} == attributes
    with pytest.raises(type(error), match=message):
        raise error


@pytest.mark.parametrize(
    ("verdict", "attributes", "message"),
    [
        (er.RetryAfter(5), {"seconds": 5}, "retry after 5 s"),
        (er.RetryAfter(5, "busy"), {"seconds": 5}, "busy"),
        (er.Snooze(), {"seconds": 0.0}, r"snooze 0\.0 s"),
        (er.Unrecoverable("no such user"), {}, "no such user"),
        (er.CancelJob("too late"), {"reason": "too late"}, "too late"),
    ],
    ids=["retry", "retry with a message", "snooze", "unrecoverable", "cancel"],
)
def test_a_verdict_keeps_its_data(verdict: er.Verdict, attributes: dict[str, Any], message: str) -> None:
    assert {name: getattr(verdict, name) for name in attributes} == attributes
    assert not isinstance(verdict, er.ActorqError)
    with pytest.raises(er.Verdict, match=message):
        raise verdict


@pytest.mark.parametrize("kind", [er.InvalidCursor, er.InvalidOption, er.UnsendableTask, er.UnstorableTask])
def test_wrong_values_are_value_errors_too(kind: type[Exception]) -> None:
    assert issubclass(kind, ValueError)
    assert issubclass(kind, er.Refused)


def test_every_error_has_the_root_above_it_but_the_one_that_no_except_exception_may_stop() -> None:
    kinds = {getattr(er, name) for name in er.__all__}
    others = {kind for kind in kinds if not issubclass(kind, er.ActorqError | er.Verdict)}
    assert others == {er.AttemptCancelled}
    assert not issubclass(er.AttemptCancelled, Exception)


@pytest.mark.parametrize(
    ("cancelled", "message"),
    [
        (er.AttemptCancelled("timeout"), "the attempt was asked to stop, reason timeout"),
        (er.AttemptCancelled(), "the attempt was asked to stop"),
    ],
    ids=["with a reason", "without"],
)
def test_the_error_that_stops_a_function_says_why(cancelled: er.AttemptCancelled, message: str) -> None:
    assert str(cancelled) == message
    assert message.endswith(cancelled.reason)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert er.__doc__ is not None
    assert [name for name in er.__all__ if name not in er.__doc__] == []
