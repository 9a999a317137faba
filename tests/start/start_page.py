"""Follow a page of docs/start as a reader does: write files, run commands, compare the output.

The text in front of a block says what to do with it, so that a reader and the test read the same:

- "Write `shop.py`:" is a whole file; "Add this to the end of `shop/settings.py`:" adds to one.
- A ``console`` block has commands behind ``$``, each with what it prints. Behind "in one
  terminal:" its last command goes on running. The next such block ends it first, as Ctrl+C does.
- A ``json`` or ``text`` block is what the command in that terminal prints next.

In shown output ``…`` is any text, and a line of ``…`` alone is any number of lines. A line of
MozLog may be shown without a part of its envelope, but with all of its Fields, in their order. A
UUID stands for one real id on the whole page. Ports, times, host names and process ids are those of
the page.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import free_port
from snippets import _left_out

#: The port of all pages. The test runs their servers on a free one.
PORT = "8000"
_GIVE_UP_S = 60.0
#: How often a command is interrupted before it is killed, and the seconds that it gets each time.
_CTRL_C, _STOP_S = 2, 8.0

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_WRITE = re.compile(r"\bWrite `([^`]+)`[^`]*:$")
_ADD = re.compile(r"\bAdd this to the end of `([^`]+)`:$")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_ANY = "…"
# What differs from one line, machine and process to the next.
_CHANGING = frozenset({"Timestamp", "Hostname", "Pid"})


@dataclass(frozen=True)
class Block:
    """One fenced block: the paragraph in front of it, its language and its text."""

    place: str
    lead: str
    language: str
    text: str

    @property
    def keeps_running(self) -> bool:
        return self.lead.endswith("in one terminal:")

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each command with the lines that the page shows for it."""
        lines = self.text.splitlines()
        assert lines[0].startswith("$ "), f"{self.place}: a console block begins with a command"
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)]):
            yield lines[start][2:], lines[start + 1 : end]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = page.read_text("utf-8")
    blocks = []
    for match in _BLOCK.finditer(text):
        lead = text[: match.start()].rstrip().rpartition("\n\n")[2]
        place = f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}"
        blocks.append(Block(place, " ".join(lead.split()), match[1], match[2]))
    assert len(blocks) == text.count("\n```") / 2, f"{page.name} has a block in an unknown form"
    return blocks


class Mismatch(AssertionError):
    """The page shows other output than the command prints."""


