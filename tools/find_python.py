"""Find the interpreter of a Python version, and print its path; of several, the first found.

    python tools/find_python.py 3.15 3.14

It is looked for on the PATH, among pyenv's versions, and in the folder of interpreters that were
unpacked beside the system's: NEWER_PYTHONS, or .newer-pythons in the home folder. The first that
starts is taken, so a shim of pyenv without its version does not count. The exit status is 1 if
there is none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["candidates", "find"]

_TIMEOUT_S = 20


def candidates(version: str, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Return an iterator of the paths at which an interpreter may be.

    Args:
        version: The version, such as ``3.14``.
        environ: The variables PATH, HOME, PYENV_ROOT and NEWER_PYTHONS.
    """
    name = f"python{version}"
    on_path = shutil.which(name, path=environ.get("PATH"))
    if on_path is not None:
        yield on_path
    home = Path(environ.get("HOME", "."))
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    found = pyenv.glob(f"versions/{version}.*/bin/{name}")
    yield from map(str, sorted(found, key=_numbers, reverse=True))
    newer = Path(environ.get("NEWER_PYTHONS") or home / ".newer-pythons")
    yield str(newer / "root" / "usr" / "bin" / name)


def find(version: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of the first interpreter of a version that starts; None without one.

    Args:
        version: As for ``candidates``.
        environ: As for ``candidates``.
    """
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates(version, environ):
        try:
            done = subprocess.run(  # noqa: S603 - a path that candidates() names
                [path, "-c", code], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.stdout.strip() == version:
            return path
    return None


def _numbers(path: Path) -> list[int]:
    """Return the numbers of the version in pyenv's path, so that 3.10.13 is above 3.10.9."""
    return [*map(int, re.findall("[0-9]+", path.parts[-3]))]


def main() -> int:
    """Print the path of the interpreter; return the exit status."""
    versions = sys.argv[1:]
    path = next(filter(None, map(find, versions)), None)
    if path is None:
        print(
            f"Python {', '.join(versions)} is not on this machine: not on the PATH, not in pyenv, "
            "and not in NEWER_PYTHONS",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
