"""The ``pretty`` format: records for people, drawn by structlog's console renderer."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any, Final

import structlog.dev

from mozlog_py._line.line_encoder import EventDropped, RaiseAfterWrite
from mozlog_py._line.truncate import MIN_LINE_BYTES, characters_in, fitted
from mozlog_py._line.unsafe_characters import escape_lines, escape_text
from mozlog_py._render.any_record import Renderer, collect_fields, converted, envelope_values
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info, python_traceback

from .formatter import MozlogFormatter, renderer_key

__all__ = ["PrettyFormatter"]

# The keys that the console renderer shows in columns.
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

    Args:
        args: As in ``MozlogFormatter``.
        colors: Whether the text has ANSI colours.
        kwargs: As in ``MozlogFormatter``.
    """

    def __init__(self, *args: Any, colors: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.colors = colors
        self._renderer = structlog.dev.ConsoleRenderer(
            colors=colors, sort_keys=False, pad_event_to=0
        )

    def is_plain(self, *, is_processed: bool = False) -> bool:  # noqa: ARG002 - as in the base class
        """Return False: the plain renderer encodes JSON only."""
        return False

    def _compile(self, logger_name: str | None, max_bytes: int) -> Renderer:
        renderers = self.renderers
        fallback = super()._compile(logger_name, max_bytes)
        draw = self._pretty_renderer(fallback, logger_name, max_bytes)
        renderers[renderer_key(logger_name, max_bytes)] = draw
        return draw

    def _pretty_renderer(
        self, fallback: Renderer, logger_name: str | None, max_bytes: int
    ) -> Renderer:
        encoder = self.line_encoder_for(logger_name or self.logger_name)
        is_converting = self.overrides("convert_record")

        def draw(record: logging.LogRecord) -> bytes:
            sanitiser = Sanitiser(self.json_default)
            try:
                if is_converting:
                    return drawn(record, converted(self, record, sanitiser), sanitiser)
                return with_envelope(record, collect_fields(self, record, sanitiser), sanitiser)
            except EventDropped as dropped:
                fields, draw_fields = dropped.fields, drawn if is_converting else with_envelope
                dropped.line = lambda: draw_fields(record, fields, sanitiser)
                raise
            except Exception:
                # structlog's renderer raised: the record is shown as a MozLog line.
                return fallback(record)

        def with_envelope(record: logging.LogRecord, fields: Any, sanitiser: Sanitiser) -> bytes:
            envelope = encoder.envelope(*envelope_values(record), fields, sanitiser)
            return drawn(record, envelope, sanitiser)

        def drawn(record: logging.LogRecord, document: Any, sanitiser: Sanitiser) -> bytes:
            mask = encoder.mask
            whole = self._with_python_traceback(record, document, sanitiser)
            if mask is not None and whole is not document:
                # Python's own traceback is not masked yet. It is masked before it is cut.
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
        """Return a line with its traceback in Python's format; the same line if it has none."""
        fields = document["Fields"]
        # A hook may have changed the traceback: its result is shown.
        if "traceback" not in fields or any(map(self.overrides, _HOOKS)):
            return document
        traceback = _traceback(record, sanitiser)
        if not traceback:
            return document
        fields = {**fields, "traceback": traceback}
        # The last line of the traceback shows the same.
        fields.pop("error", None)
        return {**document, "Fields": fields}

    def _within(self, document: dict[str, Any], level: str, max_bytes: int) -> bytes:
        """Draw a line in at most ``max_bytes`` bytes; 0 for no limit. Texts are cut before."""
        if not max_bytes:
            return self._draw(document, level)
        whole, size = document, characters_in(document)
        reason = f"cut from {size} characters"
        if size > max_bytes:
            document = fitted(whole, max_bytes, reason)
        drawn = self._draw(document, level)
        limit = max_bytes
        for _ in range(_ROUNDS):
            excess = len(drawn) - max_bytes
            if excess <= 0:
                return drawn
            # The size of indents, colours and escapes differs from that of JSON.
            limit -= excess + len(drawn) // 64
            if limit < _LEAST_BYTES:
                break
            document = fitted(whole, limit, reason)
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
    """A value whose ``repr`` is a given text, without the hidden characters of its own."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _indented(text: str | list[str]) -> str:
    """Return indented lines: only the first line of a record begins at the margin."""
    lines = text if isinstance(text, list) else str(text).split("\n")
    escaped = escape_lines("\n".join(map(str, lines)).rstrip("\n"))
    indented = _INDENT + escaped.replace("\n", "\n" + _INDENT)
    # Empty lines have no indent.
    return indented.replace(_INDENT + "\n", "\n")


def _local_time(ns: int) -> str:
    # Local time without its zone, as on a terminal's clock.
    time = datetime.fromtimestamp(ns / 1e9, tz=timezone.utc).astimezone()
    return time.replace(tzinfo=None).isoformat(" ", "milliseconds")


def _traceback(record: logging.LogRecord, sanitiser: Sanitiser) -> str | None:
    triple = as_exc_info(record.exc_info)
    return None if triple is None else python_traceback(triple, sanitiser).rstrip()
