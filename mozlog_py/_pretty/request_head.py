"""A request in one line: its method, its path, its status and its duration."""

from __future__ import annotations

from typing import Any, Final

from mozlog_py._fields.server_records import READERS
from mozlog_py._line.unsafe_characters import escape_text
from mozlog_py._process.memo import remember

from .palette import DIM, FAILURE, REDIRECT, SUCCESS, WARNING
from .text_width import padded

__all__ = ["SUMMARIES", "is_request", "repeats_summary", "take_request"]

#: The logger of the summaries of requests.
SUMMARIES: Final = "request.summary"

# Milliseconds from which a request is slow.
_SLOW_MS: Final = 1000
_SOCKET: Final = "WEBSOCKET"
# Source: RFC 6455, 7.4.1. The others are failures of the application or of the protocol.
_CLOSED_WELL: Final = frozenset({101, 1000, 1001, 1005})
_CLIENT_GONE: Final = frozenset({499, 1006})
_METHOD_COLUMNS: Final = 7
_CODE_COLUMNS: Final = 4
_MAX_SUMMARIES: Final = 1000
_DURATION_COLUMNS: Final = 8


def is_request(logger: Any, fields: dict[str, Any]) -> bool:
    """Return whether a line is about one request: a summary, or a server's access line.

    Args:
        logger: The name of its logger.
        fields: Its Fields.
    """
    if logger != SUMMARIES and logger not in READERS:
        return False
    code = fields.get("code")
    return (
        type(fields.get("method")) is str
        and type(fields.get("path")) is str
        and (code is None or type(code) is int)
    )


def repeats_summary(document: dict[str, Any], shown: dict[tuple[Any, ...], bool]) -> bool:
    """Return whether an access line has the id and the path of a summary that was shown.

    Args:
        document: The line of a record. If it is a summary, it is noted.
        shown: The summaries that were shown and had no access line yet.
    """
    fields = document["Fields"]
    logger, request_id = document["Type"], fields.get("rid")
    if request_id is None or not is_request(logger, fields):
        return False
    key = request_id, fields["method"], fields["path"]
    if logger == SUMMARIES:
        remember(shown, key, True, _MAX_SUMMARIES)
        return False
    return type(request_id) is str and shown.pop(key, False)


def take_request(fields: dict[str, Any], path_columns: int) -> list[tuple[str, str]]:
    """Return the parts of a request's text with their colours.

    Args:
        fields: The Fields of the line. Those of the request are removed, and those that tell
            nothing of it.
        path_columns: The columns that a path takes at least; 0 aligns nothing.
    """
    method, path, code = fields.pop("method"), fields.pop("path"), fields.pop("code", None)
    duration = fields.pop("t", None) if type(fields.get("t")) is int else None
    query = fields.pop("querystring") if type(fields.get("querystring")) is str else ""
    is_socket = method == _SOCKET
    color = _color_of(code, is_socket=is_socket)
    if fields.get("errno") in (0, code) and type(fields.get("errno")) is int:
        del fields["errno"]
    if color is not FAILURE:
        for name in ("agent", "lang"):
            fields.pop(name, None)
    target = escape_text(f"{path}?{query}" if query else path)
    shown = ["WS" if is_socket else escape_text(method), target, "-" if code is None else str(code)]
    shown.append("" if duration is None else _duration(duration))
    if path_columns:
        shown[0] = padded(shown[0], _METHOD_COLUMNS)
        shown[1] = padded(target, path_columns)
        shown[2] = shown[2].rjust(_CODE_COLUMNS)
        shown[3] = shown[3] and shown[3].rjust(_DURATION_COLUMNS)
    is_slow = duration is not None and duration >= _SLOW_MS and not is_socket
    colors = [color, color if color is FAILURE else "", color, WARNING if is_slow else DIM]
    return [*zip(shown, colors, strict=True)]


def _color_of(code: int | None, *, is_socket: bool) -> str:
    if code is None or code in _CLIENT_GONE:
        return WARNING
    if is_socket and code >= 1000:
        return SUCCESS if code in _CLOSED_WELL else FAILURE
    if code >= 500:
        return FAILURE
    if code >= 400:
        return WARNING
    return REDIRECT if code >= 300 else SUCCESS


def _duration(ms: int) -> str:
    if ms < 10_000:
        return f"{ms} ms"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms // 60_000} min" if ms < 7_200_000 else f"{ms / 3_600_000:.1f} h"
