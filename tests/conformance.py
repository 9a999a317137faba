"""Validate each line that a test makes, and parse it.

Tests read lines only through this module, so that no test asserts on a line that a
collector would refuse.
"""

import io
import json
import logging
from typing import Any

from mozlog_py import MozlogFormatter, MozlogHandler, schema
from mozlog_py._line.unsafe_characters import escape


def checked(line: str | bytes, *, strict: bool = False) -> dict[str, Any]:
    """Return the parsed line, after asserting that it is valid."""
    problems = schema.validate(line, strict=strict)
    assert not problems, f"{problems} in {line!r}"
    raw = line.encode() if isinstance(line, str) else line
    assert escape(raw) == raw, f"a character that hides, or moves others, in {line!r}"
    parsed = json.loads(line)
    assert isinstance(parsed, dict)
    return parsed


def checked_lines(text: str | bytes, *, strict: bool = False) -> list[dict[str, Any]]:
    """Return the parsed lines of an output, which must end with a newline."""
    if isinstance(text, bytes):
        text = text.decode()
    assert not text or text.endswith("\n"), f"the last line is partial: {text[-80:]!r}"
    return [checked(line, strict=strict) for line in text.split("\n")[:-1]]


def record(
    message: Any = "hello",
    *args: Any,
    level: Any = logging.INFO,
    name: Any = "app",
    exc_info: Any = None,
    stack_info: str | None = None,
    **extra: Any,
) -> logging.LogRecord:
    """Make a record as a logger would, with ``extra`` as its own attributes."""
    made = logging.LogRecord(
        name, level, __file__, 1, message, args, exc_info, "function", stack_info
    )
    vars(made).update(extra)
    return made


def render(formatter: logging.Formatter, made: logging.LogRecord) -> dict[str, Any]:
    """Return the parsed line of a record; text and bytes must be the same line."""
    text = formatter.format(made)
    strict = getattr(formatter, "strict", False)
    if isinstance(formatter, MozlogFormatter):
        in_bytes = checked(formatter.format_bytes(made), strict=strict)
        # A record without a usable time has the present in its line.
        in_text = {**checked(text, strict=strict), "Timestamp": in_bytes["Timestamp"]}
        assert in_bytes == in_text
    return checked(text, strict=strict)


def fields(formatter: logging.Formatter, made: logging.LogRecord) -> dict[str, Any]:
    """Return the Fields of a record's line."""
    got = render(formatter, made)["Fields"]
    assert isinstance(got, dict)
    return got


class Capture:
    """A logger of its own with a MozlogHandler on a stream in memory."""

    def __init__(self, handler: logging.Handler | None = None, name: str = "service") -> None:
        self.stream = io.StringIO()
        self.handler = handler or MozlogHandler(self.stream, name)
        self.logger = logging.Logger("app", 1)
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return checked_lines(self.stream.getvalue())

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [line["Fields"] for line in self.lines]
