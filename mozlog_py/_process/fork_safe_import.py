"""Imports inside of functions, which a fork in another thread must not cut in two.

The child of a fork has only the thread that forked. If another thread is importing a module
at that moment, the module's lock stays locked in the child, and the first import of that
module there waits for ever. So a fork waits until such imports are complete.

Neither side takes a lock: an import may need a lock that another importing thread holds, and
a fork acquires locks of other libraries. Both waits are bounded for the same reason.
"""

from __future__ import annotations

import os
import time
from threading import get_ident
from typing import Final

__all__ = ["fork_safe_import"]

#: Seconds that a fork waits for imports at most.
FORK_WAITS_S: Final = 10.0
#: Seconds that an import waits for a fork at most.
IMPORT_WAITS_S: Final = 1.0

_PAUSE_S: Final = 0.001

# Imports in progress and the threads they run in; the threads that are about to fork.
_importing: Final[dict[object, int]] = {}
_forking: Final[dict[int, None]] = {}
_is_registered = False


class fork_safe_import:  # noqa: N801 - used like a function
    """A context manager for imports inside of a function: no other thread forks within it.

    ::

        with fork_safe_import():
            from .event_loops import EventLoopPool
    """

    __slots__ = ()

    def __enter__(self) -> None:
        if not _is_registered:
            _register()
        # An import notes itself before it looks for forks, and a fork does the reverse: at
        # least one of the two sees the other.
        _importing[self] = get_ident()
        if _forking:
            self._wait_for_fork()

    def _wait_for_fork(self) -> None:
        thread = get_ident()
        until = time.monotonic() + IMPORT_WAITS_S
        while _others([*_forking], thread) and time.monotonic() < until:
            # Without its note meanwhile, or the fork would wait for this import.
            del _importing[self]
            time.sleep(_PAUSE_S)
            _importing[self] = thread

    def __exit__(self, *_: object) -> None:
        # In the child of a fork the entry is gone already.
        _importing.pop(self, None)


def _register() -> None:
    global _is_registered
    # With the first import, because loading this module must change nothing global.
    if not _is_registered and hasattr(os, "register_at_fork"):
        _is_registered = True
        os.register_at_fork(
            before=_wait_for_imports,
            after_in_parent=_end_fork,
            after_in_child=_reset,
        )


def _wait_for_imports() -> None:
    thread = get_ident()
    _forking[thread] = None
    until = time.monotonic() + FORK_WAITS_S
    # An import of this thread goes on in the child: a signal handler has interrupted it.
    while _others([*_importing.values()], thread) and time.monotonic() < until:
        time.sleep(_PAUSE_S)


def _others(threads: list[int], thread: int) -> bool:
    return any(each != thread for each in threads)


def _end_fork() -> None:
    _forking.pop(get_ident(), None)


def _reset() -> None:
    _forking.clear()
    _importing.clear()
