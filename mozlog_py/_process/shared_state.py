"""State that several threads change: a lock for counts, and snapshots of collections.

``x += 1`` reads and writes in two steps, with or without a GIL: two threads may count one event.
A collection that is iterated while another thread adds to it raises ``RuntimeError``.
``docs/design/free-threading.md`` lists what else threads share, and why it holds.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

from .unpatched import native

__all__ = ["PATIENCE_S", "CountLock", "Tally", "is_gil_enabled", "living", "snapshot"]

_T = TypeVar("_T")

_RLock: Final[Callable[[], Any]] = native("_thread", "RLock")
#: Seconds. The lock is held for some microseconds: a wait of this length means that it was
#: abandoned.
PATIENCE_S: Final = 1.0


def _always() -> bool:
    return True


#: Return whether one thread runs Python code at a time. A free-threaded build may enable the GIL
#: when it imports a module that needs it.
is_gil_enabled: Final[Callable[[], bool]] = getattr(sys, "_is_gil_enabled", _always)


class CountLock:
    """A context manager in which one thread at a time changes counts.

    It blocks for a second at most. A signal handler may enter it within a block of its own
    thread. If an exception of a signal handler leaves it locked, the next thread replaces the lock
    after that second.
    """

    __slots__ = ("lock",)

    def __init__(self) -> None:
        #: The lock itself, for code that has no stack left for the methods of this class.
        self.lock = _RLock()

    def reset_after_fork(self) -> None:
        """Release the lock in a forked child: a thread of the parent may have held it."""
        self.lock = _RLock()

    def __enter__(self) -> None:
        lock = self.lock
        if not lock.acquire(timeout=PATIENCE_S):
            self.lock = lock = _RLock()
            lock.acquire()

    def __exit__(self, *_: object) -> None:
        try:
            self.lock.release()
        except RuntimeError:
            # Another thread has replaced the lock meanwhile.
            pass


class Tally:
    """A count that only goes up, and that any thread may increase."""

    __slots__ = ("_lock", "count")

    def __init__(self) -> None:
        self.count = 0
        self._lock = CountLock()

    def add(self, events: int = 1) -> None:
        """Count events."""
        with self._lock:
            self.count += events


def snapshot(items: Collection[_T]) -> list[_T]:
    """Return the items of a collection that other threads may change meanwhile.

    Args:
        items: A deque, a set, a weak set or the like. Not an iterator, which would go on where
            the failed attempt has ended.
    """
    while True:
        try:
            return list(items)
        except RecursionError:
            raise
        except RuntimeError:
            # The collection has changed during the iteration.
            pass


def living(held: weakref.WeakValueDictionary[Any, _T]) -> list[_T]:
    """Return the values of a weak dict that other threads may change meanwhile."""
    # ``valuerefs`` copies the references in one step; ``values`` iterates the dict itself.
    values = [reference() for reference in held.valuerefs()]
    return [value for value in values if value is not None]
