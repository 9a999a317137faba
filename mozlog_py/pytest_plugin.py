"""What pytest has of this package, wherever it is installed: fixtures and an ini option.

Nothing else of the package is imported before one of them is used.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

__all__ = [
    "mozlog_lines",
    "mozlog_no_leaks",
    "pytest_addoption",
    "pytest_runtest_call",
]

# config asks whether this module is imported when it is itself: structlog's plugins change
# a configuration that kept loggers would not look at again. It may be imported already.
_config = sys.modules.get("mozlog_py.config")
if _config is not None:
    vars(_config)["is_caching_loggers"] = False

_OPTION = "mozlog_no_leaks"


@pytest.fixture
def mozlog_lines() -> Iterator[list[dict[str, Any]]]:
    """Collect the lines that the test logs, each parsed into a dict, as they come."""
    from .testing import capture_lines

    with capture_lines() as lines:
        yield lines


@pytest.fixture
def mozlog_no_leaks() -> Iterator[None]:
    """Fail the test if it leaves something bound in the logging context."""
    from .testing import no_leaks

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
    from .testing import no_leaks

    with no_leaks():
        return (yield)
