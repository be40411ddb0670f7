"""Two loops, a clock that jumps, and the same examples each time.

Every async test runs on asyncio and on trio. Time is virtual: whenever nothing can run, the clock
jumps to the next timer, so an hour costs a millisecond and every timer fires exactly in its order.
Both clocks start at 0.

A thread works in real time, which a virtual clock cannot see: it would jump to the job's time
limit while the scribe still writes. So while `anyio.to_thread.run_sync` or `Threads.run` is awaited, or the
writer of a journal owes news, the clock stands still, but no longer than PATIENCE at a stretch: a thread that
never returns can be timed out, too.

`@pytest.mark.real_time` gives a test real clocks: for sockets, for processes, and for threads that
are started in another way.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import looptime
import pytest
import trio.testing
from anyio import to_thread
from hypothesis import settings

from actorq.actors.threads import Threads
from actorq.actors.writer import Writer, writers

PATIENCE = 0.5
"""Real seconds without any event that a working thread is waited for before the clock jumps."""

# Derandomized: the same commit gets the same verdict everywhere, and nobody inherits a failure that
# his change did not make. New histories are looked for on purpose, with --hypothesis-profile=hunt.
# A law asks ten times the examples of the profile, so 1,000:
#     @settings(max_examples=10 * settings.default.max_examples)
# No deadline: machines are shared, and a slow example is not a wrong one.
settings.register_profile("default", max_examples=100, derandomize=True, deadline=None)
settings.register_profile("hunt", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile("default")


class VirtualLoop(looptime.LoopTimeEventLoop, asyncio.SelectorEventLoop):
    """An asyncio loop whose time jumps, with the one control that trio's MockClock has, too."""

    autojump_threshold = 0.0
    """Real seconds without any event before time jumps."""

    def __init__(self) -> None:
        super().__init__(noop_cycles=0)
        selector = self._selector
        jump = selector.select  # looptime has put its own in place of the class's

        def listen_then_jump(timeout: float | None) -> list[Any]:
            ready = timeout != 0 and type(selector).select(selector, self.autojump_threshold)
            return ready or jump(timeout)

        selector.select = listen_then_jump


class Patience:
    """Lets the clock of a loop have patience while a thread works: anyio's, a job's, or a journal's writer."""

    def __init__(self, clock: Callable[[], Any]) -> None:
        self._clock = clock
        self._working = 0

    def look(self) -> None:
        is_needed = self._working or any(writer.is_busy for writer in writers)
        self._clock().autojump_threshold = PATIENCE if is_needed else 0

    def during(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `run`, on whose thread the clock is to wait."""

        async def run_patiently(*args: Any, **options: Any) -> Any:
            self._working += 1
            self.look()
            try:
                return await run(*args, **options)
            finally:
                self._working -= 1
                self.look()

        return run_patiently

    def after(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a method of a Writer after which there may be something to wait for, or nothing any more."""

        def method_then_look(*args: Any, **options: Any) -> Any:
            try:
                return method(*args, **options)
            finally:
                self.look()

        return method_then_look


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Collect what is about asyncio's own ways, which trio has not, for asyncio only."""
    items[:] = [item for item in items if not (item.get_closest_marker("asyncio_only") and "[trio" in item.name)]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """Name the loop and its options for anyio's plugin; requested by every async test."""
    if request.node.get_closest_marker("real_time"):
        return request.param, {}
    if request.param == "asyncio":
        clock, options = asyncio.get_running_loop, {"loop_factory": VirtualLoop}
    else:
        mock = trio.testing.MockClock(autojump_threshold=0)
        clock, options = (lambda: mock), {"clock": mock}
    patience = Patience(clock)
    monkeypatch.setattr(to_thread, "run_sync", patience.during(to_thread.run_sync))
    monkeypatch.setattr(Threads, "run", patience.during(Threads.run))
    for name in ("write", "seal", "_take", "_take_seal"):
        monkeypatch.setattr(Writer, name, patience.after(getattr(Writer, name)))
    return request.param, options
