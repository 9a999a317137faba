"""Threads for checks: as many as are needed, kept for a while, never in the way of an exit.

The executors of the standard library wait for their threads when the
interpreter ends; a check that hangs would keep the service from ending.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Threads", "at_thread_end"]

#: Seconds that a thread waits for more to do before it ends.
IDLE_S: Final = 30.0

_Work = Callable[[], None]


class _Thread(threading.local):
    """What is to be done when a thread ends, by what it was asked with."""

    def __init__(self) -> None:
        self.is_ours = False
        self.at_end: dict[_Work, None] = {}


_thread: Final = _Thread()


def at_thread_end(function: _Work) -> bool:
    """Register a function that this thread calls when it ends for want of work.

    A thread calls each function once, however often it was registered. The
    function closes what checks have opened and this thread alone can reach,
    such as a connection that is kept for the next check.

    Returns:
        False where the calling thread is not one of ``Threads``.
    """
    if _thread.is_ours:
        _thread.at_end[function] = None
    return _thread.is_ours


class Threads:
    """Runs each piece of work in a daemon thread, at once: a busy thread holds up no other.

    Their number is bounded by whoever hands in work: one run of each check at
    a time, and a few that hang.
    """

    def __init__(self, idle_seconds: float = IDLE_S) -> None:
        self._idle_seconds = idle_seconds
        # Not a SimpleQueue: its lock is in C, and where greenlets take the place
        # of threads (eventlet) waiting for it would halt all of them.
        self._changed = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._idle = 0
        self._made = 0

    def run(self, work: _Work) -> None:
        """Run ``work``, which must not raise, in a thread.

        Raises:
            RuntimeError, MemoryError, OSError: no thread can be started.
        """
        with self._changed:
            if self._idle:
                self._idle -= 1
                self._waiting.append(work)
                self._changed.notify()
                return
            self._made += 1
            name = f"dockerflow-check-{self._made}"
        threading.Thread(target=self._serve, args=(work,), name=name, daemon=True).start()

    def _serve(self, work: _Work | None) -> None:
        _thread.is_ours = True
        while work is not None:
            work()
            work = None  # an idle thread must not hold on to a request
            work = self._next()
        for function in _thread.at_end:
            try:
                function()
            except Exception:
                # There is no caller any more that could be told.
                pass

    def _next(self) -> _Work | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting, self._idle_seconds)
            if self._waiting:
                return self._waiting.popleft()
            self._idle -= 1
            return None
