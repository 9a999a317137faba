"""Real servers on loopback: all that they log is lines on one stream, one for each event.

The application calls ``configure()`` before the framework sets up its own logging, or after.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from serving import Served, server

pytestmark = pytest.mark.usefixtures("query_strings")

CONFIGURE = "import mozlog_py; mozlog_py.configure('service', format='mozlog')\n"

FLASK = """
from flask import Flask
from dockerflow.flask import Dockerflow
app = Flask("service")
app.config["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
Dockerflow(app)

@app.get("/pay")
def pay():
    return "hello"

@app.get("/boom")
def boom():
    raise ValueError("boom")
"""
WERKZEUG = """
import sys
from werkzeug.serving import run_simple
from dockerflow.wsgi import DockerflowWSGI

def app(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    status = "200 OK" if environ["PATH_INFO"] == "/pay" else "404 Not Found"
    start_response(status, [("Content-Length", "5")])
    return [b"hello"]

if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), DockerflowWSGI(app), threaded=True)
"""
SANIC = """
import sys
from sanic import Sanic, text
app = Sanic("service")

@app.get("/pay")
async def pay(request):
    return text("hello")

@app.get("/boom")
async def boom(request):
    raise ValueError("boom")

if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    app.run(port=port, access_log=True, workers=workers or 1, single_process=not workers)
"""
AIOHTTP = """
import sys
from aiohttp import web

async def pay(request):
    return web.Response(text="hello")

async def boom(request):
    raise ValueError("boom")

app = web.Application()
app.router.add_get("/pay", pay)
app.router.add_get("/boom", boom)
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
"""
WSGI = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["path"] == "/boom":
        raise ValueError("boom")
    status = 200 if scope["path"] == "/pay" else 404
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
SETTINGS = """
DEBUG = True
DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
SECRET_KEY = "x"
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
ASGI_APPLICATION = "asgi.application"
INSTALLED_APPS = [] if __import__("os").path.exists("wsgi") else ["daphne"]
MIDDLEWARE = ["dockerflow.django.middleware.DockerflowMiddleware"]
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

def pay(request):
    return HttpResponse("hello")

def boom(request):
    raise ValueError("boom")

