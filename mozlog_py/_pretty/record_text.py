"""The text of one record: its head, its further fields, its stack and its traceback.

Only the head begins at the margin. Every other line is indented, whatever text it comes from,
so that no text of a record passes for a head.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from mozlog_py._line.unsafe_characters import escape_lines, escape_text

from .folding import Part, fold
from .palette import DIM, color_of_id, color_of_level, paint, plain
from .request_head import SUMMARIES, is_request, take_request
from .text_width import padded, text_columns
from .traceback_lines import line_colors

__all__ = ["SHOWN_ABOVE", "USUAL_COLUMNS", "Style", "draw"]

#: The field ``traceback`` of a line whose exception an earlier line has shown.
SHOWN_ABOVE: Final = "shown above"


#: The columns of a terminal that does not tell its own.
USUAL_COLUMNS: Final = 120

# Those of a file: its times have the date.
_FILE_COLUMNS: Final = USUAL_COLUMNS + len("2026-11-27 ")
# A terminal with fewer columns has a shorter head.
_WIDE: Final = 100
_INDENT: Final = "    "
_ID_COLUMNS: Final = 8
_LEVEL_COLUMNS: Final = 8
# A message takes the columns of a method and a path.
_MESSAGE_COLUMNS: Final = 40
_PATH_COLUMNS: Final = 32
_MAX_LEVEL: Final = 24
_SHORT_LEVELS: Final = {"WARNING": "WARN", "CRITICAL": "CRIT"}
_SHORT_LEVEL_COLUMNS: Final = 5

# The order of further fields: these, all others by name, and those at the end.
_FIRST: Final = {
    name: place
    for place, name in enumerate(
        ("error", "traceback", "errno", "rid", "uid", "client", "agent", "lang")
    )
}
_LAST: Final = {
    name: place for place, name in enumerate(("trace_id", "span_id", "mozlog.degraded"))
}
# Characters that make a value's end unclear.
_SEPARATORS: Final = frozenset(" \t=\"'")


class Style(NamedTuple):
    """How records are drawn."""

    #: Whether the text has colours.
    has_colors: bool
    #: The columns of the terminal; None for a file or a pipe, whose lines are not wrapped.
    columns: int | None


def draw(
    document: dict[str, Any], level: str, level_number: int, style: Style, message_name: str = "msg"
) -> str:
    """Return a record as text, without a newline at its end.

    Args:
        document: The line of the record, in plain values. It is not changed.
        level: The name of its level.
        level_number: The number of its level in ``logging``.
        style: How records are drawn.
        message_name: The name of the field that is the message.
    """
    fields = dict(document["Fields"])
    show = paint if style.has_colors else plain
    columns = _FILE_COLUMNS if style.columns is None else style.columns
    message, _, others = _lines(_as_text(fields.pop(message_name, ""))).partition("\n")
    stack = fields.pop("stack", None)
    is_repeated = fields.get("traceback") == SHOWN_ABOVE
    traceback = None if is_repeated else fields.pop("traceback", None)
    has_request = is_request(document["Type"], fields)
    head = _start(document["Timestamp"], level, level_number, fields, style)
    head += _middle(document["Type"], message, level_number, fields, columns)
    pairs, blocks = _further(fields)
    together = " ".join(pairs)
    # A request takes one line where its fields have room there.
    width = sum(text_columns(text) + 1 for text, _ in head if text)
    if has_request and not (others or blocks) and width + text_columns(together) <= columns:
        head.append((together, DIM))
        pairs = []
    page = _Page(show, style.columns)
    page.add([part for part in head if part[0]], "", at_words=not has_request)
    if others:
        page.add_block(others, _INDENT, "")
    if pairs:
        page.add([(pair, DIM) for pair in pairs], _INDENT, step="")
    for name, text in blocks:
        page.add([(f"{name}:", DIM)], _INDENT)
        page.add_block(text, _INDENT * 2, DIM)
    for block in (stack, traceback):
        if block is not None:
            page.add_frames(_as_text(block))
    return "\n".join(page.lines)


class _Page:
    """The lines of a record, folded at the terminal's width."""

    def __init__(self, show: Callable[[str, str], str], columns: int | None) -> None:
        self.lines: list[str] = []
        self._show = show
        self._columns = columns

    def add(
        self,
        parts: list[Part],
        indent: str,
        *,
        step: str = _INDENT,
        at_words: bool = False,
    ) -> None:
        """Add a line; its continuations are indented by one step more.

        Args:
            parts: The texts of the line, each with its color.
            indent: The spaces in front of the line.
            step: The further spaces in front of a continuation.
            at_words: Whether the line is folded between words only.
        """
        columns = None if self._columns is None else self._columns - len(indent)
        margin = indent
        for line in fold(parts, columns, len(step), at_words=at_words):
            shown = " ".join(self._painted(line)).rstrip(" ")
            self.lines.append(f"{margin}{shown}" if margin and shown else shown)
            margin = indent + step

    def _painted(self, line: list[Part]) -> list[str]:
        if self._show is plain:
            # The message is copied once, which may have megabytes.
            return [text for text, _ in line]
        return [
            self._show(" ".join([text for text, _ in group]), color)
            for color, group in groupby(line, key=itemgetter(1))
        ]

    def add_block(self, text: str, indent: str, color: str) -> None:
        """Add a text of several lines.

        Args:
            text: The text.
            indent: The spaces in front of each line.
            color: The color of the text.
        """
        if self._columns is not None:
            room = self._columns - len(indent)
            for line in text.split("\n"):
                if len(line) <= room and line.isascii():
                    self.lines.append(f"{indent}{self._show(line, color)}" if line else "")
                else:
                    self.add([(line, color)], indent, at_words=True)
            return
        # By two calls: a text without a limit may have a million lines.
        start, _, end = self._show("\n", color).partition("\n")
        start = indent + start
        shown = text.replace("\n", f"{end}\n{start}")
        self.lines.append(f"{start}{shown}{end}".replace(f"{start}{end}\n", "\n"))

    def add_frames(self, text: str) -> None:
        """Add a stack or a traceback."""
        lines = escape_lines(text.rstrip("\n")).split("\n")
        for line, color in zip(lines, line_colors(lines), strict=True):
            # Folded at spaces, so that the name of a file stays whole.
            self.add([(line, color)], _INDENT, at_words=True)


