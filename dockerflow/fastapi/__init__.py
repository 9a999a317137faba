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
    from dockerflow.asgi import send_reply
    from dockerflow.endpoints import ALLOWED_METHODS, NOT_FOUND

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
    """The route of ``/__error__``, which takes no method where the endpoint is switched off."""

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["method"] not in ALLOWED_METHODS:
            live = live_options(scope.get("app"))
            if live is not None and not live.settings().error_endpoint:
                await send_reply(NOT_FOUND, scope, send)
                return
        await super().handle(scope, receive, send)


#: The four endpoints; give it to ``include_router``, with a prefix or without.
router = APIRouter(route_class=ExactRoute)

for _view in (lbheartbeat, heartbeat, version):
    _path = f"/__{_view.__name__}__"
    router.add_api_route(_path, _view, methods=["GET", "HEAD"], include_in_schema=False)
    # This one is only shown: an operation of OpenAPI has one method, and one id.
    router.add_api_route(_path, _view, methods=["GET"], tags=[])

# Not shown at all: it is for who looks after the service.
router.add_api_route(
    "/__error__",
    error,
    methods=["GET", "HEAD"],
    include_in_schema=False,
    route_class_override=ErrorRoute,
)
