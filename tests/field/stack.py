"""Real servers on loopback: started once, asked over raw sockets, and read by their lines.

A test asks a ``Stack`` inside ``with stack.watching() as seen:``. Behind the block
``seen`` holds the lines that the server wrote meanwhile: the block ends with a
request to an application without dockerflow, and waits for the line of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import checked
from ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PATIENCE_S = 60.0
#: How long a client waits for some of an answer.
ANSWER_S = 10.0
#: How long a test waits for a line that should be there already, before it fails.
SETTLE_S = 8.0
_STOP_S = 15.0

_marks = itertools.count(1)


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the only value of a header, None where there is none."""
        found = self.all(name)
        assert len(found) < 2, f"{name} was sent {len(found)} times: {found}"
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for held, value in self.headers if held.lower() == name.lower()]


class Connection:
    """One client's TCP connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *requests: bytes) -> None:
        """Send requests, several of them in one piece, as a pipelining client does."""
        self.socket.sendall(b"".join(requests))

    def head(self) -> Answer:
        """Read a response without its body."""
        first = self._file.readline()
        assert first, "the server closed the connection"
        headers = []
        while (line := self._file.readline().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return Answer(int(first.split()[1]), headers)

    def read(self, method: str = "GET") -> Answer:
        """Read a response."""
        answer = self.head()
        size = answer.header("content-length")
        if method == "HEAD":
            return answer
        if size is not None:
            answer.body = self._file.read(int(size))
        elif (answer.header("transfer-encoding") or "") == "chunked":
            parts = []
            while (length := int(self._file.readline().split(b";")[0], 16)) > 0:
                parts.append(self._file.read(length))
                self._file.readline()
            self._file.readline()
            answer.body = b"".join(parts)
        else:
            answer.body = self._file.read()
        return answer

    def read_some(self) -> bytes:
        """Read some of a body."""
        return self._file.read1(65536)  # type: ignore[union-attr]


def request(
    path: str,
    rid: str | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    close: bool = False,
) -> bytes:
    """Return a request as it is sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if rid is not None:
        lines.append(f"X-Request-Id: {rid}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


@dataclass
class Seen:
    """Lines, as they were written."""

    read: Callable[[], list[dict[str, Any]]]
    lines: list[dict[str, Any]] = field(default_factory=list)

    def until(self, is_so: Callable[[Seen], bool], within_s: float | None = None) -> None:
        """Wait until the lines are such; a test that fails then says what they are."""
        end = time.monotonic() + (SETTLE_S if within_s is None else within_s)
        while True:
            self.lines = self.read()
            if is_so(self) or time.monotonic() > end:
                return
            time.sleep(0.02)

    def until_summary(self, path: str, times: int = 1) -> None:
        self.until(lambda seen: len(seen.summaries(path)) >= times)

    def summaries(self, path: str | None = None) -> list[dict[str, Any]]:
        """Return the summaries, each the whole line."""
        return [
            line
            for line in self.lines
            if line["Type"] == "request.summary" and path in (None, line["Fields"].get("path"))
        ]

    def summary(self, path: str | None = None) -> dict[str, Any]:
        """Return the Fields of the only summary, with ``Severity`` beside them."""
        found = self.summaries(path)
        assert len(found) == 1, f"{len(found)} summaries of {path}: {self.lines}"
        return {**found[0]["Fields"], "Severity": found[0]["Severity"]}

    def outcome(self, path: str | None = None) -> tuple[int, int, int]:
        """Return Severity, errno and code of the only summary."""
        summary = self.summary(path)
        return summary["Severity"], summary["errno"], summary["code"]

    def of(self, logger: str) -> list[dict[str, Any]]:
        """Return the Fields of a logger's lines."""
        return [line["Fields"] for line in self.lines if line["Type"] == logger]

    def saying(self, text: str) -> list[dict[str, Any]]:
        """Return the Fields of the lines with a text in their message."""
        return [line["Fields"] for line in self.lines if text in str(line["Fields"].get("msg", ""))]

    def rids(self, text: str) -> list[Any]:
        """Return the ids of the lines with a text in their message."""
        return [fields.get("rid") for fields in self.saying(text)]


class Stack:
    """A server that runs."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, folder: Path):
        self.name = name
        self.process = process
        self.port = port
        self.folder = folder

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text("utf-8", "replace")

    def lines_from(self, offset: int) -> list[dict[str, Any]]:
        with (self.folder / "out").open("rb") as out:
            out.seek(offset)
            text = out.read()
        # Servers greet their users on standard output; a line that is being written waits.
        return [
            checked(line) for line in text.split(b"\n")[:-1] if line.startswith(b'{"Timestamp"')
        ]

    @property
    def size(self) -> int:
        return (self.folder / "out").stat().st_size

    def seen(self) -> Seen:
        """Return all lines from here on, to be read as they come."""
        offset = self.size
        return Seen(lambda: self.lines_from(offset))

    @contextmanager
    def watching(self, summaries: int = 1) -> Iterator[Seen]:
        """Collect the lines that are written in a block, so many summaries among them.

        A thread may still write the summary of a response that its client has read:
        that many summaries are waited for. More of them are in the lines as well.
        """
        seen = self.seen()
        yield seen
        seen.until(lambda now: len(now.summaries()) >= summaries)
        mark = f"mark-{next(_marks)}"
        assert self.ask(f"/control/mark-{mark}").status == 200
        seen.until(lambda now: bool(now.saying(mark)), PATIENCE_S)
        assert seen.saying(mark), f"{self.name} does not write: {self.err[-2000:]}"
        seen.lines = [
            line
            for line in seen.lines
            if "/control/mark-" not in str(line["Fields"].get("path"))
            and "mark-" not in str(line["Fields"].get("msg"))
        ]

    def ask(self, path: str, rid: str | None = None, **options: Any) -> Answer:
        """Ask on a connection of its own."""
        with self.connect() as connection:
            connection.send(request(path, rid, close=True, **options))
            return connection.read(options.get("method", "GET"))

    def connect(self) -> Connection:
        return Connection(self.port)

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_STOP_S)
        # Its workers are of its own session, and must not outlive the tests.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=_STOP_S)


class Stacks:
    """The servers of a test run; each is started when a test first wants it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, Stack] = {}

    def __getitem__(self, name: str) -> Stack:
        if name not in self._started:
            self._started[name] = start(name, self._folder / name)
        stack = self._started[name]
        assert stack.process.poll() is None, f"{name} has ended: {stack.err[-3000:]}"
        return stack

    def stop(self) -> None:
        for stack in self._started.values():
            stack.terminate()
        for stack in self._started.values():
            stack.stop()


