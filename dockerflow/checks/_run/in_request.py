"""Checks in the request's thread and context, one after the other, as upstream runs them.

Such a check sees all that the application's code sees there. It has no deadline, and no
other request shares its run. Only an ``Exception`` counts as the check's error: the signal
that ends a worker may interrupt the check in the main thread, and must reach the worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from mozlog_py._process.fork_safe_import import fork_safe_import

from .check_result import CheckResult, mask_error, raised, read, report
from .run_options import RunOptions
from .signature import Check, bind_config

__all__ = ["await_in_request", "call_in_request", "log_outcome"]


def call_in_request(check: Check, options: RunOptions) -> CheckResult:
    """Run a check to its end in this thread.

    Args:
        check: The check. If it is async, the thread must not have a running event loop.
        options: How the caller wants it run.
    """

    def call() -> Any:
        function = bind_config(check.function, options.config)
        if is_coroutine_function:
            return (options.surroundings.call_async or _run_on_new_loop)(function)
        return function()

    is_coroutine_function = check.is_async
    return _outcome_of(call)


async def await_in_request(check: Check, options: RunOptions) -> CheckResult:
    """Run a check to its end in the task that awaits this; see ``call_in_request``."""

    def call() -> CheckResult:
        return _outcome_of(bind_config(check.function, options.config))

    if not check.is_async:
        call_sync = options.surroundings.call_sync
        return call() if call_sync is None else await call_sync(call)
    try:
        returned = bind_config(check.function, options.config)()
        if inspect.isawaitable(returned):
            returned = await returned
        return read(returned, caught=Exception)
    except Exception as error:
        return raised(error)


def log_outcome(check: Check, outcome: CheckResult) -> None:
    """Log the messages of a check. Exceptions of logging handlers are ignored."""
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


def _run_on_new_loop(function: Callable[[], Awaitable[Any]]) -> Any:
    with fork_safe_import():
        import asyncio

    async def main() -> Any:
        returned: Any = function()
        return await returned if inspect.isawaitable(returned) else returned

    # Not asyncio.run(): get_event_loop() would return no loop in this thread afterwards.
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
