"""Real servers on loopback, with a small application that logs in both ways."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ports import free_port

#: ``SETUP`` of its environment says who sets up logging: the server that is
#: ``given`` the configuration, or the application that calls ``configure``.
APPLICATION = """
import logging, os, warnings
import structlog
import mozlog_py

SETUP = os.environ["SETUP"]
log_config = mozlog_py.dict_config("service", format="mozlog")
server_config = log_config if SETUP == "given" else None

if SETUP == "configure":
    mozlog_py.configure("service", format="mozlog")
elif SETUP == "given":
    # What it is given is for logging; and it may get it later than this is imported.
    from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory
    structlog.configure(
        processors=[MozlogRenderer("service")],
        wrapper_class=FastBoundLogger,
        logger_factory=SinkLoggerFactory(),
    )

def work(path):
    logging.getLogger("app").info("by logging", extra={"path": path})
    structlog.get_logger("app").info("by structlog", path=path)
    if path == "/again":
        mozlog_py.configure("service", format="mozlog")
    if path == "/warn":
        warnings.warn("careful")
    if path == "/boom":
        raise ValueError("boom")

def wsgi(environ, start_response):
    work(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    work(scope["path"])
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})
"""

#: What a server says when it serves, in the part of its name that is in the command.
READY = {
    "gunicorn": b"Booting worker",
    "uvicorn": b"Application startup complete",
    "hypercorn": b"Running on",
    "granian": b"Started worker",
    "waitress": b"Serving on",
    "daphne": b"Listening on",
    "flask": b"Running on",
    "werkzeug": b"Running on",
    "manage": b"Quit the server",
    "sanic": b"Starting worker",
    "aiohttp": b"Running on",
}

_PATIENCE_S = 60.0
_STOP_S = 15.0


@dataclass
class Served:
    """A server: ``out`` holds its standard output, ``err`` its standard error."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    @property
    def out(self) -> bytes:
        return (self.folder / "out").read_bytes()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def get(self, path: str) -> int:
        """Return the status of an answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"User-Agent": 'a "test"'}
        )
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def wait_for(self, text: bytes, times: int = 1) -> None:
        """Wait until its output has a text so often."""
        self._poll(lambda: (self.out + self.err.encode()).count(text) >= times, f"print {text!r}")

    def wait_until_it_listens(self) -> None:
        self._poll(self._is_listening, "listen")

    def _is_listening(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        return False

    def _poll(self, is_so, what: str) -> None:
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            if is_so():
                return
            assert self.process.poll() is None, f"it ended before it would {what}: {self.err}"
            time.sleep(0.02)
        raise AssertionError(f"it does not {what}: {self.err}")


@contextmanager
def server(
    folder: Path,
    command: list[str],
    *,
    files: Mapping[str, str] | None = None,
    setup: str = "given",
    unbuffered: str = "",
) -> Iterator[Served]:
    """Run a server in ``folder``, with ``files`` beside the application, until the block is left.

    ``PORT`` in the command is a port that is free.
    """
    for name, text in {"application.py": APPLICATION, **(files or {})}.items():
        (folder / name).write_text(text)
    port = free_port()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("PORT", str(port)) for part in command)],
            cwd=folder,
            env={
                **os.environ,
                "HOME": str(folder),
                "LOG_LEVEL": "INFO",
                "PYTHONUNBUFFERED": unbuffered,
                "SETUP": setup,
            },
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    served = Served(process, port, folder)
    try:
        served.wait_until_it_listens()
        (ready,) = [text for name, text in READY.items() if name in command[0]]
        served.wait_for(ready)
        yield served
    finally:
        process.terminate()
        # Some servers wait for ever for a worker now and then; its lines are written.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_S)
        # Its workers are of its own session, and must not outlive the test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
