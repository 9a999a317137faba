"""A lock between the processes that write to one pipe.

The kernel keeps a write of up to ``PIPE_BUF`` bytes to a pipe in one piece. It may interleave a
longer one with writes of other processes, short ones included. While a process writes a long
line, no other process may write at all. The lock is a POSIX record lock on the pipe itself:
unrelated processes can take it, and the kernel releases it if its holder dies.

The lock costs about as much as a write, so a process that has the pipe to itself does without.
Each process marks the pipe by a second lock, on a byte of its own, and looks now and then for
marks of others. At each look it sets its mark again. Before its first long line, a process that
finds others waits until they have found its mark.

Any process that has the pipe open can take the lock and keep it. The wait is therefore bounded:
after it, lines are written without the lock, and counted.

The interpreters of one process have its record locks together. If there are several, each takes
a lock between interpreters first (``interpreter_lock``), and the record lock while it has that.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Any, Final

from mozlog_py._process.descriptors import is_writable
from mozlog_py._process.interpreters import IS_MAIN, has_several
from mozlog_py._process.self_log import note
from mozlog_py._process.shared_state import Tally
from mozlog_py._process.unpatched import sleep

from .interpreter_lock import FLOCK, HAS_FLOCK, InterpreterLock, has_record_lock

try:
    import fcntl
except ImportError:  # Windows: no locks, so lines of several processes may be interleaved
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "CAN_LOCK",
    "LOCK",
    "LOCKED_BYTE",
    "UNLOCK",
    "PipeLock",
    "lockf",
    "unlocked",
]

#: Seconds between two looks for marks of other processes.
_FIND_EVERY_S: Final = 0.05
#: Seconds that other processes get to find the mark of this one before its first long line.
_NOTICE_S: Final = 0.25
_POLL_S: Final = 0.005
#: Seconds between two attempts to take the lock: the first ones, and the longest.
_FIRST_PAUSE_S: Final = 0.00002
_LONGEST_PAUSE_S: Final = 0.001
#: Seconds. Another process may hold the lock for this long while the pipe takes bytes; a
#: process that writes releases it after microseconds.
_MAX_HELD_S: Final = 2.0

#: The value of ``_held_since`` once another process has held the lock for too long.
_TOO_LONG: Final = float("-inf")
#: The value of ``_marked_at`` once other processes have found the mark.
_NOTICED: Final = float("-inf")
_MARKS: Final = 1 << 20

#: Whether this platform has locks of pipes.
CAN_LOCK: Final = fcntl is not None
if CAN_LOCK:
    _ANY_MARK: Final = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _MARKS, 0, 0)
    _THE_LOCK: Final = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)

lockf: Final[Any] = getattr(fcntl, "lockf", None)
#: The arguments of ``lockf`` after the descriptor: what to do, without a wait, and the length
#: and the start of the range. Tuples, so that ``map(repeat, ...)`` takes them.
LOCK: Final = (getattr(fcntl, "LOCK_EX", 0) | getattr(fcntl, "LOCK_NB", 0),)
UNLOCK: Final = (getattr(fcntl, "LOCK_UN", 0),)
LOCKED_BYTE: Final = (1, 0)
_monotonic: Final = time.monotonic
# macOS and Linux use EAGAIN; POSIX allows both.
_IS_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES})

#: Lines of this process that were written without the lock of their pipe, because another
#: process kept it.
unlocked: Final = Tally()


class PipeLock:
    """The lock of one pipe, and whether other processes write to the pipe.

    Attributes:
        is_shared: Whether other processes do. Then every line is written under the lock, and
            not only long ones.
        due: When to look for other processes again, by ``time.monotonic()``.
        between_interpreters: The lock between the interpreters of this process; None if there
            is one interpreter only, or the system has no such lock.
        is_in_use: Whether a frame of this process takes the lock, or has it, and will release
            it. A signal handler that logs meanwhile leaves the lock to that frame.

    Args:
        descriptor: A descriptor of the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_lockable = True
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Set the mark and take the lock anew: the child of a fork inherits neither."""
        # Since when another process holds the lock, as far as this one knows.
        self._held_since: float | None = None
        self._refused_at = 0.0
        self.is_shared = True
        self.is_in_use = False
        self.due = 0.0
        self._marked_at: float | None = None
        self.between_interpreters: InterpreterLock | None = None
        # Kept while there is no other interpreter: the next one may come soon.
        self._interpreter_lock: InterpreterLock | None = None
        self._has_interpreter_lock = True
        # In the main interpreter each lock looks for others. A subinterpreter waits once for
        # a line that the main one began before that.
        self._has_entered = IS_MAIN
        self._is_refused_by_interpreter = False

    def is_due(self) -> bool:
        """Return whether it is time to look for other processes; ``lock`` does so by itself."""
        return _monotonic() >= self.due

    def find_other_writers(self) -> None:
        """Set ``is_shared`` by the marks of other processes, and leave the mark of this one."""
        now = _monotonic()
        self.due = now + _FIND_EVERY_S
        try:
            # Each time: code of the application that closes any descriptor of the pipe releases
            # all locks of the process on it, and with them the mark.
            self._mark(now)
            # macOS and others have another struct flock. There each line takes the lock.
            self.is_shared = self._find_interpreters() or not HAS_FLOCK or self._has_other_marks()
        except OSError:
            self.is_shared = True

    def lock(self, *, is_long: bool, until: float | None) -> None:
        """Take the lock, if the line needs it. Taking it twice is the same as once.

        If another process has held the lock for two seconds in which the pipe took bytes, this
        one goes on without it until the lock is free again.

        Args:
            is_long: Whether the line has more bytes than the kernel writes in one piece.
            until: When the wait ends, by ``time.monotonic()``; None for no limit.

        Raises:
            TimeoutError: ``until`` has passed.
        """
        if not self._is_lockable:
            return
        if _monotonic() >= self.due:
            self.find_other_writers()
        if not (is_long or self.is_shared):
            return
        if is_long and self.is_shared:
            self._wait_until_noticed(until)
        pause = 0.0
        while not self._try_lock():
            if self._is_held_too_long():
                unlocked.add()
                return
            if until is not None and _monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "another process has the lock of the pipe")
            sleep(pause)
            pause = min(pause * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._held_since = None

    def unlock(self) -> None:
        """Release the lock; harmless if this interpreter does not hold it."""
        between = self.between_interpreters
        try:
            if between is not None and not between.try_lock():
                # Another interpreter has the record lock, which belongs to the whole process.
                return
        except (KeyError, OSError):
            # Code that closes all descriptors has released it.
            pass
        try:
            lockf(self._descriptor, *UNLOCK, *LOCKED_BYTE)
        except OSError:
            # The descriptor is closed, which released its locks.
            pass
        if between is not None:
            between.unlock()

    def _try_lock(self) -> bool:
        """Return whether this interpreter holds the lock now, or the pipe has no locks."""
        between = self.between_interpreters
        try:
            if between is not None and not between.try_lock():
                self._is_refused_by_interpreter = True
                return False
        except (KeyError, OSError):
            # Code that closes all descriptors has closed it, or the subinterpreter ends.
            self._find_interpreters()
            return False
        self._is_refused_by_interpreter = False
        try:
            if not self._has_entered:
                if has_record_lock(self._descriptor, _THE_LOCK):
                    return False
                self._has_entered = True
            lockf(self._descriptor, *LOCK, *LOCKED_BYTE)
        except OSError as error:
            if error.errno in _IS_HELD:
                return False
            # A file system or a descriptor without locks.
            self._is_lockable = False
        # After the record lock: a subinterpreter that is made later finds that taken.
        return between is not None or not self._find_interpreters()

    def _find_interpreters(self) -> bool:
        """Return whether to lock between interpreters, and set ``between_interpreters``."""
        found: InterpreterLock | None = None
        if self._has_interpreter_lock and has_several():
            found = self._interpreter_lock
            if found is None or not found.is_valid():
                found = self._interpreter_lock = InterpreterLock.of(self._descriptor)
                self._has_interpreter_lock = found is not None
        # Once, and last: a signal handler may raise before, and the lock must be released.
        self.between_interpreters = found
        return found is not None

    def _is_held_too_long(self) -> bool:
        """Return whether another process holds the lock and does not write."""
        since = self._held_since
        if since == _TOO_LONG:
            return True
        now = _monotonic()
        if since is None or now - self._refused_at > _MAX_HELD_S:
            # The first attempt, or one so late that the lock may have been free meanwhile.
            self._held_since = since = now
        self._refused_at = now
        if now - since < _POLL_S:
            # Not worth a system call: most holders release the lock by then.
            return False
        if is_writable(self._descriptor, 0) is False:
            # The holder waits for the reader; so would a write without the lock.
            self._held_since = now
            return False
        if now - since < _MAX_HELD_S:
            return False
        self._held_since = _TOO_LONG
        note(
            f"another {self._holder()} keeps the lock of the pipe: lines are written "
            "without it, and may stand within its long ones"
        )
        return True

    def _holder(self) -> str:
        """Return the holder of the lock: "process (process 7)", or less if it is not known."""
        if self._is_refused_by_interpreter:
            return "interpreter of this process"
        if not HAS_FLOCK:
            return "process"
        try:
            found = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, _THE_LOCK)
            pid = FLOCK.unpack(found)[4]
        except OSError:
            return "process"
        # 0 for a process of another namespace.
        return f"process (process {pid})" if pid > 0 else "process"

    def _mark(self, now: float) -> None:
        try:
            lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _MARKS + os.getpid())
        except BlockingIOError:
            # A process with the same pid in another namespace: its mark serves both.
            pass
        if self._marked_at is None:
            self._marked_at = now

    def _has_other_marks(self) -> bool:
        found = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, _ANY_MARK)
        return bool(FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def _wait_until_noticed(self, until: float | None) -> None:
        """Wait, once, until other processes must have found the mark of this one."""
        # Another process may be in a short write that it began before the mark, and be
        # delayed there by the scheduler or by a full pipe.
        marked_at = self._marked_at
        if marked_at is not None and marked_at + _NOTICE_S > _monotonic():
            sleep(_NOTICE_S)
            if is_writable(self._descriptor, 0) is False:
                while is_writable(self._descriptor, 0) is False:
                    if until is not None and _monotonic() >= until:
                        raise TimeoutError(
                            errno.ETIMEDOUT, "the pipe is full, and its reader stopped"
                        )
                    sleep(_POLL_S)
                sleep(_NOTICE_S)
        # Last: a wait that was interrupted is done again.
        self._marked_at = _NOTICED
