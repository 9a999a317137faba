"""The settings of an application of Django, read again after they were overridden."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from dockerflow._request.options import Options, ReloadingOptions
from dockerflow.settings import Settings

__all__ = ["current_options", "current_settings"]

_live: ReloadingOptions | None = None
# The object that Django replaces when settings are overridden, and the options made of it: to
# ask Django for each setting on every request is slow.
_made: tuple[Any, Options | None] = None, None


def current_options() -> Options:
    """Return the options as they are now.

    Raises:
        SettingsError: If a setting is bad; at the first call only.
    """
    global _made
    wrapped, options = _made
    if options is None or vars(settings).get("_wrapped") is not wrapped:
        options = _live_options().now()
        _made = vars(settings).get("_wrapped"), options
    return options


def current_settings() -> Settings:
    """Return the settings as they are now."""
    return _live_options().settings()


def _live_options() -> ReloadingOptions:
    global _live
    if _live is None:
        _live = ReloadingOptions(
            lambda name: getattr(settings, name, None),
            names=lambda: dir(settings),
            where="Django's settings",
            heartbeat_details="debug",
        )
    return _live
