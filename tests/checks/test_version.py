"""version.json: read once per change, valid or not, and written from CI variables or git."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerflow import version
from dockerflow.__main__ import main
from dockerflow._cli import version_file
from dockerflow.version import VersionFileError, get_release_name, get_version

VERSION = {
    "source": "https://github.com/example/shop",
    "version": "1.2.3",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "build": "https://ci.example.com/1",
}
COMMIT = VERSION["commit"]


@pytest.fixture(autouse=True)
def nothing_read() -> None:
    version._read.clear()


def put(folder: Path, content: Any) -> Path:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "version.json").write_bytes(raw)
    return folder


class TestGetVersion:
    def test_get_version_gives_the_object(self, tmp_path: Path) -> None:
        put(tmp_path, VERSION)
        assert get_version(str(tmp_path)) == get_version(tmp_path) == VERSION

    def test_get_version_gives_none_where_there_is_no_file(self, tmp_path: Path) -> None:
        assert get_version(tmp_path) is None
        assert get_version(tmp_path / "missing") is None
        (tmp_path / "file").touch()
        assert get_version(tmp_path / "file") is None
        (tmp_path / "version.json").symlink_to(tmp_path / "nowhere")
        assert get_version(tmp_path) is None

    def test_get_version_reads_once_per_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads: list[str] = []

        def counting(path: str, mode: str) -> Any:
            reads.append(path)
            return Path(path).open(mode)

        monkeypatch.setattr(version, "open", counting, raising=False)
        put(tmp_path, VERSION)
        for _ in range(3):
            assert get_version(tmp_path) == VERSION
        assert len(reads) == 1
        put(tmp_path, {"version": "2"})
        for _ in range(3):
            assert get_version(tmp_path) == {"version": "2"}
        assert len(reads) == 2
        # As a deployment does: a new file of the same size and age replaces the old one.
        age = (tmp_path / "version.json").stat()
        (tmp_path / "new").write_text('{"version": "3"}')
        os.utime(tmp_path / "new", ns=(age.st_atime_ns, age.st_mtime_ns))
        (tmp_path / "new").replace(tmp_path / "version.json")
        assert get_version(tmp_path) == {"version": "3"}
        (tmp_path / "version.json").unlink()
        assert get_version(tmp_path) is None

    def test_get_version_gives_each_caller_its_own(self, tmp_path: Path) -> None:
        put(tmp_path, VERSION)
        got = get_version(tmp_path)
        assert got is not None
        got.clear()
        assert get_version(tmp_path) == VERSION

    def test_get_version_takes_a_byte_order_mark_and_any_json(self, tmp_path: Path) -> None:
        put(tmp_path, b'\xef\xbb\xbf{"version": "1", "more": [1, 2.5, null, {"a": "\\u00e9"}]}')
        assert get_version(tmp_path) == {"version": "1", "more": [1, 2.5, None, {"a": "é"}]}

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "not valid JSON (Expecting value"),
            (b"{", "not valid JSON (Expecting property name"),
            (b'{"a": 1} x', "not valid JSON (Extra data"),
            (b'["1.0"]', "a JSON array, not an object"),
            (b'"1.0"', "a JSON string, not an object"),
            (b"null", "a JSON null, not an object"),
            (b"true", "a JSON boolean, not an object"),
            (b"1.0", "a JSON number, not an object"),
            (b'{"a": NaN}', "not valid JSON (NaN is no JSON number)"),
            (b'{"a": [-Infinity]}', "not valid JSON (-Infinity is no JSON number)"),
            (b'{"a": 1e999}', "not valid JSON (Out of range float"),
            (b'{"a": "\\ud800"}', "not UTF-8 (surrogates not allowed)"),
            (b"\xff\xfe{}", "not UTF-8 (invalid start byte)"),
            (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
            (b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON (Exceeds the limit"),
            (b'{"a": "' + b"x" * 1_048_576 + b'"}', "larger than 1,048,576 bytes"),
        ],
    )
    def test_get_version_raises_for_a_file_that_cannot_be_used(
        self, content: bytes, why: str, tmp_path: Path
    ) -> None:
        if b"11111" in content and not hasattr(sys, "get_int_max_str_digits"):
            why = "never raised"
            assert get_version(put(tmp_path, content)) is not None
            return
        put(tmp_path, content)
        for _ in range(2):
            with pytest.raises(VersionFileError) as caught:
                get_version(tmp_path)
            text = str(caught.value)
            assert text.startswith(f"{tmp_path / 'version.json'} is unusable: it is {why}")
            assert text.endswith("`python -m dockerflow version` writes one")
            # A public response must not have the path.
            assert caught.value.public == text.replace(
                str(tmp_path / "version.json"), "version.json"
            )
        assert get_version(put(tmp_path, VERSION)) == VERSION

    def test_get_version_raises_for_what_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "version.json").mkdir(parents=True)
        (tmp_path / "b").mkdir()
        os.mkfifo(tmp_path / "b" / "version.json")  # reading it would wait for ever
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "version.json").symlink_to(tmp_path / "c" / "version.json")
        for name, why in (("a", "it is no file"), ("b", "it is no file"), ("c", "it cannot be re")):
            with pytest.raises(VersionFileError, match=why):
                get_version(tmp_path / name)
        with pytest.raises(VersionFileError, match="embedded null") as caught:
            get_version("nul\0")
        assert caught.value.public.startswith("version.json is unusable: it cannot be read")

    def test_get_version_raises_for_a_file_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise PermissionError(13, "Permission denied", str(tmp_path / "version.json"))

        put(tmp_path, VERSION)
        monkeypatch.setattr(version, "open", refuse, raising=False)
        for _ in range(2):
            with pytest.raises(VersionFileError, match="Permission denied") as caught:
                get_version(tmp_path)
            assert "it cannot be read (Permission denied)" in caught.value.public
            assert str(tmp_path) not in caught.value.public

    def test_get_version_is_an_error_that_callers_of_upstream_catch(self) -> None:
        assert issubclass(VersionFileError, ValueError)
        assert VersionFileError("odd").public == str(VersionFileError("odd", "other")) == "odd"

    @given(st.binary() | st.text().map(json.dumps).map(str.encode))
    def test_get_version_never_raises_anything_else(
        self, tmp_path_factory: Any, content: bytes
    ) -> None:
        folder = tmp_path_factory.mktemp("version")
        try:
            got = get_version(put(folder, content))
        except VersionFileError:
            return
        assert isinstance(got, dict)
        json.dumps(got, allow_nan=False).encode()


class TestGetReleaseName:
    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (VERSION, "1.2.3:01234567"),
            ({"version": "1.2.3"}, "1.2.3"),
            ({"version": "", "commit": COMMIT}, "01234567"),
            ({"version": COMMIT, "commit": COMMIT}, COMMIT),
            ({"version": "release/a b\n\x00\u2028c", "commit": ""}, "release-a-b-c"),
            ({"version": 2, "commit": None}, "2"),
            ({"version": ["x"], "commit": {}}, "unknown"),
            ({"version": "v" * 300}, "v" * 200),
            ({}, "unknown"),
        ],
    )
    def test_get_release_name_is_one_string(self, content: Any, name: str, tmp_path: Path) -> None:
        assert get_release_name(put(tmp_path, content)) == name

    def test_get_release_name_is_unknown_where_there_is_no_file(self, tmp_path: Path) -> None:
        assert get_release_name(tmp_path) == "unknown"

    def test_get_release_name_is_unknown_with_a_line_where_the_file_is_unusable(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert get_release_name(put(tmp_path, b"[]")) == "unknown"
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("dockerflow.version", "ERROR")
        assert "is unusable: it is a JSON array" in record.getMessage()


SHA = "f" * 40
CI: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "GitHub": (
        {
            "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "example/shop", "GITHUB_SHA": SHA, "GITHUB_RUN_ID": "7",
            "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1",
        },
        {
            "source": "https://github.com/example/shop", "version": "v1", "commit": SHA,
            "build": "https://github.com/example/shop/actions/runs/7",
        },
    ),
    "GitHub, a branch": (
        {
            "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "example/shop", "GITHUB_SHA": SHA,
            "GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main",
        },
        {
            "source": "https://github.com/example/shop", "version": "", "commit": SHA, "build": "",
        },
    ),
    "CircleCI": (
        {
            "CIRCLECI": "true", "CIRCLE_REPOSITORY_URL": "git@github.com:example/shop.git",
            "CIRCLE_TAG": "v1", "CIRCLE_SHA1": SHA, "CIRCLE_BUILD_URL": "https://circleci.com/7",
        },
        {
            "source": "https://github.com/example/shop", "version": "v1", "commit": SHA,
            "build": "https://circleci.com/7",
        },
    ),
    "CircleCI, by name": (
        {
            "CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "example",
            "CIRCLE_PROJECT_REPONAME": "shop", "CIRCLE_SHA1": SHA,
        },
        {
            "source": "https://github.com/example/shop", "version": "", "commit": SHA, "build": "",
        },
    ),
    "Taskcluster": (
        {
            "TASK_ID": "abc", "TASKCLUSTER_ROOT_URL": "https://tc.example.com",
            "SHOP_HEAD_REPOSITORY": "https://github.com/example/shop", "SHOP_HEAD_REV": SHA,
            "SHOP_HEAD_TAG": "v1",
        },
        {
            "source": "https://github.com/example/shop", "version": "v1", "commit": SHA,
            "build": "https://tc.example.com/tasks/abc",
        },
    ),
    "GitLab": (
        {
            "GITLAB_CI": "true", "CI_PROJECT_URL": "https://gitlab.com/example/shop",
            "CI_COMMIT_TAG": "v1", "CI_COMMIT_SHA": SHA, "CI_PIPELINE_URL": "https://gitlab.com/7",
        },
        {
            "source": "https://gitlab.com/example/shop", "version": "v1", "commit": SHA,
            "build": "https://gitlab.com/7",
        },
    ),
    "Jenkins": (
        {
            "JENKINS_URL": "https://ci", "GIT_URL": "https://me:s3cret@git.example.com/shop.git",
            "TAG_NAME": "v1", "GIT_COMMIT": SHA, "BUILD_URL": "https://ci/7",
        },
        {
            "source": "https://git.example.com/shop", "version": "v1", "commit": SHA,
            "build": "https://ci/7",
        },
    ),
}  # fmt: skip


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        cwd=folder, check=True, capture_output=True, timeout=60,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"},
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    return tmp_path


class TestDescribe:
    @pytest.mark.parametrize("service", CI)
    def test_describe_takes_what_a_ci_says(self, service: str, repository: Path) -> None:
        environ, facts = CI[service]
        git(repository, "tag", "v9")  # belongs to another commit
        assert version_file.describe(repository, environ, {}) == facts

    def test_describe_takes_the_rest_from_git(self, repository: Path) -> None:
        facts = version_file.describe(repository, {}, {})
        assert (facts["source"], facts["build"]) == ("", "")
        assert len(facts["commit"]) == 40
        assert facts["commit"].startswith(facts["version"])
        git(repository, "tag", "v1")
        git(repository, "remote", "add", "origin", "ssh://git@example.com:2222/example/shop.git")
        assert version_file.describe(repository, {}, {}) == {
            "source": "https://example.com/example/shop",
            "version": "v1",
            "commit": facts["commit"],
            "build": "",
        }

    def test_describe_takes_what_is_given_first(self, repository: Path) -> None:
        environ = CI["GitHub"][0]
        assert version_file.describe(repository, environ, VERSION) == VERSION

    @pytest.mark.parametrize(
        ("source", "public"),
        [
            ("https://github.com/example/shop.git", "https://github.com/example/shop"),
            ("https://x-token:s3cret@github.com/e/shop", "https://github.com/e/shop"),
            ("git@github.com:e/shop.git", "https://github.com/e/shop"),
            ("github.com:e/shop", "https://github.com/e/shop"),
            ("ssh://git:s3cret@github.com:22/e/shop.git", "https://github.com/e/shop"),
            ("me:s3/cret@github.com:e/shop.git", "https://github.com/e/shop"),
            ("https://me:s3/cre't@github.com/e/shop.git", "https://github.com/e/shop"),
            ("/srv/git/shop", "/srv/git/shop"),
            ("../shop", "../shop"),
        ],
    )
    def test_describe_gives_a_source_that_people_can_open(
        self, source: str, public: str, tmp_path: Path
    ) -> None:
        given_ = {**VERSION, "source": source}
        assert version_file.describe(tmp_path, {}, given_)["source"] == public

    def test_describe_gives_a_build_without_credentials(self, tmp_path: Path) -> None:
        given_ = {**VERSION, "build": "https://me:s3cret@ci.example.com/7?token=s3cret"}
        build_url = version_file.describe(tmp_path, {}, given_)["build"]
        assert build_url == "https://ci.example.com/7?token=***"


class TestCommand:
    @pytest.fixture(autouse=True)
    def no_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("GITHUB_ACTIONS", "CIRCLECI", "TASK_ID", "GITLAB_CI", "JENKINS_URL"):
            monkeypatch.delenv(name, raising=False)

    def test_command_writes_a_file_that_is_read_again(self, repository: Path) -> None:
        git(repository, "tag", "v1")
        done = subprocess.run(
            [sys.executable, "-m", "dockerflow", "version"],
            cwd=repository, capture_output=True, text=True, timeout=60, check=True,
            env={name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"},
        )  # fmt: skip
        got = get_version(repository)
        assert got == json.loads(done.stdout)
        assert got is not None
        assert (got["version"], list(got)) == ("v1", ["source", "version", "commit", "build"])
        assert (repository / "version.json").stat().st_mode & 0o777 == 0o644
        assert sorted(path.name for path in repository.iterdir()) == [".git", "version.json"]

    def test_only_prints_to_stdout(
        self, repository: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["version", "-C", str(repository), "-o", "-", "--build", "here"]) == 0
        assert json.loads(capsys.readouterr().out)["build"] == "here"
        assert not (repository / "version.json").exists()

    def test_command_writes_where_it_is_told(
        self, repository: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = repository / "app.json"
        given_ = [f"--{key}={value}" for key, value in VERSION.items()]
        assert main(["version", "--output", str(path), *given_]) == 0
        assert json.loads(path.read_text()) == json.loads(capsys.readouterr().out) == VERSION

    def test_command_says_what_is_missing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        assert main(["version", "-C", str(tmp_path), "-o", str(tmp_path / "v")]) == 1
        monkeypatch.setenv("PATH", "")
        assert main(["version", "-C", str(tmp_path)]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("there is no commit: no variable of a known CI is set, and") == 2
        assert told.err.count("give it with --commit") == 2
        assert list(tmp_path.iterdir()) == []

    def test_command_says_when_it_cannot_write(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["version", "--commit", SHA, "-o", str(tmp_path / "no" / "v.json")]) == 1
        assert "No such file or directory" in capsys.readouterr().err
        (tmp_path / "folder").mkdir()
        assert main(["version", "--commit", SHA, "-o", str(tmp_path / "folder")]) == 1
        assert "Is a directory" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["folder"], "a torn file was left"

    def test_command_wants_a_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        with pytest.raises(SystemExit) as caught:
            main([])
        assert caught.value.code == 2
