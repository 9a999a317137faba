"""Which access lines of servers repeat a request's summary.

A format for people shows a request once. Some servers log a request before its summary exists
(uvicorn, when the response begins), others after its context has ended. So the code that makes
summaries registers a function that answers for the request of the current context, and tells
``late_request_ids.remember_served`` for later lines.

Records are not changed: an attribute would be a field in the lines of other formatters.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._process.memo import remember

__all__ = [
    "is_summarised",
    "mark_sanic_line",
    "mark_socket_line",
    "mark_summarised",
    "summarised",
]


class _Summarised:
    """What is known of summaries in this process."""

    #: Whether a formatter leaves such access lines out.
    is_wanted = False
    #: Returns whether the request of the current context has a summary, or will have one.
    has_summary: Callable[[], bool] = staticmethod(lambda: False)


summarised: Final = _Summarised()

# The records that are on their way to the handlers.
_records: Final[weakref.WeakSet[Any]] = weakref.WeakSet()

# Source: the methods of uvicorn's WebSocket protocols that log.
_SOCKET_LINES: Final = frozenset(
    {
        '%s - "WebSocket %s" [accepted]',
        '%s - "WebSocket %s" 403',
        '%s - "WebSocket %s" %d',
        "connection open",
        "connection closed",
    }
)


# Sanic's WebSockets whose opening had a summary's context, by address and URL. Their end has none.
_sockets: Final[dict[str, bool]] = {}
_MAX_SOCKETS: Final = 1000


def mark_summarised(record: logging.LogRecord, *, is_served: bool = False) -> None:
    """Note a record that a server logs about a request, if the request has a summary.

    Args:
        record: The record, on its way through its logger's filters.
        is_served: Whether the request is known to have a summary although its context has ended.
    """
    try:
        if is_served or summarised.has_summary():
            _records.add(record)
    except Exception:
        # A record class without weak references, or a logger that raises: the line is shown.
        pass


def mark_sanic_line(record: logging.LogRecord) -> None:
    """Note an access record of Sanic, which logs a WebSocket when it opens and when it ends."""
    attributes = vars(record)
    key = f"{attributes.get('host')} {attributes.get('request')}"
    if record.msg == "OPEN":
        mark_summarised(record)
        if is_summarised(record):
            remember(_sockets, key, True, _MAX_SOCKETS)
    elif type(record.msg) is str and record.msg.startswith("CLOSE"):
        mark_summarised(record, is_served=_sockets.pop(key, False))
    else:
        mark_summarised(record)


def mark_socket_line(record: logging.LogRecord) -> None:
    """Note a record that uvicorn logs about a WebSocket, which is no access record."""
    if type(record.msg) is str and record.msg in _SOCKET_LINES:
        mark_summarised(record)


def is_summarised(record: logging.LogRecord) -> bool:
    """Return whether a record repeats a summary."""
    return type(record) is logging.LogRecord and record in _records
