"""Checks in the request's own thread and context, on every adapter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checks_stacks import run_script, serving
from drivers import ASGIDriver
from fastapi import FastAPI
from sanic import Sanic

from dockerflow import checks
from dockerflow.fastapi import router
from dockerflow.sanic import Dockerflow as SanicDockerflow

Found = list[checks.CheckMessage]


@pytest.fixture(autouse=True)
def no_other_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()


@pytest.fixture
def threads() -> dict[str, int]:
    """The thread in which each of two checks ran, by name."""
    found: dict[str, int] = {}

    @checks.register
    def sync() -> Found:
        found["sync"] = threading.get_ident()
        return []

    @checks.register
    async def coroutine() -> Found:
        await asyncio.sleep(0)
        found["coroutine"] = threading.get_ident()
        return []

    return found


@pytest.mark.parametrize("in_request", [False, True])
def test_fastapi_has_them_in_the_thread_of_the_endpoint(
    threads: dict[str, int], in_request: bool
) -> None:
    app = FastAPI()
    app.state.DOCKERFLOW_CHECKS_IN_REQUEST = in_request
    app.include_router(router)
    assert ASGIDriver(app).get("/__heartbeat__").status == 200
    here = threading.get_ident()
    assert (threads["sync"] == here, threads["coroutine"] == here) == (in_request, True)


@pytest.mark.parametrize("in_request", [False, True])
def test_sanic_has_them_in_the_thread_of_the_loop(
    threads: dict[str, int], in_request: bool
) -> None:
    app = Sanic(f"in-request-{in_request}")
    app.config["DOCKERFLOW_CHECKS_IN_REQUEST"] = in_request
    SanicDockerflow(app)
    endpoints = app.ctx.dockerflow.endpoints
    assert asyncio.run(endpoints.run_checks_async()).level == 0
    here = threading.get_ident()
    assert (threads["sync"] == here, threads["coroutine"] == here) == (in_request, True)


_DJANGO = """
import asyncio, json, logging, sys, threading
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 60, DEBUG=True, ROOT_URLCONF=(), ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None,
    INSTALLED_APPS=["django.contrib.contenttypes", "dockerflow.django"],
    MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
    DOCKERFLOW_CHECKS_IN_REQUEST=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}},
)
django.setup()
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import AsyncClient, Client
from dockerflow import checks
call_command("migrate", verbosity=0)
main = threading.get_ident()
seen = {}

@checks.register
def sync():
    seen["sync"] = threading.get_ident() == main
    return []

@checks.register
async def coroutine():
    seen["coroutine"] = threading.get_ident() == main
    await ContentType.objects.acount()
    return []

@checks.register
def asks_the_database():
    return [checks.Info(str(ContentType.objects.count()), id="x")]
"""


def test_django_has_them_in_the_thread_of_the_request_or_of_its_loop(tmp_path: Path) -> None:
    found = run_script(
        tmp_path,
        f"""{_DJANGO}
async def ask():
    return await AsyncClient().get("/__heartbeat__")

found = []
for asking in (lambda: Client().get("/__heartbeat__"), lambda: asyncio.run(ask())):
    answer = asking()
    levels = answer.json()["checks"]
    assert answer.status_code == 200, answer.json()
    # The default checks ask the database as well, which a loop's thread may not.
    names = ("sync", "coroutine", "asks_the_database", "check_database_connected")
    found.append([seen.pop("sync"), seen.pop("coroutine"), *(levels[each] for each in names)])
print(json.dumps(found))
""",
    )
    sync, asynchronous = found
    assert sync[0] is True
    assert asynchronous[:2] == [True, True]
    assert sync[2:] == asynchronous[2:] == ["ok", "ok", "info", "ok"]


@pytest.mark.parametrize("server", ["uvicorn", "daphne", "gevent"])
def test_django_answers_with_them_on_real_servers(tmp_path: Path, server: str) -> None:
    source = f"""{_DJANGO}
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
asgi, app = get_asgi_application(), get_wsgi_application()
if {server!r} == "gevent":
    # Django itself refuses the ORM in asynchronous code there, in views as well.
    @checks.register
    async def coroutine():
        await asyncio.sleep(0.001)
        return []
"""
    command = {
        "uvicorn": ["-m", "uvicorn", "--port", "PORT", "shop:asgi"],
        "daphne": ["-m", "daphne", "-p", "PORT", "shop:asgi"],
        "gevent": ["-m", "gunicorn", "-k", "gevent", "-b", "127.0.0.1:PORT", "shop:app"],
    }[server]
    with serving(tmp_path, source, command) as stack:
        for _ in range(3):
            status, payload = stack.get("/__heartbeat__")
            assert status == 200, payload
            assert payload["checks"]["coroutine"] == "ok"


def test_the_attributes_of_djangos_views_are_those_of_upstream(tmp_path: Path) -> None:
    found: Any = run_script(
        tmp_path,
        f"""{_DJANGO}
