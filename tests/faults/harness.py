"""Causes faults in an application in a process of its own, and counts the lines that come out.

Every fault is a function of a count and a handler, and returns a ``FaultResult``. The tests
cause each fault a few times. ``torture.py`` causes it often, and for the standard library's
handler as well.
"""

import array
import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mozlog_py import schema

APP = Path(__file__).with_name("app.py")
_TIMEOUT_S = 300
# Of an end that takes a moment.
_LONG_S = 60


@dataclass
class FaultResult:
    """The lines of an application that met a fault."""

    fault: str
    tried: int = 0
    #: Lines that arrived whole.
    survived: int = 0
    #: Lines that the app's sink counted as lost.
    reported: int = 0
    partial: int = 0
    doubled: int = 0
    hung: int = 0
    #: The app's exit status, if it is not the expected one.
    status: int = 0
    facts: dict = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.tried - self.survived

    @property
    def is_clean(self) -> bool:
        return not (self.partial or self.doubled or self.hung or self.status)

    @property
    def is_exact(self) -> bool:
        return self.is_clean and self.lost == self.reported


def read_lines(outcome: FaultResult, out: bytes) -> Counter:
    """Count the lines of an output by source and number, and those that are torn or doubled."""
    seen: Counter = Counter()
    parts = out.split(b"\n")
    tail = parts.pop()
    outcome.partial += bool(tail)
    for line in parts:
        try:
            document = json.loads(line)
            fields = document["Fields"]
        except Exception:
            outcome.partial += 1
            continue
        if "lost" in fields and "source" not in fields:
            continue
        assert not schema.validate(line), line
        if "source" not in fields and "mozlog.degraded" in fields:
            # A signal handler interrupted the rendering so often that the line has only that.
            outcome.facts["unnamed"] = outcome.facts.get("unnamed", 0) + 1
            continue
        if "own" in fields:
            assert fields["own"] == document["Pid"]
        seen[fields["source"], fields["number"]] += 1
    outcome.doubled += sum(count - 1 for count in seen.values())
    outcome.survived += len(seen)
    return seen


class App:
    """A running application, and its report."""

    def __init__(self, fault, handler, count, *, unbuffered="", stdout, env=None, **options):
        self.directory = tempfile.TemporaryDirectory()
        self.report_path = Path(self.directory.name, "report")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(APP), fault, handler, str(count)],
            # coverage has locks of its own, which a fork leaves locked.
            env={
                **{key: of for key, of in os.environ.items() if not key.startswith("COVERAGE_")},
                "PYTHONUNBUFFERED": unbuffered,
                "REPORT": str(self.report_path),
                **(env or {}),
            },
            stdout=stdout,
            stderr=options.pop("stderr", subprocess.DEVNULL),
            **options,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.directory.cleanup()

    def report(self) -> dict:
        try:
            return json.loads(self.report_path.read_text())
        except (OSError, ValueError):
            return {}


@contextmanager
def piped(fault, handler, count, **options):
    """Run an app with a pipe as its stdout; yield the app and the end to read from."""
    reader, writer = os.pipe()
    try:
        with App(fault, handler, count, stdout=writer, **options) as app:
            os.close(writer)
            writer = -1
            yield app, reader
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def drain(reader: int, *, chunk: int = 65_536, pause: float = 0.0) -> bytes:
    out = []
    until = time.monotonic() + _TIMEOUT_S
    while True:
        if not select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError("the app writes no more and does not end")
        got = os.read(reader, chunk)
        if not got:
            return b"".join(out)
        out.append(got)
        if pause:
            time.sleep(pause)


def ended(outcome: FaultResult, app: App, status: int = 0) -> dict:
    """Wait until an app ends, and add its report to the outcome."""
    got = app.process.wait(timeout=_TIMEOUT_S)
    outcome.status = 0 if got == status else got or -1
    facts = app.report()
    outcome.facts.update(facts)
    outcome.tried += facts.get("tried", 0)
    outcome.reported += facts.get("lost", 0)
    outcome.hung += facts.get("hung", 0)
    return facts


