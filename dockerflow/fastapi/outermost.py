"""The outermost layer of an application of FastAPI or Starlette.

Middleware is added to an application inside of Starlette's ``ServerErrorMiddleware``,
which answers what nothing else has handled, and calls the application's own handler
for ``Exception``. That answer and those lines belong to the request as well, so the
request begins and ends further out: around the whole stack, and only where one of our
middlewares is in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI

from dockerflow.asgi import DockerflowASGI

__all__ = ["OutermostLayer", "surround"]

_BUILD: Final = "build_middleware_stack"


class OutermostLayer(DockerflowASGI):
    """Begins and ends a request; the id and the summary are those of the layers inside."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, request_ids=False, summaries=False, endpoints=False)

    def _contribute(self, exchange: Any, scope: Any) -> str | None:  # noqa: ARG002
        return None

    def __getattr__(self, name: str) -> Any:
        # Other libraries look at what they know as the outermost middleware.
        return getattr(self.__dict__["app"], name)


def surround(layers: Callable[[Any], bool]) -> None:
    """Have stacks of middleware that are built from here on begin with an outermost layer.

    Starlette offers no place outside of ``ServerErrorMiddleware``, and tells a middleware
    nothing of the application that it is built for. So the method that builds a stack is
    replaced; for an application without our middlewares its result is the same.

    Args:
        layers: Returns whether a middleware's class is one of those.
    """
    # OpenTelemetry may have put a subclass in FastAPI's place.
    for application in FastAPI.__mro__:
        build = vars(application).get(_BUILD)
        if build is not None and not hasattr(build, "_is_dockerflow"):
            setattr(application, _BUILD, _surrounded(build, layers))


def _surrounded(build: Callable[[Any], Any], layers: Callable[[Any], bool]) -> Callable[[Any], Any]:
    @functools.wraps(build)
    def build_middleware_stack(self: Any) -> Any:
        stack = build(self)
        if isinstance(stack, OutermostLayer):
            # A subclass has called the method of its base.
            return stack
        is_ours = any(layers(each.cls) for each in self.user_middleware)
        return OutermostLayer(stack) if is_ours else stack

    build_middleware_stack._is_dockerflow = True  # type: ignore[attr-defined]
    return build_middleware_stack
