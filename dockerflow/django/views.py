"""The four endpoints as views."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.conf import settings
from django.core.checks.registry import registry as django_check_registry
from django.db import connections
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.utils.module_loading import import_string

from dockerflow import checks
from dockerflow.endpoints import NAMES, Endpoints, Reply, application_root

from .configuration import current_settings
from .signals import heartbeat_failed, heartbeat_passed

__all__ = ["dockerflow_view", "error", "heartbeat", "lbheartbeat", "version"]

_logger: Final = logging.getLogger("dockerflow.django")


def version(request: HttpRequest) -> HttpResponse:
    """Give what ``version.json`` in ``BASE_DIR`` says, or ``DOCKERFLOW_VERSION_CALLBACK``."""
    return _response(_endpoints().answer("version", _method(request)), request)


def heartbeat(request: HttpRequest) -> HttpResponse:
    """Give the results of all checks, Django's own included."""
    endpoints = _endpoints()
    reply = endpoints.known("heartbeat", _method(request))
    if reply is None:
        reply = _told(endpoints, endpoints.run_checks())
    return _response(reply, request)


async def aheartbeat(request: HttpRequest) -> HttpResponse:
    """Give the same on an event loop, which goes on meanwhile."""
    endpoints = _endpoints()
    reply = endpoints.known("heartbeat", _method(request))
    if reply is None:
        reply = _told(endpoints, await endpoints.run_checks_async())
    return _response(reply, request)


def lbheartbeat(request: HttpRequest) -> HttpResponse:
    """Say that the process serves."""
    reply = _endpoints().answer("lbheartbeat", _method(request))
    if reply.status == 200:
        reply = reply._replace(body=b"")
    response = _response(reply, request)
    if reply.status == 200:
        response["Content-Type"] = "text/html; charset=utf-8"
    return response


def error(request: HttpRequest) -> HttpResponse:
    """Raise an exception, to test how errors are reported."""
    return _response(_endpoints().answer("error", _method(request)), request)


def dockerflow_view(request: HttpRequest) -> HttpResponse:
    """Serve the endpoint that the end of the request's path names."""
    named = re.search(r"__([a-z]+)__/?\Z", request.path_info)
    if named is None or named[1] not in NAMES:
        return HttpResponseNotFound()
    view: Callable[[HttpRequest], HttpResponse] = globals()[named[1]]
    return view(request)


def _method(request: HttpRequest) -> str:
    return request.method or "GET"


def _response(reply: Reply, request: HttpRequest) -> HttpResponse:
    body = b"" if request.method == "HEAD" else reply.body
    response = HttpResponse(body, status=reply.status)
    for name, value in reply.headers:
        response[name] = value
    response["Content-Length"] = str(len(reply.body))
    return response


def _endpoints() -> Endpoints:
    return Endpoints(
        settings=current_settings,
        read_version=_read_version,
        find_checks=_find_checks,
        silenced_checks=getattr(settings, "SILENCED_SYSTEM_CHECKS", ()),
        config=settings,
        is_debug=lambda: bool(settings.DEBUG),
        logger=_logger,
    )


def _read_version() -> Any:
    # By its name at each call: tests replace what is there.
    callback = current_settings().version_callback
    read = import_string(callback) if isinstance(callback, str) else callback
    return read(getattr(settings, "BASE_DIR", None) or application_root())


def _find_checks() -> Iterator[tuple[str, Callable[..., Any]]]:
    found = django_check_registry.get_checks(include_deployment_checks=not settings.DEBUG)
    each: Any
    for each in sorted(found, key=_name_of):
        yield _name_of(each), _as_ours(each)
    yield from checks.get_checks().items()


def _name_of(check: Any) -> str:
    return getattr(check, "__name__", None) or repr(check)


@functools.lru_cache(maxsize=1024)
def _as_ours(check: Any) -> Callable[[], Any]:
    """Give a check of Django's as one of ours; always the same one, so that it runs once."""

    def run() -> Any:
        try:
            return check(app_configs=None)
        finally:
            # It runs in a thread of its own, which has connections of its own.
            connections.close_all()

    return run


def _told(endpoints: Endpoints, results: checks.ChecksResults) -> Reply:
    signal: Signal = heartbeat_failed if results.level >= checks.ERROR else heartbeat_passed
    for _, raised in signal.send_robust(sender=heartbeat, level=results.level):
        if isinstance(raised, Exception):
            _logger.error("A receiver of a heartbeat signal failed", exc_info=raised)
    return endpoints.heartbeat(results)
