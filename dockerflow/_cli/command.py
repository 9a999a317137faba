"""The command line: ``dockerflow version`` writes ``version.json``.

``python -m dockerflow version`` does the same, but Python puts the current folder first in
``sys.path``. Use the console script in repositories of strangers: they may have modules with
the names of the standard library's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .version_file import KEYS, UnknownCommitError, describe, render, write

__all__ = ["main"]

_HELP: Final = {
    "source": "the URL of the repository; overrides CI and git",
    "version": "the version, such as a tag; overrides CI and git",
    "commit": "the commit; overrides CI and git",
    "build": "the URL of the build; overrides the CI",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments; by default those of the process.

    Returns:
        The exit status: 1 if the commit is unknown, or the file cannot be written.
    """
    parser = argparse.ArgumentParser(prog="dockerflow")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    version = commands.add_parser(
        "version",
        help="write version.json",
        description=(
            "Writes version.json, and prints it. Each key comes from its option, else from the "
            "variables of the CI (GitHub Actions, CircleCI, Taskcluster, GitLab, Buildkite, "
            "Travis, Jenkins), else from git."
        ),
    )
    version.add_argument(
        "-o",
        "--output",
        default="version.json",
        help="the output file; '-' prints only (default: %(default)s)",
    )
    version.add_argument(
        "-C",
        "--directory",
        type=Path,
        default=Path(),
        help="the git repository (default: current directory)",
    )
    for key in KEYS:
        version.add_argument(f"--{key}", default="", help=_HELP[key])
    options = parser.parse_args(arguments)
    given = {key: getattr(options, key) for key in KEYS}
    try:
        contents = describe(options.directory, os.environ, given)
        text = render(contents)
        if options.output != "-":
            write(text, Path(options.output))
    except (UnknownCommitError, OSError) as error:
        sys.stderr.write(f"dockerflow version: {error}\n")
        return 1
    sys.stdout.write(text)
    return 0
