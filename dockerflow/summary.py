"""One request, one summary: each layer fills in what it knows, and it is logged once.

``RequestSummary`` collects what is known of a request. A ContextVar holds it, so that a thread
pool or a sub-task of the request can add fields with ``add_fields``. The cores and the
adapters translate servers and frameworks into ``begin``, ``finish`` and its attributes.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final

from dockerflow._request.client_fault import CLIENT_CLOSED_REQUEST, status_of_client_fault
from dockerflow._request.summary_record import (
    HOOK_RAISED,
    is_standard,
    log_by_methods,
    log_record,
    stands_for,
)
from mozlog_py import context
from mozlog_py._context import brought_ids
from mozlog_py._fields import late_request_ids
from mozlog_py._fields.from_record import EXCLUDED_ATTRIBUTES
from mozlog_py._fields.request_text import MAX_TEXT, capped, shown_query
from mozlog_py._fields.summarised import summarised
from mozlog_py._process.self_log import note
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py.recordless import log_fields

from ._request import sentry

if TYPE_CHECKING:
    from dockerflow._request.options import Options

__all__ = [
    "LOGGER_NAME",
    "MAX_TEXT",
    "RequestSummary",
    "add_fields",
    "current",
    "hand_over",
    "is_cancellation",
    "take_back",
]

#: The logger of summaries, which is the ``Type`` of their lines.
LOGGER_NAME: Final = "request.summary"
#: Measured fields, which an added field of the same name does not replace.
_MEASURED: Final = frozenset({"code", "errno", "method", "rid", "t"})

# The names of the exceptions by which asyncio, trio and a generator's close() cancel.
_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled", "GeneratorExit"})

_logger: Final = logging.getLogger("dockerflow")
_modules: Final = sys.modules
_served: Final = late_request_ids.served
_remember_served: Final = late_request_ids.remember_served
_brought: Final = brought_ids.brought
_put_back: Final = brought_ids.put_back
_set_request_id: Final = context.request_id_context.set
_get_request_id: Final = context.request_id_context.get
_snapshot: Final = context.snapshot
_restore: Final = context.restore
_monotonic_ns: Final = time.monotonic_ns


class RequestSummary:
    """One request: the fields of its summary, and the context that it is served in.

    The layers that serve the request set the attributes, which become the fields of the
    summary. ``logger`` logs the summary; None for no summary.
    """

    method: str = ""
    path: str = ""
    agent: str = ""
    lang: str = ""
    #: The query string as received, percent-encoded; None leaves it out of the summary.
    querystring: str | bytes | None = None
    uid: str | int = ""
    #: The request's id; None if no layer gave it one.
    rid: str | None = None
    #: The status of the response; None until it is sent.
    code: int | None = None
    #: When the request began, in ns of the monotonic clock; None leaves ``t`` out.
    started_ns: int | None = None
    #: When its response was complete, in the same ns; None for when ``finish`` is called.
    ended_ns: int | None = None
    #: An exception that the application did not handle, but that its framework answered.
    error: BaseException | None = None
    #: The status that answers this exception, if it is not a fault of the application.
    status_of_error: int | None = None
    #: Whether the summary of such an exception has its traceback.
    logs_traceback: bool = True
    #: The fields that an application's own hook returned in place of ``fields()``.
    overridden_fields: dict[str, Any] | None = None
    #: An application's own hook that returns such fields when the request ends.
    make_fields: Callable[[], dict[str, Any]] | None = None
    #: Whether the application has ended without the last part of its response.
    is_incomplete: bool = False
    #: Whether the client has disconnected.
    is_client_gone: bool = False
    #: Whether a part of the body is made after ``leave``, for which ``enter`` is called.
    is_streaming: bool = False
    #: Whether the request is over, and its summary logged.
    is_over: bool = False
    logger: Any = None
    #: Whether events of sentry-sdk are made of this request's exceptions, once each.
    uses_sentry: bool = False
    #: The exceptions of which events were made.
    sentry_reports: sentry.RequestReports | None = None

    #: The random number drawn for the request's id, if a processor needs one.
    drawn: brought_ids.Drawn | None = None

    _added: dict[str, Any] | None = None
    #: The context without the bindings of this request and of earlier ones.
    baseline: Context | None = None
    #: Whether the application made the request in-process, while it served another one.
    is_in_process: bool = False
    _before: Context | None = None
    _returned: Context | None = None
    _bound: Context | None = None

    def begin(self, request_id: str | None) -> None:
        """Make this the request of the current context, and its id the id of all lines.

        A server may start a request in the context of the previous one, because an event
        loop calls back in the context that registered the callback. The bindings of the
        previous request are removed. Earlier bindings, and those of an outer layer of this
        request, stay.

        Args:
            request_id: The id; None if no layer has given it one yet.
        """
        former = current()
        self._before = before = _snapshot()
        if former is None or former.baseline is None:
            self.baseline = before
        else:
            self.baseline = former.baseline
            handed_over = _handed_over.get()
            self.is_in_process = handed_over is None
            _restore(former.baseline, handed_over)
            take_back()
        self.rid = request_id
        if _brought.is_wanted:
            self._begin_drawn(former)
        self.started_ns = _monotonic_ns()
        _set_current(self)
        if request_id is not None:
            _set_request_id(request_id)

    def _begin_drawn(self, former: RequestSummary | None = None) -> None:
        """Keep the number that was drawn for the id of this request, if its client sent the id."""
        is_handed_on = former is not None and self.is_in_process and former.rid == self.rid
        if former is not None and is_handed_on and former.drawn is not None:
            # The application has called itself with the id of its own request.
            self.drawn = former.drawn
            _put_back(former.drawn)
        else:
            self.drawn = brought_ids.begin(self.rid)

    def set_request_id(self, request_id: str | None) -> None:
        """Set the id of a request that began without one."""
        self.rid = request_id
        if _brought.is_wanted:
            self._begin_drawn(self._before.get(_current) if self._before else None)
        if request_id is not None:
            _set_request_id(request_id)

    def adopt_context(self) -> None:
        """Make this the request of a context that it did not begin in."""
        _set_current(self)
        self._set_id()

    def _set_id(self, bound: Context | None = None) -> None:
        """Set the id in a context that the request did not begin in.

        Args:
            bound: A snapshot of the request's own context; its id may be the application's.
        """
        if self.drawn is not None:
            _put_back(self.drawn)
        request_id = None if bound is None else bound.get(context.request_id_context)
        if request_id is None:
            request_id = self.rid
        if request_id is not None:
            _set_request_id(request_id)

    def step_out(self) -> Context | None:
        """Leave the request's context while its server works.

        Returns:
            What ``step_in`` takes; None if there is nothing to leave.
        """
        if self.baseline is None or current() is not self:
            return None
        here = _snapshot()
        _set_current(None)
        _restore(self.baseline)
        return here

    def step_in(self, here: Context) -> None:
        """Return to the request's context, which ``step_out`` left."""
        _restore(here)
        _set_current(self)

    def enter(self) -> None:
        """Make this the request of the current context again, for a part of its body.

        The bindings of the request are restored as well.
        """
        bound = self._bound or self._returned
        self._before = _snapshot()
        if bound is not None:
            _restore(bound)
        _set_current(self)
        self._set_id(bound)

    def leave(self) -> None:
        """Restore the context from before ``begin``, if the current context is this request's."""
        before = self._before
        if before is not None and current() is self:
            if self.is_streaming:
                self._bound = _snapshot()
            # That context holds the previous request, if it had one.
            self._before = None
            outer = before.get(_current)
            _set_current(outer)
            if outer is not None and outer.drawn is not None:
                _put_back(outer.drawn)
            elif self.drawn is not None and not _served.is_wanted:
                # No access line needs the number any more.
                _put_back(None)
            if _handed_over.get() is not (handed_over := before.get(_handed_over)):
                _handed_over.set(handed_over)
            _restore(before, self._returned)
            self._returned = None
            if _served.is_wanted:
                has_summary = summarised.is_wanted and self.has_summary_line()
                _remember_served(self.rid, self.method, self.path, has_summary=has_summary)

    def hand_back(self) -> None:
        """Note that outer layers have control now, and that ``leave`` follows later.

        Their changes of bindings until then stay.
        """
        self._returned = _snapshot()

    def leave_to_server(self) -> None:
        """End the request in a task of the server; its last lines keep the request's id."""
        self._before = None
        if current() is self:
            hand_over()

    def has_summary_line(self) -> bool:
        """Return whether the summary is logged, now or when the request is over."""
        logger = self.logger
        # A logger of another kind is not known to write lines.
        return isinstance(logger, logging.Logger) and logger.isEnabledFor(_INFO)

    def add_fields(self, fields: dict[str, Any]) -> bool:
        """Add fields to the summary; they replace its fields of the same names.

        Measured fields are not replaced. A field of such a name, or of a name that every log
        record has, is added as ``extra.<name>``.

        Returns:
            False if the summary has been logged already.
        """
        if self.is_over:
            return False
        # Both calls are atomic, so that threads lose no fields.
        vars(self).setdefault("_added", {}).update(fields)
        return True

    def fields(self) -> dict[str, Any]:
        """Return the fields of the summary as they are now, without those of an exception.

        Where the application has set an id of its own in ``request_id_context``, which its lines
        have then, ``rid`` is that id.
        """
        agent, lang, method, path = self.agent, self.lang, self.method, self.path
        if len(agent) + len(lang) + len(method) + len(path) > MAX_TEXT:
            agent, lang, method, path = map(capped, (agent, lang, method, path))
        request_id: Any = self.rid
        if current() is self:
            # As its lines have it: an empty one counts as none.
            request_id = _get_request_id() or request_id
        fields: dict[str, Any] = {
            "errno": 0,
            "agent": agent,
            "lang": lang,
            "method": method,
            "path": path,
            "uid": self.uid,
            "rid": request_id,
            "code": self.code,
        }
        started_ns = self.started_ns
        if started_ns is not None:
            fields["t"] = self._elapsed_ms(started_ns)
        querystring = self.querystring
        if querystring is not None:
            fields["querystring"] = shown_query(querystring)
        return fields

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary, once. Never raises an ``Exception``.

        Args:
            error: An exception that the application did not handle. One that only says that
                the client has disconnected does not count as an error.
        """
        if self.is_over:
            return
        self.is_over = True
        if self.is_streaming:
            # The bindings refer to this object: a reference cycle.
            self._bound = None
            self.is_streaming = False
        logger = self.logger
        if logger is None:
            self.error = self.make_fields = None
            return
        reporting = None
        try:
            level, message = _INFO, ""
            if error is not None or self.code is None or self.is_incomplete:
                level, message = self._classify(error)
                if level is _INFO:
                    error = None
                elif error is not None and self.uses_sentry:
                    reporting = sentry.Reporting(self, error)
                    reporting.begin()
            overridden = self.overridden_fields
            if self.make_fields is not None:
                overridden = self._made_fields(self.make_fields)
            is_usual = is_standard(logger)
            if is_usual and not logger.isEnabledFor(level):
                return
            fields = self.fields() if overridden is None else self._measured(overridden)
            if is_usual and overridden is None and level is _INFO and self._added is None:
                if log_fields(logger, level, fields):
                    return
            else:
                self._complete(fields, level, error)
            log = log_record if is_usual else log_by_methods
            log(logger, level, message, fields, error if self.logs_traceback else None)
        except Exception as failure:
            # A handler of the application raises, or its logger has no such methods.
            note(f"a request summary was not logged: {type_name(type(failure))}")
        finally:
            if reporting is not None:
                reporting.end()
            # A context may outlive the request, and must not keep these objects alive.
            self.error = self.make_fields = None

    def _made_fields(self, make_fields: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return make_fields()
        except Exception:
            _logger.exception(HOOK_RAISED)
            return None

    def use(self, options: Options) -> None:
        """Apply an application's settings to the summary."""
        self.logs_traceback = options.summary_traceback
        if "sentry_sdk" in _modules and options.sentry:
            sentry.install(current)
            self.uses_sentry = True

    def report_late(self, error: BaseException) -> None:
        """Report an exception that was raised after the summary was logged."""
        if isinstance(error, Exception) and not self.is_disconnect(error):
            sentry.report(self, error)

    def _classify(self, error: BaseException | None) -> tuple[int, str]:
        """Return the level and the message of a request that may have failed."""
        if error is not None and not self.is_disconnect(error):
            status = self.status_of_error
            if status is not None and error is self.error and self.code in (None, status):
                self.code = status
                return _INFO, ""
            if self.code is None:
                # The status that the server answers with.
                self.code = 500
            return _ERROR, _text(error)
        if self.code is None and (self.is_client_gone or error is not None):
            fault = None if error is None else status_of_client_fault(error)
            self.code = fault or CLIENT_CLOSED_REQUEST
        if self.code is None:
            self.code = 500
            return _ERROR, "The application ended without a response"
        if self.is_incomplete and not self.is_client_gone:
            return _ERROR, "The application ended without the end of its response"
        return _INFO, ""

    def _complete(self, fields: dict[str, Any], level: int, error: BaseException | None) -> None:
        """Add the fields that few summaries have."""
        if level is _ERROR:
            fields["errno"] = 500
            if error is not None and not self.logs_traceback:
                fields["error"] = Sanitiser().repr(error)
        if self._added:
            _fill(fields, self._added.copy())

    def _measured(self, overridden: dict[str, Any]) -> dict[str, Any]:
        """Return a hook's fields with those that are known only at the end."""
        fields: dict[str, Any] = {}
        _fill(fields, overridden, frozenset())
        fields["code"] = self.code
        if "t" in fields and self.started_ns is not None:
            fields["t"] = self._elapsed_ms(self.started_ns)
        return fields

    def _elapsed_ms(self, started_ns: int) -> int:
        """Return the milliseconds from the start of the request to the end of its response."""
        return ((self.ended_ns or _monotonic_ns()) - started_ns) // 1_000_000

    def is_disconnect(self, error: BaseException) -> bool:
        """Return whether an exception only says that the client has disconnected or is at fault.

        For a disconnect, servers raise an OSError from send(), frameworks raise exceptions of
        their own, and both cancel the request. A client is at fault if it sends invalid HTTP.
        Any other exception is a bug, and so is a cancellation while the client is connected.
        """
        if self.is_client_gone and (
            isinstance(error, OSError)
            or is_cancellation(error)
            or "Disconnect" in type(error).__name__
        ):
            return True
        return status_of_client_fault(error) is not None


