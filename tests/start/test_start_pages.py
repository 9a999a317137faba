"""Each page of docs/start works as it stands, in a folder with nothing but the built wheel."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import checked
from page_environment import built_wheel, environment_of
from snippets import ROOT
from start_page import Reader, blocks_of

from dockerflow.settings import NAMES
from mozlog_py import __version__

PAGES = ROOT / "docs" / "start"
WHEEL = f"mozlog_py-{__version__}-py3-none-any.whl"
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
#: The page of links, and the page that all others share.
INDEX, SHARED = "index.md", "production.md"
FOLLOWED = sorted(page.name for page in PAGES.glob("*.md") if page.name not in (INDEX, SHARED))
#: Pages about programs that serve no requests, and the fields that are their ids.
WITHOUT_REQUESTS = {
    "command-line.md": {"run"},
    "scripts.md": {"run"},
    "tasks.md": {"run", "task_id"},
}
#: What a program of each page logs, and must not be in any output.
SECRET = "tulip"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with built_wheel(tmp_path_factory.mktemp("wheel")) as built:
        yield built


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages send requests with curl")
@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_works_as_it_stands(page: str, wheel: Path, tmp_path: Path) -> None:
    blocks = blocks_of(PAGES / page)
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(wheel, folder)
    reader = Reader(folder, environment_of(page, blocks, tmp_path))
    reader.follow(blocks)

    lines = [checked(line) for line in reader.output if line.startswith('{"Timestamp"')]
    assert any(SECRET in block.text for block in blocks), "the page logs no secret"
    assert not [line for line in reader.output if SECRET in line]
    assert [line for line in lines if "[redacted]" in json.dumps(line["Fields"])]
    assert [line for line in reader.output if '"stock_is_known":"error"' in line]
    if page in WITHOUT_REQUESTS:
        for name in WITHOUT_REQUESTS[page]:
            assert [line for line in lines if line["Fields"].get(name)], name
    else:
        assert_requests_are_logged(lines)
    if page == "django.md":
        assert_silenced_checks_are_not_logged(reader.output)


def assert_requests_are_logged(lines: list[dict[str, Any]]) -> None:
    """Assert that each request of a page has one summary, and other lines with its id."""
    summaries = [line["Fields"] for line in lines if line["Type"] == "request.summary"]
    assert len({summary["rid"] for summary in summaries}) == len(summaries)
    assert "demo-1" in {summary["rid"] for summary in summaries}
    for path, code in {"/": 200, "/__heartbeat__": 500, "/boom": 500}.items():
        summary = next(each for each in summaries if each["path"] == path)
        assert summary["code"] == code, path
        assert len([line for line in lines if line["Fields"].get("rid") == summary["rid"]]) > 1


def assert_silenced_checks_are_not_logged(output: list[str]) -> None:
    """Assert that the filter of a page drops all warnings of Django about a deployment."""
    warnings = [line for line in output if "security.W" in line]
    assert warnings == []


@pytest.mark.slow
@pytest.mark.processes
def test_the_shared_page_works_in_the_folder_of_a_page(wheel: Path, tmp_path: Path) -> None:
    install, *_ = blocks_of(PAGES / "scripts.md")
    blocks = [install, *blocks_of(PAGES / SHARED)]
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(wheel, folder)
    reader = Reader(folder, environment_of("scripts.md", [install], tmp_path))
    reader.follow(blocks)
    assert any(SECRET in block.text for block in blocks)
    assert not [line for line in reader.output if SECRET in line]


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_leads_to_the_shared_page(page: str) -> None:
    text = (PAGES / page).read_text("utf-8")
    assert f"]({SHARED})" in text
    assert f"]({SHARED}#secrets)" in text
    assert page in WITHOUT_REQUESTS or f"]({SHARED}#the-parts-of-a-line)" in text


def test_there_is_a_page_for_each_kind_of_program() -> None:
    assert {*FOLLOWED} == {
        "aiohttp.md",
        "asgi-and-wsgi.md",
        "command-line.md",
        "django.md",
        "fastapi.md",
        "flask.md",
        "sanic.md",
        "scripts.md",
        "starlette.md",
        "tasks.md",
    }
    links = re.findall(r"\]\(([\w-]+\.md)\)", (PAGES / INDEX).read_text("utf-8"))
    assert sorted(links) == sorted([*FOLLOWED, SHARED])


@pytest.mark.parametrize("page", [*FOLLOWED, INDEX, SHARED])
def test_a_link_leads_to_a_page_and_a_heading(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", (PAGES / page).read_text("utf-8"))
    assert links
    for target, heading in links:
        there = PAGES / (target or page)
        assert there.exists(), target
        assert not heading or heading in _headings(there), f"{target}#{heading}"


def _headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_setting_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"\bDOCKERFLOW_[A-Z_]+", (PAGES / page).read_text("utf-8"))
    assert {*named} <= {*NAMES}
    assert named or page in WITHOUT_REQUESTS


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_installs_the_wheel_of_this_version_from_the_folder(page: str) -> None:
    text = (PAGES / page).read_text("utf-8")
    first = re.search(r"^\$ pip install \"?\./([^\[\s]+)(?:\[(\w+)\]\")?", text, re.MULTILINE)
    assert first
    assert first[1] == WHEEL
    assert first[2] is None or f"\n{first[2]} = [" in PROJECT
    assert "mozlog-py is not released yet" in text
    # pip must not look for the name, which another distribution may have one day.
    assert not re.search(r"^\$ pip install.* \"?mozlog-py", text, re.MULTILINE)


def test_the_index_installs_the_wheel_of_this_version() -> None:
    assert re.findall(r"dist/(mozlog_py-\S+)", (PAGES / INDEX).read_text("utf-8")) == [WHEEL]


def test_the_index_names_the_licence_and_the_dependencies() -> None:
    text = (PAGES / INDEX).read_text("utf-8")
    assert 'license = "MIT"' in PROJECT
    assert "The licence is MIT," in text
    named = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    listed = PROJECT.split("\ndependencies = [\n", 1)[1].split("\n]", 1)[0]
    assert named == re.findall(r'^    "([\w-]+)>=', listed, re.MULTILINE)


IN_THE_ENVIRONMENT = "The variable `DOCKERFLOW_SUMMARY_TRACEBACK=false`"
SUMMARY_WITHOUT_TRACEBACK = {
    "django.md": "`DOCKERFLOW_SUMMARY_TRACEBACK = False` in the settings",
    "fastapi.md": "`app.state.DOCKERFLOW_SUMMARY_TRACEBACK = False`",
    "flask.md": '`app.config["DOCKERFLOW_SUMMARY_TRACEBACK"] = False`',
    "sanic.md": "`app.config.DOCKERFLOW_SUMMARY_TRACEBACK = False`",
    "starlette.md": "`app.state.DOCKERFLOW_SUMMARY_TRACEBACK = False`",
}


@pytest.mark.parametrize("page", sorted({*FOLLOWED} - {*WITHOUT_REQUESTS}))
def test_a_page_about_requests_says_how_a_summary_has_no_traceback(page: str) -> None:
    text = (PAGES / page).read_text("utf-8")
    assert SUMMARY_WITHOUT_TRACEBACK.get(page, IN_THE_ENVIRONMENT) in " ".join(text.split())


def test_the_shared_page_explains_the_parts_of_a_line() -> None:
    text = (PAGES / SHARED).read_text("utf-8")
    table = text.split("| part | what it is |\n", 1)[1].split("\n\n", 1)[0]
    named = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()))
    assert named == ["Severity", "rid", "errno", "agent", "lang", "uid", "code", "t", "traceback"]