def nonblocking(count, handler, unbuffered=""):
    outcome = FaultResult(f"non-blocking stdout, slow reader, PYTHONUNBUFFERED={unbuffered!r}")
    with piped("nonblocking", handler, count, unbuffered=unbuffered) as (app, reader):
        _wait_until_full(reader, app)
        out = drain(reader, chunk=32_768, pause=0.001)
        ended(outcome, app)
    read_lines(outcome, out)
    return outcome


def _wait_until_full(reader, app):
    waiting = array.array("i", [0])
    while app.process.poll() is None and waiting[0] < 60_000:
        time.sleep(0.005)
        fcntl.ioctl(reader, termios.FIONREAD, waiting)
    # A handler that gives up on a full pipe does so now.
    time.sleep(0.05)


def _timer(fault, title, count, handler, unbuffered, pad=None):
    """``pad``: bytes of a line, for a file; None is for long ones and a pipe."""
    outcome = FaultResult(title)
    if pad is None:
        with piped(fault, handler, count, unbuffered=unbuffered) as (app, reader):
            out = drain(reader, chunk=20_000, pause=0.0002)
            ended(outcome, app)
    else:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "out")
            with (
                path.open("ab") as file,
                App(
                    fault, handler, count, unbuffered=unbuffered, stdout=file,
                    env={"PAD": str(pad)},
                ) as app,
            ):  # fmt: skip
                ended(outcome, app)
            out = path.read_bytes()
    return outcome, read_lines(outcome, out)


def timer(count, handler, unbuffered="1", **options):
    title = "a signal every millisecond, 200 KB lines"
    return _timer("timer", title, count, handler, unbuffered, **options)[0]


def logging_timer(count, handler, unbuffered="1", **options):
    title = "the same, and its handler logs"
    return _timer("logging_timer", title, count, handler, unbuffered, **options)[0]


def raising_timer(count, handler, unbuffered="1", **options):
    title = "the same, and its handler raises"
    outcome, seen = _timer("raising_timer", title, count, handler, unbuffered, **options)
    kept = outcome.facts.get("kept", [])
    outcome.survived = sum(("main", number) in seen for number in kept)
    # Those of calls that were interrupted before they had the line are written, too, and
    # stand for none that is missing.
    outcome.survived += min(outcome.lost, outcome.facts.get("unnamed", 0))
    return outcome


def forks(count, handler, unbuffered=""):
    outcome = FaultResult("forks while four threads log")
    with piped("forks", handler, count, unbuffered=unbuffered) as (app, reader):
        out = drain(reader)
        ended(outcome, app)
    read_lines(outcome, out)
    return outcome


def _sum_of_processes(outcome, count, out):
    outcome.tried = 8 * count
    read_lines(outcome, out)
    return outcome


def forked_processes(count, handler, unbuffered=""):
    outcome = FaultResult("eight forked workers, one pipe, 100 bytes to 64 KiB")
    with piped("forked_processes", handler, count, unbuffered=unbuffered) as (app, reader):
        out = drain(reader)
        ended(outcome, app)
    return _sum_of_processes(outcome, count, out)


def processes(count, handler, unbuffered=""):
    outcome = FaultResult("eight processes of no common parent's making, one pipe")
    reader, writer = os.pipe()
    apps = [
        App(
            "processes", handler, count,
            unbuffered=unbuffered, stdout=writer, env={"SOURCE": str(source)},
        )
        for source in range(8)
    ]  # fmt: skip
    os.close(writer)
    try:
        out = drain(reader)
        outcome.status = max(app.process.wait(timeout=_TIMEOUT_S) for app in apps)
    finally:
        os.close(reader)
        for app in apps:
            app.__exit__()
    return _sum_of_processes(outcome, count, out)


