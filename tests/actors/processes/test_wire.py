"""What a queue and its processes say to each other arrives as it was sent, or not at all."""

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorq.actors.processes import Reference, wire
from actorq.config import FRAME_LIMIT
from actorq.core import commands as c
from actorq.core.job import Failure, JobOptions, Reason
from actorq.core.retry import Retry

FAILURE = Failure(Reason.ERROR, "ValueError", "bad", "Traceback …", 2, 1.5)
OPTIONS = JobOptions(
    priority=-3,
    retry=Retry(5, 0.5, on=[ValueError], never=[KeyError]),
    timeout=5,
    heartbeat_timeout=0.5,
    deadline=60,
    tags={"a": "b", "c": ""},
    dead_letter="task",
    run_in="process",
    memory_mb=100,
    max_snoozes=3,
)

TO_CHILD = [
    wire.Prepare(["prog", "-x"], None, "/main.py", "trio"),
    wire.Prepare([], "package.module", None, "asyncio"),
    wire.Run("id", "task", b'[["\\"\xc3\xa4"],{}]', OPTIONS, 1.5, 2, 7, Reference("m", "f.g"), True, False, 1e9),
    wire.Run("id", "task", b"", JobOptions(), 1.5, 2, 7, Reference("m", "f.g"), False, True, 1e9),
    wire.Cancel(Reason.TIMEOUT),
    wire.AskStack(),
]

FROM_CHILD = [
    wire.Ready(),
    wire.NotReady("Traceback …"),
    wire.Stack("here"),
    wire.Said(c.Beat("id", 7)),
    wire.Said(c.Extend("id", 7, 1.5)),
    wire.Said(c.ShowProgress("id", 7, 0.5, None, 2.0, "half")),
    wire.Said(c.Log("id", 7, "info", "line", b'{"a":[1]}')),
    wire.Over(c.Finish("id", 7, b'{"a":"\xc3\xa4"}'), 12),
    wire.Over(c.Fail("id", 7, FAILURE, retryable=False), 0),
    wire.Over(c.Fail("id", 7, FAILURE, delay=2.5), 0),
    wire.Over(c.Snooze("id", 7, 5.0), 0),
    wire.Over(c.Quit("id", 7, "enough"), 0),
    wire.Over(c.Park("id", 7, FAILURE), 0),
]


def unframe(data: bytes) -> bytes:
    [text] = wire.Frames().feed(data)
    return text


@pytest.mark.parametrize("message", TO_CHILD)
def test_what_the_queue_says_arrives(message: Any) -> None:
    assert wire.to_child(unframe(wire.encode(message))) == message


@pytest.mark.parametrize("message", FROM_CHILD)
def test_what_a_process_says_arrives(message: Any) -> None:
    assert wire.from_child(unframe(wire.encode(message))) == message


def test_half_a_character_does_not_stop_a_message() -> None:
    message = wire.Over(c.Quit("id", 7, "\ud800"), 0)
    assert wire.from_child(unframe(wire.encode(message))) == wire.Over(c.Quit("id", 7, "\\ud800"), 0)


@given(st.lists(st.integers(1, 60)))
def test_messages_arrive_however_they_are_cut(sizes: list[int]) -> None:
    data = b"".join(map(wire.encode, FROM_CHILD))
    frames, found = wire.Frames(), []
    for size in [*sizes, len(data)]:
        found += frames.feed(data[:size])
        data = data[size:]
    assert list(map(wire.from_child, found)) == FROM_CHILD


def test_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(wire.Garbage, match="the limit is"):
        wire.encode(wire.Stack("x" * FRAME_LIMIT))


def test_message_that_claims_to_be_too_long_is_not_awaited() -> None:
    with pytest.raises(wire.Garbage, match="the limit is"):
        list(wire.Frames().feed(pack(">I", FRAME_LIMIT + 1)))


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b'{"is":"Run"}', b'{"is":"Said","report":{"is":"Quit"}}'])
def test_what_is_no_message_is_garbage(text: bytes) -> None:
    with pytest.raises(wire.Garbage, match="cannot be read"):
        wire.from_child(text)


@given(st.binary(max_size=100))
def test_bytes_of_any_kind_are_a_message_or_garbage(data: bytes) -> None:
    try:
        for text in wire.Frames().feed(data):
            wire.from_child(text)
    except wire.Garbage:
        pass
