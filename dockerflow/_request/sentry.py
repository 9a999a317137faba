"""Report each exception of a request to Sentry once, if the application uses sentry-sdk.

sentry-sdk makes events in several places: an integration of a framework, a middleware,
and every log line from ERROR up. Its own ``DedupeIntegration`` remembers one exception in
one context, and can be disabled. The event processor of this module remembers the
exceptions of each request, whatever the context, and lets the first event of each pass.

The module never imports sentry-sdk: as long as the application has not imported it, each
function returns after one look into ``sys.modules``. Supported is sentry-sdk 2.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime, timezone
from fnmatch import fnmatch
from typing import Any, Final

from mozlog_py import context
from mozlog_py._process.self_log import note
from mozlog_py._process.shared_state import snapshot
from mozlog_py._values.class_lookup import type_name

__all__ = ["Reporting", "RequestReports", "install", "leave_untraced", "report"]

_modules: Final = sys.modules
_monotonic_ns: Final = time.monotonic_ns

#: How many exceptions a request remembers. Builtin exceptions cannot be referred to
#: weakly, so each may keep the frames of its traceback alive.
_MAX_REPORTS: Final = 8
#: How many exceptions of one group are compared.
_MAX_MEMBERS: Final = 100

_TRACEBACK: Final = "Traceback (most recent call last)"
# Sanic logs the exception of a response that has begun twice, here without its traceback.
_SANICS_SECOND_LINE: Final = "The error response will not be sent to the client for"


def install(current: Callable[[], Any]) -> None:
    """Register the event processor, if sentry-sdk is loaded and does not have it yet.

    Args:
        current: Returns the request that is served in the current context, or None. Its
            ``uses_sentry`` says whether this module is concerned with it.
    """
    scopes = _modules.get("sentry_sdk.scope")
    if scopes is None:
        return
    # None while another thread is importing the module.
    processors = getattr(scopes, "global_event_processors", None)
    if processors is None or _processor in processors:
        return
    _processor.current = current
    # In front of DedupeIntegration: it forgets nothing between two requests of a thread,
    # and would drop an exception object that the second one raises again.
    processors.insert(0, _processor)


def report(request: Any, error: BaseException) -> None:
    """Report an exception that is raised after the summary of its request was logged.

    Does nothing if an event has been made of the exception. Never raises an ``Exception``.

    Args:
        request: The request.
        error: The exception that it ended with.
    """
    try:
        if not _reports_of(request).has_seen(error):
            _capture(error)
    except Exception as failure:
        note(f"an exception was not reported to Sentry: {type_name(type(failure))}")


def leave_untraced() -> None:
    """Discard the trace of the HTTP request that is being served.

    Marks the transaction as not sampled, or, if spans are streamed, ends those that are
    open. Events of exceptions are not affected.
    """
    sentry_sdk = _modules.get("sentry_sdk")
    if sentry_sdk is None:
        return
    request = _processor.current()
    if request is not None and request.is_in_process:
        # The trace belongs to the request that has made this one.
        return
    try:
        scope = sentry_sdk.get_current_scope()
        streamed = getattr(scope, "streamed_span", None)
        if streamed is not None:
            _discard_streamed(scope, streamed)
            return
        span = scope.span
        transaction = None if span is None else span.containing_transaction
        # A task or a command that calls the application in-process keeps its trace.
        if transaction is not None and transaction.op == "http.server":
            transaction.sampled = False
    except Exception as failure:
        # Another version of sentry-sdk: the trace is sent.
        note(f"a request's trace was not discarded: {type_name(type(failure))}")


def _discard_streamed(scope: Any, span: Any) -> None:
    segment = span._segment  # noqa: SLF001 - no method returns it
    attributes = segment.get_attributes()
    if attributes.get("sentry.op") != "http.server":
        return
    traces = _modules["sentry_sdk.traces"]
    # sentry-sdk has no call that takes back a streamed span. One that has ended is not
    # sent again, and those that begin below an unsampled span are not sampled.
    ended = datetime.now(timezone.utc)
    while span is not None:
        span._end_timestamp = ended  # noqa: SLF001
        span = getattr(span, "_previous_span_on_scope", None)
    segment._end_timestamp = ended  # noqa: SLF001
    scope.streamed_span = traces.NoOpStreamedSpan(
        trace_id=segment.trace_id, parent_span_id=segment.span_id, parent_sampled=False
    )
    _discard_queued(segment)


def _discard_queued(segment: Any) -> None:
    """Remove the spans that have ended from the queue, for instance those of Django's signals."""
    batcher = _modules["sentry_sdk"].get_client().span_batcher
    with batcher._lock:  # noqa: SLF001 - no method takes spans out
        queued = batcher._span_buffer.get(segment.trace_id)  # noqa: SLF001
        if queued:
            queued[:] = [
                span
                for span in queued
                if span["attributes"].get("sentry.segment.id") != segment.span_id
            ]


