"""What an adapter knows of the places where checks run, which the runner cannot know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from .check_result import CheckResult
from .single_flight import Around

__all__ = ["PLAIN", "Surroundings"]


@dataclass(frozen=True)
class Surroundings:
    """How a framework has checks called, elsewhere and in a request.

    Attributes:
        around: makes a context manager in which each check runs that does not
            run in the request's own thread and context.
        call_async: calls an async check in the thread of a request that is not
            asynchronous, and returns what the check returned. By default that
            is an event loop of its own.
        call_sync: calls a check that is not async on the event loop of a
            request. It receives the call, which returns an ``CheckResult``.
    """

    around: Around | None = None
    call_async: Callable[[Callable[[], Awaitable[Any]]], Any] | None = None
    call_sync: Callable[[Callable[[], CheckResult]], Awaitable[CheckResult]] | None = None


#: Those of an application without a framework.
PLAIN: Final = Surroundings()
