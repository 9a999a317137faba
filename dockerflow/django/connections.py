"""Django's database connections around checks.

Django closes a request's connections at its end, or keeps them for ``CONN_MAX_AGE``. Checks
run outside of requests, in threads that Django closes no connections of. So this module closes
or keeps them.

The ORM of asynchronous code has its connections in the thread that runs synchronous code for
it, asgiref's "thread-sensitive" thread. The context decides which thread that is: the thread
of a request that waits, a thread that belongs to a request (ASGI), or one for the whole
process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext, async_to_sync
from asgiref.sync import sync_to_async as in_sensitive_thread
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections

from dockerflow._request.background import Coalesced, result_within
from dockerflow._request.cancellation import running_loop
from dockerflow.checks._run.check_result import CheckResult
from dockerflow.checks._run.surroundings import Surroundings
from dockerflow.checks._run.worker_threads import at_thread_end

__all__ = ["BESIDE_SYNC_REQUEST", "has_transaction", "has_transaction_async", "in_async_request"]

#: How many seconds to wait for an answer of the thread-sensitive thread.
_ANSWERS_WITHIN_S: Final = 1.0


def has_transaction() -> bool:
    """Return whether a connection of this thread is inside an atomic block, as in a TestCase."""
    return any(each.in_atomic_block for each in connections.all(initialized_only=True))


async def has_transaction_async() -> bool:
    """Return the same for the thread in which synchronous code of this request runs."""
    if not _has_waiting_thread() and _has_thread_of_request():
        # It would be a new thread, without a connection.
        return False
    # A thread that does not answer in time runs no test.
    return await result_within(in_sensitive_thread(has_transaction)(), _ANSWERS_WITHIN_S, False)


@contextmanager
def _beside_sync_request() -> Iterator[None]:
    """Run a check in a thread of this package, or on an event loop of this package."""
    if running_loop() is None:
        at_thread_end(connections.close_all)
        _close_old_connections()
        try:
            yield
        finally:
            _close_old_connections()
        return
    if _has_waiting_thread():
        # That thread waits for this check, so it would never run the check's synchronous code.
        del AsyncToSync.executors.current
    with _on_loop():
        yield


def _beside_async_request() -> AbstractContextManager[None]:
    """Run a check in a thread of this package, or on the event loop of the request."""
    if running_loop() is None:
        return _beside_sync_request()
    # The end of the request that waits closes that thread's connections.
    return nullcontext() if _has_waiting_thread() else _on_loop()


@contextmanager
def _on_loop() -> Iterator[None]:
    if not (_has_thread_of_request() or SyncToAsync.deadlock_context.get(False)):
        try:
            yield
        finally:
            # Not awaited: that thread may be busy, or hang.
            _closing.call()
        return
    # The request may end before the check, or may itself occupy that thread. So the check has one
    # of its own.
    own = ThreadSensitiveContext()
    token = SyncToAsync.thread_sensitive_context.set(own)
    try:
        yield
    finally:
        SyncToAsync.thread_sensitive_context.reset(token)
        executor = SyncToAsync.context_to_thread_executor.pop(own, None)
        if executor is not None:
            executor.submit(connections.close_all)
            # Not awaited: this is the loop's thread, and that thread may hang.
            executor.shutdown(wait=False)


def _close_old_connections() -> None:
    """Close the connections that a request closes at its end, but for those in a transaction."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close_if_unusable_or_obsolete()


_closing: Final = Coalesced(in_sensitive_thread(_close_old_connections))


def _has_waiting_thread() -> bool:
    return getattr(AsyncToSync.executors, "current", None) is not None


def _has_thread_of_request() -> bool:
    return SyncToAsync.thread_sensitive_context.get(None) is not None


def _call_async(function: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await function()

    # The ORM's synchronous part comes back to this thread, and to its connections.
    return async_to_sync(main)()


async def _call_sync(call: Callable[[], CheckResult]) -> CheckResult:
    outcome = call()
    if isinstance(outcome.error, SynchronousOnlyOperation):
        # The ORM refuses synchronous calls on a loop's thread.
        return await _call_sync_in_thread(call)
    return outcome


async def _call_sync_in_thread(call: Callable[[], CheckResult]) -> CheckResult:
    return await in_sensitive_thread(call)()


#: Where the checks of a request run whose thread waits for them.
BESIDE_SYNC_REQUEST: Final = Surroundings(_beside_sync_request, call_async=_call_async)


def in_async_request(*, in_transaction: bool) -> Surroundings:
    """Return where the checks of an asynchronous request run.

    Args:
        in_transaction: Whether a transaction is open in the thread that runs synchronous code.
    """
    call_sync = _call_sync_in_thread if in_transaction else _call_sync
    return Surroundings(_beside_async_request, call_sync=call_sync)
