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

from .replaced_call import replace_call
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

    def replacing(call: Any) -> Any:
        def begin_and_call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
            layer = self.__dict__.get(_LAYER, _UNKNOWN)
            if layer is _UNKNOWN:
                is_needed = _needs_layer(self, error_middleware, scope.get("app"))
                layer = OutermostLayer(functools.partial(call, self)) if is_needed else None
                self.__dict__[_LAYER] = layer
            if layer is None:
                return call(self, scope, receive, send)
            return layer(scope, receive, send)

        return begin_and_call

    replace_call(error_middleware, "_is_dockerflow", replacing)


def _needs_layer(middleware: Any, error_middleware: Any, app: Any) -> bool:
    """Return whether a ``StateLayer`` is inside, and no other error middleware nearer.

    Args:
        middleware: The error middleware.
        error_middleware: Its class.
        app: The application of the request, None if it is not known. Middleware that is a function,
            or that names its application otherwise, hides those inside of it: then the list of the
            application's middleware decides.
    """
    for _ in range(_MAX_DEPTH):
        middleware = getattr(middleware, "app", None)
        if middleware is None:
            return _has_added(app)
        if isinstance(middleware, error_middleware):
            return False
        if issubclass(type(middleware), StateLayer):
            return True
    return False


def _has_added(app: Any) -> bool:
    """Return whether a ``StateLayer`` is in the list of an application's middleware."""
    kinds = [getattr(each, "cls", None) for each in getattr(app, "user_middleware", ())]
    return any(isinstance(kind, type) and issubclass(kind, StateLayer) for kind in kinds)
