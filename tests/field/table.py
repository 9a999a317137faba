"""The table of ``docs/dockerflow.md`` that says what holds in which framework.

Tests say what they show, with ``@shows(framework, column, text)``, and the table is made
of that::

    python tests/field/table.py          # writes it between the two comments of the page
    python tests/field/table.py --check  # exits with 1 where the page has another one

Tests are collected for it and not run: a cell is true because its tests pass.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "dockerflow.md"
BEGIN = "<!-- made by tests/field/table.py: begin -->"
END = "<!-- made by tests/field/table.py: end -->"

FRAMEWORKS = ("Flask", "Django", "FastAPI", "Starlette", "Sanic", "aiohttp", "ASGI", "WSGI")
COLUMNS = (
    "id in all lines",
    "id in the 500",
    "WebSockets",
    "streams",
    "what a cancellation is",
    "endpoint with a trailing slash",
)
#: What there is nothing to be tested of.
GIVEN = {("Django", "WebSockets"): "Django serves none"}


def shows(framework: str, column: str, text: str) -> pytest.MarkDecorator:
    """Mark a test as one that shows what a cell of the table says.

    Args:
        framework: One of ``FRAMEWORKS``.
        column: One of ``COLUMNS``.
        text: What the cell says. Tests that show several things of one cell each add a
            part; parts are separated by semicolons, in the order of the tests.
    """
    assert framework in FRAMEWORKS, framework
    assert column in COLUMNS, column
    return pytest.mark.shows(framework, column, text)


class _Collector:
    """Gathers what collected tests show."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], list[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in sorted(session.items, key=lambda each: (each.location[0], each.location[1])):
            for mark in item.iter_markers("shows"):
                framework, column, text = mark.args
                parts = self.cells.setdefault((framework, column), [])
                if text not in parts:
                    parts.append(text)


def collected() -> dict[tuple[str, str], str]:
    """Return the text of each cell that tests show something of."""
    collector = _Collector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)], plugins=[collector]
        )
    if code != 0:
        raise SystemExit(f"The tests cannot be collected:\n{said.getvalue()[-3000:]}")
    return {cell: "; ".join(parts) for cell, parts in collector.cells.items()} | GIVEN


def table(cells: dict[tuple[str, str], str]) -> str:
    """Return the table in Markdown.

    Raises:
        KeyError: No test shows what a cell is to say.
    """
    rows: list[tuple[str, ...]] = [("", *COLUMNS), ("---",) * (len(COLUMNS) + 1)]
    rows += [(name, *(cells[name, column] for column in COLUMNS)) for name in FRAMEWORKS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def page_with(text: str, page: str) -> str:
    """Return a page with the table between its two comments.

    Raises:
        ValueError: The page lacks one of the comments.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no place for the table: add {BEGIN} and {END}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def main(arguments: list[str]) -> Any:
    """Write the table, or check it; return what the process exits with."""
    cells = collected()
    missing = [f"{f}: {c}" for f in FRAMEWORKS for c in COLUMNS if (f, c) not in cells]
    if missing:
        return f"No test shows these cells: {'; '.join(missing)}"
    page = PAGE.read_text("utf-8")
    try:
        wanted = page_with(table(cells), page)
    except ValueError as error:
        return str(error)
    if arguments == ["--check"]:
        return None if page == wanted else "The table is out of date: python tests/field/table.py"
    PAGE.write_text(wanted, "utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
