"""Each service of ``examples/`` is run, asked for its endpoints, and its lines are looked at."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from ports import free_port
from snippets import ROOT

EXAMPLES = ROOT / "examples"

# Of each service: its page, what that logs, and its checks.
CURRENCY = {"currency": "ok", "database": "ok"}
SERVICES = {
    "bare_asgi.py": ("/", "answered", {**CURRENCY, "disk": "ok"}),
    "bare_wsgi.py": ("/", "answered", {**CURRENCY, "disk": "ok"}),
    "guestbook.py": ("/entries/0", "no such entry", {"title": "warning", "database": "ok"}),
    "with_aiohttp.py": ("/", "answered", CURRENCY),
    "with_django.py": (
        "/", "answered",
        {"hosts": "ok", "check_database_connected": "ok", "check_migrations_applied": "ok"},
    ),
    "with_fastapi.py": ("/", "answered", CURRENCY),
    "with_sanic.py": ("/", "answered", CURRENCY),
    "with_starlette.py": ("/", "answered", CURRENCY),
}  # fmt: skip

_PATIENCE_S = 60.0


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == SERVICES.keys()


@dataclass
class Service:
    port: int
    out: Path

    def get(self, path: str) -> tuple[int, str, str]:
        """Return status, body, and the id of the request."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            answer = urllib.request.urlopen(url, timeout=_PATIENCE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read().decode(), answer.headers["X-Request-Id"]

    def lines(self) -> list[dict[str, Any]]:
        return checked_lines(self.out.read_bytes())


@contextmanager
def running(name: str, folder: Path, database: Path) -> Iterator[Service]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name[:4] != "LOG_"}
    environment |= {
        "APP_DIR": str(folder), "DATABASE": str(database), "DATABASE_URL": f"sqlite:///{database}",
        "HOME": str(folder), "LOG_FORMAT": "mozlog", "PORT": str(port),
    }  # fmt: skip
    service = Service(port, folder / "out")
    with service.out.open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name)],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=err,
        )
    try:
        until = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            said = (folder / "err").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.02)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_S / 4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", SERVICES)
def test_an_example_serves_and_logs(name: str, tmp_path: Path) -> None:
    page, said, expected = SERVICES[name]
    (tmp_path / "version.json").write_text('{"version": "1.2"}')
    paths = [page, "/__lbheartbeat__", "/__version__", "/__heartbeat__", "/__error__"]
    with running(name, tmp_path, tmp_path / "shop.sqlite") as service:
        answers = dict(zip(paths, map(service.get, paths)))
    assert [answer[0] for answer in answers.values()] == [
        404 if name == "guestbook.py" else 200, 200, 200, 200, 500,
    ]  # fmt: skip
    assert json.loads(answers["/__version__"][1]) == {"version": "1.2"}
    found = json.loads(answers["/__heartbeat__"][1])
    # Django has checks of its own beside them.
    assert found["checks"].items() >= expected.items(), found
    assert set(found["checks"].values()) <= {"ok", *expected.values()}, found

    lines = service.lines()
    summaries = [line["Fields"] for line in lines if line["Type"] == "request.summary"]
    asked = [(fields["path"], fields["code"], fields["errno"]) for fields in summaries]
    assert asked == [
        (path, answer[0], 500 if path == "/__error__" else 0) for path, answer in answers.items()
    ]
    (own,) = [line["Fields"] for line in lines if line["Fields"].get("msg") == said]
    assert own["rid"] == summaries[0]["rid"]
    # After a failure a server may answer by itself, without our header.
    echoed = [answer[2] for answer in answers.values()][:4]
    assert echoed == [fields["rid"] for fields in summaries][:4]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"guestbook.py"}))
def test_the_heartbeat_of_an_example_fails_without_its_database(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path, tmp_path / "gone" / "shop.sqlite") as service:
        status, body, _ = service.get("/__heartbeat__")
    assert status == 500
    found = json.loads(body)
    failed = [check for check, state in found["checks"].items() if state == "error"]
    assert failed in (["database"], ["check_database_connected"])
    assert "unable to open database file" in json.dumps(found["details"][failed[0]])
    severities = [line["Severity"] for line in service.lines() if line["Type"] != "request.summary"]
    assert 3 in severities
