"""An environment for each start page, with nothing in it but what the page itself installs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snippets import ROOT
from start_page import Block

#: Environments stay from run to run: only the first one has to install the frameworks.
_KEPT = ROOT / ".matrix" / "start" / f"python{sys.version_info.major}.{sys.version_info.minor}"

#: Run in place of the ``pip`` of an environment, which would take seconds to install.
_PIP = """#!/bin/sh
HOME='{home}' exec '{python}' -m pip --python '{place}/bin/python' "$@" --quiet --no-compile
"""


@contextmanager
def built_wheel(folder: Path) -> Iterator[Path]:
    """Build the wheel into a folder, while no other run of this tree uses its environments."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    with (_KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT],
            check=True, timeout=300, env=_inherited() | {"PATH": os.environ["PATH"]},
        )  # fmt: skip
        (wheel,) = folder.glob("*.whl")
        yield wheel


def environment_of(page: str, blocks: list[Block], home: Path) -> dict[str, str]:
    """Return the variables with which the commands of a page run in an environment of its own.

    Args:
        page: The name of the page.
        blocks: Its blocks. An environment is found again while they install the same.
        home: The home directory of the commands.
    """
    place = _KEPT / page.removesuffix(".md")
    _make_or_empty(place, blocks)
    # curl shows its progress only where its output is no terminal.
    (home / ".curlrc").write_text("silent\nshow-error\n", "utf-8")
    return {
        **_inherited(),
        "CURL_HOME": str(home),
        "HOME": str(home),
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        # On a terminal, what a program prints and what it logs come in the order of the calls.
        "PYTHONUNBUFFERED": "1",
    }


def _make_or_empty(place: Path, blocks: list[Block]) -> None:
    installed = [line for block in blocks for line in block.text.splitlines() if "pip ins" in line]
    recipe = "\n".join([*installed, (ROOT / "pyproject.toml").read_text("utf-8")])
    recipe_file = place / "recipe"
    if recipe_file.exists() and recipe_file.read_text("utf-8") == recipe:
        # The frameworks stay, and the page installs the library anew.
        for name in ("dockerflow", "mozlog_py", "mozlog_py-*.dist-info"):
            for path in place.glob(f"lib/python*/site-packages/{name}"):
                shutil.rmtree(path)
        return
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=120)
    pip = place / "bin" / "pip"
    pip.write_text(_PIP.format(home=Path.home(), python=sys.executable, place=place), "utf-8")
    pip.chmod(0o755)
    recipe_file.write_text(recipe, "utf-8")


def _inherited() -> dict[str, str]:
    """Return the variables that say where packages are, and none that set up a service."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in ("LANG", "LC_ALL", "SSL_CERT_FILE") or name.startswith("PIP_")
    }
