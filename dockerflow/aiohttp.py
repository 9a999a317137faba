"""Dockerflow for aiohttp: request ids, summaries and the four endpoints.

::

    app = web.Application()
    dockerflow.aiohttp.setup(app)

A summary is logged when the body of the response has ended, else with the request's task.
aiohttp serves each request in a task of its own, which is left in the request's context:
``aiohttp.access`` and ``aiohttp.server`` log in it last. Middleware further out may answer
an exception that leaves this one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from dockerflow._request.late_answer import SERVER_ERROR, LateAnswer
from dockerflow._request.missing_extra import needs_extra
from dockerflow._request.multidict import multidict_id_headers, read_multidict
from dockerflow._request.options import Middleware, MiddlewareOptions, Options
from dockerflow._request.resolve_id import IdHeaders
from dockerflow._request.watched_call import watch_next_call
from dockerflow.endpoints import PATHS, Endpoints
from dockerflow.summary import current, is_cancellation

with needs_extra("aiohttp"):
    from aiohttp import WSCloseCode, web

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

__all__ = ["setup"]

# How a client sees a connection that ends without a closing frame (RFC 6455, 7.4.1).
_ABNORMAL_CLOSURE: Final = 1006


def setup(app: web.Application, **options: Unpack[MiddlewareOptions]) -> None:
    """Install request ids, summaries and the endpoints in an application.

    The middleware is placed outside of the middleware that the application has so far.
    Requests of sub-applications are served as well.

    Args:
        app: The application, before it is started.
        **options: The options of ``DockerflowASGI``. ``settings`` are read from the
            environment by default.

    Raises:
        SettingsError: If a setting is bad.
        OptionError: If an option is of the wrong kind.
    """
    _Layer(app, **options).install(app)


class _AiohttpExchange(LateAnswer):
    """One request, from the outermost middleware to the end of its response's body."""

    http_exceptions = web.HTTPException
    watched = ("write_eof", "close")
    #: The writer of the response: the request, and each clone of it, has this very one.
    writer: Any
    #: The layer that began the request.
    layer: _Layer
    #: The code that the application has closed its WebSocket with, before the client did.
    close_code: int | None = None

    def fail_to_prepare(self, error: BaseException) -> None:
        """Keep what the server has raised when it prepared the response."""
        # Files are sent here, by the system: it leaves the transport of a cut one open.
        is_cut = self._has_sent() and isinstance(error, (ConnectionError, TimeoutError))
        self.fail(error, is_cut)

    def begin_response(self, response: web.StreamResponse) -> None:
        """Note the status that is about to be sent, and end the request with the body."""
        if self.note_response(response, response.status):
            watch_next_call(response, "write_eof", returned=self.end_body, raised=self.fail_body)
            if isinstance(response, web.WebSocketResponse):
                watch_next_call(response, "close", called=self._note_close)

    def _note_close(self, *args: Any, **options: Any) -> None:
        """Note the code that the application closes a WebSocket with: its client may reply 1000."""
        response = self.response
        is_open = self.close_code is None and response is not None and response.close_code is None
        if is_open and not self._is_disconnected():
            # By position in a class of the application's own.
            self.close_code = options.get("code", args[0] if args else WSCloseCode.OK)

    def end(self, error: BaseException | None = None) -> None:
        """End a request whose response does not end as it should."""
        if self.layer.is_shut_down and error is not None and is_cancellation(error):
            # A server that shuts down closes connections and cancels handlers, too.
            self.is_client_gone = False
        super().end(error)

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary, with the close code of a WebSocket."""
        if isinstance(error, web.RequestPayloadError):
            # The client has sent a body that cannot be decoded. The server answers with a 500.
            self.error, self.status_of_error = error, self.code or SERVER_ERROR
        if isinstance(self.response, web.WebSocketResponse):
            self.method = "WEBSOCKET"
            self.code = self.close_code or self.response.close_code or _ABNORMAL_CLOSURE
        super().finish(error)

    def _is_disconnected(self) -> bool:
        transport = self.writer.transport
        return transport is None or transport.is_closing()

    def _has_sent(self) -> bool:
        return bool(self.writer.output_size)


class _Layer(Middleware):
    """The middleware of an application, its signal handlers and its endpoints."""

    is_shut_down = False

    def install(self, app: web.Application) -> None:
        """Add all of it to an application."""
        app.middlewares.insert(0, self.serve)
        app.on_response_prepare.append(self.prepare)
        app.on_shutdown.append(self.shut_down)
        if self._endpoints is not None:
            for path, name in PATHS.items():
                view = functools.partial(_answer, self._endpoints, name)
                app.router.add_route("*", path, view)
                app.router.add_route("*", f"{path}/", view)

    @web.middleware
    async def serve(self, request: web.Request, handler: Any) -> Any:
        """Serve a request, unless an application further out has begun to."""
        if (outer := _exchange_of(request)) is not None:
            self.complete(outer, request)
            return await handler(request)
        exchange = _AiohttpExchange()
        exchange.layer, exchange.writer = self, request.writer
        exchange.method, exchange.path = request.method, request.path
        self.begin(exchange, request)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            # The server sends it as a response.
            self._watch(exchange, request, error)
            raise
        except BaseException as error:
            exchange.fail(error)
            raise
        else:
            if isinstance(response, web.StreamResponse):
                self._watch(exchange, request, response)
            else:
                exchange.has_no_response = True
            return response
        finally:
            exchange.leave_to_server()

    def _watch(self, exchange: _AiohttpExchange, request: web.Request, response: Any) -> None:
        """Have the request fail if the server cannot prepare the response that it gets."""
        apps = request.match_info.apps
        if next(each for app in apps for each in app.middlewares) == self.serve:
            # No other middleware can replace the response.
            watch_next_call(response, "prepare", raised=exchange.fail_to_prepare)

    async def prepare(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Have a response carry the id, and end the request with it: a signal handler."""
        exchange = _exchange_of(request)
        if exchange is None:
            return
        # No cache keeps a handshake's answer.
        vary = ("*",) if response.status == 101 else response.headers.getall("Vary", ())
        response.headers.update(exchange.echo_headers(response.headers, vary))
        if not exchange.is_over:
            exchange.begin_response(response)

    async def shut_down(self, app: web.Application) -> None:  # noqa: ARG002 - signals have it
        """Note that the server cancels handlers from now on: a signal handler."""
        self.is_shut_down = True

    def _read(self, exchange: Any, request: Any, options: Options, gives_id: bool) -> str | None:
        return read_multidict(exchange, request, options, gives_id, _id_headers)

    def _querystring_of(self, request: web.Request) -> bytes:
        query = request.raw_path.partition("#")[0].partition("?")[2]
        return query.encode("utf-8", "surrogateescape")


def _id_headers(request: web.BaseRequest, options: Options) -> IdHeaders:
    return multidict_id_headers(request.headers, options, request.remote or None)


def _exchange_of(request: web.BaseRequest) -> _AiohttpExchange | None:
    """Return the exchange of a request, None where none was begun in this context."""
    exchange = current()
    if isinstance(exchange, _AiohttpExchange) and exchange.writer is request.writer:
        return exchange
    return None


async def _answer(endpoints: Endpoints, name: str, request: web.Request) -> web.Response:
    reply = await endpoints.answer_async(name, request.method)
    return web.Response(body=reply.body, status=reply.status, headers=dict(reply.headers))
