"""The pages of the cookbook: their snippets, commands and shown lines."""

import json
import re
from pathlib import Path
from typing import Any

from conformance import checked_lines
from snippets import ROOT, Snippet, snippets_of

FOLDER = ROOT / "docs" / "cookbook"

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")


class Recipe:
    """One page of the cookbook."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.md"
        self.text = self.path.read_text("utf-8")
        self.snippets: dict[str, Snippet] = snippets_of(self.path)

    def write(self, name: str, folder: Path, old: str = "", new: str = "") -> Path:
        """Write a snippet as the file that its first line names; return its path.

        Args:
            name: The name of the snippet.
            folder: The folder of the file.
            old: A part of the code that is replaced; it must be there.
            new: What replaces it.
        """
        code = self.snippets[name].code
        match = re.match(r"# (\S+\.py)\n", code)
        assert match, f"{name} does not begin with the name of its file"
        assert old in code
        path = folder / match[1]
        path.write_text(code.replace(old, new) if old else code, "utf-8")
        return path

    def command(self, program: str) -> list[str]:
        """Return the only command of the page that begins with a program, as its words."""
        (command,) = re.findall(rf"^\$ ({program} .*)$", self.text, re.MULTILINE)
        words: list[str] = command.split()
        return words

    def block(self, language: str) -> str:
        """Return the only block of code of the page in a language."""
        (block,) = re.findall(rf"```{language}\n(.*?)```", self.text, re.DOTALL)
        assert isinstance(block, str)
        return block

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells of the table whose first column has a heading, without quotes."""
        table = self.text.split(f"\n| {heading} |", 1)[1].split("| --- ", 1)[1].split("\n\n", 1)[0]
        return [
            [cell.strip().strip("`") for cell in row.strip("|").split("|")]
            for row in table.splitlines()[1:]
        ]

    def assert_is_complete(self, *run: str) -> None:
        """Assert that all snippets are run, all shown lines belong to one, and all links lead on.

        Args:
            run: The names of the snippets that tests run.
        """
        assert set(self.snippets) == set(run)
        assert 40 <= len(self.text.splitlines()) <= 110
        blocks = re.findall(r"```json\n(.*?)```", self.text, re.DOTALL)
        lines = [json.loads(line) for block in blocks for line in block.splitlines()]
        assert lines == [line for snippet in self.snippets.values() for line in snippet.shown]
        for target, heading in _LINK.findall(self.text):
            there = (self.path.parent / target) if target else self.path
            assert there.exists(), target
            assert not heading or heading in _headings(there), f"{target}#{heading}"


def lines_without(output: bytes, *types: str) -> bytes:
    """Return the lines of an output, after validation, that have none of these types."""
    checked_lines(output)
    lines = output.splitlines(keepends=True)
    return b"".join(line for line in lines if json.loads(line)["Type"] not in types)


def value_at(document: Any, path: str) -> Any:
    """Return the value at a path such as ``Fields.items.0`` of a parsed document.

    A name that has dots itself, such as ``dd.trace_id``, is found as well.
    """
    if isinstance(document, dict) and path in document:
        return document[path]
    step, _, rest = path.partition(".")
    member = document[int(step)] if isinstance(document, list) else document[step]
    return value_at(member, rest) if rest else member


def _headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}
