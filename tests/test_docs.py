"""Every Python snippet of the documentation is run, and prints the lines that its page shows."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import ASGIDriver
from snippets import ROOT, Snippet, snippets_of

import mozlog_py
from dockerflow import request_id
from dockerflow.settings import NAMES, Settings
from dockerflow.summary import RequestSummary
from mozlog_py._fields.request_text import MAX_TEXT
from mozlog_py._line.severity import CLOUD_SEVERITIES, severity
from mozlog_py._pretty import shown_errors
from mozlog_py._sink import pipe_lock

PAGES = sorted((ROOT / "docs").glob("*.md"))
# Their snippets are files of servers, or need more than to be run: they have tests of
# their own, test_docs_servers.py and test_docs_sinks.py.
ELSEWHERE = {"servers.md", "sinks.md"}
SNIPPETS = [
    snippet
    for page in PAGES
    if page.name not in ELSEWHERE
    for snippet in snippets_of(page).values()
]
# Asks a project of Django, whose settings are in the current folder.
_ASK_DJANGO = """
import django
django.setup()
from django.test import Client
assert Client().get("/__lbheartbeat__", HTTP_USER_AGENT="probe").status_code == 200
"""

pytestmark = pytest.mark.usefixtures("no_checks", "untouched_process")


def ids(snippet: Snippet) -> str:
    return f"{snippet.page.removeprefix('docs/')}: {snippet.name}"


@pytest.mark.slow
@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if not s.is_for_pytest], ids=ids)
def test_a_snippet_prints_the_lines_that_its_page_shows(
    snippet: Snippet, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    # What shows nothing has to look at its outcome by itself.
    assert snippet.shown or re.search(r"^ *assert ", snippet.code, re.MULTILINE)
    if snippet.code.startswith("# settings.py\n"):
        snippet.assert_shows(output_of_django(snippet.code, tmp_path))
        return
    if snippet.is_too_new:
        pytest.skip("Python reads template strings from 3.14 on")
    if snippet.needs_a_process:
        snippet.assert_shows(snippet.run_apart())
        return
    names = snippet.run()
    if snippet.code.startswith("# shop.py\n"):
        # The file of a service: its lines are those of one request.
        ASGIDriver(names["app"]).get("/__lbheartbeat__", headers=[("user-agent", "probe")])
    captured = capfdbinary.readouterr()
    snippet.assert_shows(captured.out)
    assert captured.err == b""


def output_of_django(settings: str, folder: Path) -> bytes:
    """Return what a project with these settings logs for one request."""
    (folder / "settings.py").write_text(f"{settings}ROOT_URLCONF = ()\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _ASK_DJANGO], cwd=folder, capture_output=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout


@pytest.mark.processes
@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s.is_for_pytest], ids=ids)
def test_a_snippet_of_tests_passes_under_pytest(snippet: Snippet, tmp_path: Path) -> None:
    said = snippet.run_under_pytest(tmp_path)
    assert f"{len(re.findall(r'^def test_', snippet.code, re.MULTILINE))} passed" in said


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ELSEWHERE], ids=lambda page: page.name
)
def test_every_shown_line_belongs_to_a_snippet(page: Path) -> None:
    blocks = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = [json.loads(line) for block in blocks for line in block.splitlines()]
    shown = [line for snippet in snippets_of(page).values() for line in snippet.shown]
    assert lines == shown


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text("utf-8"))
    for target, heading in links:
        there = (page.parent / target).resolve() if target else page
        if not there.is_relative_to(ROOT / "docs") and not (ROOT / "tools").is_dir():
            # What stands beside the documentation is not there when the wheel is tested.
            continue
        assert there.exists(), target
        assert not heading or heading in headings(there), f"{target}#{heading}"


def test_the_index_leads_to_every_page() -> None:
    docs = ROOT / "docs"
    reached, found = set(), [docs / "index.md"]
    while found:
        page = found.pop()
        if page not in reached and page.is_relative_to(docs):
            reached.add(page)
            links = re.findall(r"\]\((?!https?:)([^)#\s]+\.md)", page.read_text("utf-8"))
            found += [(page.parent / link).resolve() for link in links]
    assert sorted(docs.rglob("*.md")) == sorted(reached)


def rows(heading: str, page: str = "dockerflow.md") -> list[list[str]]:
    """Return the cells of the first table below a heading of a page."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    table = text.split(f"\n{heading}", 1)[1].split("| --- ", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]


