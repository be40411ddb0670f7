"""What kills machines runs only when asked for: ``make crash``, or ``pytest tests/crashes -m "crash or not crash"``.

The short forms of the tests are part of the suite. How much the long forms do is set by

* ``ACTORQ_CRASH_ROUNDS``: kills in all, 12 if not set;
* ``ACTORQ_CRASH_CUTS``: power cuts for each file system, 20 if not set.
"""

from collections.abc import Iterator

import pytest

from .life import lives


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "crash: mounts, traces and breaks things, for minutes; only if -m names it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "crash" in config.getoption("-m"):
        return
    dangerous = [item for item in items if item.get_closest_marker("crash")]
    if dangerous:
        items[:] = [item for item in items if not item.get_closest_marker("crash")]
        config.hook.pytest_deselected(items=dangerous)


@pytest.fixture(autouse=True)
def _nobody_outlives_a_test() -> Iterator[None]:
    """End what a test that failed has left behind; before its mounts go, so this comes first and ends last."""
    yield
    for life in list(lives):
        life.discard()
