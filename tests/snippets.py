"""The Python snippets of a page: found, run, and held against the lines that the page shows.

A snippet stands behind ``<!-- test: name -->``. The first JSON block behind it,
before the next snippet or heading, shows the lines that it prints: whole ones,
or their Fields alone; and ``…`` stands for any text. The ``t`` of a summary may be any number.
"""

import contextvars
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import checked_lines

ROOT = Path(__file__).parents[1]

_SNIPPET = re.compile(
    r"<!-- test: (?P<name>[\w-]+) -->\n```python\n(?P<code>.*?)```"
    r"(?P<after>.*?)(?=<!-- test:|\n#|\Z)",
    re.DOTALL,
)
_SHOWN = re.compile(r"```json\n(.*?)```", re.DOTALL)
# What differs from one process to the next.
_CHANGING = frozenset({"Timestamp", "Hostname", "Pid"})


@dataclass(frozen=True)
class Snippet:
    """One snippet, and the lines that its page shows for it."""

    page: str
    name: str
    code: str
    shown: list[dict[str, Any]]

    @property
    def is_for_pytest(self) -> bool:
        return re.search(r"^def test_", self.code, re.MULTILINE) is not None

    @property
    def needs_a_process(self) -> bool:
        """Return whether it configures something that a process can have only once."""
        return "settings.configure(" in self.code

    @property
    def is_too_new(self) -> bool:
        """Return whether it has template strings, which Python reads from 3.14 on."""
        return sys.version_info < (3, 14) and re.search(r"\bt[\"']", self.code) is not None

    def run(self) -> dict[str, Any]:
        """Run it in this process and in its own context; return the names that it defines."""
        code = compile(self.code, f"{self.page}: {self.name}", "exec")
        defined = {"__name__": "__main__"}
        contextvars.Context().run(exec, code, defined)
        return defined

    def run_apart(self, more: str = "", folder: Path | None = None) -> bytes:
        """Run it and more code in a new process; return the output."""
        done = subprocess.run(
            # Django never closes a database in memory.
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c",
             self.code + more],
            cwd=folder, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        return done.stdout

    def run_under_pytest(self, directory: Path) -> str:
        """Run it as a file of tests in a new process; return the output of pytest."""
        file = directory / "test_snippet.py"
        file.write_text(self.code, "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
             "--rootdir", str(directory), "-c", "/dev/null", str(file)],
            cwd=directory, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def assert_shows(self, output: bytes) -> list[dict[str, Any]]:
        """Assert that an output has the lines that the page shows; return them."""
        lines = checked_lines(output)
        assert [_comparable(line, by) for line, by in zip(lines, self.shown)] == [
            _lasting(shown) for shown in self.shown
        ]
        assert len(lines) == len(self.shown), lines[len(self.shown) :]
        return lines


def snippets_of(page: Path) -> dict[str, Snippet]:
    """Return the snippets of a page by name, after asserting that all are marked."""
    text = page.read_text("utf-8")
    path = str(page.relative_to(ROOT))
    found = [
        Snippet(path, match["name"], match["code"], _shown(match["after"]))
        for match in _SNIPPET.finditer(text)
    ]
    assert len(found) == len(re.findall(r"^```py", text, re.MULTILINE)), (
        f"{path} has a snippet that is not marked as <!-- test: name -->"
    )
    by_name = {snippet.name: snippet for snippet in found}
    assert len(by_name) == len(found), f"{path} has two snippets of one name"
    return by_name


def _shown(text: str) -> list[dict[str, Any]]:
    block = _SHOWN.search(text)
    return [json.loads(line) for line in block[1].splitlines()] if block else []


def _lasting(shown: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key not in _CHANGING}


def _comparable(line: dict[str, Any], shown: dict[str, Any]) -> Any:
    whole = _lasting(line) if "Fields" in shown else line["Fields"]
    return _left_out(whole, _lasting(shown))


def _left_out(value: Any, shown: Any) -> Any:
    """Return a value with ``…`` for each text that is left out in what is shown."""
    if isinstance(shown, str) and "…" in shown and isinstance(value, str):
        pattern = ".+".join(map(re.escape, shown.split("…")))
        return shown if re.fullmatch(pattern, value, re.DOTALL) else value
    if isinstance(value, dict) and isinstance(shown, dict):
        if type(value.get("t")) is type(shown.get("t")) is int:
            # How long a request took.
            value = {**value, "t": shown["t"]}
        return {key: _left_out(member, shown.get(key)) for key, member in value.items()}
    return value
