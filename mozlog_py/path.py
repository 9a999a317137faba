"""A file that is named by its path: opened for append, and opened again when it was moved.

Rotation is left to logrotate and the container's runtime; what is done here is
to follow them without losing a line. The descriptor keeps its number: the new
file takes the place of the old one below it, between two lines.
"""

from __future__ import annotations

import os
import signal
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from .descriptors import Identity, file_of
from .diagnostics import note

__all__ = ["PathStream", "reopen_on_sighup"]

_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    # Windows: a newline is one byte, and child processes do not inherit the file.
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
#: Seconds between two looks at what the path leads to.
_LOOK_EVERY_S: Final = 0.05
#: Seconds between two attempts to open a path that cannot be opened.
_RETRY_S: Final = 1.0

_monotonic: Final = time.monotonic
_opened: Final[weakref.WeakSet[PathStream]] = weakref.WeakSet()
# What the app had for the signal before.
_former: list[Callable[[int, FrameType | None], Any]] = []


class Moved(OSError):  # noqa: N818 - it is news, and nobody's mistake
    """It is time to look whether the path leads to another file than the one that is open."""


class PathStream:
    """A file for a sink to write to, whole lines at a time.

    The file is opened for append, and made if it does not exist. A relative path is one of
    the directory that is current now: a daemon changes to another.

    Args:
        path: The path.

    Raises:
        OSError: The file cannot be opened.
    """

    # For ``__del__``, wherever the initialisation fails.
    _descriptor = -1

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = os.path.abspath(os.fspath(path))  # noqa: PTH100 - may be bytes
        # When to look at the path, as ``time.monotonic()`` has it: before the first line,
        # and before the one after the file was opened again.
        self._due = 0.0
        self._is_reopening_wanted = False
        self._retry_at = 0.0
        self._descriptor = os.open(self.path, _FLAGS, 0o666)
        self._file = file_of(os.fstat(self._descriptor))
        #: What the descriptor is recognised by.
        self.identity = Identity(self._descriptor, is_ours=True)
        _opened.add(self)

    def fileno(self) -> int:
        """Return the descriptor, which is another one after foreign code has closed it."""
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        return self._descriptor

    def look(self) -> None:
        """Raise ``Moved`` if it is time to look at the path."""
        if _monotonic() >= self._due:
            raise Moved

    def mark_as_moved(self) -> None:
        """Have the file opened again before the next line; may be called from anywhere."""
        self._is_reopening_wanted = True
        self._due = 0.0

    def follow(self) -> None:
        """Have the descriptor be that of the file at the path.

        If the path cannot be opened again, the old file stays, wherever it was moved. If
        the descriptor's number is another file's by now, that file is left alone.

        Raises:
            ValueError: The file was closed by ``close``.
            OSError: The descriptor is lost, and the path cannot be opened again.
        """
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        is_ours = self.identity.is_same()
        now = _monotonic()
        if is_ours:
            if now < self._due:
                return
            self._due = now + _LOOK_EVERY_S
            if now < self._retry_at or (not self._is_reopening_wanted and self._is_there()):
                return
        try:
            self._reopen(is_ours=is_ours)
        except OSError as error:
            self._retry_at = now + _RETRY_S
            note(f"{os.fsdecode(self.path)} cannot be opened again: {error}")
            if not is_ours:
                raise

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Close the file. Lines for it are lost from here on, and counted."""
        if self._descriptor >= 0:
            is_ours = self.identity.is_same()
            descriptor, self._descriptor = self._descriptor, -1
            # The number belongs to another file now, which stays open.
            if is_ours:
                os.close(descriptor)
        self._due = 0.0

    def _is_there(self) -> bool:
        try:
            return file_of(os.stat(self.path)) == self._file  # noqa: PTH116 - faster
        except OSError:
            return False

    def _reopen(self, *, is_ours: bool) -> None:
        opened = os.open(self.path, _FLAGS, 0o666)
        file = file_of(os.fstat(opened))
        identity = Identity(opened, is_ours=True)
        if is_ours:
            # In the place of the old one, so that no other file gets its number meanwhile.
            try:
                os.dup2(opened, self._descriptor, inheritable=False)
            finally:
                os.close(opened)
            identity = identity.at(self._descriptor)
        else:
            self._descriptor = opened
        self._file, self.identity = file, identity
        self._is_reopening_wanted = False
        self._due = 0.0

    def __del__(self) -> None:
        self.close()


def reopen_on_sighup() -> None:
    """Open all paths anew on SIGHUP, as daemons do; then what was set for it before.

    Does nothing outside the main thread, which alone may set signals' handlers, and where
    there is no such signal.
    """
    if not hasattr(signal, "SIGHUP"):
        return
    former = signal.getsignal(signal.SIGHUP)
    if former is _reopen_all:
        return
    try:
        signal.signal(signal.SIGHUP, _reopen_all)
    except ValueError:
        return
    _former[:] = [former] if callable(former) else []


def _reopen_all(number: int, frame: FrameType | None) -> None:
    for stream in list(_opened):
        # Only a mark: the handler may stand in the middle of a write.
        stream.mark_as_moved()
    for former in _former:
        former(number, frame)
