"""The Django middleware: endpoints, request ids and summaries, sync and async.

Its three methods ``process_request``, ``process_response`` and
``process_exception`` also work when they are called by hand.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils.functional import LazyObject, empty

from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import LOGGER_NAME, RequestSummary

from . import views
from .configuration import current_options
from .streams import iterated, iterated_async

__all__ = ["DockerflowMiddleware"]

_SUMMARY: Final = "_dockerflow_summary"
#: Exceptions that Django answers with a status of their own.
_STATUSES: Final = (
    BadRequest,
    Http404,
    MultiPartParserError,
    PermissionDenied,
    SuspiciousOperation,
)
_OURS: Final = frozenset({views.version, views.lbheartbeat, views.error})


class DockerflowMiddleware:
    """Serves the endpoints, gives each request an id, and logs its summary.

    Raises ``SettingsError`` where Django's settings are bad. A subclass may
    set ``viewpatterns``, ``request_id`` (a policy, where settings do not
    suffice), and override ``_build_extra_meta``.
    """

    sync_capable = True
    async_capable = True

    #: What is served before anything else: a pattern of the path, and its view.
    viewpatterns: ClassVar[list[tuple[re.Pattern[str], Callable[..., Any]]]] = [
        (re.compile(r"/__version__\Z"), views.version),
        (re.compile(r"/__heartbeat__\Z"), views.heartbeat),
        (re.compile(r"/__lbheartbeat__\Z"), views.lbheartbeat),
        (re.compile(r"/__error__\Z"), views.error),
    ]
    #: How ids are found; None has the settings say it.
    request_id: RequestIdPolicy | None = None

    def __init__(
        self,
        get_response: Callable[..., Any] | None = None,
        *args: Any,  # noqa: ARG002 - upstream takes them
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        self.get_response: Any = get_response
        #: Where summaries go.
        self.summary_logger: Any = logging.getLogger(LOGGER_NAME)
        self._is_async = get_response is not None and iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        current_options()
        got_request_exception.connect(_remember_exception, dispatch_uid="dockerflow")

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        if self._is_async:
            return self._serve_async(request)
        summary = self._begin(request)
        if summary is None:
            # Installed twice: the outer one takes care of it.
            return self.get_response(request)
        try:
            response = self._endpoint(request) or self.get_response(request)
            return self._answered(request, response, summary)
        except BaseException as error:
            summary.finish(error)
            raise
        finally:
            summary.leave()

    async def _serve_async(self, request: HttpRequest) -> Any:
        summary = self._begin(request)
        if summary is None:
            return await self.get_response(request)
        try:
            response = await self._endpoint_async(request)
            if response is None:
                response = await self.get_response(request)
            return self._answered(request, response, summary)
        except BaseException as error:
            summary.finish(error)
            raise
        finally:
            summary.leave()

    # -- by hand, as in upstream ----------------------------------------------

    def process_request(self, request: HttpRequest) -> Any:
        """Begin a request; give the response where it is for an endpoint."""
        self._begin(request)
        return self._endpoint(request)

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        """End a request; ``response`` may be None."""
        summary = getattr(request, _SUMMARY, None)
        if summary is not None:
            if response is not None:
                response = self._answered(request, response, summary)
            elif not summary.is_over:
                summary.code = 200
                self._complete(request, summary)
                summary.finish()
            summary.leave()
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Note what a view raised; unless a response is made of it, that is an error."""
        request._has_exception = True  # type: ignore[attr-defined]
        summary = getattr(request, _SUMMARY, None)
        if summary is not None and not summary.is_served and not isinstance(exception, _STATUSES):
            # By hand: nobody else will tell how it ended.
            summary.code = 500
            self._complete(request, summary)
            summary.finish(exception)

    # -- what a request goes through --------------------------------------------

    def _begin(self, request: HttpRequest) -> DjangoSummary | None:
        held = getattr(request, _SUMMARY, None)
        if held is not None and not held.is_over:
            return None
        options = current_options()
        policy = self.request_id or options.policy
        meta = request.META
        environ_name = options.environ_name
        if self.request_id is not None:
            environ_name = f"HTTP_{policy.header_name.upper().replace('-', '_')}"
        value, traceparent = meta.get(environ_name), meta.get("HTTP_TRACEPARENT")
        summary = DjangoSummary()
        summary.method, summary.path = request.method or "", request.path
        summary.agent = meta.get("HTTP_USER_AGENT", "")
        summary.lang = meta.get("HTTP_ACCEPT_LANGUAGE", "")
        if options.querystring:
            summary.querystring = _query_string(meta.get("QUERY_STRING", ""))
        summary.logger = self.summary_logger
        summary.begin(
            policy.choose(
                [value] if value else [],
                [traceparent] if traceparent else [],
                meta.get("REMOTE_ADDR"),
            )
        )
        if policy.may_echo(summary.rid or ""):
            summary.echo_name = policy.header_name
        summary.is_served = self.get_response is not None
        vars(request).update(
            {_SUMMARY: summary, "_id": summary.rid, "_start_timestamp": time.time()}
        )
        return summary

    def _endpoint(self, request: HttpRequest) -> Any:
        for pattern, view in self.viewpatterns:
            if pattern.match(request.path_info):
                return view(request)
        return None

    async def _endpoint_async(self, request: HttpRequest) -> Any:
        for pattern, view in self.viewpatterns:
            if pattern.match(request.path_info):
                if view is views.heartbeat:
                    return await views.aheartbeat(request)
                if view in _OURS:
                    # They block nothing, and need no thread, which might not come.
                    return view(request)
                if inspect.iscoroutinefunction(view):
                    return await view(request)
                return await sync_to_async(view, thread_sensitive=True)(request)
        return None

    def _answered(self, request: HttpRequest, response: Any, summary: DjangoSummary) -> Any:
        if summary.is_over:
            return response
        summary.code = getattr(response, "status_code", None)
        self._complete(request, summary)
        if (
            summary.echo_name is not None
            and summary.rid is not None
            and isinstance(response, HttpResponseBase)
        ):
            response.headers.setdefault(summary.echo_name, summary.rid)
        if not getattr(response, "streaming", False):
            summary.finish(summary.error)
            return response
        summary.has_parts_to_come = True
        wrap = iterated_async if getattr(response, "is_async", False) else iterated
        if not hasattr(response, "file_to_stream") or response.file_to_stream is None:
            response.streaming_content = wrap(response.streaming_content, summary)
        response._resource_closers.append(lambda: summary.finish(summary.error))
        return response

    def _complete(self, request: HttpRequest, summary: DjangoSummary) -> None:
        """Take in what the summary says of the user, and what a subclass adds."""
        if not hasattr(request, "_start_timestamp"):
            # Other middleware may delete it; then nobody knows when the request began.
            summary.started_ns = None
        try:
            if type(self)._build_extra_meta is DockerflowMiddleware._build_extra_meta:
                summary.uid = _user_id(request)
            else:
                summary.given = self._build_extra_meta(request)
        except Exception:
            logging.getLogger("dockerflow.django").exception(
                "The fields of a request's summary cannot be told"
            )

    def _build_extra_meta(self, request: HttpRequest) -> dict[str, Any]:
        """Give the fields of a request's summary."""
        summary: Any = getattr(request, _SUMMARY, None)
        if summary is None:
            # By hand, and without process_request().
            summary = self._begin(request)
            summary.leave()
        summary.uid = _user_id(request)
        fields: dict[str, Any] = summary.fields()
        return fields


