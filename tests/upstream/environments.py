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

UPSTREAM = "dockerflow==2026.3.4"

#: Upstream's constraint for all supported versions of Sanic: its tests replace what
#: later versions of sanic-redis call. Sanic itself is the newest that pip finds.
_CONSTRAINTS = ("sanic-redis<0.5",)
#: pytest-pythonpath wants pytest 6, pytest-coverage changes no outcome.
_NOT_INSTALLED = ("pytest-pythonpath", "pytest-coverage")
_SUITES_REQUIREMENTS = ("default", "django", "fastapi", "flask", "sanic")

_INSTALLS_WITHIN_S = 900.0

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
            packed.extractall(unpacked, filter="data")
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
    arguments = [*_requirements(source), str(archive(folder))]
    found = _environment(folder / "with-upstream", arguments, [archive(folder).read_bytes()])
    if "dockerflow" not in found.packages or "mozlog-py" in found.packages:
        raise GateError(f"{found.folder} has not upstream alone; remove it and try again")
    return found


def our_environment(
    folder: Path, source: Path, root: Path, versions: dict[str, str]
) -> Environment:
    """Make the environment with this distribution.

    Args:
        folder: The folder of the gate.
        source: The folder with upstream's files.
        root: The root of this repository, installed as editable.
        versions: The versions of the environment with upstream, which are taken here too.

    Returns:
        The environment.
    """
    constraints = folder / "versions.txt"
    constraints.write_text(
        "".join(
            f"{name}=={version}\n" for name, version in versions.items() if name != "dockerflow"
        )
    )
    arguments = [
        *_requirements(source), "--constraint", str(constraints), "--editable", str(root),
    ]  # fmt: skip
    inputs = [constraints.read_bytes(), (root / "pyproject.toml").read_bytes()]
    found = _environment(folder / "with-ours", arguments, inputs)
    if "mozlog-py" not in found.packages or "dockerflow" in found.packages:
        raise GateError(f"{found.folder} has not ours alone; remove it and try again")
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


def _environment(target: Path, arguments: list[str], inputs: list[bytes]) -> Environment:
    key = digest(sys.version, arguments, [hashlib.sha256(part).hexdigest() for part in inputs])
    stamp = target / "inputs"
    if not stamp.exists() or stamp.read_text() != key:
        print(f"making {target.name}", flush=True)
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(target)], check=True, timeout=120)
        _pip(target / "bin" / "python", "install", *arguments)
        stamp.write_text(key)
    described = subprocess.run(
        [str(target / "bin" / "python"), "-c", _DESCRIBE],
        capture_output=True, text=True, check=True, timeout=120, cwd="/", env=_clean(),
    )  # fmt: skip
    said = json.loads(described.stdout)
    return Environment(target, said["python"], said["packages"])


def _pip(python: Path, command: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(python), "-m", "pip", command, "--quiet", *arguments],
        capture_output=True, text=True, check=False, timeout=_INSTALLS_WITHIN_S, env=_clean(),
    )  # fmt: skip
    if done.returncode != 0:
        raise GateError(f"pip {command} failed:\n{done.stdout}{done.stderr}")


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
