"""Slots: how many callers wait for the checks of one application at a time.

A caller that waits holds a thread of its server. Acquiring a slot never blocks: a
caller that gets none is answered in another way.
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
    """One caller's leave to wait, as long as the caller refers to it."""

    __slots__ = ("__weakref__", "acquired_at")

    def __init__(self) -> None:
        #: On ``time.monotonic()``.
        self.acquired_at: Final = time.monotonic()


class Slots:
    """The slots of all applications of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the id of what stands for an application, which its callers refer to meanwhile.
        # Weak: a caller that an interrupt ends between two lines leaves no slot behind.
        self._acquired: dict[int, WeakSet[Slot]] = {}

    @contextmanager
    def acquired(self, owner: Any, limit: int) -> Iterator[Slot | None]:
        """Hold a slot of an application; None where all are held by others.

        Args:
            owner: what stands for the application, by its identity.
            limit: how many callers may hold one, 0 for any number.
        """
        slot = self._acquire(owner, limit)
        try:
            yield slot
        finally:
            if slot is not None:
                self._release(owner, slot)

    def held_for(self, owner: Any) -> float:
        """Return the seconds for which the oldest slot of an application is held, 0 for none."""
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
