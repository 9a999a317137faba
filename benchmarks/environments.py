"""The two environments, each with a Python of its own, and what is pinned in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

__all__ = ["DISTRIBUTIONS", "NAMES", "ROOT", "prepare"]

#: Our own project, the tree that is measured.
ROOT = Path(__file__).resolve().parent.parent

_BELOW = Path(__file__).resolve().parent / ".environments"
_OUR_DISTRIBUTION = "mozlog-py"

# The only place where versions are named.
_PINS = {
    "ours": (
        "orjson==3.13.0",
        "python-json-logger==4.2.0",
        "structlog==26.1.0",
        "ecs-logging==2.3.0",
        "JSON-log-formatter==1.2.1",
    ),
    "upstream": ("dockerflow==2026.3.4",),
}

NAMES = tuple(_PINS)

#: What to name the versions of, by environment.
DISTRIBUTIONS = {
    name: [
        *([_OUR_DISTRIBUTION] if name == "ours" else []),
        *(pin.partition("==")[0] for pin in pins),
    ]
    for name, pins in _PINS.items()
}


def prepare(name: str, *, is_installing: bool) -> Path:
    """Give the Python of an environment, which is made where it isn't there yet.

    ``is_installing``: our project is installed anew, as it is now; otherwise
    what is there of it is only what its dependencies came with.
    Raises ``SystemExit`` where it is to be installed and cannot be.
    """
    directory = _BELOW / name
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


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=True)
