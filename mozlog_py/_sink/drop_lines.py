"""The lines that a full queue drops, from one of its ends: those below ERROR first.

One call drops lines at a time, and none does while a batch is taken from the queue. An exception
of a signal handler may end each of these calls anywhere: no line is lost without its count.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .loss_counter import severity_in

__all__ = ["LINE_OVERHEAD", "POLL_S", "LineDropper", "is_error", "size_of"]

Count = Callable[[bytes], object]

#: Bytes that a waiting line takes besides its own: the object and its place in the queue.
LINE_OVERHEAD: Final = 64
#: Seconds between two looks at what another thread is about to do.
POLL_S: Final = 0.001

_ERROR: Final = 3
# A call that drops lines takes some milliseconds. Polls are counted and not the time: a process
# that is stopped for a while holds the lock no longer than another one.
_MAX_POLLS: Final = 1000

_popleft: Final[Any] = deque.popleft
_pop: Final[Any] = deque.pop


def is_error(line: bytes) -> bool:
    """Return whether a line has the severity of ERROR or above."""
    severity = severity_in(line)
    return severity is not None and severity <= _ERROR


def size_of(line: bytes) -> int:
    """Return the bytes that a line takes while it waits."""
    return len(line) + LINE_OVERHEAD


class LineDropper:
    """Drops lines of a queue, and has each of them counted.

    The calls that drop lines are given ``count``, which counts one of them and must not raise: a
    method of the queue's, which this object would keep alive.

    Args:
        lines: The waiting lines, the oldest first.
        is_oldest: Whether the oldest lines are dropped, else the newest.
    """

    def __init__(self, lines: deque[bytes], *, is_oldest: bool) -> None:
        self._lines = lines
        self._take = _popleft if is_oldest else _pop
        self._put_back = lines.extendleft if is_oldest else lines.extend
        self.reset()

    def reset(self) -> None:
        """Forget what was begun, as in the child of a fork."""
        # Lines that were dropped, and are not counted yet.
        self._dropped: deque[bytes] = deque()
        # ``dict.setdefault`` acquires it for an object that only the owner has: after an
        # exception, the owner knows whether to release it.
        self._lock: dict[int, object] = {}
        # As far as is known. The next batch leaves room for others.
        self._has_only_errors = False

    def drop(self, wanted: int, count: Count, *, with_errors: bool) -> int | None:
        """Drop lines until so many bytes are free.

        Args:
            wanted: The bytes.
            count: Counts one line that was dropped.
            with_errors: Whether lines of ERROR and above are dropped as well.

        Returns:
            The bytes that are free now; None if another call drops lines or takes a batch.
        """
        if self._has_only_errors and not with_errors:
            return 0
        lines, dropped, take = self._lines, self._dropped, self._take
        freed, token = 0, object()
        kept: list[bytes] = []
        try:
            if self._lock.setdefault(0, token) is not token:
                return None
            while lines and freed < wanted:
                # In one C call, so that no exception comes between the two lists.
                dropped.extend(map(take, (lines,)))
                if not with_errors and is_error(dropped[-1]):
                    kept.extend(map(_pop, (dropped,)))
                    continue
                freed += size_of(dropped[-1])
        except IndexError:
            # A queue that is closed takes its last lines out.
            pass
        finally:
            kept.reverse()
            self._put_back(kept)
            if self._lock.get(0) is token:
                self.count_dropped(count)
                if not with_errors:
                    # Else each further line would have all of them looked at.
                    self._has_only_errors = bool(kept) and not freed
                self._lock.clear()
        return freed

    def hold(self, count: Count) -> None:
        """Have no other call drop lines until ``release``.

        A call that does not end in a second was ended by an exception: its lines are counted.

        Args:
            count: Counts one line that was dropped.
        """
        token = object()
        for _ in range(_MAX_POLLS):
            if self._lock.setdefault(0, token) is token:
                break
            time.sleep(POLL_S)
        self.count_dropped(count)

    def release(self) -> None:
        """Let lines be dropped again."""
        self._has_only_errors = False
        self._lock.clear()

    def count_dropped(self, count: Count) -> None:
        """Count the lines that were dropped; also those of a call that an exception has ended."""
        dropped = self._dropped
        # IndexError: such a call was thought to have ended, and counts as well.
        with contextlib.suppress(IndexError):
            while dropped:
                count(dropped[0])
                dropped.popleft()
