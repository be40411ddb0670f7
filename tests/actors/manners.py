"""How functions behave when they are asked to stop: the same eight manners, as coroutines and as plain functions.

Worker processes import this module by its name. Each function says in its job's log that it has begun, and, when it
has noticed that it is to stop, why. In another run of the same job it only returns.
"""

import signal
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps

import anyio

from actorq import AttemptCancelled, JobContext

BEGUN = "begun"
AGAIN = "ran again"

TICK = 0.01
"""Seconds of real time: a moment."""

released = threading.Event()
"""Ends whatever would go on for ever; not in worker processes, which are killed."""

Coroutine = Callable[[JobContext], Awaitable[str | None]]
Plain = Callable[[JobContext], str | None]


def say_why(job: JobContext) -> None:
    job.log(str(job.cancel_reason))


# -- coroutines --------------------------------------------------------------------------------------


def coroutine(fn: Coroutine) -> Coroutine:
    @wraps(fn)
    async def run(job: JobContext) -> str | None:
        if job.claim > 1:
            return AGAIN
        job.log(BEGUN)
        return await fn(job)

    return run


async def until_released() -> None:
    while not released.is_set():  # noqa: ASYNC110 - an event of threads, in any of several loops
        await anyio.sleep(TICK)


class Coroutines:
    """Cancellation comes to their ``await``."""

    @staticmethod
    @coroutine
    async def obeys(job: JobContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            say_why(job)

    @staticmethod
    @coroutine
    async def swallows_once(job: JobContext) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            say_why(job)
        await until_released()

    @staticmethod
    @coroutine
    async def swallows_for_ever(job: JobContext) -> None:
        with suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep_forever()
        say_why(job)
        while not released.is_set():
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(TICK)

    @staticmethod
    @coroutine
    async def cleans_up_in_time(job: JobContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(TICK)
                say_why(job)

    @staticmethod
    @coroutine
    async def cleans_up_too_long(job: JobContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            say_why(job)
            with anyio.CancelScope(shield=True):
                await until_released()

    @staticmethod
    @coroutine
    async def raises_in_cleanup(job: JobContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            say_why(job)
            raise ValueError("in cleanup")

    @staticmethod
    @coroutine
    async def shields_itself(job: JobContext) -> None:
        with anyio.CancelScope(shield=True):
            while not job.cancelled:  # noqa: ASYNC110 - behind a shield one has to look
                await anyio.sleep(TICK)
            say_why(job)
            await until_released()

    @staticmethod
    @coroutine
    async def returns_all_the_same(job: JobContext) -> str:
        with suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep_forever()
        say_why(job)
        return "all the same"


# -- plain functions ---------------------------------------------------------------------------------


def plain(fn: Plain) -> Plain:
    @wraps(fn)
    def run(job: JobContext) -> str | None:
        return AGAIN if job.claim > 1 else fn(job)

    return run


def work(job: JobContext) -> None:
    """Sleep, and look; in a process a function is interrupted, too, wherever it is by then."""
    job.log(BEGUN)
    job.wait_cancelled()
    job.check()


class Functions:
    """They look whether they are to stop."""

    @staticmethod
    @plain
    def obeys(job: JobContext) -> None:
        try:
            work(job)
        finally:
            say_why(job)

    @staticmethod
    @plain
    def swallows_once(job: JobContext) -> None:
        try:
            work(job)
        except AttemptCancelled:
            say_why(job)
        work(job)

    @staticmethod
    @plain
    def swallows_for_ever(job: JobContext) -> None:
        with suppress(AttemptCancelled):
            work(job)
        say_why(job)
        while not released.wait(TICK):
            with suppress(AttemptCancelled):
                work(job)

    @staticmethod
    @plain
    def cleans_up_in_time(job: JobContext) -> None:
        try:
            work(job)
        finally:
            time.sleep(TICK)
            say_why(job)

    @staticmethod
    @plain
    def cleans_up_too_long(job: JobContext) -> None:
        try:
            work(job)
        finally:
            say_why(job)
            released.wait()

    @staticmethod
    @plain
    def raises_in_cleanup(job: JobContext) -> None:
        try:
            work(job)
        finally:
            say_why(job)
            raise ValueError("in cleanup")

    @staticmethod
    @plain
    def shields_itself(job: JobContext) -> None:
        """Not look, and, in a process, not be interrupted either."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        try:
            job.log(BEGUN)
            while not job.cancelled:
                time.sleep(TICK)
            say_why(job)
            released.wait()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @staticmethod
    @plain
    def returns_all_the_same(job: JobContext) -> str:
        with suppress(AttemptCancelled):
            work(job)
        say_why(job)
        return "all the same"
