"""Asynchronous work whose caller does not wait for it, or only for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

__all__ = ["Coalesced", "result_within"]

_T = TypeVar("_T")


async def result_within(awaitable: Awaitable[_T], seconds: float, default: _T) -> _T:
    """Wait for a result, but not longer than so many seconds.

    Args:
        awaitable: What gives the result; is cancelled when the time is over.
        seconds: How long to wait.
        default: The result if there is none in time, or if ``awaitable`` raises or is cancelled.

    Raises:
        asyncio.CancelledError: The caller is cancelled. ``awaitable`` then goes on.
    """
    task = asyncio.ensure_future(awaitable)
    # If this call is cancelled, nothing else retrieves an exception of the task.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        return default
    if task.cancelled() or task.exception() is not None:
        return default
    return task.result()


class Coalesced:
    """Runs a coroutine function in the background, once for all calls during a run.

    A call starts a run. Calls during that run cause one more run after it, so that each call
    is followed by a whole run.
    """

    def __init__(self, function: Callable[[], Awaitable[Any]]) -> None:
        self._function: Final = function
        # By event loop, whether to run once more.
        self._again: Final[dict[asyncio.AbstractEventLoop, bool]] = {}
        # Event loops refer to tasks weakly.
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def call(self) -> None:
        """Start a run on the running event loop, or have the present run followed by another."""
        loop = asyncio.get_running_loop()
        if loop in self._again:
            self._again[loop] = True
            return
        self._again[loop] = False
        task = loop.create_task(self._run(loop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            is_to_be_run = True
            while is_to_be_run:
                self._again[loop] = False
                await self._function()
                is_to_be_run = self._again[loop]
        except RuntimeError:
            # No thread can be started, or the loop ends.
            pass
        finally:
            del self._again[loop]
