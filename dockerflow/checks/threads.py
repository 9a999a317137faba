"""Threads for checks: as many as are needed, kept for a while, never in the way of an exit.

The executors of the standard library wait for their threads when the
interpreter ends; a check that hangs would keep the service from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["Threads"]

#: Seconds that a thread waits for more to do before it ends.
IDLE_S: Final = 30.0

_Work = Callable[[], None]


class Threads:
    """Runs each piece of work in a daemon thread, at once: a busy thread holds up no other.

    Their number is bounded by whoever hands in work: one run of each check at
    a time, and a few that hang.
    """

    def __init__(self, idle_seconds: float = IDLE_S) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._idle = 0
        self._made = 0

    def run(self, work: _Work) -> None:
        """Run ``work``, which must not raise, in a thread.

        Raises ``RuntimeError`` or ``MemoryError`` where no thread can be started.
        """
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._waiting.put(work)
                return
            self._made += 1
            name = f"dockerflow-check-{self._made}"
        threading.Thread(target=self._serve, args=(work,), name=name, daemon=True).start()

    def _serve(self, work: _Work | None) -> None:
        while work is not None:
            work()
            work = None  # an idle thread must not hold on to a request
            with self._lock:
                self._idle += 1
            work = self._next()

    def _next(self) -> _Work | None:
        try:
            return self._waiting.get(timeout=self._idle_seconds)
        except queue.Empty:
            pass
        with self._lock:
            try:
                # Work may have come for an idle thread since.
                return self._waiting.get_nowait()
            except queue.Empty:
                self._idle -= 1
                return None
