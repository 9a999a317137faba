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

from dockerflow._request.app_state import live_options
from dockerflow._request.missing_extra import needs_extra
from dockerflow._request.options import MiddlewareOptions
from dockerflow._request.outermost import surround
from dockerflow._request.state_layer import StateLayer
from dockerflow.asgi import DockerflowASGI, Scope, Send
from dockerflow.endpoints import Endpoints, application_root
from dockerflow.version import get_version
from mozlog_py._fields.request_text import log_query_strings

with needs_extra("starlette"):
    from starlette.middleware.errors import ServerErrorMiddleware

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

__all__ = ["DockerflowMiddleware"]


class DockerflowMiddleware(StateLayer):
    """The middleware of one application; the application's start checks the settings.

    A bad setting in ``app.state`` fails the start. If the first call is a request already, the
    setting is logged, and has its default.

    Args:
        app: The application that this layer wraps; ``add_middleware`` passes it.
        **options: As for ``DockerflowASGI``. ``settings``, ``version_path`` and ``config`` replace
            what ``app.state`` has.

    Raises:
        OptionError: An option has an invalid value.
    """

    # Not that of StateLayer, which passes on each request that an outer layer has begun: here the
    # outer layer is around the whole application, and has no endpoints.
    __call__ = DockerflowASGI.__call__

    def __init__(self, app: Any, **options: Unpack[MiddlewareOptions]) -> None:
        super().__init__(app, **options)
        self._given = {name: value for name, value in options.items() if value is not None}
        self._policy = options.get("request_id")
        self._has_own_settings = "settings" in self._given
        if self._has_own_settings:
            log_query_strings(self._options.querystring)
        self._knows_app = False

    async def _answered(self, scope: Scope, send: Send, endpoints: Endpoints) -> bool:
        app = scope.get("app")
        if not self._knows_app and app is not None:
            self._knows_app = True
            endpoints = self._endpoints = self._endpoints_of(app, endpoints)
        return await super()._answered(scope, send, endpoints)

    def _endpoints_of(self, app: Any, endpoints: Endpoints) -> Endpoints:
        """Return the endpoints with what an application says in place of the environment."""
        state, changes = getattr(app, "state", None), dict[str, Any]()
        live = None if self._has_own_settings else live_options(app)
        if live is not None:
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
