"""The tables of docs/benchmarks.md and the figures of the README are those of the results."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import ROOT

FOLDER = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the benchmarks are of the tree, and not of the wheel"
)


@pytest.fixture
def pages(tmp_path: Path) -> list[Path]:
    """Copies of the two pages, as `make bench` would find them."""
    return [
        Path(shutil.copy(page, tmp_path))
        for page in (ROOT / "docs" / "benchmarks.md", ROOT / "README.md")
    ]


def write(pages: list[Path], results: Path = FOLDER / "results.json") -> str:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "table.py"), "--results", str(results),
         "--page", str(pages[0]), "--readme", str(pages[1])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stderr


def test_both_pages_are_as_the_program_writes_them(pages: list[Path]) -> None:
    former = [page.read_text("utf-8") for page in pages]
    assert write(pages) == ""
    assert [page.read_text("utf-8") for page in pages] == former


def test_a_new_result_comes_into_both_pages(pages: list[Path], tmp_path: Path) -> None:
    results = json.loads((FOLDER / "results.json").read_text("utf-8"))
    (call,) = (
        contest
        for contest in results["contests"]
        if (contest["group"], contest["title"]) == ("call", "no extras")
    )
    call["contenders"][0]["ns"]["median"] = 98_765
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(results), "utf-8")
    assert write(pages, changed) == ""
    assert all("98.77 µs" in page.read_text("utf-8") for page in pages)


def test_the_whole_call_stands_first_on_both_pages(pages: list[Path]) -> None:
    for page in pages:
        _, begun = page.read_text("utf-8").split("<!-- benchmarks:begin -->")
        first_cells = re.findall(r"^\| (.*?) \|", begun, re.MULTILINE)
        assert any("logger.info(...)" in cell for cell in first_cells[:3]), page.name
    table = pages[1].read_text("utf-8").split("<!-- benchmarks:begin -->")[1]
    assert len(re.findall(r"^\|", table.split("<!--")[0], re.MULTILINE)) == 2 + 5


def test_the_page_has_a_table_of_a_newer_python(pages: list[Path]) -> None:
    _, newer = pages[0].read_text("utf-8").split("\n## On Python 3.14\n")
    assert len(re.findall(r"^\|", newer, re.MULTILINE)) == 2 + 5
    assert "CPython 3.14." in newer


def test_a_page_without_markers_is_refused(pages: list[Path]) -> None:
    pages[1].write_text("No table.", "utf-8")
    assert "add both" in write(pages)
    assert pages[1].read_text("utf-8") == "No table."
