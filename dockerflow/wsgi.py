"""Request ids, summaries and the four endpoints around any WSGI application.

::

    application = DockerflowWSGI(application)

Each request has a context of its own, in which the application is called and its body is
iterated: its bindings end with it. A summary is logged when the server closes the body
(PEP 3333).
"""

from __future__ import annotations

import http
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any, Final, TypeVar

from dockerflow._request.client_fault import error_of_server
from dockerflow._request.exchange import REQUEST, Exchange, enclosing_exchange, marked_method
from dockerflow._request.options import Middleware, Options
from dockerflow._request.resolve_id import IdHeaders, resolve_id
from dockerflow._request.vary import with_id
from mozlog_py import context
from mozlog_py._context.brought_ids import put_back
from mozlog_py._fields.late_request_ids import remember_served, served
from mozlog_py._fields.summarised import summarised

from .endpoints import ENDS, Reply, endpoint_of
from .summary import current

__all__ = ["DockerflowWSGI", "WSGIExchange"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], Any]]
_R = TypeVar("_R")

# The key of an environ for the request's id; access logs can format it.
_REQUEST_ID: Final = "mozlog.request_id"
_FILE_WRAPPER: Final = "wsgi.file_wrapper"


class DockerflowWSGI(Middleware):
    """Wraps a WSGI application; the parameters are those of ``Middleware``."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        method = environ.get("REQUEST_METHOD", "")
        outer = enclosing_exchange(environ, method)
        if outer is not None:
            self._join(outer, environ)
            return self._serve(environ, start_response)
        exchange = environ[REQUEST] = WSGIExchange(start_response)
        if self._goes_on_in_caller(environ):
            exchange.context = _CallersContext(exchange)
        # Its identity marks this request, so it must be an object of this request's own.
        method = marked_method(method)
        environ["REQUEST_METHOD"] = exchange.method_mark = exchange.method = method
        try:
            return exchange.context.run(self._begin, exchange, environ)
        finally:
            if served.is_wanted:
                remember_served(
                    exchange.rid,
                    exchange.method,
                    exchange.path,
                    has_summary=summarised.is_wanted and exchange.has_summary_line(),
                )
                if exchange.drawn is not None and not exchange.is_in_process:
                    # The server's access line is logged in its own context.
                    put_back(exchange.drawn)

    # An adapter for a framework whose test client does so overrides it.
    def _goes_on_in_caller(self, environ: Environ) -> bool:  # noqa: ARG002
        """Return whether the caller uses what the request has set in ContextVars."""
        return False

    def _begin(self, exchange: WSGIExchange, environ: Environ) -> Iterable[bytes]:
        exchange.path = wsgi_text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        request_id = self._contribute(exchange, environ)
        exchange.begin(request_id)
        try:
            body = self._serve(environ, exchange.start_response)
            if exchange.is_whole and exchange.is_unchanged(body):
                exchange.finish()
            elif exchange.code is None:
                # The response starts later, or never.
                exchange.wants_websocket = _wants_websocket(environ)
            if not exchange.watches_file(body, environ.get(_FILE_WRAPPER)):
                body = (_SizedBody if hasattr(body, "__len__") else _Body)(exchange, body)
            return body
        except BaseException as error:
            exchange.fail(error, environ)
            raise

    def _read(
        self, exchange: Any, environ: Environ, options: Options, gives_id: bool
    ) -> str | None:
        return read_environ(exchange, environ, options, gives_id)

    def _querystring_of(self, environ: Environ) -> bytes:
        return querystring_of(environ)

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if self._endpoints is not None and path[-2:] in ENDS:
            name = endpoint_of(path)
            if name is not None:
                method = environ["REQUEST_METHOD"]
                return start_reply(self._endpoints.answer(name, method), method, start_response)
        body: Iterable[bytes] = self.app(environ, start_response)
        return body


def read_environ(exchange: Any, environ: Environ, options: Options, gives_id: bool) -> str | None:
    """Read an environ into its exchange; ``Layer._read`` says what that sets."""
    get = environ.get
    exchange.is_read = True
    exchange.agent = get("HTTP_USER_AGENT", "")
    exchange.lang = get("HTTP_ACCEPT_LANGUAGE", "")
    if not gives_id:
        return None
    # A server joins the values of a header that came several times by commas.
    value = get(options.environ_name) or None
    request_id = resolve_id(exchange, environ, options, value, True, id_headers)
    environ[_REQUEST_ID] = request_id
    return request_id


def id_headers(environ: Environ, options: Options) -> IdHeaders:
    """Return the headers of an environ that may be its id."""
    get = environ.get
    value, traceparent = get(options.environ_name), get("HTTP_TRACEPARENT")
    return IdHeaders(
        [value] if value else [], [traceparent] if traceparent else [], get("REMOTE_ADDR")
    )


class _CallersContext:
    """Runs the parts of a request in the context of their caller, in place of one of its own.

    The bindings of the request are restored for each part, and those of the caller after it.

    Args:
        exchange: The request.
    """

    def __init__(self, exchange: WSGIExchange) -> None:
        self._exchange = exchange
        self._has_begun = False
        # leave() keeps the bindings for the next part.
        exchange.is_streaming = True

    def run(self, call: Callable[..., _R], *args: Any) -> _R:
        """Call a function, the first one of which begins the request."""
        exchange = self._exchange
        if self._has_begun:
            exchange.enter()
        self._has_begun = True
        try:
            return call(*args)
        finally:
            exchange.leave()


class WSGIExchange(Exchange):
    """One request over WSGI: its summary, its context, and the calls of its server."""

    #: The header of the response that carries the id.
    echo: tuple[str, str] | None = None
    #: Whether the whole response exists, so that its summary need not wait for its end.
    is_whole: bool = False
    #: The type of a whole body, if a layer inside may replace it or raise; else None.
    body_type: type | None = None
    #: Whether a response that never starts means that the application took over the socket.
    wants_websocket: bool = False
    #: Whether the application has served a WebSocket; its response is not sent then.
    has_served_socket: bool = False
    #: The context to log the summary in, if it differs from the one that the request ends in.
    summary_context: Context | None = None
    is_in_summary_context: bool = False
    #: Whether the server has a part of the body, and so has sent the status (PEP 3333).
    has_sent: bool = False
    _write: Any = None

    def __init__(self, start_response: StartResponse) -> None:
        self.context: Context | _CallersContext = copy_context()
        self._start_response = start_response

    def set_echo(self, options: Options, request_id: str) -> None:
        """Have the response carry the id in the header that the options name."""
        self.echo = (options.echo_name, request_id)

    def adopt_context(self) -> None:
        """Make this the request of a context that it did not begin in."""
        context.restore(self._bindings())
        super().adopt_context()

    def _bindings(self) -> Context:
        """Return a context with the bindings of this request."""
        if current() is not self:
            if isinstance(self.context, Context):
                return self.context
            if self._bound is not None:
                return self._bound
        return context.snapshot()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        """Start the response; with ``exc_info``, in place of one that was started."""
        if self.echo is not None:
            headers = with_id(headers, self.echo, self.id_header, "Vary")
        if exc_info is None:
            self._write = self._start_response(status, headers)
        else:
            try:
                self._write = self._start_response(status, headers, exc_info)
            except BaseException:
                # The headers have been sent, so the status stays the same.
                self.has_sent = True
                raise
        self.code = int(status[:3]) if status[:3].isdecimal() else None
        if _is_beyond_latin_1(status, headers) and callable(self._write):
            # Some servers encode these with the first part of the body, where a summary may be
            # logged already. This has them send or refuse the headers here.
            self.write(b"")
        if self.is_whole and self.body_type is None and not self.is_over and current() is self:
            # The framework's own context still exists for the handlers that log the summary.
            self.finish()
        return self.write

    def is_unchanged(self, body: Any) -> bool:
        """Return whether a body that layers inside have returned is that of the framework."""
        return self.body_type is None or type(body) is self.body_type or hasattr(body, "__len__")

    def write(self, data: bytes) -> Any:
        """Send a part of the body: the callable that ``start_response`` returns."""
        try:
            written = self._write(data)
        except OSError:
            self.has_sent = self.is_client_gone = True
            raise
        # Not before: a server without this callable raises, and answers with 500.
        self.has_sent = self.has_sent or bool(data)
        return written

    def fail(self, error: BaseException, environ: Environ | None = None) -> None:
        """End the request by an exception of the application.

        Args:
            error: The exception.
            environ: The server's environ, if the response has not been returned yet.
        """
        self.attach_id(error)
        if self.code is None and environ is not None and _hands_over_socket(error, environ):
            self.has_served_socket = True
            self.finish()
        elif not self.is_over:
            if not self.has_sent and isinstance(error, Exception) and not self.is_disconnect(error):
                # The status that was started is not sent: the server answers with this one.
                self.code = 500
            self.finish(error)
        elif self.uses_sentry:
            self.report_late(error)

    def watches_file(self, body: Any, wrapper: Any) -> bool:
        """End the request when a body of the server's own class for files is closed.

        The server knows that class by its type and sends the file itself, so the body is not
        wrapped.

        Returns:
            False if the body is not of that class, or cannot be watched.
        """
        if not isinstance(wrapper, type) or not isinstance(body, wrapper):
            return False
        close = getattr(body, "close", None)

        def close_and_finish() -> None:
            try:
                if close is not None:
                    close()
            finally:
                self.finish()

        try:
            vars(body)["close"] = close_and_finish
        except TypeError:
            # It has no attributes of its own: the caller wraps it.
            return False
        return True

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary in the request's own context, wherever the server ends it."""
        if error is None:
            error = self.error
        if self.is_over:
            return
        is_handed_over = self.code is None and self.wants_websocket
        if error is None and (is_handed_over or self.has_served_socket):
            self.method, self.code = "WEBSOCKET", _SWITCHING_PROTOCOLS
        own = self.summary_context
        if own is not None and not self.is_in_summary_context:
            self.is_in_summary_context = True
            own.run(self._finish_in, self._bindings(), error)
            # The context refers to this object: a reference cycle.
            self.summary_context = None
        elif current() is self:
            super().finish(error)
        else:
            self.context.run(super().finish, error)

    def _finish_in(self, bound: Context, error: BaseException | None) -> None:
        # Bindings made since this context was copied belong to the summary as well.
        context.restore(bound)
        super().finish(error)


