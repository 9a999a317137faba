"""Request ids, summaries and the four endpoints around any ASGI 3 application.

::

    app = DockerflowASGI(app)

A summary is logged when the last part of the response has been sent, or when
the application ends without one. What is neither ``http`` passes through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from .endpoints import PATHS, Endpoints, Reply
from .middleware import AGENT, IDENTIFYING, LANGUAGE, REQUEST, Middleware, Options
from .summary import RequestSummary

__all__ = ["ASGIExchange", "DockerflowASGI"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class DockerflowASGI(Middleware):
    """Wraps an ASGI 3 application; the parameters are those of ``Middleware``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        exchange = scope.get(REQUEST)
        if exchange is not None and not exchange.is_over:
            # Another layer of ours is further out: it finishes what both began.
            self._join(exchange, scope)
            if self._endpoints is None or not await self._answered(scope, send, self._endpoints):
                await self.app(scope, receive, send)
            return
        exchange = scope[REQUEST] = ASGIExchange()
        exchange.connect(receive, send)
        options = exchange.options = self._options_of(scope)
        request_id = exchange.read(scope, options, self._gives_ids)
        if self._gives_summaries:
            exchange.logger = self._logger
            if options.querystring:
                exchange.querystring = scope.get("query_string", b"")
        exchange.begin(request_id)
        try:
            if (
                self._endpoints is None
                or exchange.path[-2:] != "__"
                or not await self._answered(scope, exchange.send, self._endpoints)
            ):
                # Called as an attribute it would be looked for among the methods first.
                app = self.app
                await app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.finish(error)
            raise
        else:
            if not exchange.is_over:
                exchange.finish()
        finally:
            exchange.leave()

    # A framework whose settings may change has its own of these two.
    def _options_of(self, scope: Scope) -> Options:  # noqa: ARG002
        return self._options

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is not HTTP."""
        await self.app(scope, receive, send)

    def _join(self, exchange: ASGIExchange, scope: Scope) -> None:
        if self._gives_ids and exchange.rid is None:
            exchange.identify(exchange.read(scope, self._options_of(scope), True))
        if self._gives_summaries and exchange.logger is None:
            exchange.logger = self._logger
            if exchange.options.querystring:
                exchange.querystring = scope.get("query_string", b"")

    async def _answered(self, scope: Scope, send: Send, endpoints: Endpoints) -> bool:
        """Answer where an endpoint is asked for, and tell whether it was."""
        name = PATHS.get(within_root(scope["path"], scope.get("root_path", "")))
        if name is None:
            return False
        await send_reply(await endpoints.answer_async(name, scope["method"]), scope, send)
        return True


class ASGIExchange(RequestSummary):
    """One request over ASGI: its summary, and the two channels that tell about it."""

    #: The header of the response that carries the id.
    echo: tuple[bytes, bytes] | None = None
    #: The options of the layer that began.
    options: Options
    _receive: Receive
    _send: Send
    _has_trailers: bool

    # Not __init__(), which is called by way of C and takes four times as long.
    def connect(self, receive: Receive, send: Send) -> None:
        """Take the two channels of the server; comes before everything else."""
        self._receive = receive
        self._send = send
        # What every request asks for is found sooner here than on the class.
        self._has_trailers = False
        self.agent = self.lang = self.uid = ""
        self.echo = self.code = self.logger = self.querystring = self.given = None
        self.is_over = self.has_parts_to_come = False

    def read(self, scope: Scope, options: Options, gives_id: bool) -> str | None:
        """Take what the summary needs from a scope; give the request's id if it is to have one."""
        self.method = scope["method"]
        self.path = scope["path"]
        kinds = options.header_kinds
        is_identified = False
        for name, value in scope["headers"]:
            kind = kinds[name]
            if kind:
                # To look for a codec by its name takes longer than to decode.
                if kind & AGENT:
                    self.agent = value.decode() if value.isascii() else value.decode("latin-1")
                if kind & LANGUAGE:
                    self.lang = value.decode() if value.isascii() else value.decode("latin-1")
                if kind & IDENTIFYING:
                    is_identified = True
        if not gives_id:
            return None
        header = options.header
        if is_identified:
            # Of a header that was sent twice, both count.
            headers = [(name.lower(), value) for name, value in scope["headers"]]
            client = scope.get("client")
            request_id = options.policy.choose(
                [value.decode("latin-1") for name, value in headers if name == header],
                [value.decode("latin-1") for name, value in headers if name == b"traceparent"],
                client[0] if client else None,
            )
        else:
            generate = options.generate
            request_id = generate()
        if options.echoes_all or options.policy.may_echo(request_id):
            self.echo = (header, request_id.encode())
        return request_id

    async def receive(self) -> Message:
        """Receive a message; one may say that the client has gone."""
        receive = self._receive
        message = await receive()
        if message["type"] == "http.disconnect":
            self.is_client_gone = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message; with the last one the request is over."""
        kind = message["type"]
        send = self._send
        try:
            if kind == "http.response.body":
                await send(message)
                if not message.get("more_body") and not self._has_trailers:
                    self.finish()
            elif kind == "http.response.start":
                echo = self.echo
                if echo is not None:
                    headers = [*message.get("headers", ())]
                    name = echo[0]
                    size = len(name)
                    for held, _ in headers:
                        if len(held) == size and held.lower() == name:
                            # The application has its own idea of what to answer.
                            break
                    else:
                        headers.append(echo)
                        message = {**message, "headers": headers}
                await send(message)
                self.code = message["status"]
                self._has_trailers = message.get("trailers", False)
            else:
                await send(message)
                if kind == "http.response.pathsend" or (
                    kind == "http.response.trailers" and not message.get("more_trailers")
                ):
                    self.finish()
        except OSError:
            self.is_client_gone = True
            raise


def within_root(path: str, root: str) -> str:
    """Give a path without what the application is mounted under.

    Servers differ in whether ``path`` has ``root_path`` in front; the ASGI
    specification says it has.
    """
    root = root.rstrip("/")
    return path[len(root) :] if root and path.startswith(root) else path


_BODY: Final = "http.response.body"


async def send_reply(reply: Reply, scope: Scope, send: Send) -> None:
    """Send an endpoint's answer."""
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": _BODY, "body": b"" if scope["method"] == "HEAD" else reply.body})
