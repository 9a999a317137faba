"""The pytest fixture ``mozlog_lines``, for whoever has this package installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .testing import capture_lines

__all__ = ["mozlog_lines"]


@pytest.fixture
def mozlog_lines() -> Iterator[list[dict[str, Any]]]:
    """Give the lines that the test logs, each parsed into a dict, as they come."""
    with capture_lines() as lines:
        yield lines
