"""Runs one program with two distributions, and reads what a collector would get of it."""

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from processes import Processes, last_line
from program import LINES, PASSWORD

PROGRAM = Path(__file__).with_name("program.py")

#: Seconds for which the pipe is full.
_PAUSE_S = 0.3
_ENDS_WITHIN_S = 60.0
#: The smallest size that Linux gives to a pipe.
_PIPE_BYTES = 4096


@dataclass(frozen=True)
class Outcome:
    """What a collector gets: a text, and whether that is what the program has logged."""

    text: str
    is_kept: bool


@dataclass(frozen=True)
class Case:
    """A case of the program, and the field that it is about."""

    name: str
    what: str
    field: str = ""


CASES = (
    Case("unprintable", "a value whose repr() raises", "card"),
    Case("arguments", '"%d books paid" with "two"', "msg"),
    Case("braces", "the text {no JSON}", "msg"),
    Case("nan", "a number that is NaN", "ratio"),
    Case("surrogate", "a file name that is not UTF-8", "file"),
    Case("secret", "a failed check with a password"),
    Case("full_pipe", f"{LINES:,} lines into a full pipe"),
)


@dataclass
class Run:
    """One run of the program: what it is run with, and the lines of each case."""

    process: "subprocess.Popen[bytes]"
    errors: Path
    output: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        is_paused = False
        while part := os.read(descriptor, 65536):
            self.output += part
            if b"case full_pipe\n" in self.output and not is_paused:
                is_paused = True
                time.sleep(_PAUSE_S)

    def wait(self) -> None:
        """Wait until the program has ended; raise OSError if it could not be run."""
        self._reader.join(_ENDS_WITHIN_S)
        if self._reader.is_alive():
            raise OSError(f"{PROGRAM.name} has not ended after {_ENDS_WITHIN_S:.0f} seconds")
        if not all(f"case {case.name}".encode() in self.output for case in CASES):
            raise OSError(f"{PROGRAM.name} failed: {last_line(self.errors.read_text())}")

    @property
    def distribution(self) -> str:
        """The name and the version of what the program was run with."""
        first, _, _ = self.output.partition(b"\n")
        return first.decode().removeprefix("with ")

    def lines_of(self, name: str) -> list[bytes]:
        """Return the lines of a case."""
        _, _, rest = bytes(self.output).partition(f"case {name}\n".encode())
        return re.split(rb"^case ", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines()


def start(processes: Processes, python: Path, folder: Path) -> Run:
    """Start the program.

    Args:
        processes: What ends it.
        python: The interpreter of an environment.
        folder: The folder for what it writes to stderr.
    """
    errors = folder / f"program-{len(list(folder.iterdir()))}.stderr"
    kept = dict(os.environ)
    if python != Path(sys.executable):
        # The packages of this process must not reach the other environment.
        kept.pop("PYTHONPATH", None)
    with errors.open("wb") as written:
        process = processes.start(
            [str(python), str(PROGRAM)], env=kept, stdout=subprocess.PIPE, stderr=written
        )
    assert process.stdout is not None
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return Run(process, errors)


def outcome(case: Case, lines: list[bytes]) -> Outcome:
    """Return what a collector gets of a case.

    Args:
        case: The case.
        lines: All that the program wrote in it.
    """
    if case.name == "secret":
        return _secret(lines)
    if case.name == "full_pipe":
        whole = {fields.get("msg") for fields in map(_fields, lines) if fields and "msg" in fields}
        return Outcome(f"{len(whole):,} of {LINES:,} lines", len(whole) == LINES)
    if not lines:
        return Outcome("no line", is_kept=False)
    if lines[0].startswith(b"raised "):
        return Outcome(lines[0].decode(), is_kept=False)
    fields = _fields(lines[0])
    if fields is None:
        return Outcome("invalid JSON", is_kept=False)
    if case.field not in fields:
        return Outcome(f"a line without its {case.field}", is_kept=False)
    return Outcome(f"{case.field}: {fields[case.field]}", is_kept=True)


def _secret(lines: list[bytes]) -> Outcome:
    if any(PASSWORD.encode() in line for line in lines):
        return Outcome("the password in clear", is_kept=False)
    for fields in map(_fields, lines):
        masked = re.search(r"\w+://\S+?@[\w/]+", str((fields or {}).get("error", "")))
        if masked:
            return Outcome(f"error: {masked[0]}", is_kept=True)
    return Outcome("no error", is_kept=False)


def _fields(line: bytes) -> dict[str, Any] | None:
    """Return the Fields of a line; None if a parser that follows RFC 8259 refuses the line."""
    try:
        fields: dict[str, Any] = orjson.loads(line)["Fields"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return fields
