"""Request ids, summaries and the four endpoints around any ASGI 3 application.

::

    app = DockerflowASGI(app)

A summary is logged when the last part of the response has been sent, or when the
application ends without one. The summary of an error's response waits for the application's
end: only then it is known whether the error was handled. Other protocols than ``http`` and
``websocket`` pass through unchanged.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from dockerflow._request.cancellation import is_task_cancelled, running_loop
from dockerflow._request.client_fault import status_of_client_fault
from dockerflow._request.exchange import REQUEST, Exchange, enclosing_exchange, marked_method
from dockerflow._request.held_error import watch_held_errors
from dockerflow._request.options import (
    AGENT,
    REQUEST_ID_HEADER,
    TRACEPARENT,
    Middleware,
    MiddlewareOptions,
    Options,
)
from dockerflow._request.resolve_id import IdHeaders, resolve_id
from dockerflow._request.server_task import (
    SERVERS,
    is_called_by_server,
    is_channel_of_server,
    is_server_task,
    package_of,
)
from dockerflow._request.summary_record import has_patched_make_record
from dockerflow._request.vary import with_id
from mozlog_py import context
from mozlog_py._fields.request_text import decoded_header

from .endpoints import ENDS, Endpoints, Reply, endpoint_of
from .request_id import MAX_HEADER
from .summary import hand_over, is_cancellation, take_back

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

__all__ = ["ASGIExchange", "DockerflowASGI"]

has_bound: Final = context.has_bound

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class DockerflowASGI(Middleware):
    """Wraps an ASGI 3 application; the parameters are those of ``Middleware``."""

    def __init__(self, app: Any, **options: Unpack[MiddlewareOptions]) -> None:
        super().__init__(app, **options)
        watch_held_errors()
        # Bindings made while the application is built belong to no request.
        self._server_context: Context = context.snapshot()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind not in _EXCHANGES:
            if kind == "lifespan":
                self._server_context = context.snapshot()
                # The application may have imported that middleware since.
                watch_held_errors()
            await self._serve_other(scope, receive, send)
            return
        method = scope.get("method", "")
        outer = enclosing_exchange(scope, method)
        if outer is not None:
            self._join(outer, scope)
            try:
                if self._endpoints is None or not await self._answered(
                    scope, send, self._endpoints
                ):
                    await self.app(scope, receive, send)
            except Exception as error:
                if not isinstance(outer, ASGIExchange):
                    # The bridge to WSGI answers it, and raises nothing to the outer layers.
                    outer.error = error
                raise
            return
        exchange = scope[REQUEST] = _EXCHANGES[kind]()
        exchange.connect(receive, send)
        exchange.path = scope["path"]
        if method:
            # Its identity marks this request, so it must be an object of this request's own.
            method = marked_method(method)
            scope["method"] = exchange.method_mark = exchange.method = method
        exchange.begin(self._contribute(exchange, scope))
        is_direct = is_channel_of_server(send)
        is_servers = exchange.is_servers = is_direct or is_server_task()
        if is_servers and not is_direct and has_bound() and not is_called_by_server():
            # An outer layer may have made these bindings for this request; the next request must
            # not inherit them.
            exchange.baseline = self._server_context
        try:
            if (
                self._endpoints is None
                or exchange.path[-2:] not in ENDS
                or not await self._answered(scope, exchange.send, self._endpoints)
            ):
                # A call as an attribute searches the class's methods first.
                app = self.app
                await app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.fail(error)
            raise
        else:
            if not exchange.is_over:
                exchange.end()
        finally:
            if is_servers and not exchange.is_in_process:
                exchange.leave_to_server()
            else:
                exchange.leave()

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a protocol other than HTTP and WebSocket."""
        await self.app(scope, receive, send)

    def _read(self, exchange: Any, scope: Scope, options: Options, gives_id: bool) -> str | None:
        exchange.is_read = True
        roles = options.header_roles
        # The id's header; nearly every request has at most one.
        id_value: bytes | None = None
        is_single = True
        for name, value in scope["headers"]:
            role = roles[name]
            if role:
                if role < REQUEST_ID_HEADER:
                    # The lookup of a codec by name takes longer than decoding; long values are cut.
                    is_plain = len(value) <= MAX_HEADER and value.isascii()
                    text = value.decode() if is_plain else decoded_header(value)
                    if role == AGENT:
                        exchange.agent = text
                    else:
                        exchange.lang = text
                elif role == REQUEST_ID_HEADER:
                    if id_value is not None or len(value) > MAX_HEADER:
                        is_single = False
                    id_value = value
        if not gives_id:
            return None
        if id_value is not None and is_single:
            is_single = id_value.isascii()
        sent = id_value.decode() if id_value is not None and is_single else None
        return resolve_id(exchange, scope, options, sent, is_single, _id_headers)

    def _querystring_of(self, scope: Scope) -> bytes:
        querystring: bytes = scope.get("query_string", b"")
        return querystring

    async def _answered(self, scope: Scope, send: Send, endpoints: Endpoints) -> bool:
        """Answer a request for an endpoint; return whether the request is for one."""
        if scope["type"] != "http":
            return False
        name = endpoint_of(within_root(scope["path"], scope.get("root_path", "")))
        if name is None:
            return False
        await send_reply(await endpoints.answer_async(name, scope["method"]), scope, send)
        return True


