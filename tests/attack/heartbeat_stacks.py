"""Services with a slow check on real servers, and clients that keep their heartbeats open."""

from __future__ import annotations

import contextlib
import http.client
import select
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "field"))

from checks_stacks import Stack, serving

__all__ = [
    "CLIENTS",
    "STACKS",
    "Answer",
    "Client",
    "clients",
    "serving_stack",
    "wait_for_answers",
]

#: How many clients ask for the heartbeat at the same time.
CLIENTS = 10

_PATIENCE_S = 30.0

# The check takes as long as ``SECONDS`` says, and as long as there is a file "held".
_SYNC_CHECK = """
import os, time
from dockerflow import checks

@checks.register(timeout=60)
def slow():
    open("begun", "a").close()
    time.sleep(float(os.environ["SECONDS"]))
    while os.path.exists("held"):
        time.sleep(0.005)
    return [checks.Info("it took its time", id="shop.I001")]
"""

_ASYNC_CHECK = """
import asyncio, os
from dockerflow import checks

@checks.register(timeout=60)
async def slow():
    open("begun", "a").close()
    await asyncio.sleep(float(os.environ["SECONDS"]))
    while os.path.exists("held"):
        await asyncio.sleep(0.005)
    return [checks.Info("it took its time", id="shop.I001")]
"""

_FLASK = """
from dockerflow.flask import Dockerflow
from flask import Flask

app = Flask("shop")
app.config.update({n: os.environ[n] for n in os.environ if n.startswith("DOCKERFLOW_")})
Dockerflow(app)

@app.route("/")
def index():
    return "hello"
"""

_DJANGO = """
import django
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], DOCKERFLOW_CHECKS=[], DOCKERFLOW_HEARTBEAT_DETAILS="always",
    INSTALLED_APPS=["dockerflow.django"], LOGGING_CONFIG=None,
    MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
    ROOT_URLCONF="shop", SECRET_KEY="x" * 60, SECURE_HSTS_SECONDS=3600,
    SILENCED_SYSTEM_CHECKS=["security.W004", "security.W008"],
    **{name: os.environ[name] for name in os.environ if name.startswith("DOCKERFLOW_")},
)
django.setup()
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("hello"))]
app, asgi = get_wsgi_application(), get_asgi_application()
"""

_WSGI = """
from dockerflow.wsgi import DockerflowWSGI

def shop(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

app = DockerflowWSGI(shop)
"""

_FASTAPI = """
from dockerflow.fastapi import router
from dockerflow.settings import NAMES
from fastapi import FastAPI

asgi = FastAPI()
for name in NAMES:
    if name in os.environ:
        setattr(asgi.state, name, os.environ[name])
asgi.include_router(router)

@asgi.get("/")
async def index():
    return "hello"
"""

_ASGI = """
from dockerflow.asgi import DockerflowASGI

async def shop(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

asgi = DockerflowASGI(shop)
"""

_SANIC = """
from dockerflow.sanic import Dockerflow
from sanic import Sanic
from sanic.response import text

app = Sanic("shop")
app.config.update({n: os.environ[n] for n in os.environ if n.startswith("DOCKERFLOW_")})
Dockerflow(app)

@app.get("/")
async def index(request):
    return text("hello")
"""

_WAITRESS = ["-m", "waitress", "--listen=127.0.0.1:PORT", "--threads=4", "shop:app"]
_GUNICORN = ["-m", "gunicorn", "-b", "127.0.0.1:PORT", "--graceful-timeout", "2"]
_GTHREAD = [*_GUNICORN, "-k", "gthread", "--threads", "4", "shop:app"]
_UVICORN = ["-m", "uvicorn", "--port", "PORT", "--no-access-log", "shop:asgi"]
_GRANIAN = ["-m", "granian", "--port", "PORT", "--no-access-log"]

#: By name, the application and the server's command.
STACKS: dict[str, tuple[str, list[str]]] = {
    "waitress, Flask": (_SYNC_CHECK + _FLASK, _WAITRESS),
    "waitress, Django": (_SYNC_CHECK + _DJANGO, _WAITRESS),
    "waitress, WSGI, async check": (_ASYNC_CHECK + _WSGI, _WAITRESS),
    "gunicorn gthread, Flask": (_SYNC_CHECK + _FLASK, _GTHREAD),
    "gunicorn gthread, Django, async check": (_ASYNC_CHECK + _DJANGO, _GTHREAD),
    "gunicorn gevent, Flask": (_SYNC_CHECK + _FLASK, [*_GUNICORN, "-k", "gevent", "shop:app"]),
    "uvicorn, FastAPI": (_SYNC_CHECK + _FASTAPI, _UVICORN),
    "uvicorn, Django, async check": (_ASYNC_CHECK + _DJANGO, _UVICORN),
    "uvicorn, ASGI, async check": (_ASYNC_CHECK + _ASGI, _UVICORN),
    "Sanic": (
        _SYNC_CHECK + _SANIC,
        ["-m", "sanic", "shop:app", "--port", "PORT", "--single-process", "--no-access-logs"],
    ),
    "granian, WSGI": (
        _SYNC_CHECK + _WSGI,
        [*_GRANIAN, "--interface", "wsgi", "--blocking-threads", "4", "shop:app"],
    ),
    "granian, FastAPI": (
        _ASYNC_CHECK + _FASTAPI, [*_GRANIAN, "--interface", "asgi", "shop:asgi"]
    ),
}  # fmt: skip


class Answer(NamedTuple):
    """What a server has answered."""

    status: int
    headers: dict[str, str]
    body: bytes


# Connections that are to be closed with the server, whatever a test makes of them.
_made: list[Client] = []


class Client:
    """One request on a connection of its own, and its answer when it is asked for."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        self._connection.request("GET", path)
        _made.append(self)

    @property
    def is_open(self) -> bool:
        """Whether the answer is still to be read."""
        return self._connection.sock is not None

    @property
    def is_answered(self) -> bool:
        """Whether the answer has begun to come."""
        return self.is_open and bool(select.select([self._connection.sock], [], [], 0)[0])

    def answer(self) -> Answer:
        """Wait for the answer, and return it."""
        with contextlib.closing(self._connection):
            response = self._connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    def leave(self) -> None:
        """Close the connection without the answer."""
        self._connection.close()


@contextlib.contextmanager
def serving_stack(
    folder: Path, name: str, settings: Mapping[str, str], seconds: float = 0.0
) -> Iterator[Stack]:
    """Serve one of ``STACKS`` until the block is left.

    Args:
        folder: where its files are: "held" holds the check while it is there,
            "begun" is made by a check that begins.
        name: which one.
        settings: ``DOCKERFLOW_*`` settings.
        seconds: how long the check takes when nothing holds it.
    """
    source, command = STACKS[name]
    environment = {**settings, "SECONDS": str(seconds)}
    with serving(folder, source, command, environment) as stack:
        try:
            yield stack
        finally:
            while _made:
                _made.pop().leave()


def clients(port: int, count: int = CLIENTS) -> list[Client]:
    """Return so many clients that have asked for the heartbeat."""
    return [Client(port, "/__heartbeat__") for _ in range(count)]


def wait_for_answers(asking: list[Client], count: int) -> list[Client]:
    """Wait until at least so many clients are answered, and return those that are."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        answered = [client for client in asking if client.is_answered]
        if len(answered) >= count:
            return answered
        assert time.monotonic() < until, f"{len(answered)} of {count} clients are answered"
        time.sleep(0.005)
