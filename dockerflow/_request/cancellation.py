"""Where a cancellation comes from: the task that was cancelled, or one that it has awaited."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_task_cancelled", "running_loop"]


def is_task_cancelled() -> bool | None:
    """Return whether the running asyncio task is itself being cancelled.

    Returns:
        False if the task only awaits something that was cancelled; None if that is unknown,
        as on Python 3.10 and outside of asyncio.
    """
    asyncio = sys.modules.get("asyncio")
    try:
        return bool(asyncio.current_task().cancelling())  # type: ignore[union-attr]
    except (AttributeError, RuntimeError):
        return None


def running_loop() -> Any:
    """Return the event loop of asyncio that runs in this thread; None if none does."""
    # Another thread may be in the middle of importing asyncio. Then no loop runs yet.
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return None if running is None else running()
