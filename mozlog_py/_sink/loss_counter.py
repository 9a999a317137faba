"""What could not be written: how much, why, of what severity, since when."""

from __future__ import annotations

import errno
import re
import time
from datetime import datetime, timezone
from typing import Any, Final

from mozlog_py._values.sanitiser import type_name

__all__ = ["OTHERS", "LossCounter", "LossReport", "severity_in"]

#: The cause of all that were lost once there were 100 causes.
OTHERS: Final = "others"
_MAX_CAUSES: Final = 100
_SEVERITY: Final = re.compile(rb'"Severity":(\d+)')


class LossReport(int):
    """How many records were lost since it was said last, and what is known of them.

    ``by_cause``: ``ENOSPC``, ``EPIPE`` and the like, or an exception's name; beyond 100
    of them, ``others``.
    ``by_severity``: syslog's, as in the lines; None for lines without one.
    ``since_ns``: when the first of them was lost, in nanoseconds since the epoch.
    """

    by_cause: dict[str, int]
    by_severity: dict[int | None, int]
    since_ns: int

    @property
    def since(self) -> str:
        """The same as RFC 3339 has it."""
        time_ = datetime.fromtimestamp(self.since_ns / 1e9, tz=timezone.utc)
        return time_.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LossCounter:
    """Counts lost lines, for the app to read and for a line that says it."""

    def __init__(self) -> None:
        self.total = 0
        self.by_cause: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        #: How many of them no line has told of yet.
        self.unreported = 0
        self._causes: dict[str, int] = {}
        self._severities: dict[int | None, int] = {}
        self._since_ns = 0
        self._last: tuple[str, int | None] | None = None

    def add(self, error: BaseException | str, line: bytes) -> None:
        """Count one line, lost because of ``error``."""
        if not self.unreported:
            self._since_ns = time.time_ns()
        cause = error if isinstance(error, str) else _cause(error)
        severity = severity_in(line)
        self._last = cause, severity
        self.total += 1
        self.unreported += 1
        _increase(self.by_cause, cause)
        _increase(self._causes, cause)
        _increase(self._severities, severity)

    def uncount(self, cause: str, severity: int | None) -> None:
        """Uncount one line that was written after all."""
        self.total -= 1
        _decrease(self.by_cause, cause)
        if self.unreported:
            self.unreported -= 1
            _decrease(self._causes, cause)
            _decrease(self._severities, severity)

    def last(self) -> tuple[str, int | None]:
        """Give the cause and the severity of the line that was lost last."""
        return self._last or ("unknown", None)

    def take_unreported(self) -> LossReport:
        """Give what no line has told of yet; the next begin anew."""
        lost = LossReport(self.unreported)
        lost.by_cause = self._causes
        lost.by_severity = dict(sorted(self._severities.items(), key=str))
        lost.since_ns = self._since_ns
        self._begin()
        return lost

    def put_back(self, lost: LossReport) -> None:
        """Put back what could not be told."""
        self.unreported += lost
        self._since_ns = lost.since_ns
        for cause, count in lost.by_cause.items():
            _increase(self._causes, cause, count)
        for severity, count in lost.by_severity.items():
            _increase(self._severities, severity, count)

    def discard_unreported(self) -> None:
        """Leave it to the parent of a fork to tell of its own."""
        self._begin()


def severity_in(line: bytes) -> int | None:
    """Give the syslog severity that a line says it has."""
    # In the envelope, which comes before anything that a user may say.
    found = _SEVERITY.search(line[:4096])
    return int(found[1]) if found else None


def _cause(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0) or type_name(type(error))


def _increase(counts: dict[Any, int], key: object, by: int = 1) -> None:
    # Classes of exceptions may be made at run time.
    if key not in counts and len(counts) >= _MAX_CAUSES:
        key = OTHERS
    counts[key] = counts.get(key, 0) + by


def _decrease(counts: dict[Any, int], key: object) -> None:
    if key not in counts:
        key = OTHERS
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
