"""One small application in each framework, bare and with dockerflow's middleware.

Each is called as its server calls it, in this process: nothing of a socket or of
a server's own work is in the times. Upstream and we are installed alike, by the
names that both have; only the bare cores are ours alone.
"""

from __future__ import annotations

import importlib
import io
import logging
import sys
import types
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cases import AGENT

__all__ = [
    "BODY",
    "CORES",
    "FRAMEWORKS",
    "LANGUAGE",
    "PATH",
    "REQUEST_ID",
    "WITH_ID",
    "Application",
    "applications",
]

PATH = "/items/7"
BODY = "hi"
LANGUAGE = "en-US,en;q=0.5"

#: The frameworks that both of us are for, and what they are called.
FRAMEWORKS = {"fastapi": "FastAPI", "flask": "Flask", "django": "Django", "sanic": "Sanic"}
#: Follows the name of a framework whose requests have an id already, as behind a balancer.
WITH_ID = "+id"
REQUEST_ID = "0af76519-16cd-43dd-8448-eb211c80319c"
#: Applications without a framework, around which upstream has nothing.
CORES = {"asgi": "ASGI without a framework", "wsgi": "WSGI without a framework"}

_HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", AGENT.encode()),
    (b"accept", b"*/*"),
    (b"accept-language", LANGUAGE.encode()),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"cookie", b"theme=dark"),
]


@dataclass
class Application:
    """An application that can be sent a request."""

    #: What its server is: "asgi" or "wsgi".
    kind: str
    app: Any
    #: What it has sent as the body of the last response.
    body: bytes = b""
    #: The headers of each request.
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def request(self, _: int) -> dict[str, Any]:
        """Make a new scope or environ, as a server does."""
        headers = [*_HEADERS, *self.headers]
        return _scope(headers) if self.kind == "asgi" else _environ(headers)

    async def serve(self, request: dict[str, Any]) -> None:
        """Serve a request."""
        if self.kind == "asgi":
            await self.app(request, _receive, self._send)
            return
        body = self.app(request, _start_response)
        for part in body:
            self.body = part
        if hasattr(body, "close"):
            body.close()

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            self.body = message["body"]


async def applications(name: str, logger: logging.Logger) -> tuple[Application, Application]:
    """Make the application of that name bare, and with dockerflow logging to ``logger``."""
    name, has_id, _ = name.partition(WITH_ID)
    headers = ((b"x-request-id", REQUEST_ID.encode()),) if has_id else ()
    make = _MAKERS[name]
    bare, dressed = await make(None), await make(logger)
    kind = "wsgi" if name in ("django", "flask", "wsgi") else "asgi"
    return Application(kind, bare, headers=headers), Application(kind, dressed, headers=headers)


async def _fastapi(logger: logging.Logger | None) -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()
    if logger is not None:
        from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware

        app.add_middleware(MozlogRequestSummaryLogger, logger=logger)
        app.add_middleware(RequestIdMiddleware)

    @app.get(PATH)
    async def item() -> PlainTextResponse:
        return PlainTextResponse(BODY)

    return app


async def _flask(logger: logging.Logger | None) -> Any:
    from flask import Flask

    app = Flask("benchmark")
    if logger is not None:
        from dockerflow.flask import Dockerflow

        Dockerflow(app)

    @app.get(PATH)
    def item() -> str:
        return BODY

    return app


async def _django(logger: logging.Logger | None) -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    if not settings.configured:

        def item(_: Any) -> HttpResponse:
            return HttpResponse(BODY)

        urls: Any = types.ModuleType("benchmark_urls")
        urls.urlpatterns = [path(PATH[1:], item)]
        sys.modules[urls.__name__] = urls
        settings.configure(
            ROOT_URLCONF=urls.__name__,
            ALLOWED_HOSTS=["*"],
            LOGGING_CONFIG=None,
            INSTALLED_APPS=["dockerflow.django"],
            MIDDLEWARE=[],
        )
        django.setup()
    # A handler reads the list once, when it is made.
    settings.MIDDLEWARE = (
        [] if logger is None else ["dockerflow.django.middleware.DockerflowMiddleware"]
    )
    return WSGIHandler()


async def _sanic(logger: logging.Logger | None) -> Any:
    # At its start an application rewrites Sanic's classes, to send no signals
    # but those that it handles: each has a Sanic of its own.
    for module in [name for name in sys.modules if name.partition(".")[0] == "sanic"]:
        del sys.modules[module]
    sanic = importlib.import_module("sanic")

    app = sanic.Sanic(
        "bare" if logger is None else "dressed",
        log_config={"version": 1, "disable_existing_loggers": False},
    )
    if logger is not None:
        from dockerflow.sanic import Dockerflow

        Dockerflow(app)

    @app.get(PATH)
    async def item(_: Any) -> Any:
        return sanic.response.text(BODY)

    messages = iter([{"type": "lifespan.startup"}])

    async def receive() -> dict[str, str]:
        for message in messages:
            return message
        raise _StartedError

    async def send(_: dict[str, str]) -> None:
        pass

    try:
        await app({"type": "lifespan"}, receive, send)
    except _StartedError:
        pass
    return app


async def _asgi(logger: logging.Logger | None) -> Any:
    async def app(_: Any, __: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY.encode()})

    if logger is None:
        return app
    from dockerflow.asgi import DockerflowASGI

    return DockerflowASGI(app, logger=logger)


async def _wsgi(logger: logging.Logger | None) -> Any:
    def app(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [BODY.encode()]

    if logger is None:
        return app
    from dockerflow.wsgi import DockerflowWSGI

    return DockerflowWSGI(app, logger=logger)


_MAKERS: dict[str, Callable[[logging.Logger | None], Awaitable[Any]]] = {
    "fastapi": _fastapi,
    "flask": _flask,
    "django": _django,
    "sanic": _sanic,
    "asgi": _asgi,
    "wsgi": _wsgi,
}


class _StartedError(Exception):
    """There is nothing more to receive, and no server to end."""


def _scope(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "method": "GET",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "state": {},
    }


def _environ(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    variables = {
        f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in headers
    }
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **variables,
    }


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _start_response(*_: Any) -> Any:
    return None
