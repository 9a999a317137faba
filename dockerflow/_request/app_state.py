"""What an application's ``app.state`` holds of Dockerflow: its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .options import ReloadingOptions

__all__ = ["KEY", "live_options", "lookup"]

#: The name by which an ``app.state`` holds its options.
KEY: Final = "_dockerflow"


def lookup(state: Any) -> Callable[[str], Any]:
    """Return the function that reads a setting from an ``app.state``."""
    values = vars(state).get("_state")
    if type(values) is dict:
        # An AttributeError for each missing setting costs ten times as much.
        return values.get
    return lambda name: getattr(state, name, None)


def _names_of(state: Any) -> list[Any]:
    values = vars(state).get("_state")
    return [*(values if isinstance(values, dict) else vars(state))]


def live_options(app: Any, *, raises: bool = False) -> ReloadingOptions | None:
    """Return the options of an application; None if it has no ``state`` for settings.

    Args:
        app: The application.
        raises: Whether a bad setting raises at the first call. Otherwise it is logged, and
            its default is used.

    Raises:
        SettingsError: If ``raises``, and a setting is bad.
    """
    state = getattr(app, "state", None)
    if state is None:
        return None
    get = lookup(state)
    live: ReloadingOptions | None = get(KEY)
    if live is None:
        live = ReloadingOptions(
            get, raises=raises, names=lambda: _names_of(state), where="app.state"
        )
        setattr(state, KEY, live)
    return live
