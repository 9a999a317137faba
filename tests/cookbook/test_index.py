"""The pages of the cookbook: listed, linked, short, and without a block that no test runs."""

import re
from pathlib import Path

import pytest
from recipe_page import FOLDER, Recipe

#: The recipes whose blocks ``recipe_page`` reads; the others have tests of their own form.
RECIPES = (
    "compose", "container", "custom-adapter", "custom-check", "kubernetes", "logrotate", "pytest",
    "reading-lines",
)  # fmt: skip
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")
#: Languages of blocks that a test runs or reads, each by a mark in front of the block.
FENCE = re.compile(r"(?P<mark>[^\n]*)\n```(?P<language>\w+)\n")


def listed() -> list[str]:
    return re.findall(r"^- \[[^]]+\]\(([\w-]+)\.md\): ", index(), re.MULTILINE)


def index() -> str:
    return (FOLDER / "index.md").read_text("utf-8")


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


def test_the_index_lists_each_page_once() -> None:
    assert len(set(listed())) == len(listed())
    assert {page.stem for page in FOLDER.glob("*.md")} - {"index"} <= set(listed())
    assert set(RECIPES) <= set(listed())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short_and_says_what_comes_out_and_what_to_know(name: str) -> None:
    text = Recipe(name).text
    assert 40 <= len(text.splitlines()) <= 100
    assert text.splitlines()[-1]
    assert text.index("## What to know") > 0


@pytest.mark.parametrize("name", RECIPES)
def test_every_link_of_a_recipe_leads_to_a_page_and_a_heading(name: str) -> None:
    for target, heading in LINK.findall(Recipe(name).text):
        page = FOLDER / target
        if page.parent == FOLDER and page.stem in listed() and page.stem not in RECIPES:
            # A page of the cookbook that has tests of its own form.
            assert not heading
            continue
        assert page.exists(), target
        assert not heading or heading in headings(page), f"{target}#{heading}"


@pytest.mark.parametrize("name", RECIPES)
def test_every_block_of_a_recipe_is_a_file_a_snippet_lines_or_commands(name: str) -> None:
    for match in FENCE.finditer(Recipe(name).text):
        if match["language"] == "console":
            continue
        if match["language"] == "sh":
            # Commands that change a machine or need a daemon: no test runs them.
            assert name in ("container", "logrotate")
            continue
        assert re.fullmatch(r"<!-- (test|file|lines): [\w ./-]+ -->", match["mark"]), match[0]
