"""The situations of a Flask application."""

from __future__ import annotations

import logging
import time
from typing import Any

import structlog
from flask import Flask, Response, abort, has_request_context, request, stream_with_context
from flask_sock import Sock

from dockerflow.flask import Dockerflow
from mozlog_py import context

log = logging.getLogger("app")


class OutOfStock(Exception):
    """What the application's own handler answers."""


class RequestInfo(logging.Filter):
    """Flask's own recipe: what a request is about, in every record that is logged in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.in_request = has_request_context()
        record.asked = request.path if has_request_context() else None  # type: ignore[attr-defined]
        return True


def bind(name: str) -> None:
    context.bind(user=name)
    structlog.contextvars.bind_contextvars(tenant=name)


def bound() -> str:
    held = context.get()
    return ",".join(str(held.get(name, "-")) for name in ("user", "tenant", "rid", "outer"))


def application(name: str = "shop") -> Flask:
    app = Flask(name)
    app.config["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
    Dockerflow(app)

    @app.errorhandler(OutOfStock)
    def sorry(error: OutOfStock) -> Any:
        log.info("sorry")
        return "sorry", 503

    @app.route("/plain")
    def plain() -> Any:
        log.info("serving")
        return "ok"

    @app.route("/binds/<name>", methods=["GET", "POST"])
    def binds(name: str) -> Any:
        log.info("begun")
        bind(name)
        log.info("bound", extra={"size": len(request.get_data())})
        return "ok"

    @app.route("/boom")
    def boom() -> Any:
        log.info("serving")
        raise ValueError("the drawer is empty")

    @app.route("/handled")
    def handled() -> Any:
        raise OutOfStock

    @app.route("/teapot")
    def teapot() -> Any:
        abort(418)

    def parts(seconds: float = 0.02, number: int = 400) -> Any:
        try:
            for _ in range(number):
                log.info("part")
                yield b"x" * 4096
                time.sleep(seconds)
        finally:
            log.info("cleaning up")

    @app.route("/stream")
    def stream() -> Any:
        bind("ann")
        return Response(parts())

    @app.route("/stream-with-context")
    def in_context() -> Any:
        bind("ann")
        return Response(stream_with_context(parts()))

    @app.route("/short-stream")
    def short_stream() -> Any:
        return Response(parts(0, 3))

    @app.route("/short-stream-with-context")
    def short_in_context() -> Any:
        return Response(stream_with_context(parts(0, 3)))

    @app.route("/stream-boom")
    def stream_boom() -> Any:
        def failing() -> Any:
            yield b"x"
            raise ValueError("the drawer is empty")

        return Response(failing())

    @app.route("/closer")
    def closer() -> Any:
        response = Response("ok")
        response.call_on_close(lambda: log.info("closing"))
        return response

    @app.route("/calls")
    def calls() -> Any:
        """Ask another path by werkzeug's client, in the view."""
        bind("caller")
        before = bound()
        answer = app.test_client().get("/binds/callee")
        log.info("back", extra={"before": before, "after": bound()})
        return answer.headers.get("X-Request-Id", "")

    @app.route("/calls-itself")
    def calls_itself() -> Any:
        bind("caller")
        before = bound()
        inner = ""
        if "inner" not in request.args:
            inner = app.test_client().get("/calls-itself?inner=1").headers["X-Request-Id"]
        log.info("back", extra={"before": before, "after": bound()})
        return inner

    @app.route("/slow")
    def slow() -> Any:
        log.info("sleeping")
        time.sleep(60)
        return "late"

    sock = Sock(app)

    @sock.route("/socket/echo")
    def echo(peer: Any) -> None:
        log.info("opening")
        while True:
            text = peer.receive()
            log.info("got %s", text)
            peer.send(text)

    @sock.route("/socket/code")
    def code(peer: Any) -> None:
        peer.close(4007)

    @sock.route("/socket/boom")
    def socket_boom(peer: Any) -> None:
        log.info("got %s", peer.receive())
        raise ValueError("the drawer is empty")

    return app
