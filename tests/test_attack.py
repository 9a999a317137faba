"""The quick part of ``make attack``: fewer services, fewer requests, and all of them held.

The other groups have tests of their own in this folder: for files, repositories, names, secrets
and heartbeats. ``make attack`` runs all of them against the services of ``examples/``.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import ROOT

ATTACK = Path(__file__).with_name("attack")

GROUPS = (
    "configured_texts", "endpoint_leaks", "header_injection", "large_requests", "log_forging",
    "smuggling",
)  # fmt: skip


FAILED = ("group: it could not be run to its end", "1", "0 **no**")


def run(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ATTACK), *arguments], cwd=cwd, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_every_attack_of_a_group_is_held(group: str) -> None:
    done = run("--quick", group)
    rows = re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+)(?: \*\*no\*\*)? \|$", done.stdout, re.M)
    assert rows, done.stderr
    wrong = [row for row in rows if row[1] != row[2]]
    assert not wrong, done.stderr[-4000:]
    assert done.returncode == 0
    # A group that tries nothing holds nothing.
    assert all(int(tried.replace(",", "")) > 0 for _, tried, _ in rows)


class TestRunner:
    def test_runner_finds_the_modules_that_run(self) -> None:
        with_run = {
            path.stem
            for path in ATTACK.glob("[!_]*.py")
            if any(
                isinstance(node, ast.FunctionDef) and node.name == "run"
                for node in ast.parse(path.read_text("utf-8")).body
            )
        }
        assert set(GROUPS) <= with_run
        assert "service" not in with_run
        said = run("--help").stdout.replace("\n", " ")
        assert all(group in said for group in with_run)

    @pytest.mark.parametrize(
        ("source", "rows"),
        [
            ("return [('a', 2, 2), ('b', 1, 1)]", [("a", "2", "2"), ("b", "1", "1")]),
            ("return [('a', 2, 1)]", [("a", "2", "1 **no**")]),
            ("raise LookupError", [FAILED]),
            ("import os; os._exit(0)", [FAILED]),
            ("import secrets; return [(secrets.token_hex and 'a', 1, 1)]", [("a", "1", "1")]),
        ],
    )  # fmt: skip
    def test_runner_prints_a_table_and_fails_where_something_did_not_hold(
        self, source: str, rows: list[tuple[str, ...]], tmp_path: Path
    ) -> None:
        package = tmp_path / "attack"
        package.mkdir()
        for name in ("__init__.py", "__main__.py"):
            (package / name).write_text((ATTACK / name).read_text())
        (package / "group.py").write_text(f"def run(): {source}\n")
        # Its name must not hide the standard library's.
        (package / "secrets.py").write_text("")
        done = subprocess.run(
            [sys.executable, str(package)], capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": ""}, check=False,
        )  # fmt: skip
        shown = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", done.stdout, re.M)
        assert shown == [("attack", "tried", "held"), ("---", "---:", "---:"), *rows]
        assert done.returncode == any("no" in row[2] for row in rows)

    def test_runner_is_what_make_runs(self) -> None:
        text = (ROOT / "Makefile").read_text()
        assert "\nattack: $(VENV)/.installed\n\t@$(BIN)/python tests/attack\n" in text
        assert json.dumps("make attack ")[1:-2] in text
