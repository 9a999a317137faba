"""Records that are events of structlog, for formatters with hooks and options of their own."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

__all__ = ["EventRecord"]

_Triple = tuple[type[BaseException], BaseException, TracebackType | None]


class EventRecord(logging.LogRecord):
    """An event of structlog as a record, which the hooks of a formatter expect.

    Its fields stand beside its attributes, and not among them: an event may have a field
    ``name`` or ``filename``, which are attributes of every record.
    """

    __slots__ = ("call_fields", "fields", "is_complete", "timestamp_ns")

    def __init__(
        self,
        timestamp_ns: int,
        type_: str,
        level: int,
        fields: dict[Any, Any],
        call_fields: dict[Any, Any],
        exc_info: _Triple | None,
        *,
        is_complete: bool,
    ) -> None:
        message = call_fields.get("msg", "")
        super().__init__(type_, level, "", 0, message, (), exc_info)
        #: Nanoseconds since the epoch; ``created`` is a float, which rounds them.
        self.timestamp_ns = timestamp_ns
        self.created = timestamp_ns / 1e9
        self.msecs = timestamp_ns // 1_000_000 % 1000
        #: The fields of the event that the call itself did not make.
        self.fields = fields
        #: The fields that the call itself made: message, exception, stack.
        self.call_fields = call_fields
        #: Whether processors have run, and static fields and context are among the fields.
        self.is_complete = is_complete
