"""How durations are spread, in bounded memory: counts in buckets whose width grows with the value.

Bucket ``i`` begins at ``least * base ** (i - 1)`` and ends where the next one begins; for a percentile the value is
given that differs by the same part from either end, so by no more than ``HISTOGRAM_ERROR`` from any in the bucket.
Adding takes about 0.3 µs; merging and percentiles are O(buckets), of which there are at most :data:`BUCKETS`, 358.

Source: DDSketch, Masson, Rim and Lee, 2019.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log
from typing import Final

from actorq.config import HISTOGRAM_ERROR, HISTOGRAM_LEAST_S, LONGEST_S
from actorq.stats import Durations

__all__ = ["BUCKETS", "Histogram"]

_BASE: Final = (1 + HISTOGRAM_ERROR) / (1 - HISTOGRAM_ERROR)
_PER_LOG: Final = 1 / log(_BASE)
_SHIFT: Final = 1 - log(HISTOGRAM_LEAST_S) * _PER_LOG
_LAST: Final = int(log(LONGEST_S) * _PER_LOG + _SHIFT)

BUCKETS: Final = _LAST + 1
"""Bucket 0 holds all that is no longer than ``HISTOGRAM_LEAST_S``: its value is zero."""


class Histogram:
    """Durations in seconds, forgotten but for how many there were of each length."""

    __slots__ = ("buckets", "max", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.total = 0.0
        self.max = 0.0

    def add(self, seconds: float) -> None:
        """Count one; what is negative counts as zero."""
        if seconds > HISTOGRAM_LEAST_S:
            bucket = int(log(seconds) * _PER_LOG + _SHIFT)
            if bucket > _LAST:  # noqa: PLR1730 - min() and max() are calls, and this is called for every attempt
                bucket = _LAST
        else:
            bucket, seconds = 0, max(seconds, 0.0)
        buckets = self.buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1
        self.total += seconds
        if seconds > self.max:  # noqa: PLR1730
            self.max = seconds

    def merge(self, other: Histogram) -> None:
        """Count all that the other has counted."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.total += other.total
        self.max = max(self.max, other.max)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets.values())

    def summary(self) -> Durations:
        """Return what is told of them."""
        mean = self.total / self.count if self.buckets else 0.0
        p50, p95, p99 = self.percentiles((0.50, 0.95, 0.99))
        return Durations(self.count, mean, p50, p95, p99, self.max)

    def percentiles(self, parts: Iterable[float]) -> list[float]:
        """Return for each part (0 to 1, growing) the least value that so many are not above: the nearest rank."""
        found: list[float] = []
        seen, total = 0, self.count
        buckets = iter(sorted(self.buckets.items()))
        bucket = 0
        for part in parts:
            rank = ceil(part * total)
            while seen < rank:
                bucket, count = next(buckets)
                seen += count
            found.append(min(_value_of(bucket), self.max))
        return found


def _value_of(bucket: int) -> float:
    return 2 * HISTOGRAM_LEAST_S * _BASE**bucket / (_BASE + 1) if bucket else 0.0