class Shown:
    """Compares shown lines with real ones, and remembers the ids of the page."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def match(self, shown: list[str], real: list[str], place: str) -> int | None:
        """Return how many real lines the shown ones cover; None if more have to come.

        Raises:
            Mismatch: A real line differs from the one that the page shows.
        """
        at, is_skipping = 0, False
        for line in shown:
            if line == _ANY:
                is_skipping = True
                continue
            while True:
                if at == len(real):
                    return None
                at += 1
                if self._is_same(line, real[at - 1]):
                    is_skipping = False
                    break
                if not is_skipping:
                    raise Mismatch(f"{place} shows\n  {line}\nand not\n  {real[at - 1]}")
        return len(real) if is_skipping else at

    def _is_same(self, shown: str, real: str) -> bool:
        ids = dict(self._ids)
        for known, other in zip(_UUID.findall(shown), _UUID.findall(real)):
            if ids.setdefault(known, other) != other:
                return False
            real = real.replace(other, known)
        if _text(_comparable(shown)) != _text(_comparable(real, like=_parsed(shown))):
            return False
        self._ids = ids
        return True


def _parsed(line: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(line)
    return line


def _text(value: Any) -> str:
    # Dicts of another order are equal, and their texts are not.
    return json.dumps(value)


def _comparable(line: str, like: Any = None) -> Any:
    if isinstance(like, str):
        # What is left out of JSON may leave no JSON on the page.
        return _left_out(line, like)
    value = _parsed(line)
    if isinstance(value, dict) and "Fields" in value:
        shown = value if like is None else like
        if isinstance(shown, dict):
            # A part of the envelope may be left out on the page, but no field.
            value = {key: each for key, each in value.items() if key in shown}
        value = {key: each for key, each in value.items() if key not in _CHANGING}
        if value.get("Type") == "django.request":
            # Django 6 gives these fields in another order than Django 5.
            value["Fields"] = dict(sorted(value["Fields"].items()))
    return value if like is None else _left_out(_with_floats_of(like, value), like)


def _with_floats_of(shown: Any, value: Any) -> Any:
    """Return a value with the shown numbers in place of its floats, which are measured times."""
    if type(value) is type(shown) is float:
        return shown
    if isinstance(value, dict) and isinstance(shown, dict):
        return {key: _with_floats_of(shown.get(key), each) for key, each in value.items()}
    return value


@dataclass
class Terminal:
    """A command that goes on running: what it printed, and how much of it the page has shown."""

    process: subprocess.Popen[bytes]
    output: Path
    shown: int = 0

    def lines(self) -> list[str]:
        # A part of a line is not there yet.
        return self.output.read_text("utf-8").split("\n")[:-1]

    def stop(self) -> None:
        """Interrupt the command as Ctrl+C does, and end what is left of it."""
        for _ in range(_CTRL_C):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGINT)
            # A program may miss an interrupt that comes before it waits.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=_STOP_S)
                break
        # Workers of the command are of its session, and must not outlive the test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Reader:
    """Follows one page in a folder of its own, with the commands of one environment.

    Args:
        folder: An empty folder.
        environment: The variables that the commands get.
    """

    folder: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    #: All output of all commands, with the port of the page.
    output: list[str] = field(default_factory=list)
    _terminal: Terminal | None = None
    _shown: Shown = field(default_factory=Shown)

    def follow(self, blocks: list[Block]) -> None:
        """Do what each block says, and compare all that the page shows."""
        try:
            for block in blocks:
                self._follow(block)
        finally:
            self._close()

    def _follow(self, block: Block) -> None:
        if written := _WRITE.search(block.lead):
            path = self.folder / written[1]
            assert block.language != "console", block.place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._with_port(block.text), "utf-8")
        elif added := _ADD.search(block.lead):
            with (self.folder / added[1]).open("a", encoding="utf-8") as file:
                file.write("\n" + self._with_port(block.text))
        elif block.language == "console":
            *before, last = block.commands()
            for command, shown in before:
                self._run(command, shown, block.place)
            (self._start if block.keeps_running else self._run)(*last, block.place)
        else:
            assert self._terminal is not None, f"{block.place}: the output of which command?"
            assert block.language in ("json", "text"), f"{block.place}: what is this block for?"
            self._expect(block.text.splitlines(), block.place)

    def _run(self, command: str, shown: list[str], place: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", self._with_port(command)],
            cwd=self.folder, env=self.environment, timeout=300, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        real = [self._with_page_port(line) for line in done.stdout.decode().splitlines()]
        self.output += real
        if not shown:
            # Nothing is said of what it prints, only that it works.
            assert done.returncode == 0, "\n".join([place, command, *real])
            return
        covered = self._shown.match(shown, real, place)
        assert covered == len(real), "\n".join([f"{place}: {command} prints", *real])

    def _start(self, command: str, shown: list[str], place: str) -> None:
        self._close()
        output = self.folder.parent / f"{self.folder.name}-terminal"
        with output.open("wb") as out:
            process = subprocess.Popen(
                ["/bin/sh", "-c", "exec " + _with_variables_first(self._with_port(command))],
                cwd=self.folder, env=self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                preexec_fn=_take_ctrl_c,
            )  # fmt: skip
        self._terminal = Terminal(process, output)
        if shown:
            self._expect(shown, place)
        if self._is_server(command):
            self._wait_until(self._is_listening, f"{place}: nothing listens")

    def _expect(self, shown: list[str], place: str) -> None:
        """Wait for the next lines of the terminal, and compare them."""
        terminal = self._terminal
        assert terminal is not None
        assert shown[-1] != _ANY, f"{place}: where does the output end that is left out?"
        covered: int | None = None

        def is_there() -> bool:
            nonlocal covered
            covered = self._shown.match(shown, self._next(terminal), place)
            return covered is not None

        self._wait_until(is_there, f"{place}: the shown lines do not come", shown)
        terminal.shown += covered or 0

    def _next(self, terminal: Terminal) -> list[str]:
        return [self._with_page_port(line) for line in terminal.lines()[terminal.shown :]]

    def _wait_until(self, is_so: Any, what: str, shown: list[str] | None = None) -> None:
        terminal = self._terminal
        assert terminal is not None
        end = time.monotonic() + _GIVE_UP_S
        while not is_so():
            is_over = terminal.process.poll() is not None or time.monotonic() > end
            if is_over and not is_so():
                raise Mismatch("\n".join([what, *(shown or []), "but", *self._next(terminal)]))
            time.sleep(0.02)

    def _is_server(self, command: str) -> bool:
        files = (path.read_text("utf-8") for path in self.folder.glob("*.py"))
        return PORT in command or any(str(self.port) in text for text in files)

    def _is_listening(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        return False

    def _close(self) -> None:
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            terminal.stop()
            self.output += [self._with_page_port(line) for line in terminal.lines()]

    def _with_port(self, text: str) -> str:
        return re.sub(rf"\b{PORT}\b", str(self.port), text)

    def _with_page_port(self, text: str) -> str:
        return re.sub(rf"\b{self.port}\b", PORT, text)


def _take_ctrl_c() -> None:
    # A shell starts background jobs with SIGINT ignored, and all that they start inherits that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _with_variables_first(command: str) -> str:
    """Return a command that ``exec`` takes: variables in front of it need ``env``."""
    return f"env {command}" if re.match(r"[A-Z_]+=", command) else command
