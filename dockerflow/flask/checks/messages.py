"""Upstream's older place of ``dockerflow.checks.messages``."""

import warnings

from dockerflow.checks.messages import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    STATUSES,
    WARNING,
    CheckMessage,
    Critical,
    Debug,
    Error,
    Info,
    Warning,  # noqa: A004 - upstream's name
    level_to_text,
)

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "STATUSES",
    "WARNING",
    "CheckMessage",
    "Critical",
    "Debug",
    "Error",
    "Info",
    "Warning",
    "level_to_text",
]

warnings.warn(
    "dockerflow.flask.checks.messages is deprecated, use dockerflow.checks.messages",
    DeprecationWarning,
    stacklevel=2,
)
