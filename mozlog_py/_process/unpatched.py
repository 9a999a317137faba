"""Functions of the standard library without the patches of other libraries.

gevent and eventlet replace blocking functions by ones that switch to another greenlet. The writing
thread must not be a greenlet, since a write to a full pipe would block all of them. No other
greenlet may run during a write. Tracers replace methods of ``logging``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

from .interpreters import IS_MAIN, start_thread

__all__ = ["NativeThread", "allocate_lock", "native", "sleep", "unpatched_method"]


def unpatched_method(method: Any) -> Any:
    """Return a method of a class of ``logging``; None if another library has replaced it.

    A tracer may have patched the method before this module was imported. Its wrapper copies
    the name and the module of the original, so the file of its code decides.
    """
    source = logging.addLevelName.__code__.co_filename
    is_own = type(method) is FunctionType and method.__code__.co_filename == source
    return method if is_own else None


def native(module: str, name: str) -> Any:
    """Return the original of a function that gevent or eventlet may have replaced.

    Args:
        module: The module's name, such as ``"time"``.
        name: The function's name.

    Returns:
        The function, or None if this platform does not have it.
    """
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched(module):
        try:
            return monkey.get_original(module, name)
        except AttributeError:
            return None
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher is not None and any(map(patcher.is_monkey_patched, _EVENTLET_NAMES[module])):
        return getattr(patcher.original(module), name, None)
    return getattr(__import__(module), name, None)


# Eventlet's names for parts of the standard library, by the module that each patches.
_EVENTLET_NAMES: Final = {"_thread": ("thread",), "select": ("select",), "time": ("time",)}

allocate_lock: Final[Callable[[], Any]] = native("_thread", "allocate_lock")
sleep: Final[Callable[[float], None]] = native("time", "sleep")
_get_ident: Final[Callable[[], int]] = native("_thread", "get_ident")
_start: Final[Callable[..., Any]] = native("_thread", "start_new_thread")


class NativeThread:
    """A daemon thread of the operating system, also where ``threading`` starts greenlets.

    ``threading`` does not know the thread: one that ``threading`` starts fails at its end if
    gevent patches the module meanwhile. In a subinterpreter, which gevent does not support, it is
    an ordinary thread of ``threading``: a daemon would outlive the interpreter.

    Args:
        function: The function that the thread runs.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._ident = -1
        # What the system has started: one at most.
        self._started: list[Any] = []
        self._has_ended = False

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: The system starts no thread.
        """
        # In one C call: an exception of a signal handler leaves no thread that is not known.
        if IS_MAIN:
            self._started.extend(map(_start, (self._run,), ((),)))
        else:
            self._started.extend(map(start_thread, (self._run,), ((),), ("mozlog-queue",)))

    def is_alive(self) -> bool:
        """Return whether the thread is started, and its function has not returned yet."""
        return bool(self._started or self._ident != -1) and not self._has_ended

    def is_current(self) -> bool:
        """Return whether the caller runs in this thread."""
        # The system reuses the number of a thread that has ended.
        return not self._has_ended and self._ident == _get_ident()

    def _run(self) -> None:
        self._ident = _get_ident()
        try:
            self._function()
        finally:
            self._has_ended = True
