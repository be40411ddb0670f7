"""A heap from which any entry can be removed.

An entry is a tuple whose first parts are the order and whose last part is the key, a hashable that stands
at most once in the heap. Removal only forgets the key; the dead entry stays until it comes to the top,
and all dead entries are swept out when they are more than half of the heap, so a heap that is armed and
disarmed for ever stays as small as what it holds.

Cost: push, pop O(log n); remove O(1), amortised; peek O(1), amortised. An entry compares by its order, then
by its key.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

__all__ = ["Heap"]

K = TypeVar("K", bound=Hashable)

_SWEEP_FROM = 64
"""Below so many entries the dead are left to the top: sweeping would cost more than it saves."""


class Heap(Generic[K]):
    """Smallest entry first; one entry a key."""

    __slots__ = ("_entries", "_live")

    def __init__(self) -> None:
        self._entries: list[tuple[Any, ...]] = []
        self._live: dict[K, tuple[Any, ...]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, key: K) -> bool:
        return key in self._live

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, in no order."""
        return iter(self._live)

    def entries(self) -> Iterable[tuple[Any, ...]]:
        """Return the entries, in no order."""
        return self._live.values()

    def push(self, *entry: Any) -> None:
        """Add an entry, in place of the one with the same key if there is one."""
        self._live[entry[-1]] = entry
        heappush(self._entries, entry)
        self._sweep()

    def remove(self, key: K) -> bool:
        """Remove the entry of ``key``; False if there is none."""
        if self._live.pop(key, None) is None:
            return False
        self._sweep()
        return True

    def peek(self) -> tuple[Any, ...] | None:
        """Return the smallest entry, or None."""
        entries, live = self._entries, self._live
        while entries:
            entry = entries[0]
            if live.get(entry[-1]) is entry:
                return entry
            heappop(entries)
        return None

    def pop(self) -> tuple[Any, ...]:
        """Remove and return the smallest entry.

        Raises:
            IndexError: the heap is empty.
        """
        entry = self.peek()
        if entry is None:
            raise IndexError("pop from an empty heap")
        heappop(self._entries)
        del self._live[entry[-1]]
        return entry

    def _sweep(self) -> None:
        entries = self._entries
        if len(entries) > _SWEEP_FROM and len(entries) > 2 * len(self._live):
            self._entries = list(self._live.values())
            heapify(self._entries)
