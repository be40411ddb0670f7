"""Values of all kinds, as Hypothesis draws them."""

import orjson
from hypothesis import strategies as st

from actorq.config import INTERRUPTIONS_LIMIT, JITTER_LIMIT, LONGEST_S, MEMORY_LIMIT_MB, PLACES
from actorq.core.job import Attempt, Failure, JobOptions, Progress, Reason
from actorq.core.retry import Retry

texts = st.text(max_size=20) | st.sampled_from(['","c":"00000000"}', '\n{"t":"end"}', "\u2028\x00", "é😀", '"\\'])
names = texts.filter(bool)
counts = st.integers(0, 2**53)
instants = st.floats(0, 1e11) | st.floats(1.6e9, 2e9)
numbers = st.floats(allow_nan=False, allow_infinity=False)
durations = st.floats(0, LONGEST_S)
limits = st.none() | st.floats(0, LONGEST_S, exclude_min=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
json = json_values.map(orjson.dumps)

retries = st.builds(
    Retry,
    max_attempts=st.integers(1, 1_000_000),
    delay=durations,
    backoff=st.sampled_from(["fixed", "linear", "exponential"]),
    factor=st.floats(1, 1000) | st.integers(1, 1000),
    cap=durations,
    jitter=st.floats(0, JITTER_LIMIT),
    initial=st.none() | durations,
    spread=durations,
    on=st.lists(texts.map("a.{}".format), max_size=2),
    never=st.lists(texts.map("a.{}".format), max_size=2),
)
options = st.builds(
    JobOptions,
    priority=st.integers(-(2**31), 2**31),
    retry=st.just(Retry()) | retries,
    timeout=limits,
    heartbeat_timeout=limits,
    expires=limits,
    deadline=limits,
    grace=durations,
    tags=st.dictionaries(texts, texts, max_size=2),
    group=st.none() | names,
    dead_letter=st.booleans() | names,
    run_in=st.sampled_from([None, *PLACES]),
    memory_mb=st.none() | st.integers(1, MEMORY_LIMIT_MB),
    max_interruptions=st.integers(1, INTERRUPTIONS_LIMIT),
    max_snoozes=st.none() | st.integers(0, INTERRUPTIONS_LIMIT),
)
failures = st.builds(
    Failure,
    st.sampled_from(Reason),
    texts,
    message=texts,
    traceback=texts,
    attempt=counts,
    at=instants,
)
attempts = st.builds(Attempt, counts, counts, counts, instants, instants, texts, st.none() | failures)
progresses = st.builds(Progress, st.floats(0, 1), st.none() | numbers, st.none() | numbers, st.none() | texts)
