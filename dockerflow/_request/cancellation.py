"""Where a cancellation comes from: the task that was cancelled, or one that it has awaited."""

from __future__ import annotations

import sys

__all__ = ["is_asyncio_running", "is_task_cancelled"]


def is_task_cancelled() -> bool | None:
    """Return whether the running asyncio task is itself being cancelled.

    False for an application that awaits something cancelled; None where it cannot be
    told: on Python 3.10, and outside of asyncio.
    """
    asyncio = sys.modules.get("asyncio")
    try:
        return bool(asyncio.current_task().cancelling())  # type: ignore[union-attr]
    except (AttributeError, RuntimeError):
        return None


def is_asyncio_running() -> bool:
    """Return whether an event loop of asyncio runs in this thread."""
    # Another thread may be in the middle of importing asyncio. Then no loop runs yet.
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running_loop is not None and running_loop() is not None
