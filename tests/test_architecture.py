"""Imports only point down: the table of floors, and the reader that holds the house to it.

ROOMS says for each room (a module, or a package with all that is in it) on which floor it stands
and what it may import. `flaws` reads sources, it never runs them: so it sees imports in functions,
and those under TYPE_CHECKING, too, for what is needed only for types is still needed to understand.

A new module fails until it has a floor here: the moment to ask whether it is in the right room.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from attrs import frozen

HOUSE = Path(__file__).parents[1] / "actorq"

STANDARD_LIBRARY = sys.stdlib_module_names


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PURE = names("__future__ collections copy enum functools heapq itertools json math types typing zlib")
"""What the core may import of the standard library: no clock, no disk, no loop, no chance."""

LOADED_BY_DEPENDENCIES = names("anyio attr attrs cattr cattrs exceptiongroup idna orjson sniffio typing_extensions")
"""All that `import actorq` may load besides itself and the standard library."""


@frozen
class Room:
    """What one room may know: of the house, itself and the floors below; of the world, this."""

    floor: int
    uses: frozenset[str] = frozenset()
    """Third-party packages it may import."""
    standard: frozenset[str] = STANDARD_LIBRARY
    """Modules of the standard library it may import."""
    knows: frozenset[str] = frozenset()
    """Rooms on its own floor that it may import."""
    never: frozenset[str] = frozenset()
    """Rooms below that are none of its business."""
    awaits: bool = True
    """Whether `async` and `await` may stand in it."""


BYTES_ONLY = STANDARD_LIBRARY - names("asyncio random sched selectors threading")
HANDY = names("anyio attrs")
DECIDES = names("actorq.core.decide actorq.core.ledger actorq.core.roster")

ROOMS: dict[str, Room] = {
    # floor 0: words that everyone uses
    "actorq.errors": Room(0, uses=names("attrs"), awaits=False),
    "actorq.config": Room(0, uses=names("attrs"), knows=names("actorq.errors"), awaits=False),
    # floor 1: decides; time and chance come in as arguments
    "actorq.core": Room(1, uses=names("attrs"), standard=PURE, awaits=False),
    # floor 2: bytes and files, names and functions, pictures
    "actorq.store": Room(2, uses=names("attrs orjson"), standard=BYTES_ONLY, awaits=False),
    "actorq.function": Room(2, uses=names("attrs cattrs orjson"), awaits=False),
    "actorq.record": Room(2, uses=names("attrs orjson"), standard=BYTES_ONLY, awaits=False),
    "actorq.event": Room(2, uses=names("attrs"), knows=names("actorq.record"), awaits=False),
    "actorq.dead_letter": Room(2, uses=names("attrs"), awaits=False),
    "actorq.explanation": Room(2, uses=names("attrs"), awaits=False),
    "actorq.condition": Room(2, uses=names("attrs"), awaits=False),
    "actorq.query": Room(2, uses=names("attrs"), knows=names("actorq.condition actorq.record"), awaits=False),
    "actorq.matching": Room(2, knows=names("actorq.query actorq.record"), awaits=False),
    "actorq.stats": Room(2, uses=names("attrs"), awaits=False),
    "actorq.stack": Room(2, uses=names("attrs"), awaits=False),
    "actorq.views": Room(2, uses=names("attrs"), knows=names("actorq.record"), awaits=False),
    # floor 3: the rooms that await
    "actorq.actors": Room(3, uses=names("anyio attrs orjson"), knows=names("actorq.actors.processes")),
    "actorq.actors.processes": Room(3, uses=names("anyio attrs cattrs orjson psutil"), knows=names("actorq.actors")),
    # floor 4: what the user holds
    "actorq.logs": Room(4, uses=names("orjson"), never=DECIDES, awaits=False),
    "actorq.handle": Room(4, uses=HANDY, never=DECIDES),
    "actorq.task": Room(4, uses=HANDY, never=DECIDES, knows=names("actorq.handle")),
    "actorq.control": Room(4, uses=HANDY, never=DECIDES, knows=names("actorq.handle actorq.task")),
    "actorq.declaring": Room(4, never=DECIDES, knows=names("actorq.task")),
    "actorq.questions": Room(4, never=DECIDES),
    "actorq.queue": Room(
        4,
        uses=HANDY,
        never=DECIDES,
        knows=names("actorq.control actorq.declaring actorq.handle actorq.questions actorq.task"),
    ),
    # floor 5: around the house; the front door itself, and what stands behind extras
    "actorq": Room(5),
    "actorq.__main__": Room(5, knows=names("actorq.cli")),
    "actorq.cli": Room(5, uses=names("attrs orjson")),
    "actorq.engines": Room(5),
    "actorq.testing": Room(5, uses=names("anyio attrs looptime pytest trio")),
    "actorq.web": Room(5),
}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


RELATIVE = "."
"""The target of any relative import: which module it names does not matter, it is refused."""


@frozen
class Import:
    """One imported module, and where."""

    target: str
    line: int


def read_house(house: Path = HOUSE) -> dict[str, str]:
    """Return the source of each module of the house, by its dotted name."""
    sources = {}
    for path in sorted(house.rglob("*.py")):
        parts = path.relative_to(house.parent).with_suffix("").parts
        package = parts[:-1] if path.stem == "__init__" else parts
        sources[".".join(package)] = path.read_text(encoding="utf-8")
    return sources


def imports_of(tree: ast.Module, modules: Mapping[str, str]) -> Iterator[Import]:
    """Yield each import in `tree` as the module it truly names: `from a import b` may name a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in modules else node.module for name in inner]
        elif isinstance(node, ast.ImportFrom):
            targets = [RELATIVE]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Import(target, node.lineno)


