"""The Sanic extension: endpoints, request ids and summaries.

A connection is one task, and its requests share a context one after the other.
The request middleware begins a request there; Sanic's signals tell how it ended.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable
from inspect import isawaitable
from typing import Any, Final, TypeVar

from sanic import Request, Sanic
from sanic.response import HTTPResponse

from dockerflow import checks
from dockerflow.checks.registry import checks_of, register_owned
from dockerflow.endpoints import (
    NAMES,
    NOT_ALLOWED,
    Endpoints,
    Reply,
    version_failed,
    version_of,
)
from dockerflow.middleware import LiveOptions
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import LOGGER_NAME, RequestSummary, current
from dockerflow.version import VersionFileError, get_version

from .checks import check_redis_connected

__all__ = ["Dockerflow"]

_F = TypeVar("_F", bound=Callable[..., Any])

# Ours begins before other middleware, and sees the response after it.
_FIRST: Final = 1000
# What upstream's answers without JSON claim to be: any bytes.
_BYTES: Final = "application/octet-stream"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Dockerflow:
    """The extension; one object can serve several applications.

    ``redis``: an asynchronous Redis client to check. ``silenced_checks``: ids
    of messages that do not count. ``version_path``: the folder of
    ``version.json``. ``request_id``: the policy for ids, made of the
    configuration by default.

    Raises ``SettingsError`` where the application's configuration is bad.
    """

    def __init__(
        self,
        app: Sanic[Any, Any] | None = None,
        redis: Any = None,
        silenced_checks: Iterable[str] | None = None,
        version_path: str = ".",
        *args: Any,  # noqa: ARG002 - upstream takes them
        request_id: RequestIdPolicy | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        self.logger = logging.getLogger("dockerflow.sanic")
        self.logger.setLevel(logging.INFO)
        #: Where summaries go.
        self.summary_logger: Any = logging.getLogger(LOGGER_NAME)
        self.silenced_checks = silenced_checks or []
        self.version_path = version_path
        self._version_callback: Callable[[str], Any] = get_version
        self._policy = request_id
        #: The checks that count only in heartbeats of this object's applications.
        self._own_checks: dict[str, Callable[..., Any]] = {}
        if redis is not None:
            name, own = register_owned(check_redis_connected, redis)
            self._own_checks[name] = own
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Sanic[Any, Any]) -> None:
        """Install the extension in an application."""
        live = LiveOptions(app.config.get, self._policy)
        app.ctx.dockerflow = _Installation(
            live,
            Endpoints(
                settings=live.settings,
                read_version=lambda: None,
                find_checks=lambda: checks_of(checks.get_checks(), self._own_checks),
                silenced_checks=self.silenced_checks,
                config=app.config,
                is_debug=lambda: bool(app.debug),
                logger=self.logger,
            ),
        )
        for name in NAMES:
            app.add_route(
                getattr(self, f"_{name}_view"),
                f"/__{name}__",
                methods=_METHODS,
                strict_slashes=True,
                name=f"dockerflow.{name}",
            )
        app.register_middleware(self._request_middleware, "request", priority=_FIRST)
        app.register_middleware(self._response_middleware, "response", priority=-_FIRST)
        app.add_signal(self._exception_signal, "http.lifecycle.exception")
        app.add_signal(self._response_signal, "http.lifecycle.response")
        app.add_signal(_connection_signal, "http.lifecycle.complete")

    # -- what Sanic tells ----------------------------------------------------

    def _request_middleware(self, request: Request) -> None:
        ctx = request.ctx
        if hasattr(ctx, "dockerflow") or request.headers.get("upgrade") == "websocket":
            # An exception has the middleware run again.
            return
        former = current()
        if isinstance(former, SanicSummary) and former.connection is request.conn_info:
            # The request before it on this connection was broken off.
            former.finish()
            former.leave()
        options = request.app.ctx.dockerflow.options.now()
        policy = options.policy
        headers = request.headers
        summary = ctx.dockerflow = SanicSummary()
        summary.connection = request.conn_info
        summary.method, summary.path = request.method, _path(request)
        summary.agent = _text(headers.get("user-agent", ""))
        summary.lang = _text(headers.get("accept-language", ""))
        if options.querystring:
            summary.querystring = request.query_string
        summary.logger = self.summary_logger
        summary.begin(
            policy.choose(
                headers.getall(policy.header_name, []),
                headers.getall("traceparent", []),
                request.ip,
            )
        )
        if policy.may_echo(summary.rid or ""):
            summary.echo_name = policy.header_name
        if request.conn_info is not None:
            request.conn_info.ctx.dockerflow = summary
        ctx.id = summary.rid
        ctx.start_timestamp = time.time()
        ctx.logged = False

    def _response_middleware(self, request: Request, response: Any) -> None:
        summary = getattr(request.ctx, "dockerflow", None)
        if summary is not None:
            summary.code = response.status
            if summary.echo_name is not None:
                response.headers.setdefault(summary.echo_name, summary.rid)

    async def _exception_signal(self, request: Any, exception: BaseException) -> None:
        summary = getattr(getattr(request, "ctx", None), "dockerflow", None)
        if summary is not None:
            summary.error = exception
            if summary.code is not None:
                # The response has begun, and no other one comes.
                self._end(request, summary)

    async def _response_signal(self, request: Request, response: Any) -> None:
        summary = getattr(request.ctx, "dockerflow", None)
        if summary is not None:
            if not summary.is_over:
                summary.code = getattr(response, "status", summary.code)
                if summary.code is not None and summary.code < 500:
                    # NotFound and the like, or an exception that has a handler.
                    summary.error = None
                self._end(request, summary)
            summary.leave()

    def _end(self, request: Request, summary: SanicSummary) -> None:
        if not hasattr(request.ctx, "start_timestamp"):
            # Other code may delete it; then nobody knows when the request began.
            summary.started_ns = None
        try:
            if type(self).summary_extra is not Dockerflow.summary_extra:
                summary.given = self.summary_extra(request)
        except Exception:
            self.logger.exception("The fields of a request's summary cannot be told")
        summary.finish(summary.error)
        request.ctx.logged = True

    # -- what a subclass may change -------------------------------------------

    def summary_extra(self, request: Request) -> dict[str, Any]:
        """Give the fields of a request's summary."""
        fields: dict[str, Any] = request.ctx.dockerflow.fields()
        return fields

    def version_callback(self, func: _F) -> _F:
        """Have a function give the version: a decorator. It may be a coroutine function."""
        self._version_callback = func
        return func

    # -- the endpoints ----------------------------------------------------------

    async def _version_view(self, request: Request) -> HTTPResponse:
        reply = _endpoints(request).known("version", request.method)
        if reply is None:
            try:
                found = self._version_callback(self.version_path)
                reply = version_of(await found if isawaitable(found) else found)
            except VersionFileError as failure:
                reply = version_failed(failure, self.logger)
        if reply.status == 404:
            return _response(reply, request, _BYTES)
        return _response(reply, request)

    async def _lbheartbeat_view(self, request: Request) -> HTTPResponse:
        reply = await _endpoints(request).answer_async("lbheartbeat", request.method)
        if reply is NOT_ALLOWED:
            return _response(reply, request)
        return _response(reply._replace(body=b""), request, _BYTES)

    async def _heartbeat_view(self, request: Request) -> HTTPResponse:
        return _response(
            await _endpoints(request).answer_async("heartbeat", request.method), request
        )

    async def _error_view(self, request: Request) -> HTTPResponse:
        return _response(await _endpoints(request).answer_async("error", request.method), request)

    # -- deprecated -----------------------------------------------------------

    @property
    def checks(self) -> dict[str, Callable[..., Any]]:
        """All registered checks; ``dockerflow.checks.get_checks()`` takes its place."""
        _deprecated("Dockerflow.checks", "dockerflow.checks.get_checks()")
        return checks.get_checks()

    def init_check(self, check: Callable[..., Any], obj: Any) -> Any:
        """Register a check of something; ``dockerflow.checks.register_partial`` takes its place."""
        _deprecated("Dockerflow.init_check()", "dockerflow.checks.register_partial()")
        return checks.register_partial(check, obj)

    def check(self, func: Any = None, name: str | None = None) -> Any:
        """Register a check; ``dockerflow.checks.register`` takes its place."""
        _deprecated("Dockerflow.check()", "dockerflow.checks.register()")
        return checks.register(func=func, name=name)


