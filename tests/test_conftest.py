"""The clocks the other tests stand on: checked before they are trusted."""

import time

import anyio
import pytest
from anyio import to_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


async def test_an_hour_passes_at_once():
    start, real_start = anyio.current_time(), time.monotonic()
    await anyio.sleep(3600)
    assert anyio.current_time() - start == pytest.approx(3600)
    assert time.monotonic() - real_start < 60


async def test_the_clock_starts_at_zero():
    assert anyio.current_time() == 0


async def test_timers_fire_in_order_and_on_time():
    fired = []

    async def fire(after: float) -> None:
        await anyio.sleep(after)
        fired.append((after, anyio.current_time()))

    async with anyio.create_task_group() as tasks:
        for after in [5, 1, 3600, 0.25, 3, 0.1]:
            tasks.start_soon(fire, after)
    assert fired == [(after, pytest.approx(after)) for after in [0.1, 0.25, 1, 3, 5, 3600]]


async def test_time_stands_still_while_a_thread_works():
    with anyio.fail_after(0.01):
        await to_thread.run_sync(time.sleep, 0.1)
    assert anyio.current_time() == 0


async def test_time_jumps_again_after_the_last_thread_has_ended():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, time.sleep, 0.01)
        tasks.start_soon(to_thread.run_sync, time.sleep, 0.02)
    real_start = time.monotonic()
    for _ in range(1_000):
        await anyio.sleep(60)
    assert time.monotonic() - real_start < 60


async def test_a_thread_that_does_not_return_can_be_timed_out():
    with anyio.move_on_after(3600) as scope:
        await to_thread.run_sync(time.sleep, 2, abandon_on_cancel=True)
    assert scope.cancelled_caught
    assert anyio.current_time() == pytest.approx(3600)


@pytest.mark.real_time
async def test_a_test_marked_real_time_has_the_real_clock():
    start = time.monotonic()
    await anyio.sleep(0.05)
    assert time.monotonic() - start >= 0.05


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(delay=st.floats(1, 1e6))
async def test_hypothesis_runs_async_examples(delay: float):
    start = anyio.current_time()
    await anyio.sleep(delay)
    assert anyio.current_time() - start == pytest.approx(delay)
