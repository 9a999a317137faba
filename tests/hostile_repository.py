"""Repositories that would have a program run: each way that a ``.git`` has to name one.

A way prepares a repository whose program writes a file, the *marker*, and gives the command
that runs the program with a git that is not held back. So a test sees that the way is real.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import pty
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Commands of plain git, run in the repository.
_DESCRIBE = ("describe", "--tags", "--always")


@dataclass
class Hostile:
    """A repository of a stranger: ``work`` is its folder, ``marker`` what its program writes."""

    work: Path
    marker: Path
    program: Path
    environ: dict[str, str]

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run plain git in it; its stdout is what it prints."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.work, env=self.environ, check=check, timeout=60,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def set(self, **settings: str) -> None:
        """Set configuration: ``core__pager`` is ``core.pager``."""
        for name, value in settings.items():
            self.git("config", name.replace("__", "."), value)

    def lose_a_commit(self, url: str) -> None:
        """Make it a partial clone that lacks a commit which ``git describe`` walks over."""
        lost = self.git("rev-parse", "HEAD~1")
        (self.work / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
        self.set(
            core__repositoryformatversion="1", extensions__partialClone="origin",
            remote__origin__promisor="true", remote__origin__url=url,
        )  # fmt: skip


Trigger = Callable[[], object]
#: Prepares a repository; gives what runs its program.
Way = Callable[[Hostile], Trigger]
WAYS: dict[str, Way] = {}


def _way(prepare: Way) -> Way:
    WAYS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


def make(folder: Path) -> Hostile:
    """Make a repository of three commits, a file and a tag, and a program that marks."""
    work, marker, program = folder / "work", folder / "marker", folder / "program"
    work.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho run >> '{marker}'\nexit 1\n")
    program.chmod(0o755)
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.com",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.com",
    }  # fmt: skip
    made = Hostile(work, marker, program, environ)
    made.git("init", "--quiet")
    for number in range(3):
        (work / "file").write_text(f"{number}\n")
        made.git("add", "file")
        made.git("commit", "--quiet", "--message", f"number {number}")
    return made


def _git(repository: Hostile, *arguments: str) -> Trigger:
    return lambda: repository.git(*arguments, check=False)


@_way
def upload_pack_of_a_partial_clone(repository: Hostile) -> Trigger:
    repository.lose_a_commit(str(repository.work.parent / "other"))
    repository.set(remote__origin__uploadpack=str(repository.program))
    return _git(repository, *_DESCRIBE)


@_way
def ssh_of_a_partial_clone(repository: Hostile) -> Trigger:
    repository.lose_a_commit("ssh://localhost/other")
    repository.set(core__sshCommand=str(repository.program))
    return _git(repository, *_DESCRIBE)


@_way
def transport_of_a_partial_clone(repository: Hostile) -> Trigger:
    repository.lose_a_commit(f"ext::{repository.program}")
    repository.set(protocol__ext__allow="always", protocol__allow="always")
    return _git(repository, *_DESCRIBE)


@_way
def proxy_of_a_partial_clone(repository: Hostile) -> Trigger:
    repository.lose_a_commit("git://localhost/other")
    repository.set(core__gitProxy=str(repository.program))
    return _git(repository, *_DESCRIBE)


class _Unauthorized(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@_way
def bundle_of_a_partial_clone(repository: Hostile) -> Trigger:
    """Have a server ask for a password before any transport is checked."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Unauthorized)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    repository.lose_a_commit(str(repository.work.parent / "other"))
    repository.set(fetch__bundleURI=url)
    repository.git("config", f"credential.{url}.helper", f"!{repository.program}")
    return _git(repository, *_DESCRIBE)


@_way
def file_monitor(repository: Hostile) -> Trigger:
    repository.set(core__fsmonitor=str(repository.program))
    return _git(repository, "status")


@_way
def hooks_elsewhere(repository: Hostile) -> Trigger:
    hooks = repository.work.parent / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "post-index-change", "reference-transaction", "post-checkout"):
        shutil.copy(repository.program, hooks / name)
    repository.set(core__hooksPath=str(hooks))
    return _git(repository, "commit", "--allow-empty", "--message", "more")


@_way
def hooks_in_their_place(repository: Hostile) -> Trigger:
    hooks = repository.work / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "post-index-change", "reference-transaction", "post-checkout"):
        shutil.copy(repository.program, hooks / name)
    return _git(repository, "commit", "--allow-empty", "--message", "more")


@_way
def pager(repository: Hostile) -> Trigger:
    program = str(repository.program)
    repository.set(core__pager=program, pager__describe=program, pager__config=program)
    return lambda: _on_a_terminal(["git", "log"], repository)


