"""Threads for checks: as many as needed, kept for a while, and daemons.

The executors of the standard library join their threads when the interpreter exits.
There a check that hangs would keep the service from exiting. A subinterpreter has no daemons: it
waits at its end for checks that still run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final

from mozlog_py._process.interpreters import end_with_interpreter

from .daemon_thread import start_daemon

__all__ = ["WorkerThreads", "at_thread_end"]

#: Seconds for which an idle thread waits for work before it ends.
IDLE_S: Final = 30.0
#: The number of idle threads from which on a thread takes any work. With fewer, a thread waits
#: for the work that it did before.
MAX_KEPT: Final = 32

_Work = Callable[[], None]


class _Thread(threading.local):
    """What this thread knows of itself: whether it is a worker, and what to call at its end."""

    def __init__(self) -> None:
        self.is_ours = False
        self.at_end: dict[_Work, None] = {}


_thread: Final = _Thread()


def at_thread_end(function: _Work) -> bool:
    """Register a function that this thread calls when it ends because it is idle.

    A thread calls each function once, even if it was registered several times. Such a
    function closes what only this thread can reach, such as a connection that is kept
    for the next check.

    Returns:
        False if the calling thread is not one of ``WorkerThreads``.
    """
    if _thread.is_ours:
        _thread.at_end[function] = None
    return _thread.is_ours


class WorkerThreads:
    """Daemon threads that start each piece of work at once: there is no queue.

    The callers bound the number of threads: single flight runs a check once at a time, and
    allows a few runs that hang. A check returns to its former thread if that is idle,
    because a connection may still be open there.

    Args:
        idle_seconds: Seconds for which an idle thread waits for work.
    """

    def __init__(self, idle_seconds: float = IDLE_S) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        #: The idle threads, ordered by when they became idle.
        self._idle: dict[_Worker, None] = {}
        #: The thread that did a piece of work last, by the key of the work.
        self._last_worker: dict[Hashable, _Worker] = {}
        self._made = 0
        self._is_ending = False
        end_with_interpreter(self)

    def run(self, work: _Work, key: Hashable = None) -> None:
        """Run a function in a thread.

        Args:
            work: The function. It must not raise.
            key: Identifies work that comes again and prefers its former thread; else None.

        Raises:
            RuntimeError: No thread can be started.
            MemoryError: There is no memory for the thread's stack.
            OSError: The system has no room for a thread.
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
            start_daemon(self._serve, worker, name=name)
        except BaseException:
            with self._lock:
                self._unassign(worker)
            raise

    def end_threads(self) -> None:
        """End the idle threads now, and each other thread when it becomes idle."""
        with self._lock:
            self._is_ending = True
            for worker in self._idle:
                worker.has_work.notify()

    def _take_idle(self, key: Hashable) -> _Worker | None:
        """Remove an idle thread for a piece of work and return it; None if it needs a new one."""
        worker = self._last_worker.get(key)
        if worker is None or worker not in self._idle:
            kept_for_none = (each for each in reversed(self._idle) if each.key is None)
            worker = next(kept_for_none, None)
            if worker is None and len(self._idle) >= MAX_KEPT:
                # The oldest one: its own work may never come again.
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
            worker.work = None  # an idle thread must not keep a request alive
            with self._lock:
                if self._last_worker.get(worker.key) is not worker:
                    # Its run timed out, and another thread has done the same work since.
                    worker.key = None
                self._idle[worker] = None
                # Not a SimpleQueue: its lock is in C. Where greenlets replace threads
                # (eventlet), waiting for such a lock would block all of them.
                worker.has_work.wait_for(
                    lambda: worker.work is not None or self._is_ending, self._idle_seconds
                )
                if worker.work is None:
                    del self._idle[worker]
                    self._unassign(worker)
        for function in _thread.at_end:
            try:
                function()
            except Exception:
                # No caller waits that could be given the error.
                pass


class _Worker:
    """The state of one thread: its work, the condition that wakes it, and its key."""

    def __init__(self, lock: threading.Lock, work: _Work) -> None:
        self.work: _Work | None = work
        self.has_work = threading.Condition(lock)
        self.key: Hashable = None