def killed(count, handler, unbuffered=""):
    outcome = FaultResult("SIGKILL at random moments")
    moments = random.Random(5)
    for turn in range(count):
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory, "returned")
            report.write_bytes(bytes(8))
            out_path = Path(directory, "out")
            is_pipe = turn % 2
            reader, writer = os.pipe()
            with out_path.open("ab") as file:
                app = App(
                    "killed", handler, 0, unbuffered=unbuffered,
                    stdout=writer if is_pipe else file, env={"REPORT": str(report)},
                )  # fmt: skip
            os.close(writer)
            parts = []
            reading = threading.Thread(target=lambda: parts.append(drain(reader)))
            reading.start()
            with app:
                until = time.monotonic() + 60
                while not any(report.read_bytes()) and time.monotonic() < until:
                    time.sleep(0.002)
                time.sleep(moments.random() * 0.02)
                app.process.send_signal(signal.SIGKILL)
                app.process.wait()
            reading.join()
            os.close(reader)
            out = parts[0] if is_pipe else out_path.read_bytes()
            returned = int.from_bytes(report.read_bytes(), "little")
        one = FaultResult("")
        # The tail may be torn: its call had not returned.
        whole = out[: out.rfind(b"\n") + 1]
        seen = read_lines(one, whole)
        outcome.tried += returned
        outcome.survived += sum(("main", number) in seen for number in range(returned))
        outcome.partial += one.partial
        outcome.doubled += one.doubled
    return outcome


def dev_full(count, handler, unbuffered=""):
    outcome = FaultResult("/dev/full")
    with (
        Path("/dev/full").open("wb") as full,
        App("refused", handler, count, unbuffered=unbuffered, stdout=full) as app,
    ):
        ended(outcome, app, status=7)
    return outcome


def closed_pipe(count, handler, unbuffered=""):
    outcome = FaultResult("a pipe whose reader is gone")
    reader, writer = os.pipe()
    os.close(reader)
    with App("refused", handler, count, unbuffered=unbuffered, stdout=writer) as app:
        os.close(writer)
        ended(outcome, app, status=7)
    return outcome


def limited(count, handler, unbuffered=""):
    outcome = FaultResult("a limit of the file's size, lifted midway")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "out")
        with (
            path.open("ab") as file,
            App("limited", handler, count, unbuffered=unbuffered, stdout=file) as app,
        ):
            ended(outcome, app, status=7)
        read_lines(outcome, path.read_bytes())
    return outcome


def full(count, handler, unbuffered="", *, directory):
    """Fill the file system at ``directory``, which must be small and empty."""
    outcome = FaultResult("a full file system, room made midway")
    ballast, path = Path(directory, "ballast"), Path(directory, "out")
    found = os.statvfs(directory)
    with path.open("ab") as file:
        ballast.write_bytes(bytes(found.f_bavail * found.f_frsize - count * 100))
        with App(
            "full", handler, count, unbuffered=unbuffered, stdout=file,
            env={"BALLAST": str(ballast)},
        ) as app:  # fmt: skip
            ended(outcome, app, status=7)
    read_lines(outcome, path.read_bytes())
    path.unlink()
    return outcome


def stopped_reader(count, handler="queue", unbuffered="", *, seconds=0.0):
    outcome = FaultResult("the reader stopped, a queue that drops")
    with piped(
        "stopped_reader", "queue", count,
        unbuffered=unbuffered, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as (app, reader):  # fmt: skip
        # It says when all of its calls have returned; until then the reader is stopped.
        while b"done" not in (line := app.process.stderr.readline()):
            assert line, "the app ended"
        time.sleep(seconds)
        app.process.stdin.write(b"go\n")
        app.process.stdin.close()
        out = drain(reader)
        ended(outcome, app)
        app.process.stderr.close()
    read_lines(outcome, out)
    return outcome


def shutdown(count, handler, unbuffered=""):
    """The daemons' lines count for nothing: their number is not known."""
    outcome = FaultResult("daemon threads, atexit and __del__ at the end")
    with piped("shutdown", handler, count, unbuffered=unbuffered, stderr=subprocess.PIPE) as (
        app,
        reader,
    ):
        # What it wrote before it hung is not lost.
        watchdog = threading.Timer(_LONG_S, app.process.kill)
        watchdog.start()
        out = drain(reader)
        errors = app.process.stderr.read()
        app.process.stderr.close()
        ended(outcome, app)
        is_hung = not watchdog.is_alive()
        watchdog.cancel()
    if is_hung:
        outcome.status, outcome.hung = 0, 1
    outcome.tried = outcome.tried or count
    outcome.facts["stderr"] = errors.decode()
    outcome.hung += b"Traceback" in errors
    seen = read_lines(outcome, out)
    outcome.survived = sum(not str(source).startswith("daemon") for source, _ in seen)
    return outcome
