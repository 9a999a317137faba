"""The commands of the cookbook are run on its lines; lnav's format is held against its schema."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from recipe_page import Recipe
from snippets import ROOT

from dockerflow.summary import RequestSummary
from mozlog_py._line.severity import severity

RECIPE = Recipe("reading-lines")
FORMAT = ROOT / "examples" / "mozlog.lnav.json"
#: The last words of a process, among its lines.
NOISE = "Segmentation fault\n"

COMMANDS = {command: output for command, output in RECIPE.commands.items() if output}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    RECIPE.write_files(tmp_path)
    shutil.copy(FORMAT, tmp_path)
    return tmp_path


def run(command: str, folder: Path) -> str:
    program = command.partition(" ")[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {program}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "UTC", "TERM": "dumb"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.partition("'")[2][:40])
def test_a_command_prints_what_the_page_shows(command: str, folder: Path) -> None:
    if command.startswith("lnav"):
        run("lnav -i mozlog.lnav.json", folder)
    assert run(command, folder) == COMMANDS[command]


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.startswith("jq")],
    ids=lambda command: command.partition("'")[2][:40],
)  # fmt: skip
def test_jq_passes_over_what_is_no_line(command: str, folder: Path) -> None:
    file = folder / "shop.log"
    file.write_text(NOISE + file.read_text("utf-8"), "utf-8")
    assert run(command, folder) == COMMANDS[command]


def test_every_program_of_the_page_is_run() -> None:
    programs = [command.partition(" ")[0] for command in COMMANDS]
    assert programs == ["jq", "jq", "jq", "lnav", "lnav"]
    assert "lnav -i mozlog.lnav.json" in RECIPE.commands


@pytest.mark.parametrize("noise", ["", NOISE])
def test_duckdb_prints_what_the_page_shows(noise: str, folder: Path) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    file = folder / "shop.log"
    file.write_text(noise + file.read_text("utf-8"), "utf-8")
    done = subprocess.run(
        [sys.executable, "report.py"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"}, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == RECIPE.files["report.txt"].strip()


def test_the_lines_of_the_page_are_valid() -> None:
    lines = checked_lines(RECIPE.files["shop.log"])
    summary = RequestSummary()
    summary.started_ns = 0
    names = list(summary.fields())
    for line in lines:
        if line["Type"] == "request.summary":
            assert list(line["Fields"])[: len(names)] == names


# What lnav's format-v1 schema allows, as far as Debian's lnav 0.11 knows it.
_FORMAT = {
    "title": str, "description": str, "url": str, "json": bool, "timestamp-field": str,
    "timestamp-divisor": int, "level-field": str, "level": dict, "body-field": str,
    "opid-field": str, "value": dict, "line-format": list,
}  # fmt: skip
_LEVELS = {"fatal", "critical", "error", "warning", "notice", "info", "debug"}
_VALUE = {"kind": str, "identifier": bool, "foreign-key": bool, "hidden": bool}
_KINDS = {"string", "integer", "float", "boolean", "json"}
_PLACE = {"field": str, "default-value": str, "timestamp-format": str, "min-width": int}


@pytest.fixture
def lnav_format() -> dict[str, Any]:
    whole = json.loads(FORMAT.read_text("utf-8"))
    assert whole.pop("$schema") == "https://lnav.org/schemas/format-v1.schema.json"
    assert list(whole) == ["mozlog"]
    found: dict[str, Any] = whole["mozlog"]
    return found


def assert_allowed(got: dict[str, Any], allowed: dict[str, type]) -> None:
    for name, value in got.items():
        assert type(value) is allowed[name], name


def test_the_format_of_lnav_has_fields_of_its_schema_alone(lnav_format: dict[str, Any]) -> None:
    assert_allowed(lnav_format, _FORMAT)
    assert lnav_format["level"].keys() <= _LEVELS
    for value in lnav_format["value"].values():
        assert_allowed(value, _VALUE)
        assert value["kind"] in _KINDS
    for place in lnav_format["line-format"]:
        if not isinstance(place, str):
            assert_allowed(place, _PLACE)


def test_the_format_of_lnav_names_what_lines_have(lnav_format: dict[str, Any]) -> None:
    lines = checked_lines(RECIPE.files["shop.log"])
    names = {name for line in lines for name in line}
    names |= {f"Fields/{name}" for line in lines for name in line["Fields"]}
    assert lnav_format["value"].keys() <= names
    for field in ("timestamp-field", "level-field", "body-field", "opid-field"):
        assert lnav_format[field] in names
    shown = [place["field"] for place in lnav_format["line-format"] if isinstance(place, dict)]
    assert set(shown) <= names | {"__timestamp__", "__level__"}
    # A field is shown in the line, below it or where the reader asks for hidden ones.
    below = {name for name, value in lnav_format["value"].items() if not value.get("hidden")}
    assert below - set(shown) == {"Fields/traceback"}


def test_the_format_of_lnav_knows_the_severity_of_each_level(
    lnav_format: dict[str, Any],
) -> None:
    levels = lnav_format["level"]
    assert [levels[name] for name in ("critical", "error", "warning", "info", "debug")] == [
        severity(getattr(logging, name))
        for name in ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
    ]
    assert lnav_format["timestamp-divisor"] == 10**9
