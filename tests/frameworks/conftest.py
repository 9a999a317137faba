"""What the tests of all adapters start from."""

import logging
from collections.abc import Iterator

import pytest
from contract import Lines

from dockerflow import checks
from mozlog_py.testing import capture_lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_lines() as captured:
        yield Lines(captured)


@pytest.fixture(autouse=True)
def usual_logger() -> Iterator[None]:
    """Restore the logger of summaries: middleware that finds it unconfigured adds a handler."""
    logger = logging.getLogger("request.summary")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def no_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()


@pytest.fixture(autouse=True)
def unlimited_errors() -> None:
    """Let the first ``/__error__`` of each test be logged; these views have one limit each."""
    from dockerflow.django import views
    from dockerflow.fastapi import views as fastapi_views

    for limit in (views._error_limit, fastapi_views._error_limit):
        limit.__init__()  # type: ignore[misc]
