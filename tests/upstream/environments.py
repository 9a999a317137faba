"""Upstream's sources and one environment for each implementation, kept until they change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UPSTREAM = "dockerflow==2026.3.4"

#: Upstream's constraint for all supported versions of Sanic: its tests replace what
#: later versions of sanic-redis call. Sanic itself is the newest that pip finds.
_CONSTRAINTS = ("sanic-redis<0.5",)
#: pytest-pythonpath wants pytest 6, pytest-coverage changes no outcome.
_NOT_INSTALLED = ("pytest-pythonpath", "pytest-coverage")
_SUITES_REQUIREMENTS = ("default", "django", "fastapi", "flask", "sanic")

_INSTALLS_WITHIN_S = 900.0

#: Written when an environment is complete: the key of all that it was made from.
_STAMP = "made-from"

_DESCRIBE = """
import importlib.metadata, json, platform
found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "packages": dict(sorted(found.items()))}))
"""


class GateError(Exception):
    """The gate cannot be run, or says no."""


@dataclass(frozen=True)
class Environment:
    """A Python with one implementation of ``dockerflow`` and all that upstream's tests need."""

    folder: Path
    python_version: str
    packages: dict[str, str]

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"


def fetch_source(folder: Path) -> Path:
    """Fetch upstream's source distribution, unless it is there.

    Args:
        folder: The folder for the archive and what is in it.

    Returns:
        The folder with upstream's files, unmodified.
    """
    target = folder / UPSTREAM.replace("==", "-")
    if not target.exists():
        _pip(
            Path(sys.executable),
            "download", "--no-deps", "--no-binary", "dockerflow", "--dest", str(folder), UPSTREAM,
        )  # fmt: skip
        # Renamed at the end, so that an interrupted run leaves no half of it behind.
        unpacked = folder / "unpacked"
        with tarfile.open(archive(folder)) as packed:
            # The filter came with 3.10.12 and 3.11.4: Debian 12 has 3.11.2.
            options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            packed.extractall(unpacked, **options)
        (unpacked / target.name).rename(target)
    return target


def archive(folder: Path) -> Path:
    """Return the path of the fetched source distribution."""
    return folder / f"{UPSTREAM.replace('==', '-')}.tar.gz"


def upstream_environment(folder: Path, source: Path) -> Environment:
    """Make the environment with upstream, of the newest versions that pip finds.

    Args:
        folder: The folder of the gate.
        source: The folder with upstream's files.

    Returns:
        The environment.
    """
    target = folder / "with-upstream"
    arguments = [*_requirements(source), str(archive(folder))]
    key = digest(sys.version, arguments, archive(folder).read_bytes().hex())
    if not _is_current(target, key):
        _clear(target)
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(target)], check=True, timeout=120
        )
        _pip(target / "bin" / "python", "install", *arguments)
        (target / _STAMP).write_text(key)
    found = _describe(target)
    if "dockerflow" not in found.packages or "mozlog-py" in found.packages:
        raise GateError(f"{target} has not upstream alone; remove it and try again")
    return found


def our_environment(folder: Path, root: Path, upstream: Environment) -> Environment:
    """Make the environment with this distribution, else a copy of upstream's.

    Args:
        folder: The folder of the gate.
        root: The root of this repository, installed as editable.
        upstream: The environment with upstream, whose versions this one has too.

    Returns:
        The environment.
    """
    target = folder / "with-ours"
    made = (upstream.folder / _STAMP).read_text()
    key = digest(made, upstream.packages, (root / "pyproject.toml").read_text("utf-8"))
    if not _is_current(target, key):
        _clear(target)
        shutil.copytree(
            upstream.folder, target, symlinks=True, ignore=shutil.ignore_patterns(_STAMP)
        )
        python = target / "bin" / "python"
        _pip(python, "uninstall", "--yes", "dockerflow")
        _pip(python, "install", "--editable", str(root))
        (target / _STAMP).write_text(key)
    found = _describe(target)
    if "mozlog-py" not in found.packages or "dockerflow" in found.packages:
        raise GateError(f"{target} has not ours alone; remove it and try again")
    changed = {
        name: (version, found.packages.get(name))
        for name, version in upstream.packages.items()
        if name != "dockerflow" and found.packages.get(name) != version
    }
    if changed:
        raise GateError(f"installing ours has changed other packages: {changed}")
    return found


def digest(*parts: object) -> str:
    """Return a key that changes with any of the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


def _requirements(source: Path) -> list[str]:
    wanted = list(_CONSTRAINTS)
    for name in _SUITES_REQUIREMENTS:
        for line in (source / "tests" / "requirements" / f"{name}.txt").read_text().splitlines():
            requirement = line.partition("#")[0].strip()
            if requirement and requirement not in _NOT_INSTALLED:
                wanted.append(requirement)
    return wanted


def _is_current(target: Path, key: str) -> bool:
    stamp = target / _STAMP
    return stamp.exists() and stamp.read_text() == key


def _clear(target: Path) -> None:
    print(f"making the environment {target.name}", flush=True)
    shutil.rmtree(target, ignore_errors=True)


def _describe(target: Path) -> Environment:
    described = subprocess.run(
        [str(target / "bin" / "python"), "-c", _DESCRIBE],
        capture_output=True, text=True, check=True, timeout=120, cwd="/", env=_clean(),
    )  # fmt: skip
    said = json.loads(described.stdout)
    return Environment(target, said["python"], said["packages"])


def _pip(python: Path, command: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), command, "--quiet", *arguments],
        capture_output=True, text=True, check=False, timeout=_INSTALLS_WITHIN_S, env=_clean(),
    )  # fmt: skip
    if done.returncode != 0:
        raise GateError(f"pip {command} failed:\n{done.stdout}{done.stderr}")


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
