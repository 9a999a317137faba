"""The contract's application in Flask."""

import contextvars
import logging
import threading
from pathlib import Path
from typing import Any

from contract import JSON, bind
from flask import Flask, Response, abort, request

from dockerflow.flask import Dockerflow
from dockerflow.summary import add_fields

logger = logging.getLogger("app")


def application(folder: Path, settings: dict[str, Any] | None = None) -> Flask:
    app = Flask(__name__)
    app.config.update(settings or {})
    # What Flask itself says of an exception is not looked at here.
    app.logger.disabled = True
    Dockerflow(app, version_path=str(folder))

    @app.route("/", methods=["GET", "HEAD", "POST", "OPTIONS", "BREW"])
    def index() -> str:
        logger.info("serving")
        return "hello"

    @app.route("/status/<int:status>")
    def status(status: int) -> Response:
        return Response(status=status)

    @app.route("/missing")
    def missing() -> None:
        abort(404)

    @app.route("/boom")
    def boom() -> None:
        raise ValueError("boom")

    @app.route("/boom-json")
    def boom_json() -> None:
        raise ValueError(JSON)

    @app.route("/stream")
    @app.route("/stream-boom")
    def stream() -> Response:
        fails = request.path == "/stream-boom"

        def parts() -> Any:
            for part in "abc":
                logger.info("part")
                yield part
                if fails:
                    raise ValueError("boom")
            add_fields(parts=3)

        return Response(parts())

    @app.route("/facts")
    def facts() -> str:
        add_fields(user="ann", name="bob")
        return ""

    @app.route("/facts-apart")
    def facts_apart() -> str:
        here = contextvars.copy_context()
        thread = threading.Thread(target=lambda: here.run(add_fields, user="ann"))
        thread.start()
        thread.join()
        return ""

    @app.route("/bind")
    def binding() -> str:
        bind()
        return ""

    @app.route("/own-id")
    def own_id() -> Response:
        return Response(headers={"X-Request-Id": "mine"})

    @app.route("/vary")
    def vary() -> Response:
        return Response(headers={"Vary": request.headers["x-vary"]})

    @app.route("/where")
    def where() -> str:
        return request.path

    return app
