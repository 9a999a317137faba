"""A process that has imported what many programs need, and runs each program in a fork of itself.

A test whose program changes its process for good needs a process for each case, and most of the
time of such a process are its imports. The programs run as ``__main__``, from a fork that has done
nothing but these imports.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

__all__ = ["ForkServer"]


class ForkServer:
    """Runs programs in forks of one process.

    Args:
        modules: What the process imports; one that is not installed is left out.
        environ: The environment of the process, and so of each program.
        folder: Where the outputs are written.
    """

    def __init__(self, modules: Iterable[str], environ: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, *modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environ), text=True,
        )  # fmt: skip

    def run(self, program: Path, *arguments: str, timeout: float = 120) -> tuple[int, str, str]:
        """Run a program; return its exit status, and what it wrote to stdout and stderr."""
        out, errors = self._folder / "stdout", self._folder / "stderr"
        request = [str(program), [*arguments], str(out), str(errors)]
        pipes: Any = self._process
        print(json.dumps(request), file=pipes.stdin, flush=True)
        ready, _, _ = select.select([pipes.stdout], [], [], timeout)
        if not ready:
            self.close()
            raise TimeoutError(f"{program} took more than {timeout} seconds: {errors.read_text()}")
        status = json.loads(pipes.stdout.readline())
        return status, out.read_text(), errors.read_text()

    def close(self) -> None:
        """End the process, and the program that it runs."""
        pipes: Any = self._process
        pipes.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        pipes.stdout.close()


def _serve(requests: IO[str], answers: int) -> None:
    """Run a program for each line, each in a fork."""
    for line in requests:
        program, arguments, out, errors = json.loads(line)
        child = os.fork()
        if not child:
            for number, path in ((0, os.devnull), (1, out), (2, errors)):
                flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                os.dup2(os.open(path, flags, 0o600), number)
            os.close(answers)
            sys.argv = [program, *arguments]
            sys.path[0] = str(Path(program).parent)
            runpy.run_path(program, run_name="__main__")
            _end()
        status = os.waitstatus_to_exitcode(_waited(child))
        os.write(answers, f"{status}\n".encode())


def _end() -> None:
    """End a fork with status 0, without the interpreter's own end.

    That one clears each module, and so copies all memory that the fork shares.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _waited(child: int) -> int:
    """Wait for a fork, and end it where the tests have gone; return its status."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        readable, _, _ = select.select([0], [], [], 0.01)
        if readable:
            # No request comes before the answer: the tests have closed the pipe.
            os.kill(child, 9)
            return os.waitpid(child, 0)[1]


def main() -> None:
    """Import the modules of the command line, and run the programs of stdin."""
    for name in sys.argv[1:]:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    # The collector of a fork would copy every page that it looks at.
    gc.collect()
    gc.freeze()
    # The lines of requests are read from a copy, and nothing that a module prints is an answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    _serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
