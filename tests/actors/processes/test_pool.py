"""The processes of a queue: who gets the next job, who goes, who is there before he is needed."""

import gc
import os
import select
import signal
import socket

import anyio
import process_jobs as jobs
import pytest

from actorq.actors.processes.process import Process
from actorq.config import FRAME_LIMIT, Processes
from actorq.core import commands as c
from actorq.core.job import Reason

from .conftest import Begin, Pool, Trial, begun, is_alive, until

pytestmark = pytest.mark.real_time


async def test_process_is_used_again(pool: Pool) -> None:
    assert await pool.call(jobs.pid) == await pool.call(jobs.pid)


async def test_process_that_became_idle_last_is_used_first(pool: Pool, begin: Begin) -> None:
    trials = [Trial(jobs.sleep) for _ in range(3)]
    outcomes = [begin(trial) for trial in trials]
    pids = [(await trial.said("begun"))["pid"] for trial in trials]
    for n in (1, 0, 2):
        trials[n].cancel(Reason.TIMEOUT)
        await outcomes[n]
    assert await pool.call(jobs.pid) == pids[2]


async def test_next_job_after_a_death_has_a_fresh_process(pool: Pool) -> None:
    await pool.call(jobs.die, 3)
    assert await pool.call(jobs.add, 1, 2) == 3


async def test_process_that_died_while_it_was_idle_is_not_given_a_job(pool: Pool) -> None:
    dead = await pool.call(jobs.pid)
    os.kill(dead, signal.SIGKILL)
    await until(lambda: not is_alive(dead))
    assert await pool.call(jobs.pid) != dead


