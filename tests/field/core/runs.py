"""Runs a piece of code as a process of its own, and reads the lines that it wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from conformance import checked_lines


class Run(NamedTuple):
    """What a process wrote, and how it ended."""

    lines: list[dict[str, Any]]
    err: str
    status: int

    @property
    def messages(self) -> list[str]:
        """The messages of the lines on stdout, in their order."""
        return [line["Fields"]["msg"] for line in self.lines]


def run(code: str, folder: Path, **options: Any) -> Run:
    """Run code in a folder; each line of its stdout has to be a valid one."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder, capture_output=True, timeout=60, check=False, **options,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Run(checked_lines(done.stdout), done.stderr.decode(), done.returncode)


def messages(path: Path) -> list[str]:
    """Return the messages of a log file's lines, each of which has to be a valid one."""
    return [line["Fields"]["msg"] for line in checked_lines(path.read_bytes())]
