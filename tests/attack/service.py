"""The services of ``examples/`` on real servers on loopback, and what is sent to them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import free_port

from mozlog_py import schema

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Whether fewer of each attack are tried.
IS_QUICK = bool(os.environ.get("MOZLOG_ATTACK_QUICK"))

#: All example services; by name of the example and, for uvicorn, of its parser.
ALL = (
    ("guestbook.py", ""), ("bare_wsgi.py", ""), ("with_sanic.py", ""), ("with_django.py", ""),
    ("with_fastapi.py", "httptools"), ("bare_asgi.py", "h11"),
)  # fmt: skip
QUICK = (("guestbook.py", ""), ("bare_asgi.py", "h11"))
SERVICES = QUICK if IS_QUICK else ALL

# Runs an example as it is; ``DOCKERFLOW_*`` of the environment are its settings.
_LAUNCH = """
import os, runpy, sys
settings = {name: os.environ[name] for name in os.environ if name.startswith("DOCKERFLOW_")}
parser = sys.argv[2]
if sys.argv[1].endswith("guestbook.py"):
    import flask
    flask.Flask.default_config = {**flask.Flask.default_config, **settings}
if sys.argv[1].endswith("django.py"):
    import django.conf
    configure = django.conf.LazySettings.configure
    django.conf.LazySettings.configure = lambda self, **given: configure(
        self, **{**given, **settings}
    )
if parser:
    import uvicorn
    run = uvicorn.run
    def run_with(app, **options):
        for name, value in settings.items():
            setattr(getattr(app, "state", None) or settings_of_none, name, value)
        run(app, **options, http=parser)
    settings_of_none = type("Nothing", (), {})()
    uvicorn.run = run_with
sys.argv[:] = sys.argv[1:2]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""

_PATIENCE_S = 60.0
# Seconds until the first byte of an answer, if there is one at all; and without a byte more,
# after which it is taken for whole.
_FIRST_S, _IDLE_S = 20.0, 0.5
#: The loggers of servers, which call some requests that they refuse an error of their own.
OF_SERVERS = ("sanic.error", "werkzeug")
# How much is shown of what did not hold, for each service: notes, and characters of one.
_MAX_NOTES, _MAX_NOTE = 3, 500
#: The longest line, its newline included, that a sink of this package writes by default.
LONGEST = 16_384


