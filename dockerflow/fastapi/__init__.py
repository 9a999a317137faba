"""Dockerflow for FastAPI: a router with the four endpoints, and two middlewares.

::

    app.include_router(dockerflow.fastapi.router)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)
"""

from __future__ import annotations

from typing import Any

from dockerflow._request.missing_extra import needs_extra

with needs_extra("fastapi", "starlette", "pydantic"):
    from fastapi import APIRouter
    from fastapi.routing import APIRoute
    from starlette.routing import Match

    from dockerflow._request.app_state import live_options

    from .views import error, heartbeat, lbheartbeat, version

__all__ = ["error", "heartbeat", "lbheartbeat", "router", "version"]


class ExactRoute(APIRoute):
    """A route that a line break at the end of a path does not match."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Return whether a request is for this route."""
        if scope.get("path", "").endswith("\n"):
            return Match.NONE, {}
        return super().matches(scope)


class ErrorRoute(ExactRoute):
    """The route of ``/__error__``, which is not there if the endpoint is switched off."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Return whether a request is for this route."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            live = live_options(scope.get("app"))
            if live is not None and not live.settings().error_endpoint:
                # Here and not in the answer: FastAPI would redirect ``/__error__/`` to it.
                return Match.NONE, {}
        return match, child


#: The four endpoints, for ``include_router``, with a prefix or without.
router = APIRouter(route_class=ExactRoute)

for _view in (lbheartbeat, heartbeat, version):
    _path = f"/__{_view.__name__}__"
    router.add_api_route(_path, _view, methods=["GET", "HEAD"], include_in_schema=False)
    # For the schema only: an operation of OpenAPI has one method, and one id.
    router.add_api_route(_path, _view, methods=["GET"], tags=[])

# Not in the schema: it is for operators.
router.add_api_route(
    "/__error__",
    error,
    methods=["GET", "HEAD"],
    include_in_schema=False,
    route_class_override=ErrorRoute,
)
