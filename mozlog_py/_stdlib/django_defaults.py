"""Levels in the configuration that Django applies after it has loaded its settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["keep_levels"]


def keep_levels(loggers: Mapping[str, Mapping[str, Any]]) -> None:
    """Write levels of loggers into Django's default configuration, where that has a level.

    A call of ``configure()`` in Django's settings comes before ``django.setup()`` applies that
    configuration, which would set these levels back.

    Args:
        loggers: The settings of loggers by name, as ``dictConfig`` takes them.
    """
    # Source: django.utils.log.configure_logging. Django imports it before the settings.
    defaults = getattr(sys.modules.get("django.utils.log"), "DEFAULT_LOGGING", None)
    known = defaults.get("loggers") if isinstance(defaults, dict) else None
    if not isinstance(known, dict):
        return
    for name, settings in loggers.items():
        if "level" in settings and isinstance(known.get(name), dict):
            known[name]["level"] = settings["level"]
