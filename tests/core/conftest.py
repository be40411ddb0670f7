"""One option: rewrite the stories instead of checking them, to be read as a diff."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-stories",
        action="store_true",
        help="write what happened into tests/core/stories/*.txt; review the diff",
    )
