"""How deep the queue is: the live jobs of each task and of each group, and the oldest of them.

Counted by the index, so what it costs is by terms and pages of jobs, not by jobs. It is done in turns of about a
millisecond: a queue may have thousands of groups.
"""

from __future__ import annotations

import time
from typing import Final

from anyio.lowlevel import checkpoint

from actorq.config import SLICE_S
from actorq.core.bitmap import places
from actorq.core.index import Index, Query, Term
from actorq.core.job import JobState
from actorq.core.ledger import Ledger

__all__ = ["depths", "oldest_s"]

Depths = dict[str, dict[JobState, int]]

_LIVE: Final = {state: ("state", state.value) for state in JobState if not state.is_final}
_ANY_LIVE: Final = tuple(_LIVE.values())


async def depths(ledger: Ledger, *kinds: str) -> list[Depths]:
    """Return for each kind of term, by its value, how many live jobs are in each state; who has none is left out."""
    found: dict[str, Depths] = {kind: {} for kind in kinds}
    terms = ledger.index.terms(*kinds)
    turn_ends_at = time.perf_counter() + SLICE_S
    for term in terms:
        kind, name = term
        if counts := _count(ledger.index, term):
            found[kind][name] = counts
        if time.perf_counter() >= turn_ends_at:
            await checkpoint()
            turn_ends_at = time.perf_counter() + SLICE_S
    return list(found.values())


def oldest_s(ledger: Ledger, now: float) -> float | None:
    """Return how long ago the first of the live jobs was submitted; None: there is none."""
    for number, bits in ledger.index.pages(Query((_ANY_LIVE,))):
        for seq in places(number, bits):
            job = ledger.job_of(seq)
            if job is not None:
                return max(now - job.submitted_at, 0.0)
    return None


def _count(index: Index, term: Term) -> dict[JobState, int]:
    if not any(bits for _, bits in index.pages(Query(((term,), _ANY_LIVE)))):
        return {}
    counts = {state: index.count(Query(((term,), (live,)))) for state, live in _LIVE.items()}
    return {state: count for state, count in counts.items() if count}
