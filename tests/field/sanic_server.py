"""Sanic's own server on loopback, with the application of ``sanic_application.py``."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_PATIENCE_S = 30.0


class Server:
    """A running server, and the lines that it has logged so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self._out = folder / "out"
        self.err = folder / "err"

    @property
    def lines(self) -> list[dict[str, Any]]:
        whole = self._out.read_text(errors="replace").rpartition("\n")[0]
        return [json.loads(line) for line in whole.split("\n") if line.startswith("{")]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S)

    def ask(self, target: str, rid: str, *more: str, method: str = "GET") -> "Answer":
        """Send one request on a connection of its own."""
        with self.connect() as connection:
            connection.sendall(head(target, rid, "Connection: close", *more, method=method))
            return Answer(everything(connection))

    def of(self, rid: str) -> list[dict[str, Any]]:
        """Return the lines of a request."""
        return [line for line in self.lines if line["Fields"].get("rid") == rid]

    def summaries(self, rid: str) -> list[dict[str, Any]]:
        return [line for line in self.of(rid) if line["Type"] == "request.summary"]

    def summary(self, rid: str) -> tuple[int, dict[str, Any]]:
        """Wait for the only summary of a request; give its severity and its fields."""
        wait_until(lambda: self.summaries(rid), self._why)
        # A second one would come at once.
        time.sleep(0.05)
        (line,) = self.summaries(rid)
        return line["Severity"], line["Fields"]

    def wait_for(self, rid: str, text: str) -> None:
        """Wait until a request has logged a text."""
        wait_until(lambda: text in self.messages(rid), self._why)

    def messages(self, rid: str) -> list[str]:
        return [line["Fields"].get("msg", "") for line in self.of(rid)]

    def _why(self) -> str:
        return self._out.read_text()[-3000:] + self.err.read_text()[-3000:]


class Answer:
    """A response as it came over the wire."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.head, _, self.body = raw.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1.1 (\d+)", raw)
        self.status = int(found[1]) if found else 0
        self.ids = re.findall(rb"\r\nx-request-id: ([^\r]*)", self.head, re.IGNORECASE)


def head(target: str, rid: str, *more: str, method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"X-Request-Id: {rid}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def everything(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def wait_until(is_so: Callable[[], Any], why: Callable[[], str]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError(why())


def serve(folder: Path, *arguments: str) -> contextlib.AbstractContextManager[Server]:
    """Run Sanic's own server until the block is left."""
    return _run(folder, [str(HERE / "sanic_application.py"), "PORT", *arguments])


def serve_with_uvicorn(folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Run the same application over ASGI until the block is left."""
    (folder / "served.py").write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "import mozlog_py; mozlog_py.configure('field', format='mozlog')\n"
        "from sanic_application import app\n"
    )
    command = ["-m", "uvicorn", "served:app", "--port", "PORT", "--no-access-log"]
    return _run(folder, [*command, "--timeout-graceful-shutdown", "1"])


@contextlib.contextmanager
def _run(folder: Path, command: list[str]) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *(p.replace("PORT", str(port)) for p in command)],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=err,
            # Its workers are in the same group.
            start_new_session=True,
        )
    server = Server(process, port, folder)
    try:
        wait_until(lambda: _listens(server), server._why)
        yield server
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and its workers, which outlive it if Sanic's manager does not end them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)


def _listens(server: Server) -> bool:
    assert server.process.poll() is None, server._why()
    try:
        return server.ask("/__lbheartbeat__", "ready").status == 200
    except OSError:
        return False


class WebSocket:
    """A client's side of a WebSocket connection, with frames of at most 125 bytes."""

    def __init__(self, server: Server, rid: str, target: str = "/ws") -> None:
        self.connection = server.connect()
        handshake = head(
            target,
            rid,
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        )
        self.connection.sendall(handshake)
        raw = b""
        while b"\r\n\r\n" not in raw:
            part = self.connection.recv(1)
            if not part:
                break
            raw += part
        self.answer = Answer(raw)

    def send(self, text: str, opcode: int = 1) -> None:
        self._frame(opcode, text.encode())

    def _frame(self, opcode: int, payload: bytes) -> None:
        # Masked with zeros, which leaves the payload as it is.
        self.connection.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)

    def receive(self) -> tuple[int, bytes]:
        first, length = self._exactly(2)
        return first & 0x0F, self._exactly(length & 0x7F)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self.connection.recv(count - len(found))
            assert part, "the server has closed the connection"
            found += part
        return found

    def close(self, code: int = 1000) -> None:
        """Close it as the protocol says."""
        self._frame(8, code.to_bytes(2, "big"))
        everything(self.connection)
        self.connection.close()

    def vanish(self) -> None:
        """Close the connection without a word."""
        self.connection.close()
