"""Development servers on a terminal, as people see them: each request once, in colours."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from ports import free_port
from snippets import ROOT
from websockets.sync.client import connect

VIEWS = """
import logging, os, sys
import mozlog_py
mozlog_py.configure("shop")

def opened():
    logging.getLogger("shop.cart").info("opened", extra={"items": 3, "empty": ""})
    return "empty"

def failed():
    raise ValueError("boom")
"""

FLASK = """
from flask import Flask
from dockerflow.flask import Dockerflow

app = Flask("shop")
Dockerflow(app)
app.add_url_rule("/cart", view_func=opened)
app.add_url_rule("/boom", view_func=failed)
"""

DJANGO = """
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop"
    execute_from_command_line(sys.argv)
else:
    from django.http import HttpResponse
    from django.urls import path

    DEBUG, SECRET_KEY, ROOT_URLCONF, LOGGING_CONFIG = True, "x", "shop", None
    INSTALLED_APPS = ["dockerflow.django"]
    MIDDLEWARE = ["dockerflow.django.middleware.DockerflowMiddleware"]
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    urlpatterns = [
        path("cart", lambda request: HttpResponse(opened())),
        path("boom", lambda request: failed()),
    ]
"""

FASTAPI = """
from fastapi import FastAPI, WebSocket
from dockerflow.fastapi import router
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware

app = FastAPI()
app.include_router(router)
app.add_middleware(MozlogRequestSummaryLogger)
app.add_middleware(RequestIdMiddleware)
app.get("/cart")(opened)
app.get("/boom")(failed)

