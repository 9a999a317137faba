"""One request while Sanic serves it: its beginning, its outcome and its end."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from inspect import isawaitable
from typing import Any, Final

from sanic import Request
from sanic.exceptions import SanicException
from sanic.http import Http, Stage

from dockerflow._request.adapter import fill_summary
from dockerflow._request.client_fault import is_raised_by
from dockerflow._request.exchange import Exchange, enclosing_exchange
from dockerflow._request.extension import Extension
from dockerflow._request.layer import LiveLayer
from dockerflow._request.multidict import multidict_id_headers, read_multidict
from dockerflow._request.options import Options, ReloadingOptions
from dockerflow._request.resolve_id import IdHeaders
from dockerflow.summary import is_cancellation

from .versions import ASKS_TWICE, close_code_of, is_client_lost, is_request_cancelled, is_stand_in

__all__ = [
    "SanicLayer",
    "ServedRequest",
    "begin",
    "id_headers",
    "is_gone_before_request",
    "path_of",
    "served_of",
    "watch_handlers",
]


class SanicLayer(LiveLayer):
    """Reads the requests of Sanic's own server, for one application."""

    def __init__(
        self,
        extension: Extension,
        live: ReloadingOptions,
        make_fields: Callable[[Any], dict[str, Any]] | None,
    ) -> None:
        """Follow an extension.

        Args:
            extension: The extension.
            live: The options of each request.
            make_fields: Makes the fields of a summary from a request; None if no hook of the
                application does.
        """
        self.use_live(extension, live.now)
        self.extension = extension
        self.live = live
        self.make_fields = make_fields

    def _read(self, exchange: Any, holder: Any, options: Options, gives_id: bool) -> str | None:
        return read_multidict(exchange, holder, options, gives_id, id_headers)

    def _querystring_of(self, holder: Any) -> str | bytes:
        try:
            return bytes(holder._parsed_url.query or b"")
        except Exception:
            return ""


