"""The format of a snapshot: what goes in comes out; what does not fit is damage, never a traceback from inside."""

import sys
from contextlib import suppress
from math import inf
from typing import Any

import orjson
import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq.config import LINE_LIMIT
from actorq.core.job import Attempt, Failure, HoldReason, Job, JobOptions, JobState, Progress, Reason
from actorq.core.retry import Retry
from actorq.store import field
from actorq.store import snapshot_codec as codec
from actorq.store.line import HEADER_SEED, Damage, NewerVersion, frame, unframe
from actorq.store.snapshot_codec import Footer, Header, JobDecoder, JobEncoder

from .strategies import attempts, counts, failures, instants, json, json_values, options, progresses, texts

SALT = 12345


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    state = draw(st.sampled_from([one for one in JobState if one is not JobState.CREATED]))
    is_ephemeral = draw(st.booleans())
    key = draw(st.none() | texts)
    return Job(
        id=draw(texts),
        seq=draw(counts),
        task=draw(texts),
        payload=b"" if is_ephemeral else draw(json),
        options=draw(st.just(JobOptions()) | options),
        state=state,
        submitted_at=draw(instants),
        due_at=draw(instants),
        ephemeral=is_ephemeral,
        key=key,
        retry_of=draw(st.none() | texts),
        retried_by=draw(st.none() | texts),
        dead_letter_of=draw(st.none() | texts),
        dead_letter_job_id=draw(st.none() | texts),
        hold_reason=draw(st.none() | st.sampled_from([one for one in HoldReason if key or one is not HoldReason.KEY])),
        limits_from=draw(instants),
        attempt=draw(counts) + (state is JobState.RUNNING),
        claim=draw(counts) + (state is JobState.RUNNING),
        worker=draw(counts),
        interruptions=draw(counts),
        snoozes=draw(counts),
        first_started_at=draw(st.none() | instants),
        started_at=draw(instants if state is JobState.RUNNING else st.none() | instants),
        ended_at=draw(instants if state.is_final else st.none() | instants),
        stalled=draw(st.booleans()),
        cancel_requested=draw(st.none() | texts),
        result=draw(st.none() | json),
        failure=draw(st.none() | failures),
        progress=draw(st.just(Progress()) | progresses),
        attempts=tuple(draw(st.lists(attempts, max_size=2))),
        log=tuple(draw(st.lists(st.tuples(instants, texts, texts, st.just(b"") | json), max_size=2))),
    )


def decode(line: bytes) -> Job:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return JobDecoder().decode(unframe(line[:-1], SALT))


@settings(max_examples=10 * settings.default.max_examples)
@given(jobs())
def test_a_job_comes_back_as_it_was(job: Job) -> None:
    again = decode(JobEncoder(SALT).encode(job))
    assert again == job
    assert isinstance(again.options, JobOptions)
    assert type(again.state) is JobState


FULL_FAILURE = Failure(Reason.TIMEOUT, "TimeoutError", "late", "Traceback …", 2, 9.5)
FULL = Job(
    id="j",
    seq=7,
    task="t",
    payload=b"[[],{}]",
    options=JobOptions(
        priority=5,
        retry=Retry(
            7, 2.5, "linear", 3.0, 60.0, 0.5, ["builtins.OSError"], ["builtins.KeyError"], initial=0.25, spread=0.75
        ),
        timeout=1.5,
        heartbeat_timeout=2.5,
        expires=3.5,
        deadline=4.5,
        grace=5.5,
        tags={"a": "b", "c": ""},
        group="red",
        dead_letter="bury",
        run_in="process",
        memory_mb=512,
        max_interruptions=7,
        max_snoozes=8,
    ),
    state=JobState.FAILED,
    submitted_at=1.25,
    due_at=2.25,
    ephemeral=True,
    key="k",
    retry_of="i",
    retried_by="l",
    dead_letter_of="h",
    dead_letter_job_id="m",
    hold_reason=HoldReason.RETRY,
    limits_from=3.25,
    attempt=2,
    claim=3,
    worker=4,
    interruptions=5,
    snoozes=6,
    first_started_at=4.25,
    started_at=5.25,
    ended_at=6.25,
    stalled=True,
    cancel_requested="",
    result=b"null",
    failure=FULL_FAILURE,
    progress=Progress(0.5, 1.0, 2.0, "half"),
    attempts=(Attempt(1, 2, 3, 7.25, 8.25, "failed", FULL_FAILURE),),
    log=((9.25, "info", "hello", b'{"a":1}'), (9.5, "info", "bye", b"")),
)


