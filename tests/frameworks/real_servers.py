"""Serve the contract's applications on real servers, and send requests over sockets."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance import checked_lines
from ports import free_port

HERE = str(Path(__file__).parent)

# What is served is what these tests belong to, whatever is installed.
ROOT = str(Path(__file__).parents[2])

UVICORN = ["uvicorn", "served:app", "--port", "PORT", "--no-access-log"]

AIOHTTP = ["aiohttp.web", "-H", "127.0.0.1", "-P", "PORT", "served:make"]

GUNICORN = ["gunicorn", "served:app", "-b", "127.0.0.1:PORT"]

SANIC = ["sanic", "served:app", "--port", "PORT", "--single-process", "--no-access-logs"]

#: How each application is served; the module below gives ``app``.
SERVERS = {
    "asgi-uvicorn": ("asgi", UVICORN),
    "asgi-uvicorn-h11": ("asgi", [*UVICORN, "--http", "h11"]),
    "fastapi-uvicorn": ("fastapi", UVICORN),
    "starlette-uvicorn": ("starlette", UVICORN),
    "django-uvicorn": ("django_asgi", UVICORN),
    "aiohttp": ("aiohttp", AIOHTTP),
    "wsgi-gthread": ("wsgi", [*GUNICORN, "--threads", "8"]),
    "flask-gthread": ("flask", [*GUNICORN, "--threads", "8"]),
    "flask-sync": ("flask", GUNICORN),
    "django-gthread": ("django", [*GUNICORN, "--threads", "8"]),
    "sanic": ("sanic", SANIC),
}

SERVED = """
import logging, sys, time
sys.path[:0] = [{here!r}, {tests!r}]
import mozlog_py
mozlog_py.configure("service", format="mozlog")
logging.getLogger("sanic").handlers.clear()
kind = {kind!r}
if kind == "asgi":
    from dockerflow.asgi import DockerflowASGI
    from contract_asgi import application
    app = DockerflowASGI(application)
elif kind == "wsgi":
    from dockerflow.wsgi import DockerflowWSGI
    from contract_wsgi import application
    app = DockerflowWSGI(application)
elif kind == "fastapi":
    from contract_fastapi import application
    app = application(".")
elif kind == "starlette":
    from test_starlette import application
    app = application(".")
elif kind == "aiohttp":
    from test_aiohttp import application
    app = application(".")
    def make(arguments):
        return app
elif kind == "flask":
    from contract_flask import application
    app = application(".")
elif kind == "sanic":
    from contract_sanic import application
    app = application(".")
else:
    import contract_django
    app = contract_django.get_asgi_application() if kind == "django_asgi" else (
        contract_django.get_wsgi_application())
"""


@contextmanager
def served(folder: Path, server: str) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Serve an application; give its port, and a list that will hold its lines."""
    kind, command = SERVERS[server]
    source = SERVED.format(here=HERE, tests=str(Path(HERE).parent), kind=kind)
    with served_from(folder, source, command) as it:
        yield it


@contextmanager
def served_from(
    folder: Path, source: str, command: list[str]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Serve the ``app`` of a module, of which the source is given."""
    (folder / "served.py").write_text(source)
    port = free_port()
    lines: list[dict[str, Any]] = []
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        arguments = [part.replace("PORT", str(port)) for part in command]
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            if b" 200 " in (ask(port, b"GET /__lbheartbeat__ HTTP/1.1\r\nHost: x\r\n") or b""):
                break
            assert process.poll() is None, (folder / "err").read_text()
            time.sleep(0.05)
        else:
            raise AssertionError("the server does not answer")
        yield port, lines
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            pass
        try:
            # Its workers are of its own session, and must not outlive the test.
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(timeout=20)
        output = (folder / "out").read_text().split("\n")
        # A server may greet its user on standard output.
        lines += checked_lines("".join(f"{line}\n" for line in output if line.startswith('{"')))


def ask(port: int, head: bytes, *, reads: bool = True) -> bytes | None:
    """Send a request; give all of the answer, None where there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(head + b"Connection: close\r\n\r\n")
            parts = []
            while reads and (part := connection.recv(65536)):
                parts.append(part)
            return b"".join(parts)
    except OSError:
        return None