_INFO: Final = logging.INFO
_ERROR: Final = logging.ERROR

_current: Final[ContextVar[RequestSummary | None]] = ContextVar("dockerflow_request", default=None)

_set_current: Final = _current.set

# The context that a request has handed over to its server, None while the application has
# control. It is copied with the contexts that the server starts other work in.
_handed_over: Final[ContextVar[Context | None]] = ContextVar("dockerflow_handed_over", default=None)

#: Returns the summary of the request that is being served here, None outside of one.
current: Final = _current.get


stands_for(RequestSummary.finish)


def _has_summary() -> bool:
    summary = current()
    return summary is not None and summary.has_summary_line()


summarised.has_summary = _has_summary


def hand_over() -> None:
    """Note that the server has control, and may start the next request in this context."""
    _handed_over.set(_snapshot())


def take_back() -> None:
    """Note that the application has control again."""
    _handed_over.set(None)


def add_fields(**fields: Any) -> bool:
    """Add fields to the summary of the request that is being served.

    Works wherever the request's context is current: in its functions, its tasks, and threads
    that run in a copy of it.

    Returns:
        False if there is no request, or if its summary has been logged already.
    """
    summary = _current.get()
    return summary is not None and summary.add_fields(fields)


def is_cancellation(error: BaseException) -> bool:
    """Return whether asyncio, trio or a generator's close() cancels work by this exception."""
    return not isinstance(error, Exception) and type(error).__name__ in _CANCELLATIONS