def line_of(job: Job) -> dict[str, Any]:
    return unframe(JobEncoder(SALT).encode(job)[:-1], SALT)


def test_every_field_of_every_record_is_written_and_read() -> None:
    def names(kind: type) -> set[str]:
        return {field.name for field in fields(kind)}

    line = line_of(FULL)
    assert line.keys() - {"t", "c"} == names(Job) == codec._JOB.keys() | {"options"}
    assert line["options"].keys() == names(JobOptions) == field._OPTIONS.keys()
    assert line["options"]["retry"].keys() == names(Retry) == field._RETRY.keys()
    assert line["failure"].keys() == names(Failure) == field._FAILURE.keys()
    assert line["attempts"][0].keys() == names(Attempt) == codec._ATTEMPT.keys()
    assert line["progress"].keys() == names(Progress) == field._PROGRESS.keys()
    assert names(Header) == codec._HEADER.keys() | {"pauses"}
    assert names(Footer) == codec._FOOTER.keys()
    assert decode(JobEncoder(SALT).encode(FULL)) == FULL


def test_what_is_at_its_default_is_left_out() -> None:
    plain = Job("j", 1, "t", b"[]", JobOptions(), JobState.QUEUED, 1.5, 1.5, limits_from=1.5)
    assert JobEncoder(SALT).encode(plain)[:-17] == (
        b'{"t":"job","id":"j","seq":1,"task":"t","state":"queued","submitted_at":1.5,"payload":[]'
    )


def test_jobs_with_like_options_share_them_when_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "OPTIONS_SHARED", 2)
    encoder, decoder = JobEncoder(SALT), JobDecoder()
    every = [JobOptions(priority=number) for number in (1, 1, 2, 3, 3)]
    lines = [encoder.encode(evolve(FULL, options=one)) for one in every]
    again = [decoder.decode(unframe(line[:-1], SALT)).options for line in lines]
    assert again == every
    assert again[0] is again[1]
    assert again[3] is again[4]
    assert len(encoder._options._known) <= 2
    assert len(decoder._parsers["options"].__self__._shared) <= 2


def test_payloads_are_kept_without_spare_room() -> None:
    job = decode(JobEncoder(SALT).encode(evolve(FULL, payload=b'["' + b"x" * 100 + b'"]')))
    assert sys.getsizeof(job.payload) == sys.getsizeof(b"") + len(job.payload)


def test_half_a_character_does_not_keep_a_job_from_being_stored() -> None:
    failure = Failure(Reason.ERROR, "FileNotFoundError", "no \udcff", "\ud800")
    job = evolve(FULL, failure=failure, cancel_requested="fine: é")
    again = decode(JobEncoder(SALT).encode(job))
    assert again.failure == Failure(Reason.ERROR, "FileNotFoundError", "no \\udcff", "\\ud800")
    assert evolve(again, failure=failure) == job


def test_progress_that_is_no_number_is_left_out() -> None:
    inf = float("inf")
    job = evolve(FULL, progress=Progress(float("nan"), inf, -inf, "m"))
    assert decode(JobEncoder(SALT).encode(job)).progress == Progress(0.0, None, None, "m")


