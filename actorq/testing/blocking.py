"""Fails the test whose job blocks the event loop.

::

    with no_blocking(queue):
        async with queue:
            await resize.run("photo.jpg")
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from actorq.actors.block import Block
from actorq.config import Seconds, duration
from actorq.queue import JobQueue

__all__ = ["LoopBlocked", "no_blocking"]

BLOCKS_SHOWN: Final = 5


class LoopBlocked(AssertionError):
    """Jobs have blocked the event loop."""

    def __init__(self, blocks: tuple[Block, ...], limit: float) -> None:
        self.blocks = blocks
        """With ``job_id``, ``task``, and ``standing``: where it stood."""
        times = "Once" if len(blocks) == 1 else f"{len(blocks)} times"
        lines = [f"{times} a job blocked the event loop for longer than {limit:g} s."]
        lines += [f"Job {block.job_id} ({block.task}):\n{block.standing.text}" for block in blocks[:BLOCKS_SHOWN]]
        super().__init__("\n".join(lines))


@contextmanager
def no_blocking(queue: JobQueue, limit: Seconds = 0.1) -> Generator[JobQueue]:
    """Let no job of the queue hold up the event loop for longer than ``limit``.

    Put it around ``async with queue``, or anywhere within. It works in real time, whatever clock the queue has, and a
    machine that stands still in the middle of a job's step counts as well: do not set the limit too low.

    Raises:
        LoopBlocked: one did; raised when the block ends, if nothing else is.
        InvalidOption: not a number of seconds above zero.
    """
    seconds = duration("limit", limit, positive=True)
    blocks: list[Block] = []

    def hear(block: Block) -> None:
        if block.job_id:
            blocks.append(block)

    limits = queue.block_limit
    before = limits.seconds, limits.hear
    limits.seconds, limits.hear = seconds, hear
    try:
        yield queue
    finally:
        limits.seconds, limits.hear = before
    if blocks:
        raise LoopBlocked(tuple(blocks), seconds)
