"""What the rules answer with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.ledger import Ledger
from actorq.core.roster import Roster

__all__ = ["LATE", "TAKEN", "Decision", "Rule"]


class Decision(NamedTuple):
    """What follows from a command: first these facts, then these effects, then this answer."""

    facts: Sequence[f.Fact] = ()
    effects: Sequence[e.Effect] = ()
    answer: Any = None


Rule = Callable[[Any, Ledger, Roster, float], Decision]

LATE: Final = Decision(answer=False)
TAKEN: Final = Decision(answer=True)
