"""The interpreters of this process: whether there are several, and threads of subinterpreters.

Modules are loaded once in each interpreter, so nothing in Python's memory is shared between them.
"""

from __future__ import annotations

import _thread
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = ["IS_MAIN", "EndsThreads", "end_with_interpreter", "has_several", "start_thread"]

_is_main: Final[Any] = getattr(_thread, "_is_main_interpreter", None)

#: Whether this is the main interpreter. Also True before Python 3.12, which cannot tell.
IS_MAIN: Final[bool] = _is_main is None or _is_main()


class EndsThreads(Protocol):
    """An object that has threads which wait for work."""

    def end_threads(self) -> None:
        """End the threads that wait for work. Must not raise."""


# A list: other threads may add to it while it is iterated.
_holders: Final[list[weakref.ref[EndsThreads]]] = []


class _Shutdown:
    """Whether the hook for the end of this interpreter's threads is installed, and has run."""

    is_hooked = False
    has_begun = False


def has_several() -> bool:
    """Return whether this process has other interpreters that may run Python code.

    A subinterpreter is never alone: the main one exists as long as the process does. The main
    one finds others only if the process has imported the module that makes them. Until then the
    answer takes one look into a dict.
    """
    if not IS_MAIN:
        return True
    module: Any = sys.modules.get("_interpreters")
    if module is None:
        return False
    try:
        return len(module.list_all()) > 1
    except Exception:  # the module is not the interpreter's own, or its interface changed
        return True


def start_thread(
    function: Callable[..., Any], args: tuple[Any, ...], name: str, **options: Any
) -> None:
    """Start a thread that does not keep the process from ending.

    In the main interpreter it is a daemon. A subinterpreter refuses daemons, or ends the process
    if one still runs when it ends itself. There the thread is an ordinary one, which the end of
    the interpreter waits for (see ``end_with_interpreter``).

    Args:
        function: The function that the thread runs.
        args: Its arguments.
        name: The name of the thread.
        options: Further options of ``threading.Thread``.

    Raises:
        RuntimeError: The system starts no thread, or the subinterpreter ends.
    """
    if not IS_MAIN:
        _install_hook()
        if _Shutdown.has_begun:
            raise RuntimeError("the subinterpreter ends, and starts no more threads")
    threading.Thread(target=function, args=args, name=name, daemon=IS_MAIN, **options).start()


def end_with_interpreter(holder: EndsThreads) -> None:
    """Call ``holder.end_threads()`` when a subinterpreter begins to end.

    The main interpreter has daemons, and calls nothing.

    Args:
        holder: The object. It is referred to weakly.
    """
    if not IS_MAIN:
        _holders.append(weakref.ref(holder))


def _install_hook() -> None:
    if not _Shutdown.is_hooked:
        _Shutdown.is_hooked = True
        try:
            # Before the interpreter waits for its threads; the hooks of atexit come after.
            threading._register_atexit(_end_threads)  # type: ignore[attr-defined]  # noqa: SLF001
        except (AttributeError, RuntimeError):
            # The interpreter ends, or has no such hook: no thread may be left behind.
            _Shutdown.has_begun = True


def _end_threads() -> None:
    _Shutdown.has_begun = True
    for reference in _holders:
        holder = reference()
        if holder is not None:
            holder.end_threads()
