"""The settings of an application of Django, read again after they were overridden."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

from dockerflow._request.options import Options, ReloadingOptions
from dockerflow.settings import NAMES, Settings

__all__ = ["current_options", "current_settings"]

_NAMES: Final = frozenset(NAMES)


def _lookup(name: str) -> Any:
    return getattr(settings, name, None)


class _Cached:
    """The options made of the settings: to ask Django for each on every request is slow."""

    live: ReloadingOptions | None = None
    options: Options | None = None
    #: The object that Django replaces when settings are overridden.
    wrapped: Any = None


_cached: Final = _Cached()


def current_options() -> Options:
    """Return the options as they are now.

    Raises:
        SettingsError: If a setting is bad; at the first call only.
    """
    options = _cached.options
    if options is None or vars(settings).get("_wrapped") is not _cached.wrapped:
        if _cached.live is None:
            _cached.live = ReloadingOptions(
                _lookup,
                names=lambda: dir(settings),
                where="Django's settings",
                heartbeat_details="debug",
            )
        options = _cached.options = _cached.live.now()
        _cached.wrapped = vars(settings).get("_wrapped")
    return options


def current_settings() -> Settings:
    """Return the settings as they are now."""
    current_options()
    assert _cached.live is not None  # noqa: S101 - it was just made
    return _cached.live.settings()


def _forget(setting: str, **kwargs: Any) -> None:  # noqa: ARG001
    if setting in _NAMES:
        _cached.options = None


setting_changed.connect(_forget, dispatch_uid="dockerflow")
