"""What the logger must survive, case by case and through all three fronts.

``hostile_lines.py`` has the cases. Each runs in a process of its own; what it wrote is
looked at here: valid lines only, as many as there should be, and what they say.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hostile_lines import CASES, FRONTS, Case
from hostile_runs import Run, assert_survived, named

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


_runs: dict[str, Run] = {}


@pytest.fixture
def run(front: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    if front not in _runs:
        _runs[front] = Run(front, tmp_path_factory.mktemp(front))
    return _runs[front]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_hostile_line_is_survived(case: Case, front: str, run: Run) -> None:
    assert_survived(case, run)
    passed[front] += 1


def test_every_line_of_the_list_has_a_case() -> None:
    covered = {(case.section, case.line) for case in CASES}
    assert covered == {(name, n + 1) for name, count in LINES.items() for n in range(count)}
    assert len({case.name for case in CASES}) == len(CASES)
