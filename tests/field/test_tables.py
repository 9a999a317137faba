"""The README of the field names tests that exist; the table of the docs is that of the tests."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import table

HERE = Path(__file__).parent
README = HERE / "README.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in README.read_text("utf-8").splitlines()
    if line.startswith("| `")
]


@functools.cache
def defined() -> frozenset[str]:
    """Return the names of all tests of the field."""
    return frozenset(
        node.name
        for path in HERE.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_each_kind_has_at_least_three_other_shapes(row: list[str]) -> None:
    script, kind, shapes = row
    assert re.fullmatch(r"`\w+\.py`", script)
    assert kind
    names = re.findall(r"`(test_\w+)`", shapes)
    assert [name for name in names if name not in defined()] == []
    # Each shape says, in brackets, where it stands: servers, applications, values.
    places = re.findall(r"`test_\w+` \(([^)]+)\)", shapes)
    assert len(places) == len(names)
    assert len([place for each in places for place in each.split(", ")]) >= 3


def test_each_script_has_one_row() -> None:
    scripts = [row[0] for row in ROWS]
    assert len(scripts) == len(set(scripts)) >= 25


def test_a_cell_that_two_tests_show_has_both() -> None:
    cells = {(f, c): f"{f}/{c}" for f in table.FRAMEWORKS for c in table.COLUMNS}
    lines = table.table(cells).splitlines()
    assert len(lines) == 2 + len(table.FRAMEWORKS)
    assert lines[0].startswith("|  | id in all lines | id in the 500 |")
    assert "| Flask/streams |" in lines[2]
    page = f"above\n{table.BEGIN}\nold\n{table.END}\nbelow\n"
    assert table.page_with("new\n", page) == f"above\n{table.BEGIN}\n\nnew\n\n{table.END}\nbelow\n"


def test_a_cell_that_no_test_shows_and_a_page_without_a_place_are_refused() -> None:
    with pytest.raises(KeyError, match="streams"):
        table.table(
            {(f, c): "x" for f in table.FRAMEWORKS for c in table.COLUMNS if c != "streams"}
        )
    with pytest.raises(ValueError, match="no place"):
        table.page_with("new", "a page")
    with pytest.raises(AssertionError):
        table.shows("Bottle", "streams", "x")


def test_the_table_of_the_docs_is_what_the_tests_show() -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "table.py"), "--check"],
        cwd=HERE.parents[1], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
