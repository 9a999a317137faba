"""The Sanic extension: endpoints, request ids and summaries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sanic import Request, Sanic
from sanic.constants import DEFAULT_HTTP_CONTENT_TYPE
from sanic.exceptions import NotFound
from sanic.response import HTTPResponse

from dockerflow import checks, version  # noqa: F401 - upstream has both names here
from dockerflow._request.adapter import headers_of, own_hook, upstream_reply
from dockerflow._request.extension import Extension
from dockerflow.endpoints import NAMES, Endpoints
from dockerflow.request_id import RequestIdPolicy
from mozlog_py.context import request_id_context

from .checks import check_redis_connected
from .request_tracking import observe
from .served_request import SanicLayer, ServedRequest, id_headers

__all__ = ["Dockerflow", "extract_request_id"]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Dockerflow(Extension):
    """The extension; one object can serve several applications.

    Args:
        app: The application to install it in; more with ``init_app``.
        redis: An asynchronous Redis client to check.
        silenced_checks: Ids of messages that do not count.
        version_path: The folder of ``version.json``.
        request_id: The policy for ids, by default made of the configuration.

    Raises:
        SettingsError: If the application's configuration is bad.
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
        super().__init__(
            "dockerflow.sanic",
            # Looked up here: tests replace the function in its module.
            read_version=version.get_version,
            version_path=version_path,
            silenced_checks=silenced_checks,
            request_id=request_id,
            own_checks=((check_redis_connected, redis),),
        )
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Sanic[Any, Any]) -> None:
        """Install the extension in an application."""
        installation = self._install(
            app, "Sanic's config", lambda: self._version_callback(self.version_path)
        )
        app.ctx.dockerflow = installation
        for name in NAMES:
            app.add_route(
                getattr(self, f"_{name}_view"),
                f"/__{name}__",
                methods=_METHODS,
                name=f"dockerflow.{name}",
            )
        make_fields = own_hook(self, Dockerflow, "summary_extra")
        observe(app, SanicLayer(self, installation.options, make_fields))

    # -- for a subclass to override -------------------------------------------

    def summary_extra(self, request: Request) -> dict[str, Any]:
        """Return the fields of a request's summary."""
        served: ServedRequest = request.ctx.dockerflow
        return served.fields()

    # -- the endpoints ----------------------------------------------------------

    async def _version_view(self, request: Request) -> HTTPResponse:
        return await _answer("version", request)

    async def _lbheartbeat_view(self, request: Request) -> HTTPResponse:
        return await _answer("lbheartbeat", request)

    async def _heartbeat_view(self, request: Request) -> HTTPResponse:
        return await _answer("heartbeat", request)

    async def _error_view(self, request: Request) -> HTTPResponse:
        return await _answer("error", request)


def _endpoints(request: Request) -> Endpoints:
    # Sanic's router removes any number of slashes from the end of a path.
    if request.path.endswith("//"):
        raise NotFound
    endpoints: Endpoints = request.app.ctx.dockerflow.endpoints
    return endpoints


async def _answer(name: str, request: Request) -> HTTPResponse:
    reply = await _endpoints(request).answer_async(name, request.method)
    reply = upstream_reply(name, reply, DEFAULT_HTTP_CONTENT_TYPE)
    body, headers = headers_of(reply, request.method)
    content_type = headers.pop("Content-Type")
    if request.method != "HEAD":
        # Sanic sets this header itself.
        del headers["Content-Length"]
    return HTTPResponse(body, reply.status, headers, content_type)


def extract_request_id(request: Request) -> None:
    """Set the id of a request from its headers: in the logging context and in ``request.ctx``."""
    options = request.app.ctx.dockerflow.options.now()
    request.ctx.id = options.policy.resolve(*id_headers(request, options)).value
    request_id_context.set(request.ctx.id)
