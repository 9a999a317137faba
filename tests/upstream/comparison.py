"""What upstream's tests say of two implementations, and whether that is good enough."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The outcomes of one run by test: None for a test that passed, else the reason.
Outcomes = Mapping[str, str | None]

NOT_RUN = "was not run"

#: How many of a suite's differences the table names; the list below it names all.
_NAMED_IN_TABLE = 2


@dataclass(frozen=True)
class Difference:
    """A test that passes with upstream, and not with ours."""

    test: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One suite, run with both implementations."""

    suite: str
    passed_with_upstream: int
    passed_with_ours: int
    differences: tuple[Difference, ...]


def read_report(report: Path) -> dict[str, str | None]:
    """Read pytest's report of one run.

    Args:
        report: The file that ``--junitxml`` has written.

    Returns:
        Each test's outcome, by its class or module and its name.
    """
    outcomes: dict[str, str | None] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        reason = next(
            (
                f"{kind}: {(found.get('message') or '').strip()}"
                for kind in ("failure", "error", "skipped")
                if (found := case.find(kind)) is not None
            ),
            None,
        )
        # A test whose teardown fails is reported twice.
        outcomes[test] = outcomes.get(test) or reason
    return outcomes


def compare(suite: str, upstream: Outcomes, ours: Outcomes) -> Row:
    """Compare one suite's outcomes.

    Args:
        suite: The name of the suite.
        upstream: What happened with upstream.
        ours: What happened with this distribution.

    Returns:
        Both counts, and each test that passes with upstream only.
    """
    passed = passed_in(upstream)
    return Row(
        suite,
        len(passed),
        len(passed_in(ours)),
        tuple(
            Difference(test, reason)
            for test in sorted(passed)
            if (reason := ours.get(test, NOT_RUN)) is not None
        ),
    )


def passed_in(*runs: Outcomes) -> set[str]:
    """Return the tests that pass in at least one of the runs."""
    return {test for run in runs for test, reason in run.items() if reason is None}


def problems(rows: Sequence[Row], passed_with_upstream: int, known: int) -> list[str]:
    """Return why the gate fails.

    Args:
        rows: The suites.
        passed_with_upstream: How many different tests passed with upstream.
        known: How many of them have to.

    Returns:
        One sentence for each reason; nothing where the gate passes.
    """
    found = []
    if passed_with_upstream < known:
        found.append(
            f"only {passed_with_upstream} tests pass with upstream, {known} are known to: a part "
            "of its suites did not run, or a new version of a framework breaks upstream; see the "
            "logs of its runs"
        )
    differing = {difference.test for row in rows for difference in row.differences}
    if differing:
        found.append(f"{len(differing)} tests pass with upstream and fail with ours")
    return found


def table(rows: Sequence[Row]) -> str:
    """Return the suites as a table, and below it each difference with its reason."""
    head = ("suite", "upstream", "ours", "differs")
    cells = [
        head,
        *(
            (row.suite, str(row.passed_with_upstream), str(row.passed_with_ours), _in_short(row))
            for row in rows
        ),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = [
        f"{suite:<{widths[0]}}  {theirs:>{widths[1]}}  {ours:>{widths[2]}}  {differs}".rstrip()
        for suite, theirs, ours, differs in cells
    ]
    reasons = {difference.test: difference.reason for row in rows for difference in row.differences}
    lines += [f"{test}\n    {(reason.splitlines() or [''])[0]}" for test, reason in reasons.items()]
    return "\n".join(lines)


def _in_short(row: Row) -> str:
    names = [difference.test.rpartition("::")[2] for difference in row.differences]
    further = len(names) - _NAMED_IN_TABLE
    shown = ", ".join(names[:_NAMED_IN_TABLE])
    return shown + (f" and {further} more" if further > 0 else "")