def _on_a_terminal(command: list[str], repository: Hostile) -> None:
    ours, its = pty.openpty()
    try:
        subprocess.run(
            command, cwd=repository.work, env=repository.environ, timeout=60, check=False,
            stdin=subprocess.DEVNULL, stdout=its, stderr=its,
        )  # fmt: skip
    finally:
        os.close(its)
        os.close(ours)


@_way
def external_diff(repository: Hostile) -> Trigger:
    repository.set(diff__external=str(repository.program))
    return _git(repository, "diff", "HEAD~1")


@_way
def text_of_a_diff(repository: Hostile) -> Trigger:
    (repository.work / ".gitattributes").write_text("* diff=shown filter=cleaned\n")
    repository.set(diff__shown__textconv=str(repository.program))
    return _git(repository, "diff", "HEAD~1")


@_way
def filter_of_files(repository: Hostile) -> Trigger:
    (repository.work / ".gitattributes").write_text("* filter=cleaned\n")
    (repository.work / "file").write_text("new\n")
    repository.set(filter__cleaned__clean=str(repository.program))
    return _git(repository, "add", "file")


@_way
def signatures(repository: Hostile) -> Trigger:
    repository.set(gpg__program=str(repository.program), log__showSignature="true")
    return _git(repository, "commit", "--allow-empty", "-S", "--message", "more")


@_way
def credentials(repository: Hostile) -> Trigger:
    program = str(repository.program)
    repository.set(credential__helper=f"!{program}", core__askPass=program)

    def fill() -> None:
        subprocess.run(
            ["git", "credential", "fill"], cwd=repository.work, env=repository.environ,
            input=b"protocol=https\nhost=localhost\n\n", capture_output=True, check=False,
            timeout=60,
        )  # fmt: skip

    return fill


@_way
def editor(repository: Hostile) -> Trigger:
    repository.set(core__editor=str(repository.program))
    return _git(repository, "config", "--edit")


@_way
def aliases(repository: Hostile) -> Trigger:
    names = ("describe", "config", "rev-parse", "shown")
    for name in names:
        repository.git("config", f"alias.{name}", f"!{repository.program}")
    return _git(repository, "shown")


@_way
def an_included_file(repository: Hostile) -> Trigger:
    included = repository.work / "included"
    included.write_text(f"[core]\n\tfsmonitor = {repository.program}\n")
    repository.set(include__path=str(included))
    return _git(repository, "status")


@_way
def the_configuration_of_a_worktree(repository: Hostile) -> Trigger:
    repository.set(core__repositoryformatversion="1", extensions__worktreeConfig="true")
    (repository.work / ".git" / "config.worktree").write_text(
        f"[core]\n\tfsmonitor = {repository.program}\n"
    )
    return _git(repository, "status")


@_way
def a_git_folder_elsewhere(repository: Hostile) -> Trigger:
    elsewhere = repository.work.parent / "elsewhere"
    (repository.work / ".git").rename(elsewhere)
    (repository.work / ".git").write_text(f"gitdir: {elsewhere}\n")
    repository.set(core__fsmonitor=str(repository.program))
    return _git(repository, "status")


@_way
def a_git_in_the_folder(repository: Hostile) -> Trigger:
    shutil.copy(repository.program, repository.work / "git")
    return lambda: subprocess.run(
        "git", cwd=repository.work, env={"PATH": ":."}, check=False, timeout=60,
        capture_output=True,
    )  # fmt: skip


#: Ways that are real with some versions of git only, which the machine may not have.
OF_SOME_VERSIONS = {"bundle of a partial clone"}  # 2.40 to 2.43

#: What Python would import for the command line, if it looked in the current folder first.
MODULES = (
    "argparse", "fnmatch", "gettext", "json", "mozlog_py", "pathlib", "random", "selectors",
    "shutil", "subprocess", "tempfile", "typing", "urllib", "__future__",
)  # fmt: skip


def add_modules(repository: Hostile) -> None:
    """Put modules with the names of the standard library's beside the files."""
    for name in MODULES:
        (repository.work / f"{name}.py").write_text(
            f"import sys\nopen({str(repository.marker)!r}, 'a').write({name!r} + ' ')\n"
        )


@contextlib.contextmanager
def hostile(folder: Path, way: str) -> Iterator[tuple[Hostile, Trigger]]:
    """Make a repository that has one of the ``WAYS``; give it and what runs its program."""
    repository = make(folder)
    yield repository, WAYS[way](repository)
