"""Heartbeats on servers whose threads or event loops are not the usual ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checks_stacks import serving

CHECKS = """
import asyncio, time
from dockerflow import checks

@checks.register
def sync_check():
    time.sleep(0.01)
    return []

@checks.register
async def async_check():
    # Threads, timers and sockets of the loop have to work as well.
    await asyncio.sleep(0.01)
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.01)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    server.close()
    return []

@checks.register(timeout=0.4)
async def hangs():
    await asyncio.sleep(60)

@checks.register
async def raises():
    raise LookupError("gone")
"""

FLASK = f"""
{CHECKS}
from dockerflow.flask import Dockerflow
from flask import Flask

app = Flask("shop")
Dockerflow(app)

@app.route("/")
async def index():
    await asyncio.sleep(0.01)
    return "hello"
"""

DJANGO = f"""
{CHECKS}
import django
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], DATABASES={{"default": {{
        "ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}}},
    DOCKERFLOW_CHECKS=[], DOCKERFLOW_HEARTBEAT_DETAILS="always",
    INSTALLED_APPS=["dockerflow.django"],
    LOGGING_CONFIG=None, MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
    ROOT_URLCONF="shop", SECRET_KEY="x" * 60, SECURE_HSTS_SECONDS=3600,
)
django.setup()
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

async def index(request):
    await asyncio.sleep(0.01)
    return HttpResponse("hello")

urlpatterns = [path("", index)]
app, asgi = get_wsgi_application(), get_asgi_application()
"""

WSGI = f"""
{CHECKS}
from dockerflow.wsgi import DockerflowWSGI

def shop(environ, start_response):
    async def body():
        await asyncio.sleep(0.01)
        return b"hello"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [asyncio.run(body())]

app = DockerflowWSGI(shop)
"""

ASGI = f"""
{CHECKS}
from dockerflow.asgi import DockerflowASGI

async def shop(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"hello"}})

asgi = DockerflowASGI(shop)
"""

FASTAPI = f"""
{CHECKS}
from dockerflow.fastapi import router
from fastapi import FastAPI

asgi = FastAPI()
asgi.include_router(router)

@asgi.get("/")
async def index():
    return "hello"
"""

GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
from gevent.pywsgi import WSGIServer
from shop import app
WSGIServer(("127.0.0.1", int(sys.argv[1])), app).serve_forever()
"""

EVENTLET = """
import warnings
warnings.simplefilter("ignore")
import eventlet, eventlet.wsgi
eventlet.monkey_patch()
import sys
from shop import app
eventlet.wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), app)
"""

UNPATCHED_EVENTLET = EVENTLET.replace("eventlet.monkey_patch()", "")

_GUNICORN = ["-m", "gunicorn", "-b", "127.0.0.1:PORT", "--graceful-timeout", "2"]
_HYPERCORN = ["-m", "hypercorn", "-b", "127.0.0.1:PORT", "-k"]

STACKS = {
    "gunicorn gevent, Flask": (FLASK, [*_GUNICORN, "-k", "gevent", "shop:app"]),
    "gunicorn gevent, Django": (DJANGO, [*_GUNICORN, "-k", "gevent", "shop:app"]),
    "gunicorn gevent, WSGI": (WSGI, [*_GUNICORN, "-k", "gevent", "shop:app"]),
    "gevent pywsgi, Flask": (FLASK, ["server.py", "PORT"]),
    "eventlet, Flask": (FLASK, ["eventlet_server.py", "PORT"]),
    "eventlet, WSGI": (WSGI, ["eventlet_server.py", "PORT"]),
    "eventlet unpatched, Flask": (FLASK, ["unpatched.py", "PORT"]),
    "gunicorn gthread, Flask": (FLASK, [*_GUNICORN, "-k", "gthread", "shop:app"]),
    "gunicorn asgi, ASGI": (ASGI, [*_GUNICORN, "-k", "asgi", "shop:asgi"]),
    "gunicorn asgi, Django": (DJANGO, [*_GUNICORN, "-k", "asgi", "shop:asgi"]),
    "gunicorn asgi, FastAPI": (FASTAPI, [*_GUNICORN, "-k", "asgi", "shop:asgi"]),
    "daphne, Django": (DJANGO, ["-m", "daphne", "-p", "PORT", "shop:asgi"]),
    "daphne, ASGI": (ASGI, ["-m", "daphne", "-p", "PORT", "shop:asgi"]),
    "hypercorn trio, ASGI": (ASGI, [*_HYPERCORN, "trio", "shop:asgi"]),
    "hypercorn trio, FastAPI": (FASTAPI, [*_HYPERCORN, "trio", "shop:asgi"]),
    "hypercorn asyncio, Django": (DJANGO, [*_HYPERCORN, "asyncio", "shop:asgi"]),
}


def own(payload: Any) -> dict[str, str]:
    names = ("sync_check", "async_check", "hangs", "raises")
    return {name: payload["checks"][name] for name in names}


@pytest.mark.parametrize("stack", STACKS)
def test_heartbeats_answer_and_break_nothing_else(tmp_path: Path, stack: str) -> None:
    source, command = STACKS[stack]
    (tmp_path / "server.py").write_text(GEVENT)
    (tmp_path / "eventlet_server.py").write_text(EVENTLET)
    (tmp_path / "unpatched.py").write_text(UNPATCHED_EVENTLET)
    with serving(tmp_path, source, command) as served:
        for _ in range(3):
            status, body = served.get("/")
            assert (status, body) == (200, "hello"), served.log.read_text()
            status, payload = served.get("/__heartbeat__")
            assert status == 500, served.log.read_text()
            assert own(payload) == {
                "sync_check": "ok", "async_check": "ok", "hangs": "error", "raises": "error",
            }, served.log.read_text()  # fmt: skip
            (late,) = payload["details"]["hangs"]["messages"].values()
            assert "0.4 s" in late or "the check hangs" in late
            assert "DOCKERFLOW_CHECK_TIMEOUT_SECONDS" in late
            (raised,) = payload["details"]["raises"]["messages"].values()
            assert raised.startswith("the check raised LookupError")
