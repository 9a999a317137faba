"""The files of a recipe that are not Python, its commands, and their output.

A Python file is a snippet whose first line is a comment with the file's name. Another file is a
block behind ``<!-- file: NAME -->``. Lines that are made by more than a snippet stand in a JSON
block behind ``<!-- lines: NAME -->``. A command stands in a ``console`` block behind ``$``, with
its output below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import recipes

_FILE = re.compile(r"<!-- file: (?P<name>\S+) -->\n```\w*\n(?P<text>.*?)```", re.DOTALL)
_LINES = re.compile(r"<!-- lines: (?P<name>[\w -]+) -->\n```json\n(?P<text>.*?)```", re.DOTALL)
_PYTHON = re.compile(r"# (?P<name>[\w./]+\.py)\n")
_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ", re.MULTILINE)
# Differs from one request to the next.
_CHANGING = ("rid", "t")


class Recipe(recipes.Recipe):
    """One page of ``docs/cookbook`` that shows more than snippets.

    Args:
        name: The page's name, without ``.md``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.files = {match["name"]: match["text"] for match in _FILE.finditer(self.text)}
        for snippet in self.snippets.values():
            named = _PYTHON.match(snippet.code)
            if named:
                self.files[named["name"]] = snippet.code
        self.lines = {
            match["name"]: [json.loads(line) for line in match["text"].splitlines()]
            for match in _LINES.finditer(self.text)
        }

    @property
    def commands(self) -> dict[str, str]:
        """The commands of the page, each with the output that the page shows for it."""
        found = {}
        for block in _CONSOLE.findall(self.text):
            for entry in _COMMAND.split(block)[1:]:
                # A command goes on behind a backslash, and within quotation marks.
                lines = entry.splitlines(keepends=True)
                taken = 1
                while lines[taken - 1].endswith("\\\n") or "".join(lines[:taken]).count("'") % 2:
                    taken += 1
                found["".join(lines[:taken]).rstrip("\n")] = "".join(lines[taken:])
        return found

    def assert_shows(self, name: str, fields: Sequence[Mapping[str, Any]]) -> None:
        """Assert that the Fields of lines are those behind ``<!-- lines: NAME -->``.

        ``…`` stands for any text, and ids and durations may be any.
        """
        shown = self.lines[name]
        assert len(fields) == len(shown), fields
        for got, expected in zip(fields, shown):
            assert list(got) == list(expected)
            for key in got:
                if key in _CHANGING:
                    assert type(got[key]) is type(expected[key])
                elif isinstance(expected[key], str) and "…" in expected[key]:
                    pattern = ".+".join(map(re.escape, expected[key].split("…")))
                    assert re.fullmatch(pattern, got[key], re.DOTALL), (key, got[key])
                else:
                    assert got[key] == expected[key], key

    def write_files(self, folder: Path) -> None:
        """Write the recipe's files into a folder."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
