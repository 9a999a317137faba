"""Records for people: the ``pretty`` format, drawn by structlog's console renderer."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import Any, Final

import structlog.dev

from .careful import Renderer, converted, envelope_of, gather
from .exceptions import as_exc_info, python_traceback
from .formatter import MozlogFormatter
from .line import Dropped, Interrupted
from .values import Sanitiser

__all__ = ["PrettyFormatter"]

# What the console renderer takes for columns of its own.
_COLUMNS: Final = frozenset(
    {"event", "exc_info", "exception", "level", "logger", "logger_name", "stack", "timestamp"}
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


_HOOKS: Final = ("formatException", "add_fields", "process_log_record", "convert_record")


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

    def _compile(self, logger_name: str | None) -> Renderer:
        renderers = self.renderers
        draw = self._drawing(super()._compile(logger_name), logger_name)
        renderers[logger_name] = draw
        return draw

    def _drawing(self, line: Renderer, logger_name: str | None) -> Renderer:
        maker = self.line_maker(logger_name or self.logger_name)
        is_own = self.overrides("convert_record")

        def draw(record: logging.LogRecord) -> bytes:
            sanitiser = Sanitiser(self.json_default)
            try:
                if is_own:
                    return drawn(record, converted(self, record, sanitiser), sanitiser)
                return with_envelope(record, gather(self, record, sanitiser), sanitiser)
            except Dropped as dropped:
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
            drawing = self._draw(record, document, sanitiser)
            if maker.mask is not None:
                # The traceback as Python writes it is not a field.
                drawing = maker.mask.plain(drawing)
            text = drawing.encode("utf-8", "backslashreplace")
            if sanitiser.interrupt is not None:
                raise Interrupted(text, sanitiser.interrupt, from_value=True)
            return text

        return draw

    def _draw(
        self, record: logging.LogRecord, envelope: dict[str, Any], sanitiser: Sanitiser
    ) -> str:
        fields = dict(envelope["Fields"])
        level = _harmless(str(record.levelname).lower())
        event: dict[str, Any] = {
            "timestamp": _local_time(envelope["Timestamp"]),
            "level": level,
            "event": _harmless(str(fields.pop(self.rename_fields.get("msg", "msg"), ""))),
            "logger": _harmless(envelope["Type"]),
        }
        if "traceback" in fields:
            # Where a hook had a hand in it, what it made of it is what is shown.
            drawn = None if any(map(self.overrides, _HOOKS)) else _traceback(record, sanitiser)
            event["exception"] = _harmless(drawn or _joined(fields["traceback"]), keep="\n\t")
            del fields["traceback"]
            if drawn:
                fields.pop("error", None)
        if "stack" in fields:
            event["stack"] = _harmless(_joined(fields.pop("stack")), keep="\n\t")
        for key, value in fields.items():
            name = f"extra.{key}" if key in _COLUMNS else key
            event[_harmless(name)] = _harmless(value) if isinstance(value, str) else value
        return str(self._renderer(None, level, event))


def _harmless(text: str, keep: str = "") -> str:
    """Escape what could drive a terminal, or begin a line that nobody logged."""
    return _CONTROL.sub(
        lambda match: match[0] if match[0] in keep else match[0].encode("unicode_escape").decode(),
        text,
    )


def _joined(text: str | list[str]) -> str:
    return "\n".join(text) if isinstance(text, list) else str(text)


def _local_time(ns: int) -> str:
    # Aware of its zone and shown without it: people read the clock on their wall.
    time = datetime.fromtimestamp(ns / 1e9, tz=timezone.utc).astimezone()
    return time.replace(tzinfo=None).isoformat(" ", "milliseconds")


def _traceback(record: logging.LogRecord, sanitiser: Sanitiser) -> str | None:
    triple = as_exc_info(record.exc_info)
    return None if triple is None else python_traceback(triple, sanitiser).rstrip()
