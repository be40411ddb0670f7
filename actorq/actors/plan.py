"""How to build a house: what the queue was told, checked, and in the words of those who build."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from actorq.actors.block import BlockLimit
from actorq.actors.clock import Clock, SystemClock
from actorq.actors.listeners import Listeners
from actorq.actors.scribe import Keeping
from actorq.config import Processes, Settings

__all__ = ["Plan"]


@define
class Plan:
    """Of one queue, for all its lives."""

    settings: Settings
    keeping: Keeping
    drain_timeout_s: float
    listeners: Listeners
    processes: Processes
    block_limit: BlockLimit
    make_clock: Callable[[float], Clock] = SystemClock