_UVICORN = ("uvicorn", "asgi_stack:app", "--port", "PORT", "--no-access-log")
_HYPERCORN = ("hypercorn", "asgi_stack:app", "-b", "127.0.0.1:PORT", "--graceful-timeout", "1")
_GUNICORN = (
    "gunicorn", "-b", "127.0.0.1:PORT", "--graceful-timeout", "2",
    "--access-logfile", "-", "--keep-alive", "5",
)  # fmt: skip

#: How each stack is started: ``python -m`` and these arguments.
COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn-asyncio-h11": (*_UVICORN, "--loop", "asyncio", "--http", "h11"),
    "uvicorn-asyncio-httptools": (*_UVICORN, "--loop", "asyncio", "--http", "httptools"),
    "uvicorn-uvloop-h11": (*_UVICORN, "--loop", "uvloop", "--http", "h11", "--ws", "wsproto"),
    "uvicorn-uvloop-httptools": (*_UVICORN, "--loop", "uvloop", "--http", "httptools"),
    "hypercorn-asyncio": _HYPERCORN,
    "hypercorn-trio": (*_HYPERCORN, "-k", "trio"),
    "granian-asgi": (
        "granian", "asgi_stack:app", "--interface", "asgi", "--port", "PORT",
    ),
    "gunicorn-asgi": (*_GUNICORN, "-k", "asgi", "asgi_stack:app"),
    "daphne": ("daphne", "-p", "PORT", "-b", "127.0.0.1", "asgi_stack:app"),
    "gunicorn-sync": (*_GUNICORN, "wsgi_stack:app"),
    "gunicorn-gthread": (*_GUNICORN, "--threads", "8", "wsgi_stack:app"),
    "gunicorn-gevent": (*_GUNICORN, "-k", "gevent", "wsgi_stack:app"),
    "waitress": ("waitress", "--port=PORT", "--host=127.0.0.1", "wsgi_stack:app"),
    "granian-wsgi": (
        "granian", "wsgi_stack:app", "--interface", "wsgi", "--port", "PORT",
        "--blocking-threads", "4",
    ),
    "werkzeug": ("wsgi_werkzeug", "PORT"),
    "company-flask": (*_GUNICORN, "--threads", "4", "company_flask:app"),
    "company-flask-late": (*_GUNICORN, "company_flask:app"),
    "company-fastapi-outside": ("uvicorn", "company_fastapi:app", *_UVICORN[2:]),
    "company-fastapi-inside": ("hypercorn", "company_fastapi:app", *_HYPERCORN[2:]),
    "company-django": (*_GUNICORN, "--threads", "4", "company_django:app"),
    "company-django-asgi": ("uvicorn", "company_django:asgi", *_UVICORN[2:]),
    "ddtrace-wsgi": (*_GUNICORN, "--threads", "4", "traced_wsgi:app"),
    "ddtrace-asgi": ("uvicorn", "traced_asgi:app", *_UVICORN[2:]),
}  # fmt: skip

