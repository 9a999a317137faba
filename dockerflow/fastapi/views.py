"""The four endpoints of a FastAPI application.

Settings are read from ``app.state``: ``DOCKERFLOW_*``, and ``APP_DIR``, the folder of
``version.json``. By default that is ``APP_DIR`` of the environment, else ``/app``.
"""

from __future__ import annotations

import logging
from typing import Final

from fastapi import Request, Response

from dockerflow._request.adapter import headers_of
from dockerflow._request.app_state import live_options
from dockerflow._request.rate_limit import RateLimit
from dockerflow.endpoints import Endpoints, application_root
from dockerflow.settings import Settings
from dockerflow.version import get_version

__all__ = ["error", "heartbeat", "lbheartbeat", "version"]

_logger: Final = logging.getLogger(__name__)
# One for the process: the endpoints are made anew for each request.
_error_limit: Final = RateLimit()


def _endpoints(request: Request) -> Endpoints:
    state = request.app.state
    live = live_options(request.app)
    # The tests of services replace get_version in this module.
    return Endpoints(
        settings=live.settings if live else Settings,
        read_version=lambda: get_version(getattr(state, "APP_DIR", None) or application_root()),
        config=state,
        is_debug=lambda: request.app.debug is True,
        logger=_logger,
        error_limit=_error_limit,
    )


async def _answer(name: str, request: Request) -> Response:
    reply = await _endpoints(request).answer_async(name, request.method)
    body, headers = headers_of(reply, request.method)
    return Response(body, reply.status, headers)


async def version(request: Request) -> Response:
    """Return the contents of ``version.json``."""
    return await _answer("version", request)


async def heartbeat(request: Request) -> Response:
    """Return the results of all checks."""
    return await _answer("heartbeat", request)


async def lbheartbeat(request: Request) -> Response:
    """Return a response that says that the process serves."""
    return await _answer("lbheartbeat", request)


async def error(request: Request) -> Response:
    """Raise an exception, to test how errors are reported."""
    return await _answer("error", request)
