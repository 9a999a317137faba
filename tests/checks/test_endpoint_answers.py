"""The headers of each endpoint's response, and the response for an invalid version."""

from __future__ import annotations

import datetime
import decimal
import gc
import json
import logging
import os
import subprocess
import sys
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from dockerflow import endpoints
from dockerflow.version import VersionFileError, get_version

_LOGGER = logging.getLogger("test")


class TestVersion:
    @pytest.mark.parametrize("error", [ValueError("no release"), LookupError(), OSError("away")])
    def test_what_the_applications_own_function_raises_goes_on(self, error: Exception) -> None:
        def read() -> Any:
            raise error

        with pytest.raises(type(error)) as caught:
            endpoints.version(read, _LOGGER)
        assert caught.value is error

    def test_a_malformed_file_is_answered(self, caplog: pytest.LogCaptureFixture) -> None:
        def read() -> Any:
            raise VersionFileError("version.json is unusable: it is a JSON array")

        reply = endpoints.version(read, _LOGGER)
        assert reply.status == 500
        assert json.loads(reply.body) == {"error": "version.json is unusable: it is a JSON array"}

    def test_version_where_a_malformed_file_is_stays_in_the_log(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "version.json").write_text("{")
        reply = endpoints.version(lambda: get_version(tmp_path), _LOGGER)
        said = json.loads(reply.body)["error"]
        assert said.startswith("version.json is unusable: it is not valid JSON (")
        assert str(tmp_path) not in said
        assert str(tmp_path / "version.json") in caplog.text
        caplog.clear()

    def test_a_malformed_file_is_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        def read() -> Any:
            raise VersionFileError("version.json is unusable: it is a JSON array")

        endpoints.version(read, _LOGGER)
        (record,) = caplog.records
        assert record.getMessage() == (
            "The version cannot be read: version.json is unusable: it is a JSON array"
        )


class TestValuesOfAVersion:
    @pytest.mark.filterwarnings("error")
    def test_a_coroutine_is_refused_where_nothing_can_await_it(self) -> None:
        async def read() -> Any:
            return {"version": "1"}

        with pytest.raises(TypeError, match="returned an awaitable"):
            endpoints.version(read, _LOGGER)
        gc.collect()

    def test_an_awaitable_is_refused_where_nothing_can_await_it(self) -> None:
        class Later:
            def __await__(self) -> Any:
                yield

        with pytest.raises(TypeError, match="returned an awaitable"):
            endpoints.version(Later, _LOGGER)

    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_value_that_json_has_no_form_for_is_refused_beside_a_nan(
        self, is_first: bool
    ) -> None:
        found = {"a": object(), "b": float("nan")} if is_first else {"a": float("nan"), "b": print}
        with pytest.raises(TypeError, match="which is no JSON"):
            endpoints.version_of(found, is_masked=False)

    def test_a_key_that_json_has_no_form_for_is_a_text(self) -> None:
        found = {datetime.date(2026, 11, 28): 1, uuid.UUID(int=7): 2}
        reply = endpoints.version_of(found, is_masked=False)
        assert reply.status == 200
        assert json.loads(reply.body) == {"2026-11-28": 1, str(uuid.UUID(int=7)): 2}

    @pytest.mark.parametrize("value", [object(), {1, 2}, print], ids=["object", "set", "function"])
    @pytest.mark.parametrize("is_masked", [True, False])
    def test_a_value_that_json_has_no_form_for_is_refused(
        self, value: Any, is_masked: bool
    ) -> None:
        for found in (value, {"version": value}):
            with pytest.raises(TypeError, match="which is no JSON"):
                endpoints.version_of(found, is_masked=is_masked)

    def test_a_value_with_a_usual_text_is_answered(self) -> None:
        found = {
            "built": datetime.date(2026, 1, 2),
            "price": decimal.Decimal("1.50"),
            "path": PurePosixPath("/app"),
            "odd": float("nan"),
            "id": uuid.UUID(int=1),
        }
        assert json.loads(endpoints.version_of(found).body) == {
            "built": "2026-01-02",
            "price": "1.50",
            "path": "/app",
            "odd": "NaN",
            "id": "00000000-0000-0000-0000-000000000001",
        }


_SCRIPT = """
import json, logging, sys
logging.disable()
kind, folder = sys.argv[1:]
found = {}

def note(what, status, kind):
    found[what] = [status, kind]

def flask():
    from flask import Flask
    from dockerflow.flask import Dockerflow
    for root in ("full", "none"):
        app = Flask("shop")
        Dockerflow(app, version_path=f"{folder}/{root}")
        for name in ("version", "heartbeat", "lbheartbeat"):
            for method in ("GET", "HEAD"):
                answer = app.test_client().open(f"/__{name}__", method=method)
                note(f"{root} {method} {name}", answer.status_code, answer.content_type)

def django():
    import django
    from django.conf import settings
    settings.configure(
        DEBUG=True, BASE_DIR="", SECRET_KEY="x", INSTALLED_APPS=["dockerflow.django"],
        DOCKERFLOW_CHECKS="", ROOT_URLCONF=(), ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    from django.test import Client
    for root in ("full", "none"):
        settings.BASE_DIR = f"{folder}/{root}"
        for name in ("version", "heartbeat", "lbheartbeat"):
            for method in ("GET", "HEAD"):
                answer = Client().generic(method, f"/__{name}__")
                note(f"{root} {method} {name}", answer.status_code, answer["Content-Type"])

def sanic():
    import asyncio
    from sanic import Sanic
    from dockerflow.sanic import Dockerflow
    for root in ("full", "none"):
        app = Sanic(f"shop-{root}")
        Dockerflow(app, version_path=f"{folder}/{root}")
        for name in ("version", "heartbeat", "lbheartbeat"):
            for method in ("get", "head"):
                asking = getattr(app.asgi_client, method)(f"/__{name}__")
                _, answer = asyncio.run(asking)
                kind = answer.headers["content-type"]
                note(f"{root} {method.upper()} {name}", answer.status_code, kind)

{"flask": flask, "django": django, "sanic": sanic}[kind]()
print(json.dumps(found))
"""

_JSON, _HTML, _BYTES = "application/json", "text/html; charset=utf-8", "application/octet-stream"


@pytest.mark.parametrize(
    ("framework", "other"), [("flask", _HTML), ("django", _HTML), ("sanic", _BYTES)]
)
def test_the_content_type_of_each_endpoint_is_upstreams(
    tmp_path: Path, framework: str, other: str
) -> None:

    for root in ("full", "none"):
        (tmp_path / root).mkdir()
    (tmp_path / "full" / "version.json").write_text('{"version": "1"}')
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, framework, str(tmp_path)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for method in ("GET", "HEAD"):
        for root in ("full", "none"):
            assert found[f"{root} {method} heartbeat"] == [200, _JSON]
            assert found[f"{root} {method} lbheartbeat"] == [200, other]
        assert found[f"full {method} version"] == [200, _JSON]
        assert found[f"none {method} version"] == [404, other]
