"""The tools of ``make lint`` find what they are there for, and the tests keep their own rules."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"

pytestmark = pytest.mark.skipif(
    not (ROOT / "tools").is_dir(), reason="the tools are of the tree, and not of the wheel"
)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestProse:
    @pytest.mark.parametrize(
        "text",
        [
            "Some" + "body calls it.",
            "who" + "ever logs",
            "any" + "one's turn",
            "a name that is none",
        ],
    )
    def test_a_word_that_hides_what_acts_is_a_fault(self, text: str) -> None:
        ((place, line, fault),) = tool("prose").faults(iter([("page.md", 3, f"A line.\n{text}")]))
        assert (place, line) == ("page.md", 4)
        assert "name the thing that acts" in fault

    @pytest.mark.parametrize("text", ["a value that is None", "The sink writes the line."])
    def test_other_words_are_none(self, text: str) -> None:
        assert list(tool("prose").faults(iter([("page.md", 1, text)]))) == []

    @pytest.mark.parametrize("verb", ["Gi" + "ve", "Gi" + "ves", "Te" + "ll whether", "Te" + "ll"])
    def test_a_docstring_begins_with_another_verb(self, verb: str) -> None:
        source = f'def f():\n    """{verb} a value."""\n'
        prose = tool("prose")
        ((place, line, fault),) = prose.faults(prose._texts_of("a.py", source))
        assert (place, line) == ("a.py", 2)
        assert "docstring" in fault

    def test_comments_and_messages_are_read_and_code_is_not(self) -> None:
        word = "no" + "body"
        source = f'# {word} comes\nraise ValueError("{word} came")\n{word} = "{word}"\n'
        prose = tool("prose")
        lines = [line for _, line, _ in prose.faults(prose._texts_of("a.py", source))]
        assert sorted(lines) == [1, 2]
        page = f"text\n```\n{word}\n```\n`{word}` {word}\n"
        assert prose._prose_of(page).count(word) == 1

    def test_long_sentences_are_listed(self) -> None:
        prose = tool("prose")
        text = " ".join(["word"] * 31) + ". A short one."
        ((_, line, sentence),) = prose.long_sentences(iter([("page.md", 1, text)]))
        assert (line, len(sentence.split())) == (1, 31)


class TestCodeLines:
    def test_blank_lines_comments_and_docstrings_do_not_count(self) -> None:
        source = (
            '"""A module."""\n\n# Why.\nx = 1\n\ndef f():\n    """Do."""\n'
            "    return (\n        x\n    )\n"
        )
        assert tool("code_lines").code_lines(source) == {4, 6, 8, 9, 10}

    def test_long_modules_and_functions_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = tool("code_lines")
        monkeypatch.setattr(module, "ROOT", tmp_path)
        path = tmp_path / "long.py"
        path.write_text("def f():\n" + "    x = 1\n" * 400)
        assert module.too_long(path) == ["long.py: 401 lines", "long.py:1: f has 401 lines"]
        path.write_text("def f():\n" + "    x = 1\n" * 59)
        assert module.too_long(path) == []


class TestRulesOfTheTests:
    def test_no_test_module_imports_another(self) -> None:
        found = []
        for path in TESTS.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                found += [
                    f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
                    for name in names
                    if re.match(r"test_|.*\.test_", name) and not name.startswith("aiohttp.")
                ]
        assert found == []

    def test_each_name_is_a_sentence_that_begins_with_what_is_tested(self) -> None:
        # With the name of its class in front, such a name was a sentence; grep saw half of it.
        begins = re.compile(
            r"test_(is|are|has|have|does|do|of|that|whose|takes?|gives?|keeps?|leaves?|shows?|says?"
            r"|makes?|goes|go|comes?|names|never|may|can|cannot|raises?|refuses?|reads?)_"
        )
        things = ("test_names_", "test_make_record_", "test_make_demo_", "test_has_bound_")
        found = [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
            for path in TESTS.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and begins.match(node.name)
            and not node.name.startswith(things)
        ]
        assert found == []

    def test_each_lane_of_make_test_is_a_part_of_the_tests(self) -> None:
        makefile = (ROOT / "Makefile").read_text("utf-8")
        lanes = dict(re.findall(r"^(\w+_TESTS) := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE))
        assert {"SERVER_TESTS", "LOGGING_TESTS", "WHEEL_TESTS"} <= set(lanes)
        for paths in lanes.values():
            for path in paths.replace("\\\n", " ").split():
                assert (ROOT / path).exists(), path

    def test_each_hook_of_pre_commit_runs_in_make_lint_or_layers(self) -> None:
        makefile = (ROOT / "Makefile").read_text("utf-8")
        hooks = re.findall(
            r"entry: \.venv/bin/(\S+(?: \S+)?)", (ROOT / ".pre-commit-config.yaml").read_text()
        )
        assert len(hooks) == 5
        for hook in hooks:
            assert f"$(BIN)/{hook}" in makefile, hook
