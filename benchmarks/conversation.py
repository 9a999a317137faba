"""The parent's end of a worker: one question, one answer, over pipes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["NoWorker", "Worker"]


class Worker:
    """A worker, which runs until it is closed.

    It has the environment variables of its parent, whatever they are.
    ``command``: what to start. ``cpu``: the processor it stays on.
    """

    def __init__(self, command: Sequence[str | Path], cpu: int | None) -> None:
        self._process = subprocess.Popen(
            [*command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})

    def ask(self, question: str, **details: Any) -> dict[str, Any]:
        """Ask, wait, and give the answer. Raises ``RuntimeError`` if the worker has ended."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"ask": question, **details}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended over {question} {details}; it says why above")
        given: dict[str, Any] = json.loads(answer)
        return given

    def close(self) -> None:
        """Let the worker end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class NoWorker:
    """In a worker's place, where there can be none. ``reason``: why, in a few words."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def ask(self, _: str, **__: Any) -> dict[str, Any]:
        """Return the reason."""
        return {"not_run": self._reason}

    def close(self) -> None:
        """Do nothing."""
