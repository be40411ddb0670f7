"""One attempt in a worker process: how it is stopped, and how it ends.

What the process does by itself is the same whatever loop its queue is on, and is tried with one.
"""

import os
import signal
from typing import Any

import anyio
import process_jobs as jobs
import pytest
from anyio.lowlevel import checkpoint

from actorq.actors.processes.pulse import cpu_s
from actorq.core import commands as c
from actorq.core.job import Failure, Reason

from .conftest import Begin, Pool, Trial, begun, is_alive, until

pytestmark = pytest.mark.real_time


def failure_of(report: c.Report) -> Failure:
    assert isinstance(report, c.Crash)
    return report.failure


@pytest.mark.asyncio_only
async def test_what_the_function_returns_is_the_result(pool: Pool) -> None:
    assert await pool.call(jobs.add, 1, 2) == 3


async def test_coroutine_function_runs_on_the_backend_of_the_queue(pool: Pool, anyio_backend_name: str) -> None:
    assert await pool.call(jobs.async_backend, 3) == anyio_backend_name


async def test_function_that_only_makes_a_coroutine_has_it_awaited(pool: Pool, anyio_backend_name: str) -> None:
    assert await pool.call(jobs.make_coroutine, 3) == anyio_backend_name


async def test_job_that_talks_without_a_pause_does_not_hold_up_the_loop(pool: Pool) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    trial = Trial(jobs.chatter, 20_000)
    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        await pool.run(trial)
        group.cancel_scope.cancel()
    assert trial.lines == [str(n) for n in range(20_000)]
    assert turns > 20


# -- cancel --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [jobs.sleep, jobs.async_sleep])
async def test_cancelled_function_tidies_up_and_ends(pool: Pool, begin: Begin, fn: Any) -> None:
    trial = Trial(fn)
    outcome = await begun(begin, trial)
    trial.cancel(Reason.TIMEOUT)
    report = await outcome
    assert isinstance(report, c.Fail)
    assert report.failure.type == "AttemptCancelled"
    assert await trial.said("tidied up") == {"reason": "timeout"}


@pytest.mark.asyncio_only
async def test_first_reason_stands(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.sleep)
    outcome = await begun(begin, trial)
    trial.cancel(Reason.TIMEOUT)
    trial.cancel(Reason.SHUTDOWN)
    await outcome
    assert await trial.said("tidied up") == {"reason": "timeout"}


@pytest.mark.asyncio_only
async def test_function_that_only_computes_is_interrupted(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.compute)
    outcome = await begun(begin, trial)
    trial.cancel(Reason.TIMEOUT)
    assert (await outcome).failure.type == "AttemptCancelled"


@pytest.mark.asyncio_only
async def test_function_that_has_swallowed_its_cancellation_is_not_interrupted_again(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.swallow)
    outcome = await begun(begin, trial)
    trial.cancel(Reason.TIMEOUT)
    trial.cancel(Reason.TIMEOUT)
    assert (await outcome).result == b'"went on"'


@pytest.mark.asyncio_only
async def test_function_that_looks_for_itself_is_not_interrupted(pool: Pool, begin: Begin) -> None:
    for _ in range(20):
        trial = Trial(jobs.look)
        outcome = await begun(begin, trial)
        trial.cancel(Reason.TIMEOUT)
        assert (await outcome).result == b'["looked","seen"]'


@pytest.mark.asyncio_only
async def test_function_that_refuses_is_ended_by_force(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.refuse)
    outcome = await begun(begin, trial)
    trial.cancel(Reason.TIMEOUT)
    await trial.said("refused")
    trial.kill()
    assert failure_of(await outcome).reason is Reason.KILLED


async def test_process_of_a_cancelled_job_is_used_again(pool: Pool, begin: Begin) -> None:
    for fn in (jobs.sleep, jobs.async_sleep):
        trial = Trial(fn)
        outcome = begin(trial)
        said = await trial.said("begun")
        trial.cancel(Reason.TIMEOUT)
        await outcome
        assert await pool.call(jobs.pid) == said["pid"]


async def test_attempt_that_was_cancelled_before_does_not_begin(pool: Pool) -> None:
    trial = Trial(jobs.sleep)
    trial.cancel(Reason.CLIENT_REQUEST)
    assert isinstance(await pool.run(trial), c.Quit)
    assert not pool._all


