"""Flushes and closes registered queues at the end of the process, or of a subinterpreter."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol, TypeVar

from .interpreters import IS_MAIN
from .shared_state import snapshot

__all__ = [
    "ClosedAtExit",
    "flush_on_sigterm",
    "is_called_by_shutdown",
    "is_over",
    "register",
    "within_exit",
]

#: Seconds for all queues at the end of the process, and how many of these the last call has in any
#: case: lines of ``atexit`` come after a first call. Seconds if SIGTERM ends the process.
_EXIT_S: Final = 5.0
_LAST_S: Final = 1.0
_SIGTERM_S: Final = 2.0

_R = TypeVar("_R")

_monotonic: Final = time.monotonic


class ClosedAtExit(Protocol):
    """An object that holds lines which are not written yet."""

    def flush(self, timeout: float) -> bool:
        """Wait until the lines are written, for at most ``timeout`` seconds."""

    def close(self, timeout: float) -> None:
        """Write the lines in ``timeout`` seconds, and hold none from then on."""

    def write_at_once(self, timeout: float) -> bool:
        """Write the lines in ``timeout`` seconds, hold no later ones, and return if all are."""


_registered: Final[weakref.WeakSet[ClosedAtExit]] = weakref.WeakSet()


class _Exit:
    """Whether the hooks for the end of the process are installed, and whether they have run."""

    is_prepared = False
    is_over = False
    #: Seconds that are left of ``_EXIT_S``.
    seconds_left = _EXIT_S


def register(holder: ClosedAtExit) -> None:
    """Flush and close an object at the end of the process, or of the subinterpreter.

    Args:
        holder: The object. It is referred to weakly.
    """
    # The children of multiprocessing run the hooks of threading, but not those of atexit.
    # atexit, since logging.shutdown knows only the handlers that were not closed before.
    if not _Exit.is_prepared:
        _Exit.is_prepared = True
        # A subinterpreter waits for the queue's thread before it runs the hooks of atexit: so
        # the queue is closed earlier, and later lines are written directly.
        before_threads_end = _flush_before_threads_end if IS_MAIN else _close_all
        with contextlib.suppress(AttributeError, RuntimeError):
            threading._register_atexit(before_threads_end)  # type: ignore[attr-defined]  # noqa: SLF001
        atexit.register(_close_all)
    _registered.add(holder)


def is_over() -> bool:
    """Return whether the registered objects were closed, since the process ends."""
    return _Exit.is_over


def within_exit(wait: Callable[[float], _R], timeout: float) -> _R:
    """Call a function that waits, and return its result.

    All waits at the end of the process share a few seconds: for a reader that has stopped, each of
    them would last as long as it may.

    Args:
        wait: Takes the seconds that it may wait.
        timeout: The seconds, if the process does not end.
    """
    if not _Exit.is_over:
        return wait(timeout)
    start = _monotonic()
    try:
        return wait(min(timeout, _Exit.seconds_left))
    finally:
        _Exit.seconds_left = max(0.0, _Exit.seconds_left - (_monotonic() - start))


def is_called_by_shutdown() -> bool:
    """Return whether ``logging.shutdown`` has called the ``close()`` that calls this function."""
    # Skip the close() of subclasses.
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and frame.f_code.co_name == "close":
        frame = frame.f_back
    return (
        frame is not None
        and frame.f_code.co_name == "shutdown"
        and frame.f_globals.get("__name__") == "logging"
    )


class _Preceded:
    """A signal handler of the application, which is called after the registered objects.

    They are flushed, and hold no lines from then on: a server ends gracefully, logs that, restores
    the default and raises the signal again, which ends the process at once. uvicorn does so.

    Args:
        handler: The handler of the application.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        """Write the lines that wait, and do what the application does about the signal."""
        _write_all_at_once(_SIGTERM_S)
        return self._handler(number, frame)


def flush_on_sigterm() -> None:
    """Flush the registered objects before SIGTERM ends the process.

    A handler of the application stays in force, and is called afterwards. An ignored signal stays
    ignored. Nothing is changed outside the main thread of the main interpreter, which alone may
    set signal handlers. Servers set handlers after the application was loaded, and reset them in
    their workers, so a queue calls this again whenever it wakes its thread.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if handler is _flush_and_end or type(handler) is _Preceded:
        return
    with contextlib.suppress(ValueError):
        if handler is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _flush_and_end)
        elif callable(handler):
            signal.signal(signal.SIGTERM, _Preceded(handler))


def _close_all() -> None:
    """Write all lines; later ones are written directly."""
    _Exit.is_over = True
    for holder in snapshot(_registered):
        within_exit(holder.close, _EXIT_S)


def _flush_before_threads_end() -> None:
    """Flush while threads may go on for hours, so that this is not the end of the process yet."""
    start = _monotonic()
    if _is_called_by_code():
        # Nothing is called behind the threads that still log. The caller waits for this one too.
        try:
            threading.Thread(target=_write_behind_threads, name="mozlog-at-exit").start()
        except RuntimeError:
            # The system starts no thread.
            _write_all_at_once(_EXIT_S - _LAST_S)
            return
    _flush_all(_EXIT_S - _LAST_S)
    _Exit.seconds_left = max(_LAST_S, _Exit.seconds_left - (_monotonic() - start))


def _is_called_by_code() -> bool:
    """Return whether code of Python ends the threads, as that of multiprocessing does in a child.

    That code ends the process by ``os._exit``, without atexit. The interpreter calls the same
    function without a frame below, and atexit later.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way to see it
    has_caller = False
    while frame is not None:
        # gevent has a function of the same name around that of threading.
        if frame.f_code.co_name == "_shutdown":
            has_caller = frame.f_back is not None
        frame = frame.f_back
    return has_caller


def _write_behind_threads() -> None:
    """Write the lines of the threads that outlive the main thread, once these have ended."""
    own = threading.main_thread(), threading.current_thread()
    while others := [
        thread for thread in threading.enumerate() if not thread.daemon and thread not in own
    ]:
        for thread in others:
            thread.join()
    _write_all_at_once(_EXIT_S - _LAST_S)


def _write_all_at_once(timeout: float) -> None:
    until = _monotonic() + timeout
    for holder in snapshot(_registered):
        holder.write_at_once(max(0.0, until - _monotonic()))


def _flush_all(timeout: float) -> None:
    until = _monotonic() + timeout
    for holder in snapshot(_registered):
        holder.flush(max(0.0, until - _monotonic()))


def _flush_and_end(number: int, _frame: FrameType | None) -> None:
    _flush_all(_SIGTERM_S)
    # End by the signal, so that the exit status is the same as without this handler.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
