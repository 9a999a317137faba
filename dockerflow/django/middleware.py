"""The Django middleware: endpoints, request ids and summaries, sync and async.

Its three methods ``process_request``, ``process_response`` and
``process_exception`` also work when they are called by hand. Those that a subclass overrides
are called for each request, as by Django's ``MiddlewareMixin``, which upstream's class is made of.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from http.cookies import SimpleCookie
from inspect import isawaitable
from operator import attrgetter
from typing import Any, ClassVar, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.exception import convert_exception_to_response
from django.core.signals import got_request_exception, request_finished
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils.functional import LazyObject, empty

from dockerflow._request.adapter import fill_summary, own_hook, user_id
from dockerflow._request.cancellation import is_task_cancelled
from dockerflow._request.exchange import Exchange, enclosing_exchange
from dockerflow._request.layer import LiveLayer
from dockerflow._request.options import Options
from dockerflow._request.streamed_body import close_in, iterate_async_in, iterate_in
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import LOGGER_NAME, RequestSummary, current, is_cancellation
from dockerflow.wsgi import id_headers, querystring_of, read_environ
from mozlog_py.context import request_id_context

from . import views
from .live_settings import current_options

__all__ = ["DockerflowMiddleware", "extract_request_id"]

_logger: Final = logging.getLogger("dockerflow.django")

_SUMMARY: Final = "_dockerflow_summary"
#: The attribute of a response for the header and the id of the request that it answers.
_ANSWERS: Final = "_dockerflow_answers"
#: The attribute of a request for an exception that other code than Django's has reported.
_REPORTED: Final = "_dockerflow_reported"
#: The attribute of a request while a subclass processes its response: whether it has called ours.
_IS_LOGGED: Final = "_dockerflow_is_logged"
#: Exceptions that Django answers with a status of their own.
_STATUSES: Final = (
    BadRequest,
    Http404,
    MultiPartParserError,
    PermissionDenied,
    SuspiciousOperation,
)
#: Our views on an event loop. They do not block, and so need no thread, which might not be there.
_ON_LOOP: Final = {
    views.heartbeat: views.aheartbeat,
    **{view: view for view in (views.version, views.lbheartbeat, views.error)},
}


class DockerflowMiddleware:
    """Serves the endpoints, gives each request an id, and logs its summary.

    A subclass may set ``viewpatterns`` and ``request_id``, and override ``_build_extra_meta``,
    ``process_request`` and ``process_response``. A ``process_response`` that does not call this
    class's logs no summary.

    Raises:
        SettingsError: If Django's settings are bad.
    """

    sync_capable = True
    async_capable = True

    #: The views that are called before all others, with patterns of their paths.
    viewpatterns: ClassVar[list[tuple[re.Pattern[str], Callable[..., Any]]]] = [
        (re.compile(r"/__version__/?\Z"), views.version),
        (re.compile(r"/__heartbeat__/?\Z"), views.heartbeat),
        (re.compile(r"/__lbheartbeat__/?\Z"), views.lbheartbeat),
        (re.compile(r"/__error__/?\Z"), views.error),
    ]
    #: The policy for ids; None to make it of the settings.
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
        kind = type(self)
        self._has_own_request = kind.process_request is not DockerflowMiddleware.process_request
        self._has_own_response = kind.process_response is not DockerflowMiddleware.process_response
        self._layer = _DjangoLayer()
        self._layer.use_live(self, lambda: current_options().with_policy(self.request_id))
        if self._is_async:
            markcoroutinefunction(self)
        current_options()
        got_request_exception.connect(_remember_exception, dispatch_uid="dockerflow")
        request_finished.connect(_leave, dispatch_uid="dockerflow")

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        if self._is_async:
            return self._serve_async(request)
        summary = self._begin(request, is_served=True)
        if summary is None:
            # Installed twice: the outer middleware serves the request.
            return self.get_response(request)
        try:
            view = self.process_request if self._has_own_request else self._view_of(request)
            response = None
            if view is not None:
                # Django answers what the view raises; its page then has the id as well.
                response = convert_exception_to_response(view)(request)
            if not response:
                response = self.get_response(request)
            if self._has_own_response:
                process = partial(self._call_process_response, response)
                response = convert_exception_to_response(process)(request)
            return self._answered(request, response, summary)
        except BaseException as error:
            if isinstance(summary, DjangoSummary):
                summary.leave_with(error)
            raise

    async def _serve_async(self, request: HttpRequest) -> Any:
        summary = self._begin(request, is_served=True)
        if summary is None:
            return await self.get_response(request)
        try:
            response = None
            if self._has_own_request or self._view_of(request) is not None:
                answer: Any = convert_exception_to_response(self._endpoint_async)
                response = await answer(request)
            if not response:
                response = await self.get_response(request)
            if self._has_own_response:
                # As MiddlewareMixin does it: the method is not a coroutine function.
                process = partial(self._call_process_response, response)
                processing: Any = sync_to_async(
                    convert_exception_to_response(process), thread_sensitive=True
                )
                response = await processing(request)
            return self._answered(request, response, summary)
        except BaseException as error:
            if isinstance(summary, DjangoSummary):
                summary.leave_with(error)
            raise

    # -- by hand, as in upstream ----------------------------------------------

    def process_request(self, request: HttpRequest) -> Any:
        """Begin a request; return the response if it is for an endpoint, else None."""
        self._begin(request)
        return self._endpoint(request)

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        """End a request; ``response`` may be None."""
        summary = getattr(request, _SUMMARY, None)
        if _IS_LOGGED in vars(request):
            # A subclass has called it. The request goes on until its own method has returned.
            vars(request)[_IS_LOGGED] = True
        elif summary is not None:
            response = self._answered(request, response, summary)
            if isinstance(summary, DjangoSummary):
                summary.leave()
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Note an exception of a view, which is an error unless Django answers it."""
        request._has_exception = True  # type: ignore[attr-defined]
        summary = getattr(request, _SUMMARY, None)
        if isinstance(summary, DjangoSummary) and not (
            summary.is_served or isinstance(exception, _STATUSES)
        ):
            # By hand: no handler of Django makes a response.
            summary.code = 500
            self._fill(request, summary)
            summary.finish(exception)

    # -- what a request goes through --------------------------------------------

    def _begin(self, request: HttpRequest, *, is_served: bool = False) -> Any:
        """Begin a request or join it.

        Returns:
            Its summary; None if another middleware of this class has begun the request.
        """
        former = getattr(request, _SUMMARY, None)
        if former is not None and not former.is_over:
            return None
        summary: Any = _enclosing(request)
        if summary is not None:
            self._layer.complete(summary, request)
        else:
            summary = DjangoSummary()
            summary.method, summary.path = request.method or "", request.path
            summary.is_served = is_served
            self._layer.begin(summary, request)
        vars(request).update(
            {_SUMMARY: summary, "_id": summary.rid, "_start_timestamp": time.time()}
        )
        return summary

    def _endpoint(self, request: HttpRequest) -> Any:
        view = self._view_of(request)
        return None if view is None else view(request)

    async def _endpoint_async(self, request: HttpRequest) -> Any:
        if self._has_own_request:
            return await sync_to_async(self.process_request, thread_sensitive=True)(request)
        view: Any = self._view_of(request)
        if view is None:
            return None
        if view not in _ON_LOOP and not iscoroutinefunction(view):
            view = sync_to_async(view, thread_sensitive=True)
        response = _ON_LOOP.get(view, view)(request)
        return await response if isawaitable(response) else response

    def _view_of(self, request: HttpRequest) -> Callable[..., Any] | None:
        path = request.path_info
        for pattern, view in self.viewpatterns:
            if pattern.match(path):
                return view
        return None

    def _call_process_response(self, response: Any, request: HttpRequest) -> Any:
        """Call the ``process_response`` of a subclass; without a call of ours, no summary follows.

        An exception of the method is in the summary in any case.
        """
        attrs, summary = vars(request), getattr(request, _SUMMARY, None)
        attrs[_IS_LOGGED] = False
        try:
            response = self.process_response(request, response)
            if not attrs[_IS_LOGGED] and isinstance(summary, DjangoSummary):
                summary.logger = None
        finally:
            del attrs[_IS_LOGGED]
        return response

    def _answered(self, request: HttpRequest, response: Any, summary: Any) -> Any:
        if summary.is_over:
            return response
        self._fill(request, summary)
        if summary.error is not None:
            _forgive(request, response, summary)
        if not isinstance(summary, DjangoSummary):
            # The layer further out receives the response, and ends the request.
            return response
        summary.code = 200 if response is None else getattr(response, "status_code", None)
        if isinstance(response, HttpResponseBase):
            response = _echoed(response, summary)
        if getattr(response, "streaming", False):
            _watch_stream(response, summary)
        else:
            summary.finish(summary.error)
            summary.hand_back()
            if "scope" in vars(request) and isinstance(response, HttpResponseBase):
                # Under ASGI, Django closes the response outside of the task that has made it.
                response._resource_closers.insert(0, summary.enter_to_close)  # type: ignore[attr-defined]
        return response

    def _fill(self, request: HttpRequest, summary: Any) -> None:
        """Fill the summary with the user's id, or with the fields of a subclass."""
        fill_summary(
            summary,
            _logger,
            request,
            has_start=hasattr(request, "_start_timestamp"),
            read_user_id=_user_id,
            make_fields=own_hook(self, DockerflowMiddleware, "_build_extra_meta"),
        )

    def _build_extra_meta(self, request: HttpRequest) -> dict[str, Any]:
        """Return the fields of a request's summary; a subclass may return others."""
        summary: Any = getattr(request, _SUMMARY, None)
        if summary is None:
            # By hand, and without process_request().
            summary = self._begin(request)
            if isinstance(summary, DjangoSummary):
                summary.leave()
        summary.uid = _user_id(request)
        fields: dict[str, Any] = summary.fields()
        return fields


