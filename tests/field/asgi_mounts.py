"""Applications within applications, and Django: those that need asyncio."""

from __future__ import annotations

from typing import Any

import flask_site
from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from fastapi import FastAPI
from starlette.middleware.wsgi import WSGIMiddleware as StarletteWSGIMiddleware

from dockerflow.asgi import DockerflowASGI
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.wsgi import DockerflowWSGI


def applications() -> dict[str, Any]:
    """Return the applications by their names; a name says what is in what."""
    import django_site
    from asgi_stack import fastapi_app

    return {
        "django": django_site.asgi(),
        "fastapi>fastapi": mounting(fastapi_app()),
        "fastapi>django": mounting(django_site.asgi()),
        "fastapi>a2wsgi>flask": mounting(WSGIMiddleware(flask_site.application())),
        "fastapi>a2wsgi>django": mounting(WSGIMiddleware(django_site.wsgi())),
        "fastapi>starlette>flask": mounting(StarletteWSGIMiddleware(flask_site.application())),
        "asgi>django": within(DockerflowASGI(django_site.asgi())),
        "asgi>asgiref>flask": within(DockerflowASGI(WsgiToAsgi(flask_site.application()))),
        "asgi>asgiref>django": within(DockerflowASGI(WsgiToAsgi(django_site.wsgi()))),
        "asgi>asgi": within(DockerflowASGI(DockerflowASGI(fastapi_app()))),
        "asgiref>wsgi>flask": within(WsgiToAsgi(DockerflowWSGI(flask_site.application()))),
    }


def mounting(inner: Any) -> Any:
    """Mount an application under ``/old`` in one of FastAPI."""
    app = FastAPI()
    app.mount("/old", inner)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)
    return app


def within(app: Any) -> Any:
    """Take ``/old`` off, where nothing is mounted, so that all are asked alike."""

    async def without_prefix(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/old")
        await app({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    return without_prefix
