"""Every Python snippet of docs/servers.md is run, as the file that it is, by the real server."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from serving import server
from snippets import ROOT, snippets_of

PAGE = ROOT / "docs" / "servers.md"
TEXT = PAGE.read_text("utf-8")
SNIPPETS = {name: snippet.code for name, snippet in snippets_of(PAGE).items()}

SERVE = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    structlog.get_logger("shop").info("serving", path=scope["path"])
    logging.getLogger("shop").info("serving", extra={"path": scope["path"]})
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
"""
SERVE_WSGI = """
def app(environ, start_response):
    structlog.get_logger("shop").info("serving", path=environ["PATH_INFO"])
    logging.getLogger("shop").info("serving", extra={"path": environ["PATH_INFO"]})
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""


def test_the_page_of_servers_has_no_snippet_that_is_not_run() -> None:
    assert set(SNIPPETS) == {
        "application", "celery", "file", "filter", "flask", "granian", "gunicorn", "hypercorn",
        "query-strings", "redirect", "signals", "uvicorn",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["filter", "query-strings"])
def test_access_records(tmp_path: Path, name: str) -> None:
    snippet = snippets_of(PAGE)[name]
    snippet.assert_shows(snippet.run_apart(folder=tmp_path))


def test_the_development_server_of_flask(tmp_path: Path) -> None:
    command = ["flask", "--app", "shop", "run", "--port", "PORT"]
    with server(tmp_path, command, files={"shop.py": SNIPPETS["flask"]}, unbuffered="1") as served:
        assert served.get("/cart") == 200
        served.wait_for(b'"path":"/cart"')
    ours = [text for text in served.out.splitlines(keepends=True) if text[:1] == b"{"]
    assert checked_lines(b"".join(ours))[-1]["Fields"] == {
        "method": "GET", "path": "/cart", "code": 200, "client": "127.0.0.1",
    }  # fmt: skip
    assert served.err == ""


def test_signals_without_celery(tmp_path: Path) -> None:
    more = "import sys\nassert 'celery' not in sys.modules\n"
    assert snippets_of(PAGE)["signals"].run_apart(more, tmp_path) == b""


def with_port(snippet: str, before: str) -> str:
    """Return a snippet with a free port in it, which ``server`` puts on the command line."""
    assert before in snippet
    given = "port=int(__import__('sys').argv[1]), "
    return snippet.replace(before, f"{given}{before}")


CASES = {
    "gunicorn": (
        ["gunicorn", "shop:app", "--workers", "2", "--bind", "127.0.0.1:PORT"],
        {"gunicorn.conf.py": SNIPPETS["gunicorn"]},
    ),
    "uvicorn": (
        ["serve_uvicorn", "PORT"],
        {"serve_uvicorn.py": with_port(SNIPPETS["uvicorn"], "log_config=")},
    ),
    "hypercorn": (
        ["hypercorn", "shop:app", "--config", "python:hypercorn_settings",
         "--bind", "127.0.0.1:PORT"],
        {"hypercorn_settings.py": SNIPPETS["hypercorn"]},
    ),
    "granian": (
        ["serve_granian", "PORT"],
        {"serve_granian.py": with_port(SNIPPETS["granian"], "interface=")},
    ),
}  # fmt: skip


def assert_request(name: str, out: bytes, err: str) -> None:
    lines = checked_lines(out)
    assert {line["Logger"] for line in lines} == {"shop"}
    told = [
        (line["Type"], line["Fields"].get("msg"))
        for line in lines
        if line["Fields"].get("path") == "/cart"
    ]
    assert told == [("shop", "serving"), ("shop", "serving"), (f"{name}.access", None)]
    # hypercorn imports the application first; the others have said something by then.
    opened: dict[int, list[Any]] = {}
    for line in lines:
        if line["Fields"].get("msg") == "open":
            opened.setdefault(line["Pid"], []).append(line["Fields"])
    # The workers of gunicorn import it each, at the same time.
    assert opened
    for of_worker in opened.values():
        assert of_worker[:2] == [{"msg": "open"}, {"door": 2, "msg": "open"}]
    assert err == ""


@pytest.mark.parametrize("name", list(CASES))
def test_each_server_with_both_steps_prints_lines_only(name: str, tmp_path: Path) -> None:
    command, files = CASES[name]
    application = SNIPPETS["application"] + (SERVE_WSGI if name == "gunicorn" else SERVE)
    with server(tmp_path, command, files={"shop.py": application, **files}) as served:
        assert served.get("/cart") == 200
    assert_request(name, served.out, served.err)


def test_a_file_for_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS["file"], "docs: file", "exec"), {})
    (command,) = re.findall(r"^\$ (uvicorn .*)$", TEXT, re.MULTILINE)
    with server(
        tmp_path,
        [*command.split(), "--port", "PORT"],
        files={"shop.py": SNIPPETS["application"] + SERVE},
    ) as served:
        assert served.get("/cart") == 200
    assert_request("uvicorn", served.out, served.err)


def test_celery_with_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(SNIPPETS["celery"])
    (tmp_path / "redirect.py").write_text(SNIPPETS["redirect"])
    (tmp_path / "test_it.py").write_text(
        "import redirect\n"
        "from tasks import app, pay\n"
        "from celery import signals\n"
        "@app.task(name='stop')\n"
        "def stop():\n"
        "    from celery.worker import state\n"
        "    print('printed')\n"
        "    state.should_stop = 0\n"
        "@signals.worker_ready.connect\n"
        "def start(**_):\n"
        "    pay.delay(12.5), stop.delay(), stop.delay()\n"
    )
    (command,) = re.findall(r"^\$ (celery .*)$", TEXT, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", *command.replace("-A tasks", "-A test_it").split(), "-P", "solo"],
        cwd=tmp_path,
        env={**os.environ, "LOG_LEVEL": "INFO"},
        capture_output=True,
        timeout=120,
        check=True,
    )
    lines: list[dict[str, Any]] = checked_lines(done.stdout)
    assert {line["Logger"] for line in lines} == {"shop"}
    (paid,) = [line for line in lines if line["Fields"]["msg"] == "paid"]
    fields = paid["Fields"]
    assert len(fields.pop("task_id")) == 36
    assert (paid["Type"], fields) == (
        "tasks",
        {"task_name": "shop.pay", "retries": 0, "amount": 12.5, "msg": "paid"},
    )
    printed = [line["Fields"]["msg"] for line in lines if line["Type"] == "celery.redirected"]
    assert set(printed) == {"printed"}
    assert done.stderr == b""
