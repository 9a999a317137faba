"""A middleware of a framework that has ``app.state`` and lifespans, as Starlette's do."""

from __future__ import annotations

from typing import Any

from dockerflow.asgi import ASGIExchange, DockerflowASGI
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import SettingsError

from .app_state import KEY, live_options
from .coroutine_function import returns_coroutine
from .exchange import REQUEST
from .options import Options

__all__ = ["StateLayer"]


class StateLayer(DockerflowASGI):
    """A middleware with the settings of the application that is served, from ``app.state``."""

    #: The policy for ids that is used in place of the settings.
    _policy: RequestIdPolicy | None = None
    #: Whether the layer has settings that take the place of ``app.state``.
    _has_own_settings = False

    @returns_coroutine
    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Serve one connection."""
        # Tested here without a coroutine: a layer further out has begun nearly all of them.
        outer = scope.get(REQUEST)
        if isinstance(outer, ASGIExchange) and not outer.is_over:
            self._join(outer, scope)
            app = self.app
            return app(scope, receive, send)
        return super().__call__(scope, receive, send)

    async def _serve_other(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a lifespan, whose startup fails if a setting is bad, or another protocol."""
        if scope["type"] == "lifespan" and not self._has_own_settings:
            try:
                live_options(scope.get("app"), raises=True)
            except SettingsError as error:
                await receive()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                # As Starlette does: its TestClient waits for an exception.
                raise
        await self.app(scope, receive, send)

    def _options_of(self, scope: Any) -> Options:
        if self._has_own_settings:
            return self._options
        try:
            # As live_options() does, in less time: it has run for the first request.
            live = scope["app"].state._state[KEY]  # noqa: SLF001 - as vars(), in less time
        except (AttributeError, KeyError):
            live = live_options(scope.get("app"))
        if live is None:
            return self._options
        options: Options = live.now()
        return options if self._policy is None else options.with_policy(self._policy)
