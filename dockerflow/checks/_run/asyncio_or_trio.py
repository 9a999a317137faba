"""Waits for checks in a task, on asyncio or on trio.

An ASGI server may run an application on either of the two.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["waiter"]


def waiter() -> _AsyncioWaiter | _TrioWaiter:
    """Return a waiter for the current task.

    Raises:
        RuntimeError: The task runs on neither asyncio nor trio.
    """
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        try:
            # First, because trio may run as the guest of an asyncio loop.
            trio.lowlevel.current_task()
            return _TrioWaiter(trio)
        except (AttributeError, RuntimeError):
            # No run of trio in this thread; another thread may still be importing it.
            pass
    return _AsyncioWaiter()


class _AsyncioWaiter:
    """Wakes a task when another thread has news for it."""

    #: Whether async checks, which need asyncio, can run on the caller's loop.
    has_asyncio_loop = True

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def wake(self, _outcome: object = None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            # The loop is closed, and no task waits on it.
            pass

    async def wait(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()
        self._changed.clear()


class _TrioWaiter:
    has_asyncio_loop = False

    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()
        self._changed = trio.Event()

    def wake(self, _outcome: object = None) -> None:
        try:
            self._token.run_sync_soon(self._changed.set)
        except self._trio.RunFinishedError:
            # Trio's run is over, and no task waits in it.
            pass

    async def wait(self, seconds: float) -> None:
        with self._trio.move_on_after(seconds):
            await self._changed.wait()
        if self._changed.is_set():
            # An event of trio can be set only once.
            self._changed = self._trio.Event()