class ServedRequest:
    """A request, its exchange, and its outcome so far."""

    #: The exception that no handler of the application has answered.
    error: BaseException | None = None
    #: The exception that response middleware has raised.
    middleware_error: BaseException | None = None
    #: Whether the ASGI core has begun the exchange, and ends it.
    is_asgi = False
    #: Whether Sanic's own server for HTTP/1 serves it.
    is_http1 = False
    #: Whether one of Sanic's two functions for requests runs.
    is_serving = True
    is_cancelled = False
    has_failed = False
    is_filled = False

    def __init__(self, request: Any, exchange: Any, layer: SanicLayer) -> None:
        self.request = request
        self.exchange = exchange
        self.layer = layer

    def fields(self) -> dict[str, Any]:
        """Return the fields of the request's summary as they are now; none after its end."""
        fields: dict[str, Any] = {} if self.exchange is None else self.exchange.fields()
        return fields

    @property
    def is_over(self) -> bool:
        """Whether the summary is logged."""
        return self.exchange is None or bool(self.exchange.is_over)

    # -- the end of Sanic's functions ---------------------------------------------

    def returned(self) -> None:
        """Note that Sanic's function for the request has returned."""
        self.is_serving = False
        if self.is_asgi and self.is_filled and self.error is None:
            # The core has all fields already.
            _forget_current_request(self.exchange)
            return
        if (
            self.is_http1
            and self.exchange.code is None
            and self.request.stream.stage is Stage.HANDLER
            and self._websocket() is None
        ):
            # Sanic raises a ServerError for a missing response, and answers it.
            return
        self._finish(is_connection_ending=False)

    def raised(self, error: BaseException) -> None:
        """Note an exception of Sanic's function for the request."""
        self.is_serving = False
        self._note_raised(error)
        is_request_alone = isinstance(error, Exception) or is_cancellation(error)
        if is_request_alone and self._is_to_be_answered(error):
            return
        self._finish(is_connection_ending=True)

    @contextmanager
    def answering(self, exception: BaseException) -> Iterator[None]:
        """Classify an exception while Sanic's function for exceptions answers it."""
        is_outermost = not self.is_serving
        self.is_serving = True
        stream = self.request.stream
        may_answer = stream is None or stream.stage is Stage.HANDLER
        self._take(exception)
        try:
            yield
        except BaseException as error:
            if is_outermost:
                self._failed_to_answer(error)
            raise
        code = self.exchange.code
        if may_answer and code is not None and code < 500 and not self.is_cancelled:
            # A response below 500 says that there was no error, whatever has made it.
            self.error = None
        if is_outermost:
            self.is_serving = False
            self._finish(is_connection_ending=False)

    def _failed_to_answer(self, error: BaseException) -> None:
        self.is_serving = False
        self._note_raised(error)
        is_asked_again = ASKS_TWICE and (self.is_http1 or self.is_asgi)
        if isinstance(error, Exception) and not self.has_failed and is_asked_again:
            self.has_failed = True
            return
        self._finish(is_connection_ending=True)

    def _note_raised(self, error: BaseException) -> None:
        self.exchange.attach_id(error)
        if is_cancellation(error) and not is_request_cancelled(error):
            self.is_cancelled = True
        self._take(error)

    def _is_to_be_answered(self, error: BaseException) -> bool:
        """Return whether the server calls Sanic's function for exceptions next."""
        stream = self.request.stream
        if self.is_http1:
            protocol = stream.protocol
            return protocol.transport is not None and stream.stage is Stage.HANDLER
        return isinstance(error, Exception) and stream is not None

    # -- the outcome --------------------------------------------------------------

    def _take(self, error: BaseException) -> None:
        """Classify an exception that Sanic is about to answer, before any handler runs."""
        exchange = self.exchange
        if self.is_http1 and not exchange.is_client_gone:
            protocol = self.request.stream.protocol
            if is_client_lost(protocol) or is_request_cancelled(error):
                exchange.is_client_gone = protocol.transport is not None
        if is_request_cancelled(error):
            return
        if is_cancellation(error) or self.is_cancelled:
            # Sanic answers a cancellation with an exception of its own, timeouts as well.
            if not exchange.is_client_gone and not (self.error and is_stand_in(error)):
                self.error = error
            return
        if self.error is None and not _is_answer(error):
            self.error = error

    def answered(self, answer: Any) -> Any:
        """Note the response of a handler to an exception; return it."""
        if answer is not None and not self.is_cancelled:
            self.error = None
        return answer

    @contextmanager
    def in_handler(self, *, is_async: bool) -> Iterator[None]:
        """Note an exception that a handler of the application raises."""
        try:
            yield
        except BaseException as error:
            if not self.is_cancelled:
                # Sanic's default handler answers an asynchronous one's SanicException.
                self.error = None if is_async and _is_answer(error) else error
            raise

    def middleware_raised(self, error: BaseException) -> None:
        """Note an exception of response middleware, which Sanic logs and ignores."""
        self.middleware_error = error
        if self.is_asgi:
            # The core logs the summary with the last part of the body.
            self.exchange.error = error

    def report(self, error: BaseException) -> None:
        """Note an exception that Sanic logs, which is all that it does for a WebSocket."""
        is_websocket = self.exchange.method == "WEBSOCKET" or self._websocket() is not None
        if is_websocket and not _is_answer(error):
            self.error = error

    # -- the end --------------------------------------------------------------------

    def fill(self) -> None:
        """Fill the summary with what only the request knows; once."""
        if self.is_filled:
            return
        self.is_filled = True
        ctx = self.request.ctx
        ctx.logged = True
        has_start = hasattr(ctx, "start_timestamp")
        make_fields = self.layer.make_fields
        if make_fields is not None or not has_start:
            fill_summary(
                self.exchange,
                self.layer.extension.logger,
                self.request,
                has_start=has_start,
                read_user_id=None,
                make_fields=make_fields,
            )

    def _finish(self, *, is_connection_ending: bool) -> None:
        exchange = self.exchange
        if exchange.is_over:
            return
        websocket = self._websocket()
        if websocket is not None:
            exchange.method = "WEBSOCKET"
            exchange.code = close_code_of(websocket)
        elif self.is_http1 and self._is_refused_handshake():
            exchange.method = "WEBSOCKET"
        self.fill()
        error = self.error or self.middleware_error
        if self.is_asgi:
            exchange.error = error
            _forget_current_request(exchange)
            return
        exchange.finish(error)
        stream = self.request.stream
        if self.is_http1 and (
            is_connection_ending or stream.stage is not Stage.IDLE or stream.request_body
        ):
            # Sanic logs more lines about it before the task ends, or the next request begins.
            exchange.leave_to_server()
        else:
            exchange.leave()
        # These objects refer to each other, and a request's body may be large. Without the
        # cycle they are freed at once.
        self.request = self.exchange = None

    def _is_refused_handshake(self) -> bool:
        request = self.request
        handler = getattr(getattr(request, "route", None), "handler", None)
        # A client may ask for an upgrade where the route has no WebSocket.
        return bool(request.stream.upgrade_websocket) and hasattr(handler, "is_websocket")

    def _websocket(self) -> Any:
        """Return the connection's WebSocket, None where none was accepted."""
        return getattr(self.request.stream.protocol, "websocket", None) if self.is_http1 else None


def begin(request: Any, layer: SanicLayer) -> ServedRequest:
    """Begin a request, or join the exchange that the ASGI core has begun for it."""
    stream = request.stream
    scope = getattr(request.transport, "scope", None)
    exchange: Any = scope and enclosing_exchange(scope, scope.get("method", ""))
    if exchange is not None:
        served = ServedRequest(request, exchange, layer)
        served.is_asgi = True
        exchange.path = path_of(request)
        _watch_asgi(stream, served)
    else:
        exchange = Exchange()
        exchange.method, exchange.path = request.method, path_of(request)
        layer.begin(exchange, request)
        served = ServedRequest(request, exchange, layer)
        if isinstance(stream, Http):
            served.is_http1 = True
            _watch_header(stream, "response_func", exchange)
        elif stream is not None:
            _watch_header(stream, "send", exchange)
    ctx = request.ctx
    ctx.dockerflow = served
    ctx.id = exchange.rid
    ctx.start_timestamp = time.time()
    ctx.logged = False
    return served


