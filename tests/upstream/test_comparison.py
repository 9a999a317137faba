"""The gate's own decisions: what counts as passed, what differs, and when it fails."""

from pathlib import Path

import pytest
from comparison import NOT_RUN, Row, compare, passed_in, problems, read_report, table

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" tests="5">
<testcase classname="tests.core.test_a" name="test_good" time="0.1" />
<testcase classname="tests.core.test_a" name="test_bad[/x/]" time="0.1">
  <failure message="assert 1 == 2&#10; +  where 1 = f()">a traceback</failure></testcase>
<testcase classname="tests.core.test_a" name="test_skipped" time="0.1">
  <skipped type="pytest.skip" message="no server">why</skipped></testcase>
<testcase classname="tests.core.test_a" name="test_torn_down" time="0.1" />
<testcase classname="tests.core.test_a" name="test_torn_down" time="0.1">
  <error message="failed on teardown">a traceback</error></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    return path


def test_a_test_passes_only_without_a_failure_an_error_and_a_skip(report: Path) -> None:
    outcomes = read_report(report)
    assert outcomes == {
        "tests.core.test_a::test_good": None,
        "tests.core.test_a::test_bad[/x/]": "failure: assert 1 == 2\n +  where 1 = f()",
        "tests.core.test_a::test_skipped": "skipped: no server",
        "tests.core.test_a::test_torn_down": "error: failed on teardown",
    }
    assert passed_in(outcomes) == {"tests.core.test_a::test_good"}


def test_what_fails_with_both_is_no_difference() -> None:
    row = compare("core", {"a": None, "b": "failure: x"}, {"a": None, "b": "failure: y"})
    assert row == Row("core", 1, 1, ())
    assert problems([row], 1, known=1) == []


def test_a_test_that_fails_or_is_skipped_with_ours_only_is_a_difference() -> None:
    row = compare("core", {"a": None, "b": None}, {"a": "failure: x", "b": "skipped: y"})
    assert [(found.test, found.reason) for found in row.differences] == [
        ("a", "failure: x"),
        ("b", "skipped: y"),
    ]
    assert problems([row], 2, known=2) == ["2 tests pass with upstream and fail with ours"]


def test_a_test_that_does_not_run_with_ours_is_a_difference() -> None:
    row = compare("core", {"a": None}, {})
    assert [found.reason for found in row.differences] == [NOT_RUN]
    assert problems([row], 1, known=1)


def test_more_passes_with_ours_do_not_make_up_for_one_that_fails() -> None:
    row = compare("core", {"a": None, "b": "failure: x"}, {"a": "failure: y", "b": None, "c": None})
    assert (row.passed_with_upstream, row.passed_with_ours) == (1, 2)
    assert problems([row], 1, known=1) == ["1 tests pass with upstream and fail with ours"]


def test_fewer_passes_with_upstream_than_known_fail_the_gate_though_nothing_differs() -> None:
    row = compare("core", {"a": None}, {"a": None})
    (problem,) = problems([row], 1, known=2)
    assert problem.startswith("only 1 tests pass with upstream, 2 are known to")


def test_a_test_that_differs_in_two_runs_is_counted_and_explained_once() -> None:
    rows = [
        compare("sanic", {"a": None, "b": None}, {"a": "failure: x\nmore of it", "b": None}),
        compare("sanic after core", {"a": None}, {"a": "failure: x"}),
    ]
    assert problems(rows, 2, known=2) == ["1 tests pass with upstream and fail with ours"]
    assert passed_in({"a": None}, {"a": None, "b": None}) == {"a", "b"}
    assert table(rows).splitlines() == [
        "suite             upstream  ours  differs",
        "sanic                    2     1  a",
        "sanic after core         1     0  a",
        "a",
        "    failure: x",
    ]


def test_the_table_names_two_differences_of_a_suite_and_counts_the_others() -> None:
    row = compare("core", dict.fromkeys("abcd"), {"a": None, **dict.fromkeys("bcd", "failure: ")})
    assert table([row]).splitlines()[1] == "core          4     1  b, c and 1 more"
