"""What a check may return, on every adapter: any iterable of messages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from checks_stacks import run_script
from drivers import ASGIDriver
from fastapi import FastAPI
from flask import Flask

from dockerflow import checks
from dockerflow.asgi import DockerflowASGI
from dockerflow.fastapi import router
from dockerflow.flask import Dockerflow
from dockerflow.settings import Settings
from dockerflow.wsgi import DockerflowWSGI

Ask = Callable[[], Any]


@pytest.fixture(autouse=True)
def no_other_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()


def flask(**settings: Any) -> Any:
    app = Flask("shop")
    app.config.update({f"DOCKERFLOW_{name.upper()}": each for name, each in settings.items()})
    Dockerflow(app)
    return app.test_client().get("/__heartbeat__").json


def fastapi(**settings: Any) -> Any:
    app = FastAPI()
    for name, each in settings.items():
        setattr(app.state, f"DOCKERFLOW_{name.upper()}", each)
    app.include_router(router)
    return json.loads(ASGIDriver(app).get("/__heartbeat__").body)


def bare(**settings: Any) -> Any:
    app = DockerflowASGI(None, settings=Settings(**settings))
    return json.loads(ASGIDriver(app).get("/__heartbeat__").body)


def bare_wsgi(**settings: Any) -> Any:
    app = DockerflowWSGI(None, settings=Settings(**settings))
    environ = {"PATH_INFO": "/__heartbeat__", "REQUEST_METHOD": "GET"}
    return json.loads(b"".join(app(environ, lambda *_: None)))


ADAPTERS = pytest.mark.parametrize("ask", [flask, fastapi, bare, bare_wsgi])


@ADAPTERS
@pytest.mark.parametrize("in_request", [False, True])
def test_generators_and_what_is_empty_are_taken(ask: Any, in_request: bool) -> None:
    @checks.register
    def warned() -> Any:
        yield checks.Warning("low", id="shop.W1")

    @checks.register
    async def warned_too() -> Any:
        return (checks.Warning(each, id=each) for each in "ab")

    for name, empty in (("braces", {}), ("text", ""), ("mapped", map(str, ())), ("set", set())):
        checks.register(lambda empty=empty: empty, name=name)
    checks.register(lambda: {"x": "fine"}, name="dict")
    checks.register(lambda: "fine", name="word")
    checks.register(lambda: None, name="none")
    payload = ask(checks_in_request=in_request)
    assert payload["checks"] == {
        "warned": "warning", "warned_too": "warning", "braces": "ok", "text": "ok",
        "mapped": "ok", "set": "ok", "dict": "error", "word": "error", "none": "error",
    }  # fmt: skip
    assert payload["details"]["warned_too"]["messages"] == {"a": "a", "b": "b"}


@ADAPTERS
def test_one_without_end_is_over_at_its_deadline(ask: Any) -> None:
    ended: list[str] = []

    @checks.register
    def endless() -> Any:
        try:
            while True:
                time.sleep(0.02)
                yield checks.Info("more", id="x")
        finally:
            ended.append("endless")

    payload = ask(check_timeout_seconds=0.1)
    assert payload["checks"] == {"endless": "error"}
    while not ended:
        time.sleep(0.01)


@ADAPTERS
def test_a_message_without_an_id_is_its_own_key(ask: Any) -> None:
    checks.register(lambda: [checks.Info("one"), checks.Info("two")], name="a")
    assert ask()["details"]["a"]["messages"] == {"one": "one", "two": "two"}


def test_djangos_own_checks_may_give_any_iterable(tmp_path: Any) -> None:
    assert (
        run_script(
            tmp_path,
            """
import json
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 60, DEBUG=True, ROOT_URLCONF=(), ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None,
    INSTALLED_APPS=["dockerflow.django"], DOCKERFLOW_CHECKS=[],
    MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
import asyncio
from django.core import checks
from django.test import AsyncClient, Client

@checks.register
def generator(app_configs, **kwargs):
    yield checks.Info("seen", id="shop.I1")

@checks.register
def texts(app_configs, **kwargs):
    return (checks.Warning(each) for each in "ab")

@checks.register
def mapping(app_configs, **kwargs):
    return {}

async def ask():
    return await AsyncClient().get("/__heartbeat__")

found = []
for answer in (Client().get("/__heartbeat__"), asyncio.run(ask())):
    levels = answer.json()["checks"]
    found.append([answer.status_code, levels["generator"], levels["texts"], levels["mapping"]])
print(json.dumps(found))
""",
        )
        == [[200, "info", "warning", "ok"]] * 2
    )