class RequestReports:
    """The exceptions of one request of which an event was made."""

    def __init__(self, rid: str | None) -> None:
        #: The id of the request.
        self.rid = rid
        self._reports: deque[_Report] = deque(maxlen=_MAX_REPORTS)

    def add(self, error: BaseException, event_id: Any, scope: Any) -> None:
        """Remember an event that is about to be sent.

        Args:
            error: The exception that the event is about.
            event_id: The id of the event, None if none was made.
            scope: The isolation scope in which the event is sent.
        """
        report = _Report(error, event_id, scope)
        self._reports.append(report)
        if event_id is not None:
            _unconfirmed.append(weakref.ref(report))

    def add_sent(self, error: BaseException, scope: Any) -> None:
        """Remember an exception that another request has sent."""
        report = _Report(error, None, scope)
        report.is_sent = True
        self._reports.append(report)

    def has_seen(self, error: BaseException) -> bool:
        """Return whether the exception is known, sent or not."""
        return self._has(error, snapshot(self._reports))

    def has_sent(self, error: BaseException, since_ns: int = 0) -> bool:
        """Return whether the exception was sent, or is part of a group that was.

        Args:
            error: The exception.
            since_ns: Events before this time of the monotonic clock do not count.
        """
        return self._has(
            error,
            [each for each in snapshot(self._reports) if each.at_ns >= since_ns and each.is_sent],
        )

    @staticmethod
    def _has(error: BaseException, reports: list[_Report]) -> bool:
        known = [ref() for each in reports for ref in each.members]
        return bool(known) and all(
            any(member is each for each in known) for member in _members(error)
        )


class _Report:
    """One event of an exception."""

    def __init__(self, error: BaseException, event_id: Any, scope: Any) -> None:
        self.members = [_reference(member) for member in _members(error)]
        self.at_ns = _monotonic_ns()
        self._event_id = event_id
        self._scope = scope
        #: Whether the event was sent, as far as ``check_sent`` has seen.
        self.is_sent = False

    def check_sent(self) -> bool:
        """Note and return whether the event was sent.

        A later step may drop an event. For instance, ``before_send`` drops the events of the
        logger ``request.summary`` in many services. sentry-sdk shows the result only in the
        last event id of the isolation scope.
        """
        last = getattr(self._scope, "_last_event_id", self._event_id)
        self.is_sent = self.is_sent or last == self._event_id
        return self.is_sent


# Events of all requests of which it is not known whether they were sent. Requests may
# share an isolation scope, so each event is looked at before the next one is sent.
_unconfirmed: Final[deque[weakref.ref[_Report]]] = deque(maxlen=100)


def _confirm() -> None:
    for each in snapshot(_unconfirmed):
        report = each()
        # One that was dropped stays: it may be an event within the other's ``before_send``.
        if report is None or report.check_sent():
            try:
                _unconfirmed.remove(each)
            except ValueError:
                # Another thread has removed it.
                pass


class _ScopeReports:
    """Attaches the reports of a request to an isolation scope, as a processor that does nothing.

    A middleware of sentry-sdk around ours reports the exception when the request has left
    the context, or from another context. The isolation scope is then still the same.
    """

    def __init__(self, scope: Any, reports: RequestReports) -> None:
        self.scope = scope
        self.reports = reports

    def __call__(self, event: Any, hint: Any) -> Any:  # noqa: ARG002
        return event

    @staticmethod
    def of(scope: Any) -> _ScopeReports | None:
        """Return what is attached to a scope; a scope that is forked copies its parent's."""
        for each in getattr(scope, "_event_processors", ()):
            if type(each) is _ScopeReports and each.scope is scope:
                return each
        return None


