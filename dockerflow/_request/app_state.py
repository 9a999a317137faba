"""The settings and the endpoints' state of one application of Starlette or FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dockerflow._request.options import MiddlewareOptions, Options, ReloadingOptions
from dockerflow._request.rate_limit import RateLimit
from dockerflow.asgi import DockerflowASGI, Receive, Scope, Send
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import SettingsError

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

__all__ = ["KEY", "AppStateLayer", "error_limit", "live_options", "lookup"]

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


def live_options(
    app: Any, policy: RequestIdPolicy | None = None, *, raises: bool = False
) -> ReloadingOptions | None:
    """Return the options of an application, None where it has no state to hold settings.

    Args:
        app: The application of a scope.
        policy: How ids are found, where the settings do not say that. Options with a policy
            are made anew by each call.
        raises: Whether a bad setting is an error; otherwise it is logged, and has its default.

    Raises:
        SettingsError: If a setting is bad and ``raises``.
    """
    state = getattr(app, "state", None)
    if state is None:
        return None
    get = lookup(state)
    live: ReloadingOptions | None = get(KEY) if policy is None else None
    if live is None:
        live = ReloadingOptions(
            get, policy, raises=raises, names=lambda: _names_of(state), where="app.state"
        )
        if policy is None:
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


class AppStateLayer(DockerflowASGI):
    """A middleware with the settings of the application that the scope of a request names.

    ``app``: what it is around. Other options are those of ``DockerflowASGI``; with
    ``settings`` it does not look at the application.
    """

    def __init__(self, app: Any, **options: Unpack[MiddlewareOptions]) -> None:
        super().__init__(app, **options)
        self._policy = options.get("request_id")
        self._has_settings = options.get("settings") is not None
        # Whether the options are those that all layers of the application have.
        self._is_shared = self._policy is None and not self._has_settings
        self._own_live: ReloadingOptions | None = None

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; at the start, refuse a bad setting."""
        if scope["type"] == "lifespan":
            try:
                self._live_of(scope.get("app"), raises=True)
            except SettingsError as error:
                await receive()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        await self.app(scope, receive, send)

    def _live_of(self, app: Any, *, raises: bool = False) -> ReloadingOptions | None:
        """Return the options of the application, None where its settings do not count."""
        if self._has_settings:
            return None
        if self._policy is None:
            return live_options(app, raises=raises)
        if self._own_live is None:
            self._own_live = live_options(app, self._policy, raises=raises)
        return self._own_live

    def _options_of(self, scope: Scope) -> Options:
        live: ReloadingOptions | None = None
        if self._is_shared:
            try:
                # Nearly always there; _live_of() takes longer to find the same.
                live = scope["app"].state._state[KEY]  # noqa: SLF001
            except (AttributeError, KeyError):
                pass
        if live is None:
            live = self._live_of(scope.get("app"))
        return self._options if live is None else live.now()
