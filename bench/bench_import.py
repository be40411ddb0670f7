"""P11: what does ``import actorq`` cost beyond its dependencies, and does it load anything of an extra?

Each round is a fresh process. It first imports, of the core dependencies, every module that actorq uses, and
asyncio, which anyio loads as soon as a loop runs; then actorq, and says how long each took. Bytecode is cached, as
it is after the first start of any program, whatever the environment says.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CORE = {"anyio", "attr", "attrs", "cattr", "cattrs", "orjson"}
DEPENDENCIES = CORE | {"exceptiongroup", "idna", "sniffio", "typing_extensions"}
"""All that ``import actorq`` may load besides itself and the standard library."""

LOADED = "import json, sys; before = set(sys.modules); import actorq; print(json.dumps([*set(sys.modules) - before]))"

TIMED = """
import importlib, json, sys, time
start = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
middle = time.perf_counter()
import actorq
print(json.dumps([middle - start, time.perf_counter() - middle]))
"""


def run(program: str, *args: str, cache: Path) -> Any:
    """Return what the program says, in a process of its own."""
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache)}
    command = [sys.executable, "-c", program, *args]
    return json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)  # noqa: S603 - ours


@pytest.mark.benchmark(group="P11 import actorq (a round: a process)")
def bench_import(benchmark: Any, tmp_path: Path, pick: Any, tell: Any) -> None:
    loaded = run(LOADED, cache=tmp_path)
    packages = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert "actorq" in packages
    assert packages <= {"actorq", *DEPENDENCIES}

    used = sorted(name for name in loaded if name.partition(".")[0] in DEPENDENCIES | {"asyncio"})
    times: list[tuple[float, float]] = []
    benchmark.pedantic(
        lambda: times.append(run(TIMED, *used, cache=tmp_path)), rounds=pick(quick=7, full=25), warmup_rounds=1
    )
    base, ours = (min(column) * 1e3 for column in zip(*times, strict=True))
    tell("P11", "beyond its dependencies", ours, base, "ms", "≤ 15 ms", at_most=15.0, bounds="ours")
