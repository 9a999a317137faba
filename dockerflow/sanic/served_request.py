"""One request while Sanic serves it: what begins it, what its outcome is, when it is over."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

from sanic import Request
from sanic.exceptions import SanicException
from sanic.http import Http, Stage

from dockerflow._request.adapter import fill_summary
from dockerflow._request.exchange import REQUEST, Exchange
from dockerflow._request.options import Options, ReloadingOptions
from dockerflow._request.vary import merged_vary
from dockerflow.request_id import FoundId, RequestIdPolicy
from dockerflow.summary import is_cancellation
from mozlog_py._fields.late_request_ids import attach_request_id

from .versions import ASKS_TWICE, close_code_of, is_client_lost, is_request_cancelled, is_stand_in

__all__ = [
    "Hooks",
    "ServedRequest",
    "begin",
    "choose_request_id",
    "is_gone_before_request",
    "path_of",
    "served_of",
    "watch_handlers",
]


@dataclass(frozen=True)
class Hooks:
    """What requests need of the extension."""

    #: The options of each request.
    live: ReloadingOptions
    #: Where to say that a hook of the application's has failed.
    logger: logging.Logger
    #: Returns the logger of summaries, which may be replaced.
    read_summary_logger: Callable[[], Any]
    #: Makes the fields of a summary from a request; None where no hook of the application's does.
    make_fields: Callable[[Any], dict[str, Any]] | None


class ServedRequest:
    """A request, its exchange, and what has become known of its outcome."""

    #: The exception that no handler of the application's has answered.
    error: BaseException | None = None
    #: What response middleware has raised.
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

    def __init__(self, request: Any, exchange: Any, hooks: Hooks) -> None:
        self.request = request
        self.exchange = exchange
        self.hooks = hooks

    def fields(self) -> dict[str, Any]:
        """Return the fields of the request's summary as they are now; none after its end."""
        fields: dict[str, Any] = {} if self.exchange is None else self.exchange.fields()
        return fields

    @property
    def is_over(self) -> bool:
        """Whether the summary is logged."""
        return self.exchange is None or bool(self.exchange.is_over)

    # -- what Sanic's functions did ---------------------------------------------

    def returned(self) -> None:
        """Take in that Sanic's function for the request is done."""
        self.is_serving = False
        if self.is_asgi and self.is_filled and self.error is None:
            # The core knows all of it.
            _forget_current_request(self.exchange)
            return
        if (
            self.is_http1
            and self.exchange.code is None
            and self.request.stream.stage is Stage.HANDLER
            and self._websocket() is None
        ):
            # Sanic raises a ServerError for that itself, and has it answered.
            return
        self._finish(is_connection_ending=False)

    def raised(self, error: BaseException) -> None:
        """Take in what Sanic's function for the request has raised."""
        self.is_serving = False
        self._note_raised(error)
        is_request_alone = isinstance(error, Exception) or is_cancellation(error)
        if is_request_alone and self._is_to_be_answered(error):
            return
        self._finish(is_connection_ending=True)

    @contextmanager
    def answering(self, exception: BaseException) -> Iterator[None]:
        """Judge an exception while Sanic's function for exceptions answers it."""
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
            # However it came about, such an answer says that all is as it should be.
            self.error = None
        if is_outermost:
            self.is_serving = False
            self._finish(is_connection_ending=False)

    def _failed_to_answer(self, error: BaseException) -> None:
        self.is_serving = False
        self._note_raised(error)
        if isinstance(error, Exception) and not self.has_failed and self._asks_twice():
            self.has_failed = True
            return
        self._finish(is_connection_ending=True)

    def _note_raised(self, error: BaseException) -> None:
        if self.exchange.rid is not None:
            # What the server logs of it may come when the context is gone.
            attach_request_id(error, self.exchange.rid)
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

    def _asks_twice(self) -> bool:
        return ASKS_TWICE and (self.is_http1 or self.is_asgi)

    # -- the outcome --------------------------------------------------------------

    def _take(self, error: BaseException) -> None:
        """Judge an exception that Sanic is about to answer, before it is known who does."""
        exchange = self.exchange
        if self.is_http1 and not exchange.is_client_gone:
            protocol = self.request.stream.protocol
            if is_client_lost(protocol) or is_request_cancelled(error):
                exchange.is_client_gone = protocol.transport is not None
        if is_request_cancelled(error):
            return
        if is_cancellation(error) or self.is_cancelled:
            # Sanic answers with an exception of its own what was cancelled, also in time.
            if not exchange.is_client_gone and not (self.error and is_stand_in(error)):
                self.error = error
            return
        if self.error is None and not _is_answer(error):
            self.error = error

    def answered(self) -> None:
        """Take in that a handler of the application's has answered the exception."""
        if not self.is_cancelled:
            self.error = None

    def handler_raised(self, error: BaseException, *, is_async: bool) -> None:
        """Take in that a handler of the application's has raised an exception itself."""
        if self.is_cancelled:
            return
        # Sanic's default handler answers an asynchronous one's SanicException.
        self.error = None if is_async and _is_answer(error) else error

    def middleware_raised(self, error: BaseException) -> None:
        """Take in that response middleware has raised, which Sanic logs, and answers without."""
        self.middleware_error = error
        if self.is_asgi:
            # With the last part of the body the core logs the summary.
            self.exchange.error = error

    def report(self, error: BaseException) -> None:
        """Take in an exception that Sanic logs, which for a WebSocket is all that it does."""
        is_websocket = self.exchange.method == "WEBSOCKET" or self._websocket() is not None
        if is_websocket and not _is_answer(error):
            self.error = error

    # -- the end --------------------------------------------------------------------

    def fill(self) -> None:
        """Take in what is known only while the request is there; once."""
        if self.is_filled:
            return
        self.is_filled = True
        ctx = self.request.ctx
        ctx.logged = True
        has_start = hasattr(ctx, "start_timestamp")
        make_fields = self.hooks.make_fields
        if make_fields is not None or not has_start:
            request = self.request
            fill_summary(
                self.exchange,
                self.hooks.logger,
                has_start=has_start,
                read_user_id=None,
                make_fields=None if make_fields is None else lambda: make_fields(request),
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
            # Sanic has more to log about it; then the task ends, or the next request begins.
            exchange.leave_to_server()
        else:
            exchange.leave()
        # They refer to each other, and a request's body may be large: none waits for the
        # garbage collector.
        self.request = self.exchange = None

    def _is_refused_handshake(self) -> bool:
        request = self.request
        handler = getattr(getattr(request, "route", None), "handler", None)
        # What a client asks for does not count where the route is a plain one.
        return bool(request.stream.upgrade_websocket) and hasattr(handler, "is_websocket")

    def _websocket(self) -> Any:
        """Return the connection's WebSocket, None where none was accepted."""
        return getattr(self.request.stream.protocol, "websocket", None) if self.is_http1 else None


def begin(request: Any, hooks: Hooks) -> ServedRequest:
    """Begin a request, or join the exchange that the ASGI core has begun for it."""
    stream = request.stream
    exchange: Any = None
    scope = getattr(request.transport, "scope", None)
    if scope is not None:
        exchange = scope.get(REQUEST)
        if exchange is not None and exchange.is_over:
            exchange = None
    if exchange is not None:
        served = ServedRequest(request, exchange, hooks)
        served.is_asgi = True
        exchange.path = path_of(request)
        _watch_asgi(stream, served)
    else:
        exchange = _begun(request, hooks.live.now(), hooks.read_summary_logger())
        served = ServedRequest(request, exchange, hooks)
        if isinstance(stream, Http):
            served.is_http1 = True
            _watch_http1(stream, exchange)
        elif stream is not None:
            _watch_send(stream, exchange)
    ctx = request.ctx
    ctx.dockerflow = served
    ctx.id = exchange.rid
    ctx.start_timestamp = time.time()
    ctx.logged = False
    return served


_current_request: Final[ContextVar[Any]] = Request._current


def _forget_current_request(exchange: Any) -> None:
    """Take out of the context the request that Sanic leaves there.

    The exchange of the next request in this context would keep it, with its own
    exchange, and so on without end.
    """
    before = exchange._before
    if before is not None:
        _current_request.set(before.get(_current_request))


def served_of(request: Any) -> ServedRequest | None:
    """Return what has begun for a request, None where nothing has."""
    served = getattr(request.ctx, "dockerflow", None)
    return served if isinstance(served, ServedRequest) else None


def _being_served(request: Any) -> ServedRequest | None:
    served = served_of(request)
    return None if served is None or served.is_over else served


def is_gone_before_request(request: Any) -> bool:
    """Return whether a client has closed its connection before a request was there."""
    protocol = getattr(request.stream, "protocol", None)
    return (
        getattr(request.ctx, "dockerflow", None) is None
        and isinstance(request.stream, Http)
        and (protocol is None or protocol.transport is None or is_client_lost(protocol))
    )


def _begun(request: Any, options: Options, summary_logger: Any) -> Exchange:
    exchange = Exchange()
    exchange.method = request.method
    exchange.path = path_of(request)
    headers = request.headers
    agent, lang = headers.get("user-agent"), headers.get("accept-language")
    if agent is not None:
        exchange.agent = agent if agent.isascii() else _latin(agent)
    if lang is not None:
        exchange.lang = lang if lang.isascii() else _latin(lang)
    if options.querystring:
        exchange.querystring = _querystring(request)
    exchange.logger = summary_logger
    exchange.use(options)
    request_id, exchange.id_header = _request_id(request, options)
    exchange.begin(request_id)
    if options.echoes_all or options.policy.may_echo(request_id):
        exchange.echo_name = options.echo_name
    return exchange


def _request_id(request: Any, options: Options) -> tuple[str, str | None]:
    """Return the id of a request, and the header that it came in."""
    headers = request.headers
    values = headers.getall(options.echo_name, None)
    if not options.uses_traceparent:
        if values is None:
            return options.generate(), None
        if len(values) == 1 and options.accepts(values[0]):
            return str(values[0]), options.echo_name
    return choose_request_id(request, options.policy)


def choose_request_id(request: Any, policy: RequestIdPolicy) -> FoundId:
    """Return the id that a request's headers say, else a new one."""
    headers = request.headers
    return policy.resolve(
        headers.getall(policy.header_name, []),
        headers.getall("traceparent", []),
        request.ip or None,
    )


# -- what is sent -------------------------------------------------------------------


def _watch_http1(stream: Any, exchange: Exchange) -> None:
    """Have a response of Sanic's own server carry the id, and its status noted when it is sent."""
    send_header = stream.response_func

    async def send(data: bytes, end_stream: bool) -> None:
        response = stream.response
        name = exchange.echo_name
        headers = response.headers
        is_ours = name is not None and name not in headers
        is_varying = is_ours and exchange.id_header is not None
        is_copied = is_varying and "vary" in headers
        if is_copied:
            response.headers = headers.copy()
            _echo(response.headers, exchange)
        elif is_ours:
            headers[name] = exchange.rid
            if is_varying:
                headers["vary"] = exchange.id_header
        try:
            await send_header(data, end_stream)
        finally:
            # An application may answer with the same object again.
            if is_copied:
                response.headers = headers
            elif is_ours:
                headers.pop(name, None)
                if is_varying:
                    headers.pop("vary", None)
        if not exchange.is_client_gone:
            # Or it went to a connection that is closed.
            exchange.code = int(response.status)

    stream.response_func = send


def _watch_send(stream: Any, exchange: Exchange) -> None:
    """Do the same for a stream that has one function for header and body."""
    original = stream.send

    async def send(data: Any, end_stream: bool) -> None:
        response = stream.response
        if stream.stage is not Stage.HANDLER or response is None:
            await original(data, end_stream)
            return
        name = exchange.echo_name
        headers = response.headers
        if name is None or name in headers:
            await original(data, end_stream)
        else:
            # Over ASGI a client may read the headers later, from an iterator; and an
            # application may answer with the same object again.
            response.headers = headers.copy()
            _echo(response.headers, exchange)
            try:
                await original(data, end_stream)
            finally:
                response.headers = headers
        exchange.code = int(response.status)

    stream.send = send


def _echo(headers: Any, exchange: Exchange) -> None:
    """Put the id into a response's headers, and the request's header that it came in."""
    headers[exchange.echo_name] = exchange.rid
    if exchange.id_header is not None:
        merged = merged_vary(tuple(headers.getall("vary", ())), exchange.id_header)
        if merged is not None:
            headers["vary"] = merged


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
    """Have an application's error handler tell what its handlers do; harmless if done before.

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
        try:
            response = handler(request, exception)
        except BaseException as error:
            if served is not None:
                served.handler_raised(error, is_async=False)
            raise
        if served is None or response is None:
            return response
        if isawaitable(response):
            return _watched_answer(response, served)
        served.answered()
        return response

    return handle


async def _watched_answer(response: Awaitable[Any], served: ServedRequest) -> Any:
    try:
        answer = await response
    except BaseException as error:
        served.handler_raised(error, is_async=True)
        raise
    if answer is not None:
        served.answered()
    return answer


def _watched_log(log: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def watched(request: Any, exception: Any) -> None:
        served = _being_served(request)
        if served is not None and served.is_serving:
            served.report(exception)
        log(request, exception)

    return watched


_SANIC: Final = "sanic"
_BUG: Final = 500


def _is_answer(error: BaseException) -> bool:
    """Return whether an exception is an answer that Sanic gives as it is meant.

    Those are Sanic's own, but for a 500 that Sanic itself raises, where the
    application has not answered, or not as it should.
    """
    if not isinstance(error, SanicException):
        return False
    return error.status_code != _BUG or not _is_raised_by_sanic(error)


def _is_raised_by_sanic(error: BaseException) -> bool:
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = str(traceback.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] == _SANIC


# -- what a request says ----------------------------------------------------------------


def _latin(value: str) -> str:
    """Return a header as the other frameworks do: its bytes are Latin-1 (RFC 9110, 5.5)."""
    return value.encode("utf-8", "surrogateescape").decode("latin-1")


def path_of(request: Any) -> str:
    """Return a request's path, nothing where it cannot be told."""
    try:
        return str(request.path)
    except Exception:
        # A request that could not be read has none.
        return ""


def _querystring(request: Any) -> str | bytes:
    try:
        return bytes(request._parsed_url.query or b"")
    except Exception:
        return ""
