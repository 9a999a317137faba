"""Python logging levels to syslog severities, and to Cloud Logging's names."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["CLOUD_SEVERITIES", "LEAST_SEVERE", "severity"]

#: The severity of debug lines. A higher number is less severe.
LEAST_SEVERE: Final = 7

# Source: the MozLog 2.0 envelope takes syslog severities (RFC 5424, table 2);
# the bounds are the lowest Python level of each, most frequent first.
_BOUNDS: Final = ((70, 0), (60, 1), (50, 2), (40, 3), (30, 4), (25, 5), (20, 6))

#: Cloud Logging's ``LogSeverity`` names, by syslog severity.
CLOUD_SEVERITIES: Final = (
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
)


def severity(level: Any) -> int:
    """Return the syslog severity (0 to 7) of a Python logging level.

    The map is monotone: a level between two named ones has the severity of the lower one. A
    value that is not a number has severity 7 (debug). Never raises.
    """
    kind = type(level)
    # A subclass may override comparison; the base type's copy compares as a number.
    if issubclass(kind, int):
        number: int | float = int.__pos__(level)
    elif issubclass(kind, float):
        number = float.__pos__(level)
    else:
        return LEAST_SEVERE
    for bound, syslog in _BOUNDS:
        if number >= bound:
            return syslog
    return LEAST_SEVERE