urlpatterns = [path("pay", pay), path("boom", boom)]
"""
DJANGO = {
    "settings.py": SETTINGS,
    "asgi.py": (
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    ),
}
RUNSERVER = ["manage", "runserver", "--noreload", "127.0.0.1:PORT"]

#: The command, the files with ``configure()`` first and last, the logger of requests, and what
#: the server prints by itself.
KINDS: dict[str, tuple[list[str], dict[str, dict[str, str]], str, str]] = {
    "flask": (
        ["flask", "--app", "shop", "run", "-p", "PORT"],
        {
            "first": {"shop.py": CONFIGURE + FLASK},
            "last": {"shop.py": FLASK + CONFIGURE},
        },
        "werkzeug",
        r" \* Serving Flask app 'shop'\n \* Debug mode: off\n",
    ),
    "werkzeug": (
        ["serve_werkzeug", "PORT"],
        {
            "first": {"serve_werkzeug.py": CONFIGURE + WERKZEUG},
            # Werkzeug adds its own handler with its first line.
            "last": {
                "serve_werkzeug.py": WERKZEUG.replace(
                    "    run_simple",
                    "    __import__('werkzeug._internal')._internal._log('info', 'its own')\n"
                    f"    {CONFIGURE}    run_simple",
                )
            },
        },
        "werkzeug",
        "",
    ),
    "django": (
        RUNSERVER,
        {
            "first": {**DJANGO, "wsgi": "", "manage.py": CONFIGURE + MANAGE, "urls.py": URLS},
            "last": {**DJANGO, "wsgi": "", "manage.py": MANAGE, "urls.py": URLS + CONFIGURE},
        },
        "django.server",
        r"Performing system checks(.|\n)*CONTROL-C\.\n\nWARNING: This is a development (.|\n)*",
    ),
    "django on daphne": (
        RUNSERVER,
        {
            "first": {**DJANGO, "manage.py": CONFIGURE + MANAGE, "urls.py": URLS},
            "last": {**DJANGO, "manage.py": MANAGE, "urls.py": URLS + CONFIGURE},
        },
        "django.channels.server",
        r"Performing system checks(.|\n)*CONTROL-C\.\n",
    ),
    "sanic": (
        ["serve_sanic", "PORT", "0"],
        {
            "first": {"serve_sanic.py": CONFIGURE + SANIC},
            "last": {"serve_sanic.py": SANIC.replace("\n@app", f"\n{CONFIGURE}\n@app", 1)},
        },
        "sanic.access",
        "",
    ),
    "sanic with workers": (
        ["serve_sanic", "PORT", "2"],
        {
            "first": {"serve_sanic.py": CONFIGURE + SANIC},
            "last": {"serve_sanic.py": SANIC.replace("\n@app", f"\n{CONFIGURE}\n@app", 1)},
        },
        "sanic.access",
        "",
    ),
    "aiohttp": (
        ["serve_aiohttp", "PORT"],
        {
            "first": {"serve_aiohttp.py": CONFIGURE + AIOHTTP},
            "last": {"serve_aiohttp.py": AIOHTTP.replace("\nif __", f"\n{CONFIGURE}\nif __")},
        },
        "aiohttp.access",
        r"=+ Running on http://127.0.0.1:\d+ =+\n\(Press CTRL\+C to quit\)\n",
    ),
    "daphne": (
        ["daphne", "-b", "127.0.0.1", "-p", "PORT", "shop:app"],
        {
            "first": {"shop.py": CONFIGURE + ASGI},
            "last": {"shop.py": ASGI + CONFIGURE},
        },
        "daphne.access",
        "",
    ),
    "waitress": (
        ["waitress", "--listen=127.0.0.1:PORT", "shop:app"],
        {
            "first": {"shop.py": CONFIGURE + WSGI},
            "last": {"shop.py": WSGI + CONFIGURE},
        },
        "",
        "",
    ),
}  # fmt: skip


def split(out: bytes) -> tuple[list[dict[str, Any]], str]:
    """Return the lines of an output, and the text beside them."""
    texts = out.splitlines(keepends=True)
    ours = [text for text in texts if text[:1] == b"{"]
    others = [text.decode() for text in texts if text[:1] != b"{"]
    return checked_lines(b"".join(ours)), "".join(others)


def ask(served: Served, *, failures: int) -> None:
    assert served.get("/pay?a=1") == 200
    served.get("/no/such")
    assert served.get("/boom") == 500
    # Servers log a request when its answer is there already.
    served.wait_for(b'"traceback"', failures)


@pytest.mark.parametrize("when", ["first", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_prints_one_line_for_each_event(tmp_path: Path, kind: str, when: str) -> None:
    command, files, logger, banner = KINDS[kind]
    with server(tmp_path, command, files=files[when], unbuffered="1") as served:
        if kind == "sanic with workers":
            served.wait_for(b"Worker ready", 2)
        ask(served, failures=2 if "Dockerflow" in str(files) else 1)
        if logger:
            served.wait_for(f'"{logger}"'.encode(), 3)
    lines, others = split(served.out)
    assert re.fullmatch(banner, others), others
    assert served.err == ("its own\n" if (kind, when) == ("werkzeug", "last") else "")
    assert b"\\u001b" not in served.out
    assert b"\x1b" not in served.out
    assert {line["Logger"] for line in lines} == {"service"}
    assert_requests(lines, logger)
    failures = [
        line
        for line in lines
        if line["Type"] != "request.summary" and "boom" in line["Fields"].get("error", "")
    ]
    assert len(failures) == 1
    assert "boom" in failures[0]["Fields"]["traceback"].splitlines()[-1]
    assert "Traceback" not in failures[0]["Fields"].get("msg", "")


def assert_requests(lines: list[dict[str, Any]], logger: str) -> None:
    # Sanic also tells of a connection that has ended.
    access = [
        line["Fields"]
        for line in lines
        if line["Type"] == logger
        and "path" in line["Fields"]
        and line["Fields"].get("byte") != "DISCONNECTED"
    ]
    if not logger:
        assert not access
        return
    paths = [(one["method"], one["path"], one.get("querystring"), one["code"]) for one in access]
    assert paths == [
        ("GET", "/pay", "a=1", 200), ("GET", "/no/such", None, 404), ("GET", "/boom", None, 500),
    ]  # fmt: skip
    summaries = {
        line["Fields"]["path"]: line["Fields"]["rid"]
        for line in lines
        if line["Type"] == "request.summary"
    }
    for one in access:
        assert one.get("rid") == summaries.get(one["path"])
        assert not {"msg", "request", "server_time", "status_code"} & set(one)


def test_an_access_log_of_daphne_in_a_file_stays_there(tmp_path: Path) -> None:
    command = ["daphne", "-b", "127.0.0.1", "-p", "PORT", "--access-log", "access.log", "shop:app"]
    with server(tmp_path, command, files={"shop.py": CONFIGURE + ASGI}) as served:
        assert served.get("/pay") == 200
    lines, others = split(served.out)
    assert not others
    assert [line for line in lines if line["Type"] == "daphne.access"] == []
    assert '"GET /pay" 200' in (tmp_path / "access.log").read_text()


def test_sanics_own_switch_for_the_access_log_is_heard(tmp_path: Path) -> None:
    text = CONFIGURE + SANIC.replace("access_log=True", "access_log=False")
    with server(tmp_path, ["serve_sanic", "PORT", "0"], files={"serve_sanic.py": text}) as served:
        assert served.get("/pay") == 200
    lines, others = split(served.out)
    assert not others
    assert [line for line in lines if line["Type"] == "sanic.access"] == []


@pytest.mark.parametrize("kind", ["django", "sanic"])
def test_a_framework_that_is_given_the_configuration_prints_lines(
    tmp_path: Path, kind: str
) -> None:
    """The access lines have their fields by the configuration alone."""
    if kind == "django":
        # With DEBUG, the logger "django" has a handler for the console as well.
        given = (
            SETTINGS
            + "import mozlog_py\nLOGGING = mozlog_py.dict_config('service', format='mozlog')\n"
        )
        files = {**DJANGO, "wsgi": "", "settings.py": given, "manage.py": MANAGE, "urls.py": URLS}
        command = RUNSERVER
    else:
        text = SANIC.replace(
            'Sanic("service")', 'Sanic("service", log_config=mozlog_py.dict_config("service"))'
        )
        # From 3.14 on, Python warns of what Sanic calls. Sanic sets its own filter in Sanic().
        quiet = "import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n"
        text = text.replace("\n@app.get", f"\n{quiet}\n@app.get", 1)
        files = {"serve_sanic.py": f"import mozlog_py\n{text}"}
        command = ["serve_sanic", "PORT", "2"]
    with server(tmp_path, command, files=files, unbuffered="1") as served:
        if kind == "sanic":
            served.wait_for(b"Worker ready", 2)
        assert served.get("/pay?a=1") == 200
        # The summary has the query string as well.
        name = "django.server" if kind == "django" else "sanic.access"
        served.wait_for(f'"Type":"{name}"'.encode())
    lines, _ = split(served.out)
    (access,) = [line for line in lines if line["Type"] == name]
    assert access["Fields"]["querystring"] == "a=1"
    assert served.err == ""
