"""Turns the access log of daphne, which is text on stdout, into records of ``daphne.access``.

If the application has raised, daphne answers from a timer, in the context of another request.
Such an entry is logged in a context of its own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import Context
from types import ModuleType
from typing import Any, Final

from mozlog_py.context import request_id_context

from .import_hooks import call_when_imported

__all__ = ["log_access", "remember_failure"]

_logger: Final = logging.getLogger("daphne.access")
_HTTP: Final = '%(client)s - "%(method)s %(path)s" %(status)s'
# The texts of daphne's development server.
_WEBSOCKET: Final = {
    "connected": "WebSocket CONNECT %(path)s [%(client)s]",
    "connecting": "WebSocket HANDSHAKING %(path)s [%(client)s]",
    "disconnected": "WebSocket DISCONNECT %(path)s [%(client)s]",
    "rejected": "WebSocket REJECT %(path)s [%(client)s]",
}

#: The id of the request whose exception was logged last, for the next entry.
_failed: Final[list[str | None]] = [None]


def log_access() -> None:
    """Make daphne log the access entries that it would print. A second call changes nothing."""
    call_when_imported("daphne.access", _replace_generator)
    call_when_imported("daphne.server", _replace_log_action)


def remember_failure(request_id: str | None) -> None:
    """Store the id of a request for its access entry, which daphne makes next.

    Args:
        request_id: The id that belongs to the exception in daphne's record.
    """
    _failed[0] = request_id


def _replace_generator(module: ModuleType) -> None:
    _replace(module, "AccessLogGenerator", "__call__", _logging)


def _replace_log_action(module: ModuleType) -> None:
    _replace(module, "Server", "log_action", _in_context)


def _replace(module: ModuleType, class_name: str, name: str, wrap: Callable[..., Any]) -> None:
    kind: Any = getattr(module, class_name, None)
    original = None if kind is None else vars(kind).get(name)
    if original is not None and not hasattr(original, "mozlog_original"):
        made = wrap(original)
        vars(made)["mozlog_original"] = original
        setattr(kind, name, made)


def _logging(original: Callable[..., Any]) -> Callable[..., Any]:
    def log(self: Any, protocol: str, action: str, details: Mapping[str, Any]) -> Any:
        """Log an access entry, unless daphne writes its entries to a file."""
        streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        if not any(self.stream is stream for stream in streams):
            return original(self, protocol, action, details)
        if protocol == "http" and action == "complete":
            _logger.info(_HTTP, details)
        elif protocol == "websocket" and action in _WEBSOCKET:
            _logger.info(_WEBSOCKET[action], details)
        return None

    return log


def _in_context(original: Callable[..., Any]) -> Callable[..., Any]:
    def log_action(self: Any, protocol: str, action: str, details: Mapping[str, Any]) -> Any:
        """Call the access log in the context of the request, or in an empty one."""
        if _is_in_task():
            return original(self, protocol, action, details)
        context = Context()
        request_id = _failed[0] if details.get("status") == 500 else None
        if request_id is not None:
            context.run(request_id_context.set, request_id)
        return context.run(original, self, protocol, action, details)

    return log_action


def _is_in_task() -> bool:
    import asyncio  # imported here: daphne has loaded it, other services may not need it

    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
