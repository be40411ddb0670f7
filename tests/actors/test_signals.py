"""While something closes, a signal hurries it, and is the application's as ever; afterwards nothing of it is left."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import anyio
import pytest

from actorq import JobQueue
from actorq.actors.signals import hurried_by_signals
from actorq.config import HURRY_S

BOTH = [signal.SIGINT, signal.SIGTERM]


class Application:
    """A handler that an application has set."""

    def __init__(self, signum: signal.Signals) -> None:
        self.heard: list[int] = []
        self.before = signal.signal(signum, self)

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        assert frame is not None
        self.heard.append(signum)


@pytest.fixture(params=BOTH, ids=lambda signum: signum.name)
def signum(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """Name a signal whose handler the test may set."""
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


# -- the links -------------------------------------------------------------------------------------


def test_signal_hurries_and_reaches_the_application_as_ever(signum: signal.Signals) -> None:
    application, hurries = Application(signum), []
    with hurried_by_signals(lambda: hurries.append("hurry")):
        signal.raise_signal(signum)
        assert hurries == ["hurry"]
    assert application.heard == [signum]


def test_handler_is_put_back_afterwards(signum: signal.Signals) -> None:
    application, hurries = Application(signum), []
    with hurried_by_signals(lambda: hurries.append("hurry")):
        assert signal.getsignal(signum) is not application
    assert signal.getsignal(signum) is application
    signal.raise_signal(signum)
    assert (hurries, application.heard) == ([], [signum])


def test_what_the_applications_handler_raises_is_raised_as_ever() -> None:
    hurries: list[str] = []
    with pytest.raises(KeyboardInterrupt), hurried_by_signals(lambda: hurries.append("hurry")):
        signal.raise_signal(signal.SIGINT)
    assert hurries == ["hurry"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_signal_that_no_function_handles_is_left_alone(signum: signal.Signals, handler: signal.Handlers) -> None:
    signal.signal(signum, handler)
    with hurried_by_signals(lambda: None):
        assert signal.getsignal(signum) is handler
    assert signal.getsignal(signum) is handler


def test_handler_that_was_set_meanwhile_stays(signum: signal.Signals) -> None:
    Application(signum)
    with hurried_by_signals(lambda: None):
        newer = Application(signum)
    assert signal.getsignal(signum) is newer


def test_handler_that_has_kept_ours_as_the_one_before_it_still_reaches_the_application(
    signum: signal.Signals,
) -> None:
    application, hurries = Application(signum), []
    with hurried_by_signals(lambda: hurries.append("hurry")):
        newer = Application(signum)
    assert callable(newer.before)
    newer.before(signum, sys._getframe())
    assert (hurries, application.heard) == ([], [signum])


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_one_signal_hurries_all_that_close_in_whatever_order_they_end(signum: signal.Signals, first_to_go: int) -> None:
    application, hurries = Application(signum), []
    blocks = [hurried_by_signals(lambda n=n: hurries.append(n)) for n in range(2)]
    for block in blocks:
        block.__enter__()
    signal.raise_signal(signum)
    blocks.pop(first_to_go).__exit__(None, None, None)
    signal.raise_signal(signum)
    blocks[0].__exit__(None, None, None)
    assert hurries == [0, 1, 1 - first_to_go]
    assert application.heard == [signum, signum]
    assert signal.getsignal(signum) is application


def test_another_that_begins_to_close_hears_of_signals_through_a_handler_that_was_set_meanwhile(
    signum: signal.Signals,
) -> None:
    application, hurries = Application(signum), []
    with hurried_by_signals(lambda: hurries.append("first")):
        newer = Application(signum)
        with hurried_by_signals(lambda: hurries.append("second")):
            signal.raise_signal(signum)
    assert hurries == ["first", "second"]
    assert (application.heard, newer.heard) == ([], [signum])
    assert signal.getsignal(signum) is newer


def test_loop_that_is_gone_keeps_no_signal_from_anybody(signum: signal.Signals) -> None:
    application, hurries = Application(signum), []

    def call_a_loop_that_is_gone() -> None:
        raise RuntimeError("Event loop is closed")

    with hurried_by_signals(call_a_loop_that_is_gone), hurried_by_signals(lambda: hurries.append("hurry")):
        signal.raise_signal(signum)
    assert (hurries, application.heard) == (["hurry"], [signum])


def test_in_another_thread_no_handler_is_touched(signum: signal.Signals) -> None:
    application = Application(signum)
    seen: list[Any] = []

    def close() -> None:
        with hurried_by_signals(lambda: None):
            seen.append(signal.getsignal(signum))

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert seen == [application]


# -- a queue ---------------------------------------------------------------------------------------


async def deaf() -> None:
    """Ignore cancellation."""
    with anyio.CancelScope(shield=True):
        await anyio.sleep(1_000)


async def open_queue() -> JobQueue:
    """Return a queue that takes its time to close, whatever its job wants."""
    queue = await JobQueue(drain_timeout=100, grace=100).__aenter__()
    await queue.submit(deaf)
    await anyio.sleep(0.1)
    return queue


async def test_signal_hurries_a_queue_that_is_closing(signum: signal.Signals) -> None:
    application, queue = Application(signum), await open_queue()
    async with anyio.create_task_group() as group:
        group.start_soon(queue.close)
        await anyio.sleep(5)
        hurried_at = anyio.current_time()
        signal.raise_signal(signum)
    assert anyio.current_time() - hurried_at < HURRY_S
    assert application.heard == [signum]
    assert signal.getsignal(signum) is application


async def test_signal_hurries_all_queues_that_are_closing(signum: signal.Signals) -> None:
    application, queues = Application(signum), [await open_queue(), await open_queue()]
    async with anyio.create_task_group() as group:
        for queue in queues:
            group.start_soon(queue.close)
        await anyio.sleep(5)
        hurried_at = anyio.current_time()
        signal.raise_signal(signum)
    assert anyio.current_time() - hurried_at < HURRY_S
    assert signal.getsignal(signum) is application


async def test_signal_means_nothing_to_a_queue_that_is_open(signum: signal.Signals) -> None:
    application, queue = Application(signum), await open_queue()
    assert signal.getsignal(signum) is application
    signal.raise_signal(signum)
    assert (await queue.stats()).live == 1
    with anyio.CancelScope() as scope:
        scope.cancel()
        await queue.close()


@pytest.mark.asyncio_only
@pytest.mark.real_time
async def test_signal_that_the_loop_of_asyncio_handles_hurries_and_reaches_it(signum: signal.Signals) -> None:
    queue, heard = await open_queue(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signum, heard.set)
    noop = signal.getsignal(signum)
    try:
        closing = asyncio.create_task(queue.close())
        while signal.getsignal(signum) is noop:  # noqa: ASYNC110 - nobody tells when that changes
            await asyncio.sleep(0)
        os.kill(os.getpid(), signum)
        await closing
        await heard.wait()
        assert signal.getsignal(signum) is noop
    finally:
        loop.remove_signal_handler(signum)


@pytest.mark.parametrize("run", ["asyncio.run", "trio.run"])
def test_interrupt_of_the_loop_itself_works_as_ever_while_a_queue_closes(run: str) -> None:
    program = textwrap.dedent(f"""
        import asyncio, os, signal, anyio, trio
        from actorq import JobQueue

        async def slow():
            await anyio.sleep(1_000)

        async def main():
            queue = await JobQueue(drain_timeout=100).__aenter__()
            await queue.submit(slow)
            await anyio.sleep(0.05)
            async with anyio.create_task_group() as group:
                group.start_soon(queue.close)
                await anyio.sleep(0.05)
                os.kill(os.getpid(), signal.SIGINT)

        try:
            {run}(main)
        except* KeyboardInterrupt:
            print("interrupted")
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """).replace("asyncio.run(main)", "asyncio.run(main())")
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (["interrupted", "True"], "")
