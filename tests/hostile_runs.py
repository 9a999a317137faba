"""Run the cases of ``hostile_lines`` in processes of their own, and check what they wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from conformance import checked_lines
from hostile_lines import CASES, Case


class Run:
    """All cases through one front."""

    def __init__(
        self, front: str, directory: Path, *sections: str, python: str = sys.executable
    ) -> None:
        self.directory = directory
        unset = ("LOG_LEVEL", "LOG_FORMAT", "LOGGING_LEVEL", "NO_COLOR", "FORCE_COLOR")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        here = str(Path(__file__).parent)
        paths = [here, str(Path(here).parent), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        done = subprocess.run(
            [python, str(Path(here) / "hostile_lines.py"), front, str(directory), *sections],
            capture_output=True, text=True, timeout=600, check=True, env=environment,
        )  # fmt: skip
        self.statuses = json.loads(done.stdout)

    def text(self, number: int, ending: str) -> str:
        return (self.directory / f"{number}.{ending}").read_text("utf-8")


def named(case: Any) -> str | None:
    return f"{case.section} {case.line}: {case.name}" if isinstance(case, Case) else None


def assert_survived(case: Case, run: Run) -> None:
    number = CASES.index(case)
    errors = run.text(number, "err")
    assert run.statuses[str(number)] == case.status, errors
    assert "Traceback" not in errors
    text = run.text(number, "out")
    if case.may_be_torn and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
    lines = checked_lines(text)
    if case.count is not None:
        assert len(lines) == case.count
    for name, expected in case.shows.items():
        shown = lines[0]["Fields"][name]
        assert expected(shown) if callable(expected) else shown == expected, (name, shown)
    if case.check is not None:
        assert case.check(lines, errors), [line["Fields"] for line in lines]
    # Nothing that a terminal, or a splitter of lines, acts upon.
    assert not set(text) & {*map(chr, [*range(10), *range(11, 32), *range(127, 160)]), "\u2028"}