def test_a_job_too_long_for_a_line_loses_first_its_log_and_then_old_texts() -> None:
    half = "x" * (LINE_LIMIT // 2)
    wordy = evolve(FULL, log=((1.0, "info", half * 2, b""),))
    assert decode(JobEncoder(SALT).encode(wordy)) == evolve(FULL, log=())

    long = Failure(Reason.ERROR, "E", half, half)
    runs = (evolve(FULL.attempts[0], failure=long), evolve(FULL.attempts[0], failure=None))
    cut = (evolve(runs[0], failure=Failure(Reason.ERROR, "E")), runs[1])
    again = decode(JobEncoder(SALT).encode(evolve(FULL, attempts=runs)))
    assert again == evolve(FULL, log=(), attempts=cut)

    with pytest.raises(ValueError, match="a line has 1048576"):
        JobEncoder(SALT).encode(evolve(FULL, cancel_requested=half * 2))


# ── lines that are right, and say nonsense ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("id", 5, "id is not a text"),
        ("id", None, "id is not a text"),
        ("seq", "5", "seq is not a whole number"),
        ("seq", -1, "seq is not a whole number"),
        ("seq", True, "seq is not a whole number"),
        ("seq", 1.0, "seq is not a whole number"),
        ("seq", 2**63 + 1, "seq is not a whole number"),
        ("submitted_at", "now", "submitted_at is not a number"),
        ("submitted_at", True, "submitted_at is not a number"),
        ("stalled", 1, "stalled is not true or false"),
        ("state", "created", "state is one that is never stored"),
        ("state", "lost", "state is not a word that is known here"),
        ("state", [], "state is not a word that is known here"),
        ("hold_reason", None, "hold_reason is not a word"),
        ("attempts", None, "attempts is not a list"),
        ("attempts", [None], "attempts is not an object"),
        ("attempts", [{}], "attempts number is missing"),
        ("attempts.0.failure", "x", "attempts failure is not an object"),
        ("failure.reason", "bad luck", "failure reason is not a word"),
        ("failure.type", 1, "failure type is not a text"),
        ("progress.value", "x", "progress value is not a number"),
        ("log", [[1.0, "info"]], "log is not a log line"),
        ("log", ["1234"], "log is not a log line"),
        ("log", [[1.0, "info", 5]], "log is not a text"),
        ("options", [], "options is not an object"),
        ("options.timeout", "x", "options does not hold: timeout"),
        ("options.priority", 2**40, "options does not hold: priority"),
        ("options.tags", ["a"], "options tags is not an object"),
        ("options.tags", {"a": 1}, "options tags is not a text"),
        ("options.tags", {str(n): "" for n in range(65)}, "options does not hold: tags"),
        ("options.dead_letter", 0, "options does not hold: dead_letter"),
        ("options.group", "", "options does not hold: group"),
        ("options.run_in", "moon", "options does not hold: run_in"),
        ("options.run_in", ["loop"], "options does not hold: run_in"),
        ("options.memory_mb", "much", "options does not hold: memory_mb"),
        ("options.memory_mb", 0, "options does not hold: memory_mb"),
        ("options.max_interruptions", 0, "options does not hold: max_interruptions"),
        ("options.max_interruptions", None, "options does not hold: max_interruptions"),
        ("options.max_snoozes", -1, "options does not hold: max_snoozes"),
        ("options.retry", 3, "options retry is not an object"),
        ("options.retry.backoff", [], "options retry does not hold: backoff"),
        ("options.retry.delay", None, "options retry does not hold: retry delay"),
        ("options.retry.on", "OSError", "options retry on is not a list"),
    ],
)
def test_a_field_of_the_wrong_type_is_damage(path: str, value: object, why: str) -> None:
    line = line_of(FULL)
    *way, last = path.split(".")
    place: Any = line
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    with pytest.raises(Damage) as caught:
        JobDecoder().decode(line)
    assert caught.value.why.startswith(why)


@pytest.mark.parametrize("name", ["id", "seq", "task", "state", "submitted_at", "ended_at"])
def test_a_job_without_a_field_that_it_must_have_is_damage(name: str) -> None:
    line = line_of(FULL)
    del line[name]
    with pytest.raises(Damage, match=f"{name} is missing"):
        JobDecoder().decode(line)


