"""Daphne's access log, which is text on standard output, as records of ``daphne.access``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from .import_hooks import call_when_imported

__all__ = ["log_access"]

_logger: Final = logging.getLogger("daphne.access")
_HTTP: Final = '%(client)s - "%(method)s %(path)s" %(status)s'
# As the development server of daphne logs them.
_WEBSOCKET: Final = {
    "connected": "WebSocket CONNECT %(path)s [%(client)s]",
    "connecting": "WebSocket HANDSHAKING %(path)s [%(client)s]",
    "disconnected": "WebSocket DISCONNECT %(path)s [%(client)s]",
    "rejected": "WebSocket REJECT %(path)s [%(client)s]",
}


def log_access() -> None:
    """Have daphne log its access entries where it would print them. Twice is once."""
    call_when_imported("daphne.access", _replace)


def _replace(module: ModuleType) -> None:
    generator: Any = getattr(module, "AccessLogGenerator", None)
    original = None if generator is None else vars(generator).get("__call__")
    if original is not None and not hasattr(original, "mozlog_original"):
        generator.__call__ = _logging(original)


def _logging(original: Callable[..., Any]) -> Callable[..., Any]:
    def log(self: Any, protocol: str, action: str, details: Mapping[str, Any]) -> Any:
        """Log what has happened, unless the entries go to a file."""
        streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        if not any(self.stream is stream for stream in streams):
            return original(self, protocol, action, details)
        if protocol == "http" and action == "complete":
            _logger.info(_HTTP, details)
        elif protocol == "websocket" and action in _WEBSOCKET:
            _logger.info(_WEBSOCKET[action], details)
        return None

    vars(log)["mozlog_original"] = original
    return log
