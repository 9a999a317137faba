"""What the logger must survive, case by case and through all three fronts.

``hostile_lines.py`` has the cases. Each runs in a process of its own; what it wrote is
looked at here: valid lines only, as many as there should be, and what they say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from hostile_lines import CASES, FRONTS, Case

#: How many lines each part of the list has; every one of them has a case.
LINES = {
    "Values": 8, "Records": 4, "Exceptions": 4, "Context": 1, "Sinks": 7, "Processes": 3,
    "Queue": 1, "Requests": 2, "Checks": 1,
}  # fmt: skip

passed: Counter[str] = Counter()


class Summary:
    """Says how many cases there were, whatever else is shown of the tests."""

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        lines = len({(case.section, case.line) for case in CASES})
        counts = ", ".join(f"{passed[front]} through the {front}" for front in FRONTS)
        terminalreporter.write_line(
            f"hostile input: {len(CASES)} cases for {lines} lines; passed: {counts}"
        )


@pytest.fixture(scope="session", autouse=True)
def counted(pytestconfig: pytest.Config) -> None:
    pytestconfig.pluginmanager.register(Summary())


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


_runs: dict[str, Run] = {}


@pytest.fixture
def run(front: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    if front not in _runs:
        _runs[front] = Run(front, tmp_path_factory.mktemp(front))
    return _runs[front]


def named(case: Any) -> str | None:
    return f"{case.section} {case.line}: {case.name}" if isinstance(case, Case) else None


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_is_survived(case: Case, front: str, run: Run) -> None:
    assert_survived(case, run)
    passed[front] += 1


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


def test_every_line_of_the_list_has_a_case() -> None:
    covered = {(case.section, case.line) for case in CASES}
    assert covered == {(name, n + 1) for name, count in LINES.items() for n in range(count)}
    assert len({case.name for case in CASES}) == len(CASES)
