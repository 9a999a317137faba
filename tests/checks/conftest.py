"""Fixtures for the tests of checks: an empty registry, and both ways of running checks."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance import Capture

from dockerflow import checks

Run = Callable[..., checks.ChecksResults]


@pytest.fixture(autouse=True)
def no_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()


@pytest.fixture(params=["blocking", "awaiting"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run checks, the registered ones by default, as a WSGI or an ASGI service does."""

    def blocking(pairs: Any = None, *args: Any, **options: Any) -> checks.ChecksResults:
        pairs = checks.get_checks().items() if pairs is None else pairs
        return checks.run_checks(pairs, *args, **options)

    def awaiting(pairs: Any = None, *args: Any, **options: Any) -> checks.ChecksResults:
        pairs = checks.get_checks().items() if pairs is None else pairs
        return asyncio.run(checks.run_checks_async(pairs, *args, **options))

    return blocking if request.param == "blocking" else awaiting


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Return the event for which hanging checks wait, so that none of them outlives its test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def logged() -> Iterator[Capture]:
    """Return the lines of the checks' logger, as a service would write them."""
    import logging

    capture = Capture()
    logger = logging.getLogger("dockerflow.checks.registry")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(capture.handler)
    yield capture
    logger.removeHandler(capture.handler)
    logger.setLevel(level)
