"""Every Python snippet of the README is run, and what it promises is looked at."""

import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from conformance import checked, checked_lines

from mozlog_py import MozlogHandler

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text("utf-8")
SNIPPETS = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))

pytestmark = pytest.mark.usefixtures("untouched_process")


def run(name: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    exec(compile(SNIPPETS[name], f"README: {name}", "exec"), {"__name__": "__main__"})
    return checked_lines(capsys.readouterr().out)


def test_has_no_snippet_that_is_not_run() -> None:
    assert len(SNIPPETS) == TEXT.count("```python")
    assert set(SNIPPETS) == {
        "configure", "dictconfig", "servers", "uvicorn", "context", "structlog",
        "processors", "dockerflow", "testing", "schema",
    }  # fmt: skip


def test_configure(capsys: pytest.CaptureFixture[str]) -> None:
    line, of_structlog = run("configure", capsys)
    assert {**of_structlog, "Timestamp": 0} == {**line, "Timestamp": 0}
    shown = checked(re.findall(r"```json\n(.*?)\n```", TEXT)[0])
    changing = {"Timestamp", "Hostname", "Pid"}
    assert {key: value for key, value in line.items() if key not in changing} == {
        key: value for key, value in shown.items() if key not in changing
    }


def test_dictconfig(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = run("dictconfig", capsys)
    assert line["Logger"] == "shop"
    assert line["Fields"] == {"env": "prod", "uid": "ann", "msg": "open"}


def test_servers_and_uvicorn(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("servers", capsys) == run("uvicorn", capsys) == []


def test_context(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logger = logging.getLogger("shop")
    logger.addHandler(MozlogHandler(stream))
    logger.setLevel(logging.INFO)
    run("context", capsys)
    assert [line["Fields"] for line in checked_lines(stream.getvalue())] == [
        {"job": "reindex", "shelf": 7, "msg": "sorted"},
        {"job": "reindex", "msg": "done"},
        {"user": "ann", "msg": "hi"},
    ]
    logger.handlers.clear()


def test_structlog(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    # BytesLogger writes to the buffer that stdout has when the logger is made.
    try:
        exec(compile(SNIPPETS["structlog"], "README: structlog", "exec"), {"__name__": "__main__"})
    finally:
        structlog.reset_defaults()
    (line,) = checked_lines(capfdbinary.readouterr().out)
    assert line["Fields"] == {"amount": 12.5, "msg": "Ann paid"}


def test_processors(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = run("processors", capsys)
    assert line["Fields"] == {"headers": {"Cookie": "[redacted]"}, "msg": "refused"}


@pytest.mark.parametrize("name", ["dockerflow", "testing", "schema"])
def test_snippets_that_check_themselves(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(name, capsys)


def test_demo_shows_lines_in_both_formats_and_ends_well() -> None:
    demo = README.parent / "examples" / "demo.py"
    done = subprocess.run(
        [sys.executable, str(demo)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    codes = [line["Fields"]["code"] for line in lines if line["Type"] == "request.summary"]
    assert codes == [500, 201, 200, 404]
    assert "Traceback (most recent call last):" in done.stdout
    assert "[request.summary]" in done.stdout


def test_commands_are_targets_of_the_makefile() -> None:
    makefile = (README.parent / "Makefile").read_text("utf-8")
    commands = set(re.findall(r"(?:\$ |`)make ([\w-]+)", TEXT))
    assert {"demo", "test", "bench"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
