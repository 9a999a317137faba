"""Records for people: the ``pretty`` format, drawn by structlog's console renderer."""

from __future__ import annotations

import logging
import re
import traceback
from datetime import datetime
from typing import Any, Final

import structlog.dev

from .exceptions import as_exc_info
from .formatter import MozlogFormatter

__all__ = ["PrettyFormatter"]

# What the console renderer takes for columns of its own.
_COLUMNS: Final = frozenset(
    {"event", "exc_info", "exception", "level", "logger", "logger_name", "stack", "timestamp"}
)
# What text from outside could do to a terminal. Tabs and newlines are harmless
# there, and a traceback needs them.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


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

    def format(self, record: logging.LogRecord) -> str:
        """Give the text of one record. Never raises an ``Exception``."""
        envelope = self.convert_record(record)
        try:
            return self._draw(record, envelope)
        except Exception:
            # Another's renderer: what it cannot draw is still a line.
            return super().format(record)

    def format_bytes(self, record: logging.LogRecord) -> bytes:
        """Give the text of one record as UTF-8."""
        return self.format(record).encode()

    def _draw(self, record: logging.LogRecord, envelope: dict[str, Any]) -> str:
        fields = dict(envelope["Fields"])
        event: dict[str, Any] = {
            "timestamp": _local_time(envelope["Timestamp"]),
            "level": _harmless(str(record.levelname).lower()),
            "event": _harmless(str(fields.pop("msg", ""))),
            "logger": _harmless(envelope["Type"]),
        }
        if "traceback" in fields:
            event["exception"] = _harmless(_traceback(record) or _joined(fields["traceback"]))
            del fields["traceback"]
            fields.pop("error", None)
        if "stack" in fields:
            event["stack"] = _harmless(_joined(fields.pop("stack")))
        for key, value in fields.items():
            name = f"extra.{key}" if key in _COLUMNS else key
            event[_harmless(name)] = _harmless(value) if isinstance(value, str) else value
        return str(self._renderer(None, record.levelname.lower(), event))


def _harmless(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _joined(text: str | list[str]) -> str:
    return "\n".join(text) if isinstance(text, list) else text


def _local_time(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns / 1e9).isoformat(" ", "milliseconds")
    except (OverflowError, ValueError, OSError):
        return str(ns)


def _traceback(record: logging.LogRecord) -> str | None:
    """Give a traceback as Python prints it, None where that does not work out."""
    try:
        triple = as_exc_info(record.exc_info)
        return None if triple is None else "".join(traceback.format_exception(*triple)).rstrip()
    except Exception:
        return None
