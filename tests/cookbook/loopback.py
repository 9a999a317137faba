"""Programs of recipes that serve on loopback: started, asked and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Seconds after which a test gives up.
PATIENCE_S = 60.0


@dataclass
class Running:
    """A program whose output goes to files."""

    process: subprocess.Popen[bytes]
    files: Path

    @property
    def out(self) -> bytes:
        return (self.files / "out").read_bytes()

    @property
    def err(self) -> str:
        return (self.files / "err").read_text()


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a program until the block is left, then end it with SIGTERM.

    Args:
        command: The program and its arguments.
        folder: Its current folder, beside which its output is kept.
        port: The port on 127.0.0.1 that it listens on; None if it does not.
        environment: Its whole environment; by default this one.
    """
    files = folder.parent
    with (files / "out").open("wb") as out, (files / "err").open("wb") as err:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(os.environ if environment is None else environment),
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
    served = Running(process, files)
    try:
        if port is not None:
            wait_until(lambda: _is_listening(port, served), f"listen on {port}")
        yield served
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S / 3)
        # Its workers are in its session, and must not outlive the test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answer_of(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"User-Agent": "probe"}
    )
    try:
        answer = urllib.request.urlopen(request, timeout=PATIENCE_S)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.read().decode()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: It does not hold after ``PATIENCE_S`` seconds.
    """
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"it does not {what}"
        time.sleep(0.02)


def _is_listening(port: int, served: Running) -> bool:
    assert served.process.poll() is None, served.err + served.out.decode()
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False
