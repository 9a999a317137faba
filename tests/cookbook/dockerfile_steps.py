"""Runs the steps of a Dockerfile in a folder, without Docker.

``COPY``, ``RUN``, ``WORKDIR``, ``ENV``, ``ARG``, ``USER`` and ``CMD`` mean what they mean in
Docker, as far as the cookbook uses them. ``FROM`` is the environment of the tests. Another
instruction is an error, so that no step is passed over.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_STEP_TIMEOUT_S = 120.0


class Image:
    """A folder that stands for the file system of an image.

    Args:
        context: The folder that ``COPY`` copies from.
        root: An empty folder for ``/``.
        build_args: The values of ``--build-arg``.
    """

    def __init__(self, context: Path, root: Path, build_args: Mapping[str, str]) -> None:
        self.context = context
        self.root = root
        self.folder = root
        self.build_args = build_args
        self.arguments: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.user: int | None = None
        self.command: list[str] = []
        self.output = ""

    def build(self, dockerfile: str) -> None:
        """Run all steps.

        Raises:
            subprocess.CalledProcessError: A ``RUN`` has failed; ``stderr`` says why.
        """
        text = re.sub(r"\\\n\s*", "", dockerfile)
        for line in text.splitlines():
            if line and not line.startswith("#"):
                instruction, _, rest = line.partition(" ")
                getattr(self, f"_{instruction.lower()}")(rest)

    def process_environment(self) -> dict[str, str]:
        """Return the environment of a process in the image."""
        programs = Path(sys.executable).parent
        inherited = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        return {
            **inherited,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.root),
            # All packages are in the environment of the tests; no test asks a package index. pip
            # looks for each requirement, and leaves the environment as it is.
            "PIP_NO_INDEX": "1",
            "PIP_DRY_RUN": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **self.environment,
        }

    def _from(self, rest: str) -> None:
        assert rest.startswith("python:"), rest

    def _workdir(self, rest: str) -> None:
        self.folder = self.root / rest.lstrip("/")
        self.folder.mkdir(parents=True, exist_ok=True)

    def _env(self, rest: str) -> None:
        self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        self.arguments[name] = self.build_args.get(name, default)

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        assert len(sources) == 1 or target.endswith("/"), rest
        there = self.folder / target
        for source in sources:
            found = list(self.context.glob(source))
            assert found, f"COPY finds no {source}"
            for path in found:
                if path.is_dir():
                    shutil.copytree(path, there)
                else:
                    shutil.copy(path, there)

    def _run(self, rest: str) -> None:
        done = subprocess.run(
            ["sh", "-c", rest], cwd=self.folder, capture_output=True, text=True, check=True,
            env={**self.process_environment(), **self.arguments}, timeout=_STEP_TIMEOUT_S,
        )  # fmt: skip
        self.output += done.stdout

    def _user(self, rest: str) -> None:
        user, group = rest.split(":")
        assert user == group
        self.user = int(user)

    def _expose(self, rest: str) -> None:
        assert rest.isdigit()

    def _cmd(self, rest: str) -> None:
        self.command = json.loads(rest)