async def test_attempt_that_is_cancelled_while_its_process_starts_does_not_begin(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.sleep)
    outcome = begin(trial)
    await until(lambda: pool._all)
    trial.cancel(Reason.CLIENT_REQUEST)
    assert isinstance(await outcome, c.Quit)
    assert not trial.heard
    [process] = pool._all
    assert await pool.call(jobs.pid) == process.pid


async def test_cancel_that_comes_with_the_attempt_itself_is_not_lost(pool: Pool, begin: Begin) -> None:
    """It may be read before the function has begun, or in the middle of its beginning."""
    for fn in [jobs.sleep, jobs.async_sleep] * 50:
        trial = Trial(fn)
        outcome = begin(trial)
        await until(lambda trial=trial: trial._has_begun)
        trial.cancel(Reason.TIMEOUT)
        assert (await outcome).failure.type == "AttemptCancelled"


async def test_cancel_that_comes_with_the_end_hurts_nobody(pool: Pool, begin: Begin) -> None:
    """It may be read after the function has ended, or in the middle of its end, or by the next one's process."""
    for n in range(200):
        trial = Trial(jobs.add, n, 1)
        outcome = begin(trial)
        await until(lambda trial=trial: trial._has_begun)
        for _ in range(n % 7):
            await checkpoint()
        trial.cancel(Reason.TIMEOUT)
        report = await outcome
        assert isinstance(report, c.Finish) or report.failure.type == "AttemptCancelled"
        assert await pool.call(jobs.add, n, 2) == n + 2
    assert len(pool._all) == 1


# -- signs of life, and where it stands ------------------------------------------------------------------


async def test_process_beats_by_itself_while_its_function_only_computes(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.compute, heartbeat_timeout=0.2)
    begin(trial)
    await until(lambda: sum(isinstance(report, c.Beat) for report in trial.heard) > 2)


async def test_process_that_cannot_beat_is_alive_while_it_computes(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.hold_the_interpreter_and_compute, heartbeat_timeout=0.5)
    begin(trial)
    await trial.said("begun")
    await until(lambda: sum(isinstance(report, c.Beat) for report in trial.heard) > 2)
    assert (await trial.stack()).startswith("Its process does not answer")


def test_use_of_the_core_is_seen() -> None:
    before = cpu_s(os.getpid())
    while cpu_s(os.getpid()) == before:
        pass
    assert cpu_s(None) == 0.0


@pytest.mark.asyncio_only
async def test_process_of_a_job_without_a_heartbeat_timeout_says_nothing_by_itself(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.compute)
    begin(trial)
    await trial.said("begun")
    assert "compute" in await trial.stack()
    assert not any(isinstance(report, c.Beat) for report in trial.heard)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("fn", [jobs.sleep, jobs.async_sleep, jobs.compute])
async def test_stack_says_where_the_function_stands(pool: Pool, begin: Begin, fn: Any) -> None:
    trial = Trial(fn)
    begin(trial)
    await trial.said("begun")
    stacks = []

    async def ask() -> None:
        stacks.append(await trial.stack())

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        group.start_soon(ask)
    stacks.append(await trial.stack())
    for stack in stacks:
        first = stack.partition("\n")[0]
        assert "/process_jobs.py" in first
        assert first.endswith(f"in {fn.__name__}")


@pytest.mark.asyncio_only
async def test_stack_of_an_attempt_that_has_not_begun_says_so(pool: Pool) -> None:
    assert await Trial(jobs.sleep).stack() == "It has not begun: its process is being started."


async def test_stack_that_comes_too_late_says_so(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.stop_itself)
    begin(trial)
    await trial.said("begun")
    stacks = []

    async def ask() -> None:
        stacks.append(await trial.stack())

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(lambda: trial._stack_came is not None)
        trial.kill()
    assert stacks == ["It has just ended."]


@pytest.mark.asyncio_only
@pytest.mark.parametrize("fn", [jobs.stop_itself, jobs.hold_the_interpreter])
async def test_process_that_does_not_answer_for_its_stack_is_not_waited_for(
    pool: Pool, begin: Begin, fn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorq.actors.processes.run.PROCESS_STACK_S", 0.05)
    trial = Trial(fn)
    begin(trial)
    await trial.said("begun")
    assert (await trial.stack()).startswith("Its process does not answer")


# -- bad ends ------------------------------------------------------------------------------------------


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("fn", "argument", "message"),
    [
        (jobs.die, 3, "its process exited with code 3"),
        (jobs.die, 0, "its process exited with code 0"),
        (jobs.die_of, signal.SIGSEGV, "its process was killed by SIGSEGV"),
        (jobs.die_of, signal.SIGKILL, "its process was killed by SIGKILL, and not by its queue: so does the kernel"),
    ],
)
async def test_death_of_the_process_is_told_with_its_cause(pool: Pool, fn: Any, argument: int, message: str) -> None:
    failure = failure_of(await pool.call(fn, int(argument)))
    assert (failure.reason, failure.type, failure.attempt) == (Reason.BAD_EXIT, "ProcessDied", 1)
    assert failure.message.startswith(message)


