"""The pages of the cookbook: listed, linked, short, and without a block that no test reads."""

import re
from pathlib import Path

import pytest
from recipe_page import Recipe
from recipes import FOLDER

INDEX = (FOLDER / "index.md").read_text("utf-8")
PAGES = sorted(page.stem for page in FOLDER.glob("*.md") if page.stem != "index")
#: The pages whose blocks are marked for ``recipe_page``.
MARKED = (
    "compose", "container", "custom-adapter", "custom-check", "kubernetes", "logrotate",
    "pass-on-the-id", "pytest", "queues-and-caches", "reading-lines",
)  # fmt: skip

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")
FENCE = re.compile(r"(?P<mark>[^\n]*)\n```(?P<language>\w+)\n")


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


def test_the_index_lists_each_page_once() -> None:
    listed = re.findall(r"^- \[[^]]+\]\(([\w-]+)\.md\): ", INDEX, re.MULTILINE)
    assert sorted(listed) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_recipe_is_short_and_ends_with_what_to_know(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text("utf-8")
    assert 40 <= len(text.splitlines()) <= 110
    assert text.count("\n## What to know\n") == 1


@pytest.mark.parametrize("name", [*PAGES, "index"])
def test_every_link_of_a_page_leads_to_a_page_and_a_heading(name: str) -> None:
    page = FOLDER / f"{name}.md"
    for target, heading in LINK.findall(page.read_text("utf-8")):
        there = FOLDER / target if target else page
        assert there.exists(), target
        assert not heading or heading in headings(there), f"{target}#{heading}"


@pytest.mark.parametrize("name", MARKED)
def test_every_block_of_a_recipe_is_a_file_a_snippet_lines_or_commands(name: str) -> None:
    for match in FENCE.finditer(Recipe(name).text):
        if match["language"] == "console":
            continue
        if match["language"] == "sh":
            # Commands that change a machine or need a daemon: no test runs them.
            assert name in ("container", "logrotate")
            continue
        assert re.fullmatch(r"<!-- (test|file|lines): [\w ./-]+ -->", match["mark"]), match[0]
