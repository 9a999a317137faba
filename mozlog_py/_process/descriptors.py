"""What the kernel says of a descriptor: which file it is of, and whether it takes bytes now.

A descriptor is only a number. After ``os.closerange``, which daemons call, the same
number may be that of a client's socket or of a database. Therefore the identity of what
is below is compared before each write, in the same C call as the write.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from copy import copy
from itertools import cycle, repeat
from operator import itemgetter
from typing import Any, Final

from .unpatched import native

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "STDERR",
    "STDOUT",
    "DescriptorIdentity",
    "ForeignDescriptorError",
    "file_of",
    "is_redirection",
    "is_writable",
]

STDOUT: Final = 1
STDERR: Final = 2

_fstat: Final = os.fstat
_fcntl: Final[Any] = getattr(fcntl, "fcntl", None)
_F_GETSIG: Final[int | None] = getattr(fcntl, "F_GETSIG", None)
# Real-time signals, none of which is ever sent: that would take O_ASYNC.
_MARKS: Final = range(34, 65)
_next_mark: Final = cycle(_MARKS)

# As they were before gevent or eventlet: no greenlet may run in the middle of a write.
_poll: Final[Callable[[], Any] | None] = native("select", "poll")
_select: Final[Callable[..., Any]] = native("select", "select")
# select.POLLOUT, which eventlet takes away too.
_POLLOUT: Final = 4

#: Return which file a ``stat_result`` is of: its inode and its device.
file_of: Final[Callable[[os.stat_result], tuple[int, int]]] = itemgetter(1, 2)


class ForeignDescriptorError(OSError):
    """The number of a descriptor is that of another file by now."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(errno.EBADF, f"descriptor {descriptor} is that of another file by now")


class DescriptorIdentity:
    """What a descriptor is recognised by before each write, in the cheapest way that is exact.

    * A standard descriptor that child processes inherit: that they still do. What Python opens
      under its number is not inherited, and what is inherited there was put there to redirect
      the process (see ``is_redirection``). To ask takes 0.15 microseconds.
    * A file opened here, and a regular file: a mark on the opened file. Linux keeps the number
      of a signal for each, which it never sends for a regular file. To read it takes 0.3
      microseconds.
    * All else: the inode and device. ``os.fstat`` takes 0.9 microseconds before a write to a
      pipe and 2 before one to a file, since a write then stores a time of its own
      (Linux 6.13).

    Args:
        descriptor: The descriptor.
        is_ours: Whether the file was opened here, and may be marked, whatever it is.

    Raises:
        OSError: The descriptor is closed.
    """

    def __init__(self, descriptor: int, *, is_ours: bool = False) -> None:
        self._descriptor = descriptor
        status = _fstat(descriptor)
        self._file: Final = file_of(status)
        self._read: Callable[[Iterator[int]], Iterator[Any]] = _read_files
        self._expected: Any = self._file
        if descriptor <= STDERR:
            if _is_inherited(descriptor):
                self._read, self._expected = _read_inheritance, True
        elif is_ours or stat.S_ISREG(status.st_mode):
            mark = _marked(descriptor)
            if mark is not None:
                self._read, self._expected = _read_marks, mark

    def at(self, descriptor: int) -> DescriptorIdentity:
        """Return the identity of the same opened file at another descriptor."""
        other = copy(self)
        other._descriptor = descriptor  # noqa: SLF001 - of the same class
        return other

    def is_same(self) -> bool:
        """Return whether the next write would take the descriptor for that of the same file."""
        try:
            return next(self.descriptors()) == self._descriptor
        except (KeyError, OSError):
            return False

    def is_same_file(self) -> bool:
        """Return whether the descriptor leads to the same file, however it was opened.

        Raises:
            OSError: The descriptor is closed.
        """
        return file_of(_fstat(self._descriptor)) == self._file

    def descriptors(self, *, is_endless: bool = False) -> Iterator[int]:
        """Return an iterator whose steps give the descriptor if it is that of the same file.

        A step raises ``KeyError`` if the descriptor is that of another file and ``OSError``
        if it is closed. The step after that looks again.

        Args:
            is_endless: Whether there is a step after the first one.
        """
        numbers = repeat(self._descriptor) if is_endless else repeat(self._descriptor, 1)
        return map({self._expected: self._descriptor}.__getitem__, self._read(numbers))


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # consoles of some versions of Windows
        return False


def _read_files(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
    return map(file_of, map(_fstat, numbers))


def _read_inheritance(numbers: Iterator[int]) -> Iterator[bool]:
    return map(os.get_inheritable, numbers)


def _read_marks(numbers: Iterator[int]) -> Iterator[int]:
    return map(_fcntl, numbers, repeat(_F_GETSIG))


def _marked(descriptor: int) -> int | None:
    """Return the mark of an opened file, which gets one if it has none; None if it takes none."""
    if _F_GETSIG is None:
        return None
    try:
        mark = _fcntl(descriptor, _F_GETSIG)
        if mark not in _MARKS:
            mark = next(_next_mark)
            _fcntl(descriptor, fcntl.F_SETSIG, mark)
        # Systems that only look like Linux may take it and forget it.
        return mark if _fcntl(descriptor, _F_GETSIG) == mark else None
    except OSError:
        return None


def is_redirection(descriptor: int) -> bool:
    """Return whether a standard descriptor that changed was changed to redirect the process.

    A redirection (``os.dup2``, a shell, a supervisor) leaves a descriptor that is inherited
    by child processes. What Python opens is not inherited: a data file or a socket that got
    the number of a closed stdout, which no line may be written to. A file opened for append
    is taken for a log.
    """
    if fcntl is None or os.get_inheritable(descriptor):
        return True
    mode = _fstat(descriptor).st_mode
    if stat.S_ISCHR(mode):
        return True
    is_for_append = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
    return stat.S_ISREG(mode) and is_for_append


def is_writable(descriptor: int, milliseconds: float) -> bool | None:
    """Return whether a descriptor takes bytes within some time; None if that cannot be known.

    Args:
        descriptor: The descriptor.
        milliseconds: How long to wait; 0 does not wait.
    """
    if _poll is not None:
        waiting = _poll()
        waiting.register(descriptor, _POLLOUT)
        return bool(waiting.poll(milliseconds))
    try:
        return bool(_select([], [descriptor], [], milliseconds / 1000)[1])
    except (OSError, ValueError):
        # On Windows this is for sockets only, and elsewhere for the first 1,024 descriptors.
        return None