class _Processor:
    """The global event processor: tags events with ``rid`` and drops repetitions."""

    current: Callable[[], Any] = staticmethod(lambda: None)

    def __call__(self, event: Any, hint: Any) -> Any:
        # sentry-sdk catches an exception of this method, and then sends the event.
        if event.get("type"):
            # A transaction, for instance.
            return event
        _confirm()
        request = self.current()
        if request is not None and not request.uses_sentry:
            return event
        scope = _modules["sentry_sdk"].get_isolation_scope()
        reports = _reports_near(scope) if request is None else _reports_of(request)
        error, is_summary = _subject(event, hint)
        rid = context.request_id_context.get(None) if request is None else request.rid
        if error is None or reports is None:
            return _tagged(event, rid)
        if not reports.has_sent(error) and _was_sent_within(request, error):
            reports.add_sent(error, scope)
        if reports.has_sent(error):
            _attach(scope, reports)
            return None
        if request is not None:
            if not reports.has_seen(error):
                _reset_dedupe()
        elif not reports.has_seen(error):
            # No request: the reports attached to this scope belong to an earlier one.
            return _tagged(event, rid)
        elif rid is None:
            rid = reports.rid
        if is_summary and not _is_complete(event, hint, error):
            return None
        reports.add(error, event.get("event_id"), scope)
        _attach(scope, reports)
        return _tagged(event, rid)


_processor: Final = _Processor()

# The reports of the last request of this context that had any.
_last_reports: Final[ContextVar[RequestReports | None]] = ContextVar(
    "dockerflow_sentry_reports", default=None
)


class Reporting:
    """The time in which the summary of a request that failed is logged.

    The summary's event is then the event of the exception, even if the line has no
    traceback. It is dropped if the exception has been sent already. If log lines make no
    events, and nothing else has made one of the exception, ``end`` does. An application
    that calls ``ignore_logger("request.summary")`` relies on its framework instead.
    """

    def __init__(self, request: Any, error: BaseException) -> None:
        self._request = request
        self.error = error
        #: Whether the summary's event was dropped because it had no exception.
        self.is_awaited = False

    def begin(self) -> None:
        """Treat ERROR lines of the summary's logger as the summary from now on."""
        self._token = _reporting.set(self)

    def end(self) -> None:
        """Report the exception, unless an event was made of it. Never raises an ``Exception``."""
        try:
            _reporting.reset(self._token)
            reports = _reports_of(self._request)
            if self.is_awaited or (not reports.has_seen(self.error) and not self._is_ignored()):
                _capture(self.error)
            if not reports.has_seen(self.error):
                # A middleware of sentry-sdk further out may still report it, with our rid.
                scope = _modules["sentry_sdk"].get_isolation_scope()
                reports.add(self.error, None, scope)
                _attach(scope, reports)
        except Exception as failure:
            note(f"an exception was not reported to Sentry: {type_name(type(failure))}")

    def is_of(self, record: Any) -> bool:
        """Return whether a log record is that of the summary."""
        name = getattr(self._request.logger, "name", None)
        return bool(record.name == name)

    def _is_ignored(self) -> bool:
        """Return whether the application has called ``ignore_logger`` for summaries."""
        integration = _modules.get("sentry_sdk.integrations.logging")
        name = getattr(self._request.logger, "name", "")
        ignored = getattr(integration, "_IGNORED_LOGGERS", ())
        return any(fnmatch(name, pattern) for pattern in ignored)


_reporting: Final[ContextVar[Reporting | None]] = ContextVar(
    "dockerflow_sentry_reporting", default=None
)


def _reports_of(request: Any) -> RequestReports:
    reports = request.sentry_reports
    if reports is None:
        reports = request.sentry_reports = RequestReports(request.rid)
    found: RequestReports = reports
    return found


def _reports_near(scope: Any) -> RequestReports | None:
    attached = _ScopeReports.of(scope)
    return _last_reports.get() if attached is None else attached.reports


def _attach(scope: Any, reports: RequestReports) -> None:
    _last_reports.set(reports)
    attached = _ScopeReports.of(scope)
    if attached is None:
        scope.add_event_processor(_ScopeReports(scope, reports))
    else:
        attached.reports = reports


def _was_sent_within(request: Any, error: BaseException) -> bool:
    """Return whether a request that this one made in-process has sent the exception."""
    last = _last_reports.get()
    if request is None or last is None or last is request.sentry_reports:
        return False
    since_ns = request.started_ns
    return since_ns is not None and last.has_sent(error, since_ns)


def _reset_dedupe() -> None:
    """Have sentry-sdk forget an exception object that another request of this thread raised."""
    dedupe = getattr(_modules.get("sentry_sdk.integrations.dedupe"), "DedupeIntegration", None)
    reset = getattr(dedupe, "reset_last_seen", None)
    if reset is not None:
        reset()


