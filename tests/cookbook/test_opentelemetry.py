"""docs/cookbook/opentelemetry.md, with opentelemetry-sdk and an exporter in memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

from conformance import checked_lines
from recipes import Recipe, value_at

RECIPE = Recipe("opentelemetry")


def run(folder: Path, old: str = "", new: str = "") -> bytes:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", RECIPE.write("opentelemetry", folder, old, new).name],
        cwd=folder, env={**os.environ, "LOG_LEVEL": "INFO"}, capture_output=True, timeout=120,
        check=True,
    )  # fmt: skip
    assert done.stderr == b""
    return done.stdout


def test_the_page_about_opentelemetry_is_complete() -> None:
    RECIPE.assert_is_complete("opentelemetry")


def test_each_line_has_the_span_in_which_it_was_logged(tmp_path: Path) -> None:
    RECIPE.snippets["opentelemetry"].assert_shows(run(tmp_path))
    names = "[span.name for span in exporter.get_finished_spans()]"
    pairs = '{f"{s.context.span_id:016x}": s.name for s in exporter.get_finished_spans()}'
    *lines, last = [line["Fields"] for line in checked_lines(run(tmp_path, names, pairs))]
    assert sorted(last["spans"].values()) == ["GET /pay", "charge"]
    logged = [last["spans"].get(fields.get("span_id")) for fields in lines]
    assert logged == ["charge", "GET /pay", None]


def test_the_order_of_instrumentation_and_dockerflow_makes_no_difference(tmp_path: Path) -> None:
    code = RECIPE.snippets["opentelemetry"].code
    first, second = "FlaskInstrumentor().instrument_app(", "Dockerflow(app)\n"
    (line,) = [line for line in code.splitlines(keepends=True) if line.startswith(first)]
    output = run(tmp_path, line + second, second + line)
    RECIPE.snippets["opentelemetry"].assert_shows(output)


def test_the_lines_have_what_the_collector_reads(tmp_path: Path) -> None:
    line = checked_lines(run(tmp_path))[0]
    config = RECIPE.block("yaml")
    read = {path: value_at(line, path) for path in re.findall(r"attributes\.([\w.]+)", config)}
    forms = {
        "Timestamp": r"1[0-9]{18}",  # nanoseconds
        "Severity": r"[0-7]",
        "Fields.trace_id": r"[0-9a-f]{32}",
        "Fields.span_id": r"[0-9a-f]{16}",
        "Fields.trace_flags": r"[0-9a-f]{2}",
    }
    assert read.keys() == forms.keys()
    assert [path for path, form in forms.items() if not re.fullmatch(form, str(read[path]))] == []
    (mapping,) = re.findall(r"mapping: \{(.*)\}", config)
    assert sorted(re.findall(r"\b\d\b", mapping)) == [*"01234567"]
