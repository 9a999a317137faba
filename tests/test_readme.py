"""Every Python snippet of the README is run, and what it promises is looked at."""

import importlib.metadata
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from drivers import ASGIDriver, WSGIDriver
from snippets import ROOT, snippets_of

from mozlog_py import MozlogHandler

README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
SNIPPETS = snippets_of(README)

pytestmark = pytest.mark.usefixtures("no_checks", "untouched_process")


def run(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    SNIPPETS[name].run()
    return checked_lines(capfdbinary.readouterr().out)


def test_has_no_snippet_that_is_not_run() -> None:
    assert set(SNIPPETS) == {
        "configure", "dictconfig", "servers", "uvicorn", "context", "structlog",
        "processors", "flask", "checks", "django-settings", "django-urls", "fastapi", "bare",
        "testing", "schema",
    }  # fmt: skip


def test_configure(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    SNIPPETS["configure"].run()
    lines = SNIPPETS["configure"].assert_shows(capfdbinary.readouterr().out)
    assert [line["Type"] for line in lines] == ["shop.cart"] * 2


def test_dictconfig(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (line,) = run("dictconfig", capfdbinary)
    assert line["Logger"] == "shop"
    assert line["Fields"] == {"env": "prod", "uid": "ann", "msg": "open"}


def test_servers_and_uvicorn(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("servers", capfdbinary) == run("uvicorn", capfdbinary) == []


def test_context(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    stream = io.StringIO()
    logger = logging.getLogger("shop")
    logger.addHandler(MozlogHandler(stream))
    logger.setLevel(logging.INFO)
    run("context", capfdbinary)
    assert [line["Fields"] for line in checked_lines(stream.getvalue())] == [
        {"job": "reindex", "shelf": 7, "msg": "sorted"},
        {"job": "reindex", "msg": "done"},
        {"user": "ann", "msg": "hi"},
    ]
    logger.handlers.clear()


def test_structlog(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (line,) = run("structlog", capfdbinary)
    assert line["Fields"] == {"amount": 12.5, "msg": "Ann paid"}


def test_processors(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (line,) = run("processors", capfdbinary)
    assert line["Fields"] == {"headers": {"Cookie": "[redacted]"}, "msg": "refused"}


@pytest.mark.parametrize("name", ["testing", "schema"])
def test_snippets_that_check_themselves(
    name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(name, capfdbinary) == []


ENDPOINTS = ("version", "heartbeat", "lbheartbeat", "error")


def test_flask(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    app = SNIPPETS["flask"].run()["app"]
    headers = {"User-Agent": "curl/8.5", "X-Request-Id": "8c1f0a52-6a3e-4c0a-9c55-a7a1a3b3c7d4"}
    client = app.test_client()
    with client.get("/", headers=headers) as answer:
        assert answer.headers["X-Request-Id"] == headers["X-Request-Id"]
    SNIPPETS["flask"].assert_shows(capfdbinary.readouterr().out)
    statuses = []
    for name in ENDPOINTS:
        with client.get(f"/__{name}__") as answer:
            statuses.append(answer.status_code)
    assert statuses == [404, 200, 200, 500]


def test_checks(tmp_path: Path) -> None:
    # In a process that has imported nothing else of it.
    found = json.loads(SNIPPETS["checks"].run_apart(f"""
import json, logging
logging.disable()
run = lambda folder: dockerflow.checks.run_checks(
    dockerflow.checks.get_checks().items(), config={{"UPLOADS": folder}}
)
print(json.dumps([run({str(tmp_path)!r}).statuses, run({str(tmp_path / "gone")!r}).details]))
"""))  # fmt: skip
    message = {"shop.storage.E001": "uploads cannot be written"}
    assert found == [
        {"storage": "ok"},
        {"storage": {"status": "error", "level": 40, "messages": message}},
    ]


DJANGO = """
import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"], INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE, ROOT_URLCONF="urls",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LOGGING_CONFIG=None, SECRET_KEY="of tests",
)
django.setup()
import logging
logging.disable()
from django.test import Client, override_settings
asked = lambda *names: [
    Client(raise_request_exception=False).get(f"/__{name}__").status_code for name in names
]
print(asked("version", "heartbeat", "lbheartbeat", "error"))
with override_settings(MIDDLEWARE=[]):
    print(asked("version", "heartbeat", "lbheartbeat"))
"""


@pytest.mark.slow
def test_django(tmp_path: Path) -> None:
    (tmp_path / "urls.py").write_text(SNIPPETS["django-urls"].code)
    said = SNIPPETS["django-settings"].run_apart(DJANGO, tmp_path).decode().splitlines()
    # The URLs alone do not have the load balancer's.
    assert said == ["[404, 200, 200, 500]", "[404, 200, 404]"]


def test_fastapi() -> None:
    driver = ASGIDriver(SNIPPETS["fastapi"].run()["app"])
    for prefix in ("", "/v2"):
        statuses = [driver.get(f"{prefix}/__{name}__").status for name in ENDPOINTS]
        assert statuses == [404, 200, 200, 500]


def test_bare() -> None:
    defined = SNIPPETS["bare"].run()
    for driver in (ASGIDriver(defined["app"]), WSGIDriver(defined["application"])):
        assert driver.get("/").body == b"hello"
        assert driver.get("/").header("x-request-id")
        assert [driver.get(f"/__{name}__").status for name in ENDPOINTS] == [404, 200, 200, 500]


def test_extras_are_those_of_the_distribution() -> None:
    named = re.search(r"extras \(`mozlog-py(\[.*?)\)", TEXT, re.DOTALL)
    assert named is not None
    extras = set(re.findall(r"\[(\w+)\]", named[1]))
    assert extras == {"aiohttp", "flask", "django", "fastapi", "sanic", "starlette", "all"}
    assert extras <= set(importlib.metadata.metadata("mozlog-py").get_all("Provides-Extra", []))


def test_commands_are_targets_of_the_makefile() -> None:
    makefile = (README.parent / "Makefile").read_text("utf-8")
    commands = set(re.findall(r"(?:\$ |`)make ([\w-]+)", TEXT))
    assert {"demo", "test", "bench"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