class _DjangoLayer(LiveLayer):
    """Reads the requests of one middleware."""

    def _read(self, exchange: Any, request: Any, options: Options, gives_id: bool) -> str | None:
        # META is the environ under WSGI; gunicorn's access log reads the id there.
        return read_environ(exchange, request.META, options, gives_id)

    def _querystring_of(self, request: Any) -> str | bytes:
        scope = vars(request).get("scope")
        return querystring_of(request.META) if scope is None else scope.get("query_string", b"")


class DjangoSummary(Exchange):
    """One request in Django."""

    #: Whether the middleware calls ``get_response``, and so sees how the request ends.
    is_served: bool = False

    def enter_to_close(self) -> None:
        """Make this the request of the context that its response is closed in."""
        if current() is not self:
            self.enter()

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary. Django cancels a request's task when its client disconnects."""
        if error is not None and is_cancellation(error) and is_task_cancelled() is not False:
            self.is_client_gone = True
        super().finish(error)


def extract_request_id(request: HttpRequest) -> None:
    """Set the id of a request from its headers: in the logging context and as ``_id``."""
    options = current_options()
    request_id = options.policy.resolve(*id_headers(request.META, options)).value
    request_id_context.set(request_id)
    request._id = request_id  # type: ignore[attr-defined]


