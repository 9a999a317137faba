"""``dockerflow version`` in a stranger's repository, whose ``.git`` names programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostile_repository import OF_SOME_VERSIONS, WAYS, add_modules, hostile, make

from dockerflow._cli import version_file

from .service import IS_QUICK, Rows

# What the console script is.
_COMMAND = "import sys; sys.path.pop(0); from dockerflow._cli.command import main; sys.exit(main())"


def run() -> Rows:
    """Return a row for programs of the repository, and one for its modules."""
    ways = list(WAYS)[:: 4 if IS_QUICK else 1]
    with ThreadPoolExecutor(3) as pool:
        held = sum(pool.map(_holds, ways))
    return [
        ("a repository that names a program: none is run", len(ways), held),
        ("a repository that has modules of the standard library's names", 1, _imports_none()),
    ]


def _holds(way: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        with hostile(Path(folder, "real"), way) as (made, trigger):
            trigger()
            is_real = made.marker.exists() or way in OF_SOME_VERSIONS
        with hostile(Path(folder, "ours"), way) as (made, _):
            has_commit = _writes_a_version(made.work)
            is_held = has_commit and is_real and not made.marker.exists()
    if not is_held:
        print(f"{way}: {is_real=} {has_commit=}", file=sys.stderr)
    return is_held


def _imports_none() -> int:
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder))
        add_modules(made)
        return _writes_a_version(made.work) and not made.marker.exists()


def _writes_a_version(folder: Path) -> bool:
    environ = {name: of for name, of in os.environ.items() if name not in version_file._SERVICES}
    environ["PATH"] = f"{os.pathsep}.{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "version", "-o", "-"],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode == 0 and len(json.loads(done.stdout)["commit"]) == 40
