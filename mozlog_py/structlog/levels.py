"""The levels of bound loggers: their names, their methods' names, and which are enabled."""

from __future__ import annotations

import logging
from typing import Any, Final

from .other_handlers import nearest_logger

__all__ = ["ALIASES", "LEVELS_BY_METHOD", "METHODS_BY_LEVEL", "METHOD_NAMES", "level_of"]

#: The levels that have a method, by the name of that.
LEVELS_BY_METHOD: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: Further names that structlog has for those methods.
ALIASES: Final = {"err": "error", "fatal": "critical", "msg": "info", "warn": "warning"}
#: The names of all methods that log at a level of their own.
METHOD_NAMES: Final = (*LEVELS_BY_METHOD, *ALIASES, "exception")
#: The methods' names, by level.
METHODS_BY_LEVEL: Final = {level: name for name, level in LEVELS_BY_METHOD.items()}


def level_of(logger: Any) -> int:
    """Return the lowest level that is enabled for the ``logging`` logger of the same name."""
    level = nearest_logger(getattr(logger, "name", None)).getEffectiveLevel()
    return max(level, logging.root.manager.disable + 1)