def _id_headers(scope: Scope, options: Options) -> IdHeaders:
    roles = options.header_roles
    # One character more than the limit, so that the policy sees that a value is too long.
    found = [
        (roles[name], value[: MAX_HEADER + 1].decode("latin-1"))
        for name, value in scope["headers"]
        if roles[name] >= REQUEST_ID_HEADER
    ]
    client = scope.get("client")
    return IdHeaders(
        [value for role, value in found if role == REQUEST_ID_HEADER],
        [value for role, value in found if role == TRACEPARENT],
        client[0] if client else None,
    )


class ASGIExchange(Exchange):
    """One request over ASGI: its summary, and the server's two channels."""

    #: The header of the response that carries the id.
    echo: tuple[bytes, bytes] | None = None
    #: Whether a server made its task, which may serve another request next.
    is_servers: bool
    #: Whether a layer inside holds an exception, and raises it behind the last part.
    is_error_held: bool
    _receive: Receive
    _send: Send
    _has_trailers: bool

    # Not __init__(): the call goes through C and takes four times as long.
    def connect(self, receive: Receive, send: Send) -> None:
        """Set the two channels of the server; comes first."""
        self._receive = receive
        self._send = send
        # Instance attributes are found sooner than class attributes.
        self._has_trailers = False
        self.agent = self.lang = self.uid = ""
        self.echo = self.code = self.logger = self.querystring = self.overridden_fields = (
            self.error
        ) = None
        self.is_over = self.is_streaming = self.is_error_held = False

    def set_echo(self, options: Options, request_id: str) -> None:
        """Have the response carry the id in the header that the options name."""
        self.echo = (options.header, request_id.encode())

    async def receive(self) -> Message:
        """Receive a message, and note that the client has disconnected if it says so."""
        receive = self._receive
        # The server may read the next request here, and serve it in a copy of this context, as
        # uvicorn does. So the context must not be a request's.
        here = self.step_out()
        try:
            message = await receive()
        except OSError as error:
            self._note_if_gone(error)
            raise
        finally:
            if here is not None:
                self.step_in(here)
        if message["type"] == "http.disconnect":
            self.is_client_gone = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message; the last one ends the request."""
        kind = message["type"]
        send = self._send
        try:
            if kind == "http.response.start":
                if self.echo is not None:
                    headers = message.get("headers", ())
                    headers = with_id(headers, self.echo, self.id_header, b"vary")
                    message = {**message, "headers": headers}
                await send(message)
                if not (self.is_client_gone or self._has_server_seen_end()):
                    self.code = message["status"]
                if message.get("trailers"):
                    self._has_trailers = True
            elif (
                kind == "http.response.body"
                and not message.get("more_body")
                and not self._has_trailers
            ) or (kind != "http.response.body" and _is_end(kind, message, self._has_trailers)):
                code = self.code
                is_handled = (
                    code is not None
                    and code < 500
                    and not self.is_error_held
                    and sys.exc_info()[1] is None
                )
                if is_handled and self.error is None and has_patched_make_record():
                    # The record must be made in the current span, which tracers end with this part.
                    self.finish()
                if self.is_servers:
                    # The server may begin the next request of the connection in here.
                    hand_over()
                    try:
                        await send(message)
                    finally:
                        take_back()
                else:
                    await send(message)
                if is_handled or self.error is not None:
                    self.finish(self.error)
                else:
                    # A framework may answer an exception and then raise it again.
                    self.ended_ns = time.monotonic_ns()
            else:
                await send(message)
        except OSError as error:
            self._note_if_gone(error)
            raise

    def _note_if_gone(self, error: OSError) -> None:
        """Note that the client has gone if an error of a channel says so.

        A layer further out has channels of its own, and may raise an error of its own there.
        """
        if (
            not self.is_servers
            or is_channel_of_server(self._send)
            or status_of_client_fault(error) is not None
        ):
            self.is_client_gone = True

    def _has_server_seen_end(self) -> bool:
        """Note and return that the client has gone, where the server sends nothing then.

        uvicorn and hypercorn take the message all the same.
        """
        channel = getattr(self._send, "__self__", None)
        if (
            getattr(channel, "disconnected", False) is True
            or getattr(channel, "closed", False) is True
        ) and package_of(type(channel).__module__) in SERVERS:
            self.is_client_gone = True
        return self.is_client_gone

    def end(self) -> None:
        """End a request whose application has returned without the end of its response."""
        if self.code is not None and self.ended_ns is None and self.error is None:
            if not self.is_client_gone:
                self._ask_for_disconnect()
            self.is_incomplete = True
        self.finish(self.error)

    def fail(self, error: BaseException) -> None:
        """End the request by an exception of the application."""
        self.attach_id(error)
        if not self.is_over:
            if (
                not self.is_client_gone
                and is_cancellation(error)
                and is_task_cancelled() is not False
            ):
                self._ask_for_disconnect()
            self.finish(error)
        elif self.uses_sentry:
            self.report_late(error)

    def _ask_for_disconnect(self) -> None:
        """Ask the server whether the client has disconnected, without waiting.

        Some servers cancel the application then, and hold a message that the application
        did not receive. Only servers on asyncio are asked: trio would later wake a task that
        began to wait and stopped.
        """
        if running_loop() is None:
            return
        here = self.step_out()
        try:
            # The rest of a body may precede that message.
            for _ in range(_MAX_PENDING):
                pending = self._receive().__await__()
                try:
                    next(pending)
                except StopIteration as answered:
                    if answered.value["type"] in _DISCONNECTS:
                        self.is_client_gone = True
                        return
                else:
                    # The server has no message: nothing is known.
                    pending.close()
                    return
        except BaseException:
            # The request is over, and the server refuses another call.
            return
        finally:
            if here is not None:
                self.step_in(here)


class WebSocketExchange(ASGIExchange):
    """One WebSocket connection, from its handshake to its end."""

    method = "WEBSOCKET"
    _is_accepted: bool = False
    _close_code: int | None = None

    async def receive(self) -> Message:
        """Receive a message; the last one has the code that the connection was closed with."""
        message = await super().receive()
        if message["type"] == "websocket.disconnect":
            self.is_client_gone = True
            if self._close_code is None:
                self._close_code = message.get("code") or _NO_STATUS
        return message

    async def send(self, message: Message) -> None:
        """Send a message; the response to the handshake carries the id."""
        kind = message["type"]
        if kind == "websocket.accept":
            self._is_accepted = True
            if self.echo is not None:
                # No cache keeps a handshake's answer.
                headers = with_id(message.get("headers", ()), self.echo, None, b"vary")
                message = {**message, "headers": headers}
        elif kind == "websocket.close":
            if self._is_accepted:
                self._close_code = message.get("code") or _NORMAL_CLOSURE
            else:
                # The ASGI specification has the server answer so.
                self.code = 403
        elif kind == "websocket.http.response.start":
            if self.echo is not None:
                headers = message.get("headers", ())
                headers = with_id(headers, self.echo, self.id_header, b"vary")
                message = {**message, "headers": headers}
            self.code = message["status"]
        send = self._send
        try:
            await send(message)
        except OSError as error:
            self._note_if_gone(error)
            raise

    def end(self) -> None:
        """End a connection whose application has returned."""
        self.finish(self.error)

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary, with the code that the connection was closed with."""
        if self._is_accepted:
            self.code = self._close_code
            if self.code is None:
                is_bug = error is not None and not self.is_disconnect(error)
                # What servers send then (RFC 6455, 7.4.1).
                self.code = _INTERNAL_ERROR if is_bug else _NORMAL_CLOSURE
        super().finish(error)


