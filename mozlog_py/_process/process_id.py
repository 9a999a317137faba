"""The id of this process, without a system call for every line.

What else is to be looked at every few milliseconds is looked at when the id is: descriptors that
other code may replace, and functions that other modules add.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import Final, Protocol

from .shared_state import living

__all__ = ["ChecksDescriptor", "PreparedForProcess", "Process", "process"]

# Nanoseconds. A fork past the interpreter runs no hooks, and neither does a replaced
# descriptor: both are noticed after this interval.
_REFRESH_EVERY_NS: Final = 2_000_000
# Nanoseconds. The periodic functions may take longer than a refresh does.
_PERIOD_NS: Final = 20_000_000
# Nanoseconds by which the clock of the lines may differ from the system's, which may be a few
# milliseconds behind.
_TOLERANCE_NS: Final = 1_000_000_000
# A clock of Linux that no library for tests replaces.
_REALTIME_COARSE: Final = 5


def _system_clock() -> Callable[[], int] | None:
    """Return a function that reads the system's time, also where a test has set another one."""
    if not hasattr(time, "clock_gettime_ns"):
        return None
    if sys.platform == "linux":
        try:
            time.clock_gettime_ns(_REALTIME_COARSE)
        except OSError:
            pass
        else:
            return functools.partial(time.clock_gettime_ns, _REALTIME_COARSE)
    # time-machine replaces its result as well; freezegun does not.
    return functools.partial(time.clock_gettime_ns, time.CLOCK_REALTIME)


_system_ns: Final = _system_clock()


class PreparedForProcess(Protocol):
    """An object that has prepared something with the id of the process in it."""

    def reset_after_fork(self) -> None:
        """Discard what was prepared: this is another process."""


class ChecksDescriptor(Protocol):
    """An object that depends on a descriptor, which other code may replace."""

    def check_descriptor(self) -> None:
        """Stop using the descriptor directly if it was replaced. Must not raise."""


class Process:
    """The id of this process, and the time until which it is valid.

    Code that makes a line compares the line's time with ``until_ns``, and calls ``refresh``
    when that is over. A fork by ``os.fork`` is noticed at once, any other after
    2 milliseconds.

    That comparison does not notice a clock that was set back. A sink does, which reads a
    monotonic clock. Where only bound loggers write, to stdout that is a file, the checks pause
    until the clock shows the former time.
    """

    __slots__ = ("_checked", "_has_hooks", "_periodic_until_ns", "_prepared", "periodic",
                 "pid", "until_ns")  # fmt: skip

    def __init__(self) -> None:
        #: The id. Once ``until_ns`` is over it may be the parent's. The object stays the same
        #: as long as the id does, so that ``is`` compares it.
        self.pid = -1
        #: Nanoseconds since the epoch.
        self.until_ns = 0
        #: Functions that ``refresh`` calls, at most every 20 milliseconds. They must not raise.
        self.periodic: list[Callable[[], None]] = []
        self._periodic_until_ns = 0
        self._has_hooks = False
        # By identity: an object's class may define any __eq__ and __hash__.
        self._prepared: weakref.WeakValueDictionary[int, PreparedForProcess]
        self._prepared = weakref.WeakValueDictionary()
        self._checked: weakref.WeakValueDictionary[int, ChecksDescriptor]
        self._checked = weakref.WeakValueDictionary()

    def register(self, prepared: PreparedForProcess) -> None:
        """Call ``prepared.reset_after_fork()`` whenever this is another process than before."""
        self._prepared[id(prepared)] = prepared
        self._install_hooks()

    def register_check(self, checked: ChecksDescriptor) -> None:
        """Call ``checked.check_descriptor()`` with each refresh."""
        self._checked[id(checked)] = checked

    def refresh(self, now_ns: int) -> None:
        """Ask the kernel for the id, and run the checks and the periodic functions.

        Args:
            now_ns: The time, in nanoseconds since the epoch.
        """
        self._install_hooks()
        pid = os.getpid()
        if pid != self.pid:
            self.discard_prepared()
            # Last: if another thread prepares something meanwhile, the next refresh resets it.
            self.pid = pid
        system_ns = now_ns if _system_ns is None else _system_ns()
        if -_TOLERANCE_NS < now_ns - system_ns < _TOLERANCE_NS:
            self.until_ns = now_ns + _REFRESH_EVERY_NS
        else:
            # A test has set the clock of the lines, which may stand still, and which goes back at
            # the end of the test. Until then each line refreshes.
            self.until_ns = 0
            now_ns = system_ns
        for checked in living(self._checked):
            checked.check_descriptor()
        # Too much time is left if the clock was set back.
        if not 0 <= self._periodic_until_ns - now_ns <= _PERIOD_NS:
            self._periodic_until_ns = now_ns + _PERIOD_NS
            for act in self.periodic:
                act()

    def discard_prepared(self) -> None:
        """Have each registered object discard what it has prepared."""
        for prepared in living(self._prepared):
            prepared.reset_after_fork()

    def expire(self) -> None:
        """Have the next line refresh the id."""
        self.until_ns = self._periodic_until_ns = 0

    def expire_if_set_back(self, now_ns: int) -> None:
        """Have the next line refresh the id if the clock was set back.

        Args:
            now_ns: The time, in nanoseconds since the epoch.
        """
        if now_ns < self.until_ns - 2 * _REFRESH_EVERY_NS:
            self.expire()

    def _install_hooks(self) -> None:
        # Not at import: a process that logs no line needs no hook. Before the fork as well,
        # since hooks that the application registered earlier run first in the child, and may
        # log there.
        if not self._has_hooks:
            self._has_hooks = True
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=self.expire, after_in_child=self.expire)


#: This process.
process: Final = Process()
