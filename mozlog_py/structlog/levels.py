"""The levels of bound loggers: their names, their methods' names, and which are heard."""

from __future__ import annotations

import logging
from typing import Any, Final

from .other_handlers import nearest_logger

__all__ = ["ALIASES", "LEVELS", "METHODS", "NAMES", "level_of"]

#: The levels that have a method.
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: Further names of those methods, as structlog has them.
ALIASES: Final = {"err": "error", "fatal": "critical", "msg": "info", "warn": "warning"}
#: All methods that log at a level of their own.
METHODS: Final = (*LEVELS, *ALIASES, "exception")
#: The methods' names, by level.
NAMES: Final = {level: name for name, level in LEVELS.items()}


def level_of(logger: Any) -> int:
    """Return the lowest level that the standard library's logger of the same name hears."""
    level = nearest_logger(getattr(logger, "name", None)).getEffectiveLevel()
    return max(level, logging.root.manager.disable + 1)
