"""Serve requests in which everything that a client can name is new, and measure the memory.

Run as ``python serve_new_names.py COUNT``: prints one JSON object, the growth in KiB. The
requests go to a WSGI, an ASGI and a Flask application in turns, and are logged by ``logging``
and structlog with every processor that looks at names.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import flask
import structlog

import mozlog_py
from dockerflow.asgi import DockerflowASGI
from dockerflow.flask import Dockerflow
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import context
from mozlog_py.processors import Redact, Sample, flatten

NULL = Path(os.devnull).open("wb", 0)  # noqa: SIM115 - for as long as the process lives
LOG_LEVEL = logging.INFO


def main(count: int) -> None:
    mozlog_py.configure(
        "shop",
        stream=NULL,
        strict=True,
        processors=[Sample(2, keep_from=LOG_LEVEL, key="user"), Redact(shapes=True), flatten],
    )
    # The fast logger is alone with its renderer only where there are no processors.
    fast = structlog.wrap_logger(
        structlog.BytesLogger(NULL),
        processors=[mozlog_py.structlog.MozlogRenderer()],
        wrapper_class=mozlog_py.structlog.FastBoundLogger,
    )
    logging.getLogger("shop").addFilter(Sample(2))
    serve = Service(fast)
    for _ in range(60):
        serve(Names(""))
    before = resident_kib()
    for number in range(count):
        serve(Names(f"{number}"))
    print(json.dumps({"grown_kib": resident_kib() - before, "served": serve.served}))


class Names:
    """What one client says: nothing of it was there before, and some of it is long."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self.is_long = suffix.endswith("77")

    def __call__(self, begin: str, most: int = 100_000) -> str:
        # Also one that is as long as names are remembered.
        padding = "y" * 20_000 if self.is_long else "x" * (110 if self.suffix.endswith("3") else 9)
        return f"{begin}-{padding[: most - 40]}-{self.suffix}"

    def mapping(self) -> dict[str, Any]:
        names = {self(begin): 1 for begin in ("token", "user", "field", "a.b")}
        return {**names, self("inner"): {self("password"): "x", self("list"): [self("value")]}}


class Service:
    def __init__(self, fast: Any) -> None:
        self.fast = fast
        self.logger = logging.getLogger("shop")
        self.served = 0
        flask_app = flask.Flask("shop")
        Dockerflow(flask_app)
        flask_app.add_url_rule("/<path:path>", view_func=self.view)
        flask_app.add_url_rule("/", view_func=self.view)
        wsgi_app = DockerflowWSGI(self.wsgi)
        self.asgi_app = DockerflowASGI(self.asgi)
        self.kinds = [
            lambda names: self.over_wsgi(wsgi_app, names),
            lambda names: self.over_wsgi(flask_app, names),
            self.over_asgi,
        ]
        self.ways = [self.log_json, self.log_url, self.log_bound, self.log_record, self.fail]
        self.loop = asyncio.new_event_loop()

    def __call__(self, names: Names) -> None:
        self.kinds[self.served % 3](names)

    def log(self, names: Names) -> None:
        """Do what an application does with what its client has sent."""
        self.served += 1
        context.bind(**{names("bound"): 1})
        with context.bound(**{names("block"): 1}):
            self.logger.info("%s", names("text"), extra={"body": names.mapping()})
        # One or the other, so that 10,000 requests take seconds.
        self.ways[self.served % len(self.ways)](names)
        # A logger that is named after a tenant.
        structlog.get_logger(names("tenant")).info("tenant")

    def log_json(self, names: Names) -> None:
        self.logger.info(json.dumps(names.mapping()))
        structlog.get_logger("shop").info("json", **names.mapping())

    def log_url(self, names: Names) -> None:
        url = f"https://example.com/?{names('query', 90)}=1&{names('q')}=2"
        structlog.get_logger("shop").info("url", url=url)

    def log_bound(self, names: Names) -> None:
        structlog.get_logger("shop").bind(**names.mapping()).info("bound")
        self.fast.bind(**{names("bound"): 1}).info("fast", **{names("field"): 1})

    def log_record(self, names: Names) -> None:
        """Log a line of a tenant's logger as it comes from another service."""
        told = {"name": names("record"), "levelno": 20, "levelname": "INFO"}
        logging.getLogger().handle(logging.makeLogRecord(told))

    def fail(self, names: Names) -> None:
        """Raise an exception of a class, and in code, that are made for this request."""
        kind = type(names("Error"), (ValueError,), {})
        code = compile("raise kind(text)", names("<template", 200) + ">", "exec")
        try:
            exec(code, {"kind": kind, "text": names("reason"), names("global"): 1})
        except ValueError:
            self.logger.exception("failed")
            structlog.get_logger("shop").exception("failed")

    # -- one application ----------------------------------------------------

    def view(self, path: str = "") -> str:
        self.log(flask.request.environ["names"])
        return path

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.log(environ["names"])
        start_response("200 OK", [(environ["names"]("X-Answer"), "1")])
        return [b"ok"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.log(scope["names"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    # -- its servers ----------------------------------------------------------

    def over_wsgi(self, app: Any, names: Names) -> None:
        environ = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": f"/{names('path')}",
            "QUERY_STRING": f"{names('query')}=1", "SERVER_NAME": "localhost",
            "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
            "HTTP_USER_AGENT": names("agent"), "HTTP_X_REQUEST_ID": names("id", 128),
            names("HTTP_X"): "1", "names": names,
        }  # fmt: skip
        body = app(environ, lambda status, headers, exc_info=None: print)
        b"".join(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()

    def over_asgi(self, names: Names) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            pass

        headers = [
            (name.encode(), value.encode())
            for name, value in (
                ("user-agent", names("agent")),
                ("x-request-id", names("id", 128)),
                (names("x-new").lower(), "1"),
            )
        ]
        scope = {
            "type": "http", "method": "GET", "path": f"/{names('path')}", "headers": headers,
            "query_string": f"{names('query')}=1".encode(), "names": names,
        }  # fmt: skip
        task = contextvars.copy_context().run(
            self.loop.create_task, self.asgi_app(scope, receive, send)
        )
        self.loop.run_until_complete(task)


def resident_kib() -> int:
    """Return the memory that this process has in use, once what is garbage is gone."""
    gc.collect()
    trim()
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def trim() -> None:
    """Return free memory to the kernel: what the allocator keeps says nothing."""
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        # Not the C library of GNU.
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
