"""Each setting that docs/differences.md and docs/migrate.md name brings upstream's way back."""

from __future__ import annotations

import inspect
import io
import json
import logging
import re
from datetime import date
from typing import Any

import pytest
from snippets import ROOT

import mozlog_py
from dockerflow import checks
from dockerflow.settings import NAMES, Settings
from mozlog_py import MozlogFormatter, MozlogHandler, context

PAGE = (ROOT / "docs" / "differences.md").read_text("utf-8")
MIGRATE = (ROOT / "docs" / "migrate.md").read_text("utf-8")
CELLS = [
    [cell.strip() for cell in row.strip("|").split(" | ")]
    for row in PAGE.splitlines()
    if row.startswith("| ")
]
ROWS = [row for row in CELLS if row[0] not in ("subject", "---")]

pytestmark = pytest.mark.usefixtures("untouched_process")


def test_every_row_names_a_setting_or_says_that_there_is_none() -> None:
    assert len(ROWS) > 50
    for row in ROWS:
        assert len(row) == 4, row
        assert "`" in row[3] or row[3].startswith("none"), row


def test_every_setting_of_the_pages_is_one_and_takes_the_value_that_stands_there() -> None:
    named = set(re.findall(r"DOCKERFLOW_\w+", PAGE + MIGRATE))
    assert len(named) > 8
    assert named <= set(NAMES)
    for name, value in re.findall(r"`(DOCKERFLOW_\w+)=([^`]+)`", PAGE + MIGRATE):
        read = getattr(Settings.read({name: value}), name.removeprefix("DOCKERFLOW_").lower())
        assert read == {"True": True, "False": False, "0": 0}.get(value, value), name


def test_every_option_of_the_page_is_one() -> None:
    # The options of python-json-logger are keyword arguments of its formatter.
    options = {
        name
        for function in (MozlogFormatter, MozlogHandler, mozlog_py.configure, checks.register)
        for name in inspect.signature(function).parameters
    } | {"json_default"}
    column = "\n".join(row[3] for row in ROWS)
    named = set(re.findall(r"`(?:register\()?([a-z_]+)=\w+\)?`", column))
    assert {"json_default", "include_context", "max_line_bytes", "parse_messages"} <= named
    assert named <= options


def logged(message: str, fields: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    stream = io.StringIO()
    limits = {name: options.pop(name) for name in ("max_line_bytes",) if name in options}
    handler = MozlogHandler(stream, **limits)
    handler.setFormatter(MozlogFormatter(**options))
    logger = logging.getLogger("shop")
    logger.addHandler(handler)
    logger.warning(message, extra=fields)
    logger.removeHandler(handler)
    found: dict[str, Any] = json.loads(stream.getvalue())["Fields"]
    return found


def test_options_of_the_formatter_and_the_handler_bring_upstreams_lines_back() -> None:
    assert logged('{"order": 7}') == {"order": 7}
    assert logged('{"order": 7}', parse_messages=False) == {"msg": '{"order": 7}'}
    day = {"day": date(2026, 11, 27)}
    assert logged("paid", day)["day"] == "2026-11-27"
    assert logged("paid", day, json_default=repr)["day"] == "datetime.date(2026, 11, 27)"
    with context.bound(user="ann"):
        assert logged("paid")["user"] == "ann"
        assert "user" not in logged("paid", include_context=False)
    assert len(logged("x" * 20_000)["msg"]) < 20_000
    assert len(logged("x" * 20_000, max_line_bytes=0)["msg"]) == 20_000
