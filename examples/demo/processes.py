"""Processes that end with the demonstration, however it ends."""

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

#: Seconds that a process has to end after its signal; then it is killed.
ENDS_WITHIN_S = 10.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Processes:
    """Starts processes, and ends them by their ids when the block is left.

    Ctrl-C, SIGTERM and SIGHUP leave the block as well. A signal that arrives while a process
    starts counts afterwards, so that no process is started and forgotten.
    """

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[Any]] = []
        self._is_starting = False
        self._is_ending = False
        self._received: int | None = None

    def __enter__(self) -> "Processes":  # noqa: PYI034 - typing.Self came with 3.11
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending = True
        for process in self._running[::-1]:
            self.stop(process)
        # At its end the interpreter puts back what ends it by a signal, but leaves this.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def start(self, command: list[str], **options: Any) -> "subprocess.Popen[Any]":
        """Start a process in a session of its own, which Ctrl-C in a terminal does not reach."""
        self._is_starting = True
        try:
            process = subprocess.Popen(command, start_new_session=True, **options)
            self._running.append(process)
        finally:
            self._is_starting = False
            if self._received is not None:
                self._leave(self._received)
        return process

    def run(self, command: list[str], **options: Any) -> str:
        """Run a process to its end; return what it wrote, raise OSError if it failed."""
        process = self.start(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
        )
        written: str = process.communicate()[0]
        self._running.remove(process)
        if process.returncode:
            raise OSError(f"{Path(command[0]).name} failed: {last_line(written)}")
        return written

    def stop(self, process: "subprocess.Popen[Any]", number: int = signal.SIGTERM) -> None:
        """End a process that ``start`` has returned, and wait until it has ended."""
        process.send_signal(number)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        self._running.remove(process)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        # A second Ctrl-C must not end the clean-up.
        if self._is_ending:
            return
        if self._is_starting:
            self._received = number
        else:
            self._leave(number)

    def _leave(self, number: int) -> None:
        self._is_ending = True
        sys.exit(128 + number)


def last_line(text: str) -> str:
    """Return the last line of a text that is not empty: most programs say there what failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"
