"""An application of Sanic whose requests are seen from their beginning to their end.

Middleware and signals do not see that much: a signal for each request costs more
than the summary does, a response that middleware replaces skips the rest of the
middleware, and none of them runs after the lines that Sanic logs last. So the
application gets a class of its own, derived from the one it has, which is around
the two functions that every server of Sanic's calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sanic import Sanic

from dockerflow.asgi import DockerflowASGI
from dockerflow.middleware import LiveOptions, Options

from .served import (
    MakeFields,
    ServedRequest,
    begin,
    is_gone_before_request,
    served_of,
    watch_handlers,
)

__all__ = ["observe"]


def observe(
    app: Sanic[Any, Any],
    live: LiveOptions,
    logger: logging.Logger,
    read_summary_logger: Callable[[], Any],
    make_fields: MakeFields | None,
) -> None:
    """Have the requests of an application begin, end and be summed up.

    Args:
        app: The application, before it is started.
        live: The options of each request.
        logger: Where to say that a hook of the application's has failed.
        read_summary_logger: Returns the logger of summaries, which may be replaced.
        make_fields: The application's own hook for the fields of a summary.
    """
    base: Any = type(app)

    def begun(request: Any) -> ServedRequest:
        return begin(request, live.now(), read_summary_logger(), logger, make_fields)

    async def handle_request(self: Any, request: Any) -> None:
        served = begun(request)
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
        served = served_of(request)
        if (served is not None and served.is_over) or is_gone_before_request(request):
            await base.handle_exception(self, request, exception, *args, **kwargs)
            return
        if served is None:
            # What came was no request; its answer has an id, and a summary.
            served = begun(request)
            served.is_serving = False
        watch_handlers(self.error_handler)
        with served.answering(exception):
            await base.handle_exception(self, request, exception, *args, **kwargs)

    async def run_response_middleware(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await base._run_response_middleware(self, request, *args, **kwargs)
        except Exception as error:
            served = served_of(request)
            if served is not None:
                served.middleware_raised(error)
            raise

    core = _SanicASGI(app, base, live, read_summary_logger)

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        await core(scope, receive, send)

    watch_handlers(app.error_handler)
    app.__class__ = type(base)(
        base.__name__,
        (base,),
        {
            "__call__": call,
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


class _SanicASGI(DockerflowASGI):
    """The ASGI core around an application, for servers other than Sanic's own."""

    def __init__(
        self, app: Any, base: Any, live: LiveOptions, read_summary_logger: Callable[[], Any]
    ) -> None:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            await base.__call__(app, scope, receive, send)

        super().__init__(serve, settings=live.settings(), endpoints=False)
        self._live = live
        self._read_summary_logger = read_summary_logger

    def _options_of(self, scope: Any) -> Options:  # noqa: ARG002
        self._logger = self._read_summary_logger()
        return self._live.now()