def room_of(module: str) -> str | None:
    """Return the room that `module` is in; only the front door itself is in the room `actorq`."""
    name = module
    while name not in ROOMS:
        name = name.rpartition(".")[0]
        if name in ("", "actorq"):
            return None
    return name


# ── judging ──────────────────────────────────────────────────────────────────────────────────────


def flaws(sources: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a house, each flaw a sentence that says where."""
    found = []
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        imports = list(imports_of(tree, sources))
        graph[module] = {each.target for each in imports} & sources.keys() - {module}
        found += [f"{module} {flaw}" for flaw in flaws_of_name(module)]
        if room := room_of(module):
            lines = [(each.line, flaw_of_import(room, each)) for each in imports]
            lines += [(line, flaw_of_await(room)) for line in lines_that_await(tree)]
            found += [f"{module}:{line} {flaw}" for line, flaw in lines if flaw]
    return found + flaws_of_graph(graph)


def flaws_of_name(module: str) -> Iterator[str]:
    stem = module.rpartition(".")[2]
    if stem.startswith("_") and not stem.endswith("__"):
        yield "begins with an underscore: what is promised stands in __all__"
    if room_of(module) is None:
        yield f"stands on no floor: give it a floor, in ROOMS of {Path(__file__).name}"


def flaw_of_import(name: str, imported: Import) -> str | None:
    """Return what is wrong with an import in the room called `name`, or None."""
    room, target = ROOMS[name], imported.target
    package = target.partition(".")[0]
    if target == RELATIVE:
        return "imports relatively: a whole name shows the floor"
    if package == "actorq":
        return flaw_of_neighbour(name, target)
    if package in STANDARD_LIBRARY:
        return None if package in room.standard else f"imports {package}: {name} must not know it"
    if package not in room.uses:
        return f"imports {package}: not among what {name} uses"
    return None


def flaw_of_neighbour(name: str, target: str) -> str | None:
    """Return what is wrong with the room called `name` importing `target` of the same house."""
    room, neighbour = ROOMS[name], room_of(target)
    if neighbour is None or neighbour == name or neighbour in room.knows:
        return None  # that a module has no floor is its own flaw, not its importer's
    floor = ROOMS[neighbour].floor
    if floor > room.floor:
        return f"imports {target}: up from floor {room.floor} to floor {floor}"
    if floor == room.floor:
        return f"imports {target}: these rooms of floor {floor} do not know each other"
    if target in room.never:
        return f"imports {target}: none of the business of {name}"
    return None


def flaw_of_await(name: str) -> str | None:
    return None if ROOMS[name].awaits else f"is async: {name} must not await"


def lines_that_await(tree: ast.Module) -> list[int]:
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    return [node.lineno for node in ast.walk(tree) if isinstance(node, kinds)]


def flaws_of_graph(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"imports go round in a circle: {' → '.join(reversed(error.args[1]))}"]
    return []


# ── the house ────────────────────────────────────────────────────────────────────────────────────


def test_the_house_has_no_flaws():
    assert not flaws(read_house())


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages that a statement loads, without the standard library."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()} - STANDARD_LIBRARY


def test_importing_the_house_loads_nothing_of_an_extra():
    assert loaded_by("import actorq") <= {"actorq", *LOADED_BY_DEPENDENCIES}


# ── the checker checked: each rule sees what it is there for ─────────────────────────────────────


def test_a_good_house_has_no_flaws():
    sources = {
        "actorq": "from actorq.queue import JobQueue",
        "actorq.errors": "import traceback",
        "actorq.config": "from actorq.errors import InvalidOption",
        "actorq.core": "",
        "actorq.core.job": "from actorq import config\nfrom collections.abc import Mapping",
        "actorq.core.ledger": "import attrs, heapq, actorq.core.job\nfrom actorq.core import job",
        "actorq.store.codec": "import os, zlib, orjson\nfrom actorq.core.job import Job",
        "actorq.function": "import cattrs",
        "actorq.actors.scribe": "import anyio\nfrom actorq.core.ledger import Ledger",
        "actorq.handle": "",
        "actorq.queue": "from actorq.handle import JobHandle\nfrom actorq.core.job import Job",
    }
    assert flaws(sources) == []


@pytest.mark.parametrize(
    ("module", "source", "flaw"),
    [
        ("core.job", "import actorq.store.codec", "core.job:1 imports actorq.store.codec: up from"),
        (
            "core.job",
            "def f():\n    from actorq.store import codec",
            "core.job:2 imports actorq.store",
        ),
        ("core.job", "if TYPE_CHECKING:\n    import actorq.queue", "up from floor 1 to floor 4"),
        ("core.job", "if typing.TYPE_CHECKING: import actorq", "up from floor 1 to floor 5"),
        ("actors.scribe", "from actorq import JobQueue", "up from floor 3 to floor 5"),
        ("errors", "import actorq.config", "these rooms of floor 0"),
        ("store.codec", "import actorq.function", "these rooms of floor 2"),
        ("views.celery", "from actorq.store import codec", "these rooms of floor 2"),
        ("queue", "from actorq.core import ledger", "ledger: none of the business"),
        ("queue", "from actorq.core.ledger import Ledger", "ledger: none of the business"),
        ("core.job", "import time", "imports time: actorq.core must not know it"),
        ("core.job", "from datetime import date", "imports datetime: actorq.core must not"),
        ("core.job", "import os.path", "imports os: actorq.core must not"),
        ("core.job", "import orjson", "imports orjson: not among what actorq.core uses"),
        ("store.codec", "import asyncio", "imports asyncio: actorq.store must not know it"),
        ("store.codec", "import anyio", "imports anyio: not among what actorq.store uses"),
        ("queue", "import starlette", "imports starlette: not among what actorq.queue uses"),
        ("core.job", "from . import facts", "imports relatively"),
        ("core.job", "async def decide(): ...", "core.job:1 is async: actorq.core must not await"),
        ("core._job", "", "begins with an underscore"),
        ("attic", "", "actorq.attic stands on no floor: give it a floor"),
        ("core.job", "import actorq.core.ledger", "imports go round in a circle: actorq.core."),
        ("core.job", "def f(): import actorq.core.ledger", "imports go round in a circle"),
    ],
)
def test_a_house_with_one_flaw_has_exactly_that_flaw(module: str, source: str, flaw: str):
    good = {
        "actorq": "",
        "actorq.config": "",
        "actorq.core": "",
        "actorq.core.ledger": "from actorq.core.job import Job",
        "actorq.store.codec": "",
        "actorq.queue": "",
        "actorq.function": "",
    }
    [found] = flaws({**good, f"actorq.{module}": source})
    assert flaw in found


def test_the_reader_names_modules_as_python_does(tmp_path: Path):
    house = tmp_path / "actorq"
    (house / "core").mkdir(parents=True)
    for path in ["__init__.py", "__main__.py", "queue.py", "core/__init__.py", "core/job.py"]:
        (house / path).write_text(f"# {path}", encoding="utf-8")
    assert read_house(house) == {
        "actorq": "# __init__.py",
        "actorq.__main__": "# __main__.py",
        "actorq.core": "# core/__init__.py",
        "actorq.core.job": "# core/job.py",
        "actorq.queue": "# queue.py",
    }


def test_what_an_import_loads_is_seen():
    assert {"trio", "attrs"} <= loaded_by("import trio")
