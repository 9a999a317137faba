"""Detects that a test runs in this process.

A test may change what a check returns, and request the heartbeat again at once. There a
cached outcome is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from mozlog_py._process.shared_state import is_gil_enabled

__all__ = ["is_test_running"]


def is_test_running() -> bool:
    """Return whether pytest or unittest runs a test in this process, in any thread.

    Django's test runner is a unittest runner. A server in another process than the test
    does not run a test.
    """
    # Child processes inherit the variable, but have not imported pytest's runner.
    if "PYTEST_CURRENT_TEST" in os.environ and "_pytest.runner" in sys.modules:
        return True
    unittest: Any = sys.modules.get("unittest.case")
    if unittest is None:
        return False
    # The only trace of unittest is the call on a stack, of any thread: test clients serve an
    # ASGI application in another thread than the test's.
    namespace = vars(unittest)
    return any(_is_called_by(namespace, frame) for frame in _frames())


def _frames() -> Iterable[FrameType]:
    """Return the innermost frame of each thread, or of this one where others cannot be read."""
    # Since 3.14 a frame locks itself while its caller or its globals are read. Before, a
    # free-threaded Python may crash.
    if is_gil_enabled() or sys.version_info >= (3, 14):
        return sys._current_frames().values()  # noqa: SLF001
    return [sys._getframe()]  # noqa: SLF001


def _is_called_by(namespace: dict[str, Any], frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals is namespace:
            return True
        frame = frame.f_back
    return False
