"""Slots: a limit for the callers that wait for the checks of one application.

A caller that waits holds a thread of its server. Acquiring a slot never blocks: a caller
without a slot is answered with kept outcomes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

__all__ = ["Slot", "Slots"]


class Slot:
    """The slot of one caller, held for as long as the caller refers to it."""

    def __init__(self) -> None:
        #: On ``time.monotonic()``.
        self.acquired_at: Final = time.monotonic()


class Slots:
    """The slots of all applications of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the id of the owner, which the callers keep alive. The slots are held weakly, so
        # that a caller which an interrupt ends between two lines leaks none.
        self._acquired: dict[int, WeakSet[Slot]] = {}

    @contextmanager
    def acquired(self, owner: Any, limit: int) -> Iterator[Slot | None]:
        """Acquire a slot of an application, and release it at the end.

        Args:
            owner: The object that stands for the application, by its identity.
            limit: The number of slots; 0 for no limit.

        Yields:
            The slot; None if other callers hold all of them.
        """
        slot = self._acquire(owner, limit)
        try:
            yield slot
        finally:
            if slot is not None:
                self._release(owner, slot)

    def held_for(self, owner: Any) -> float:
        """Return for how many seconds the oldest slot of an application is held; 0 for none."""
        with self._lock:
            held = self._acquired.get(id(owner), ())
            oldest = min((slot.acquired_at for slot in held), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def _acquire(self, owner: Any, limit: int) -> Slot | None:
        with self._lock:
            held = self._acquired.get(id(owner))
            if held is None:
                held = self._acquired[id(owner)] = WeakSet()
            if limit and len(held) >= limit:
                return None
            slot = Slot()
            held.add(slot)
            return slot

    def _release(self, owner: Any, slot: Slot) -> None:
        with self._lock:
            held = self._acquired.get(id(owner))
            if held is not None:
                held.discard(slot)
                if not held:
                    del self._acquired[id(owner)]
