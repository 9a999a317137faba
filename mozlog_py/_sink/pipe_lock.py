"""Who else writes to the same pipe, and whose turn it is among processes.

The kernel keeps writes of up to ``PIPE_BUF`` bytes to a pipe in one piece; a
longer one is mixed with whatever others write meanwhile, short lines included.
So while a long line is written, nobody else may write at all, and a lock of the
pipe itself sees to that: a POSIX record lock, which processes that have no
parent in common can take as well, and which the kernel takes from the dead.

Such a lock costs about as much as the write. A process that has the pipe to
itself does without: each one leaves a mark (a lock on a byte of its own) and
looks now and then whether there are marks of others. Before its first long line a process
that has company gives the others the time to notice.

Any process that has the pipe open can take the lock and keep it. The wait is bounded for
that reason: lines are then written without the lock, and counted.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from typing import Any, Final

from mozlog_py._process.descriptors import is_writable
from mozlog_py._process.self_log import Tally, note
from mozlog_py._process.unpatched import sleep

try:
    import fcntl
except ImportError:  # Windows: no locks, and lines of several processes are not kept apart
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "CAN_LOCK",
    "DROP_LOCK",
    "ONE_BYTE",
    "TAKE_LOCK",
    "TURN",
    "PipeLock",
    "lockf",
    "unlocked",
]

#: Seconds for which a process may believe that it has the pipe to itself.
_LOOK_EVERY_S: Final = 0.05
#: Seconds that others are given to notice a newcomer before its first long line.
_NOTICE_S: Final = 0.25
_PAUSE_S: Final = 0.005
#: Seconds between two attempts to take the lock: the first ones, and the longest.
_FIRST_PAUSE_S: Final = 0.00002
_LONGEST_PAUSE_S: Final = 0.001
#: Seconds. Another process may hold the lock for this long while the pipe takes bytes:
#: one that writes is done in microseconds.
_HELD_S: Final = 2.0

#: Since when another process has the lock, where it has kept it.
_KEPT: Final = float("-inf")
_MARKS: Final = 1 << 20

# struct flock, as 64-bit Linux has it: type, whence, start, length, pid.
_FLOCK: Final = struct.Struct("hhqqi4x")
_KNOWS_OTHERS: Final = sys.platform == "linux" and sys.maxsize > 2**32

#: Whether this platform has locks of pipes.
CAN_LOCK: Final = fcntl is not None
if CAN_LOCK:
    _ANY_MARK: Final = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _MARKS, 0, 0)
    _TURN_LOCK: Final = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)

lockf: Final[Any] = getattr(fcntl, "lockf", None)
#: The arguments of ``lockf`` for a turn, as ``map`` takes them.
TAKE_LOCK: Final = (getattr(fcntl, "LOCK_EX", 0) | getattr(fcntl, "LOCK_NB", 0),)
DROP_LOCK: Final = (getattr(fcntl, "LOCK_UN", 0),)
ONE_BYTE: Final = (1,)
TURN: Final = (0,)
_monotonic: Final = time.monotonic
# macOS and Linux have EAGAIN, and POSIX allows the other.
_IS_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES})

#: How many lines of this process were written without the lock of their pipe, because
#: another process kept it.
unlocked: Final = Tally()


class PipeLock:
    """The processes that write to one pipe.

    ``is_shared``: every line has to be written with the lock, not only long ones.
    ``due``: when to ``look`` again, as ``time.monotonic()`` has it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_lockable = True
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin anew, as the child of a fork has to: locks are not inherited."""
        # Since when another process has the lock, as far as is known.
        self._held_since: float | None = None
        self._refused_at = 0.0
        self.is_shared = True
        self.due = 0.0
        self._marked_at: float | None = None

    def is_due(self) -> bool:
        """Tell whether this is the time to look again; ``lock`` does so by itself."""
        return _monotonic() >= self.due

    def find_other_writers(self) -> None:
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

    def lock(self, *, is_long: bool, until: float | None = None) -> None:
        """Wait for this process's turn. Locking twice is locking once.

        If another process has had the lock for two seconds in which the pipe took bytes, this
        one goes on without it, until the lock is free again.

        Args:
            is_long: Whether the kernel may split what is to be written.
            until: When the wait ends, as ``time.monotonic()`` has it; None for no such end.

        Raises:
            TimeoutError: ``until`` is over.
        """
        if not self._is_lockable:
            return
        if _monotonic() >= self.due:
            self.find_other_writers()
        if not (is_long or self.is_shared):
            return
        if is_long and self.is_shared:
            self._let_others_notice(until)
        pause = 0.0
        while not self._has_locked():
            if self._is_kept():
                unlocked.count += 1
                return
            if until is not None and _monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "another process has the lock of the pipe")
            sleep(pause)
            pause = min(pause * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._held_since = None

    def unlock(self) -> None:
        """Give the turn to others; harmless without having it."""
        try:
            lockf(self._descriptor, fcntl.LOCK_UN, *ONE_BYTE, *TURN)
        except OSError:
            # The descriptor is gone, and its locks with it.
            pass

    def _has_locked(self) -> bool:
        """Return whether the lock is this process's now, or there is none."""
        try:
            lockf(self._descriptor, *TAKE_LOCK, *ONE_BYTE, *TURN)
        except OSError as error:
            if error.errno in _IS_HELD:
                return False
            # A file system or a descriptor without locks.
            self._is_lockable = False
        return True

    def _is_kept(self) -> bool:
        """Return whether another process has the lock and does not write with it."""
        since = self._held_since
        if since == _KEPT:
            return True
        now = _monotonic()
        if since is None or now - self._refused_at > _HELD_S:
            # The first attempt; or it may have been free since the last one.
            self._held_since = since = now
        self._refused_at = now
        if now - since < _PAUSE_S:
            # Most are done by then.
            return False
        if is_writable(self._descriptor, 0) is False:
            # The other one waits for the reader, and so would a write without the lock.
            self._held_since = now
            return False
        if now - since < _HELD_S:
            return False
        self._held_since = _KEPT
        note(
            f"another process{self._holder()} keeps the lock of the pipe: lines are written "
            "without it, and may stand within its long ones"
        )
        return True

    def _holder(self) -> str:
        """Return who has the lock, as far as the kernel tells: " (process 7)"."""
        if not _KNOWS_OTHERS:
            return ""
        try:
            found = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, _TURN_LOCK)
            pid = _FLOCK.unpack(found)[4]
        except OSError:
            return ""
        # 0 for one that is in another namespace.
        return f" (process {pid})" if pid > 0 else ""

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

    def _let_others_notice(self, until: float | None) -> None:
        # Another may be in the middle of a short line since before our mark:
        # held up by the scheduler, or by a pipe that is full.
        marked_at, self._marked_at = self._marked_at, float("-inf")
        if marked_at is None or marked_at + _NOTICE_S <= _monotonic():
            return
        sleep(_NOTICE_S)
        if is_writable(self._descriptor, 0) is False:
            while is_writable(self._descriptor, 0) is False:
                if until is not None and _monotonic() >= until:
                    self._marked_at = marked_at
                    raise TimeoutError(errno.ETIMEDOUT, "nobody reads")
                sleep(_PAUSE_S)
            sleep(_NOTICE_S)