_DDTRACE = {
    "DD_CRASHTRACKING_ENABLED": "false",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_LOGS_INJECTION": "true",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    # Nothing listens there: traces are made, and lost.
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
    "DD_TRACE_STARTUP_LOGS": "false",
}
#: What some stacks want in their environment.
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "company-flask": {"FIELD_ORDER": "instrumented-first"},
    "company-flask-late": {"FIELD_ORDER": "instrumented-last"},
    "company-fastapi-outside": {"FIELD_ORDER": "correlation-outside"},
    "company-fastapi-inside": {"FIELD_ORDER": "correlation-inside"},
    "ddtrace-wsgi": _DDTRACE,
    "ddtrace-asgi": _DDTRACE,
}

UVICORN = tuple(name for name in COMMANDS if name.startswith("uvicorn"))
#: Servers of ASGI; in those of them that run asyncio all of the applications are served.
ASGI = (*UVICORN, "hypercorn-asyncio", "hypercorn-trio", "granian-asgi", "gunicorn-asgi", "daphne")
ASYNCIO = tuple(name for name in ASGI if name != "hypercorn-trio")
WSGI = (
    "gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "waitress", "granian-wsgi", "werkzeug",
)  # fmt: skip


def start(
    name: str,
    folder: Path,
    command: tuple[str, ...] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Stack:
    """Start a server in a folder of its own, and wait until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "version.json").write_text('{"version": "1.2"}')
    stack = _started(
        name,
        folder,
        command or COMMANDS[name],
        {**ENVIRONMENTS.get(name, {}), **(environment or {})},
    )
    try:
        _wait_until_it_answers(stack)
    except BaseException:
        stack.stop()
        raise
    return stack


def _started(
    name: str, folder: Path, command: tuple[str, ...], environment: Mapping[str, str]
) -> Stack:
    port = free_port()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [
                sys.executable, "-W", "ignore", "-m",
                *(part.replace("PORT", str(port)) for part in command),
            ],
            cwd=folder,
            env={
                **os.environ,
                "APP_DIR": str(folder),
                "DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": "true",
                "FIELD_STACK": name,
                "HOME": str(folder),
                "LOG_LEVEL": "INFO",
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
                **environment,
            },
            stdout=out,
            stderr=err,
            start_new_session=True,
            # What interrupts the tests ends the servers as well.
            preexec_fn=_end_with_parent,
        )  # fmt: skip
    return Stack(name, process, port, folder)


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _wait_until_it_answers(stack: Stack) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert stack.process.poll() is None, f"{stack.name} has ended: {stack.err[-4000:]}"
        with contextlib.suppress(OSError, AssertionError):
            if stack.ask("/control/plain").status == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"{stack.name} does not answer: {stack.err[-4000:]}")
