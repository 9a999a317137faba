"""Facts about a descriptor: which file it refers to, and whether it takes bytes now.

A descriptor is only a number. After ``os.closerange``, which daemons call, the same number
may refer to a client's socket or to a database. Therefore each write compares the identity of
the file first, in the same C call.
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

from .fork_safe_import import fork_safe_import
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
    "takes_messages",
]

STDOUT: Final = 1
STDERR: Final = 2

_fstat: Final = os.fstat
_fcntl: Final[Any] = getattr(fcntl, "fcntl", None)
_F_GETSIG: Final[int | None] = getattr(fcntl, "F_GETSIG", None)
# Numbers of real-time signals. The kernel never sends one: that would take O_ASYNC.
_MARKS: Final = range(34, 65)
_next_mark: Final = cycle(_MARKS)

# Without the patches of gevent or eventlet: no other greenlet may run during a write.
_poll: Final[Callable[[], Any] | None] = native("select", "poll")
_select: Final[Callable[..., Any]] = native("select", "select")
# select.POLLOUT, which eventlet removes from the module.
_POLLOUT: Final = 4

#: Return the inode and the device of a ``stat_result``, which identify a file.
file_of: Final[Callable[[os.stat_result], tuple[int, int]]] = itemgetter(1, 2)


def takes_messages(descriptor: int, mode: int) -> bool:
    """Return whether a descriptor is a socket that takes each write as one message.

    Args:
        descriptor: The descriptor.
        mode: Its ``st_mode``.
    """
    if not stat.S_ISSOCK(mode):
        return False
    try:
        with fork_safe_import():
            import _socket
        # A socket object that does not wait changes nothing of the file. Any other sets the
        # file to not blocking if there is a default timeout.
        no_wait = getattr(_socket, "SOCK_NONBLOCK", 0)
        if not no_wait and _socket.getdefaulttimeout() is not None:
            return False
        own = os.dup(descriptor)
        try:
            opened = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | no_wait, 0, own)
        except BaseException:
            os.close(own)
            raise
        kind = opened.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE)
        opened.close()
    except (AttributeError, ImportError, OSError):
        return False
    return kind in (_socket.SOCK_DGRAM, getattr(_socket, "SOCK_SEQPACKET", None))


class ForeignDescriptorError(OSError):
    """The descriptor refers to another file than before."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(errno.EBADF, f"descriptor {descriptor} is now another file's")


class DescriptorIdentity:
    """Recognises the file below a descriptor before each write, by the cheapest exact property.

    * A standard descriptor that child processes inherit: the flag that makes it inherited.
      Python opens files without that flag, so a file with it was put there to redirect the
      process (see ``is_redirection``). Reading the flag takes 0.15 microseconds.
    * A file opened by this package, and a regular file: a mark on the open file description.
      Linux stores the number of a signal there, which it never sends for a regular file.
      Reading it takes 0.3 microseconds.
    * Any other: the inode and the device. ``os.fstat`` takes 0.9 microseconds before a write
      to a pipe and 2 before one to a file, because the write then stores a new time
      (Linux 6.13).

    Args:
        descriptor: The descriptor.
        is_ours: Whether this package opened the file, and may mark a file of any kind.

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
        """Return the identity of the same open file at another descriptor."""
        other = copy(self)
        other._descriptor = descriptor  # noqa: SLF001 - of the same class
        return other

    def is_same(self) -> bool:
        """Return whether the next write would accept the descriptor."""
        try:
            return next(self.descriptors()) == self._descriptor
        except (KeyError, OSError):
            return False

    def is_same_file(self) -> bool:
        """Return whether the descriptor refers to the same file, whatever its flags and mark.

        Raises:
            OSError: The descriptor is closed.
        """
        return file_of(_fstat(self._descriptor)) == self._file

    def descriptors(self, *, is_endless: bool = False) -> Iterator[int]:
        """Return an iterator that verifies the descriptor with each step, and yields it.

        A step raises ``KeyError`` if the descriptor refers to another file, and ``OSError`` if
        it is closed. The next step verifies again. An iterator and not a function, so that
        ``map(os.write, ...)`` verifies and writes in one C call.

        Args:
            is_endless: Whether the iterator has more than one step.
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
    """Return the mark of an open file, after setting one if it has none.

    Returns:
        None if the system keeps no mark for it.
    """
    if _F_GETSIG is None:
        return None
    try:
        mark = _fcntl(descriptor, _F_GETSIG)
        if mark not in _MARKS:
            mark = next(_next_mark)
            _fcntl(descriptor, fcntl.F_SETSIG, mark)
        # Systems that emulate Linux may accept the mark without storing it.
        return mark if _fcntl(descriptor, _F_GETSIG) == mark else None
    except OSError:
        return None


def is_redirection(descriptor: int) -> bool:
    """Return whether a standard descriptor that changed was changed to redirect the process.

    A redirection (``os.dup2``, a shell, a supervisor) leaves a descriptor that child processes
    inherit. A file or a socket that Python opens is not inherited. If it got the number of a
    closed stdout, no line may be written to it; a file opened for append is taken for a log.
    """
    if fcntl is None or os.get_inheritable(descriptor):
        return True
    mode = _fstat(descriptor).st_mode
    if stat.S_ISCHR(mode):
        return True
    is_for_append = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
    return stat.S_ISREG(mode) and is_for_append


def is_writable(descriptor: int, milliseconds: float) -> bool | None:
    """Return whether a descriptor takes bytes within some time.

    Args:
        descriptor: The descriptor.
        milliseconds: The longest wait; 0 does not wait.

    Returns:
        None if the system cannot tell.
    """
    if _poll is not None:
        waiting = _poll()
        waiting.register(descriptor, _POLLOUT)
        return bool(waiting.poll(milliseconds))
    try:
        return bool(_select([], [descriptor], [], milliseconds / 1000)[1])
    except (OSError, ValueError):
        # On Windows select() takes sockets only; elsewhere only the first 1,024 descriptors.
        return None
