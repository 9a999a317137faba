"""What has to begin anew in the child of a fork."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Final, Protocol

__all__ = ["Forked", "register"]


class Forked(Protocol):
    """Something that holds what only one of two processes may finish."""

    def reset_after_fork(self, *, had_threads: bool) -> None:
        """Leave to the parent what is the parent's.

        ``had_threads``: the parent had others, in whose hands a lock may be that
        is held in the child for ever.
        """


_followed: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()
_is_following = False
_had_threads = False


def register(holder: Forked) -> None:
    """Have ``one.begin_anew()`` called in the child of every fork from here on."""
    global _is_following
    _followed.add(one)
    # With the first one, and not at import, which changes nothing global.
    if not _is_following and hasattr(os, "register_at_fork"):
        _is_following = True
        os.register_at_fork(before=_look_around, after_in_child=_begin_anew)


def _look_around() -> None:
    global _had_threads
    # Also those that threading does not know.
    _had_threads = len(sys._current_frames()) > 1  # noqa: SLF001


def _begin_anew() -> None:
    for one in list(_followed):
        one.reset_after_fork(had_threads=_had_threads)
