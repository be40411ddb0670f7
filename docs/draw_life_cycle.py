"""Draw the diagram and the table of docs/life-cycle.md from the table that the code runs on.

``python docs/draw_life_cycle.py`` writes them; with ``--check`` it only fails if they are not as they should be.
"""

import sys
from collections import defaultdict
from pathlib import Path

from actorq.core.facts import Fact
from actorq.core.job import JobState
from actorq.core.lifecycle import BY_DUE_TIME, TRANSITIONS, Target

PAGE = Path(__file__).with_name("life-cycle.md")


def diagram() -> str:
    """Return the states and what leads from one to the next, in mermaid's words."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (state, kind), target in TRANSITIONS.items():
        for end in ends_of(target):
            arrows[name_of(state), name_of(end)].append(kind.__name__)
    lines = [f"    {start} --> {end}: {', '.join(labels)}" for (start, end), labels in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def table() -> str:
    """Return one row for each fact."""
    rows: dict[type[Fact], list[JobState | None]] = defaultdict(list)
    for state, kind in TRANSITIONS:
        rows[kind].append(state)
    lines = ["| fact | from | to | what it says |", "|---|---|---|---|"]
    for kind, states in rows.items():
        starts = ", ".join("–" if state is None else state for state in states)
        says = (kind.__doc__ or "").split("\n")[0].replace("``", "`")
        lines.append(f"| `{kind.__name__}` | {starts} | {ends_told(kind, states)} | {says} |")
    return "\n".join(lines)


def ends_of(target: Target) -> list[JobState | None]:
    return [JobState.SCHEDULED, JobState.QUEUED] if target is BY_DUE_TIME else [target]


def name_of(state: JobState | None) -> str:
    return "[*]" if state is None else state.value


def ends_told(kind: type[Fact], states: list[JobState | None]) -> str:
    targets = [TRANSITIONS[state, kind] for state in states]
    if len(states) > 1 and targets == states:
        return "as it was"
    return ", ".join(dict.fromkeys(map(told, targets)))


def told(target: Target) -> str:
    if target is None:
        return "–"
    return target.value


def drawn(page: str) -> str:
    """Return the page with fresh drawings between its marks."""
    for name, drawing in (("diagram", diagram()), ("table", table())):
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, has_start, rest = page.partition(start)
        _, has_end, after = rest.partition(end)
        assert has_start, f"{PAGE.name} has no place for the {name}"
        assert has_end, f"{PAGE.name} has no end of the {name}"
        page = f"{before}{start}{drawing}\n{end}{after}"
    return page


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        if page == drawn(page):
            return 0
        print(f"{PAGE.name} shows an old table: run python docs/draw_life_cycle.py")
        return 1
    PAGE.write_text(drawn(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