class DjangoSummary(RequestSummary):
    """One request in Django: its summary, and what the middleware is to do in the end."""

    #: The header in which the response carries the id, None for none.
    echo_name: str | None = None
    #: Whether the middleware itself has the response made, and knows how that ends.
    is_served: bool = False


def _remember_exception(request: Any = None, **kwargs: Any) -> None:  # noqa: ARG001
    """Note an exception that becomes Django's answer to a bug, whoever raised it."""
    summary = getattr(request, _SUMMARY, None)
    if summary is not None:
        request._has_exception = True
        summary.error = sys.exc_info()[1]


def _user_id(request: HttpRequest) -> Any:
    """Give the id of the user, if one is loaded; this loads none."""
    try:
        user = vars(request).get("user")
        if isinstance(user, LazyObject):
            # An asynchronous view loads it elsewhere.
            loaded = vars(request).get("_cached_user", vars(request).get("_acached_user"))
            wrapped = vars(user).get("_wrapped", empty)
            user = loaded if wrapped is empty else wrapped
        if user is None:
            return ""
        is_authenticated = user.is_authenticated
        if not (is_authenticated() if callable(is_authenticated) else is_authenticated):
            return ""
        found = user.pk
        if found is None:
            return ""
        return found if type(found) in (int, str) else str(found)
    except Exception:
        # A database that is away, an attribute that is not there: the request goes on.
        return ""


def _query_string(raw: str) -> bytes:
    """Give the bytes of what an environ holds in the guise of Latin-1."""
    return raw.encode("latin-1", "backslashreplace")
