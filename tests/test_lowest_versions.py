"""The hostile cases on the lowest versions of the dependencies that this distribution allows.

A fault of a dependency that a lower bound lets in is a fault of ours. The environment is made
once, in ``.matrix/lowest``, of wheels alone.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_lines import CASES, FRONTS, Case
from hostile_runs import Run, assert_survived, named

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".matrix" / "lowest"
#: The parts of the list that go through the dependencies. The others are of pipes and processes.
SECTIONS = ("Values", "Records", "Exceptions", "Context")
#: What the cases need beside them, in any version.
OTHERS = ("hypothesis>=6.100",)

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        not (ROOT / "pyproject.toml").is_file(), reason="the lower bounds are of the tree"
    ),
]


def lowest() -> list[str]:
    """Return each dependency with the lowest version that it may have."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    # Without a marker, such as that of the platforms.
    return [each.replace(">=", "==") for each in re.findall(r'"([\w-]+>=[\d.]+)', listed[1])]


def interpreters() -> Iterator[str]:
    """Yield this Python, and the oldest one that is supported, where the machine has it."""
    yield sys.executable
    on_path = shutil.which("python3.10")
    if on_path:
        yield on_path
    yield from map(str, (Path.home() / ".pyenv" / "versions").glob("3.10.*/bin/python"))


def make(python: str) -> str:
    """Make the environment; return what went wrong, or nothing."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    commands = [
        [python, "-m", "venv", "--without-pip", str(FOLDER)],
        [
            sys.executable, "-m", "pip", "--python", str(FOLDER / "bin" / "python"), "install",
            "--quiet", "--no-compile", "--disable-pip-version-check", "--only-binary=:all:",
            *lowest(), *OTHERS,
        ],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            return f"{' '.join(command[1:4])}: {said[-1] if said else done.returncode}"
    (FOLDER / "made-of").write_text(" ".join(lowest()), "utf-8")
    return ""


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    FOLDER.parent.mkdir(exist_ok=True)
    with (FOLDER.parent / "lowest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made_of = FOLDER / "made-of"
        if not made_of.is_file() or made_of.read_text("utf-8") != " ".join(lowest()):
            reasons = []
            for interpreter in interpreters():
                reason = make(interpreter)
                if not reason:
                    break
                reasons.append(f"{interpreter}: {reason}")
            else:
                pytest.skip(f"no environment with {', '.join(lowest())}: {'; '.join(reasons)}")
        yield str(FOLDER / "bin" / "python")


@pytest.fixture(scope="module")
def runs(python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return {
        front: Run(front, tmp_path_factory.mktemp(front), *SECTIONS, python=python)
        for front in FRONTS
    }


def test_the_environment_has_the_lowest_versions(python: str) -> None:
    names = [name.partition("==")[0] for name in lowest()]
    code = (
        "import importlib.metadata, json, sys; "
        "print(json.dumps([importlib.metadata.version(name) for name in sys.argv[1:]]))"
    )
    done = subprocess.run(
        [python, "-c", code, *names], capture_output=True, text=True, timeout=60, check=True
    )
    versions = [tuple(map(int, name.partition("==")[2].split("."))) for name in lowest()]
    found = [tuple(map(int, version.split("."))) for version in json.loads(done.stdout)]
    assert [each[: len(least)] for each, least in zip(found, versions, strict=True)] == versions


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("case", [case for case in CASES if case.section in SECTIONS], ids=named)
def test_each_hostile_line_is_survived_on_the_lowest_versions(
    case: Case, front: str, runs: dict[str, Run]
) -> None:
    assert_survived(case, runs[front])
