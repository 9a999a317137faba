"""Serialises writes to one sink without a blocking lock.

``slot[0]`` holds the write in progress. ``dict.setdefault`` acquires the slot atomically and
records its owner, so that even after an asynchronous exception the code can tell whether it
holds the slot. If the slot is taken, the line joins a queue that the owner drains (flat
combining), and the caller waits until its line is written.

If an exception abandons a write, the next caller finds that no thread's stack still refers to
it and completes it. ``docs/design/write-protocol.md`` says why it is done in this way.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

from mozlog_py._process.shared_state import is_gil_enabled, snapshot
from mozlog_py._process.unpatched import allocate_lock

from .write_bytes import PendingWrite, is_complete

__all__ = ["QueuedWrite", "WriteSlot", "mark_as_written", "owns_writes"]

_OWNER: Final = 0
#: Seconds. A waiting thread sleeps for this long at a time, for each line in the queue; at most
#: for the second; and looks for an abandoned write after the third.
_WAIT_S: Final = 0.001
_MAX_WAIT_S: Final = 0.008
_RECOVER_AFTER_S: Final = 0.02
#: Seconds between two searches for what refers to a write in progress, or for greenlets: each
#: visits all objects.
_SEARCH_EVERY_S: Final = 1.0
#: Reads of a reference count, of which the highest counts.
_COUNTS: Final = 5

#: The code objects of the functions that own writes, by their ids. Not by equality, since code
#: of other functions may be equal; and not by name, since names change.
_OWNING_CODE: Final[dict[int, CodeType]] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def owns_writes(function: _Function) -> _Function:
    """Register a function that keeps its pending write in a local variable while it owns it.

    A pending write in the slot is abandoned if no frame of such a function refers to it. Then
    the next thread completes it. Two mistakes break this:

    * A function acquires the slot and is not registered: other threads take its write for
      abandoned while it is in progress, and write it a second time.
    * A registered function keeps another thread's write in a variable: if that is abandoned,
      it is never completed.
    """
    code: CodeType = function.__code__
    _OWNING_CODE[id(code)] = code
    return function


class QueuedWrite:
    """A line in the queue, or several lines that are written together, and their state.

    Args:
        line: The bytes to write.
        lines: The lines that ``line`` consists of, to be counted one by one; by default one.
        is_deferred: Whether no caller waits for the write.
    """

    __slots__ = ("is_deferred", "is_written", "line", "lines", "pending", "pid", "wake")

    def __init__(
        self, line: bytes, *, lines: list[bytes] | None = None, is_deferred: bool = False
    ) -> None:
        self.line = line
        self.lines = [line] if lines is None else lines
        #: The pending write that the line is part of, perhaps with other lines.
        self.pending: PendingWrite = [line]
        #: None as long as the write is in progress; then whether it succeeded.
        self.is_written: bool | None = None
        self.is_deferred = is_deferred
        #: A lock that the caller waits for, and that the owner of the slot releases.
        self.wake: Any = None
        #: The process that queued the line: a forked child leaves it to its parent.
        self.pid: Final = os.getpid()


class WriteSlot:
    """The slot for the write in progress, and the queue of the writes that wait for it."""

    def __init__(self) -> None:
        #: The write in progress, at 0; empty if there is none.
        self.slot: Final[dict[int, PendingWrite]] = {}
        #: Acquires the slot for a write: ``try_acquire(0, pending) is pending``. A single C
        #: call, since a signal handler may raise between any two bytecodes.
        self.try_acquire: Final = self.slot.setdefault
        self.queue: Final[deque[QueuedWrite]] = deque()
        self._recovery_lock = threading.Lock()
        self._searched_at = 0.0
        self._pid = os.getpid()
        #: Whether the write in progress is that of a suspended greenlet of a thread that waits
        #: for it, without the locks of gevent or eventlet: it goes on only if the wait ends.
        self.waits_for_itself = False

    def release(self, pending: PendingWrite) -> None:
        """Release the slot if ``pending`` owns it; otherwise do nothing."""
        if self.slot.get(_OWNER) is pending:
            self.slot.clear()

    def is_reentrant(self, owner: PendingWrite) -> bool:
        """Return whether a frame below the caller's, in the same thread, is writing ``owner``."""
        return _is_on_stack(sys._getframe(1), owner)  # noqa: SLF001

    def wait_briefly(self, queued: QueuedWrite, since: float) -> float:
        """Wait some milliseconds for a queued write; recover an abandoned one now and then.

        Args:
            queued: The write to wait for.
            since: When the wait began, or this function looked for an abandoned write last, by
                ``time.monotonic()``.

        Returns:
            The ``since`` of the next call.
        """
        wake = queued.wake
        if wake is None:
            wake = threading.Lock()
            wake.acquire()
            queued.wake = wake
            # The owner of the slot releases no lock that it did not see.
            if queued.is_written is not None:
                return since
        length = min(_WAIT_S * (1 + len(self.queue)), _MAX_WAIT_S)
        if wake.acquire(timeout=length):
            return since
        now = time.monotonic()
        if now - since < _RECOVER_AFTER_S:
            return since
        self.recover_abandoned()
        return now

    def recover_abandoned(self) -> None:
        """Put the write in the slot at the head of the queue if its owner has abandoned it.

        An owner abandons its write if an exception ends the call between two bytecodes, or if
        its thread ends with the interpreter. The owner in a parent process abandons it in a
        child that was forked meanwhile.
        """
        if os.getpid() != self._pid:
            # A fork past Python's own hooks.
            self.reset_after_fork()
            return
        slot = self.slot
        owner = self._abandoned() if is_gil_enabled() else self._abandoned_without_gil()
        if owner is None:
            return
        if not self._recovery_lock.acquire(blocking=False):
            return
        try:
            if slot.get(_OWNER) is owner:
                abandoned = QueuedWrite(b"", is_deferred=True)
                abandoned.line, abandoned.lines, abandoned.pending = owner[0], [owner[0]], owner
                # At the end of the interpreter, a daemon thread that comes back from os.write
                # ends before the count is recorded. Its line is written.
                is_incomplete = not is_complete(owner) and not sys.is_finalizing()
                if sys.is_finalizing():
                    for queued in snapshot(self.queue):
                        if queued.pending is owner:
                            queued.is_written = True
                if is_incomplete and not [
                    one for one in snapshot(self.queue) if one.pending is owner
                ]:
                    self.queue.appendleft(abandoned)
                # Only after the line is in the queue: the next owner drains that first.
                slot.clear()
        finally:
            self._recovery_lock.release()

    def _abandoned(self) -> PendingWrite | None:
        """Return the write in the slot if no frame of a thread or greenlet owns it; else None."""
        owner = self.slot.get(_OWNER)
        frames = sys._current_frames().values()  # noqa: SLF001
        # No generators here, as in WriteQueue.
        if owner is None or [frame for frame in frames if _is_on_stack(frame, owner)]:
            self.waits_for_itself = False
            return None
        if "greenlet" not in sys.modules:
            return owner
        # The ``write`` of a stream of gevent or eventlet switches to another greenlet, and no
        # thread has the frames of the first one then. Its frames refer to the write.
        slot: dict[int, PendingWrite] = {_OWNER: [b""]}
        like = slot.get(_OWNER)
        if sys.getrefcount(owner) == sys.getrefcount(like):
            return owner
        now = time.monotonic()
        if now < self._searched_at + _SEARCH_EVERY_S:
            return None
        self._searched_at = now
        owners = [each for each, frame in _suspended() if _is_on_stack(frame, owner)]
        if not owners:
            return owner
        is_blocking = type(threading.Lock()) is type(allocate_lock())
        self.waits_for_itself = is_blocking and _thread_of(owners[0]) is _thread_of(None)
        return None

    def _abandoned_without_gil(self) -> PendingWrite | None:
        """Do as ``_abandoned`` does, but read no frame of another thread.

        Without a GIL, the variables of a frame must not be read while it runs. They count as
        references to the write all the same, and ``gc`` does not visit them. So the write is
        abandoned if ``gc`` finds all that refers to it: the slot, the queue, and frames that
        have ended and that a traceback keeps.
        """
        owner = self.slot.get(_OWNER)
        if owner is None:
            return None
        # Referred to by a slot and by a variable of this function, like a write that is abandoned.
        slot: dict[int, PendingWrite] = {_OWNER: [b""]}
        like = slot.get(_OWNER)
        # The two halves of a count are not read at once, so the highest of some counts.
        others = 0
        for _ in range(_COUNTS):
            others = max(others, sys.getrefcount(owner) - sys.getrefcount(like))
        if not others:
            return owner
        now = time.monotonic()
        if now < self._searched_at + _SEARCH_EVERY_S:
            return None
        self._searched_at = now
        found = [each for each in gc.get_referrers(owner) if each is not self.slot]
        if others > len(found):
            return None
        # A reference that was added between the count and the search explains nothing.
        is_unchanged = sys.getrefcount(owner) - sys.getrefcount(like) == others
        return owner if is_unchanged else None

    def reset_after_fork(self) -> None:
        """Release the slot in a forked child, and leave the parent's writes to the parent."""
        self._pid = os.getpid()
        # Another thread of the parent may have held it.
        self._recovery_lock = threading.Lock()
        owner = self.slot.get(_OWNER)
        if owner is not None:
            mark_as_written(owner)
        self.slot.clear()
        for queued in snapshot(self.queue):
            if queued.pid != self._pid:
                mark_as_written(queued.pending)
                queued.is_written = True


