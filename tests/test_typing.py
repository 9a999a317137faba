"""Type checkers take the good uses of ``tests/typing`` and refuse each of the bad ones."""

import functools
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("mypy", "basedpyright")),
    reason="the type checkers are of the group lint, which the other environments do not have",
)

FOLDER = Path(__file__).parent / "typing"
ROOT = FOLDER.parents[1]
GOOD, BAD, LOGGERS = (FOLDER / name for name in ("good_uses.py", "bad_uses.py", "good_loggers.py"))

#: What a mark says: the rules by which mypy and basedpyright refuse a use.
RULES = {
    "argument": ("arg-type", "reportArgumentType"),
    "attribute": ("attr-defined", "reportAttributeAccessIssue"),
    "call": ("call-arg", "reportCallIssue"),
    "entry": ("dict-item", "reportArgumentType"),
    "item": ("list-item", "reportArgumentType"),
    "key": ("typeddict-unknown-key", "reportAssignmentType"),
    "positional": ("call-arg", "reportCallIssue"),
    "value": ("typeddict-item", "reportAssignmentType"),
}

Reported = dict[str, dict[int, set[str]]]


@functools.cache
def by_mypy() -> Reported:
    """Return the rules that mypy reports, by file and line."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--no-error-summary",
         "--hide-error-context", *map(str, (GOOD, BAD, LOGGERS))],
        capture_output=True, text=True, timeout=600, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found: Reported = defaultdict(lambda: defaultdict(set))
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(.+?):(\d+): error: .*\[([\w-]+)\]", line)
        if match is not None:
            found[Path(match[1]).name][int(match[2])].add(match[3])
        else:
            assert ": note: " in line, line
    return found


@functools.cache
def by_basedpyright() -> Reported:
    """Return the rules that basedpyright reports in its strict mode, by file and line."""
    config = {
        "include": [str(FOLDER)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.10",
        "extraPaths": [str(ROOT)],
    }
    file = FOLDER / "pyrightconfig.json"
    file.write_text(json.dumps(config), "utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable,
             "--project", str(file)],
            capture_output=True, text=True, timeout=600, check=False, cwd=ROOT,
        )  # fmt: skip
    finally:
        file.unlink()
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found: Reported = defaultdict(lambda: defaultdict(set))
    for problem in json.loads(done.stdout)["generalDiagnostics"]:
        line = problem["range"]["start"]["line"] + 1
        found[Path(problem["file"]).name][line].add(problem["rule"])
    for rules in (rules for lines in found.values() for rules in lines.values()):
        # It does not know the type of what is wrong for another reason.
        if len(rules) > 1:
            rules.discard("reportUnknownMemberType")
    return found


CHECKERS = {"mypy": by_mypy, "basedpyright": by_basedpyright}
each_checker = pytest.mark.parametrize("checker", CHECKERS.values(), ids=CHECKERS)


def marked(checker: Callable[[], Reported]) -> dict[int, set[str]]:
    """Return the rules that the lines of the bad uses are marked with."""
    place = [*CHECKERS.values()].index(checker)
    return {
        number: {RULES[match[1]][place]}
        for number, line in enumerate(BAD.read_text("utf-8").splitlines(), 1)
        if (match := re.search(r"# wrong: (\w+)$", line))
    }


@pytest.mark.slow
@each_checker
@pytest.mark.parametrize("file", [GOOD, LOGGERS], ids=lambda file: file.stem)
def test_good_uses_are_taken(checker: Callable[[], Reported], file: Path) -> None:
    assert checker()[file.name] == {}


@each_checker
def test_each_bad_use_is_refused_and_nothing_else(checker: Callable[[], Reported]) -> None:
    assert len(marked(checker)) > 50
    assert checker()[BAD.name] == marked(checker)
