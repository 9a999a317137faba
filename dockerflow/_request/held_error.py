"""Exceptions that Starlette's ``BaseHTTPMiddleware`` holds until the response is sent.

That middleware runs the application inside of it in a task of its own. If the application raises
in the middle of its response, the middleware sends a last part of the body all the same. Only
behind it the middleware raises the exception again. A layer around it would take the response
for a complete one, and end the request without its exception.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from .exchange import REQUEST
from .replaced_call import replace_call

__all__ = ["watch_held_errors"]

_modules: Final = sys.modules
_MODULE: Final = "starlette.middleware.base"
_NAME: Final = "BaseHTTPMiddleware"


def watch_held_errors() -> None:
    """Have each middleware of that class note on the exchange that it holds an exception.

    Does nothing if the class is not imported. Its method is replaced once, for all
    applications. A request without an exchange is served as before.
    """
    # None also while another thread is in the middle of importing that module.
    middleware_class: Any = getattr(_modules.get(_MODULE), _NAME, None)
    if middleware_class is None:
        return

    def replacing(call: Any) -> Any:
        def note_and_call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
            exchange = scope.get(REQUEST)
            holder = self if exchange is None else _Watched(self, exchange)
            return call(holder, scope, receive, send)

        return note_and_call

    replace_call(middleware_class, "_notes_held_errors", replacing)


class _Watched:
    """A middleware for one request, with the application inside of it watched.

    The middleware's own ``app`` stays: applications and tracers walk along these attributes.

    Args:
        middleware: The middleware.
        exchange: The request's exchange.
    """

    def __init__(self, middleware: Any, exchange: Any) -> None:
        self._middleware = middleware
        self._exchange = exchange

    # Tracers that have replaced the method before read the name of the class.
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._middleware)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._middleware, name)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the request, and note an exception behind the start of the response."""
        has_started = False

        def note_and_send(message: Any) -> Any:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            return send(message)

        try:
            await self._middleware.app(scope, receive, note_and_send)
        except Exception:
            # An exception before it is raised at once, and other middleware may answer it.
            if has_started:
                self._exchange.is_error_held = True
            raise
