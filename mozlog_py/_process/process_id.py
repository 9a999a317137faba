"""Which process this is, without asking the kernel for every line."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Prepared", "Process", "Watched", "process"]

# A fork past the interpreter runs no hooks, and nor does a descriptor that is replaced;
# both are noticed after this long.
_INTERVAL_NS: Final = 2_000_000
# What is done regularly may take longer than that look.
_REGULAR_NS: Final = 20_000_000


class Prepared(Protocol):
    """Something that has the id of the process in what it prepared."""

    def reset_after_fork(self) -> None:
        """Forget what was prepared: this is another process."""


class Watched(Protocol):
    """Something that depends on what may be replaced in a process."""

    def check_descriptor(self) -> None:
        """Look whether it was replaced."""


class Process:
    """The id of this process, and until when it need not be asked for again.

    Whoever makes a line compares its time with ``until_ns`` first, and calls
    ``ask`` when that is over. A fork is noticed at once where the interpreter
    knows of it (``os.fork``), and else after 2 milliseconds.
    """

    __slots__ = ("_is_watching", "_prepared", "_regular_until_ns", "_watched", "pid", "regular",
                 "until_ns")  # fmt: skip

    def __init__(self) -> None:
        #: The id, which may be that of the parent once ``until_ns`` is over; the same
        #: object for as long as it is the same id, so ``is`` compares it.
        self.pid = -1
        #: Nanoseconds since the epoch.
        self.until_ns = 0
        #: What is to be done now and then when the process is asked for, at most every
        #: 20 milliseconds. Must not raise.
        self.regular: list[Callable[[], None]] = []
        self._regular_until_ns = 0
        self._is_watching = False
        # By identity: they may be anybody's, and compare as they like.
        self._prepared: weakref.WeakValueDictionary[int, Prepared] = weakref.WeakValueDictionary()
        self._watched: weakref.WeakValueDictionary[int, Watched] = weakref.WeakValueDictionary()

    def register(self, prepared: Prepared) -> None:
        """Have ``prepared.prepare_anew()`` called where this turns out to be another process."""
        self._prepared[id(prepared)] = prepared
        self._watch()

    def register_check(self, watched: Watched) -> None:
        """Have ``watched.check_descriptor()`` called with each ``ask``."""
        self._watched[id(watched)] = watched

    def refresh(self, now_ns: int) -> None:
        """Ask which process this is. ``now_ns``: the time, nanoseconds since the epoch."""
        self._watch()
        pid = os.getpid()
        if pid != self.pid:
            self.reset_after_fork()
            # Last: where another thread's new one is in the way of that, it is done again.
            self.pid = pid
        self.until_ns = now_ns + _INTERVAL_NS
        for watched in list(self._watched.values()):
            watched.check_descriptor()
        if now_ns > self._regular_until_ns:
            self._regular_until_ns = now_ns + _REGULAR_NS
            for act in self.regular:
                act()

    def reset_after_fork(self) -> None:
        """Have everything that was prepared be prepared again."""
        for prepared in list(self._prepared.values()):
            prepared.reset_after_fork()

    def _watch(self) -> None:
        """Ask anew after every fork from here on."""
        # Not at import: a process that logs no line has no use for it. Before the fork as well:
        # hooks of the application that were registered earlier are called first in the
        # child, and may log there.
        if not self._is_watching:
            self._is_watching = True
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=self.expire, after_in_child=self.expire)

    def expire(self) -> None:
        """Have the next line ask anew."""
        self.until_ns = self._regular_until_ns = 0


#: This process.
process: Final = Process()
