"""Threads for checks: as many as are needed, kept for a while, never in the way of an exit.

The executors of the standard library wait for their threads when the
interpreter ends; a check that hangs would keep the service from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final

__all__ = ["WorkerThreads", "at_thread_end"]

#: Seconds that a thread waits for more to do before it ends.
IDLE_S: Final = 30.0
#: Idle threads from which on one does any work; else it waits for the work that it did before.
MAX_KEPT: Final = 32

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
        False where the calling thread is not one of ``WorkerThreads``.
    """
    if _thread.is_ours:
        _thread.at_end[function] = None
    return _thread.is_ours


class WorkerThreads:
    """Runs each piece of work in a daemon thread, at once: a busy thread holds up no other.

    Their number is bounded by whoever hands in work: one run of each check at
    a time, and a few that hang. A check comes back to the thread that it was
    in before, if that is idle: there may be a connection that it left open.
    """

    def __init__(self, idle_seconds: float = IDLE_S) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        #: The idle ones, those that were busy last at the end.
        self._idle: dict[_Worker, None] = {}
        #: By its key, the thread that did a piece of work last.
        self._last_worker: dict[Hashable, _Worker] = {}
        self._made = 0

    def run(self, work: _Work, key: Hashable = None) -> None:
        """Run ``work``, which must not raise, in a thread.

        Args:
            work: what to call.
            key: what the same work has again later, and None where that is of no use.

        Raises:
            RuntimeError, MemoryError, OSError: no thread can be started.
        """
        with self._lock:
            worker = self._take_idle(key)
            if worker is not None:
                self._assign(key, worker)
                worker.work = work
                worker.has_work.notify()
                return
            worker = _Worker(self._lock, work)
            self._assign(key, worker)
            self._made += 1
            name = f"dockerflow-check-{self._made}"
        try:
            threading.Thread(target=self._serve, args=(worker,), name=name, daemon=True).start()
        except BaseException:
            with self._lock:
                self._unassign(worker)
            raise

    def _take_idle(self, key: Hashable) -> _Worker | None:
        """Take a thread that may do a piece of work, None where a new one is to be started."""
        worker = self._last_worker.get(key)
        if worker is None or worker not in self._idle:
            kept_for_none = (each for each in reversed(self._idle) if each.key is None)
            worker = next(kept_for_none, None)
            if worker is None and len(self._idle) >= MAX_KEPT:
                # Work that never comes again keeps no thread from other work.
                worker = next(iter(self._idle))
        if worker is not None:
            del self._idle[worker]
        return worker

    def _assign(self, key: Hashable, worker: _Worker) -> None:
        if worker.key != key:
            self._unassign(worker)
            worker.key = key
        if key is not None:
            self._last_worker[key] = worker

    def _unassign(self, worker: _Worker) -> None:
        if worker.key is not None and self._last_worker.get(worker.key) is worker:
            del self._last_worker[worker.key]
        worker.key = None

    def _serve(self, worker: _Worker) -> None:
        _thread.is_ours = True
        while worker.work is not None:
            worker.work()
            worker.work = None  # an idle thread must not hold on to a request
            with self._lock:
                if self._last_worker.get(worker.key) is not worker:
                    # It hung, and another one is kept for its work by now.
                    worker.key = None
                self._idle[worker] = None
                # Not a SimpleQueue: its lock is in C, and where greenlets take the place
                # of threads (eventlet) waiting for it would halt all of them.
                worker.has_work.wait_for(lambda: worker.work is not None, self._idle_seconds)
                if worker.work is None:
                    del self._idle[worker]
                    self._unassign(worker)
        for function in _thread.at_end:
            try:
                function()
            except Exception:
                # There is no caller any more that could be told.
                pass


class _Worker:
    """What a thread is to do, what wakes it for that, and whose work it is kept for."""

    def __init__(self, lock: threading.Lock, work: _Work) -> None:
        self.work: _Work | None = work
        self.has_work = threading.Condition(lock)
        self.key: Hashable = None
