"""Runs checks: all at once, each within its deadline, for callers that block and that await.

Checks that are no coroutine functions run in threads of our own. Coroutine
functions run on the caller's event loop, to which their clients belong, or
for a caller that blocks on a loop of our own.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, ItemsView, Iterable, Sequence
from concurrent import futures
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from dockerflow import health
from mozlog_py.values import Sanitiser

from .callables import Check, is_async
from .flights import Flight, Flights
from .outcome import Finding, failure
from .threads import Threads

if TYPE_CHECKING:
    from .loops import Loops

__all__ = ["DEFAULT_TIMEOUT_S", "Found", "drawn", "run", "run_async", "valid_seconds"]

#: Seconds that a check has, where nobody says otherwise.
DEFAULT_TIMEOUT_S: Final = 5.0
#: Seconds that may be asked for at most, a day.
MAX_SECONDS: Final = 86_400

# Between the deadline of a run and the moment when even its log lines are not waited for.
_GRACE_S: Final = 0.2

#: Each check's name, and what it found.
Found = list[tuple[str, Sequence[Finding]]]


class _Board:
    """All that runs checks in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = Threads()
        self._flights = Flights()
        self._loops: Loops | None = None

    def join(
        self,
        check: Check,
        config: Any,
        start: Callable[[Flight], None],
        *,
        timeout: float,
        cache_seconds: float,
        blocked_loop: Any = None,
    ) -> Flight:
        return self._flights.join(
            check,
            config,
            start,
            timeout=timeout if check.timeout is None else check.timeout,
            cache_seconds=cache_seconds,
            context=copy_context(),
            blocked_loop=blocked_loop,
        )

    def in_thread(self, flight: Flight) -> None:
        self._threads.run(flight.fly)

    def on_own_loop(self, flight: Flight) -> None:
        if self._loops is None:
            # asyncio is large, and a service without async checks needs none of it.
            from .loops import Loops

            with self._lock:
                self._loops = self._loops or Loops()
        self._loops.start(flight)

    def move_held_up(self) -> float:
        """Help checks that a loop of ours has not begun; give the seconds until the next one."""
        return math.inf if self._loops is None else self._loops.move_held_up()


# By process id: a forked child has none of its parent's threads, and must
# neither wait for its runs nor take apart its event loops.
_boards: Final[dict[int, _Board]] = {}


def _board() -> _Board:
    process = os.getpid()
    return _boards.get(process) or _boards.setdefault(process, _Board())


def drawn(checks: Iterable[tuple[str, Callable[..., Any]]]) -> list[tuple[str, Any]]:
    """Give a list of what may change while one goes through it."""
    while True:
        try:
            return list(checks)
        except RuntimeError:
            # Another thread has registered a check.
            if not isinstance(checks, ItemsView):
                raise


def valid_seconds(name: str, value: Any, *, or_none: bool = False) -> float:
    """Give a number of seconds; raises ``ValueError`` for what is none.

    It is more than 0 (``or_none``: or 0) and at most a day, which no system
    call refuses.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_SECONDS or (value == 0 and not or_none):
        wanted = "from 0" if or_none else "more than 0, and"
        text = f"it must be a number of seconds, {wanted} up to {MAX_SECONDS:,}"
        raise ValueError(f"{name} is {Sanitiser().value(value)!r}; {text}")
    return float(value)


def run(checks: Iterable[Check], *, config: Any, timeout: float, cache_seconds: float) -> Found:
    """Run checks, and block until each has given its findings or passed its deadline."""
    # A run on the loop that this call is about to block could not go on.
    module = sys.modules.get("asyncio")
    blocked_loop = None if module is None else module._get_running_loop()  # noqa: SLF001
    board = _board()
    flights = [
        board.join(
            each,
            config,
            board.on_own_loop if _is_async(each) else board.in_thread,
            timeout=timeout,
            cache_seconds=cache_seconds,
            blocked_loop=blocked_loop,
        )
        for each in checks
    ]
    while pending := _pending(flights):
        flying, patience = pending
        patience = min(patience, board.move_held_up())
        futures.wait([flight.outcome for flight in flying], patience)
    return _found(flights)


async def run_async(
    checks: Iterable[Check], *, config: Any, timeout: float, cache_seconds: float
) -> Found:
    """Run checks, and wait until each has given its findings or passed its deadline.

    Cancelling this does not cancel the runs: others may wait for them.
    """
    import asyncio

    from .loops import begin

    board = _board()
    flights = [
        board.join(
            each,
            config,
            begin if _is_async(each) else board.in_thread,
            timeout=timeout,
            cache_seconds=cache_seconds,
        )
        for each in checks
    ]
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake(_outcome: object = None) -> None:
        try:
            loop.call_soon_threadsafe(changed.set)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            pass

    for flight in flights:
        if not flight.outcome.done():
            flight.outcome.add_done_callback(wake)
    while pending := _pending(flights):
        timer = loop.call_later(pending[1], changed.set)
        try:
            await changed.wait()
        finally:
            timer.cancel()
        changed.clear()
    return _found(flights)


def _is_async(check: Check) -> bool:
    try:
        return is_async(check.function)
    except Exception:
        # An object that cannot be asked is called like a function, and says it again.
        return False


def _pending(flights: list[Flight]) -> tuple[list[Flight], float] | None:
    """Give the runs to wait for, and for how many seconds at most; None where there are none.

    Runs whose deadline has passed are given up.
    """
    now = time.monotonic()
    left: list[float] = []
    pending: list[Flight] = []
    for flight in flights:
        if not flight.outcome.done() and flight.deadline <= now:
            flight.expire()
        until = flight.deadline if now < flight.deadline else flight.deadline + _GRACE_S
        if not flight.outcome.done() and now < until:
            pending.append(flight)
            left.append(until - now)
    return (pending, min(left)) if pending else None


def _found(flights: list[Flight]) -> Found:
    found: Found = []
    # A check that is in the list twice has been asked once.
    for flight in dict.fromkeys(flights):
        if flight.outcome.done():
            found.append((flight.name, flight.outcome.result().findings))
        else:
            text = "the check has no outcome yet: writing its log lines takes too long"
            found.append((flight.name, failure(health.ERROR_CHECK_TIMED_OUT, text).findings))
    return found
