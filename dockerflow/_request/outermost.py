"""The outermost layer of an application of Starlette, or of a framework built on it.

Middleware is added to an application inside of Starlette's ``ServerErrorMiddleware``. That
middleware answers each exception that nothing else has handled, and calls the application's
own handler for ``Exception``. The answer and the handler's lines belong to the request, so the
request begins and ends around that middleware.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from dockerflow.asgi import DockerflowASGI

from .coroutine_function import returns_coroutine
from .state_layer import StateLayer

__all__ = ["OutermostLayer", "surround"]

# The attribute of an error middleware that holds its layer, None if it needs none.
_LAYER: Final = "_dockerflow_layer"
_UNKNOWN: Final = object()
# A middleware that holds itself would make the walk endless.
_MAX_DEPTH: Final = 200


class OutermostLayer(DockerflowASGI):
    """Begins and ends a request; the layers inside add the id and the summary."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, request_ids=False, summaries=False, endpoints=False)

    def _contribute(self, exchange: Any, holder: Any) -> str | None:  # noqa: ARG002
        return None


def surround(error_middleware: Any) -> None:
    """Have each middleware of a class begin the requests of the ``StateLayer`` inside of it.

    Starlette has no place outside of that middleware, and tells a middleware nothing
    of the application that it is built for. The method is replaced, and not the one that
    builds the stack: tracers rebuild stacks, and their spans must be around this layer.
    A middleware without a ``StateLayer`` inside works as before.

    Args:
        error_middleware: Starlette's class ``ServerErrorMiddleware``.
    """
    call = error_middleware.__call__
    if hasattr(call, "_is_dockerflow"):
        return

    @returns_coroutine
    @functools.wraps(call)
    def begin_and_call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        layer = self.__dict__.get(_LAYER, _UNKNOWN)
        if layer is _UNKNOWN:
            is_needed = _has_layer(self, error_middleware) or _is_added(scope.get("app"))
            layer = OutermostLayer(functools.partial(call, self)) if is_needed else None
            self.__dict__[_LAYER] = layer
        return call(self, scope, receive, send) if layer is None else layer(scope, receive, send)

    begin_and_call._is_dockerflow = True  # type: ignore[attr-defined]  # noqa: SLF001
    error_middleware.__call__ = begin_and_call


def _is_added(app: Any) -> bool:
    """Return whether a ``StateLayer`` is in the list of an application's middleware.

    Middleware that is a function, or names its application otherwise, hides those inside of it.
    """
    return any(
        isinstance(kind := getattr(each, "cls", None), type) and issubclass(kind, StateLayer)
        for each in getattr(app, "user_middleware", ())
    )


def _has_layer(middleware: Any, error_middleware: Any) -> bool:
    """Return whether a ``StateLayer`` is inside, and no other error middleware nearer."""
    for _ in range(_MAX_DEPTH):
        middleware = getattr(middleware, "app", None)
        if middleware is None or isinstance(middleware, error_middleware):
            return False
        if issubclass(type(middleware), StateLayer):
            return True
    return False
