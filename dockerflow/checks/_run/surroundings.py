"""How a framework's adapter has checks called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from .check_result import CheckResult

__all__ = ["PLAIN", "Around", "Surroundings"]

#: Makes a context manager to call a check in, such as an application context.
Around = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Surroundings:
    """How a framework has checks called, in a request and in other threads.

    Attributes:
        around: Makes a context manager for each check that does not run in the request's
            thread and context.
        call_async: Calls an async check in the thread of a synchronous request, and returns
            its result. By default the check runs on an event loop of its own.
        call_sync: Calls a synchronous check on the event loop of a request. It receives the
            call, which returns a ``CheckResult``.
    """

    around: Around | None = None
    call_async: Callable[[Callable[[], Awaitable[Any]]], Any] | None = None
    call_sync: Callable[[Callable[[], CheckResult]], Awaitable[CheckResult]] | None = None


#: For an application without a framework.
PLAIN: Final = Surroundings()