def _start(
    ns: int, level: str, level_number: int, fields: dict[str, Any], style: Style
) -> list[Part]:
    """Return the time, the level and the request's id, and remove an id that is shown whole."""
    is_wide = style.columns is None or style.columns >= _WIDE
    request_id = fields.get("rid")
    text = "" if request_id is None else _as_text(request_id)
    # Ids that begin with the time differ at their end only.
    shown_id = escape_text(text[-_ID_COLUMNS:])
    is_repeated = fields.get("traceback") == SHOWN_ABOVE
    if len(text) <= _ID_COLUMNS or level_number < logging.ERROR or is_repeated:
        fields.pop("rid", None)
    return [
        (_time(ns, style.columns), DIM),
        (_level(level, is_wide=is_wide), color_of_level(level_number)),
        (padded(shown_id, _ID_COLUMNS), color_of_id(text) if text else ""),
    ]


def _middle(
    logger: str, message: str, level_number: int, fields: dict[str, Any], columns: int
) -> list[Part]:
    """Return the request, or the message, and the logger's name."""
    is_wide = columns >= _WIDE
    shown_logger = f"[{escape_text(logger)}]", DIM
    color = color_of_level(level_number) if level_number >= logging.ERROR else ""
    if is_request(logger, fields):
        parts = take_request(fields, min(columns - 72, _PATH_COLUMNS) if is_wide else 0)
        parts.append((message, color))
        return parts if logger == SUMMARIES else [*parts, shown_logger]
    if is_wide and message and len(message) < _MESSAGE_COLUMNS:
        message = padded(message, _MESSAGE_COLUMNS)
    return [(message, color), shown_logger]


def _as_text(value: Any) -> str:
    if type(value) is list:
        return "\n".join(map(str, value))
    return value if type(value) is str else str(value)


def _lines(text: str) -> str:
    r"""Return the escaped lines of a text; only ``\n`` and ``\r\n`` end one."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return escape_lines(text.rstrip("\n"))


def _time(ns: int, columns: int | None) -> str:
    # Local time without its zone, as on a terminal's clock. A file may hold several days.
    time = datetime.fromtimestamp(ns / 1e9, tz=timezone.utc).astimezone().replace(tzinfo=None)
    if columns is None:
        return time.isoformat(" ", "milliseconds")
    return time.time().isoformat("milliseconds" if columns >= _WIDE else "seconds")


def _level(level: str, *, is_wide: bool) -> str:
    level = escape_text(level[:_MAX_LEVEL])
    if is_wide:
        return padded(level, _LEVEL_COLUMNS)
    return padded(_SHORT_LEVELS.get(level, level), _SHORT_LEVEL_COLUMNS)


def _further(fields: dict[str, Any]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the fields that have a value: those of one line, and those of several."""
    pairs: list[str] = []
    blocks: list[tuple[str, str]] = []
    for name in sorted(fields, key=_place):
        value = fields[name]
        if value is None or value in ("", [], {}):
            continue
        shown_name = escape_text(name)
        if type(value) is str and "\n" in value.rstrip("\n"):
            blocks.append((shown_name, _lines(value)))
        else:
            shown = _value(value) if type(value) is str else escape_text(repr(value))
            pairs.append(f"{shown_name}={shown}")
    return pairs, blocks


def _place(name: str) -> tuple[int, int, str]:
    if name in _FIRST:
        return 0, _FIRST[name], name
    return (2, _LAST[name], name) if name in _LAST else (1, 0, name)


def _value(text: str) -> str:
    text = escape_text(text)
    if _SEPARATORS.isdisjoint(text):
        return text
    return f"'{text}'" if "'" not in text else '"' + text.replace('"', '\\"') + '"'