from unittest import mock
from django.test import override_settings
from dockerflow.django import views
checks.clear_checks()
checks.register(lambda: [checks.Error("x", id="x")], name="x")

def status():
    return Client().get("/__heartbeat__").status_code

def own(root):
    return {{"version": "own"}}
views.own = own
logging.disable()
assert views.logger is logging.getLogger("dockerflow.django")
found = [views.HEARTBEAT_FAILED_STATUS_CODE, views.version_callback, status()]
with mock.patch.object(views, "HEARTBEAT_FAILED_STATUS_CODE", 503):
    found.append(status())
found.append(status())
# As pytest's monkeypatch does, which puts back what it has found as an attribute.
views.HEARTBEAT_FAILED_STATUS_CODE = 500
with override_settings(DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE=504):
    found.append(status())
with mock.patch("dockerflow.django.views.version_callback", "dockerflow.django.views.own"):
    found.append(Client().get("/__version__").json())
found.append(Client().get("/__version__").status_code)
try:
    views.nothing
except AttributeError as error:
    found.append(str(error))
print(json.dumps(found))
""",
    )
    assert found == [
        500, "dockerflow.version.get_version", 500, 503, 500, 504, {"version": "own"}, 404,
        "module 'dockerflow.django.views' has no attribute 'nothing'",
    ]  # fmt: skip


def test_django_takes_an_empty_setting_for_none_and_urls_with_a_slash_for_urls(
    tmp_path: Path,
) -> None:
    assert run_script(
        tmp_path,
        f"""{_DJANGO}
from types import ModuleType
from django.core.checks.registry import registry
from django.test import override_settings
from django.urls import path
from dockerflow.django import dockerflow_view
from dockerflow.django.checks import register
from dockerflow.django.system_check import check_installation

def registered():
    registry.registered_checks = set()
    register()
    return sorted(each.__name__ for each in registry.registered_checks)

found = []
for value in ("", None, []):
    with override_settings(DOCKERFLOW_CHECKS=value):
        found.append(registered())
urls = ModuleType("urls")
urls.urlpatterns = [path("__lbheartbeat__/", dockerflow_view)]
with override_settings(MIDDLEWARE=[]):
    found.append(len(check_installation(None)))
    with override_settings(ROOT_URLCONF=urls):
        found.append(len(check_installation(None)))
print(json.dumps(found))
""",
    ) == [
        ["check_database_connected", "check_migrations_applied"],
        ["check_database_connected", "check_migrations_applied"],
        [], 1, 0,
    ]  # fmt: skip


def test_django_counts_a_migration_that_is_not_applied_whatever_tells_of_it(
    tmp_path: Path,
) -> None:
    assert run_script(
        tmp_path,
        f"""{_DJANGO}
from types import SimpleNamespace
from unittest import mock
from dockerflow.django.checks import check_migrations_applied
nodes = {{"spam": SimpleNamespace(app_label="app"), "ham": SimpleNamespace(app_label="other")}}
loader = SimpleNamespace(
    graph=SimpleNamespace(nodes=nodes), applied_migrations=["eggs"], migrated_apps=["app"]
)
found = []
with mock.patch("django.db.migrations.loader.MigrationLoader", return_value=loader):
    for configs in ([], [SimpleNamespace(label="other")], None):
        found.append([each.id for each in check_migrations_applied(configs)])
    loader.applied_migrations = ["spam"]
    found.append(check_migrations_applied([]))
print(json.dumps(found))
""",
    ) == [["dockerflow.health.W001"]] * 3 + [[]]


@pytest.mark.parametrize(
    ("pong", "level"),
    [(True, 0), (b"PONG", 0), ("PONG", 0), (b"PING", 40), ("x", 40), (False, 40), (None, 40)],
)
def test_an_answer_of_redis_that_is_malformed_is_an_error(pong: Any, level: int) -> None:
    from dockerflow.checks.redis import check_redis_connected
    from dockerflow.sanic.checks import check_redis_connected as check_async

    class Client:
        def ping(self) -> Any:
            return pong

    class AsyncClient:
        async def ping(self) -> Any:
            return pong

    checks.register_partial(check_redis_connected, Client(), name="sync")
    checks.register_partial(check_async, AsyncClient(), name="async")
    assert checks.run_checks(checks.get_checks().items()).level == level
