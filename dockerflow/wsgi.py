"""Request ids, summaries and the four endpoints around any WSGI application.

::

    application = DockerflowWSGI(application)

Each request has a context of its own, in which the application is called and
its body is iterated: whatever it binds is gone with it. A summary is logged
when the server closes the body (PEP 3333).
"""

from __future__ import annotations

import http
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any, Final

from .endpoints import PATHS, Reply
from .middleware import REQUEST, Middleware, Options
from .summary import RequestSummary, current

__all__ = ["DockerflowWSGI", "WSGIExchange"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], Any]]

_FILE_WRAPPER: Final = "wsgi.file_wrapper"


class DockerflowWSGI(Middleware):
    """Wraps a WSGI application; the parameters are those of ``Middleware``."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        exchange: WSGIExchange | None = environ.get(REQUEST)
        if exchange is not None and not exchange.is_over:
            # Another layer of ours is further out: it finishes what both began.
            self._join(exchange, environ)
            return self._serve(environ, start_response)
        exchange = environ[REQUEST] = WSGIExchange(start_response)
        return exchange.context.run(self._begin, exchange, environ)

    # A framework whose settings may change has its own.
    def _options_of(self, environ: Environ) -> Options:  # noqa: ARG002
        return self._options

    def _begin(self, exchange: WSGIExchange, environ: Environ) -> Iterable[bytes]:
        options = self._options_of(environ)
        request_id = exchange.read(environ, options, self._gives_ids)
        if self._gives_summaries:
            exchange.logger = self._logger
            if options.querystring:
                exchange.querystring = environ.get("QUERY_STRING", "")
        exchange.begin(request_id)
        try:
            body = self._serve(environ, exchange.start_response)
            if exchange.is_whole:
                exchange.finish()
            if not exchange.watches_file(body, environ.get(_FILE_WRAPPER)):
                body = (_SizedBody if hasattr(body, "__len__") else _Body)(exchange, body)
            return body
        except BaseException as error:
            exchange.finish(error)
            raise

    def _join(self, exchange: WSGIExchange, environ: Environ) -> None:
        options = self._options_of(environ)
        if self._gives_ids and exchange.rid is None:
            exchange.identify(exchange.read(environ, options, True))
        if self._gives_summaries and exchange.logger is None:
            exchange.logger = self._logger
            if options.querystring:
                exchange.querystring = environ.get("QUERY_STRING", "")

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path[-2:] == "__" and self._endpoints is not None and path in PATHS:
            method = environ["REQUEST_METHOD"]
            return start_reply(self._endpoints.answer(PATHS[path], method), method, start_response)
        body: Iterable[bytes] = self.app(environ, start_response)
        return body


class WSGIExchange(RequestSummary):
    """One request over WSGI: its summary, its context, and the calls that tell about it."""

    #: The header of the response that carries the id.
    echo: tuple[str, str] | None = None
    #: Whether the response has no parts to come, so that its summary need not wait for them.
    is_whole: bool = False
    _write: Any = None

    def __init__(self, start_response: StartResponse) -> None:
        self.context: Context = copy_context()
        self._start_response = start_response

    def read(self, environ: Environ, options: Options, gives_id: bool) -> str | None:
        """Take what the summary needs from an environ; give the id, if there is to be one."""
        get = environ.get
        self.method = get("REQUEST_METHOD", "")
        self.path = wsgi_text(get("SCRIPT_NAME", "") + get("PATH_INFO", ""))
        self.agent = get("HTTP_USER_AGENT", "")
        self.lang = get("HTTP_ACCEPT_LANGUAGE", "")
        if not gives_id:
            return None
        value, traceparent = get(options.environ_name), get("HTTP_TRACEPARENT")
        if value or traceparent:
            request_id = options.policy.choose(
                [value] if value else [], [traceparent] if traceparent else [], get("REMOTE_ADDR")
            )
        else:
            request_id = options.generate()
        if options.echoes_all or options.policy.may_echo(request_id):
            self.echo = (options.echo_name, request_id)
        return request_id

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        """Start the response; with ``exc_info``, instead of one that was begun."""
        if self.echo is not None:
            headers = self._echoed(headers)
        if exc_info is None:
            self._write = self._start_response(status, headers)
        else:
            # Raises where headers are sent already; the status then stays what it was.
            self._write = self._start_response(status, headers, exc_info)
        self.code = int(status[:3]) if status[:3].isdecimal() else None
        return self.write

    def write(self, data: bytes) -> Any:
        """Send a part of the body, in the old way."""
        try:
            return self._write(data)
        except OSError:
            self.is_client_gone = True
            raise

    def watches_file(self, body: Any, wrapper: Any) -> bool:
        """Have a body of the server's own kind for files tell when it is closed.

        False where it is none. Servers know theirs by its type, and send the
        file by themselves, so that it is not put into another body.
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
            # It has no attributes of its own: it is iterated then.
            return False
        return True

    def _echoed(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        assert self.echo is not None  # noqa: S101 - the caller has looked
        name = self.echo[0].lower()
        for held, _ in headers:
            if held.lower() == name:
                # The application has its own idea of what to answer.
                return headers
        return [*headers, self.echo]

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary in the request's own context, wherever the server ends it."""
        error = error or self.error
        if not self.is_over:
            if current() is self:
                super().finish(error)
            else:
                self.context.run(super().finish, error)


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
            return self._exchange.context.run(next, self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            self._exchange.finish(error)
            raise

    def close(self) -> None:
        """End the request."""
        exchange = self._exchange
        close = getattr(self._iterable, "close", None)
        try:
            if close is not None:
                exchange.context.run(close)
        except BaseException as error:
            exchange.finish(error)
            raise
        exchange.finish()

    def __del__(self) -> None:
        # For who calls an application without closing what it returned.
        exchange = getattr(self, "_exchange", None)
        if exchange is not None and not exchange.is_over:
            exchange.finish()


class _SizedBody(_Body):
    """The same for a body whose length servers may rely on."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        # eventlet adds up the parts of a list before it sends them: from the start each time.
        self._iterator = iter(self._iterable)
        return self

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]


def wsgi_text(value: str) -> str:
    """Give the text of what an environ holds, which is bytes in the guise of Latin-1 (PEP 3333)."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return value


def start_reply(reply: Reply, method: str, start_response: StartResponse) -> list[bytes]:
    """Start the response that an endpoint's answer is, and give its body."""
    headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
    start_response(status_line(reply.status), headers)
    return [] if method == "HEAD" else [reply.body]


def status_line(status: int) -> str:
    """Give the status with its reason."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"
