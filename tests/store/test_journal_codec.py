"""The format of a journal: every fact comes back as it was, and nonsense is damage, never a traceback from inside."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import fields
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq.config import (
    KEY_LIMIT,
    LINE_LIMIT,
    LINE_TARGET,
    NAME_LIMIT,
    PAYLOAD_LIMIT,
    RESULT_LIMIT,
    TAGS_LIMIT,
    TEXT_LIMIT,
)
from actorq.core import facts as f
from actorq.core.job import Failure, JobOptions, Progress, Reason
from actorq.core.lifecycle import TRANSITIONS
from actorq.core.retry import Retry
from actorq.store import journal_codec as codec
from actorq.store.journal_codec import (
    End,
    FactEncoder,
    Header,
    Transaction,
    TransactionDecoder,
    decode_header,
    decode_mark,
    encode_end,
    encode_header,
    encode_mark,
)
from actorq.store.line import HEADER_SEED, Damage, NewerVersion, frame, unframe

from .strategies import counts, failures, instants, json, json_values, names, numbers, options, progresses, texts

SALT = 12345

FORMATS = Path(__file__).parent / "formats"

OF_QUEUES = {f.QueuePaused, f.QueueResumed, f.GroupPaused, f.GroupResumed, f.LoopBlocked}
EVERY_KIND = {kind for _, kind in TRANSITIONS} | OF_QUEUES

ends = counts.map(lambda count: count + 1)

PARKING = [Reason.NO_TASK, Reason.BAD_PAYLOAD, Reason.TASK_PAUSED]
parkings = st.builds(Failure, st.sampled_from(PARKING), texts, message=texts)

OF_FIELD: dict[str, Any] = {
    "at": instants, "job_id": texts, "due_at": instants, "seq": counts, "task": texts, "payload": json,
    "options": st.just(JobOptions()) | options, "ephemeral": st.just(False), "attempt": ends, "claim": ends,
    "worker": counts, "progress": progresses, "level": texts, "message": texts, "data": st.just(b"") | json,
    "failure": failures, "result": json, "key": st.none() | texts, "retry_of": st.none() | texts,
    "dead_letter_of": st.none() | texts, "seconds": numbers, "group": names, "until": st.none() | instants,
    "stack": texts,
}  # fmt: skip


@st.composite
def some_facts(draw: st.DrawFn) -> list[f.Fact]:
    """Draw the facts of a transaction: contiguous, of one time."""
    at = draw(instants)
    found: list[f.Fact] = []
    n = draw(counts) + 1
    for kind in draw(st.lists(st.sampled_from(sorted(EVERY_KIND, key=str)), min_size=1, max_size=4)):
        values = {field.name: draw(OF_FIELD[field.name]) for field in fields(kind) if field.init}
        if kind is f.Edited:
            values["payload"] = draw(st.none() | json)
            values["options"] = draw(st.none() | st.just(JobOptions()) | options)
        if kind is f.Interrupted:
            values["failure"] = draw(st.none() | failures)
        if kind is f.Parked:
            values["failure"] = draw(parkings)
        if kind is f.Submitted and draw(st.booleans()):
            values |= {"payload": b"", "ephemeral": True}
        fact = kind(**values | {"at": at})
        fact.n = n + len(found)
        found.append(fact)
    return found


def decode(line: bytes) -> Any:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return TransactionDecoder(SALT).decode(line[:-1])


def numbered(*facts: f.Fact) -> list[f.Fact]:
    for n, fact in enumerate(facts, 1):
        fact.n = n
    return list(facts)


# ── transactions ─────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=10 * settings.default.max_examples)
@given(some_facts())
def test_every_fact_comes_back_as_it_was(facts: list[f.Fact]) -> None:
    (line,) = FactEncoder(SALT).encode(facts, facts[0].n - 1)
    said = decode(line)
    assert said == Transaction(facts[0].n, facts[0].n - 1, facts)
    assert list(map(type, said.facts)) == list(map(type, facts))
    assert [fact.n for fact in said.facts] == [fact.n for fact in facts]
    assert said.next == facts[-1].n + 1


def test_every_fact_has_its_rows_and_every_field_its_place() -> None:
    assert codec._WRITERS.keys() == {kind for kind, _, _ in codec._READERS.values()} == EVERY_KIND
    for kind, (name, _) in codec._WRITERS.items():
        found, parsers, required = codec._READERS[name]
        own = {field.name for field in fields(kind)} - {"at", "n", "job_id", "options"}
        own |= {"id"} if kind not in OF_QUEUES else {"job_id"} if fields(kind).job_id.init else set()
        assert found is kind
        assert parsers.keys() == own
        assert set(required) <= own
    assert {field.name for field in fields(Header)} == codec._HEADER.keys()
    assert {field.name for field in fields(End)} == codec._END.keys()


def test_what_is_at_its_default_is_left_out() -> None:
    facts = numbered(
        f.Submitted(1.5, "j", 1.5, 1, "t", b"[]", JobOptions()),
        f.Logged(1.5, "j", "info", "m", b""),
        f.Progressed(1.5, "j", Progress()),
    )
    (line,) = FactEncoder(SALT).encode(facts, 0)
    assert line[:-17] == (
        b'{"n":1,"d":0,"at":1.5,"facts":['
        b'{"t":"submitted","id":"j","seq":1,"task":"t","payload":[]},'
        b'{"t":"logged","id":"j","level":"info","message":"m"},'
        b'{"t":"progressed","id":"j","progress":{}}]'
    )


def test_a_large_transaction_goes_on_in_the_next_line() -> None:
    facts = numbered(*(f.Succeeded(1.0, f"j{i}", b'"%s"' % (b"x" * (LINE_TARGET // 3))) for i in range(8)))
    lines = list(FactEncoder(SALT).encode(facts, 0))
    said = [decode(line) for line in lines]
    assert [one.has_more for one in said] == [True, True, False]
    assert [one.n for one in said] == [1, 4, 7] == [1, *(one.next for one in said[:-1])]
    assert {one.durable for one in said} == {0}
    assert [fact for one in said for fact in one.facts] == facts
    assert max(map(len, lines)) < 2 * LINE_TARGET


def test_the_largest_fact_behind_others_fits_the_longest_line() -> None:
    """A control character takes six bytes of JSON; that is the worst that a text can do."""
    wide = "\x01" * NAME_LIMIT
    text = "\x01" * TEXT_LIMIT
    failure = Failure(Reason.ERROR, wide, text, text, 2**53, 1e300)
    tags = {chr(1000 + i) + wide[1:]: wide for i in range(TAGS_LIMIT)}
    retry = Retry(1_000_000, 1.5, "linear", 1.5, 1.5, 0.5, initial=1.5, spread=1.5)
    worst = JobOptions(-(2**31), retry, 1.5, 1.5, 1.5, 1.5, 1.5, tags, wide, wide)
    largest = [
        f.Submitted(
            1.5, "j" * 36, 1.25, 2**53, wide, b'"%s"' % (b"x" * (PAYLOAD_LIMIT - 2)), worst, key="\x01" * KEY_LIMIT
        ),
        f.Succeeded(1.5, "j", b'"%s"' % (b"x" * (RESULT_LIMIT - 2))),
        f.Failed(1.5, "j", failure),
        f.Logged(1.5, "j", "critical", text, b'"%s"' % (b"x" * (TEXT_LIMIT - 2))),
    ]
    for fact in largest:
        facts = numbered(f.Succeeded(1.5, "i", b'"%s"' % (b"x" * (LINE_TARGET - 100))), fact)
        (line,) = FactEncoder(SALT).encode(facts, 0)
        assert len(line) <= LINE_LIMIT
        assert decode(line).facts == facts


def test_what_could_not_be_read_again_is_not_written() -> None:
    facts = numbered(f.Succeeded(1.0, "j", b'"%s"' % (b"x" * LINE_LIMIT)))
    with pytest.raises(ValueError, match="a line has 1048576"):
        list(FactEncoder(SALT).encode(facts, 0))


def test_a_batch_of_jobs_with_like_options_reads_as_one_object() -> None:
    like = JobOptions(priority=5)
    facts = numbered(*(f.Submitted(1.0, f"j{i}", 1.0, i, "t", b"[]", like) for i in (1, 2)))
    (line,) = FactEncoder(SALT).encode(facts, 0)
    first, second = decode(line).facts
    assert first.options is second.options


SUBMITTED = {"t": "submitted", "id": "j", "seq": 1, "task": "t", "payload": []}


def said(**changes: Any) -> Any:
    """Return what a line says whose checksum is right, whatever is in it."""
    given = {"n": 5, "d": 4, "at": 1.5, "facts": [SUBMITTED]} | changes
    return decode(frame(orjson.dumps({name: value for name, value in given.items() if value != "gone"}), SALT))


def fact(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (SUBMITTED | changes).items() if value != "gone"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"n": "5"}, "n is not a whole number"),
        ({"n": "gone"}, "n is missing"),
        ({"n": 2**63 + 1}, "n is not a whole number"),
        ({"n": 0, "d": 0}, "the numbers of the line do not fit"),
        ({"d": 5}, "the numbers of the line do not fit"),
        ({"d": -1}, "d is not a whole number"),
        ({"at": None}, "at is not a number"),
        ({"at": "gone"}, "at is missing"),
        ({"more": 1}, "more is not true or false"),
        ({"facts": None}, "facts is not a list of facts"),
        ({"facts": {}}, "facts is not a list of facts"),
        ({"facts": [None]}, "facts is not a list of facts"),
        ({"facts": [{"id": "j"}]}, "facts is not a list of facts"),
        ({"facts": [{"t": 5}]}, "facts is not a list of facts"),
        ({"facts": []}, "the numbers of the line do not fit"),
        ({"facts": "gone"}, "facts is missing"),
        ({"facts": [{"t": "swallowed", "id": "j"}]}, "a fact is of a kind that is not known here"),
        ({"facts": [fact(id=5)]}, "id is not a text"),
        ({"facts": [fact(seq="gone")]}, "seq is missing"),
        ({"facts": [fact(payload="gone")]}, "payload is missing"),
        ({"facts": [fact(options=5)]}, "options is not an object"),
        ({"facts": [{"t": "started", "id": "j", "attempt": 0, "claim": 1, "worker": 1}]}, "attempt is not a number"),
        ({"facts": [{"t": "started", "id": "j", "attempt": 1, "claim": 0, "worker": 1}]}, "claim is not a number"),
        ({"facts": [{"t": "failed", "id": "j"}]}, "failure is missing"),
        (
            {"facts": [{"t": "parked", "id": "j", "failure": {"reason": "error", "type": "E"}}]},
            "failure reason is none",
        ),
        ({"facts": [{"t": "interrupted", "id": "j", "due_at": 2.5, "failure": {}}]}, "failure reason is missing"),
        ({"facts": [{"t": "loop_blocked", "seconds": 1.5, "stack": ""}]}, "job_id is missing"),
        ({"facts": [{"t": "loop_blocked", "job_id": "", "seconds": "long", "stack": ""}]}, "seconds is not a number"),
        ({"facts": [fact(options={"run_in": "moon"})]}, "options does not hold: run_in"),
        ({"facts": [fact(options={"memory_mb": "much"})]}, "options does not hold: memory_mb"),
        ({"facts": [{"t": "edited", "id": "j"}]}, "due_at is missing"),
        ({"facts": [{"t": "edited", "id": "j", "due_at": 1.5, "options": []}]}, "options is not an object"),
        ({"facts": [{"t": "resumed", "id": "j"}]}, "due_at is missing"),
        ({"facts": [{"t": "paused"}]}, "id is missing"),
        ({"facts": [{"t": "queue_paused", "until": "later"}]}, "until is not a number"),
        ({"facts": [{"t": "group_paused"}]}, "group is missing"),
        ({"facts": [{"t": "group_paused", "group": ""}]}, "group is no name of a group"),
        ({"facts": [{"t": "group_resumed", "group": 5}]}, "group is not a text"),
        ({"t": "note", "must": True}, "the line must be understood"),
        ({"t": "end", "n": "5"}, "n is not a whole number"),
        ({"t": "end", "n": "gone"}, "n is missing"),
    ],
)
def test_a_line_that_says_nonsense_under_a_right_checksum_is_damage(changes: dict[str, Any], why: str) -> None:
    assert said().facts[0].seq == 1
    with pytest.raises(Damage) as caught:
        said(**changes)
    assert caught.value.why.startswith(why)


def test_only_an_ephemeral_job_has_no_payload() -> None:
    (submitted,) = said(facts=[fact(payload="gone", ephemeral=True)]).facts
    assert submitted.ephemeral
    assert submitted.payload == b""


def test_a_job_that_was_queued_again_without_a_time_may_run_at_once_as_in_version_1() -> None:
    (requeued,) = said(facts=[{"t": "requeued", "id": "j"}]).facts
    assert (type(requeued), requeued.due_at) == (f.Requeued, 1.5)


def test_an_interruption_of_which_nobody_said_how_it_came_is_read_as_in_version_2() -> None:
    (interrupted,) = said(facts=[{"t": "interrupted", "id": "j", "due_at": 2.5}]).facts
    assert (interrupted.due_at, interrupted.failure) == (2.5, None)


def test_a_fact_about_the_queue_or_a_group_names_no_job() -> None:
    facts = numbered(f.QueuePaused(1.5), f.GroupPaused(1.5, "red", 2.5), f.GroupResumed(1.5, "red"))
    (line,) = FactEncoder(SALT).encode(facts, 0)
    assert line[:-17] == (
        b'{"n":1,"d":0,"at":1.5,"facts":['
        b'{"t":"queue_paused"},{"t":"group_paused","group":"red","until":2.5},{"t":"group_resumed","group":"red"}]'
    )


def test_options_that_were_edited_to_their_defaults_are_not_options_that_were_not_edited() -> None:
    facts = numbered(f.Edited(1.5, "j", 1.5, None, JobOptions()), f.Edited(1.5, "j", 1.5))
    (line,) = FactEncoder(SALT).encode(facts, 0)
    assert [fact.options for fact in decode(line).facts] == [JobOptions(), None]


def test_what_is_not_known_is_passed_over_unless_it_must_be_understood() -> None:
    assert said(colour="red", facts=[fact(colour="red")]).facts == said().facts
    assert said(t="note") is None
    assert said(t="note", must=False) is None


@given(st.dictionaries(st.sampled_from(["n", "d", "at", "more", "facts", "t"]), json_values), st.data())
def test_no_nonsense_raises_anything_but_damage(nonsense: dict[str, Any], data: st.DataObject) -> None:
    names = sorted({name for _, parsers, _ in codec._READERS.values() for name in parsers} | {"options"})
    kind = data.draw(st.sampled_from(sorted(codec._READERS)))
    inner = data.draw(st.dictionaries(st.sampled_from(names), json_values))
    line = {"n": 5, "d": 4, "at": 1.5, "facts": [{"t": kind, "id": "j"} | inner]} | nonsense
    with suppress(Damage):
        decode(frame(orjson.dumps(line), SALT))


# ── the first line, the last one, and the witness ────────────────────────────────────────────────

HEADER = Header(5, SALT, "mäil", "boot", 2.5)


def forged(**changes: Any) -> bytes:
    read = unframe(encode_header(HEADER)[:-1], HEADER_SEED)
    del read["c"]
    return frame(orjson.dumps(read | changes), HEADER_SEED)[:-1]


def test_a_header_comes_back_as_it_was() -> None:
    assert decode_header(encode_header(HEADER)[:-1]) == HEADER
    assert decode_header(forged(colour="red")) == HEADER


def test_a_later_version_is_told_apart_from_damage() -> None:
    with pytest.raises(NewerVersion):
        decode_header(forged(v=codec.VERSION + 1, first="unknown shape"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"f": "actorq-snapshot"}, "not the first line of an actorq-journal"),
        ({"v": None}, "v is not a format version"),
        ({"first": "5"}, "first is not a whole number"),
        ({"salt": -1}, "salt is not a whole number"),
    ],
)
def test_a_header_that_says_nonsense_is_damage(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Damage, match=why):
        decode_header(forged(**changes))


def test_the_last_line_says_what_is_the_last_fact_and_that_it_is_durable() -> None:
    line = encode_end(7, SALT)
    assert decode(line) == End(7)
    assert unframe(line[:-1], SALT)["d"] == 7


@pytest.mark.parametrize("n", [0, 7, 2**63])
def test_the_witness_comes_back_as_it_was_and_always_has_one_size(n: int) -> None:
    assert decode_mark(encode_mark(n)) == n
    assert len(encode_mark(n)) == codec.MARK_SIZE


def test_no_change_of_a_bit_makes_another_witness_of_it() -> None:
    mark = encode_mark(7)
    for place in range(len(mark)):
        assert decode_mark(mark[:place]) in {None, 7}
        for bit in range(8):
            changed = bytearray(mark)
            changed[place] ^= 1 << bit
            assert decode_mark(bytes(changed)) in {None, 7}


@pytest.mark.parametrize("text", [b'{"t":"mark","n":"5"}', b'{"t":"mark"}', b'{"t":"hdr","n":5}', b'{"n":5}'])
def test_a_witness_that_says_nonsense_is_none(text: bytes) -> None:
    assert decode_mark(frame(text, HEADER_SEED)) is None
