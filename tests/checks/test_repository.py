"""The command line in a stranger's repository runs no program that the repository names."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_repository import MODULES, OF_SOME_VERSIONS, WAYS, Hostile, add_modules, hostile, make
from snippets import ROOT

from dockerflow._cli import repository, version_file
from dockerflow._cli.command import main
from dockerflow._cli.repository import Repository

#: The script that pip makes of the entry in ``[project.scripts]``.
SCRIPT = """
import sys
from dockerflow._cli.command import main
if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in version_file._SERVICES:
        monkeypatch.delenv(name, raising=False)


class TestAProgramOfTheRepository:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_program_of_the_repository_is_not_run(
        self,
        way: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with hostile(tmp_path / "real", way) as (made, trigger):
            trigger()
            if way not in OF_SOME_VERSIONS:
                assert made.marker.exists(), "the way is none: plain git runs no program"
        with hostile(tmp_path / "ours", way) as (made, _):
            monkeypatch.chdir(made.work)
            monkeypatch.setenv("PATH", f"{os.pathsep}.{os.pathsep}{os.environ['PATH']}")
            assert main(["version", "-o", "-"]) == 0
            assert not made.marker.exists()
            commit = json.loads(capsys.readouterr().out)["commit"]
        assert len(commit) == 40

    @pytest.mark.parametrize("without", ["_ENVIRONMENT", "_SETTINGS"])
    @pytest.mark.parametrize("way", ["upload pack of a partial clone", "ssh of a partial clone"])
    def test_a_program_of_the_repository_is_not_run_for_two_reasons(
        self, way: str, without: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repository, without, type(getattr(repository, without))())
        with hostile(tmp_path, way) as (made, _):
            Repository(made.work).ask("describe", "--tags", "--always")
            assert not made.marker.exists()

    def test_a_program_of_the_repository_is_not_run_on_a_terminal_either(
        self, tmp_path: Path
    ) -> None:
        import pty

        with hostile(tmp_path, "pager") as (made, _):
            ours, its = pty.openpty()
            subprocess.run(
                [sys.executable, "-m", "dockerflow", "version"],
                cwd=made.work, stdin=its, stdout=its, stderr=its, timeout=60, check=True,
            )  # fmt: skip
            os.close(its)
            os.close(ours)
            assert json.loads((made.work / "version.json").read_text())["commit"]
            assert not made.marker.exists()

    def test_a_program_of_the_repository_is_not_run_by_any_transport(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Git gets the environment and the options that the security page names."""
        (tmp_path / "bin").mkdir()
        git = tmp_path / "bin" / "git"
        git.write_text(f'#!/bin/sh\nenv > {tmp_path}/env\necho "$@" > {tmp_path}/args\n')
        git.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext:file")
        Repository(tmp_path).ask("describe")
        environ = (tmp_path / "env").read_text().splitlines()
        assert {"GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1"} <= set(environ)
        arguments = (tmp_path / "args").read_text().split()
        assert "--no-pager" in arguments
        assert {"core.fsmonitor=false", "core.hooksPath=/dev/null"} <= set(arguments)
        assert arguments[-1] == "describe"


class TestAModuleOfTheRepository:
    @pytest.fixture
    def made(self, tmp_path: Path) -> Hostile:
        made = make(tmp_path / "repository")
        add_modules(made)
        return made

    def run(self, made: Hostile, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command, "version", "-o", "-"],
            cwd=made.work, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["commit"]) == 40
        return made.marker.read_text() if made.marker.exists() else ""

    def test_a_module_of_the_repository_would_be_imported_from_the_current_folder(
        self, made: Hostile
    ) -> None:
        subprocess.run([sys.executable, "-c", "import argparse"], cwd=made.work, check=False)
        assert "argparse" in made.marker.read_text().split()

    def test_a_module_of_the_repository_is_not_imported_by_the_console_script(
        self, made: Hostile, tmp_path: Path
    ) -> None:
        script = tmp_path / "dockerflow"
        script.write_text(SCRIPT)
        assert self.run(made, str(script)) == ""

    def test_a_module_of_the_repository_is_not_imported_by_the_module(self, made: Hostile) -> None:
        # Except for modules that Python itself imports before ours.
        own = subprocess.run(
            [sys.executable, "-m", "this_is_no_module"], cwd=made.work, check=False,
            capture_output=True, timeout=60,
        )  # fmt: skip
        assert own.returncode == 1
        before = set(made.marker.read_text().split()) if made.marker.exists() else set()
        made.marker.unlink(missing_ok=True)
        assert before.isdisjoint({"argparse", "subprocess", "tempfile", "json"})
        assert set(self.run(made, "-m", "dockerflow").split()) <= before

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="-P came with Python 3.11")
    def test_a_module_of_the_repository_is_not_imported_by_the_module_on_a_safe_path(
        self, made: Hostile
    ) -> None:
        assert self.run(made, "-P", "-m", "dockerflow") == ""
        assert len(MODULES) == len(set(MODULES))

    def test_a_module_of_the_repository_is_not_needed_where_the_package_is_in_the_current_folder(
        self, tmp_path: Path
    ) -> None:
        shutil.copytree(ROOT / "dockerflow", tmp_path / "dockerflow")
        done = subprocess.run(
            [sys.executable, "-m", "dockerflow", "version", "--commit", "abc", "-o", "-"],
            cwd=tmp_path, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["commit"] == "abc"


class TestTrouble:
    def test_trouble_is_another_owner(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = make(tmp_path / "repository")
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        assert main(["version", "-C", str(made.work), "-o", "-"]) == 1
        said = capsys.readouterr().err
        assert "because another user owns it; run this as its owner or" in said
        assert f"`git config --global --add safe.directory {made.work}`" in said
        assert "give it with --commit" in said

    def test_trouble_is_a_git_that_does_not_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = make(tmp_path / "repository")
        os.mkfifo(made.work / "fifo")
        # git would block on the included file.
        made.set(include__path=str(made.work / "fifo"))
        monkeypatch.setattr(repository, "_GIT_SECONDS", 0.2)
        asked = Repository(made.work)
        assert asked.ask("rev-parse", "HEAD") == ""
        assert asked.trouble == f"git did not answer within 0 seconds in {made.work}"

    def test_trouble_is_what_git_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        with pytest.raises(
            version_file.UnknownCommitError, match=r"commit \(git says 'fatal: not a git"
        ):
            version_file.describe(tmp_path, {}, {})

    def test_trouble_is_no_git_and_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(version_file.UnknownCommitError, match="git cannot be run in"):
            version_file.describe(tmp_path / "none", {}, {})
        monkeypatch.setenv("PATH", "")
        with pytest.raises(version_file.UnknownCommitError, match="there is no git on the PATH"):
            version_file.describe(tmp_path, {}, {})

    def test_trouble_is_none_with_names_that_are_no_text(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = make(tmp_path / "repository")
        with (made.work / ".git" / "config").open("ab") as config:
            config.write(b'[remote "origin"]\n\turl = "\xff\\n\x1b[31m"\n')
        assert main(["version", "-C", str(made.work), "-o", "-"]) == 0
        out = capsys.readouterr().out
        assert out.isascii()
        assert "\x1b" not in out
        assert json.loads(out)["source"] == "�\n\x1b[31m".strip()


def test_the_console_script_is_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.scripts]\ndockerflow = "dockerflow._cli.command:main"\n' in text
