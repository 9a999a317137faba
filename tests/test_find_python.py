"""``tools/find_python.py`` finds interpreters by name, in pyenv and beside the system's."""

from __future__ import annotations

import importlib.util
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parent.parent / "tools" / "find_python.py"

pytestmark = pytest.mark.skipif(
    not TOOL.is_file(), reason="the tools are of the tree, and not of the wheel"
)

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(name="tool")
def loaded_tool() -> Any:
    spec = importlib.util.spec_from_file_location("find_python", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="environ")
def empty_machine(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}


def put(path: Path, version: str = THIS) -> str:
    """Write a program that answers as the interpreter of a version; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.processes
class TestAnInterpreter:
    def test_an_interpreter_is_found_on_the_path_first(
        self, tool: Any, environ: Any, tmp_path: Path
    ) -> None:
        put(tmp_path / f".pyenv/versions/{THIS}.1/bin/python{THIS}")
        on_path = put(tmp_path / f"bin/python{THIS}")
        assert tool.find(THIS, environ) == on_path

    def test_an_interpreter_is_found_in_pyenv_the_newest_first(
        self, tool: Any, environ: Any, tmp_path: Path
    ) -> None:
        for patch in ("9", "13", "2"):
            put(tmp_path / f".pyenv/versions/{THIS}.{patch}/bin/python{THIS}")
        found = tool.find(THIS, environ)
        assert found == str(tmp_path / f".pyenv/versions/{THIS}.13/bin/python{THIS}")

    def test_an_interpreter_is_found_where_variables_say(
        self, tool: Any, environ: Any, tmp_path: Path
    ) -> None:
        newer = put(tmp_path / f"newer/root/usr/bin/python{THIS}")
        assert tool.find(THIS, environ) is None
        assert tool.find(THIS, {**environ, "NEWER_PYTHONS": str(tmp_path / "newer")}) == newer
        ours = put(tmp_path / f"pyenv/versions/{THIS}.1/bin/python{THIS}")
        assert tool.find(THIS, {**environ, "PYENV_ROOT": str(tmp_path / "pyenv")}) == ours

    def test_an_interpreter_that_does_not_start_is_passed_over(
        self, tool: Any, environ: Any, tmp_path: Path
    ) -> None:
        shim = tmp_path / f"bin/python{THIS}"
        put(shim)
        shim.write_text("#!/bin/sh\necho 'not installed' >&2; exit 127\n", "utf-8")
        other = put(tmp_path / f".newer-pythons/root/usr/bin/python{THIS}")
        assert tool.find(THIS, environ) == other

    def test_an_interpreter_of_another_version_is_passed_over(
        self, tool: Any, environ: Any, tmp_path: Path
    ) -> None:
        put(tmp_path / f"bin/python{THIS}", "2.7")
        assert tool.find(THIS, environ) is None


def test_the_first_version_that_is_found_is_printed(
    tool: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "find", {"3.14": "/here"}.get)
    monkeypatch.setattr(sys, "argv", ["find_python", "3.15", "3.14"])
    assert (tool.main(), capsys.readouterr().out) == (0, "/here\n")


def test_a_version_that_is_not_found_is_said(
    tool: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "find", lambda version: None)
    monkeypatch.setattr(sys, "argv", ["find_python", "3.99"])
    assert tool.main() == 1
    assert "Python 3.99 is not on this machine" in capsys.readouterr().err
