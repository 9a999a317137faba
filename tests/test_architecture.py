"""The architecture page names what exists, all of it, and its arrows are those of the imports."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design" / "architecture.md"
PACKAGES = ("mozlog_py", "dockerflow")

pytestmark = pytest.mark.skipif(
    not (ROOT / "tools").is_dir(), reason="the page is of the tree, and not of the wheel"
)


def page() -> str:
    return PAGE.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page(), re.DOTALL | re.MULTILINE)


def modules_of_the_tree() -> Iterator[str]:
    for block in blocks("text"):
        folders: list[tuple[int, str]] = []
        for line in filter(None, block.splitlines()):
            indent = len(line) - len(line.lstrip())
            name = line.split()[0]
            while folders and folders[-1][0] >= indent:
                folders.pop()
            path = "/".join([*(folder for _, folder in folders), name.rstrip("/")])
            if name.endswith("/"):
                folders.append((indent, name.rstrip("/")))
            yield path


def modules_on_disk() -> Iterator[str]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            inside = path.relative_to(ROOT).with_suffix("")
            if path.name == "__init__.py":
                yield inside.parent.as_posix()
            elif path.name != "__main__.py":
                yield inside.as_posix()


def test_the_tree_lists_each_module_once() -> None:
    listed = sorted(modules_of_the_tree())
    found = sorted(modules_on_disk())
    assert {
        "missing from docs/design/architecture.md": [name for name in found if name not in listed],
        "not in the packages": [name for name in listed if name not in found],
    } == {"missing from docs/design/architecture.md": [], "not in the packages": []}
    assert listed == found


def test_each_module_of_the_tree_has_a_description() -> None:
    for block in blocks("text"):
        first, *lines = block.splitlines()
        assert first.rstrip("/") in PACKAGES
        assert [line for line in lines if not re.match(r" +\w+/? {2,}\w", line)] == []


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Return the names that a module defines: of classes also ``Class.method``."""
    found = set()
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return frozenset(found)


def test_each_path_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:mozlog_py|dockerflow|tests|tools)/[\w./]*)`", page())
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
    links = re.findall(r"\]\(([\w./-]+\.md)\)", page())
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []


def test_the_ten_questions_are_answered_by_file_and_by_name() -> None:
    section = page().partition("## Where is it?")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (Where .*?) \| `([\w./]+)` \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) == 10
    for question, path, answer in rows:
        others = re.findall(r"`([\w./]+\.py)`", answer)
        known = frozenset[str]().union(*map(names_in, [path, *others]))
        said = [
            name
            for name in re.findall(r"`([\w.]+)`", answer)
            if not name.isupper() and not name.endswith(".py") and name != "extra"
        ]
        assert said or others, question
        assert [name for name in said if name not in known] == [], question


@pytest.fixture(scope="module")
def graph() -> Any:
    grimp = pytest.importorskip("grimp")
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def arrows() -> Iterator[tuple[str, str]]:
    """Yield the modules at both ends of each arrow between two modules."""
    for block in blocks("mermaid"):
        labels = dict(re.findall(r'(\w+)\["(.*?)"\]', block))
        ends = re.findall(r'^\s+(\w+)(?:\[".*?"\])? --> (\w+)', block, re.MULTILINE)
        assert len(ends) == block.count("-->")
        for first, second in ends:
            both = [
                labels[end].removesuffix(".py").strip("/").replace("/", ".")
                for end in (first, second)
            ]
            if all(name.startswith(PACKAGES) for name in both):
                yield both[0], both[1]


@pytest.mark.slow
@pytest.mark.parametrize(("caller", "called"), list(arrows()) if PAGE.is_file() else [])
def test_no_import_runs_against_an_arrow(graph: Any, caller: str, called: str) -> None:
    assert {caller, called} <= graph.modules
    against = graph.find_shortest_chains(importer=called, imported=caller, as_packages=True)
    assert not against
    assert graph.find_shortest_chains(importer=caller, imported=called, as_packages=True)


def test_both_flows_are_drawn() -> None:
    drawn = {name for pair in arrows() for name in pair}
    assert {
        "mozlog_py._fields", "mozlog_py._values", "mozlog_py._line", "mozlog_py.sink",
        "dockerflow.summary", "dockerflow.checks._run.heartbeats",
    } <= drawn  # fmt: skip
