"""The outermost layer of an application of FastAPI or Starlette.

Starlette adds middleware inside of its ``ServerErrorMiddleware``. That one answers the
exceptions that are left, and calls the application's own handler for ``Exception``. This
answer and these lines belong to the request as well, so the request begins and ends
around ``ServerErrorMiddleware``. Its class is a parameter here: the core imports no
framework.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from dockerflow._request.coroutine_function import returns_coroutine
from dockerflow.asgi import DockerflowASGI

__all__ = ["OutermostLayer", "surround"]

# Where a ServerErrorMiddleware holds its layer, None where it needs none.
_LAYER: Final = "_dockerflow_layer"
# Where the method that takes the place of its own holds the classes of layers.
_KINDS: Final = "_dockerflow_kinds"
_UNKNOWN: Final = object()
# Middleware that holds itself would be walked through for ever.
_MAX_DEPTH: Final = 200


class OutermostLayer(DockerflowASGI):
    """Begins and ends a request; the id and the summary are those of the layers inside."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, request_ids=False, summaries=False, endpoints=False)

    def _contribute(self, exchange: Any, scope: Any) -> str | None:  # noqa: ARG002
        return None


def surround(server_errors: Any, kind: type[DockerflowASGI]) -> None:
    """Have each ``ServerErrorMiddleware`` around a layer of a kind begin the layer's requests.

    Starlette offers no place outside of that middleware, and tells a middleware nothing
    of the application that it is built for. Its method is replaced, and not the one that
    builds the stack, because tracers rebuild stacks, and their spans are to be around
    ours. In an application without our layers it does what it did.

    Args:
        server_errors: Starlette's ``ServerErrorMiddleware``.
        kind: The class of an adapter's layers.
    """
    call = server_errors.__call__
    if hasattr(call, _KINDS):
        getattr(call, _KINDS).append(kind)
        return
    kinds = [kind]

    @returns_coroutine
    @functools.wraps(call)
    def begin_and_call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        layer = self.__dict__.get(_LAYER, _UNKNOWN)
        if layer is _UNKNOWN:
            is_needed = _holds(self, server_errors, tuple(kinds))
            layer = OutermostLayer(functools.partial(call, self)) if is_needed else None
            self.__dict__[_LAYER] = layer
        return call(self, scope, receive, send) if layer is None else layer(scope, receive, send)

    setattr(begin_and_call, _KINDS, kinds)
    server_errors.__call__ = begin_and_call


def _holds(middleware: Any, server_errors: type, kinds: tuple[type, ...]) -> bool:
    """Return whether one of our layers is inside, and no other ServerErrorMiddleware nearer."""
    for _ in range(_MAX_DEPTH):
        middleware = getattr(middleware, "app", None)
        if middleware is None or isinstance(middleware, server_errors):
            return False
        if isinstance(middleware, kinds):
            return True
    return False
