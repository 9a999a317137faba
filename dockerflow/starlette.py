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

from dockerflow._request.app_state import AppStateLayer
from dockerflow._request.missing_extra import needs_extra
from dockerflow._request.outermost import surround
from dockerflow.asgi import Scope, Send
from dockerflow.endpoints import Endpoints, application_root
from dockerflow.version import get_version

with needs_extra("starlette"):
    from starlette.middleware.errors import ServerErrorMiddleware

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

    from dockerflow._request.options import MiddlewareOptions

__all__ = ["DockerflowMiddleware"]


class DockerflowMiddleware(AppStateLayer):
    """The middleware of one application; the application's start checks the settings.

    ``app``: what it is around, which ``add_middleware`` gives. Other options are those of
    ``DockerflowASGI``. ``settings``, ``version_path`` and ``config`` take the place of what
    ``app.state`` says.

    A bad setting fails the start. Where the first call is a request already, it is
    logged, and has its default.
    """

    def __init__(self, app: Any, **options: Unpack[MiddlewareOptions]) -> None:
        super().__init__(app, **options)
        self._has_version_path = options.get("version_path") is not None
        self._has_config = options.get("config") is not None
        self._knows_app = False

    async def _answered(self, scope: Scope, send: Send, endpoints: Endpoints) -> bool:
        app = scope.get("app")
        if not self._knows_app and app is not None:
            self._knows_app = True
            endpoints = self._endpoints = self._endpoints_of(app, endpoints)
        return await super()._answered(scope, send, endpoints)

    def _endpoints_of(self, app: Any, endpoints: Endpoints) -> Endpoints:
        """Return the endpoints with what an application says in place of the environment."""
        state, changes = app.state, dict[str, Any]()
        live = self._live_of(app)
        if live is not None:
            changes["settings"] = live.settings
        if not self._has_config:
            changes["config"] = state
        if not self._has_version_path:
            changes["read_version"] = lambda: get_version(
                getattr(state, "APP_DIR", None) or application_root()
            )
        return dataclasses.replace(endpoints, is_debug=lambda: bool(app.debug), **changes)


surround(ServerErrorMiddleware, DockerflowMiddleware)
