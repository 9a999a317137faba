"""A Flask service in the company of others: OpenTelemetry, SQLAlchemy, Login, Prometheus, Sock."""

from __future__ import annotations

import logging
import os
from typing import Any

import mozlog_py

mozlog_py.configure("field", format="mozlog")

from flask import Flask, Response  # noqa: E402 - logging comes first
from flask_login import LoginManager, UserMixin, current_user, login_user  # noqa: E402
from flask_sock import Sock  # noqa: E402
from flask_sqlalchemy import SQLAlchemy  # noqa: E402
from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from prometheus_flask_exporter import PrometheusMetrics  # noqa: E402

from dockerflow.flask import Dockerflow  # noqa: E402

log = logging.getLogger("app")
flask = Flask("shop")
flask.config.update(
    SECRET_KEY="x",
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{os.environ['APP_DIR']}/shop.sqlite",
)
if os.environ["FIELD_ORDER"] == "instrumented-first":
    FlaskInstrumentor().instrument_app(flask, tracer_provider=TracerProvider())
db = SQLAlchemy(flask)
Dockerflow(flask, db=db, version_path=os.environ["APP_DIR"])
if os.environ["FIELD_ORDER"] != "instrumented-first":
    FlaskInstrumentor().instrument_app(flask, tracer_provider=TracerProvider())
PrometheusMetrics(flask)
login = LoginManager(flask)


class Order(db.Model):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)


class User(UserMixin):
    def __init__(self, uid: Any) -> None:
        self.uid = uid

    def get_id(self) -> Any:
        return self.uid


@login.user_loader
def load(uid: str) -> User:
    return User(int(uid) if uid.isdecimal() else uid)


with flask.app_context():
    db.create_all()


@flask.route("/plain")
def plain() -> str:
    log.info("serving")
    return "ok"


@flask.route("/boom")
def boom() -> str:
    log.info("serving")
    raise ValueError("the drawer is empty")


@flask.route("/stream")
def stream() -> Response:
    def parts() -> Any:
        log.info("part")
        yield b"x"

    log.info("serving")
    return Response(parts())


@flask.route("/orders")
def orders() -> str:
    db.session.add(Order())
    db.session.commit()
    log.info("serving")
    return str(db.session.query(Order).count())


@flask.route("/conflict")
def conflict() -> str:
    log.info("serving")
    db.session.add(Order(id=1))
    db.session.add(Order(id=1))
    db.session.commit()
    return "never"


@flask.route("/login/<uid>")
def log_in(uid: str) -> str:
    login_user(load(uid))
    return str(current_user.get_id())


sock = Sock(flask)


@sock.route("/socket/echo")
def echo(peer: Any) -> None:
    log.info("serving")
    peer.send(peer.receive())


def app(environ: Any, start_response: Any) -> Any:
    if environ["PATH_INFO"].startswith("/control/"):
        log.info(environ["PATH_INFO"][9:])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    return flask(environ, start_response)
