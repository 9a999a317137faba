"""The benchmarks of one tree against another: rows, intervals, verdicts, the whole program.

They run in processes of their own: their modules have names that tests have as well.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dockerflow
import mozlog_py

FOLDER = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the benchmarks are of the tree, and not of the wheel"
)

START = """
import json, sys
from contextlib import contextmanager
import against
from against import Row, compare, interval, report, rows_of
from contests import Contender, contests

def row(name, **given):
    return Row(name, Contender(name, "ours", name, "ours"), **given)
"""


def run(code: str) -> Any:
    """Run code among the benchmarks; return what it printed last, as JSON."""
    start = f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n{START}"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class TestRows:
    def test_rows_are_all_of_ours_once_and_none_of_others(self) -> None:
        names = run("print(json.dumps([row.name for row in rows_of(contests())]))")
        assert len(names) == len(set(names)) > 40
        groups = {name.partition(":")[0] for name in names}
        assert groups >= {"format", "call", "sink", "queue", "proxy", "bound", "served", "context"}
        others = ("python-json-logger", "ecs-logging", "NullHandler", "structlog, as its", "pino")
        assert [name for name in names if any(other in name for other in others)] == []
        assert "format: eight extras, mozlog-py" in names

    @pytest.mark.parametrize(
        ("ratios", "lower", "upper"),
        [
            # Made with scipy.stats.t.interval of the logarithms.
            ([1.0, 1.0, 1.0], 1.0, 1.0),
            ([1.05, 1.06, 1.04, 1.05], 1.0370, 1.0631),
            ([0.9, 1.1], 0.2778, 3.5634),
            ([1.2] * 40 + [1.3] * 40, 1.2381, 1.2599),
        ],
    )
    def test_rows_have_an_interval_of_the_mean(
        self, ratios: list[float], lower: float, upper: float
    ) -> None:
        got = run(f"print(json.dumps(interval({ratios!r})))")
        assert got[0] == pytest.approx(lower, rel=2e-3)
        assert got[2] == pytest.approx(upper, rel=2e-3)
        assert got[0] <= got[1] <= got[2]

    def test_rows_of_one_pair_have_no_interval(self) -> None:
        code = """
try:
    interval([1.0])
except ValueError as error:
    print(json.dumps(str(error)))
"""
        assert run(code) == "an interval takes two pairs or more"

    @pytest.mark.parametrize(
        ("ratios", "is_worse"),
        [
            ([1.05, 1.06, 1.04, 1.05], True),
            ([1.04, 1.04, 1.04, 1.04], True),
            ([1.03, 1.03, 1.03, 1.03], False),
            ([1.02, 1.02, 1.02, 1.02], False),
            ([1.00, 1.20, 1.00, 1.20], False),
            ([0.90, 0.91, 0.90, 0.91], False),
        ],
    )
    def test_rows_are_worse_where_the_lower_end_is_above_the_limit(
        self, ratios: list[float], is_worse: bool
    ) -> None:
        assert run(f"print(json.dumps(row('a', ratios={ratios!r}).is_worse))") is is_worse


class TestReport:
    def test_names_the_rows_that_are_worse_and_fails_then(self) -> None:
        code = """
rows = [row("same", ratios=[1.0, 1.01]), row("slow", ratios=[1.5, 1.5]),
        row("new", wrong_in_other="no line"), row("fast", ratios=[0.5, 0.5])]
print(json.dumps([report(rows), report(rows[:1] + rows[2:])]))
"""
        (text, status), (better, well) = run(code)
        table, _, worse = text.partition("\n\n")
        assert status == 1
        assert worse.splitlines() == [
            "worse, with the lower end above 1.03:", "   1.500   1.500 to 1.500   slow",
        ]  # fmt: skip
        assert [line.rsplit("   ", 1)[1] for line in table.splitlines()[1:]] == [
            "same", "slow", "new: not compared, the other: no line", "fast",
        ]  # fmt: skip
        assert well == 0
        assert better.endswith("no row is worse (none has its lower end above 1.03)")

    def test_report_fails_where_the_output_of_this_tree_is_wrong(self) -> None:
        text, status = run("print(json.dumps(report([row('a', wrong='no line')])))")
        assert status == 1
        assert "a: not compared, this tree: no line" in text


FAKE = """
asked = []
# Nanoseconds by tree, case and the number of the question; a process has a speed of its own.
SPEEDS = [1.0, 1.3, 0.8, 1.1]
started = iter(range(100))

