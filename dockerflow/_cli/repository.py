"""Runs git in a repository without running a program that the repository names.

A repository and its ``.git`` may come from a stranger (a pull request, an archive). Its
configuration can name programs: a file monitor, hooks, a pager, and a transport for missing
objects, which ``git describe`` fetches by itself in a partial clone. Here the environment
and options switch each of them off, and override the repository's configuration.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["Repository"]

#: The timeout of one git command, in seconds.
_GIT_SECONDS: Final = 30.0

_ENVIRONMENT: Final = {
    # No transport at all: no protocol has the name "none".
    "GIT_ALLOW_PROTOCOL": "none",
    # From git 2.44 on: git does not fetch missing objects.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    # The text of an error is compared below.
    "LC_ALL": "C",
}
_SETTINGS: Final = (
    # An invalid value, with which ``git fetch`` exits at once. Before 2.44 git starts it for
    # missing objects, and it reads ``fetch.bundleURI``, whose transport is not checked.
    "fetch.prune=never-fetch",
    "protocol.allow=never",
    "core.alternateRefsCommand=false",
    "core.askPass=",
    "core.editor=false",
    "core.fsmonitor=false",
    "core.gitProxy=none",
    f"core.hooksPath={os.devnull}",
    "core.pager=cat",
    "core.sshCommand=false",
    "credential.helper=",
    "diff.external=",
    "gpg.program=false",
    "log.showSignature=false",
    "submodule.recurse=false",
)


class Repository:
    """A folder in a git repository.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        #: Why the last command failed, as part of a sentence.
        self.trouble = ""

    def ask(self, *arguments: str) -> str:
        """Run a git command.

        Args:
            arguments: The command and its arguments.

        Returns:
            The output without white space around it. If the command fails, an empty text;
            ``trouble`` then has the reason.
        """
        git = _absolute_git()
        if git is None:
            self.trouble = "there is no git on the PATH"
            return ""
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            done = subprocess.run(  # noqa: S603
                [git, "--no-pager", *settings, *arguments],
                cwd=self._folder,
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=_GIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self.trouble = f"git did not answer within {_GIT_SECONDS:.0f} seconds in {self._folder}"
            return ""
        except OSError as error:
            self.trouble = f"git cannot be run in {self._folder} ({error})"
            return ""
        if done.returncode == 0:
            return done.stdout.strip()
        self.trouble = self._refusal(done.stderr)
        return ""

    def _refusal(self, stderr: str) -> str:
        if "dubious ownership" in stderr or "unsafe repository" in stderr:
            hinted = re.search(r"safe\.directory (.+)", stderr)
            return (
                f"git does not read the repository of {self._folder}, because another user owns "
                "it; run this as its owner or, if you trust its contents, let git read it with "
                "`git config --global --add safe.directory "
                f"{hinted[1] if hinted else self._folder.resolve()}`"
            )
        lines = stderr.strip().splitlines()
        quoted = f" (git says {lines[-1]!r})" if lines else ""
        return f"{self._folder} is in no git repository with a commit{quoted}"


def _absolute_git() -> str | None:
    """Return the path of git; None if it is not found.

    Only absolute folders of the PATH count. The current folder, in which Windows looks first,
    is the repository.
    """
    for folder in os.get_exec_path():
        if os.path.isabs(folder):  # noqa: PTH117 - as below
            found = shutil.which(os.path.join(folder, "git"))  # noqa: PTH118 - a text, as which has it
            if found is not None:
                return found
    return None