def _text(error: BaseException) -> str:
    """Return an exception's text, so that it does not parse as a JSON object of fields."""
    members = getattr(error, "exceptions", None)
    while type(members) is tuple and len(members) == 1 and isinstance(members[0], BaseException):
        # A task group of one, in which frameworks stream: its own text has no information.
        error = members[0]
        members = getattr(error, "exceptions", None)
    text = Sanitiser().text_of(error)
    if isinstance(error, SystemExit):
        # Its text is an exit status, "1".
        return (
            f"SystemExit: {text} (the process was told to end; gunicorn ends a worker so "
            "when a request takes longer than its timeout)"
        )
    if is_cancellation(error):
        reason = f": {text}" if text else ""
        return f"{type_name(type(error))}: cancelled while its client was there{reason}"
    return f"{type_name(type(error))}: {text}" if text[:1] == "{" else text


def _fill(
    fields: dict[str, Any], added: dict[str, Any], measured: frozenset[str] = _MEASURED
) -> None:
    taken: set[str] = set()
    for name, value in added.items():
        if name in measured or name in EXCLUDED_ATTRIBUTES:
            taken = taken or {*fields, *added}
            name = unique_key(f"extra.{name}", taken)  # noqa: PLW2901 - as it is kept
            taken.add(name)
        fields[name] = value