class _Body:
    """A response's body, iterated in the request's context; closing it ends the request."""

    __slots__ = ("_exchange", "_iterable", "_iterator")

    def __init__(self, exchange: WSGIExchange, iterable: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._iterable = iterable
        self._iterator: Iterator[bytes] = iter(iterable)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            part = self._exchange.context.run(next, self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            self._exchange.fail(error)
            raise
        if part:
            self._exchange.has_sent = True
        return part

    def close(self) -> None:
        """End the request."""
        exchange = self._exchange
        close = getattr(self._iterable, "close", None)
        error = sys.exc_info()[1]
        if error is not None:
            # Without a response, as where the application has taken over the socket, the server
            # complains of that.
            is_of_response = exchange.code is not None and not exchange.is_over
            error = error_of_server(error) if is_of_response else None
        # A server closes a body that it has sent, or whose part has raised. One that cannot send a
        # part has sent the status before.
        exchange.has_sent = exchange.has_sent or error is None
        try:
            if close is not None:
                exchange.context.run(close)
        except BaseException as failure:
            exchange.fail(failure)
            raise
        if error is None:
            exchange.finish()
        else:
            exchange.fail(error)

    def __del__(self) -> None:
        # A caller may drop the body without closing it.
        exchange = getattr(self, "_exchange", None)
        if exchange is not None and not exchange.is_over:
            exchange.finish()


class _SizedBody(_Body):
    """A body that has a length, as the application's own has."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        # eventlet iterates a list twice: to sum the lengths of its parts, and to send them.
        self._iterator = iter(self._iterable)
        return self

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]


def _is_beyond_latin_1(status: str, headers: list[tuple[str, str]]) -> bool:
    """Return whether a status line or a header has a character that PEP 3333 does not allow."""
    try:
        for _, value in headers:
            if not value.isascii():
                value.encode("latin-1")
        if not status.isascii():
            status.encode("latin-1")
    except UnicodeEncodeError:
        return True
    except (AttributeError, TypeError, ValueError):
        # These are no pairs of texts. The server has taken them all the same.
        return False
    return False


# RFC 9110, 15.2.2: the answer of a server whose socket serves another protocol from then on.
_SWITCHING_PROTOCOLS: Final = 101


def _hands_over_socket(error: BaseException, environ: Environ) -> bool:
    """Return whether an exception means that the application has served the socket itself.

    WSGI has no such response. So libraries for WebSockets agree with each server on an
    exception: StopIteration with gunicorn, ConnectionError with Werkzeug's server.
    """
    is_agreed = type(error) is StopIteration or (
        isinstance(error, ConnectionError) and "werkzeug.socket" in environ
    )
    # Without an upgrade to a WebSocket, either is a bug of the application.
    return is_agreed and _wants_websocket(environ)


def _wants_websocket(environ: Environ) -> bool:
    upgrade: str = environ.get("HTTP_UPGRADE", "")
    return upgrade.lower() == "websocket"


def querystring_of(environ: Environ) -> bytes:
    """Return the bytes of a query string, which an environ holds decoded as Latin-1."""
    query: str = environ.get("QUERY_STRING", "")
    return query.encode("latin-1", "backslashreplace")


def wsgi_text(value: str) -> str:
    """Return the text of an environ's value, which is bytes decoded as Latin-1 (PEP 3333)."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return value


def start_reply(reply: Reply, method: str, start_response: StartResponse) -> list[bytes]:
    """Start the response for an endpoint's reply, and return its body."""
    headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
    start_response(status_line(reply.status), headers)
    return [] if method == "HEAD" else [reply.body]


_PHRASES: Final = {each.value: each.phrase for each in http.HTTPStatus}


def status_line(status: int) -> str:
    """Return the status line of a status: the number and its phrase."""
    return f"{status} {_PHRASES.get(status, 'Unknown')}"
