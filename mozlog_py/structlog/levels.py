"""The levels of bound loggers: their names, their methods' names, and which are enabled."""

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
#: Further names that structlog has for those methods.
ALIASES: Final = {"err": "error", "fatal": "critical", "msg": "info", "warn": "warning"}
#: All methods that log at a level of their own.
METHODS: Final = (*LEVELS, *ALIASES, "exception")
#: The methods' names, by level.
NAMES: Final = {level: name for name, level in LEVELS.items()}


def level_of(logger: Any) -> int:
    """Return the lowest level that is enabled for the ``logging`` logger of the same name."""
    level = nearest_logger(getattr(logger, "name", None)).getEffectiveLevel()
    return max(level, logging.root.manager.disable + 1)
