"""The differences between versions of Sanic, from 22.6 on, that matter to the adapter."""

from __future__ import annotations

from typing import Any, Final

from sanic import __version__ as _sanic_version
from sanic.exceptions import ServiceUnavailable

try:
    from sanic.exceptions import RequestCancelled
except ImportError:  # before 22.9
    RequestCancelled = None  # type: ignore[assignment,misc]

__all__ = ["ASKS_TWICE", "close_code_of", "is_client_lost", "is_request_cancelled", "is_stand_in"]

_VERSION: Final = tuple(int(part) for part in _sanic_version.split(".")[:2])

#: Whether a server whose ``handle_exception`` has failed calls it once more.
ASKS_TWICE: Final = _VERSION >= (22, 9)

# Close codes of RFC 6455, section 7.4.1.
_ABNORMAL_CLOSURE: Final = 1006


def is_client_lost(protocol: Any) -> bool:
    """Return whether the client has closed a connection, and the server has not.

    Args:
        protocol: The connection's protocol. A server that shuts down aborts it,
            and leaves it without a transport.
    """
    transport = protocol.transport
    if transport is None:
        return False
    conn_info = protocol.conn_info
    lost = getattr(conn_info, "lost", None)
    # Before 22.9 the connection has no such attribute.
    return bool(transport.is_closing()) if lost is None else bool(lost)


def is_request_cancelled(error: BaseException) -> bool:
    """Return whether Sanic raises this exception because the connection is closed."""
    return RequestCancelled is not None and isinstance(error, RequestCancelled)


def close_code_of(websocket: Any) -> int:
    """Return the code that a WebSocket connection was closed with, 1006 without a closing frame.

    Args:
        websocket: The attribute ``websocket`` of the native server's protocol.
    """
    # Called "connection" before 22.12.
    state = getattr(websocket, "ws_proto", None) or websocket.connection
    sent, received = state.close_sent, state.close_rcvd
    if received is not None and (sent is None or state.close_rcvd_then_sent):
        return int(received.code)
    return _ABNORMAL_CLOSURE if sent is None else int(sent.code)


def is_stand_in(error: BaseException) -> bool:
    """Return whether Sanic answers this in place of a ``CancelledError`` (before 25.12)."""
    return isinstance(error, ServiceUnavailable) and str(error) == "Cancelled"
