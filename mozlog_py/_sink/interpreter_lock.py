"""A lock between the interpreters of one process, for each pipe that they write to.

A POSIX record lock belongs to the process, so all interpreters have it at once. A lock of an open
file description belongs to the description. Each interpreter therefore opens one file of its own
process and locks a byte there; the number of the byte stands for the pipe. The file is not the
pipe: no socket and no pipe of another user can be opened again, and a process that closes any
descriptor of a pipe loses its record locks.

The kernel releases the lock when the description is closed, at the latest with the process. The
end of a subinterpreter closes none by itself, since handlers outlive it: a hook of atexit does.
"""

from __future__ import annotations

import atexit
import os
import struct
import sys
import weakref
from collections.abc import Iterator
from itertools import compress, repeat
from operator import truth
from typing import Any, Final

from mozlog_py._process.descriptors import DescriptorIdentity
from mozlog_py._process.interpreters import IS_MAIN
from mozlog_py._process.self_log import note
from mozlog_py._process.shared_state import snapshot

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FLOCK", "HAS_FLOCK", "InterpreterLock", "has_record_lock"]

# struct flock, as 64-bit Linux has it: type, whence, start, length, pid.
FLOCK: Final = struct.Struct("hhqqi4x")
#: Whether ``FLOCK`` is this system's.
HAS_FLOCK: Final = sys.platform == "linux" and sys.maxsize > 2**32

#: A file that belongs to this process, has one inode while it is open, and can be locked.
_FILE: Final = "/proc/self/comm"
_fcntl: Final[Any] = getattr(fcntl, "fcntl", None)
_SET: Final[Any] = getattr(fcntl, "F_OFD_SETLK", None)
_GET: Final[Any] = getattr(fcntl, "F_OFD_GETLK", None)
_LARGEST_OFFSET: Final = 2**62 - 1


_opened: Final[weakref.WeakSet[InterpreterLock]] = weakref.WeakSet()


class _Exit:
    """Whether the hook for the end of this subinterpreter is installed, and whether it has run."""

    is_hooked = False
    is_over = False


class InterpreterLock:
    """The lock of one pipe between the interpreters of this process.

    Args:
        pipe: A descriptor of the pipe.

    Raises:
        OSError: The pipe is closed, or the file of the process cannot be opened.
    """

    def __init__(self, pipe: int) -> None:
        # Has the key 0 while the descriptor is open. A dict, so that a step of an iterator looks
        # into it: another interpreter may open a file with the same number and mark. Before
        # anything that may raise, since ``__del__`` reads it.
        self._is_open: Final[dict[int, bool]] = {}
        status = os.fstat(pipe)
        byte = (status.st_ino ^ (status.st_dev << 40)) & _LARGEST_OFFSET
        self._taken: Final = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        self._free: Final = FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0)
        self._descriptor: Final = os.open(_FILE, os.O_RDWR | os.O_CLOEXEC)
        self._identity: Final = DescriptorIdentity(self._descriptor, is_ours=True)
        self._is_open[0] = True
        if not IS_MAIN:
            _opened.add(self)
            if not _Exit.is_hooked:
                _Exit.is_hooked = True
                atexit.register(_close_all)

    @classmethod
    def of(cls, pipe: int) -> InterpreterLock | None:
        """Return the lock of a pipe; None, after a note, if the system has no such lock."""
        if _SET is None or not HAS_FLOCK:
            return None
        try:
            return cls(pipe)
        except OSError as error:
            note(
                f"{_FILE} cannot be opened for locks ({error.strerror}): long lines of the "
                "interpreters of this process may be mixed. Let one interpreter write to the pipe"
            )
            return None

    def is_valid(self) -> bool:
        """Return whether the descriptor is still this lock's; a daemon may have closed it."""
        return 0 in self._is_open and self._identity.is_same()

    def try_lock(self) -> bool:
        """Return whether this interpreter has the lock now. Taking it twice is the same as once.

        Raises:
            KeyError: The descriptor is closed.
            OSError: The system refuses the lock for another reason.
        """
        try:
            return all(self.locks(is_endless=False))
        except BlockingIOError:
            return False

    def unlock(self) -> None:
        """Release the lock; harmless if this interpreter does not have it."""
        try:
            all(self.unlocks(is_endless=False))
        except (KeyError, OSError):
            # The descriptor is closed, which released the lock.
            pass
        if _Exit.is_over:
            # The line of a later hook of atexit: no other call closes the descriptor.
            self.close()

    def close(self) -> None:
        """Close the descriptor, which releases the lock, unless other code has closed it."""
        # The number may be another file's by now.
        if self.is_valid():
            self._is_open.clear()
            os.close(self._descriptor)

    def locks(self, *, is_endless: bool = True) -> Iterator[bool]:
        """Return an iterator that takes the lock with each step, and yields True.

        A step raises ``BlockingIOError`` if another interpreter has the lock, ``KeyError`` or
        another ``OSError`` if the descriptor is not this lock's any more.

        Args:
            is_endless: Whether the iterator has more than one step.
        """
        return self._steps(self._taken, is_endless=is_endless)

    def unlocks(self, *, is_endless: bool = True) -> Iterator[bool]:
        """Return an iterator that releases the lock with each step; see ``locks``."""
        return self._steps(self._free, is_endless=is_endless)

    def _steps(self, request: bytes, *, is_endless: bool) -> Iterator[bool]:
        descriptors = compress(
            self._identity.descriptors(is_endless=is_endless),
            map(self._is_open.__getitem__, repeat(0)),
        )
        return map(truth, map(_fcntl, descriptors, repeat(_SET), repeat(request)))

    def __del__(self) -> None:
        self.close()


def _close_all() -> None:
    _Exit.is_over = True
    for lock in snapshot(_opened):
        lock.close()


def has_record_lock(pipe: int, request: bytes) -> bool:
    """Return whether any process, this one included, holds a record lock on a pipe.

    ``F_GETLK`` leaves out the locks of the calling process. A question by the description finds
    them as well.

    Args:
        pipe: A descriptor of the pipe.
        request: The lock, as a packed ``FLOCK``.

    Raises:
        OSError: The descriptor is closed, or has no locks.
    """
    if _GET is None:
        return False
    return bool(FLOCK.unpack(_fcntl(pipe, _GET, request))[0] != fcntl.F_UNLCK)
