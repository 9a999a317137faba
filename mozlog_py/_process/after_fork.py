"""Calls ``reset_after_fork`` of registered objects in the child of each fork."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Final, Protocol

from .shared_state import snapshot

__all__ = ["ResetAfterFork", "register"]


class ResetAfterFork(Protocol):
    """An object whose state belongs to one process: lines on their way, locks, threads."""

    def reset_after_fork(self, *, had_threads: bool) -> None:
        """Drop the parent's state.

        Args:
            had_threads: Whether the parent had other threads. One of them may have held a
                lock, which nothing releases in the child.
        """


_registered: Final[weakref.WeakSet[ResetAfterFork]] = weakref.WeakSet()
_has_hooks = False
_had_threads = False


def register(holder: ResetAfterFork) -> None:
    """Call ``holder.reset_after_fork()`` in the child of every fork from here on.

    Args:
        holder: The object. It is referred to weakly.
    """
    global _has_hooks
    _registered.add(holder)
    # With the first registration and not at import: an import changes no global state.
    if not _has_hooks and hasattr(os, "register_at_fork"):
        _has_hooks = True
        os.register_at_fork(before=_count_threads, after_in_child=_reset)


def _count_threads() -> None:
    global _had_threads
    # Not threading.active_count(), which leaves out threads that C code has started. Only the
    # number of frames is read: without a GIL a frame of another thread must not be.
    _had_threads = len(sys._current_frames()) > 1  # noqa: SLF001


def _reset() -> None:
    for holder in snapshot(_registered):
        holder.reset_after_fork(had_threads=_had_threads)