@app.websocket("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()
"""

SANIC = """
from sanic import Sanic, text
from dockerflow.sanic import Dockerflow

app = Sanic("shop")
Dockerflow(app)

@app.get("/cart")
async def cart(request):
    return text(opened())

@app.get("/boom")
async def boom(request):
    failed()

@app.websocket("/ws")
async def echo(request, ws):
    await ws.send(await ws.recv())
"""


class Server(NamedTuple):
    source: str
    command: list[str]
    #: What it prints past ``logging``, as docs/servers.md names it.
    printed: str
    has_sockets: bool = False


SERVERS = {
    "flask": Server(
        FLASK, ["-m", "flask", "--app", "shop", "run", "-p", "PORT"],
        r" \* Serving Flask app 'shop'| \* Debug mode: off",
    ),
    "flask-debug": Server(
        FLASK, ["-m", "flask", "--app", "shop", "--debug", "run", "-p", "PORT"],
        # The debugger prints the traceback.
        r" \* Serving Flask app 'shop'| \* Debug mode: on|Traceback .*|  .*|ValueError: boom",
    ),
    "django": Server(
        DJANGO, ["shop.py", "runserver", "PORT"],
        r"(Performing system checks|System check identified|\w+ \d\d, \d{4} - |Django version|"
        r"Starting development server|Quit the server|WARNING: This is a|For more information|"
        r"Watching for).*",
    ),
    "uvicorn": Server(
        FASTAPI, ["-m", "uvicorn", "shop:app", "--reload", "--port", "PORT"],
        r"INFO:     (Will watch|Uvicorn running|Started reloader|Stopping reloader).*",
        has_sockets=True,
    ),
    "sanic": Server(
        SANIC, ["-m", "sanic", "shop:app", "--dev", "-p", "PORT"],
        r"Press ENTER at anytime to start the REPL\.|.*REPL.*",
        has_sockets=True,
    ),
}  # fmt: skip


class Terminal:
    """A server under a pseudo-terminal of 120 columns."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int, port: int) -> None:
        self.process = process
        self.port = port
        self._master = master
        self.is_closed = False
        #: What was printed, as far as it was read.
        self.out = b""

    def text(self) -> str:
        """Return the output so far, without its colours and its carriage returns."""
        self.read()
        text = self.out.decode("utf-8", "replace").replace("\r", "")
        return re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", text)

    def read(self) -> None:
        """Read what was printed since the last call."""
        while not self.is_closed and select.select([self._master], [], [], 0)[0]:
            try:
                got = os.read(self._master, 65_536)
            except OSError:
                # Linux reports the end of a terminal's last process so.
                break
            if not got:
                break
            self.out += got

    def close(self) -> None:
        """Close the terminal; its output stays."""
        os.close(self._master)
        self.is_closed = True

    def wait_for(self, pattern: str) -> None:
        for _ in range(600):
            if re.search(pattern, self.text()):
                return
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in\n{self.text()}")

    def ask(self, path: str) -> int:
        url = f"http://127.0.0.1:{self.port}{path}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def wait_until_it_answers(self) -> None:
        for _ in range(600):
            try:
                self.ask("/__lbheartbeat__")
            except OSError:
                assert self.process.poll() is None, self.text()
                self.read()
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the server does not answer:\n{self.text()}")


@contextmanager
def on_a_terminal(folder: Path, server: Server) -> Iterator[Terminal]:
    (folder / "shop.py").write_text(VIEWS + server.source)
    port = free_port()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    usual = {
        name: value for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTEST_CURRENT_TEST")
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, *(part.replace("PORT", str(port)) for part in server.command)],
        cwd=folder,
        env={
            **usual,
            "LOG_FORMAT": "pretty",
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "TERM": "xterm-256color",
        },
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    terminal = Terminal(process, master, port)
    try:
        yield terminal
        os.killpg(process.pid, signal.SIGINT)
        for _ in range(200):
            # A full terminal would block the server's last words.
            terminal.read()
            if process.poll() is not None:
                break
            time.sleep(0.05)
    finally:
        try:
            # Its reloader's processes are of its own session, and must not outlive the test.
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(timeout=20)
        terminal.read()
        terminal.close()


@pytest.mark.parametrize("name", SERVERS)
def test_a_development_server_shows_each_request_and_each_traceback_once(
    name: str, tmp_path: Path
) -> None:
    server = SERVERS[name]
    with on_a_terminal(tmp_path, server) as terminal:
        terminal.wait_until_it_answers()
        assert terminal.ask("/cart?token=1") == 200
        assert terminal.ask("/boom") == 500
        terminal.wait_for(r"GET     /boom +500 ")
        if server.has_sockets:
            with connect(f"ws://127.0.0.1:{terminal.port}/ws", proxy=None) as socket:
                socket.send("hi")
                assert socket.recv() == "hi"
            terminal.wait_for(r"WS      /ws +1000 ")
        assert terminal.ask("/cart") == 200
        terminal.wait_for(r"(?s)GET     /cart +200 .*GET     /cart +200 ")
        # Not what the interpreter prints of processes that are interrupted.
        text = terminal.text()
    lines = text.split("\n")
    heads = [line for line in lines if re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line)]
    for path, code, count in (("/cart", 200, 2), ("/boom", 500, 1)):
        pattern = rf" (INFO|ERROR) +\w{{8}} GET     {path} +{code} +\d+ ms"
        found = [line for line in heads if f"GET     {path} " in line]
        assert len(found) == count
        assert [line for line in found if not re.search(pattern, line)] == []
    # No line of a server tells the same.
    servers = r"access\]|\[werkzeug\] client|\[django.server\]"
    assert [line for line in heads if re.search(servers, line)] == []
    assert len([line for line in lines if "WS      /ws" in line]) == server.has_sockets
    assert "WebSocket" not in text
    assert len(re.findall(r"^    Traceback \(most recent call last\):", text, re.MULTILINE)) == 1
    others = [line for line in lines if line.strip() and line not in heads]
    strange = [line for line in others if not re.match(rf"    |{server.printed}", line)]
    assert strange == []
    assert b"\x1b[38;5;29m 200\x1b[0m" in terminal.out