def _enclosing(request: HttpRequest) -> RequestSummary | None:
    """Return the exchange of a layer outside of Django, None if there is none."""
    attrs = vars(request)
    holder = attrs.get("scope") or attrs.get("environ") or request.META
    return enclosing_exchange(holder, holder.get("method") or holder.get("REQUEST_METHOD") or "")


def _remember_exception(sender: Any = None, request: Any = None, **kwargs: Any) -> None:  # noqa: ARG001
    """Note an exception of any layer that Django answers as a bug: a signal handler."""
    summary = getattr(request, _SUMMARY, None)
    if summary is not None:
        request._has_exception = True
        summary.error = sys.exc_info()[1]
        # Django sends the signal without a sender, and has the last word.
        vars(request)[_REPORTED] = None if sender is None else summary.error


def _forgive(request: HttpRequest, response: Any, summary: Any) -> None:
    """Forget an exception that other code than Django's has reported and answered below 500.

    Extensions such as Tastypie send Django's signal also for what they answer with 404.
    """
    if (
        vars(request).pop(_REPORTED, None) is summary.error
        and getattr(response, "status_code", 500) < 500
    ):
        summary.error = None


def _leave(**kwargs: Any) -> None:  # noqa: ARG001
    """Leave the request's context after Django's last line: a signal handler."""
    summary = current()
    if type(summary) is DjangoSummary and summary.is_over:
        summary.leave()


