"""The ``pretty`` format: records for people."""

from __future__ import annotations

import logging
from typing import Any, Final

from mozlog_py._fields.summarised import is_summarised, summarised
from mozlog_py._line.line_encoder import EventDropped, RaiseAfterWrite
from mozlog_py._line.truncate import MIN_LINE_BYTES, characters_in, fitted
from mozlog_py._pretty.record_text import SHOWN_ABOVE, USUAL_COLUMNS, Style, draw
from mozlog_py._pretty.request_head import repeats_summary
from mozlog_py._pretty.shown_errors import is_shown_again, note_shown
from mozlog_py._pretty.text_width import terminal_columns
from mozlog_py._render.any_record import (
    collect_fields,
    converted,
    envelope_values,
    line_in,
)
from mozlog_py._render.plain_record import Renderer
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py._values.tracebacks import as_exc_info, python_traceback

from .formatter import MozlogFormatter, renderer_key

__all__ = ["PrettyFormatter"]

_HOOKS: Final = ("formatException", "add_fields", "process_log_record", "convert_record")

_ROUNDS: Final = 8
_STEP_BYTES: Final = 64
_LEAST_BYTES: Final = MIN_LINE_BYTES // 4


class PrettyFormatter(MozlogFormatter):
    """Formats records as readable text, with the same Fields as the MozLog line.

    A request is one line, ``GET /boom 500 3 ms``. The access line that its server logs is left
    out by ``MozlogHandler`` if the request has a summary.

    Args:
        args: As in ``MozlogFormatter``.
        colors: Whether the text has ANSI colours.
        width: The columns of the terminal; 0 asks the terminal for each record. None is for
            files and pipes: the time has its date, and no line is wrapped.
        kwargs: As in ``MozlogFormatter``.
    """

    # For formatters that an earlier version has pickled.
    width: int | None = None

    def __init__(
        self, *args: Any, colors: bool = False, width: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.colors = colors
        self.width = width
        summarised.is_wanted = True

    def is_plain(self, *, is_processed: bool = False) -> bool:  # noqa: ARG002 - as in the base class
        """Return False: the plain renderer encodes JSON only."""
        return False

    def _compile(self, logger_name: str | None, max_bytes: int) -> Renderer:
        renderers = self.renderers
        fallback = super()._compile(logger_name, max_bytes)
        draw = self._pretty_renderer(fallback, logger_name, max_bytes)
        summarised.is_wanted = True

        def render(record: logging.LogRecord) -> bytes:
            if is_summarised(record):
                dropped = EventDropped({})
                # For handlers that write every record.
                dropped.line = lambda: _whole_line(draw, record)
                raise dropped
            return draw(record)

        renderers[renderer_key(logger_name, max_bytes)] = render
        return render

    def _pretty_renderer(
        self, fallback: Renderer, logger_name: str | None, max_bytes: int
    ) -> Renderer:
        encoder = self.line_encoder_for(logger_name or self.logger_name)
        is_converting = self.overrides("convert_record")
        prefix = self.prefix.encode()
        room = max(MIN_LINE_BYTES // 2, max_bytes - len(prefix)) if max_bytes else 0
        shown: dict[tuple[Any, ...], bool] = {}

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
                # The text cannot be drawn: the record is shown as a MozLog line.
                return fallback(record)

        def with_envelope(record: logging.LogRecord, fields: Any, sanitiser: Sanitiser) -> bytes:
            envelope = encoder.envelope(*envelope_values(record), fields, sanitiser)
            return drawn(record, envelope, sanitiser)

        def drawn(record: logging.LogRecord, document: Any, sanitiser: Sanitiser) -> bytes:
            if repeats_summary(document, shown):
                raise EventDropped(document if is_converting else document["Fields"])
            mask = encoder.mask
            whole = self._with_traceback(record, document, sanitiser)
            if mask is not None and whole is not document:
                # Python's own traceback is not masked yet. It is masked before it is cut.
                whole["Fields"] = mask.plain(whole["Fields"])
            text = self._within(whole, _level_of(record), room)
            if mask is not None:
                text = mask.plain(text.decode()).encode()
            text = prefix + text
            if sanitiser.interrupt is not None:
                raise RaiseAfterWrite(text, sanitiser.interrupt, from_value=True)
            return text

        return draw

    def _with_traceback(
        self, record: logging.LogRecord, document: dict[str, Any], sanitiser: Sanitiser
    ) -> dict[str, Any]:
        """Return a line with its traceback in Python's format, or a note that it was shown."""
        fields = document["Fields"]
        if "traceback" not in fields:
            return document
        triple = as_exc_info(record.exc_info)
        error = None if triple is None else triple[1]
        if is_shown_again(error, document, id(self)):
            return {**document, "Fields": {**fields, "traceback": SHOWN_ABOVE}}
        note_shown(error, document, id(self))
        # A hook may have changed the traceback: its result is shown.
        if triple is None or any(map(self.overrides, _HOOKS)):
            return document
        traceback = python_traceback(triple, sanitiser).rstrip()
        if not traceback:
            return document
        fields = {**fields, "traceback": traceback}
        # The last line of the traceback shows the same.
        fields.pop("error", None)
        return {**document, "Fields": fields}

    def _within(self, document: dict[str, Any], level: tuple[str, int], max_bytes: int) -> bytes:
        """Draw a line in at most ``max_bytes`` bytes; 0 for no limit. Texts are cut before."""
        columns = self.width
        if columns == 0:
            columns = terminal_columns(USUAL_COLUMNS)
        style = Style(has_colors=self.colors, columns=columns)
        if not max_bytes:
            return self._draw(document, level, style)
        whole, size = document, characters_in(document)
        reason = f"cut from {size} characters"
        if size > max_bytes:
            document = fitted(whole, max_bytes, reason)
        drawn = self._draw(document, level, style)
        limit = max_bytes
        for _ in range(_ROUNDS):
            excess = len(drawn) - max_bytes
            if excess <= 0:
                return drawn
            # The size of indents, colours and escapes differs from that of JSON. Where lines
            # are short, the indents take most of the text: the limit shrinks in proportion.
            limit = max(
                limit - excess - len(drawn) // 64, limit * max_bytes // len(drawn) - _STEP_BYTES
            )
            if limit < _LEAST_BYTES:
                break
            document = fitted(whole, limit, reason)
            drawn = self._draw(document, level, style)
        if len(drawn) <= max_bytes:
            return drawn
        # Without colours: the cut could split one.
        drawn = self._draw(document, level, style._replace(has_colors=False))
        end = f" ...<{reason}>".encode()
        return drawn[: max_bytes - len(end)].decode("utf-8", "ignore").encode() + end

    def _draw(self, document: dict[str, Any], level: tuple[str, int], style: Style) -> bytes:
        name = self.rename_fields.get("msg", "msg")
        return draw(document, *level, style, name).encode("utf-8", "backslashreplace")


def _level_of(record: logging.LogRecord) -> tuple[str, int]:
    number = record.levelno
    return str(record.levelname), number if type(number) is int else 0


def _whole_line(draw: Renderer, record: logging.LogRecord) -> bytes:
    try:
        return draw(record)
    except EventDropped as dropped:
        return line_in(dropped)
