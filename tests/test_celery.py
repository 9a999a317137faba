"""A real Celery worker: its lines, and those of its tasks, are ours, whenever it is imported.

It has a broker in memory, gets its tasks from itself, and ends when they are done.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines

CONFIGURE = "import mozlog_py\nmozlog_py.configure('service', format='mozlog')\n"

# A worker that ends once it has the task "stop".
APP = """
from celery import Celery, signals

app = Celery("shop", broker="memory://")
app.conf.broker_transport_options = {"polling_interval": 0.01}

@app.task(name="stop")
def stop():
    from celery.worker import state
    state.should_stop = 0
"""

TASKS = (
    APP
    + """
from celery.utils.log import get_task_logger

task_logger = get_task_logger(__name__)

@app.task(name="pay")
def pay(number):
    logging.getLogger("app").info("by logging", extra={"number": number})
    structlog.get_logger("app").info("by structlog", number=number)
    task_logger.info("by the task's logger", extra={"number": number})
    if os.environ["PRINTS"]:
        print("printed")
    if number == 2:
        warnings.warn("careful")
        raise ValueError("boom")

@signals.worker_ready.connect
def start(**_):
    if os.environ["PRINTS"]:
        app.log.redirect_stdouts("WARNING")
    pay.delay(1)
    pay.delay(2)
    stop.delay()
    # It waits for one more before it stops, two seconds where there is none.
    stop.delay()
"""
)

IMPORTS = "import logging, os, sys, warnings\nimport structlog\n"

# celery's command has imported it before the module with the tasks.
MODULES = {
    "before": IMPORTS + TASKS + CONFIGURE,
    "after": (
        f"{IMPORTS}assert 'celery' not in sys.modules\n{CONFIGURE}{TASKS}"
        "if __name__ == '__main__':\n    app.start(sys.argv[1:])\n"
    ),
}
COMMANDS = {"before": ["celery", "-A", "tasks"], "after": ["tasks"]}


def work(
    folder: Path, imported: str, *, prints: bool = False, unbuffered: str = "", quiet: bool = True
) -> "subprocess.CompletedProcess[bytes]":
    (folder / "tasks.py").write_text(MODULES[imported])
    options = ["worker", "-P", "solo", "-l", "INFO", "--without-mingle", "--without-gossip"]
    return subprocess.run(
        [sys.executable, "-m", *COMMANDS[imported][:1], *(["-q"] if quiet else []),
         *COMMANDS[imported][1:], *options],
        cwd=folder,
        env={
            **os.environ,
            "LOG_LEVEL": "INFO",
            "PRINTS": "yes" if prints else "",
            "PYTHONUNBUFFERED": unbuffered,
        },
        capture_output=True,
        timeout=120,
        check=True,
    )  # fmt: skip


def assert_worked(lines: list[dict[str, Any]]) -> None:
    assert {line["Logger"] for line in lines} == {"service"}
    assert {tuple(line) for line in lines} == {tuple(lines[0])}
    told = [
        (line["Fields"]["number"], line["Fields"]["msg"])
        for line in lines
        if "number" in line["Fields"]
    ]
    logged = ["by logging", "by structlog", "by the task's logger"]
    assert told == [(number, message) for number in (1, 2) for message in logged]
    (failure,) = [line for line in lines if "error" in line["Fields"]]
    assert failure["Type"] == "celery.app.trace"
    assert failure["Fields"]["error"] == "ValueError('boom')"
    assert failure["Fields"]["traceback"].startswith("Uncaught exception:\n")
    messages = [line["Fields"]["msg"] for line in lines]
    assert any(message.startswith("Connected to memory://") for message in messages)
    assert sum("careful" in message for message in messages) == 1
    succeeded = [message for message in messages if "succeeded in" in message]
    assert sum(message.startswith("Task pay[") for message in succeeded) == 1


@pytest.mark.parametrize(("imported", "unbuffered"), [("before", "1"), ("after", "")])
def test_a_workers_lines_are_ours(tmp_path: Path, imported: str, unbuffered: str) -> None:
    done = work(tmp_path, imported, unbuffered=unbuffered)
    assert_worked(checked_lines(done.stdout))
    assert done.stderr == b""


@pytest.mark.parametrize("imported", ["before", "after"])
def test_what_is_printed_becomes_lines_when_it_is_redirected(tmp_path: Path, imported: str) -> None:
    done = work(tmp_path, imported, prints=True)
    lines = checked_lines(done.stdout)
    assert_worked(lines)
    printed = [
        (line["Fields"]["msg"], line["Severity"])
        for line in lines
        if line["Type"] == "celery.redirected"
    ]
    assert printed == [("printed", 4)] * 2
    assert done.stderr == b""


def test_only_the_banner_is_not_ours(tmp_path: Path) -> None:
    out = work(tmp_path, "before", quiet=False).stdout.splitlines(keepends=True)
    ours = [line for line in out if line.startswith(b"{")]
    assert_worked(checked_lines(b"".join(ours)))
    banner = [line for line in out if line not in ours]
    assert b"-------------- celery@" in b"".join(banner)
    first = out.index(banner[0])
    assert out[first : first + len(banner)] == banner


SECRET_TASKS = (
    """
import mozlog_py
from mozlog_py.processors import Redact

mozlog_py.configure("service", format="mozlog", processors=[Redact()])
"""
    + APP
    + """
@app.task(name="login")
def login(user, password):
    if user == "bob":
        raise ValueError("unknown")

@signals.worker_ready.connect
def start(**_):
    login.delay(user="ann", password="tulip")
    login.delay(user="bob", password="tulip")
    stop.delay()
    stop.delay()
"""
)


def test_a_keyword_argument_of_a_task_is_masked_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODULES, "secret", SECRET_TASKS)
    monkeypatch.setitem(COMMANDS, "secret", COMMANDS["before"])
    done = work(tmp_path, "secret")
    lines = checked_lines(done.stdout)
    shown = [line["Fields"]["data"]["kwargs"] for line in lines if "data" in line["Fields"]]
    for user in ("ann", "bob"):
        # Received, and succeeded or failed.
        assert shown.count(f"{{'user': '{user}', 'password': '[redacted]'}}") == 2
    assert b"tulip" not in done.stdout
