"""What is put in the place of a log by another program with write access to its folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .service import Rows

# Logs a line for each that it reads, by each front, and says that it has.
_SOURCE = """
import logging, os, signal, sys, structlog, mozlog_py
mozlog_py.configure("shop", stream=sys.argv[1], queue=sys.argv[2] == "queue")
(handler,) = logging.getLogger().handlers
for line in sys.stdin:
    os.kill(os.getpid(), signal.SIGHUP)
    logging.getLogger("shop").info(line.strip())
    structlog.get_logger("shop").info(line.strip())
    handler.flush()
    print(handler.lost, flush=True)
"""
_SECRET = "# a file of another\n"
#: Puts something in the place of the log: the folder is given.
Put = Callable[[Path], object]
_PUT: dict[str, Put] = {
    "a link to a file of another": lambda at: (at / "log").symlink_to(at / "crontab"),
    "a relative link": lambda at: (at / "log").symlink_to("crontab"),
    "a link to nothing": lambda at: (at / "log").symlink_to(at / "made"),
    "a link to a link": lambda at: (
        (at / "second").symlink_to("crontab"), (at / "log").symlink_to("second"),
    ),
    "a link to itself": lambda at: (at / "log").symlink_to("log"),
    "a link to a device": lambda at: (at / "log").symlink_to("/dev/zero"),
    "a link to a descriptor": lambda at: (at / "log").symlink_to("/proc/self/fd/1"),
    "a link to a folder": lambda at: (at / "log").symlink_to(at),
    "a FIFO without a reader": lambda at: os.mkfifo(at / "log"),
    "a folder": lambda at: (at / "log").mkdir(),
}  # fmt: skip


def run() -> Rows:
    """Return one row for what is put there, and one for what is made."""
    ways = [(name, queue) for queue in ("", "queue") for name in _PUT]
    with ThreadPoolExecutor(3) as pool:
        held = sum(pool.map(_holds, ways))
    private = [_is_private(queue) for queue in ("", "queue")]
    return [
        ("a link, a FIFO or a folder in the place of a log", len(ways), held),
        ("a log is readable by its owner and group only", len(private), sum(private)),
    ]


def _holds(way: tuple[str, str]) -> bool:
    name, queue = way
    put = _PUT[name]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "crontab").write_text(_SECRET)
        process = _start(at / "log", queue)
        try:
            said = [_say(process, "one")]
            (at / "log").rename(at / "log.1")
            put(at)
            said += [_say(process, "two"), _say(process, "three")]
        except (OSError, ValueError) as error:
            print(f"{name}: {error!r}", file=sys.stderr)
            return False
        finally:
            # What waits for ever is not ended by an end of its input.
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        lines = (at / "log.1").read_text().splitlines()
        is_held = (
            said == ["0"] * 3
            and len(lines) == 6
            and (at / "crontab").read_text() == _SECRET
            and not (at / "made").exists()
        )
        if not is_held:
            print(f"{name}: {said}, {len(lines)} lines", file=sys.stderr)
        return is_held


def _is_private(queue: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        former = os.umask(0)
        try:
            process = _start(log, queue)
        finally:
            os.umask(former)
        _say(process, "one")
        process.communicate(timeout=10)
        return log.stat().st_mode & 0o777 == 0o640


def _start(log: Path, queue: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _SOURCE, str(log), queue],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def _say(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()
