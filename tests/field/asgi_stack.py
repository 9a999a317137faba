"""All ASGI applications of the field behind one server.

The first part of a path says which application is asked, and is taken off.
``control`` has no dockerflow: what it sees, the server alone is responsible for.
"""

from __future__ import annotations

import os
from typing import Any

import mozlog_py
from mozlog_py import context

mozlog_py.configure("field", format="mozlog")
context.bind(planted="before the server")

import asgi_views as views  # noqa: E402 - logging comes first
from fastapi import FastAPI  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.routing import Route, WebSocketRoute  # noqa: E402

from dockerflow import fastapi as dockerflow_fastapi  # noqa: E402
from dockerflow.asgi import DockerflowASGI  # noqa: E402
from dockerflow.fastapi.middleware import (  # noqa: E402
    MozlogRequestSummaryLogger,
    RequestIdMiddleware,
)

STACK = os.environ.get("FIELD_STACK", "")
APPS = views.APPS


def fastapi_app(**options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.state.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
    for path, endpoint in views.ENDPOINTS.items():
        app.add_api_route(path, endpoint, methods=["GET", "POST"], response_model=None)
    for path, endpoint in views.SOCKETS.items():
        app.add_api_websocket_route(path, endpoint)
    app.add_exception_handler(views.OutOfStock, views.out_of_stock)
    app.include_router(dockerflow_fastapi.router)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)
    return app


def starlette_app() -> Starlette:
    return Starlette(
        routes=[
            *(
                Route(path, endpoint, methods=["GET", "POST"])
                for path, endpoint in views.ENDPOINTS.items()
            ),
            *(WebSocketRoute(path, endpoint) for path, endpoint in views.SOCKETS.items()),
        ],
        exception_handlers={views.OutOfStock: views.out_of_stock},
    )


async def control(scope: Any, receive: Any, send: Any) -> None:
    """Say what the context is that the server starts a request in."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-own", b"1")]})
        await send({"type": "websocket.close"})
        return
    views.log.info(scope["path"][1:])
    body = b"planted" if "planted" in context.get() else b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


APPS["control"] = control
APPS["bare"] = DockerflowASGI(views.bare)
APPS["starlette"] = DockerflowASGI(starlette_app())
APPS["fastapi"] = fastapi_app()
# A handler for Exception is called by Starlette's outermost middleware.
APPS["catchall"] = fastapi_app()
APPS["catchall"].add_exception_handler(Exception, views.sorry_for_all)
# Its first request is one that fails; and nothing tells it that the server starts.
APPS["fresh"] = fastapi_app()

if STACK != "hypercorn-trio":
    import asgi_mounts

    APPS.update(asgi_mounts.applications())


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await APPS["fastapi"](scope, receive, send)
        return
    path = scope["path"]
    if path.startswith("/outer/"):
        # An outer layer of the same request, which binds fields of its own.
        context.bind(outer=path.rpartition("/")[2])
        path = path[6:]
    name, _, rest = path[1:].partition("/")
    await APPS[name]({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)
