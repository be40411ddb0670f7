"""What the jobs of these tests do in their processes, which import this module by its name."""

import atexit
import ctypes
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import sniffio
from anyio.lowlevel import checkpoint

from actorq import AttemptCancelled, CancelJob, JobContext, RetryAfter, Snooze, Unrecoverable, current_job
from actorq.logs import JobLogHandler

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
"""Something that a job starts, and that outlives it by far."""


def say(message: str, **data: Any) -> None:
    """Let the test hear how far the function has come."""
    current_job().log(message, **data)


# -- that do what is asked -----------------------------------------------------------------------------


def add(a: int, b: int) -> int:
    return a + b


def pid() -> int:
    return os.getpid()


def folder() -> str:
    return str(Path.cwd())


def repeat(text: str, times: int) -> str:
    return text * times


def next_year(day: date) -> date:
    return day.replace(year=day.year + 1)


def describe(job: JobContext, n: int) -> dict[str, Any]:
    assert job is current_job()
    return {"id": job.job_id, "attempt": job.attempt, "of": job.max_attempts, "tags": dict(job.tags), "n": n}


def tell(job: JobContext) -> str:
    job.heartbeat()
    job.progress(0.5, current=10**30, message="half")
    job.extend(7)
    job.log("a line", level="warning", n=1)
    job.set_result("said")
    return "returned"


def log_as_usual() -> None:
    logger = logging.getLogger("app")
    logger.addHandler(JobLogHandler())
    logger.warning("as usual")


def chatter(lines: int) -> None:
    for n in range(lines):
        say(str(n))


def print_it(text: str) -> None:
    sys.stdout.write(text)


def go_to(path: str) -> None:
    os.chdir(path)


async def async_backend(times: int) -> str:
    for _ in range(times):
        await checkpoint()
    return sniffio.current_async_library()


def make_coroutine(times: int) -> Awaitable[str]:
    return async_backend(times)


class Box:
    @staticmethod
    def add(a: int, b: int) -> int:
        return a + b


# -- that fail -----------------------------------------------------------------------------------------

VERDICTS = {
    "ValueError": ValueError("bad"),
    "half": ValueError("half a character: \udcff"),
    "Snooze": Snooze(5),
    "RetryAfter": RetryAfter(7),
    "CancelJob": CancelJob("enough"),
    "Unrecoverable": Unrecoverable("never"),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
}


def fail(name: str) -> None:
    raise VERDICTS[name]


async def async_fail(name: str) -> None:
    raise VERDICTS[name]


def unstorable() -> object:
    return object()


def die(code: int) -> None:
    os._exit(code)


def die_of(signum: int) -> None:
    os.kill(os.getpid(), signum)
    time.sleep(600)


# -- that do not come to an end --------------------------------------------------------------------------


def sleep() -> None:
    say("begun", pid=os.getpid())
    try:
        time.sleep(600)
    finally:
        say("tidied up", reason=current_job().cancel_reason)


async def async_sleep() -> None:
    say("begun", pid=os.getpid())
    try:
        await anyio.sleep(600)
    finally:
        say("tidied up", reason=current_job().cancel_reason)


def compute() -> None:
    say("begun", pid=os.getpid())
    while True:
        pass


def refuse() -> None:
    say("begun", pid=os.getpid())
    while True:
        with suppress(BaseException):
            try:
                time.sleep(600)
            finally:
                say("refused")


def swallow() -> str:
    say("begun", pid=os.getpid())
    with suppress(BaseException):
        time.sleep(600)
    time.sleep(0.01)  # it is not raised again
    return "went on"


def look() -> list[str]:
    """Say how it was told that it is to stop."""
    told = []
    try:
        while not current_job().wait_cancelled(0.001):
            if not told:
                say("begun", pid=os.getpid())
                told.append("looked")
        told.append("seen")
        time.sleep(0.01)
    except AttemptCancelled:
        told.append("raised")
    return told


def stop_itself() -> None:
    say("begun", pid=os.getpid())
    os.kill(os.getpid(), signal.SIGSTOP)


def hold_the_interpreter() -> None:
    """Run foreign code that lets no other thread of the interpreter run."""
    say("begun", pid=os.getpid())
    ctypes.PyDLL(None).sleep(600)


def hold_the_interpreter_and_compute() -> None:
    say("begun", pid=os.getpid())
    re.match(r"(a+)+$", "a" * 40 + "b")  # takes days


# -- that outlive themselves ---------------------------------------------------------------------------


def stay() -> int:
    """Keep the process from leaving."""
    threading.Thread(target=time.sleep, args=(600,)).start()
    return os.getpid()


def say_goodbye() -> None:
    atexit.register(sys.stdout.write, "goodbye")


# -- that start something ------------------------------------------------------------------------------


def start_and_sleep() -> None:
    child = subprocess.Popen(SLEEPER)
    say("begun", pid=os.getpid(), child=child.pid)
    time.sleep(600)


def start_and_return() -> int:
    return subprocess.Popen(SLEEPER).pid


def fork_and_return() -> str:
    """Return twice."""
    child = os.fork()
    if child == 0:
        return "of the fork"
    os.waitpid(child, 0)
    return "of the process"


def fork_and_terminate() -> int:
    """Say by which signal a fork ends that is asked to terminate."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def terminate_itself() -> str:
    for signum in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), signum)
    return "goes on"


# -- that break the wire -------------------------------------------------------------------------------


def sockets() -> list[int]:
    """Return the descriptors of this process that are sockets."""
    found = []
    for descriptor in range(3, 100):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):  # noqa: PTH115 - no path
                found.append(descriptor)
    return found


def send_raw(data: str) -> None:
    for descriptor in sockets():
        with socket.socket(fileno=os.dup(descriptor)) as wire:
            wire.sendall(data.encode("latin-1"))
    time.sleep(600)


def hang_up() -> None:
    for descriptor in sockets():
        with socket.socket(fileno=os.dup(descriptor)) as wire:
            wire.shutdown(socket.SHUT_RDWR)
    time.sleep(600)


def close_everything() -> None:
    os.closerange(3, 1000)


def leave_the_wire_to_a_child() -> None:
    subprocess.Popen(SLEEPER, pass_fds=sockets())
    os._exit(5)


# -- that need memory ----------------------------------------------------------------------------------


def hold(mib: int) -> None:
    say("begun")
    memory = SimpleNamespace(held=bytearray(mib * 1024 * 1024))
    time.sleep(600)
    del memory


def let_a_child_hold(mib: int) -> None:
    code = f"import time; x = bytearray({mib} * 1024 * 1024); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code], check=True)


def let_a_child_of_another_session_hold(mib: int) -> None:
    code = f"import time; x = bytearray({mib} * 1024 * 1024); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    say("begun", pid=child.pid)
    child.wait()


KEPT: list[bytearray] = []


def keep(mib: int) -> int:
    KEPT.append(bytearray(mib * 1024 * 1024))
    return os.getpid()
