"""An application of Sanic whose requests are seen from their beginning to their end.

Middleware and signals do not see that much: a signal for each request costs more
than the summary does, a response that middleware replaces skips the rest of the
middleware, and none of them runs after the lines that Sanic logs last. So the
application gets a class of its own, derived from the one it has, which is around
the two functions that every server of Sanic's calls.
"""

from __future__ import annotations

from typing import Any, Final

from sanic import Sanic
from sanic.exceptions import NotFound, SanicException

from dockerflow._request.options import Options
from dockerflow.asgi import DockerflowASGI
from dockerflow.endpoints import endpoint_of

from .served_request import Hooks, begin, is_gone_before_request, path_of, served_of, watch_handlers

__all__ = ["observe"]

_NOT_ALLOWED: Final = 405


def observe(app: Sanic[Any, Any], hooks: Hooks) -> None:
    """Have the requests of an application begin, end and be summed up.

    Args:
        app: The application, before it is started.
        hooks: What its requests need of the extension.
    """
    base: Any = type(app)

    async def handle_request(self: Any, request: Any) -> None:
        served = begin(request, hooks)
        try:
            # Looked up now: Sanic rewrites it at its start, and tracers replace it.
            await base.handle_request(self, request)
        except BaseException as error:
            served.raised(error)
            raise
        served.returned()

    async def handle_exception(
        self: Any, request: Any, exception: BaseException, *args: Any, **kwargs: Any
    ) -> None:
        exception = _shown(request, exception, hooks)
        served = served_of(request)
        if (served is not None and served.is_over) or is_gone_before_request(request):
            await base.handle_exception(self, request, exception, *args, **kwargs)
            return
        if served is None:
            # What came was no request; its answer has an id, and a summary.
            served = begin(request, hooks)
            served.is_serving = False
        watch_handlers(self.error_handler)
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

    core = _SanicASGI(app, base, hooks)

    watch_handlers(app.error_handler)
    app.__class__ = type(base)(
        base.__name__,
        (base,),
        {
            # A bound method, which is called without the application: one call less.
            "__call__": core.__call__,
            "__doc__": base.__doc__,
            "__module__": base.__module__,
            "__qualname__": base.__qualname__,
            # It must have the layout of the class that it takes the place of.
            "__slots__": (),
            "_run_response_middleware": run_response_middleware,
            "handle_exception": handle_exception,
            "handle_request": handle_request,
        },
    )


def _shown(request: Any, exception: BaseException, hooks: Hooks) -> BaseException:
    """Return what to answer: no 405 that would say that a switched-off endpoint is there."""
    if (
        isinstance(exception, SanicException)
        and exception.status_code == _NOT_ALLOWED
        and not hooks.live.settings().error_endpoint
        and endpoint_of(path_of(request)) == "error"
    ):
        return NotFound(f"Requested URL {path_of(request)} not found")
    return exception


class _SanicASGI(DockerflowASGI):
    """The ASGI core around an application, for servers other than Sanic's own."""

    def __init__(self, app: Any, base: Any, hooks: Hooks) -> None:
        def serve(scope: Any, receive: Any, send: Any) -> Any:
            return base.__call__(app, scope, receive, send)

        super().__init__(serve, settings=hooks.live.settings(), endpoints=False)
        self._hooks = hooks

    def _options_of(self, scope: Any) -> Options:  # noqa: ARG002
        hooks = self._hooks
        self._logger = hooks.read_summary_logger()
        return hooks.live.now()
