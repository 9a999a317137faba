"""Records for people: the ``pretty`` format, drawn by structlog's console renderer."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any, Final

import structlog.dev

from mozlog_py._line.line_encoder import EventDropped, RaiseAfterWrite
from mozlog_py._line.truncate import MIN_LINE_BYTES, characters_in, fitted
from mozlog_py._line.unsafe_characters import escape_lines, escape_text
from mozlog_py._render.any_record import Renderer, collect_fields, converted, envelope_of
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info, python_traceback

from .formatter import MozlogFormatter, renderer_key

__all__ = ["PrettyFormatter"]

# What the console renderer takes for columns of its own.
_COLUMNS: Final = frozenset(
    {"event", "exc_info", "exception", "level", "logger", "logger_name", "stack", "timestamp"}
)
_HOOKS: Final = ("formatException", "add_fields", "process_log_record", "convert_record")

# In front of each line of a traceback or a stack.
_INDENT: Final = "    "
_RESET: Final = "\x1b[0m"
_ROUNDS: Final = 8
_LEAST_BYTES: Final = MIN_LINE_BYTES // 4


class PrettyFormatter(MozlogFormatter):
    """Formats records as readable text, with the same Fields as the MozLog line.

    Takes what ``MozlogFormatter`` takes, and ``colors``: whether the output may
    hold ANSI colours.
    """

    def __init__(self, *args: Any, colors: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.colors = colors
        self._renderer = structlog.dev.ConsoleRenderer(
            colors=colors, sort_keys=False, pad_event_to=0
        )

    def is_plain(self, *, is_processed: bool = False) -> bool:  # noqa: ARG002 - as in the base class
        """Tell that no line of JSON is asked for."""
        return False

    def _compile(self, logger_name: str | None, max_bytes: int) -> Renderer:
        renderers = self.renderers
        draw = self._drawing(super()._compile(logger_name, max_bytes), logger_name, max_bytes)
        renderers[renderer_key(logger_name, max_bytes)] = draw
        return draw

    def _drawing(self, line: Renderer, logger_name: str | None, max_bytes: int) -> Renderer:
        maker = self.line_maker(logger_name or self.logger_name)
        is_own = self.overrides("convert_record")

        def draw(record: logging.LogRecord) -> bytes:
            sanitiser = Sanitiser(self.json_default)
            try:
                if is_own:
                    return drawn(record, converted(self, record, sanitiser), sanitiser)
                return with_envelope(record, collect_fields(self, record, sanitiser), sanitiser)
            except EventDropped as dropped:
                would_be, draw_it = dropped.fields, drawn if is_own else with_envelope
                dropped.line = lambda: draw_it(record, would_be, sanitiser)
                raise
            except Exception:
                # Another's renderer: what it cannot draw is still a line.
                return line(record)

        def with_envelope(record: logging.LogRecord, fields: Any, sanitiser: Sanitiser) -> bytes:
            envelope = maker.envelope(*envelope_of(record), fields, sanitiser)
            return drawn(record, envelope, sanitiser)

        def drawn(record: logging.LogRecord, document: Any, sanitiser: Sanitiser) -> bytes:
            mask = maker.mask
            whole = self._with_python_traceback(record, document, sanitiser)
            if mask is not None and whole is not document:
                # The traceback as Python writes it is not masked yet, and is cut below.
                whole["Fields"] = mask.plain(whole["Fields"])
            level = escape_text(str(record.levelname).lower())
            text = self._within(whole, level, max_bytes)
            if mask is not None:
                text = mask.plain(text.decode()).encode()
            if sanitiser.interrupt is not None:
                raise RaiseAfterWrite(text, sanitiser.interrupt, from_value=True)
            return text

        return draw

    def _with_python_traceback(
        self, record: logging.LogRecord, document: dict[str, Any], sanitiser: Sanitiser
    ) -> dict[str, Any]:
        """Return a line with its exception as Python writes it; itself if it has none."""
        fields = document["Fields"]
        # Where a hook had a hand in it, what it made of it is what is shown.
        if "traceback" not in fields or any(map(self.overrides, _HOOKS)):
            return document
        traceback = _traceback(record, sanitiser)
        if not traceback:
            return document
        fields = {**fields, "traceback": traceback}
        # The last line of the traceback says it.
        fields.pop("error", None)
        return {**document, "Fields": fields}

    def _within(self, document: dict[str, Any], level: str, max_bytes: int) -> bytes:
        """Draw a line in at most ``max_bytes``, if that is no 0; what is cut is cut first."""
        if not max_bytes:
            return self._draw(document, level)
        whole, size = document, characters_in(document)
        reason = f"cut from {size} characters"
        if size > max_bytes:
            document = fitted(whole, max_bytes, reason)
        drawn = self._draw(document, level)
        room = max_bytes
        for _ in range(_ROUNDS):
            excess = len(drawn) - max_bytes
            if excess <= 0:
                return drawn
            # Indents, colours and escapes take other room than those of JSON do.
            room -= excess + len(drawn) // 64
            if room < _LEAST_BYTES:
                break
            document = fitted(whole, room, reason)
            drawn = self._draw(document, level)
        if len(drawn) <= max_bytes:
            return drawn
        end = f"{_RESET if self.colors else ''} ...<{reason}>".encode()
        return drawn[: max_bytes - len(end)].decode("utf-8", "ignore").encode() + end

    def _draw(self, envelope: dict[str, Any], level: str) -> bytes:
        fields = dict(envelope["Fields"])
        event: dict[str, Any] = {
            "timestamp": _local_time(envelope["Timestamp"]),
            "level": level,
            "event": escape_text(str(fields.pop(self.rename_fields.get("msg", "msg"), ""))),
            "logger": escape_text(envelope["Type"]),
        }
        if "traceback" in fields:
            event["exception"] = _indented(fields.pop("traceback"))
        if "stack" in fields:
            event["stack"] = _indented(fields.pop("stack"))
        for key, value in fields.items():
            name = escape_text(f"extra.{key}" if key in _COLUMNS else key)
            is_text = isinstance(value, str)
            shown = escape_text(value) if is_text else _Shown(escape_text(repr(value)))
            event[unique_key(name, event) if name in event else name] = shown
        return str(self._renderer(None, level, event)).encode("utf-8", "backslashreplace")


class _Shown:
    """A value that is drawn by a ``repr`` of ours: its own leaves characters that hide."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _indented(text: str | list[str]) -> str:
    """Return lines that cannot be taken for lines of the log, which begin at the margin."""
    lines = text if isinstance(text, list) else str(text).split("\n")
    escaped = escape_lines("\n".join(map(str, lines)).rstrip("\n"))
    indented = _INDENT + escaped.replace("\n", "\n" + _INDENT)
    # Lines that are empty stay so.
    return indented.replace(_INDENT + "\n", "\n")


def _local_time(ns: int) -> str:
    # Aware of its zone and shown without it: people read the clock on their wall.
    time = datetime.fromtimestamp(ns / 1e9, tz=timezone.utc).astimezone()
    return time.replace(tzinfo=None).isoformat(" ", "milliseconds")


def _traceback(record: logging.LogRecord, sanitiser: Sanitiser) -> str | None:
    triple = as_exc_info(record.exc_info)
    return None if triple is None else python_traceback(triple, sanitiser).rstrip()
