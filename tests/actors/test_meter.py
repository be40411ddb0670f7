"""Throughput and durations, counted in bounded memory: against a reader who remembers everything."""

from math import ceil

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq import JobContext, JobQueue, JobState, Retry
from actorq.actors.histogram import BUCKETS, Histogram
from actorq.actors.meter import Meter
from actorq.config import HISTOGRAM_ERROR, HISTOGRAM_LEAST_S, LONGEST_S, METER_SLOTS
from actorq.core import facts as f
from actorq.core.job import Failure, Job, JobOptions, Reason
from actorq.stats import WindowStats

EPOCH = 1_800_000_000.0
FAILURE = Failure(Reason.ERROR, "ValueError")


def job(job_id: str = "j", due_at: float = EPOCH) -> Job:
    return Job(job_id, 1, "send", b"", JobOptions(), JobState.RUNNING, due_at, due_at)


def started(at: float, job_id: str = "j") -> f.Started:
    return f.Started(at, job_id, 1, 1, 1)


def hear(meter: Meter, *facts: f.Fact, due_at: float = EPOCH) -> None:
    meter.hear(facts, [job(fact.job_id, due_at) for fact in facts])


# ── percentiles ──────────────────────────────────────────────────────────────────────────────────


def exact(values: list[float], part: float) -> float:
    return sorted(values)[ceil(part * len(values)) - 1]


@settings(max_examples=10 * settings.default.max_examples)
@given(st.lists(st.floats(0.0, LONGEST_S) | st.floats(0.0, 10.0), min_size=1, max_size=200))
def test_percentiles_are_right_within_the_error_that_is_stated(values: list[float]):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    summary = histogram.summary()
    for part, found in ((0.50, summary.p50), (0.95, summary.p95), (0.99, summary.p99)):
        right = exact(values, part)
        assert abs(found - right) <= right * (HISTOGRAM_ERROR + 1e-9) or right <= HISTOGRAM_LEAST_S >= found
    assert summary.count == len(values)
    assert summary.max == max(values)
    assert summary.mean == pytest.approx(sum(values) / len(values))


@given(st.lists(st.floats(0.0, LONGEST_S)), st.lists(st.floats(0.0, LONGEST_S)))
def test_histograms_that_are_merged_tell_what_one_would(left: list[float], right: list[float]):
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in left:
        one.add(value)
        both.add(value)
    for value in right:
        other.add(value)
        both.add(value)
    one.merge(other)
    assert one.buckets == both.buckets
    assert (one.count, one.max) == (both.count, both.max)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-9])
def test_what_takes_no_time_is_told_as_zero(value: float):
    histogram = Histogram()
    histogram.add(value)
    assert histogram.summary().p99 == 0.0


def test_without_any_value_all_is_zero():
    summary = Histogram().summary()
    assert (summary.count, summary.mean, summary.p50, summary.p99, summary.max) == (0, 0.0, 0.0, 0.0, 0.0)


@given(st.lists(st.floats(-1.0, 1e300), max_size=1_000))
def test_a_histogram_has_no_more_buckets_than_it_says(values: list[float]):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert len(histogram.buckets) <= BUCKETS <= 400


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


def test_events_are_counted_by_their_names():
    meter = Meter(EPOCH)
    retry = f.RetryScheduled(EPOCH, "j", EPOCH, FAILURE)
    hear(meter, started(EPOCH), retry, started(EPOCH), f.Failed(EPOCH, "j", FAILURE))
    counts = meter.last_minute(EPOCH).counts
    assert {name: count for name, count in counts.items() if count} == {"started": 2, "retry_scheduled": 1, "failed": 1}
    assert counts["succeeded"] == 0


def test_facts_about_the_queue_are_counted_without_a_job():
    meter = Meter(EPOCH)
    meter.hear([f.BecameDue(EPOCH, "")], [None])
    assert meter.last_minute(EPOCH).counts["became_due"] == 1


def test_a_wait_is_from_when_the_job_was_due_to_its_start():
    meter = Meter(EPOCH)
    hear(meter, started(EPOCH + 7), due_at=EPOCH + 5)
    assert meter.last_minute(EPOCH + 7).wait.max == 2.0


