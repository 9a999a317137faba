"""The settings and the endpoints' state of one application of Starlette or FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dockerflow._request.options import ReloadingOptions
from dockerflow._request.rate_limit import RateLimit

__all__ = ["KEY", "error_limit", "live_options", "lookup"]

#: Where an ``app.state`` holds what was made of its settings.
KEY: Final = "_dockerflow"
_LIMIT_KEY: Final = "_dockerflow_error_limit"
# Of applications without a state.
_shared_limit: Final = RateLimit()


def lookup(state: Any) -> Callable[[str], Any]:
    """Return the function that reads a setting from an ``app.state``."""
    held = vars(state).get("_state")
    if type(held) is dict:
        # The attribute's error, for each setting that is not there, costs ten times as much.
        return held.get
    return lambda name: getattr(state, name, None)


def _names_of(state: Any) -> list[Any]:
    held = vars(state).get("_state")
    return [*(held if isinstance(held, dict) else vars(state))]


def live_options(app: Any, *, raises: bool = False) -> ReloadingOptions | None:
    """Return the options of an application, None where it has no state to hold settings.

    Args:
        app: The application of a scope.
        raises: Whether a bad setting is an error; otherwise it is logged, and has its default.

    Raises:
        SettingsError: If a setting is bad and ``raises``.
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


def error_limit(app: Any) -> RateLimit:
    """Return the limit by which ``/__error__`` of an application is logged."""
    state = getattr(app, "state", None)
    if state is None:
        return _shared_limit
    limit: RateLimit | None = lookup(state)(_LIMIT_KEY)
    if limit is None:
        limit = RateLimit()
        setattr(state, _LIMIT_KEY, limit)
    return limit
