"""The queue at SIGTERM: lines are written before it ends the process, also behind a handler.

A server sets its own handler before it loads the application, restores the former one when it has
ended, and raises the signal again. Real servers, started as services start them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines

SHOP = """
from contextlib import asynccontextmanager
import mozlog_py, structlog
from starlette.applications import Starlette

mozlog_py.configure("shop", format="mozlog", queue=True)
log = structlog.get_logger("shop")

@asynccontextmanager
async def lifespan(app):
    log.info("open")
    yield
    log.info("closed")

app = Starlette(lifespan=lifespan)
"""

SERVE = """
import asyncio, uvicorn
asyncio.run(uvicorn.Server(uvicorn.Config("shop:app", port=0)).serve())
"""
FACTORY = "import uvicorn; uvicorn.run(lambda: __import__('shop').app, factory=True, port=0)"
GUNICORN = ["-m", "gunicorn", "shop:app", "-b", "127.0.0.1:0", "-k"]
SERVERS = {
    "uvicorn": (["-m", "uvicorn", "shop:app", "--port", "0"], 1),
    "uvicorn, two workers": (["-m", "uvicorn", "shop:app", "--port", "0", "--workers", "2"], 2),
    "uvicorn, reload": (["-m", "uvicorn", "shop:app", "--port", "0", "--reload"], 1),
    "uvicorn, a factory": (["-c", FACTORY], 1),
    "uvicorn, served by the application": (["-c", SERVE], 1),
    "gunicorn, uvicorn's worker, preload": (
        [*GUNICORN, "uvicorn.workers.UvicornWorker", "--preload"],
        1,
    ),
    "gunicorn, uvicorn's worker": ([*GUNICORN, "uvicorn.workers.UvicornWorker"], 1),
    "gunicorn, asgi, preload": ([*GUNICORN, "asgi", "--preload"], 1),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def lines_until_its_end(process: Any, count: int) -> Iterator[bytes]:
    """Yield the lines of a server, which SIGTERM ends when so many of its workers have begun."""
    for line in process.stdout:
        yield line
        if b'"msg":"open"' in line:
            count -= 1
            if not count:
                process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("server", SERVERS)
def test_the_last_lines_of_a_server_are_written_at_sigterm(server: str, folder: Path) -> None:
    arguments, workers = SERVERS[server]
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    ) as process:  # fmt: skip
        try:
            written = b"".join(lines_until_its_end(process, workers))
        finally:
            process.kill()
    # The master of gunicorn and the reloader of uvicorn write lines of their own format.
    lines = checked_lines(b"".join(each for each in written.splitlines(True) if each[:1] == b"{"))
    said = [line["Fields"].get("msg", "") for line in lines]
    assert said.count("closed") == workers
    if "asgi" not in server:
        assert said.count("Application shutdown complete.") == workers


BEGIN = """
import logging, os, signal, sys, threading, mozlog_py
log = logging.getLogger("shop")
def configure():
    mozlog_py.configure("shop", format="mozlog", queue=True)
def log_and_end():
    for number in range(200):
        log.info("line", extra={"number": number})
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
"""

HANDLERS = {
    "a former handler is restored": """
old = signal.signal(signal.SIGTERM, lambda *_: None)
configure()
signal.signal(signal.SIGTERM, old)
log_and_end()
""",
    "the default is set later": """
configure()
signal.signal(signal.SIGTERM, signal.SIG_DFL)
log_and_end()
""",
    "a handler raises the signal again": """
def again(number, _):
    log.info("line", extra={"number": 200})
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
signal.signal(signal.SIGTERM, again)
configure()
log_and_end()
""",
    "the queue is made in a thread": """
thread = threading.Thread(target=configure)
thread.start()
thread.join()
log_and_end()
""",
    "the child of a fork": """
configure()
log.info("parent")
if os.fork():
    os.wait()
    os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
log_and_end()
""",
}


@pytest.mark.parametrize("handler", HANDLERS)
def test_lines_are_written_before_sigterm_ends_the_process(handler: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + HANDLERS[handler]],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, b"")
    numbers = [line["Fields"].get("number") for line in checked_lines(done.stdout)]
    assert [number for number in numbers if number is not None][:200] == [*range(200)]
    assert (200 in numbers) is ("again" in handler)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    body = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
configure()
log.info("one")
os.kill(os.getpid(), signal.SIGTERM)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
log.info("two")
"""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + body], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["Fields"]["msg"] for line in checked_lines(done.stdout)] == ["one", "two"]