@dataclass
class Service:
    """A service that serves: its port, its process and its folder."""

    name: str
    port: int
    pid: int
    folder: Path
    _read: int = 0
    _asked: int = 0
    #: Everything that is wrong with lines, for who looks why something did not hold.
    problems: list[str] = field(default_factory=list)

    def send(self, payload: bytes) -> bytes:
        """Send bytes on a connection of their own; give all that comes back."""
        got = b""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), _PATIENCE_S) as connection,
        ):
            connection.settimeout(_PATIENCE_S)
            with contextlib.suppress(OSError):
                # A server may answer, and close, before it has read all.
                connection.sendall(payload)
            connection.settimeout(_FIRST_S)
            while part := connection.recv(65_536):
                got += part
                connection.settimeout(_IDLE_S)
        return got

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> bytes:
        """Send a request that is well-formed."""
        return self.send(request(method.encode(), path.encode(), **headers))

    def is_alive(self) -> bool:
        """Return whether it answers as it should."""
        return status(self.get("/__lbheartbeat__")) == 200

    def lines(self) -> list[bytes]:
        """Return what it has written since the last time, up to a request that is made now."""
        self._asked += 1
        mark = f"the-end-{self._asked}"
        self.get("/__lbheartbeat__", X_Request_Id=mark)
        until = time.monotonic() + _PATIENCE_S
        while True:
            with (self.folder / "out").open("rb") as out:
                out.seek(self._read)
                written = out.read()
            lines = written.splitlines(keepends=True)
            of_end = [
                at for at, line in enumerate(lines)
                if mark.encode() in line and b'"request.summary"' in line and line[-1:] == b"\n"
            ]  # fmt: skip
            if of_end:
                taken = lines[: of_end[0] + 1]
                self._read += sum(map(len, taken))
                return taken[:-1]
            assert time.monotonic() < until, "it does not answer any more"
            time.sleep(0.005)

    def checked(self, *, longest: int = LONGEST) -> list[dict[str, Any]] | None:
        """Return the lines since the last time, parsed; None if one is not as it should be."""
        parsed = []
        for line in self.lines():
            wrong = [str(problem) for problem in schema.validate(line)]
            if len(line) > longest:
                wrong.append(f"it has {len(line)} bytes")
            if UNSAFE.search(line[:-1].decode("utf-8", "replace")):
                wrong.append("it has characters that act on a terminal")
            if wrong:
                self.problems.append(f"{self.name}: {wrong} in {line[:300]!r}")
                return None
            parsed.append(json.loads(line))
        return parsed

    def memory(self) -> int:
        """Return the bytes of memory that the process has."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) * 1024

    def note(self, text: str) -> bool:
        """Keep why something did not hold; gives False."""
        self.problems.append(f"{self.name}: {text}")
        return False


#: What acts on a terminal or on a viewer of logs: controls, separators, directions of text.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def request(method: bytes, path: bytes, body: bytes = b"", **headers: str) -> bytes:
    """Make the bytes of a request, which closes its connection; ``X_A`` is the header X-A."""
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    length = b"Content-Length: %d\r\n" % len(body) if body or method == b"POST" else b""
    return (
        b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%b%b\r\n%b"
        % (method, path, given.encode(), length, body)
    )  # fmt: skip


def status(answer: bytes) -> int:
    """Return the status of an answer, 0 where there is none."""
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else 0


def head(answer: bytes) -> bytes:
    """Return the head of an answer, in small letters."""
    return answer.partition(b"\r\n\r\n")[0].lower()


def answers(got: bytes) -> int:
    """Return how many answers stand in what came back on one connection."""
    return len(re.findall(rb"(?:^|(?<=\n)|(?<=[^\r\n]))HTTP/1\.[01] \d{3} ", got))


Rows = list[tuple[str, int, int]]


class Tally:
    """What was tried and what held, by attack, in the order in which they are first counted."""

    def __init__(self, *attacks: str) -> None:
        self.counts: dict[str, list[int]] = {attack: [0, 0] for attack in attacks}

    def add(self, attack: str, is_held: bool) -> None:
        """Count one attempt."""
        row = self.counts.setdefault(attack, [0, 0])
        row[0] += 1
        row[1] += is_held


def on_each(
    visit: Callable[[str, str], Tally], services: Iterable[tuple[str, str]] = SERVICES
) -> Rows:
    """Have services attacked, some at the same time: most of it is waiting for them to start.

    Args:
        visit: Starts one service, by its example and its parser, and attacks it.
        services: Which ones.
    """
    total: dict[str, list[int]] = {}
    with ThreadPoolExecutor(3) as pool:
        for tally in list(pool.map(lambda each: visit(*each), services)):
            for attack, (tried, held) in tally.counts.items():
                row = total.setdefault(attack, [0, 0])
                row[0] += tried
                row[1] += held
    return [(attack, tried, held) for attack, (tried, held) in total.items() if tried]


@contextlib.contextmanager
def serving(
    example: str, parser: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Serve an example in a folder of its own until the block is left.

    Args:
        example: The file of ``examples/``.
        parser: The parser of HTTP, for those on uvicorn.
        environ: Further variables; ``DOCKERFLOW_*`` become settings of any framework.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        kept = {key: of for key, of in os.environ.items() if key[:4] != "LOG_"}
        database = folder / "shop.sqlite"
        variables = {
            "APP_DIR": name, "DATABASE": str(database), "DATABASE_URL": f"sqlite:///{database}",
            "HOME": name, "LOG_FORMAT": "mozlog", "PORT": str(port), **(environ or {}),
        }  # fmt: skip
        # Sanic has those of the environment by a prefix of its own.
        variables |= {f"SANIC_{key}": of for key, of in variables.items() if key[:4] == "DOCK"}
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(EXAMPLES / example), parser],
                cwd=folder, env={**kept, **variables}, stdout=out, stderr=err,
            )  # fmt: skip
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
            label = f"{example.removesuffix('.py')}{f' on {parser}' if parser else ''}"
            service = Service(label, port, process.pid, folder)
            service.lines()
            yield service
            for problem in service.problems[:_MAX_NOTES]:
                print(problem[:_MAX_NOTE], file=sys.stderr)
            if len(service.problems) > _MAX_NOTES:
                more = len(service.problems) - _MAX_NOTES
                print(f"{service.name}: {more} more did not hold", file=sys.stderr)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE_S / 4)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
