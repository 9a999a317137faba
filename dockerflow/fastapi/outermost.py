"""The outermost layer of an application of FastAPI or Starlette.

Middleware is added to an application inside of Starlette's ``ServerErrorMiddleware``,
which answers what nothing else has handled, and calls the application's own handler
for ``Exception``. That answer and those lines belong to the request as well, so the
request begins and ends around that middleware.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from starlette.middleware.errors import ServerErrorMiddleware

from dockerflow._request.coroutine_function import returns_coroutine
from dockerflow.asgi import DockerflowASGI

__all__ = ["OutermostLayer", "surround"]

# Where a ServerErrorMiddleware holds its layer, None where it needs none.
_LAYER: Final = "_dockerflow_layer"
_UNKNOWN: Final = object()
# Middleware that holds itself would be walked through for ever.
_MAX_DEPTH: Final = 200


class OutermostLayer(DockerflowASGI):
    """Begins and ends a request; the id and the summary are those of the layers inside."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, request_ids=False, summaries=False, endpoints=False)

    def _contribute(self, exchange: Any, scope: Any) -> str | None:  # noqa: ARG002
        return None


def surround(is_layer: Callable[[Any], bool]) -> None:
    """Have each ``ServerErrorMiddleware`` around one of our layers begin its requests.

    Starlette offers no place outside of that middleware, and tells a middleware nothing
    of the application that it is built for. Its method is replaced, and not the one that
    builds the stack, because tracers rebuild stacks, and their spans are to be around
    ours. In an application without our layers it does what it did.

    Args:
        is_layer: Returns whether a middleware's class is one of ours.
    """
    call = ServerErrorMiddleware.__call__
    if hasattr(call, "_is_dockerflow"):
        return

    @returns_coroutine
    @functools.wraps(call)
    def begin_and_call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        layer = self.__dict__.get(_LAYER, _UNKNOWN)
        if layer is _UNKNOWN:
            is_needed = _holds(self, is_layer)
            layer = OutermostLayer(functools.partial(call, self)) if is_needed else None
            self.__dict__[_LAYER] = layer
        return call(self, scope, receive, send) if layer is None else layer(scope, receive, send)

    begin_and_call._is_dockerflow = True  # type: ignore[attr-defined]
    ServerErrorMiddleware.__call__ = begin_and_call  # type: ignore[method-assign]


def _holds(middleware: Any, is_layer: Callable[[Any], bool]) -> bool:
    """Return whether one of our layers is inside, and no other ServerErrorMiddleware nearer."""
    for _ in range(_MAX_DEPTH):
        middleware = getattr(middleware, "app", None)
        if middleware is None or isinstance(middleware, ServerErrorMiddleware):
            return False
        if is_layer(type(middleware)):
            return True
    return False