async def test_process_is_replaced_after_so_many_jobs(anyio_backend_name: str) -> None:
    pool = Pool(Processes(ahead=0, recycle_after=2))
    pids = [await pool.call(jobs.pid) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    await until(lambda: not is_alive(pids[0]) and not pool._all)
    await pool.close()


async def test_process_that_holds_on_to_much_memory_is_replaced(anyio_backend_name: str) -> None:
    pool = Pool(Processes(ahead=0, recycle_above_mb=200))
    greedy = await pool.call(jobs.keep, 1)
    assert await pool.call(jobs.keep, 1) == greedy
    assert await pool.call(jobs.keep, 200) == greedy
    assert await pool.call(jobs.pid) != greedy
    await until(lambda: not is_alive(greedy))
    await pool.close()


async def test_process_that_does_not_leave_when_it_is_to_be_replaced_is_killed(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorq.actors.processes.pool.PROCESS_LEAVE_S", 0.05)
    pool = Pool(Processes(ahead=0, recycle_after=1))
    stubborn = await pool.call(jobs.stay)
    await until(lambda: not is_alive(stubborn))
    await pool.close()


async def test_processes_are_started_ahead_and_kept_so(anyio_backend_name: str) -> None:
    pool = Pool(Processes(ahead=2))
    assert not pool._all
    pool.start_ahead()
    pool.start_ahead()
    assert len(pool._all) == 2
    before = set(pool._all)
    used = await pool.call(jobs.pid)
    assert used in {process.pid for process in before}
    assert len(pool._all) == 3
    await pool.close()


async def test_process_that_is_started_ahead_gets_ready_by_itself(anyio_backend_name: str) -> None:
    pool = Pool(Processes(ahead=1))
    pool.start_ahead()
    [process] = pool._all
    await until(lambda: select.select([process.channel._socket], [], [], 0)[0])  # it has something to say
    assert process.is_usable
    await pool.close()


async def test_no_more_are_started_than_there_are_workers(anyio_backend_name: str) -> None:
    pool = Pool(Processes(ahead=5), workers=2)
    pool.start_ahead()
    assert len(pool._all) == 2
    await pool.call(jobs.pid)
    assert len(pool._all) == 2
    await pool.close()


async def test_idle_processes_beyond_those_ahead_are_let_go_after_a_while(
    pool: Pool, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorq.actors.processes.pool.PROCESS_IDLE_S", 0.05)
    pool._settings = Processes(ahead=1)
    trials = [Trial(jobs.sleep) for _ in range(2)]
    outcomes = [begin(trial) for trial in trials]
    pids = [(await trial.said("begun"))["pid"] for trial in trials]
    for trial, outcome in zip(trials, outcomes, strict=True):
        trial.cancel(Reason.TIMEOUT)
        await outcome
    await until(lambda: len(pool._all) == 1)
    assert await pool.call(jobs.pid) == pids[1]


# -- its end -------------------------------------------------------------------------------------------


async def test_closing_ends_all_of_them(anyio_backend_name: str) -> None:
    pool = Pool(Processes(ahead=1))
    pid = await pool.call(jobs.pid)
    await pool.close()
    assert not pool._all
    assert not is_alive(pid)
    await pool.close()


async def test_process_that_is_idle_leaves_as_a_program_does(
    anyio_backend_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = Pool()
    await pool.call(jobs.say_goodbye)
    await pool.close()
    assert capfd.readouterr().out == "goodbye"


async def test_process_that_does_not_leave_is_killed(anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.actors.processes.pool.PROCESS_LEAVE_S", 0.05)
    pool = Pool()
    stubborn = await pool.call(jobs.stay)
    await pool.close()
    await until(lambda: not is_alive(stubborn))


async def test_what_an_idle_process_has_started_goes_with_it(anyio_backend_name: str) -> None:
    pool = Pool()
    child = await pool.call(jobs.start_and_return)
    assert is_alive(child)
    await pool.close()
    await until(lambda: not is_alive(child))


async def test_closing_kills_what_still_runs(anyio_backend_name: str, begin: Begin, pool: Pool) -> None:
    trial = Trial(jobs.sleep)
    outcome = await begun(begin, trial)
    await pool.close()
    assert isinstance(await outcome, c.Crash)


async def test_attempt_that_comes_after_the_end_is_told_so(anyio_backend_name: str) -> None:
    pool = Pool()
    await pool.close()
    report = await pool.call(jobs.pid)
    assert report.failure.message == "its process could not be started: RuntimeError: the queue is closing"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_loop_that_ends_around_them_leaves_none_behind(backend: str) -> None:
    async def run() -> list[int]:
        pool = Pool(Processes(ahead=1))
        return [await pool.call(jobs.pid), *(process.pid for process in pool._all)]

    pids = anyio.run(run, backend=backend)
    gc.collect()  # the pool is part of no cycle, but a loop may be
    anyio.run(until, lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_kill_leaves_nothing_for_a_loop_to_do_that_is_closing(backend: str) -> None:
    async def run() -> list[Process]:
        pools.append(Pool())
        await pools[0].call(jobs.pid)
        pools[0].kill()
        return list(pools[0]._all)

    pools: list[Pool] = []
    [process] = anyio.run(run, backend=backend)
    assert process.channel._socket.fileno() == -1


async def test_interpreter_that_cannot_be_started_is_told_of(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    report = await pool.call(jobs.pid)
    assert isinstance(report, c.Crash)
    assert "its process could not be started: FileNotFoundError" in report.failure.message


async def test_program_with_very_many_arguments_has_processes(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x" * 1_000_000])  # more than goes into the socket before anybody reads
    assert await pool.call(jobs.add, 1, 2) == 3


async def test_program_with_a_default_timeout_for_sockets_has_processes(anyio_backend_name: str) -> None:
    pool = Pool()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5.0)
    try:
        assert await pool.call(jobs.add, 1, 2) == 3
    finally:
        socket.setdefaulttimeout(before)
        await pool.close()


async def test_program_that_lets_the_system_reap_its_processes_hears_of_their_end(anyio_backend_name: str) -> None:
    pool = Pool()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        report = await pool.call(jobs.die, 3)
        assert report.failure.message == "its process has ended, or cannot be ended; how, is not known"
        await pool.close()
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("want", ["socket.socketpair", "os.pipe", "threading.Thread.start"])
async def test_want_of_descriptors_and_threads_is_told_of(
    pool: Pool, want: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("none left") if "Thread" in want else OSError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(want, refuse)
        report = await pool.call(jobs.pid)
    assert report.failure.message.startswith("its process could not be started: ")
    assert report.failure.message.endswith("Error: none left")


@pytest.mark.asyncio_only
async def test_arguments_of_the_program_that_are_too_long_are_told_of(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["x" * FRAME_LIMIT])
    report = await pool.call(jobs.pid)
    assert "its process could not be started: Garbage: a message of" in report.failure.message
