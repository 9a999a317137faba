"""Every Python snippet of docs/sinks.md is run, and what it promises is looked at."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from conformance import checked, checked_lines
from snippets import ROOT, snippets_of

PAGE = ROOT / "docs" / "sinks.md"
TEXT = PAGE.read_text("utf-8")
SNIPPETS = {name: snippet.code for name, snippet in snippets_of(PAGE).items()}

pytestmark = pytest.mark.usefixtures("untouched_process")


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    yield
    for name in ("shop", "shop.counted"):
        logging.getLogger(name).handlers.clear()


def run(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SNIPPETS[name], f"sinks.md: {name}", "exec"), names)
    return names


def test_the_page_of_sinks_has_no_snippet_that_is_not_run() -> None:
    assert set(SNIPPETS) == {"cut", "stream", "file", "terminal-and-file", "queue", "counters"}


def test_stream(capsys: pytest.CaptureFixture[str]) -> None:
    run("stream")
    (line,) = checked_lines(capsys.readouterr().err)
    assert line["Fields"] == {"msg": "to stderr"}


def test_a_cut_line_is_as_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    run("cut")
    output = capsys.readouterr().out
    (line,) = checked_lines(output)
    assert len(output) <= 1024
    assert line["Fields"]["rid"] == "r-1"
    assert "characters cut>" in line["Fields"]["msg"]
    assert "list" not in line["Fields"]
    assert line["Fields"]["mozlog.degraded"].endswith("; 1 fields left out")


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    run("file")
    (line,) = checked_lines((tmp_path / "shop.log").read_bytes())
    assert line["Fields"] == {"msg": "one"}


def test_terminal_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("terminal-and-file")
    structlog.get_logger("shop").info("refunded", password="tulip")
    names["to_file"].close()
    shown = capsys.readouterr().out
    messages = [line.split()[3] for line in shown.splitlines() if "INFO" in line]
    assert messages == ["paid", "refunded"]
    assert "password=[redacted]" in shown
    lines = checked_lines((tmp_path / "shop.log").read_text("utf-8"))
    assert [line["Fields"] for line in lines] == [
        {"password": "[redacted]", "msg": message} for message in ("paid", "refunded")
    ]


def test_queue(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("queue")
    (line,) = checked_lines(capsys.readouterr().out)
    assert line["Fields"] == {"msg": "written by a thread"}
    names["handler"].close()


def test_counters() -> None:
    run("counters")


def test_the_line_that_is_shown_is_valid() -> None:
    (shown,) = re.findall(r"```json\n(.*?)\n```", TEXT)
    fields = checked(json.dumps(json.loads(shown)))["Fields"]
    assert fields["lost"] == sum(fields["lost_by_severity"].values())
