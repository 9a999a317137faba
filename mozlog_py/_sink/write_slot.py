"""Whose turn it is to write: one line at a time, and no lock that anybody can be left with.

There is a place for one cell (see ``destination``), and whose cell stands in it may
write. Taking the place is one C call, ``dict.setdefault``, that neither waits
nor can be interrupted half way; who finds it taken leaves the line in a queue
that the writing thread empties, and waits until its line is written. The short
way of a write leaves its count beside the cell, which costs less than in it.

Who is interrupted for good in the middle leaves a cell behind. Whoever comes
next sees that no frame of any thread works on it any more, and finishes it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

from .destinations import PendingWrite, is_complete

__all__ = ["QueuedWrite", "WriteSlot", "mark_as_written", "owns_writes"]

_OWNER: Final = 0
_COUNT: Final = 1
#: Seconds. How long a thread sleeps that waits for another to write its line,
#: for each thread that waits; and after how long it looks what keeps the other.
_NAP_S: Final = 0.001
_LONGEST_NAP_S: Final = 0.008
_LOOK_AFTER_S: Final = 0.02

#: The code of the functions that take a turn, by its id: code may be equal to that of other
#: functions, and names of functions, variables or modules change.
_OWNERS: Final[dict[int, CodeType]] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def owns_writes(function: _Function) -> _Function:
    """Register a function that keeps the cell of its write in one of its variables.

    A cell that no frame of such a function refers to any more is an abandoned write, which
    the next thread completes. A function that takes the place with a cell and is not
    registered has its writes taken for abandoned while it is at work. One that is
    registered must have no other thread's cell in a variable: that would never be completed.
    """
    code: CodeType = function.__code__
    _OWNERS[id(code)] = code
    return function


class QueuedWrite:
    """One line in the queue, or several that go together, and what became of it."""

    __slots__ = ("is_deferred", "is_written", "line", "lines", "pending", "pid", "wake")

    def __init__(
        self, line: bytes, *, lines: list[bytes] | None = None, is_deferred: bool = False
    ) -> None:
        self.line = line
        #: What it is made of, to be counted one by one.
        self.lines = [line] if lines is None else lines
        #: The cell that the line is on its way in, among others perhaps.
        self.pending: PendingWrite = [line]
        #: None until that is known.
        self.is_written: bool | None = None
        #: Nobody waits for it.
        self.is_deferred = is_deferred
        self.wake: Any = None
        self.pid: Final = os.getpid()


class WriteSlot:
    """The place for the cell whose turn it is, and the queue for it."""

    def __init__(self) -> None:
        #: The cell whose turn it is at 0, and at 1 what its first write took, if it
        #: was the short way's.
        self.slot: Final[dict[int, Any]] = {}
        #: ``try_acquire(0, cell) is cell``: it is this cell's turn.
        self.try_acquire: Final = self.slot.setdefault
        self.queue: Final[deque[QueuedWrite]] = deque()
        self._mending = threading.Lock()
        self._pid = os.getpid()

    def release(self, pending: PendingWrite) -> None:
        """Let others have their turn; nothing where it is not this cell's."""
        if self.slot.get(_OWNER) is pending:
            self.slot.clear()

    def fold_in_count(self, pending: PendingWrite) -> None:
        """Put into a cell what stands beside it."""
        if len(pending) == 1 and self.slot.get(_OWNER) is pending and _COUNT in self.slot:
            pending.append(self.slot[_COUNT])

    def is_reentrant(self, owner: PendingWrite) -> bool:
        """Return whether this thread is writing ``owner``, further down its stack."""
        return _is_in_hand(sys._getframe(1), owner)  # noqa: SLF001

    def wait_briefly(self, queued: QueuedWrite, since: float) -> float:
        """Wait a little for a ticket's line; give since when to count from the next time on."""
        wake = queued.wake
        if wake is None:
            wake = threading.Lock()
            wake.acquire()
            queued.wake = wake
            if queued.is_written is not None:
                return since
        length = min(_NAP_S * (1 + len(self.queue)), _LONGEST_NAP_S)
        if wake.acquire(timeout=length):
            return since
        now = time.monotonic()
        if now - since < _LOOK_AFTER_S:
            return since
        self.recover_abandoned()
        return now

    def recover_abandoned(self) -> None:
        """Take over what was left behind, by an interrupted call or in a forked process."""
        if os.getpid() != self._pid:
            # Forked past Python's own hooks.
            self.reset_after_fork()
            return
        slot: dict[int, PendingWrite] = self.slot
        owner = slot.get(_OWNER)
        if owner is None or any(
            _is_in_hand(frame, owner)
            for frame in sys._current_frames().values()  # noqa: SLF001
        ):
            return
        if not self._mending.acquire(blocking=False):
            return
        try:
            if slot.get(_OWNER) is owner:
                self.fold_in_count(owner)
                left = QueuedWrite(b"", is_deferred=True)
                left.line, left.lines, left.pending = owner[0], [owner[0]], owner
                # A daemon thread that ended with the interpreter, on its way back
                # from a write that nothing was recorded of, has written it.
                is_left = not is_complete(owner) and not sys.is_finalizing()
                if sys.is_finalizing():
                    for queued in list(self.queue):
                        if queued.pending is owner:
                            queued.is_written = True
                if is_left and all(one.pending is not owner for one in list(self.queue)):
                    self.queue.appendleft(left)
                # Ours from here on; the next to write begins with the queue.
                slot.clear()
        finally:
            self._mending.release()

    def reset_after_fork(self) -> None:
        """Begin anew in the child of a fork: what is on its way is the parent's to finish."""
        self._pid = os.getpid()
        self._mending = threading.Lock()
        owner = self.slot.get(_OWNER)
        if owner is not None:
            mark_as_written(owner)
        self.slot.clear()
        for queued in list(self.queue):
            if queued.pid != self._pid:
                mark_as_written(queued.pending)
                queued.is_written = True


def mark_as_written(pending: PendingWrite) -> None:
    """Make a cell one that nothing is left of to write, for a frame that still holds it."""
    pending[:] = [b"", 0]


def _is_in_hand(frame: FrameType | None, owner: PendingWrite) -> bool:
    while frame is not None:
        if id(frame.f_code) in _OWNERS and any(
            # By identity: what a caller's line was made of may compare as it likes.
            value is owner
            for value in list(frame.f_locals.values())
        ):
            return True
        frame = frame.f_back
    return False