async def test_kill_ends_the_job_and_all_that_it_has_started(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.start_and_sleep)
    outcome = begin(trial)
    said = await trial.said("begun")
    trial.kill()
    failure = failure_of(await outcome)
    assert (failure.reason, failure.message) == (Reason.KILLED, "its process was ended by force")
    await until(lambda: not is_alive(said["pid"]) and not is_alive(said["child"]))


async def test_kill_before_the_process_has_started_is_not_lost(pool: Pool) -> None:
    trial = Trial(jobs.sleep)
    trial.kill()
    assert failure_of(await pool.run(trial)).reason is Reason.KILLED


async def test_kill_while_the_process_starts_ends_it(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.sleep)
    outcome = begin(trial)
    await until(lambda: pool._all)
    trial.kill()
    assert failure_of(await outcome).reason is Reason.KILLED


async def test_whoever_is_cancelled_in_waiting_kills_the_process(pool: Pool) -> None:
    trial = Trial(jobs.start_and_sleep)
    async with anyio.create_task_group() as group:
        group.start_soon(pool.run, trial)
        said = await trial.said("begun")
        group.cancel_scope.cancel()
    await until(lambda: not is_alive(said["pid"]) and not is_alive(said["child"]))


@pytest.mark.asyncio_only
async def test_process_that_stops_itself_can_be_killed(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.stop_itself)
    outcome = await begun(begin, trial)
    trial.cancel(Reason.TIMEOUT)  # it does not hear that
    trial.kill()
    assert failure_of(await outcome).reason is Reason.KILLED


@pytest.mark.asyncio_only
async def test_interpreter_that_is_held_by_foreign_code_can_be_killed(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.hold_the_interpreter)
    outcome = await begun(begin, trial)
    trial.kill()
    assert failure_of(await outcome).reason is Reason.KILLED


# -- a broken wire -------------------------------------------------------------------------------------


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("\x00\x00\x00\x04oops", "a message that cannot be read (JSONDecodeError): b'oops'"),
        ('\x00\x00\x00\x0d{"is":"Nope"}', "a message that cannot be read (KeyError)"),
        ('\x00\x00\x00\x0e{"is":"Ready"}', "a Ready that nobody has asked for"),
        ("\xff\xff\xff\xff", "a message of 4294967295 bytes, the limit is"),
    ],
)
async def test_garbage_on_the_wire_is_the_end_of_the_process(pool: Pool, data: str, why: str) -> None:
    failure = failure_of(await pool.call(jobs.send_raw, data))
    assert failure.reason is Reason.BAD_EXIT
    assert f"its process was ended, as it sent {why}" in failure.message


async def test_process_that_does_not_understand_its_queue_ends(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.sleep)
    outcome = await begun(begin, trial)
    [process] = pool._all
    process.channel._outbox += b"\0\0\0\4oops"
    process.channel._push()
    assert failure_of(await outcome).message == "its process exited with code 1"


async def test_process_that_hangs_up_and_lives_on_is_ended(pool: Pool) -> None:
    failure = failure_of(await pool.call(jobs.hang_up))
    assert failure.message == "its process was ended, as it closed its connection to the queue"


async def test_death_is_noticed_though_a_child_of_the_process_holds_the_wire_open(pool: Pool) -> None:
    failure = failure_of(await pool.call(jobs.leave_the_wire_to_a_child))
    assert failure.message == "its process exited with code 5"


@pytest.mark.asyncio_only
async def test_process_that_is_asked_where_it_stands_gives_a_sign_of_life(pool: Pool, begin: Begin) -> None:
    trial = Trial(jobs.sleep, heartbeat_timeout=60)
    outcome = await begun(begin, trial)
    await trial.stack()
    assert any(isinstance(report, c.Beat) for report in trial.heard)
    trial.cancel(Reason.TIMEOUT)
    await outcome
