"""``verify``: is the directory whole, and if not, what is to be done?"""

from __future__ import annotations

from typing import Any, Final

from actorq.cli.answer import Answer, ExitCode, count_of, counts_text, facts_of, job_fields, shown, state_counts
from actorq.store.inspection import Finding, Owner, UnownedFiles, examine
from actorq.store.spot import Spot

__all__ = [
    "code_of", "damage_fields", "damage_text", "owner_fields", "owner_text", "spots_text", "tail_text", "verify",
]  # fmt: skip

NAMED: Final = 20
"""Jobs that are named for people; programs get them all."""


def verify(path: str) -> Answer:
    """Look at everything, and change nothing."""
    found = examine(UnownedFiles(path))
    fields = {
        "owner": owner_fields(found.owner),
        "last_fact": found.last,
        "mark": found.mark,
        "jobs": state_counts(found.ledger.jobs.values()),
        **damage_fields(found),
    }
    jobs = count_of(len(found.ledger.jobs), "job")
    text = [f"{shown(path)}: {'whole' if found.is_whole else 'DAMAGED'}; {jobs}, facts up to {found.last}."]
    text += [*owner_text(found.owner), *tail_text(found), *damage_text(path, found)]
    return Answer(code_of(found), text, fields)


def code_of(found: Finding) -> ExitCode:
    """Return the exit code for what was found."""
    return ExitCode.WHOLE if found.is_whole else ExitCode.DAMAGED


# -- for programs ----------------------------------------------------------------------------------


def owner_fields(owner: Owner | None) -> dict[str, Any] | None:
    """Return who owns the directory."""
    return None if owner is None else {"pid": owner.pid, "host": owner.host, "started": owner.started}


def damage_fields(found: Finding) -> dict[str, Any]:
    """Return what is wrong, and what the two ways of recovery make of it."""
    tail = found.tail
    return {
        "torn_tail": None if tail is None else {"file": tail.name, "line": tail.line, "byte": tail.byte},
        "damage": [_spot_fields(spot) for spot in found.damage],
        "strict": "opens" if found.refusal is None else "refuses",
        "salvage": {
            "missing": [list(gap) for gap in found.report.missing],
            "doubtful": [job_fields(found.ledger, job_id) for job_id in found.report.doubtful],
        },
    }


def _spot_fields(spot: Spot) -> dict[str, Any]:
    return {
        "file": spot.name,
        "line": spot.line,
        "byte": spot.byte,
        "why": spot.why,
        "facts": None if spot.facts is None else list(spot.facts),
        "intact_lines_behind": spot.intact,
        "is_needed": spot.is_needed,
    }


# -- for people ------------------------------------------------------------------------------------


def owner_text(owner: Owner | None) -> list[str]:
    """Return that the directory is in use, if it is."""
    if owner is None:
        return []
    return [f"  in use by {shown(str(owner))}: this is a moving picture, and the next look may show another."]


def tail_text(found: Finding) -> list[str]:
    """Return that there is a torn tail, if there is."""
    if found.tail is None:
        return []
    text = (
        f"  torn tail: {_place(found.tail)}: {found.tail.why}. Nobody had been told of it; "
        "the next opening keeps a copy in quarantine/, and goes on before it."
    )
    return [text]


def damage_text(path: str, found: Finding) -> list[str]:
    """Return what is wrong, what the two ways of recovery make of it, and what to do."""
    if found.is_whole:
        return []
    text = spots_text(found)
    if found.refusal is None:
        text.append("  strict:  opens: nothing that it needs is damaged, but what it could fall back on is.")
        text.append("  salvage: the same.")
    else:
        text.append("  strict:  refuses to open (StoreCorrupt), and changes nothing.")
        text.append(f"  salvage: {_salvage_text(found)}")
    text.append(
        "  next:    put back a copy of the directory; or, when nobody uses it, "
        f"python -m actorq repair {shown(path)}, which copies everything aside first."
    )
    return text


def spots_text(found: Finding) -> list[str]:
    """Return where the damage is."""
    return [_spot_text(spot) for spot in found.damage]


def _spot_text(spot: Spot) -> str:
    lost = "" if spot.facts is None else f" {facts_of(*spot.facts).capitalize()} stood there."
    if spot.intact is None:
        behind = "What follows in the file cannot be counted without its first line."
    else:
        behind = f"{count_of(spot.intact, 'intact line')} {'follows' if spot.intact == 1 else 'follow'} in the file."
    spare = "" if spot.is_needed else " Only the generation before the newest snapshot needs it."
    return f"  damage:  {_place(spot)}: {shown(spot.why)}.{lost} {behind}{spare}"


def _salvage_text(found: Finding) -> str:
    states = counts_text(state_counts(found.ledger.jobs.values()))
    jobs = count_of(len(found.ledger.jobs), "job") + (states and f" ({states})")
    text = f"keeps {jobs}, and moves all files that are there now to quarantine/."
    if found.report.missing:
        gaps = ", ".join(facts_of(*gap) for gap in found.report.missing)
        text += f" Missing: {gaps}: a job that was submitted there is lost, and one that ended there runs again."
    if doubtful := found.report.doubtful:
        names = ", ".join(shown(job_id) for job_id in doubtful[:NAMED]) + (" …" if len(doubtful) > NAMED else "")
        again = count_of(len(found.run_again), "job")
        text += f" In doubt, because facts about them may be missing: {names}; {again} of them may run once more."
    return text


def _place(spot: Spot) -> str:
    byte = "" if spot.byte is None else f", byte {spot.byte}"
    return f"{spot.name}, line {spot.line}{byte}"