def mark_as_written(pending: PendingWrite) -> None:
    """Leave nothing of a write to be written, for a frame that still refers to it."""
    pending[:] = [b"", 0]


def _suspended() -> list[tuple[Any, FrameType]]:
    """Return the greenlets of all threads that are suspended, each with its topmost frame."""
    greenlet: Any = getattr(sys.modules.get("greenlet"), "greenlet", None)
    if greenlet is None:
        return []
    # By types: ``isinstance`` would ask each object of the process for its ``__class__``.
    found = [each for each in gc.get_objects() if issubclass(type(each), greenlet)]
    # None for a greenlet that runs, and for one that has ended.
    frames = [(each, greenlet.gr_frame.__get__(each)) for each in found]
    return [(each, frame) for each, frame in frames if frame is not None]


def _thread_of(greenlet: Any) -> Any:
    """Return the main greenlet of a greenlet's thread; of this thread for None."""
    each = sys.modules["greenlet"].getcurrent() if greenlet is None else greenlet
    while each.parent is not None:
        each = each.parent
    return each


def _is_on_stack(frame: FrameType | None, owner: PendingWrite) -> bool:
    """Return whether a frame, or one of its callers, owns a write."""
    while frame is not None:
        if id(frame.f_code) in _OWNING_CODE:
            # By identity: a variable of the caller may have any __eq__.
            for value in list(frame.f_locals.values()):
                if value is owner:
                    return True
        frame = frame.f_back
    return False
