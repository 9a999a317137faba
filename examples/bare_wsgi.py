"""A WSGI application without a framework: ``python examples/bare_wsgi.py``.

``PORT`` (8000), ``DATABASE`` (an SQLite file) and ``APP_DIR`` (the folder of
``version.json``) come from the environment, as do ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import os
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sqlalchemy as sa
import structlog

import mozlog_py
from dockerflow import checks
from dockerflow.checks.databases import check_engine_connected
from dockerflow.checks.disk import check_disk_space
from dockerflow.wsgi import DockerflowWSGI

log = structlog.get_logger("shop")

engine = sa.create_engine(f"sqlite:///{os.environ.get('DATABASE', 'shop.sqlite')}")
checks.register_partial(check_engine_connected, engine, name="database")
checks.register_partial(check_disk_space, os.curdir, 1 << 20, name="disk")


@checks.register("currency")
def currency_is_known(config: dict[str, str]) -> list[checks.CheckMessage]:
    if config["currency"] in ("EUR", "USD"):
        return []
    return [checks.Error(f"SHOP_CURRENCY is {config['currency']!r}", id="shop.E001")]


def shop(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not found\n"]
    with engine.connect() as connection:
        answer = connection.scalar(sa.text("SELECT 6 * 7"))
    log.info("answered", answer=answer)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"answer": %d}' % answer]


app = DockerflowWSGI(shop, config={"currency": os.environ.get("SHOP_CURRENCY", "EUR")})


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing of a request: its summary does."""


if __name__ == "__main__":
    mozlog_py.configure("shop")
    port = int(os.environ.get("PORT", "8000"))
    make_server("127.0.0.1", port, app, handler_class=Quiet).serve_forever()
