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

from .diagnostics import note

__all__ = ["PathStream", "reopen_on_sighup"]

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
#: Seconds between two attempts to open a path that cannot be opened.
_RETRY_S: Final = 1.0

_opened: Final[weakref.WeakSet[PathStream]] = weakref.WeakSet()
# What the app had for the signal before.
_former: list[Callable[[int, FrameType | None], Any]] = []


class Moved(OSError):  # noqa: N818 - it is news, and nobody's mistake
    """The path leads to another file than the one that is open."""


class PathStream:
    """A file for a sink to write to, whole lines at a time.

    Opened for append, and made where it is not there. Raises ``OSError``
    where it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = os.fspath(path)
        #: Somebody wants it opened again, whether it was moved or not.
        self.is_moved = False
        self._retry_at = 0.0
        self._descriptor = -1
        self._descriptor = os.open(self.path, _FLAGS, 0o666)
        self._identity = self._identity_of(os.fstat(self._descriptor))
        _opened.add(self)

    def fileno(self) -> int:
        """Give the descriptor, which stays the same."""
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        return self._descriptor

    def look(self) -> None:
        """Raise ``Moved`` where the file has to be opened again, ``ValueError`` where closed."""
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a Path costs more than the call
        except OSError:
            pass
        else:
            if not self.is_moved and (found.st_ino, found.st_dev) == self._identity:
                return
        if time.monotonic() >= self._retry_at:
            raise Moved

    def follow(self) -> None:
        """Open the path again where that is needed; where it cannot be, the old file stays."""
        try:
            self.look()
        except Moved:
            try:
                self._reopen()
            except OSError as error:
                # The lines go to the file as it was, wherever that has been moved.
                self._retry_at = time.monotonic() + _RETRY_S
                note(f"{self.path} cannot be opened again: {error}")

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Close the file. Lines for it are lost from here on, and counted."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _reopen(self) -> None:
        self.is_moved = False
        opened = os.open(self.path, _FLAGS, 0o666)
        try:
            os.dup2(opened, self._descriptor, inheritable=False)
            self._identity = self._identity_of(os.fstat(opened))
        finally:
            os.close(opened)

    def __del__(self) -> None:
        self.close()

    @staticmethod
    def _identity_of(found: os.stat_result) -> tuple[int, int]:
        return found.st_ino, found.st_dev


def reopen_on_sighup() -> None:
    """Open all paths anew on SIGHUP, as daemons do; then what was set for it before.

    Does nothing outside the main thread, which alone may set signals' handlers.
    """
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
        stream.is_moved = True
    for former in _former:
        former(number, frame)
