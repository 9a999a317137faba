"""Every Python snippet of the documentation is run, and prints the lines that its page shows."""

import json
import re

import pytest
from snippets import ROOT, Snippet, snippets_of

PAGES = sorted((ROOT / "docs").glob("*.md"))
SNIPPETS = [snippet for page in PAGES for snippet in snippets_of(page).values()]

pytestmark = pytest.mark.usefixtures("untouched_process")


def ids(snippet: Snippet) -> str:
    return f"{snippet.page.removeprefix('docs/')}: {snippet.name}"


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if not s.is_for_pytest], ids=ids)
def test_a_snippet_prints_the_lines_that_its_page_shows(
    snippet: Snippet, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    # What shows nothing has to look at its outcome by itself.
    assert snippet.shown or re.search(r"^ *assert ", snippet.code, re.MULTILINE)
    snippet.run()
    captured = capfdbinary.readouterr()
    snippet.assert_shows(captured.out)
    assert captured.err == b""


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s.is_for_pytest], ids=ids)
def test_a_snippet_of_tests_passes_under_pytest(
    snippet: Snippet, tmp_path: pytest.TempPathFactory
) -> None:
    said = snippet.run_under_pytest(tmp_path)  # type: ignore[arg-type]
    assert f"{len(re.findall(r'^def test_', snippet.code, re.MULTILINE))} passed" in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_shown_line_belongs_to_a_snippet(page) -> None:
    blocks = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = [json.loads(line) for block in blocks for line in block.splitlines()]
    shown = [line for snippet in snippets_of(page).values() for line in snippet.shown]
    assert lines == shown
