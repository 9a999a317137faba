"""The Sanic extension: endpoints, request ids and summaries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from inspect import isawaitable
from typing import Any, Final, TypeVar

from sanic import Request, Sanic
from sanic.constants import DEFAULT_HTTP_CONTENT_TYPE
from sanic.exceptions import NotFound
from sanic.response import HTTPResponse

from dockerflow import checks
from dockerflow._request.adapter import DeprecatedChecks, headers_of
from dockerflow._request.options import ReloadingOptions
from dockerflow.checks.registry import checks_of, register_owned
from dockerflow.endpoints import (
    NAMES,
    NOT_ALLOWED,
    Endpoints,
    Reply,
    version_failed,
    version_of,
)
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import LOGGER_NAME
from dockerflow.version import VersionFileError, get_version
from mozlog_py.context import request_id_context

from .checks import check_redis_connected
from .request_tracking import observe
from .served_request import Hooks, ServedRequest, choose_request_id

__all__ = ["Dockerflow", "extract_request_id"]

_F = TypeVar("_F", bound=Callable[..., Any])

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Dockerflow(DeprecatedChecks):
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
        live = ReloadingOptions(
            app.config.get, self._policy, names=app.config.keys, where="Sanic's config"
        )
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
                name=f"dockerflow.{name}",
            )
        is_own_hook = type(self).summary_extra is not Dockerflow.summary_extra
        make_fields = self.summary_extra if is_own_hook else None
        observe(app, Hooks(live, self.logger, lambda: self.summary_logger, make_fields))

    # -- what a subclass may change -------------------------------------------

    def summary_extra(self, request: Request) -> dict[str, Any]:
        """Return the fields of a request's summary."""
        served: ServedRequest = request.ctx.dockerflow
        return served.fields()

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
            reply = _as_bytes(reply)
        return _response(reply, request)

    async def _lbheartbeat_view(self, request: Request) -> HTTPResponse:
        reply = await _endpoints(request).answer_async("lbheartbeat", request.method)
        if reply is not NOT_ALLOWED:
            reply = _as_bytes(reply)._replace(body=b"")
        return _response(reply, request)

    async def _heartbeat_view(self, request: Request) -> HTTPResponse:
        return _response(
            await _endpoints(request).answer_async("heartbeat", request.method), request
        )

    async def _error_view(self, request: Request) -> HTTPResponse:
        return _response(await _endpoints(request).answer_async("error", request.method), request)


class _Installation:
    """What belongs to one application."""

    def __init__(self, options: ReloadingOptions, endpoints: Endpoints) -> None:
        self.options = options
        self.endpoints = endpoints


def _as_bytes(reply: Reply) -> Reply:
    """Return a reply with the content type that upstream has for one that is no JSON."""
    headers = {**dict(reply.headers), "Content-Type": DEFAULT_HTTP_CONTENT_TYPE}
    return reply._replace(headers=tuple(headers.items()))


def _endpoints(request: Request) -> Endpoints:
    # Sanic's router takes any number of slashes off a path's end.
    if request.path.endswith("//"):
        raise NotFound
    endpoints: Endpoints = request.app.ctx.dockerflow.endpoints
    return endpoints


def _response(reply: Reply, request: Request) -> HTTPResponse:
    body, headers = headers_of(reply, request.method)
    content_type = headers.pop("Content-Type")
    if request.method != "HEAD":
        # Sanic sets it itself.
        del headers["Content-Length"]
    return HTTPResponse(body, reply.status, headers, content_type)


def extract_request_id(request: Request) -> None:
    """Set the id of a request from its headers: in the logging context and in ``request.ctx``."""
    policy = request.app.ctx.dockerflow.options.now().policy
    request.ctx.id = choose_request_id(request, policy).value
    request_id_context.set(request.ctx.id)
