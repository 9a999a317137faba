"""Functions of the standard library as they are without gevent and eventlet.

Both replace the functions that wait by ones that run another greenlet meanwhile. The
writing thread must not be a greenlet, since a write to a full pipe would hold up all of
them; and no other greenlet may run in the middle of a write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

__all__ = ["NativeThread", "allocate_lock", "native", "sleep"]


def native(module: str, name: str) -> Any:
    """Return a function of a module as it was before gevent or eventlet replaced it.

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


# What eventlet calls the part of the standard library that a module belongs to.
_EVENTLET_NAMES: Final = {"_thread": ("thread",), "select": ("select",), "time": ("time",)}

allocate_lock: Final[Callable[[], Any]] = native("_thread", "allocate_lock")
sleep: Final[Callable[[float], None]] = native("time", "sleep")
_get_ident: Final[Callable[[], int]] = native("_thread", "get_ident")
_start: Final[Callable[..., Any]] = native("_thread", "start_new_thread")


class NativeThread:
    """A thread of the operating system, also where threads are greenlets.

    The process does not wait for it when it ends. ``threading`` does not know it: a thread
    that it started fails at its end if it was patched meanwhile.

    Args:
        function: What the thread runs.

    Raises:
        RuntimeError: No thread can be started.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._ident = -1
        self._is_running = True
        _start(self._run, ())

    def is_alive(self) -> bool:
        """Return whether the function has not returned yet."""
        return self._is_running

    def is_current(self) -> bool:
        """Return whether the caller runs in this thread."""
        # The system gives the number of a thread that has ended to another one.
        return self._is_running and self._ident == _get_ident()

    def _run(self) -> None:
        self._ident = _get_ident()
        try:
            self._function()
        finally:
            self._is_running = False
