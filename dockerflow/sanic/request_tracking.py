"""Track the requests of an application of Sanic from their beginning to their end.

Middleware and signals do not suffice. A signal for each request costs more than the summary. A
response that middleware replaces skips the rest of the middleware. Neither runs after Sanic's
last lines. So the application gets a class of its own, derived from its former class, which
overrides the two functions that every server of Sanic calls.
"""

from __future__ import annotations

import copyreg
from typing import Any

from sanic import Sanic
from sanic.exceptions import NotFound, SanicException

from dockerflow._request.layer import LiveLayer
from dockerflow.asgi import DockerflowASGI
from dockerflow.endpoints import endpoint_of

from . import served_request
from .served_request import SanicLayer, path_of, served_of

__all__ = ["observe"]


def observe(app: Sanic[Any, Any], layer: SanicLayer) -> None:
    """Track the requests of an application: begin and end each, and log its summary.

    Args:
        app: The application, before it is started.
        layer: Reads its requests.
    """
    base: Any = type(app)

    async def handle_request(self: Any, request: Any) -> None:
        served = served_request.begin(request, layer)
        try:
            # Looked up at each call: Sanic rewrites it at its start, and tracers replace it.
            await base.handle_request(self, request)
        except BaseException as error:
            served.raised(error)
            raise
        served.returned()

    async def handle_exception(
        self: Any, request: Any, exception: BaseException, *args: Any, **kwargs: Any
    ) -> None:
        exception = _shown(request, exception, layer)
        served = served_of(request)
        if (served is not None and served.is_over) or served_request.is_gone_before_request(
            request
        ):
            await base.handle_exception(self, request, exception, *args, **kwargs)
            return
        if served is None:
            # The client sent no valid request; the response has an id and a summary all the same.
            served = served_request.begin(request, layer)
            served.is_serving = False
        served_request.watch_handlers(self.error_handler)
        with served.answering(exception):
            await base.handle_exception(self, request, exception, *args, **kwargs)

    async def run_response_middleware(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await base._run_response_middleware(self, request, *args, **kwargs)
        except Exception as error:
            served = served_of(request)
            if served is not None and not served.is_over:
                served.middleware_raised(error)
            raise

    def serve(scope: Any, receive: Any, send: Any) -> Any:
        return base.__call__(app, scope, receive, send)

    core = _SanicASGI(serve, settings=layer.live.settings(), endpoints=False)
    core.use_live(layer.extension, layer.live.now)
    served_request.watch_handlers(app.error_handler)
    app.__class__ = _pickled_as(base)(
        base.__name__,
        (base,),
        {
            # A bound method, called without the application: one call less.
            "__call__": core.__call__,
            "__doc__": base.__doc__,
            "__module__": base.__module__,
            "__qualname__": base.__qualname__,
            # The layout must be that of the class that it replaces.
            "__slots__": (),
            "_is_pickled_as_base": True,
            "_run_response_middleware": run_response_middleware,
            "handle_exception": handle_exception,
            "handle_request": handle_request,
        },
    )


def _pickled_as(base: Any) -> Any:
    """Return a metaclass whose classes are pickled as another class.

    Sanic's manager of workers pickles a class method of the application for each process that it
    spawns. The new process imports the application's module, which makes the application's class
    again. By its name pickle would find the former class, which is not the one that it was given.
    """
    kind = type(base)
    metaclass = type(kind.__name__, (kind,), {"__module__": kind.__module__})

    def reduce(made: Any) -> Any:
        # A class that the application derives from the made one has a name of its own.
        is_made = made.__dict__.get("_is_pickled_as_base", False)
        return (_itself, (base,)) if is_made else made.__qualname__

    copyreg.pickle(metaclass, reduce)
    return metaclass


def _itself(base: Any) -> Any:
    return base


def _shown(request: Any, exception: BaseException, layer: SanicLayer) -> BaseException:
    """Return the exception to answer: no 405, which would show a switched-off endpoint."""
    if (
        isinstance(exception, SanicException)
        and exception.status_code == 405
        and not layer.live.settings().error_endpoint
        and endpoint_of(path_of(request)) == "error"
    ):
        return NotFound(f"Requested URL {path_of(request)} not found")
    return exception


class _SanicASGI(LiveLayer, DockerflowASGI):
    """The ASGI core around an application, for servers other than Sanic's own."""
