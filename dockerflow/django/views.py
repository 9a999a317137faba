"""The four endpoints as views.

``HEARTBEAT_FAILED_STATUS_CODE``, ``version_callback`` and ``logger`` are attributes of this
module, as upstream's. A test may replace them.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.conf import settings
from django.core.checks.registry import registry as django_check_registry
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.utils.module_loading import import_string

from dockerflow import checks
from dockerflow._request.adapter import HTML, headers_of, heartbeat_signal, upstream_reply
from dockerflow._request.rate_limit import RateLimit
from dockerflow.checks._run.heartbeats import HeartbeatResults
from dockerflow.checks._run.surroundings import Surroundings
from dockerflow.checks.registry import checks_of
from dockerflow.endpoints import NAMES, Endpoints, Reply, application_root
from dockerflow.settings import Settings

from . import connections
from .live_settings import current_settings
from .signals import heartbeat_failed, heartbeat_passed
from .system_check import check_installation

__all__ = ["dockerflow_view", "error", "heartbeat", "lbheartbeat", "version"]

logger = logging.getLogger("dockerflow.django")

# Upstream's names for two settings, as attributes of this module.
_SETTINGS: Final = {
    "HEARTBEAT_FAILED_STATUS_CODE": "heartbeat_failed_status_code",
    "version_callback": "version_callback",
}
# One for the process, which has one project.
_error_limit: Final = RateLimit()
# The values as last read: mock.patch later sets them as attributes, to restore them.
_seen: Final[dict[str, Any]] = {}


def __getattr__(name: str) -> Any:
    setting = _SETTINGS.get(name)
    if setting is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _seen[name] = getattr(current_settings(), setting)
    return value


def _settings() -> Settings:
    """Return the settings, with the values of this module's attributes that a test has set."""
    found = current_settings()
    attrs = globals()
    replaced = {
        setting: attrs[name]
        for name, setting in _SETTINGS.items()
        if name in attrs and attrs[name] != _seen.get(name, attrs)
    }
    return dataclasses.replace(found, **replaced) if replaced else found


def version(request: HttpRequest) -> HttpResponse:
    """Return what ``version.json`` in ``BASE_DIR`` says, or ``DOCKERFLOW_VERSION_CALLBACK``."""
    return _answer("version", request)


# With a transaction around the view (ATOMIC_REQUESTS) the checks would run inside of it.
@transaction.non_atomic_requests
def heartbeat(request: HttpRequest) -> HttpResponse:
    """Return the results of all checks, including Django's own."""
    # In a test, the checks run inside of the test's transaction.
    return _answer("heartbeat", request, in_request=connections.has_transaction())


async def aheartbeat(request: HttpRequest) -> HttpResponse:
    """Return the results of all checks, without blocking the event loop."""
    in_test = await connections.has_transaction_async()
    endpoints = _endpoints(connections.in_async_request(in_transaction=in_test))
    reply = await endpoints.answer_async("heartbeat", _method(request), in_request=in_test)
    return _response(reply, request)


def lbheartbeat(request: HttpRequest) -> HttpResponse:
    """Return a response that says that the process serves."""
    return _answer("lbheartbeat", request)


def error(request: HttpRequest) -> HttpResponse:
    """Raise an exception, to test how errors are reported."""
    return _answer("error", request)


@transaction.non_atomic_requests
def dockerflow_view(request: HttpRequest) -> HttpResponse:
    """Serve the endpoint that the end of the request's path names."""
    named = re.search(r"__([a-z]+)__/?\Z", request.path_info)
    if named is None or named[1] not in NAMES:
        return HttpResponseNotFound()
    view: Callable[[HttpRequest], HttpResponse] = globals()[named[1]]
    return view(request)


for _view in (version, heartbeat, aheartbeat, lbheartbeat, error, dockerflow_view):
    # So that a POST without a token gets 404 or 405, as without the middleware for tokens.
    vars(_view)["csrf_exempt"] = True


def _method(request: HttpRequest) -> str:
    return request.method or "GET"


def _answer(name: str, request: HttpRequest, *, in_request: bool = False) -> HttpResponse:
    reply = _endpoints().answer(name, _method(request), in_request=in_request)
    return _response(upstream_reply(name, reply, HTML), request)


def _response(reply: Reply, request: HttpRequest) -> HttpResponse:
    body, headers = headers_of(reply, _method(request))
    return HttpResponse(body, status=reply.status, headers=headers)


def _endpoints(surroundings: Surroundings = connections.BESIDE_SYNC_REQUEST) -> Endpoints:
    return Endpoints(
        settings=_settings,
        read_version=_read_version,
        find_checks=_find_checks,
        silenced_checks=getattr(settings, "SILENCED_SYSTEM_CHECKS", ()),
        config=settings,
        is_debug=lambda: bool(settings.DEBUG),
        logger=logger,
        surroundings=surroundings,
        error_limit=_error_limit,
        after_heartbeat=_send_signal,
    )


def _read_version() -> Any:
    # Imported at each call: tests replace the function.
    callback = _settings().version_callback
    read = import_string(callback) if isinstance(callback, str) else callback
    return read(getattr(settings, "BASE_DIR", None) or application_root())


def _find_checks() -> Iterator[tuple[str, Callable[..., Any]]]:
    found = django_check_registry.get_checks(include_deployment_checks=not settings.DEBUG)
    each: Any
    for each in sorted(found, key=_name_of):
        # A heartbeat that is asked for is served, also where that check does not see by what.
        if each is not check_installation:
            yield _name_of(each), _as_ours(each)
    yield from checks_of(checks.get_checks(), {})


def _name_of(check: Any) -> str:
    return getattr(check, "__name__", None) or repr(check)


@functools.lru_cache(maxsize=1024)
def _as_ours(check: Any) -> Callable[[], Any]:
    """Return a check of Django's as one of ours: each time the same object, to share its runs."""
    return functools.partial(check, app_configs=None)


def _send_signal(results: HeartbeatResults) -> None:
    signal = heartbeat_signal(results, passed=heartbeat_passed, failed=heartbeat_failed)
    if signal is not None:
        for _, raised in signal.send_robust(sender=heartbeat, level=results.level):
            if isinstance(raised, Exception):
                logger.error("A receiver of a heartbeat signal failed", exc_info=raised)
