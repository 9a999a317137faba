"""Counts the lines that could not be written: by cause, by severity, and since when."""

from __future__ import annotations

import errno
import time
from datetime import datetime, timezone
from typing import Any, Final

from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._process.shared_state import PATIENCE_S, CountLock
from mozlog_py._values.class_lookup import type_name

__all__ = ["OTHERS", "LossCounter", "LossReport", "severity_in"]

#: The cause that losses are counted under once there are 100 other causes.
OTHERS: Final = "others"
_MAX_CAUSES: Final = 100
_SEVERITY: Final = lazy_pattern(rb'"Severity":(\d+)')


class LossReport(int):
    """The number of lines that were lost since the last report, with details.

    Attributes:
        by_cause: Lines by cause: ``ENOSPC``, ``EPIPE`` and the like, or an exception's name;
            beyond 100 causes, ``others``.
        by_severity: Lines by syslog severity; None for lines without one.
        since_ns: When the first of them was lost, in nanoseconds since the epoch.
    """

    by_cause: dict[str, int]
    by_severity: dict[int | None, int]
    since_ns: int

    @property
    def since(self) -> str:
        """``since_ns`` as an RFC 3339 time in UTC, with milliseconds."""
        time_ = datetime.fromtimestamp(self.since_ns / 1e9, tz=timezone.utc)
        return time_.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LossCounter:
    """Counts lost lines in total, for the application, and since the last report.

    Any thread may lose a line: one that cannot queue it owns no write slot. The counts are exact.
    """

    def __init__(self) -> None:
        self._lock = CountLock()
        self.total = 0
        self._by_cause: dict[str, int] = {}
        # Those of ``total`` and ``unreported`` that have no cause and no severity yet.
        self._at_stack_end = 0
        self._begin()

    def _begin(self) -> None:
        #: Lost lines that no report has covered yet.
        self.unreported = 0
        #: The same by cause, and by severity.
        self.unreported_causes: dict[str, int] = {}
        self.unreported_severities: dict[int | None, int] = {}
        #: When the first of them was lost, in nanoseconds since the epoch.
        self.since_ns = 0

    @property
    def by_cause(self) -> dict[str, int]:
        """The lost lines by cause, for the application."""
        with self._lock:
            self._describe_stack_end()
            return dict(self._by_cause)

    def add(self, error: BaseException | str, line: bytes) -> None:
        """Count one lost line.

        Args:
            error: The cause: an exception, or a text such as ``queue full``.
            line: The line, whose severity is counted; empty if it is not known.
        """
        cause, severity = described(error, line)
        with self._lock:
            if not self.unreported:
                self.since_ns = time.time_ns()
            self.total += 1
            self.unreported += 1
            _increase(self._by_cause, cause)
            _increase(self.unreported_causes, cause)
            _increase(self.unreported_severities, severity)

    def add_at_stack_end(self) -> None:
        """Count one line that was lost at the end of the stack, with ``RecursionError`` as cause.

        ``add`` calls functions, for which the stack has no room. This method calls none that is
        written in Python. The cause is counted when the counts are read, within the same bound.

        Raises:
            RecursionError: The stack has no room for this method either. The line is not counted.
        """
        lock = self._lock.lock
        # Without the lock after a while, which only an abandoned one takes.
        is_locked = lock.acquire(timeout=PATIENCE_S)
        try:
            if not self.unreported:
                self.since_ns = time.time_ns()
            self.total += 1
            self.unreported += 1
            self._at_stack_end += 1
        finally:
            if is_locked:
                lock.release()

    def _describe_stack_end(self) -> None:
        """Count the causes of the lines that the end of the stack has lost; with the lock."""
        count, self._at_stack_end = self._at_stack_end, 0
        if count:
            _increase(self._by_cause, RecursionError.__name__, count)
            _increase(self.unreported_causes, RecursionError.__name__, count)
            _increase(self.unreported_severities, None, count)

    def uncount(self, cause: str, severity: int | None) -> None:
        """Take back one lost line, which was written after all.

        Args:
            cause: The cause of the loss, as ``described`` returns it.
            severity: The severity of the line.
        """
        with self._lock:
            self._describe_stack_end()
            self.total -= 1
            _decrease(self._by_cause, cause)
            if self.unreported:
                self.unreported -= 1
                _decrease(self.unreported_causes, cause)
                _decrease(self.unreported_severities, severity)

    def take_unreported(self) -> LossReport:
        """Return a report of the losses since the last one, and count from 0 again."""
        with self._lock:
            self._describe_stack_end()
            lost = LossReport(self.unreported)
            lost.by_cause = self.unreported_causes
            lost.by_severity = dict(sorted(self.unreported_severities.items(), key=str))
            lost.since_ns = self.since_ns
            self._begin()
        return lost

    def put_back(self, lost: LossReport) -> None:
        """Count the losses of a report that could not be written as unreported again."""
        with self._lock:
            self.unreported += lost
            self.since_ns = lost.since_ns
            for cause, count in lost.by_cause.items():
                _increase(self.unreported_causes, cause, count)
            for severity, count in lost.by_severity.items():
                _increase(self.unreported_severities, severity, count)

    def discard_unreported(self) -> None:
        """Leave unreported losses to the parent, in the child of a fork."""
        self._lock.reset_after_fork()
        self._describe_stack_end()
        self._begin()


def described(error: BaseException | str, line: bytes) -> tuple[str, int | None]:
    """Return the cause and the severity by which the loss of a line is counted.

    Args:
        error: The cause: an exception, or a text such as ``queue full``.
        line: The line; empty if it is not known.
    """
    return error if isinstance(error, str) else _cause(error), severity_in(line)


def severity_in(line: bytes) -> int | None:
    """Return the syslog severity of a line's envelope; None if it has none."""
    # The envelope comes before anything that a client may have sent.
    found = _SEVERITY.search(line[:4096])
    return int(found[1]) if found else None


def _cause(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0) or type_name(type(error))


def _increase(counts: dict[Any, int], key: object, by: int = 1) -> None:
    # An application may create exception classes at run time.
    if key not in counts and len(counts) >= _MAX_CAUSES:
        key = OTHERS
    counts[key] = counts.get(key, 0) + by


def _decrease(counts: dict[Any, int], key: object) -> None:
    if key not in counts:
        key = OTHERS
    left = counts.pop(key, 0) - 1
    # None is left where a report has covered the loss meanwhile.
    if left > 0:
        counts[key] = left