def test_every_parameter_of_configure_is_in_the_table_and_the_last_two_are_its_own() -> None:
    shown = [row[0].strip("`") for row in rows("## One call", "stdlib.md")]
    assert sorted(shown) == sorted(inspect.signature(mozlog_py.configure).parameters)
    assert sorted(shown[:-2]) == sorted(inspect.signature(mozlog_py.dict_config).parameters)


def test_every_option_of_the_formatter_is_in_the_table() -> None:
    shown = [name for row in rows("## The formatter", "stdlib.md") for name in row[0].split(", ")]
    options = inspect.signature(mozlog_py.MozlogFormatter).parameters
    assert sorted(shown) == sorted(f"`{name}`" for name in options)


def test_every_setting_of_dockerflow_is_in_the_table_with_its_default() -> None:
    shown = {row[0].strip("`"): row[1] for row in rows("## Settings")}
    assert list(shown) == sorted(NAMES)
    # Its default is a list, which is Django's.
    assert shown.pop("DOCKERFLOW_CHECKS") == "the database and its migrations"
    for name, default in shown.items():
        value = getattr(Settings(), name.removeprefix("DOCKERFLOW_").lower())
        assert default.split("`")[1] == str(value), name
    assert shown["DOCKERFLOW_HEARTBEAT_DETAILS"] == "`always`; in Django `debug`"


def test_every_setting_to_change_in_production_is_one() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    named = set(re.findall(r"DOCKERFLOW_\w+", text))
    assert len(named) >= 5
    assert named <= set(NAMES)


def test_the_table_of_severities_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text("utf-8").split("\n### Severity\n")[1]
    shown = re.findall(r"^\| (\d) \| [^|]* \| (below|from) (\d+)[^|]* \| `(\w+)` \|$", text, re.M)
    assert [int(number) for number, *_ in shown] == [7, 6, 5, 4, 3, 2, 1, 0]
    for number, side, level, cloud in shown:
        assert severity(int(level) - (side == "below")) == int(number)
        assert side == "below" or severity(int(level) - 1) == int(number) + 1
        assert CLOUD_SEVERITIES[int(number)] == cloud


