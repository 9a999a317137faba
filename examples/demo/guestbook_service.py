"""Runs the guest book of ``examples/guestbook.py``, and asks it."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from processes import Processes, last_line

GUESTBOOK = Path(__file__).resolve().parents[1] / "guestbook.py"

_ANSWERS_WITHIN_S = 10.0

#: Variables that would change what the guest book shows.
_PREFIXES = ("DOCKERFLOW_", "FLASK_", "FORCE_COLOR", "LOG_", "LOGGING_", "NO_COLOR")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
# Loopback is not reached by a proxy.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True)
class Answer:
    """What the service has answered."""

    status: int
    body: str


@dataclass
class Service:
    """A guest book that runs.

    Args:
        processes: What has started it, and ends it.
        process: Its process, whose stdout is a pipe.
        errors: The file of its stderr.
    """

    processes: Processes
    process: "subprocess.Popen[str]"
    errors: Path
    lines: list[str] = field(default_factory=list)
    port: int = 0

    def wait(self) -> None:
        """Wait until it serves; raise OSError with the reason if it ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            port = re.search(r"port\W+(\d+)", _COLOUR.sub("", line))
            if port:
                self.port = int(port[1])
                return
        # Uncaught exceptions are lines as well.
        why = self.errors.read_text() or "".join(self.lines)
        raise OSError(f"the guest book does not serve: {last_line(why)}")

    def ask(self, path: str, form: dict[str, str] | None = None, request_id: str = "") -> Answer:
        """Send a request: POST with a form, else GET."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=urllib.parse.urlencode(form).encode() if form else None,
            headers={"X-Request-Id": request_id, "User-Agent": "demo"},
        )
        try:
            answer = _open(request, timeout=_ANSWERS_WITHIN_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Answer(answer.status, answer.read().decode())

    def stop(self) -> list[str]:
        """End it; return all that it wrote to stdout."""
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        self.process.terminate()
        self.lines += stdout
        self.processes.stop(self.process)
        return self.lines


def start(
    processes: Processes, folder: Path, database_url: str, log_format: str, *,
    port: int = 0, is_coloured: bool = False,
) -> Service:  # fmt: skip
    """Start the guest book.

    Args:
        processes: What ends it.
        folder: The folder of ``version.json`` and of its stderr.
        database_url: The URL of its database.
        log_format: ``mozlog`` or ``pretty``.
        port: The port on 127.0.0.1; 0 for any.
        is_coloured: Whether ``pretty`` has colours.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
    kept |= {
        "APP_DIR": str(folder), "DATABASE_URL": database_url, "GUESTBOOK_TITLE": "Guests",
        # The demonstration has no time to wait for results that are kept.
        "FLASK_DOCKERFLOW_HEARTBEAT_CACHE_SECONDS": "0",
        "FORCE_COLOR" if is_coloured else "NO_COLOR": "1",
        "LOG_FORMAT": log_format, "PORT": str(port),
    }  # fmt: skip
    errors = folder / f"guestbook-{log_format}.stderr"
    with errors.open("wb") as written:
        process = processes.start(
            [sys.executable, str(GUESTBOOK)],
            env=kept, stdout=subprocess.PIPE, stderr=written, text=True, encoding="utf-8",
        )  # fmt: skip
    return Service(processes, process, errors)


def failed_checks(answer: Answer) -> list[str]:
    """Return the names of the checks that a heartbeat calls errors."""
    return [name for name, state in json.loads(answer.body)["checks"].items() if state == "error"]
