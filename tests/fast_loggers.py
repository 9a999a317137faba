"""Fast loggers of structlog, and whether the fast way is open to them."""

from __future__ import annotations

import logging

from mozlog_py.structlog import FastBoundLogger
from mozlog_py.structlog.line_prefix import NOT_COMPILABLE, NOT_COMPILED


def is_prepared(log: FastBoundLogger, level: int = logging.INFO) -> bool:
    """Return whether the bound logger has its lines of a level prepared."""
    return log._prefixes[level // 10] not in (NOT_COMPILED, NOT_COMPILABLE)
