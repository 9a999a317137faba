"""Scripts and servers that run checks for real, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_PATIENCE_S = 60.0


def run_script(folder: Path, source: str) -> Any:
    """Run a script to its end, and give what it printed last, which is JSON."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=folder, capture_output=True, text=True, timeout=120, env=_environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Stack:
    """A server that serves."""

    port: int
    log: Path

    def get(self, path: str) -> tuple[int, Any]:
        """Return an answer's status, and its body: what JSON it is, else its text."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=_PATIENCE_S
            ) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode("utf-8", "replace")


@contextlib.contextmanager
def serving(
    folder: Path, source: str, command: list[str], variables: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Serve ``shop.py`` until the block is left.

    Args:
        folder: where it is served, and its files are.
        source: what ``shop.py`` is.
        command: the server's; PORT in it is a free port.
        variables: what its environment has beside that of the tests.
    """
    (folder / "shop.py").write_text(textwrap.dedent(source))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *(part.replace("PORT", str(port)) for part in command)],
            cwd=folder, stdout=out, stderr=out, start_new_session=True,
            env={**_environment(), **(variables or {})},
        )  # fmt: skip
    stack = Stack(port, log)
    try:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                assert stack.get("/__lbheartbeat__")[0] == 200, log.read_text()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield stack
    finally:
        # With its workers, which are of its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DOCKERFLOW_")}
    return {**ours, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
