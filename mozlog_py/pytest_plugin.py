"""The pytest plugin: fixtures and an ini option.

pytest loads it in every project with this distribution installed. It imports the rest of the
package only when a fixture or the option is used.
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

# Under pytest, structlog caches no logger: its plugins change the configuration, which a cached
# logger does not read again. config tests for this module when it is imported; here it is
# already imported.
_config = sys.modules.get("mozlog_py.config")
if _config is not None:
    vars(_config)["is_caching_loggers"] = False

_OPTION = "mozlog_no_leaks"


@pytest.fixture
def mozlog_lines() -> Iterator[list[dict[str, Any]]]:
    """Collect the lines of the test, each parsed into a dict."""
    from .testing import capture_lines

    with capture_lines() as lines:
        yield lines


@pytest.fixture
def mozlog_no_leaks() -> Iterator[None]:
    """Fail the test if it leaves a field bound in the logging context."""
    from .testing import no_leaks

    with no_leaks():
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option for ``no_leaks()`` in every test."""
    parser.addini(
        _OPTION, "fail tests that leave something in the logging context", "bool", default=False
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Run a test within ``no_leaks()`` if the ini option is set."""
    if not item.config.getini(_OPTION):
        return (yield)
    from .testing import no_leaks

    with no_leaks():
        return (yield)