_current_request: Final[ContextVar[Any]] = Request._current


def _forget_current_request(exchange: Any) -> None:
    """Remove from the context the request that Sanic leaves there.

    Otherwise the exchange of the next request in this context would keep it alive, and each
    later exchange its predecessor.
    """
    before = exchange._before
    if before is not None:
        _current_request.set(before.get(_current_request))


def served_of(request: Any) -> ServedRequest | None:
    """Return what ``begin`` has made for a request, None if it has not begun."""
    served = getattr(request.ctx, "dockerflow", None)
    return served if isinstance(served, ServedRequest) else None


def _being_served(request: Any) -> ServedRequest | None:
    served = served_of(request)
    return None if served is None or served.is_over else served


def is_gone_before_request(request: Any) -> bool:
    """Return whether a client has closed its connection before it sent a request."""
    protocol = getattr(request.stream, "protocol", None)
    return (
        getattr(request.ctx, "dockerflow", None) is None
        and isinstance(request.stream, Http)
        and (protocol is None or protocol.transport is None or is_client_lost(protocol))
    )


# -- the response -------------------------------------------------------------------


def _watch_header(stream: Any, function: str, exchange: Exchange) -> None:
    """Have a stream send the id with the header, and note the status when it is sent.

    Args:
        stream: The stream of one request.
        function: The name of its function that sends the header, with or without the body.
        exchange: The request's exchange.
    """
    original = getattr(stream, function)

    async def send(data: Any, end_stream: bool) -> None:
        response = stream.response
        if stream.stage is not Stage.HANDLER or response is None:
            await original(data, end_stream)
            return
        stream.response = _with_echo(response, exchange)
        await original(data, end_stream)
        if not exchange.is_client_gone:
            # Else the connection was closed before.
            exchange.code = int(response.status)

    setattr(stream, function, send)


def _with_echo(response: Any, exchange: Exchange) -> Any:
    """Return a response with the id in its headers; the response itself if it gets none.

    An application may send one object to several clients at a time, each of which may be slow to
    read. Therefore a response that gets an id is a copy.
    """
    headers = response.headers
    name = exchange.echo_name
    if name is None or name in headers:
        return response
    echoed = copy(response)
    echoed.headers = headers.copy()
    echoed.headers.update(exchange.echo_headers(headers, headers.getall("vary", ()), "vary"))
    return echoed


def _watch_asgi(stream: Any, served: ServedRequest) -> None:
    """Fill the summary before the last part of the response, with which the ASGI core logs it."""
    original = stream.send

    async def send(data: Any, end_stream: bool) -> None:
        if end_stream and not served.is_filled:
            served.fill()
        await original(data, end_stream)

    stream.send = send


# -- the application's handlers of exceptions -----------------------------------------


def watch_handlers(error_handler: Any) -> None:
    """Watch what the handlers of an application's error handler do. May be called again.

    Args:
        error_handler: The application's ``error_handler``, which it may replace.
    """
    if not isinstance(error_handler._lookup, _WatchedLookup):
        error_handler._lookup = _WatchedLookup(error_handler._lookup)
        error_handler.log = _watched_log(error_handler.log)


class _WatchedLookup:
    """Finds handlers as the application's error handler does, and watches what they answer."""

    def __init__(self, lookup: Callable[..., Any]) -> None:
        self._lookup = lookup

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        handler = self._lookup(*args, **kwargs)
        return None if handler is None else _watched_handler(handler)


def _watched_handler(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(handler)
    def handle(request: Any, exception: BaseException) -> Any:
        served = _being_served(request)
        if served is None:
            return handler(request, exception)
        with served.in_handler(is_async=False):
            response = handler(request, exception)
        return _awaited(response, served) if isawaitable(response) else served.answered(response)

    return handle


async def _awaited(response: Awaitable[Any], served: ServedRequest) -> Any:
    with served.in_handler(is_async=True):
        answer = await response
    return served.answered(answer)


def _watched_log(log: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def watched(request: Any, exception: Any) -> None:
        served = _being_served(request)
        if served is not None and served.is_serving:
            served.report(exception)
        log(request, exception)

    return watched


def _is_answer(error: BaseException) -> bool:
    """Return whether an exception is an intended response.

    Those are Sanic's own exceptions. The exception is a 500 that Sanic itself raises, because
    the application has returned no response, or an invalid one.
    """
    if not isinstance(error, SanicException):
        return False
    return error.status_code != 500 or not is_raised_by("sanic", error)


# -- the request ----------------------------------------------------------------


def id_headers(request: Any, options: Options) -> IdHeaders:
    """Return the headers of a request that may be its id."""
    return multidict_id_headers(request.headers, options, request.ip or None)


def path_of(request: Any) -> str:
    """Return a request's path, an empty text if it has none."""
    try:
        return str(request.path)
    except Exception:
        # A request that Sanic could not parse has no path.
        return ""