class SanicSummary(RequestSummary):
    """One request in Sanic: its summary, and where it came from."""

    #: The connection's own object, which is the same for all of its requests.
    connection: Any = None
    #: The header in which the response carries the id, None for none.
    echo_name: str | None = None


class _Installation:
    """What belongs to one application."""

    def __init__(self, options: LiveOptions, endpoints: Endpoints) -> None:
        self.options = options
        self.endpoints = endpoints


async def _connection_signal(conn_info: Any, **context: Any) -> None:  # noqa: ARG001
    """End what the client of a connection did not wait for."""
    summary = getattr(getattr(conn_info, "ctx", None), "dockerflow", None)
    if summary is not None and not summary.is_over:
        summary.is_client_gone = True
        summary.finish()


def _text(value: str) -> str:
    """Give a header as the other frameworks do: its bytes are Latin-1 (RFC 9110, 5.5)."""
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("latin-1")


def _path(request: Request) -> str:
    try:
        return str(request.path)
    except Exception:
        # A request that could not be read has none.
        return ""


def _endpoints(request: Request) -> Endpoints:
    endpoints: Endpoints = request.app.ctx.dockerflow.endpoints
    return endpoints


def _response(reply: Reply, request: Request, content_type: str | None = None) -> HTTPResponse:
    headers = dict(reply.headers)
    own_type = headers.pop("Content-Type")
    if request.method == "HEAD":
        headers["Content-Length"] = str(len(reply.body))
    body = b"" if request.method == "HEAD" else reply.body
    return HTTPResponse(body, reply.status, headers, content_type or own_type)


def _deprecated(what: str, instead: str) -> None:
    warnings.warn(f"{what} is deprecated, use {instead}", DeprecationWarning, stacklevel=3)
