"""The jobs that may run, in their order: a lane for each group, so that one which may not go on holds up no other.

Jobs of no group stand in one heap. Those of groups stand each in the heap of its group's *lane*, and the first
of each lane stands in the *front*, a heap of lanes. A group that has no room is *set aside*: its lane leaves the
front until it is brought back. Setting aside and bringing back change no order and no job; whoever sets a lane
aside brings it back when there may be room again.

Costs: push, remove and peek O(log n); set aside and bring back O(log lanes).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from actorq.core.heap import Heap
from actorq.core.job import Job

__all__ = ["Ready"]


class Ready:
    """Jobs by their order; those of lanes that are set aside are passed by."""

    __slots__ = ("_aside", "_front", "_lanes", "_plain")

    def __init__(self) -> None:
        self._plain: Heap[str] = Heap()
        self._lanes: dict[str, Heap[str]] = {}
        self._front: Heap[str] = Heap()
        self._aside: set[str] = set()

    def __len__(self) -> int:
        return len(self._plain) + sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids, in no order."""
        yield from self._plain
        for lane in self._lanes.values():
            yield from lane

    def entries(self) -> Iterator[tuple[Any, ...]]:
        """Iterate over the entries, in no order: what orders a job, and its id."""
        yield from self._plain.entries()
        for lane in self._lanes.values():
            yield from lane.entries()

    def push(self, job: Job) -> None:
        """Put the job in its place."""
        group = job.options.group
        if group is None:
            self._plain.push(*order_of(job))
            return
        lane = self._lanes.get(group)
        if lane is None:
            lane = self._lanes[group] = Heap()
        lane.push(*order_of(job))
        self._show(group)

    def remove(self, job: Job) -> None:
        """Take the job out."""
        group = job.options.group
        if group is None:
            self._plain.remove(job.id)
            return
        lane = self._lanes[group]
        lane.remove(job.id)
        if not lane:
            del self._lanes[group]
        self._show(group)

    def peek(self) -> str | None:
        """Return the id of the first job of those that are not set aside."""
        plain, front = self._plain.peek(), self._front.peek()
        if front is None:
            first = plain
        else:
            first = self._lanes[front[-1]].peek()
            if plain is not None and first is not None and plain < first:
                first = plain
        return None if first is None else str(first[-1])

    def set_aside(self, group: str) -> None:
        """Pass by the jobs of this group."""
        self._aside.add(group)
        self._front.remove(group)

    def bring_back(self, group: str) -> None:
        """Pass them by no longer."""
        if group in self._aside:
            self._aside.discard(group)
            self._show(group)

    def _show(self, group: str) -> None:
        """Let the front know who is the first of the lane now."""
        lane = self._lanes.get(group)
        if lane is None:
            self._front.remove(group)
        elif group not in self._aside:
            first = lane.peek()
            assert first is not None
            self._front.push(*first[:-1], group)


def order_of(job: Job) -> tuple[Any, ...]:
    """Return what orders a job among those that may run, and its id: the smallest runs first."""
    return -job.options.priority, job.due_at, job.seq, job.id
