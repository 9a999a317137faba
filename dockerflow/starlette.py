"""Dockerflow for Starlette: request ids, summaries and the four endpoints.

::

    app = Starlette(routes=...)
    app.add_middleware(DockerflowMiddleware)

Settings are read from ``app.state``: ``DOCKERFLOW_*``, and ``APP_DIR``, the folder of
``version.json`` (else that of the environment, else ``/app``).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from dockerflow._request.app_state import live_options, lookup
from dockerflow._request.missing_extra import needs_extra
from dockerflow._request.options import MiddlewareOptions, Options, ReloadingOptions
from dockerflow._request.outermost import surround
from dockerflow._request.state_layer import StateLayer
from dockerflow.asgi import DockerflowASGI, Scope, Send
from dockerflow.endpoints import Endpoints, application_root
from dockerflow.version import get_version

with needs_extra("starlette"):
    from starlette.middleware.errors import ServerErrorMiddleware

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

__all__ = ["DockerflowMiddleware"]


class DockerflowMiddleware(StateLayer):
    """The middleware of one application; the application's start checks the settings.

    ``app``: what it is around, which ``add_middleware`` gives. Other options are those of
    ``DockerflowASGI``. ``settings``, ``version_path`` and ``config`` take the place of what
    ``app.state`` says.

    A bad setting fails the start. Where the first call is a request already, it is
    logged, and has its default.
    """

    # A layer further out has begun each request, and does not answer for the endpoints.
    __call__ = DockerflowASGI.__call__

    def __init__(self, app: Any, **options: Unpack[MiddlewareOptions]) -> None:
        super().__init__(app, **options)
        self._given = {name: value for name, value in options.items() if value is not None}
        self._live: ReloadingOptions | None = None
        self._knows_app = False

    def _options_of(self, scope: Scope) -> Options:
        if self._given.keys().isdisjoint({"request_id", "settings"}):
            return super()._options_of(scope)
        state = getattr(scope.get("app"), "state", None)
        if "settings" in self._given or state is None:
            return self._options
        if self._live is None:
            policy = self._options.policy
            self._live = ReloadingOptions(lookup(state), policy, raises=False, where="app.state")
        return self._live.now()

    async def _answered(self, scope: Scope, send: Send, endpoints: Endpoints) -> bool:
        app = scope.get("app")
        if not self._knows_app and app is not None:
            self._knows_app = True
            endpoints = self._endpoints = self._endpoints_of(app, endpoints)
        return await super()._answered(scope, send, endpoints)

    def _endpoints_of(self, app: Any, endpoints: Endpoints) -> Endpoints:
        """Return the endpoints with what an application says in place of the environment."""
        live = live_options(app)
        if live is None:
            return endpoints
        state, changes = app.state, dict[str, Any]()
        if "settings" not in self._given:
            changes["settings"] = live.settings
        if "config" not in self._given:
            changes["config"] = state
        if "version_path" not in self._given:
            changes["read_version"] = lambda: get_version(
                getattr(state, "APP_DIR", None) or application_root()
            )
        return dataclasses.replace(
            endpoints, is_debug=lambda: getattr(app, "debug", False) is True, **changes
        )


surround(ServerErrorMiddleware)