def _subject(event: Any, hint: Any) -> tuple[BaseException | None, bool]:
    """Return the exception that an event is about, and whether the event is a summary's."""
    hint = {} if hint is None else hint
    record = hint.get("log_record")
    summary = None if record is None else _reporting.get()
    if summary is not None and summary.is_of(record):
        return summary.error, True
    exc_info = hint.get("exc_info")
    if exc_info is not None:
        return exc_info[1], False
    error = None if record is None else _rendered_error(record)
    if error is not None and not _completed(event, hint, error):
        return None, False
    return error, False


def _is_complete(event: Any, hint: Any, error: BaseException) -> bool:
    """Mark a summary's event as that of an exception that was not handled.

    Returns:
        False if it has no exception; another event is captured in its place then.
    """
    values = (event.get("exception") or {}).get("values")
    if not values or not hint.get("exc_info"):
        summary = _reporting.get()
        if summary is not None and summary.error is error:
            summary.is_awaited = True
        return False
    values[-1]["mechanism"] = {**(values[-1].get("mechanism") or {}), **_MECHANISM}
    return True


_MECHANISM: Final = {"type": "dockerflow", "handled": False}


def _capture(error: BaseException) -> None:
    sentry_sdk = _modules["sentry_sdk"]
    client = sentry_sdk.get_client()
    if client.is_active():
        event, hint = _modules["sentry_sdk.utils"].event_from_exception(
            error, client_options=client.options, mechanism=dict(_MECHANISM)
        )
        sentry_sdk.capture_event(event, hint=hint)


def _rendered_error(record: Any) -> BaseException | None:
    """Return the exception of a log record that has it in its message only.

    structlog renders an exception before ``logging`` sees the event, or hands over its
    event dict as the message.
    """
    message = record.msg
    if isinstance(message, dict):
        exc_info = message.get("exc_info")
        if isinstance(exc_info, tuple) and len(exc_info) == 3:
            exc_info = exc_info[1]
        if isinstance(exc_info, BaseException):
            return exc_info
        text = f"{message.get('exception', '')}"
        is_rendered = bool(exc_info) or bool(text)
    else:
        text = f"{message}"
        if text.startswith(_SANICS_SECOND_LINE) and record.name == "sanic.root":
            return sys.exc_info()[1]
        is_rendered = _TRACEBACK in text
    handled = sys.exc_info()[1]
    if handled is None or not is_rendered:
        return None
    # An exception that is rendered here need not be the one that is handled.
    return handled if not text or type(handled).__name__ in text else None


def _completed(event: Any, hint: Any, error: BaseException) -> bool:
    """Add to an event the exception that its record has in its message only.

    Returns:
        False if the application ignores exceptions of this kind.
    """
    client = _modules["sentry_sdk"].get_client()
    made, made_hint = _modules["sentry_sdk.utils"].event_from_exception(
        error, client_options=client.options, mechanism={"type": "logging", "handled": True}
    )
    is_ignored = getattr(client, "_is_ignored_error", None)
    if is_ignored is not None and is_ignored(made, made_hint):
        return False
    event["exception"] = made["exception"]
    hint["exc_info"] = made_hint["exc_info"]
    return True


def _tagged(event: Any, rid: str | None) -> Any:
    if rid is not None:
        tags = event.setdefault("tags", {})
        # The application's own tag of this name stays.
        if isinstance(tags, dict):
            tags.setdefault("rid", rid)
    return event


def _members(error: BaseException) -> Iterator[BaseException]:
    """Iterate over an exception itself, or over the exceptions that it wraps.

    Task groups wrap exceptions in a group; Flask hands its own error to the handler of 500.
    A cause is an exception of its own.
    """
    waiting = [error]
    for _ in range(_MAX_MEMBERS):
        if not waiting:
            return
        each = waiting.pop()
        members = getattr(each, "exceptions", None)
        original = getattr(each, "original_exception", None)
        if (
            type(members) is tuple
            and members
            and all(isinstance(one, BaseException) for one in members)
        ):
            waiting.extend(members)
        elif isinstance(original, BaseException) and original is not each:
            waiting.append(original)
        else:
            yield each


def _reference(error: BaseException) -> Callable[[], BaseException | None]:
    try:
        return weakref.ref(error)
    except TypeError:
        # A builtin exception has no weak references.
        return lambda: error