def test_a_job_that_waits_for_its_key_has_one() -> None:
    line = line_of(evolve(FULL, state=JobState.SCHEDULED, hold_reason=HoldReason.KEY))
    assert JobDecoder().decode(line).key == "k"
    del line["key"]
    with pytest.raises(Damage, match="key is missing, though the job waits for it"):
        JobDecoder().decode(line)


def test_only_an_ephemeral_job_has_no_payload() -> None:
    line = line_of(FULL)
    del line["payload"]
    assert JobDecoder().decode(line).payload == b""
    del line["ephemeral"]
    with pytest.raises(Damage, match="payload is missing"):
        JobDecoder().decode(line)


@pytest.mark.parametrize("name", ["started_at", "attempt", "claim"])
def test_a_job_that_runs_has_been_started(name: str) -> None:
    line = line_of(evolve(FULL, state=JobState.RUNNING))
    del line[name]
    with pytest.raises(Damage, match="is missing, though the job runs"):
        JobDecoder().decode(line)


def test_a_payload_nested_deeper_than_we_could_write_is_damage() -> None:
    line = line_of(FULL)
    line["payload"] = orjson.loads(b"[" * 500 + b"]" * 500)
    with pytest.raises(Damage, match="payload is nested too deeply"):
        JobDecoder().decode(line)


@given(st.dictionaries(st.sampled_from([*sorted(codec._JOB), "options"]), json_values))
def test_no_nonsense_raises_anything_but_damage(nonsense: dict[str, Any]) -> None:
    line = orjson.loads(orjson.dumps(line_of(FULL) | nonsense))
    with suppress(Damage):
        JobDecoder().decode(line)


def test_fields_that_are_not_known_are_ignored() -> None:
    line = line_of(FULL)
    line["colour"] = "red"
    line["failure"]["colour"] = "red"
    line["options"]["colour"] = "red"
    assert JobDecoder().decode(line) == FULL


# ── the first line ───────────────────────────────────────────────────────────────────────────────

HEADER = Header(5, 1.5, 3, 1, SALT, "mäil", "boot", 2.5)


def forged(**changes: Any) -> bytes:
    fields = orjson.loads(codec.encode_header(HEADER))
    del fields["c"]
    fields |= changes
    return frame(orjson.dumps(fields), HEADER_SEED)[:-1]


def test_a_header_comes_back_as_it_was() -> None:
    assert codec.decode_header(codec.encode_header(HEADER)[:-1]) == HEADER
    assert codec.decode_header(forged(colour="red")) == HEADER


@given(st.dictionaries(texts, instants | st.just(inf), max_size=3))
def test_what_is_paused_comes_back_as_it_was(pauses: dict[str, float]) -> None:
    header = evolve(HEADER, pauses=tuple(pauses.items()))
    assert codec.decode_header(codec.encode_header(header)[:-1]) == header


@pytest.mark.parametrize("version", [codec.VERSION + 1, 10**9])
def test_a_later_version_is_told_apart_from_damage(version: int) -> None:
    with pytest.raises(NewerVersion) as caught:
        codec.decode_header(forged(v=version, n="unknown shape"))
    assert caught.value.found == version


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"t": "job"}, "not the first line of an actorq-snapshot"),
        ({"f": "actorq-journal"}, "not the first line of an actorq-snapshot"),
        ({"v": 0}, "v is not a format version"),
        ({"v": "1"}, "v is not a format version"),
        ({"v": True}, "v is not a format version"),
        ({"n": "5"}, "n is not a whole number"),
        ({"queue": None}, "queue is not a text"),
        ({"salt": -1}, "salt is not a whole number"),
        ({"pauses": []}, "pauses is not an object"),
        ({"pauses": None}, "pauses is not an object"),
        ({"pauses": {"red": "later"}}, "pauses is not a number"),
    ],
)
def test_a_header_that_says_nonsense_is_damage(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Damage, match=why):
        codec.decode_header(forged(**changes))


def test_a_footer_comes_back_as_it_was() -> None:
    footer = Footer(1, 0, 3, "00c0ffee")
    line = codec.encode_footer(footer, SALT)[:-1]
    assert codec.decode_footer(unframe(line, SALT)) == footer
