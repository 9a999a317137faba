"""All WSGI applications of the field behind one server.

The first part of a path says which application is asked, and is taken off.
``control`` has no dockerflow: what it sees, the server alone is responsible for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import Any

import structlog

import mozlog_py
from mozlog_py import context

mozlog_py.configure("field", format="mozlog")
context.bind(planted="before the server")

import django_site  # noqa: E402 - logging comes first
import flask_site  # noqa: E402

from dockerflow.wsgi import DockerflowWSGI  # noqa: E402

STACK = os.environ.get("FIELD_STACK", "")
APPS: dict[str, Any] = {}

log = logging.getLogger("app")


def control(environ: Any, start_response: Any) -> Any:
    log.info(environ["PATH_INFO"][1:])
    body = b"planted" if "planted" in context.get() else b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def bare(environ: Any, start_response: Any) -> Any:
    """Serve the situations without a framework."""
    name, _, rest = environ["PATH_INFO"][1:].partition("/")
    if name == "binds":
        log.info("begun")
        context.bind(user=rest)
        structlog.contextvars.bind_contextvars(tenant=rest)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        log.info("bound")
    elif name == "boom":
        log.info("serving")
        raise ValueError("the drawer is empty")
    elif name == "stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _parts()
    elif name == "stream-boom":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _failing()
    elif name == "slow":
        log.info("sleeping")
        time.sleep(60)
    elif name == "socket":
        return _socket(environ, start_response)
    elif name == "calls":
        return _calls(start_response)
    else:
        log.info("serving")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def _parts() -> Any:
    context.bind(user="ann")
    structlog.contextvars.bind_contextvars(tenant="ann")
    try:
        for _ in range(400):
            log.info("part")
            yield b"x" * 4096
            time.sleep(0.02)
    finally:
        log.info("cleaning up")


def _failing() -> Any:
    yield b"x"
    raise ValueError("the drawer is empty")


def _socket(environ: Any, start_response: Any) -> Any:
    """Echo over a socket that the server hands over, and end as its kind of server wants."""
    from simple_websocket import ConnectionClosed, Server

    log.info("opening")
    peer = Server.accept(environ)
    with contextlib.suppress(ConnectionClosed):
        while True:
            text = peer.receive()
            log.info("got %s", text)
            peer.send(text)
    if peer.mode == "gunicorn":
        raise StopIteration
    return []


def _calls(start_response: Any) -> Any:
    from werkzeug.test import Client

    flask_site.bind("caller")
    before = flask_site.bound()
    answer = Client(APPS["bare"]).get("/binds/callee")
    log.info("back", extra={"before": before, "after": flask_site.bound()})
    body = answer.headers.get("X-Request-Id", "").encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


APPS["control"] = control
APPS["bare"] = DockerflowWSGI(bare)
APPS["flask"] = flask_site.application()
APPS["django"] = django_site.wsgi()

if STACK != "gunicorn-gevent":
    import wsgi_mounts  # an event loop in a thread of its own, which gevent has none of

    APPS.update(wsgi_mounts.applications())

for _name in ("app", "request.summary"):
    logging.getLogger(_name).addFilter(flask_site.RequestInfo())


def app(environ: Any, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    if path.startswith("/outer/"):
        # An outer layer of the same request, which binds fields of its own; it cleans up.
        with context.bound(outer=path.rpartition("/")[2]):
            return _serve(environ, start_response, path[6:])
    return _serve(environ, start_response, path)


def _serve(environ: Any, start_response: Any, path: str) -> Any:
    name, _, rest = path[1:].partition("/")
    environ["PATH_INFO"] = f"/{rest}"
    return APPS[name](environ, start_response)