def _user_id(request: HttpRequest) -> Any:
    """Return the id of the user if the user is loaded already, else an empty text."""
    user = vars(request).get("user")
    if isinstance(user, LazyObject):
        # An asynchronous view loads the user into another attribute.
        loaded = vars(request).get("_cached_user", vars(request).get("_acached_user"))
        wrapped = vars(user).get("_wrapped", empty)
        user = loaded if wrapped is empty else wrapped
    return "" if user is None else user_id(user, attrgetter("pk"))


def _echoed(response: Any, summary: Any) -> Any:
    """Return a response of one request alone, with the id in its headers.

    A view may return one object for several requests, also for several at a time. The first
    request gets that object, and each other one a copy.
    """
    mark = summary.echo_name, summary.rid
    # One call, so that only one of several threads finds no earlier mark.
    earlier = vars(response).setdefault(_ANSWERS, mark)
    if earlier is not mark:
        # A stream can be read once, and belongs to the last request that it is returned for.
        if not getattr(response, "streaming", False):
            response = _copied(response)
        vars(response)[_ANSWERS] = mark
        name, request_id = earlier
        if name is not None and response.headers.get(name) == request_id:
            del response.headers[name]
    headers = response.headers
    for name, value in summary.echo_headers(headers, (headers.get("Vary", ""),)).items():
        headers[name] = value
    return response


def _copied(response: Any) -> Any:
    """Return a copy of a response, with headers, cookies and closers of its own.

    Other requests may change the response in their threads. Therefore each container is copied in
    one call.
    """
    # copy() goes by what a pickle has, and that lacks the context of a template.
    copied = object.__new__(type(response))
    vars(copied).update(vars(response))
    copied.headers = copy(response.headers)
    copied.headers._store = response.headers._store.copy()
    copied.cookies = SimpleCookie()
    dict.update(copied.cookies, response.cookies)
    copied._resource_closers = []
    for closer in [*response._resource_closers]:
        # Those of other requests stay. What the view has added is of this request.
        if not isinstance(getattr(closer, "__self__", None), (DjangoSummary, HttpRequest)):
            with suppress(ValueError):
                response._resource_closers.remove(closer)
                copied._resource_closers.append(closer)
    copied.closed = False
    return copied


def _watch_stream(response: Any, summary: Exchange) -> None:
    """Make and close the parts of a streaming response in the context of its request.

    The summary is logged when the response is closed. Django logs a line of its own about an error,
    before it asks for the first part: until then, the context stays that of the request.
    """
    summary.is_streaming = True
    if not hasattr(response, "file_to_stream") or response.file_to_stream is None:
        iterate = iterate_async_in if getattr(response, "is_async", False) else iterate_in
        response.streaming_content = iterate(summary, response.streaming_content)
    # One of them closes the view's generator, whose ``finally`` may log.
    closers = [*response._resource_closers]
    response._resource_closers[:] = [lambda: close_in(summary, closers)]
    if response.status_code >= 400 and not summary.is_in_process:
        summary.hand_back()
    else:
        # Django logs nothing, or a view goes on in its own request with the response.
        summary.leave()
