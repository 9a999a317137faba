"""dict_config() handed to real servers, as their documentation has it, over real sockets."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines

APPLICATION = """
import logging, os
import mozlog_py

log_config = mozlog_py.dict_config("service", format="mozlog")

def wsgi(environ, start_response):
    logging.getLogger("app").info("serving", extra={"path": environ["PATH_INFO"]})
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

async def asgi(scope, receive, send):
    logging.getLogger("app").info("serving", extra={"path": scope["path"]})
    if scope["path"] == "/boom":
        raise ValueError("boom")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@contextmanager
def server(folder: Path, command: list[str], unbuffered: str) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server in ``folder``; give its address, and a list that will hold its output."""
    (folder / "application.py").write_text(APPLICATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output: list[bytes] = []
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("PORT", str(port)) for part in command)],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "LOG_LEVEL": "INFO"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process)
        yield address, output
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        finally:
            # Its workers are of its own session, and must not outlive the test.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            output.append((folder / "out").read_bytes())


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if get(f"{address}/up") is not None:
            return
        assert process.poll() is None, "the server ended before it served"
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


def get(address: str) -> int | None:
    """Give the status of an answer, None where there was none."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, urllib.error.URLError):
        return None


def types(lines: list[dict[str, Any]]) -> set[str]:
    return {line["Type"] for line in lines}


def requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the lines that a server wrote for requests."""
    return [line for line in lines if line["Type"].endswith(".access")]


@pytest.mark.parametrize("unbuffered", ["", "1"])
class TestGunicorn:
    def test_writes_nothing_but_lines(self, tmp_path: Path, unbuffered: str) -> None:
        (tmp_path / "settings.py").write_text(
            "from application import log_config\nlogconfig_dict = log_config\n"
        )
        command = ["gunicorn", "application:wsgi", "-c", "settings.py", "-w", "2"]
        with server(tmp_path, [*command, "-b", "127.0.0.1:PORT"], unbuffered) as (address, output):
            assert get(f"{address}/fine") == 200
            assert get(f"{address}/boom") == 500
        lines = checked_lines(output[0])
        assert types(lines) == {"app", "gunicorn.error", "gunicorn.access"}
        assert {line["Logger"] for line in lines} == {"service"}
        served = [line["Fields"]["path"] for line in lines if line["Type"] == "app"]
        assert served[-2:] == ["/fine", "/boom"]
        (failure,) = [line for line in lines if "error" in line["Fields"]]
        assert failure["Fields"]["error"] == "ValueError('boom')"
        (access,) = [
            line["Fields"] for line in requests(lines) if line["Fields"]["path"] == "/fine"
        ]
        assert (access["method"], access["code"], access["client"]) == ("GET", 200, "127.0.0.1")
        assert type(access["t"]) is int
        assert "msg" not in access
        started = [re.match(r"Booting worker", line["Fields"].get("msg", "")) for line in lines]
        assert sum(map(bool, started)) == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
class TestUvicorn:
    def test_writes_nothing_but_lines(self, tmp_path: Path, unbuffered: str) -> None:
        (tmp_path / "serve.py").write_text(
            "import sys, uvicorn\n"
            "from application import asgi, log_config\n"
            "uvicorn.run(asgi, port=int(sys.argv[1]), log_config=log_config)\n"
        )
        with server(tmp_path, ["serve", "PORT"], unbuffered) as (address, output):
            assert get(f"{address}/fine") == 200
            assert get(f"{address}/boom") == 500
        lines = checked_lines(output[0])
        assert types(lines) == {"app", "uvicorn.error", "uvicorn.access"}
        failures = [line for line in lines if "error" in line["Fields"]]
        assert failures[-1]["Fields"]["error"] == "ValueError('boom')"
        messages = [line["Fields"].get("msg", "") for line in lines]
        (access,) = [
            line["Fields"] for line in requests(lines) if line["Fields"]["path"] == "/fine"
        ]
        assert (access["method"], access["code"]) == ("GET", 200)
        assert re.fullmatch(r"127\.0\.0\.1:\d+", access["client"])
        assert "msg" not in access
        assert any("Application startup complete" in message or "running on" in message
                   for message in messages)  # fmt: skip