@pytest.mark.parametrize(
    "end",
    [
        f.Succeeded(EPOCH + 9, "j", b"1"),
        f.Failed(EPOCH + 9, "j", FAILURE),
        f.DeadLettered(EPOCH + 9, "j", FAILURE),
        f.Cancelled(EPOCH + 9, "j", FAILURE),
        f.RetryScheduled(EPOCH + 9, "j", EPOCH + 20, FAILURE),
        f.Snoozed(EPOCH + 9, "j", EPOCH + 20),
        f.Interrupted(EPOCH + 9, "j", EPOCH + 20),
        f.Released(EPOCH + 9, "j"),
        f.Parked(EPOCH + 9, "j", FAILURE),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_a_run_is_from_the_start_of_an_attempt_to_its_end_however_it_ends(end: f.Fact):
    meter = Meter(EPOCH)
    hear(meter, started(EPOCH + 6), end)
    run = meter.last_minute(EPOCH + 9).run
    assert (run.count, run.max) == (1, 3.0)


def test_the_end_of_a_job_that_was_not_running_is_no_run():
    meter = Meter(EPOCH)
    hear(meter, f.Cancelled(EPOCH, "j", FAILURE))
    assert meter.last_minute(EPOCH).run.count == 0


def counted(window: WindowStats) -> int:
    return window.counts["stalled"]


@settings(max_examples=10 * settings.default.max_examples)
@given(st.lists(st.floats(0.0, 100.0) | st.floats(0.0, 20_000.0) | st.just(0.0), max_size=60), st.floats(0.0, 10_000.0))
def test_windows_have_what_happened_in_them_and_nothing_older(gaps: list[float], rest: float):
    meter = Meter(EPOCH)
    now, happened = EPOCH, []
    for gap in gaps:
        now += gap
        happened.append(now)
        hear(meter, f.Stalled(now, "j"))
    now += rest
    for window, width in ((meter.last_minute(now), 1.0), (meter.last_hour(now), 60.0)):
        begin = (now // width - METER_SLOTS + 1) * width
        assert counted(window) == len([at for at in happened if at >= begin])
        assert now - begin >= (METER_SLOTS - 1) * width
        assert window.seconds == min(now - begin, now - EPOCH)


def test_after_a_jump_of_the_clock_by_hours_nothing_is_left_in_the_windows():
    meter = Meter(EPOCH)
    hear(meter, *(started(EPOCH + second / 10) for second in range(1_000)))
    later = EPOCH + 5 * 3600
    assert counted(meter.last_hour(later)) == meter.last_minute(later).wait.count == 0
    hear(meter, f.Stalled(later, "j"))
    assert counted(meter.last_hour(later)) == counted(meter.last_minute(later)) == 1
    assert meter.last_hour(later).wait.count == 0


def test_rates_are_by_the_time_that_was_measured():
    meter = Meter(EPOCH)
    hear(meter, *(f.Stalled(EPOCH + n / 10, "j") for n in range(100)))
    assert meter.last_minute(EPOCH + 10).per_second["stalled"] == 10.0
    assert meter.last_hour(EPOCH + 10).per_second["stalled"] == 10.0


def test_in_the_first_second_a_rate_is_not_blown_up():
    meter = Meter(EPOCH)
    hear(meter, f.Stalled(EPOCH, "j"))
    assert meter.last_minute(EPOCH).per_second["stalled"] == 1.0


def test_the_memory_of_a_meter_is_bounded():
    meter = Meter(EPOCH)
    for n in range(20_000):
        at = EPOCH + 3 * n
        hear(meter, started(at), f.Succeeded(at + 3.0 ** (n % 20), "j", b""), due_at=at - 3.0 ** (n % 20))
    slots = [*meter._seconds, *meter._minutes, meter._slot]
    assert len(slots) <= 2 * METER_SLOTS + 1
    assert all(len(slot.counts) <= 2 for slot in slots)
    assert sum(len(slot.waits.buckets) + len(slot.runs.buckets) for slot in slots) <= len(slots) * 2 * BUCKETS
    assert not meter._started_at


# ── in a queue ───────────────────────────────────────────────────────────────────────────────────


async def test_stats_tell_how_much_happened_and_how_long_it_took():
    async with JobQueue(workers=1) as queue:

        @queue.task(name="work", context=True, retry=Retry(2, delay=10.0))
        async def work(ctx: JobContext) -> None:
            await anyio.sleep(2)
            if ctx.attempt == 1:
                raise ValueError

        await queue.submit_many([work.build(), work.build()])
        await queue.join()
        window = (await queue.stats()).last_minute
    told = ("submitted", "started", "retry_scheduled", "succeeded", "failed")
    assert [window.counts[name] for name in told] == [2, 4, 2, 2, 0]
    assert (window.run.count, window.run.max) == (4, pytest.approx(2.0))
    assert (window.wait.count, window.wait.max) == (4, pytest.approx(2.0))
    assert window.wait.p50 == 0.0


async def test_counts_balance_whatever_has_happened():
    async with JobQueue(workers=2) as queue:

        @queue.task(name="work", dead_letter=True, retry=Retry(1))
        async def work(what: int) -> None:
            await anyio.sleep(1)
            if what == 1:
                raise ValueError

        for n in range(30):
            handle = await work.using(delay=n % 5).submit(n % 3)
            if n % 4 == 0:
                await handle.cancel()
            await anyio.sleep(0.4)
            stats = await queue.stats()
            assert stats.submitted == n + 1 == sum(stats.counts.values()) + stats.removed
        await queue.join()
        await anyio.sleep(2 * 3600)
        stats = await queue.stats()
    assert (stats.submitted, stats.removed, stats.live) == (30, 30, 0)
    assert stats.last_hour.counts["removed"] in (0, 30)


async def test_what_happened_in_another_life_is_not_measured():
    queue = JobQueue()
    async with queue:
        await (await queue.submit(anyio.sleep, 1))
        assert (await queue.stats()).last_hour.run.count == 1
    async with queue:
        assert (await queue.stats()).last_hour.run.count == 0