_EXCHANGES: Final[dict[str, type[ASGIExchange]]] = {
    "http": ASGIExchange,
    "websocket": WebSocketExchange,
}

#: Messages looked through for one that says that the client has gone.
_MAX_PENDING: Final = 64
_DISCONNECTS: Final = frozenset({"http.disconnect", "websocket.disconnect"})

# Close codes of RFC 6455, section 7.4.1.
_NORMAL_CLOSURE: Final = 1000
_NO_STATUS: Final = 1005
_INTERNAL_ERROR: Final = 1011


def _is_end(kind: str, message: Message, has_trailers: bool) -> bool:
    """Return whether a message other than a body's is the last one of a response.

    Args:
        kind: The type of the message.
        message: The message.
        has_trailers: Whether trailers follow the body.
    """
    if kind == "http.response.trailers":
        return not message.get("more_trailers")
    # The extensions by which a server sends a file, whole or as a part of the body.
    return not has_trailers and (
        kind == "http.response.pathsend"
        or (kind == "http.response.zerocopysend" and not message.get("more_body"))
    )


def within_root(path: str, root: str) -> str:
    """Return a path without the path that the application is mounted under.

    By the ASGI specification ``path`` begins with ``root_path``, but not with all servers.
    """
    root = root.rstrip("/")
    return path[len(root) :] if root and path.startswith(root) else path


async def send_reply(reply: Reply, scope: Scope, send: Send) -> None:
    """Send an endpoint's reply as the response."""
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else reply.body
    await send({"type": "http.response.body", "body": body})
