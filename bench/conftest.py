"""Side by side: what every benchmark here shares.

Machines are noisy, so a time alone says little. Each benchmark runs its baseline in the same process, by turns
with what is measured (:func:`race`), takes the best round of each, and tells their ratio. Nothing here fails for
being slow; it fails if a result is wrong.
"""

import gc
import os
import platform
import tempfile
import time
from collections.abc import Callable, Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import asdict, field, frozen

from .bare import LOOPS
from .disk import file_system, on_disk
from .peers import PEERS

FINDINGS = pytest.StashKey[list["Finding"]]()

DISKS = pytest.StashKey[set[str]]()

PACKAGES: Final = ("actorq", "anyio", "attrs", "cattrs", "orjson", "trio", "pytest-benchmark")


@frozen
class Finding:
    """One answer: a figure beside its baseline, and what was promised."""

    question: str
    case: str
    ours: float
    base: float
    unit: str
    promise: str = ""
    at_most: float | None = field(default=None, kw_only=True)
    """The promise as a bound; of the ratio, of ``ours``, or of what is ``extra``."""
    at_least: float | None = field(default=None, kw_only=True)
    """The same for a rate: more is better."""
    bounds: str = field(default="ratio", kw_only=True)
    ratio: float = field(init=False)
    extra: float = field(init=False)
    """What ours takes beyond the baseline."""
    is_kept: bool | None = field(init=False)
    """None: nothing was promised, it is for orientation."""

    @ratio.default
    def _ratio(self) -> float:
        return self.ours / self.base if self.base else float(self.ours)

    @extra.default
    def _extra(self) -> float:
        return self.ours - self.base

    @is_kept.default
    def _is_kept(self) -> bool | None:
        figure = getattr(self, self.bounds)
        if self.at_least is not None:
            return figure >= self.at_least
        return None if self.at_most is None else figure <= self.at_most


# -- what benchmarks ask for ----------------------------------------------------------------------------


@pytest.fixture
def pick(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Choose between two sizes: ``pick(quick=…, full=…)``."""
    name = "quick" if pytestconfig.getoption("--quick") else "full"
    return lambda **sizes: sizes[name]


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def portal(loop: str) -> Generator[BlockingPortal]:
    """An event loop in a thread, that lives through all rounds; nothing else runs meanwhile."""
    backend, options = ("asyncio", {"use_uvloop": True}) if loop == "uvloop" else (loop, {})
    with start_blocking_portal(backend, options) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path, benchmark: Any, pytestconfig: pytest.Config) -> Generator[Path]:
    """A directory on a real disk, removed at the end; the file system is told beside the figures."""
    above = on_disk(tmp_path, Path("/var/tmp"), Path.cwd())  # noqa: S108 - a directory of our own is made there
    kind = file_system(above)
    benchmark.extra_info["file_system"] = kind
    pytestconfig.stash[DISKS].add(kind)
    with tempfile.TemporaryDirectory(prefix="actorq-bench-", dir=above) as path:
        yield Path(path)


@pytest.fixture
def race(benchmark: Any) -> Callable[..., tuple[float, float]]:
    """Run both by turns, and return the best round of each, in seconds."""

    def run(ours: Callable[[], object], base: Callable[[], object], *, rounds: int) -> tuple[float, float]:
        times: list[float] = []

        def run_base() -> None:
            start = time.perf_counter()
            base()
            times.append(time.perf_counter() - start)

        benchmark.pedantic(ours, setup=run_base, rounds=rounds, warmup_rounds=1)
        return benchmark.stats.stats.min, min(times[1:])

    return run


@pytest.fixture
def tell(benchmark: Any, pytestconfig: pytest.Config) -> Callable[..., None]:
    """Put a finding into the table at the end, and into what pytest-benchmark saves."""

    def put(*args: Any, **options: Any) -> None:
        finding = Finding(*args, **options)
        pytestconfig.stash[FINDINGS].append(finding)
        benchmark.extra_info.setdefault("findings", []).append(asdict(finding))

    return put


@pytest.fixture
def frozen_heap() -> Generator[Callable[[], None]]:
    """Call it when all is built: what collecting that costs is another question (P9)."""

    def freeze() -> None:
        gc.collect()
        gc.freeze()

    yield freeze
    gc.unfreeze()


# -- what pytest asks for -------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="fewer rounds and a tenth of the backlog")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FINDINGS] = []
    config.stash[DISKS] = set()


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["load"] = os.getloadavg()
    machine_info["versions"] = versions()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    findings = sorted(config.stash[FINDINGS], key=lambda finding: int(finding.question[1:]))
    if not findings:
        return
    write = terminalreporter.write_line
    terminalreporter.section("side by side: best of interleaved rounds")
    write(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    write(", ".join(f"{name} {number}" for name, number in versions().items()))
    write("load {:.1f} {:.1f} {:.1f}".format(*os.getloadavg()))
    if disks := config.stash[DISKS]:
        write(f"directories on {', '.join(sorted(disks))}")
    width = max(len(finding.case) for finding in findings)
    write(f"\n{'':4} {'':{width}} {'ours':>10} {'baseline':>10} {'':8} {'ratio':>7}   promise")
    for finding in findings:
        kept = {None: "", True: "kept", False: "NOT YET"}[finding.is_kept]
        write(
            f"{finding.question:4} {finding.case:{width}} {finding.ours:10.2f} {finding.base:10.2f} {finding.unit:8} "
            f"{finding.ratio:7.2f}   {finding.promise:22} {kept}"
        )


def versions() -> dict[str, str]:
    """Return the versions of all that has a part in the figures."""
    return {name: version(name) for name in (*PACKAGES, *(["uvloop"] if "uvloop" in LOOPS else []), *PEERS)}