@contextmanager
def pair():
    number = next(started)
    def worker(tree, ns):
        def ask(question, contender, **details):
            asked.append((number, tree, question, contender.case))
            if question == "check":
                return {"wrong": "no line"} if contender.case == tree else {}
            return {"ns": ns(contender.case) * SPEEDS[number]}
        return ask
    own = worker("own", lambda case: 110.0 if case == "slow" else 100.0)
    yield own, worker("other", lambda case: 100.0)

rows = [row("slow"), row("same"), row("own"), row("other")]
done = list(compare(rows, pair, pairs=4, rounds=3, budget_ns=1))
"""


class TestCompare:
    def test_compare_gives_each_pair_of_processes_one_ratio(self) -> None:
        ratios = run(FAKE + "print(json.dumps([[row.name, row.ratios] for row in rows]))")
        assert dict(ratios)["slow"] == pytest.approx([1.1] * 4)
        assert dict(ratios)["same"] == pytest.approx([1.0] * 4)

    def test_compare_leaves_out_what_is_wrong(self) -> None:
        got = run(FAKE + "print(json.dumps([[r.name, r.wrong, r.wrong_in_other] for r in rows]))")
        assert got == [
            ["slow", "", ""], ["same", "", ""], ["own", "no line", ""], ["other", "", "no line"],
        ]  # fmt: skip
        asked = run(FAKE + "print(json.dumps(asked))")
        assert [each for each in asked if each[2:] == ["round", "own"]] == []

    def test_compare_asks_by_turns_and_each_first_as_often(self) -> None:
        asked = run(FAKE + "print(json.dumps(asked))")
        turns = [tree for _, tree, question, case in asked if (question, case) == ("round", "same")]
        pairs = [tuple(turns[i : i + 2]) for i in range(0, len(turns), 2)]
        # Two to warm up and three that count, in each of four pairs.
        assert len(pairs) == 4 * (2 + 3)
        assert {*pairs} == {("own", "other"), ("other", "own")}
        assert abs(pairs.count(("own", "other")) - pairs.count(("other", "own"))) <= 1

    def test_compare_says_how_far_it_is(self) -> None:
        assert run(FAKE + "print(json.dumps(done))") == [1, 2, 3, 4]


class TestProgram:
    @pytest.fixture
    def slow(self, tmp_path: Path) -> Path:
        """Return a tree whose formatter takes many times as long."""
        for package in (mozlog_py, dockerflow):
            source = Path(package.__path__[0])
            shutil.copytree(source, tmp_path / source.name)
        fast = tmp_path / "mozlog_py" / "_render" / "plain_record.py"
        slowed = """
_usual_record_renderer = record_renderer

def record_renderer(*args, **options):
    render = _usual_record_renderer(*args, **options)
    def slow(record):
        sum(range(50_000))
        return render(record)
    return slow
"""
        fast.write_text(fast.read_text("utf-8") + slowed, "utf-8")
        return tmp_path

    def against(self, own: Path, other: Path, *more: str) -> subprocess.CompletedProcess[str]:
        # In this environment and not in one of its own, which would have to be made.
        code = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import environments, run
environments.prepare = lambda name, *, is_installing: sys.executable
sys.argv = ["run.py", "--tree", {str(own)!r}, "--against", {str(other)!r}, *{more!r}]
sys.exit(run.main())
"""
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def test_program_fails_and_names_the_row_where_this_tree_is_slower(self, slow: Path) -> None:
        only = ["--quick", "--rounds", "1", "--only", "format: no extras, mozlog"]
        done = self.against(slow, FOLDER.parent, *only)
        assert done.returncode == 1, done.stderr
        assert "worse, with the lower end above 1.03:" in done.stdout
        assert done.stdout.count("format: no extras, mozlog-py") == 2
        done = self.against(FOLDER.parent, slow, *only)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no row is worse" in done.stdout

    def test_program_refuses_what_is_no_tree_and_no_row(self, tmp_path: Path) -> None:
        done = self.against(FOLDER.parent, tmp_path)
        assert (done.returncode, "has no mozlog_py in it" in done.stderr) == (2, True)
        done = self.against(FOLDER.parent, FOLDER.parent, "--only", "nothing")
        assert (done.returncode, "no row has 'nothing' in its name" in done.stderr) == (1, True)
        done = self.against(FOLDER.parent, FOLDER.parent, "--pairs", "1")
        assert (done.returncode, "--pairs must be 2 or more" in done.stderr) == (2, True)
