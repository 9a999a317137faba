"""Every Python snippet of the README is run, and what it promises is looked at."""

import io
import json
import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from conformance import checked_lines
from snippets import ROOT, snippets_of

from mozlog_py import MozlogHandler

README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
SNIPPETS = snippets_of(README)

pytestmark = pytest.mark.usefixtures("untouched_process")


def run(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    SNIPPETS[name].run()
    return checked_lines(capfdbinary.readouterr().out)


def test_has_no_snippet_that_is_not_run() -> None:
    assert set(SNIPPETS) == {
        "configure", "dictconfig", "servers", "uvicorn", "context", "structlog",
        "processors", "dockerflow", "testing", "schema",
    }  # fmt: skip


def test_configure(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    SNIPPETS["configure"].run()
    lines = SNIPPETS["configure"].assert_shows(capfdbinary.readouterr().out)
    assert [line["Type"] for line in lines] == ["shop.cart"] * 2


def test_dictconfig(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (line,) = run("dictconfig", capfdbinary)
    assert line["Logger"] == "shop"
    assert line["Fields"] == {"env": "prod", "uid": "ann", "msg": "open"}


def test_servers_and_uvicorn(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("servers", capfdbinary) == run("uvicorn", capfdbinary) == []


def test_context(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    stream = io.StringIO()
    logger = logging.getLogger("shop")
    logger.addHandler(MozlogHandler(stream))
    logger.setLevel(logging.INFO)
    run("context", capfdbinary)
    assert [line["Fields"] for line in checked_lines(stream.getvalue())] == [
        {"job": "reindex", "shelf": 7, "msg": "sorted"},
        {"job": "reindex", "msg": "done"},
        {"user": "ann", "msg": "hi"},
    ]
    logger.handlers.clear()


def test_structlog(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (line,) = run("structlog", capfdbinary)
    assert line["Fields"] == {"amount": 12.5, "msg": "Ann paid"}


def test_processors(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (line,) = run("processors", capfdbinary)
    assert line["Fields"] == {"headers": {"Cookie": "[redacted]"}, "msg": "refused"}


@pytest.mark.parametrize("name", ["dockerflow", "testing", "schema"])
def test_snippets_that_check_themselves(
    name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(name, capfdbinary) == []


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
