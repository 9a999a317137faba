"""The command line: ``dockerflow version`` writes ``version.json``.

``python -m dockerflow version`` does the same. Python then looks for modules in the folder that is
current first, so a repository that has an ``argparse.py`` has it imported: the console script
is for repositories of strangers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .version_file import KEYS, UnknownCommitError, describe, render, write

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status, 1 where a build says nothing of itself."""
    parser = argparse.ArgumentParser(prog="dockerflow")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    version = commands.add_parser(
        "version",
        help="write version.json",
        description=(
            "Writes version.json from what is given, else from the variables of the CI "
            "(GitHub Actions, CircleCI, Taskcluster, GitLab, Buildkite, Travis, Jenkins), else "
            "from git. The file is printed as well."
        ),
    )
    version.add_argument(
        "-o", "--output", default="version.json", help="where to; - only prints (%(default)s)"
    )
    version.add_argument(
        "-C", "--directory", type=Path, default=Path(), help="the repository (where you are)"
    )
    for key in KEYS:
        version.add_argument(f"--{key}", default="", help="instead of what is found")
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
