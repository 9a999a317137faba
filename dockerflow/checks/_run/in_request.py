"""Checks in the request's own thread and context, one after the other, as upstream runs them.

Such a check sees all that the application's code sees there. It has no
deadline and its run is shared with no other request. Only what it raises as an
``Exception`` is its own error: the signal that ends a worker meets it in the
worker's main thread, and must go on to the worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from mozlog_py._process.fork_safe_import import fork_safe_import

from .check_result import CheckResult, mask_error, raised, read, report
from .signature import Check, bind_config
from .surroundings import Surroundings

__all__ = ["await_in_request", "call_in_request", "has_running_loop", "log_outcome"]


def has_running_loop() -> bool:
    """Return whether this thread is busy with an event loop of asyncio."""
    with fork_safe_import():
        import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def call_in_request(check: Check, config: Any, surroundings: Surroundings) -> CheckResult:
    """Run a check to its end in this thread.

    An async check needs a thread without a running event loop.
    """

    def call() -> Any:
        function = bind_config(check.function, config)
        if is_coroutine_function:
            return (surroundings.call_async or _on_loop_of_its_own)(function)
        return function()

    is_coroutine_function = check.is_async
    return _outcome_of(call)


async def await_in_request(check: Check, config: Any, surroundings: Surroundings) -> CheckResult:
    """Run a check to its end where this is awaited: an async check in this task."""

    def call() -> CheckResult:
        return _outcome_of(bind_config(check.function, config))

    if not check.is_async:
        return call() if surroundings.call_sync is None else await surroundings.call_sync(call)
    try:
        returned = bind_config(check.function, config)()
        if inspect.isawaitable(returned):
            returned = await returned
        return read(returned, caught=Exception)
    except Exception as error:
        return raised(error)


def log_outcome(check: Check, outcome: CheckResult) -> None:
    """Log the messages of a check; a handler that raises is none of the check's."""
    try:
        mask_error(outcome, check.function)
        report(check.name, outcome)
    except Exception:
        pass


def _outcome_of(call: Callable[[], Any]) -> CheckResult:
    try:
        return read(call(), caught=Exception)
    except Exception as error:
        return raised(error)


def _on_loop_of_its_own(function: Callable[[], Awaitable[Any]]) -> Any:
    with fork_safe_import():
        import asyncio

    async def main() -> Any:
        returned: Any = function()
        return await returned if inspect.isawaitable(returned) else returned

    # Not asyncio.run(), after which get_event_loop() gives this thread no loop any more.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        try:
            left_behind = asyncio.all_tasks(loop)
            for task in left_behind:
                task.cancel()
            if left_behind:
                loop.run_until_complete(asyncio.gather(*left_behind, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
