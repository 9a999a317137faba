"""Whether a test runs in this process.

A test changes what a check finds, and asks for the heartbeat again at once. There an
outcome of a moment ago is a wrong one.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

__all__ = ["is_test_running"]


def is_test_running() -> bool:
    """Return whether pytest or unittest runs a test in this process, in any thread.

    Django's test runner is one of unittest. A server that a test has started as a
    process of its own runs no test.
    """
    # The variable says so of the process that runs pytest, and processes inherit it.
    if "PYTEST_CURRENT_TEST" in os.environ and "_pytest.runner" in sys.modules:
        return True
    unittest: Any = sys.modules.get("unittest.case")
    if unittest is None:
        return False
    # unittest leaves no other mark than the call of the test. The test may be in another
    # thread than the request: test clients serve an ASGI application in one of their own.
    namespace = vars(unittest)
    return any(_is_called_by(namespace, frame) for frame in sys._current_frames().values())  # noqa: SLF001


def _is_called_by(namespace: dict[str, Any], frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals is namespace:
            return True
        frame = frame.f_back
    return False