def test_the_bounds_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "bounds.md").read_text("utf-8")
    shown = [row.split(" | ")[:2] for row in text.splitlines() if row.startswith("| ")]
    bounds = {name.lstrip("| "): bound for name, bound in shown if bound not in ("bound", "---")}
    code = {
        "characters of the message": "_fields.json_message.MAX_JSON_CHARACTERS",
        "nested objects and arrays, itself included": "_fields.json_message.MAX_JSON_DEPTH",
        "members of the message": "_values.sanitiser.MAX_ITEMS",
        "nested containers in a field": "_values.sanitiser.MAX_DEPTH",
        "fields of a line": "_values.sanitiser.MAX_ITEMS",
        "items of one container": "_values.sanitiser.MAX_ITEMS",
        "fields of a record or an event that are read, before processors run": (
            "_fields.first_fields.MAX_FIELDS"
        ),
        "values, over all containers; a container counts as three": (
            "_values.record_budget.MAX_NODES"
        ),
        "characters of texts in containers and of `repr` texts, together": (
            "_values.record_budget.MAX_CHARACTERS"
        ),
        "characters of one `repr` text, bytes of one bytes value": "_values.sanitiser.MAX_REPR",
        "digits of an integer": "_values.sanitiser._MAX_DIGITS",
        "reasons in `mozlog.degraded`": "_values.record_budget._MAX_REASONS",
        "exceptions of one record, in chains and groups": "_values.tracebacks._MAX_EXCEPTIONS",
        "members shown of a group": "_values.tracebacks._MAX_GROUP_WIDTH",
        "nested groups": "_values.tracebacks._MAX_GROUP_DEPTH",
        "notes of an exception": "_values.tracebacks._MAX_NOTES",
        "frames of a traceback": "_values.frame_cache._MAX_FRAMES",
        "characters of the whole text": "_values.tracebacks._MAX_CHARACTERS",
        "`flatten`, `drop_none`, `CapLengths`: nested values": "_values.record_budget.MAX_NODES",
        "`flatten`: characters of dotted keys and of texts made fields": (
            "_values.record_budget.MAX_CHARACTERS"
        ),
        "`strict`: characters of dotted keys": "_values.record_budget.MAX_CHARACTERS",
        "`Redact`: fields of an event, items of a container": "_values.sanitiser.MAX_ITEMS",
        "`Redact`: characters of a text named `args`, `kwargs`, `argsrepr` or `kwargsrepr`": (
            "_values.sanitiser.MAX_REPR"
        ),
        "`Redact`: values of an event": "_values.record_budget.MAX_NODES",
        "`Redact`: characters of objects' texts": "_redaction.event_search.MAX_SEARCHED",
        "`Redact`: characters of a name": "_redaction.secret_names._MAX_NAME",
        "`Redact`: names remembered": "redaction._MAX_REMEMBERED",
        "`Redact(values, value_patterns, shapes)`: characters searched in a line": (
            "_redaction.mask._MAX_SEARCHED"
        ),
        "the same, in an event for another renderer: items of a container": (
            "_redaction.mask._MAX_ITEMS"
        ),
        "the same, for texts that are cut: characters searched in a record": (
            "_values.mask_registry.MAX_SEARCHED"
        ),
        "bytes of a line": "_line.truncate.MAX_LINE_BYTES",
        "`gcp`: characters of `message`, which repeats `msg`": "gcp._MAX_MESSAGE",
        "bytes in a queue": "queued.MAX_QUEUE_BYTES",
        "loggers and levels whose envelopes are remembered": "_line.line_encoder._MAX_TEMPLATES",
        "positions in code whose frames are remembered": "_values.frame_cache._CACHE_SIZE",
        "`pretty`: summaries whose access line is still to come": (
            "_pretty.request_head._MAX_SUMMARIES"
        ),
    }
    assert bounds.pop("characters of a request's id") == "128"
    of_requests = {
        "`pretty`: seconds in which the traceback of one exception is not repeated": (
            shown_errors._RECENT_NS // 1_000_000_000
        ),
        "characters of the headers that an id may come in, together": request_id.MAX_HEADER,
        "characters of a query string, a path, a User-Agent, an Accept-Language": MAX_TEXT,
        "heartbeats of one application that wait for a check": Settings().heartbeat_max_waiting,
        "seconds for which another process may keep the lock of a pipe": int(pipe_lock._MAX_HELD_S),
    }
    for name, value in of_requests.items():
        assert bounds.pop(name) == f"{value:,}", name
    for name, place in code.items():
        module, _, constant = place.rpartition(".")
        value = vars(importlib.import_module(f"mozlog_py.{module}"))[constant]
        assert bounds.pop(name) == f"{value:,}", name
    assert bounds == {}


def test_every_check_that_is_built_in_is_in_the_table() -> None:
    shown: set[str] = set()
    module = ""
    for place, names, _ in rows("These are built in"):
        module = place.strip("`") or module
        shown |= {f"{module}.{name}" for name in re.findall(r"`(\w+)`", names)}
    for each in ("databases", "disk", "http", "redis"):
        found = importlib.import_module(f"dockerflow.checks.{each}")
        ours = {f"dockerflow.checks.{each}.{name}" for name in found.__all__}
        assert {name for name in shown if name.startswith(f"dockerflow.checks.{each}.")} == ours


def test_every_field_of_a_summary_is_in_the_table() -> None:
    shown = {name for row in rows("## Summaries") for name in re.findall(r"`(\w+)`", row[0])}
    summary = RequestSummary()
    summary.querystring, summary.started_ns = "", 0
    assert shown == {*summary.fields(), "error", "traceback"}
