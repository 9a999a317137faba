"""How a caller that awaits waits for checks: on asyncio, and on trio.

ASGI does not say on which of the two a server runs an application.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

__all__ = ["Waiter", "waiter"]


class Waiter(Protocol):
    """Wakes a task when another thread says that something has changed."""

    #: Whether async checks, which are asyncio's, can run on the caller's own loop.
    has_asyncio_loop: bool

    def wake(self, _outcome: object = None) -> None:
        """Wake the task, from any thread."""

    async def wait(self, seconds: float) -> None:
        """Wait until woken, and at most for a number of seconds."""


def waiter() -> Waiter:
    """Return one for the task that calls.

    Raises:
        RuntimeError: the task runs on neither asyncio nor trio.
    """
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        try:
            # First: trio can be the guest of a loop of asyncio, which runs as well then.
            trio.lowlevel.current_task()
            return _TrioWaiter(trio)
        except RuntimeError:
            pass
    return _AsyncioWaiter()


class _AsyncioWaiter:
    has_asyncio_loop = True

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def wake(self, _outcome: object = None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            # The loop is closed, and its waiters with it.
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
            # The waiter has gone.
            pass

    async def wait(self, seconds: float) -> None:
        with self._trio.move_on_after(seconds):
            await self._changed.wait()
        if self._changed.is_set():
            # It can be set only once.
            self._changed = self._trio.Event()
