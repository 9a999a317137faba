"""Who else writes to the same pipe, and whose turn it is among processes.

The kernel keeps writes of up to ``PIPE_BUF`` bytes to a pipe in one piece; a
longer one is mixed with whatever others write meanwhile, short lines included.
So while a long line is written, nobody else may write at all, and a lock of the
pipe itself sees to that: a POSIX record lock, which processes that have no
parent in common can take as well, and which the kernel takes from the dead.

Such a lock costs about as much as the write. A process that has the pipe to
itself does without: each one leaves a mark (a lock on a byte of its own) and
looks now and then whether there are marks of others. Whoever has company when
a long line is due has given the others the time to notice.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from typing import Any, Final

from .descriptors import is_writable
from .native import sleep

try:
    import fcntl
except ImportError:  # Windows: no locks, and lines of several processes are not kept apart
    fcntl = None  # type: ignore[assignment]

__all__ = ["CAN_LOCK", "LOCK", "ONE_BYTE", "TURN", "UNLOCK", "Company", "lockf"]

#: Seconds for which a process may believe that it has the pipe to itself.
_LOOK_EVERY_S: Final = 0.05
#: Seconds that others are given to notice a newcomer before its first long line.
_NOTICE_S: Final = 0.25
_PAUSE_S: Final = 0.005

_MARKS: Final = 1 << 20

# struct flock, as 64-bit Linux has it: type, whence, start, length, pid.
_FLOCK: Final = struct.Struct("hhqqi4x")
_KNOWS_OTHERS: Final = sys.platform == "linux" and sys.maxsize > 2**32

#: Whether this platform has locks of pipes.
CAN_LOCK: Final = fcntl is not None
if CAN_LOCK:
    _ANY_MARK: Final = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _MARKS, 0, 0)

lockf: Final[Any] = getattr(fcntl, "lockf", None)
#: The arguments of ``lockf`` for a turn, as ``map`` takes them.
LOCK: Final = (getattr(fcntl, "LOCK_EX", 0),)
UNLOCK: Final = (getattr(fcntl, "LOCK_UN", 0),)
ONE_BYTE: Final = (1,)
TURN: Final = (0,)
_monotonic: Final = time.monotonic


class Company:
    """The processes that write to one pipe.

    ``is_shared``: every line has to be written with the lock, not only long ones.
    ``due``: when to ``look`` again, as ``time.monotonic()`` has it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_lockable = True
        self.forget()

    def forget(self) -> None:
        """Begin anew, as the child of a fork has to: locks are not inherited."""
        self.is_shared = True
        self.due = 0.0
        self._marked_at: float | None = None

    def is_due(self) -> bool:
        """Tell whether this is the time to look again; ``lock`` does so by itself."""
        return _monotonic() >= self.due

    def look(self) -> None:
        """Look whether there is anybody else, and leave a mark for the others."""
        now = _monotonic()
        self.due = now + _LOOK_EVERY_S
        try:
            if self._marked_at is None:
                self._mark(now)
            # macOS and others have another layout: there each line takes the lock.
            self.is_shared = not _KNOWS_OTHERS or self._is_anybody_there()
        except OSError:
            self.is_shared = True

    def lock(self, *, is_long: bool) -> None:
        """Wait for this process's turn. Locking twice is locking once."""
        if not self._is_lockable:
            return
        if _monotonic() >= self.due:
            self.look()
        if not (is_long or self.is_shared):
            return
        if is_long and self.is_shared:
            self._let_others_notice()
        while True:
            try:
                lockf(self._descriptor, fcntl.LOCK_EX, *ONE_BYTE, *TURN)
                return
            except OSError as error:
                if error.errno != errno.EDEADLK:
                    # A file system or a descriptor without locks.
                    self._is_lockable = False
                    return
            # The kernel takes two threads of ours, at two pipes, for a deadlock.
            sleep(_PAUSE_S)

    def unlock(self) -> None:
        """Give the turn to others; harmless without having it."""
        try:
            lockf(self._descriptor, fcntl.LOCK_UN, *ONE_BYTE, *TURN)
        except OSError:
            # The descriptor is gone, and its locks with it.
            pass

    def _mark(self, now: float) -> None:
        try:
            lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _MARKS + os.getpid())
        except BlockingIOError:
            # Another process with this pid, in another namespace: its mark will do.
            pass
        self._marked_at = now

    def _is_anybody_there(self) -> bool:
        found = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, _ANY_MARK)
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def _let_others_notice(self) -> None:
        # Somebody may be in the middle of a short line since before our mark:
        # held up by the scheduler, or by a pipe that is full.
        marked_at, self._marked_at = self._marked_at, float("-inf")
        if marked_at is None or marked_at + _NOTICE_S <= _monotonic():
            return
        sleep(_NOTICE_S)
        if is_writable(self._descriptor, 0) is False:
            while is_writable(self._descriptor, 0) is False:
                sleep(_PAUSE_S)
            sleep(_NOTICE_S)
