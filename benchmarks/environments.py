"""The environments, each with packages of its own, and what is pinned in them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["DISTRIBUTIONS", "NAMES", "NODE", "ROOT", "NotHere", "prepare", "prepare_node"]

#: Our own project, the tree that is measured.
ROOT = Path(__file__).resolve().parent.parent

_BELOW = Path(__file__).resolve().parent / ".environments"
_OUR_DISTRIBUTION = "mozlog-py"

# The only place where versions are named.
_FRAMEWORKS = ("django==5.2.19", "fastapi==0.165.0", "flask==3.1.3", "sanic==25.12.1")
_PINS = {
    "ours": (
        "orjson==3.13.0",
        "python-json-logger==4.2.0",
        "structlog==26.1.0",
        "ecs-logging==2.3.0",
        "JSON-log-formatter==1.2.1",
        *_FRAMEWORKS,
    ),
    "upstream": (
        "dockerflow==2026.3.4",
        *_FRAMEWORKS,
        # Its frameworks' packages import these, and its extras leave them out.
        "redis==8.1.0",
        "sqlalchemy==2.1.9",
    ),
}

_NODE_PINS = ("pino@10.4.0",)

#: Those of Python.
NAMES = tuple(_PINS)
#: The one of Node.js, which is not on every machine.
NODE = "node"

#: What to name the versions of, by environment.
DISTRIBUTIONS = {
    name: [
        *([_OUR_DISTRIBUTION] if name == "ours" else []),
        *(pin.partition("==")[0] for pin in pins),
    ]
    for name, pins in _PINS.items()
}
DISTRIBUTIONS[NODE] = [pin.partition("@")[0] for pin in _NODE_PINS]


class NotHere(Exception):  # noqa: N818 - the machine is as it is
    """An environment cannot be made on this machine; the text says why, in a few words."""


def prepare(name: str, *, is_installing: bool) -> Path:
    """Return the Python of an environment, which is made where it isn't there yet.

    ``is_installing``: our project is installed anew, as it is now; otherwise
    what is there of it is only what its dependencies came with.
    Raises ``SystemExit`` where it is to be installed and cannot be.
    """
    # One for each Python that has measured here.
    directory = _BELOW / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / "bin" / "python"
    requirements = [*_PINS[name]]
    made_for = [sys.version, *requirements]
    if name == "ours":
        project = ROOT / "pyproject.toml"
        if project.exists():
            requirements.append(str(ROOT))
            # What our project needs may be other than it was.
            made_for.append(project.read_text(encoding="utf-8"))
        elif is_installing:
            raise SystemExit(
                "there is no pyproject.toml, so the project cannot be installed; "
                "measure the sources with --tree . instead"
            )
    stamp = directory / "made-for.json"
    if not (stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == made_for):
        print(f"making the environment {name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        _pip(python, *requirements)
        stamp.write_text(json.dumps(made_for), encoding="utf-8")
    if name == "ours" and is_installing:
        _pip(python, "--no-deps", "--force-reinstall", str(ROOT))
    return python


def prepare_node() -> tuple[str, Path]:
    """Return Node's program, and the directory with the packages, which are installed by npm.

    Raises ``NotHere`` where there is no Node.js, or npm fails.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotHere("no node" if node is None else "no npm")
    directory = _BELOW / NODE
    stamp = directory / "made-for.json"
    made_for = [*_NODE_PINS]
    if not (stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == made_for):
        print(f"making the environment {NODE}", file=sys.stderr)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        options = ["--silent", "--no-audit", "--no-fund", "--prefix", str(directory)]
        done = subprocess.run([npm, "install", *options, *_NODE_PINS], check=False)
        if done.returncode:
            raise NotHere("npm could not install it")
        stamp.write_text(json.dumps(made_for), encoding="utf-8")
    return node, directory


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=True)
