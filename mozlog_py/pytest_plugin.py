"""What pytest has of this package, for whoever has it installed: fixtures and an ini option."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from . import config
from .testing import capture_lines, no_leaks

__all__ = [
    "mozlog_lines",
    "mozlog_no_leaks",
    "pytest_addoption",
    "pytest_runtest_call",
]

# At once, since it is for what conftest.py configures as well: structlog's plugins
# change a configuration that kept loggers would not look at again.
config.is_caching_loggers = False

_OPTION = "mozlog_no_leaks"


@pytest.fixture
def mozlog_lines() -> Iterator[list[dict[str, Any]]]:
    """Give the lines that the test logs, each parsed into a dict, as they come."""
    with capture_lines() as lines:
        yield lines


@pytest.fixture
def mozlog_no_leaks() -> Iterator[None]:
    """Fail the test if it leaves something bound in the logging context."""
    with no_leaks():
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option that has every test checked."""
    parser.addini(
        _OPTION, "fail tests that leave something in the logging context", "bool", default=False
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Check a test, where all are checked."""
    if not item.config.getini(_OPTION):
        return (yield)
    with no_leaks():
        return (yield)
