"""One request, one summary: begun, filled in by each layer that knows a fact, logged once.

``RequestSummary`` is the cell that everything about a request is gathered in.
One ContextVar holds it, so that a thread pool or a sub-task of the request can
add to it with ``add_fields``. Servers and frameworks are translated elsewhere,
into ``begin``, ``finish`` and the attributes of the cell.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final

from dockerflow._request.client_fault import CLIENT_CLOSED_REQUEST, status_of_client_fault
from dockerflow._request.summary_record import is_standard, log, make_record, stands_for
from mozlog_py import context
from mozlog_py._context import brought_ids
from mozlog_py._fields import late_request_ids
from mozlog_py._fields.from_record import EXCLUDED_ATTRIBUTES
from mozlog_py._fields.request_text import MAX_TEXT, capped, shown_query
from mozlog_py._process.self_log import note
from mozlog_py._values.sanitiser import Sanitiser, type_name, unique_key
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
#: What is measured, and therefore not replaced by a field of that name.
_MEASURED: Final = frozenset({"code", "errno", "method", "rid", "t"})

# How cancellation is called by asyncio and trio, and in a generator that is closed.
_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled", "GeneratorExit"})

# The fields of every summary, in their order.
_FIELDS: Final = ("errno", "agent", "lang", "method", "path", "uid", "rid", "code", "t")

_logger: Final = logging.getLogger("dockerflow")
_modules: Final = sys.modules
_served: Final = late_request_ids.served
_remember_served: Final = late_request_ids.remember_served
_brought: Final = brought_ids.brought
_put_back: Final = brought_ids.put_back
_set_request_id: Final = context.request_id_context.set
_snapshot: Final = context.snapshot
_restore: Final = context.restore
_monotonic_ns: Final = time.monotonic_ns


class RequestSummary:
    """What is known of one request, and the one summary that is made of it.

    The attributes stand for the fields of the summary; the layer that serves the
    request sets them. ``logger`` is where the summary goes; None asks for none.
    """

    method: str = ""
    path: str = ""
    agent: str = ""
    lang: str = ""
    #: The query string as it came, percent-encoded; None keeps it out of the summary.
    querystring: str | bytes | None = None
    uid: str | int = ""
    #: The request's id; None where no layer gave it one.
    rid: str | None = None
    #: The status of the response, as soon as one was sent.
    code: int | None = None
    #: When the request began, in nanoseconds of the monotonic clock; None leaves ``t`` out.
    started_ns: int | None = None
    #: When its response was complete, where that was before ``finish``.
    ended_ns: int | None = None
    #: The exception that the application did not handle, where its framework answered it.
    error: BaseException | None = None
    #: The status below 500 that this exception stands for, if it is an answer itself.
    status_of_error: int | None = None
    #: Whether the summary of such an exception has its traceback.
    logs_traceback: bool = True
    #: The fields that an application's own hook gave in place of ``fields``.
    given: dict[str, Any] | None = None
    #: An application's own hook that returns such fields when the request ends.
    make_fields: Callable[[], dict[str, Any]] | None = None
    #: Whether the application has ended without the last part of its response.
    is_incomplete: bool = False
    #: Whether the client is known to have gone.
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

    #: What was drawn for the request's id, where anything asks for that.
    drawn: brought_ids.Drawn | None = None

    _added: dict[str, Any] | None = None
    #: The context without what this request and those before it have bound.
    baseline: Context | None = None
    #: Whether the application made the request itself, while it served another one.
    is_in_process: bool = False
    _before: Context | None = None
    _returned: Context | None = None
    _bound: Context | None = None

    def begin(self, request_id: str | None) -> None:
        """Make this the request of the current context, and its id that of all lines.

        A server may start a request in the context of the one before it: an event
        loop calls back in the context in which it was asked to. What that one has
        bound is taken out; what was there before it, and what an outer layer of
        this request has bound, stays.
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
        """Keep what was drawn for the id of this request, if its client has brought it."""
        is_handed_on = former is not None and self.is_in_process and former.rid == self.rid
        if former is not None and is_handed_on and former.drawn is not None:
            # The application has called itself with its own request's id.
            self.drawn = former.drawn
            _put_back(former.drawn)
        else:
            self.drawn = brought_ids.begin(self.rid)

    def set_request_id(self, request_id: str | None) -> None:
        """Set the id of a request that began without one."""
        self.rid = request_id
        if _brought.is_wanted:
            self._begin_drawn()
        if request_id is not None:
            _set_request_id(request_id)

    def adopt_context(self) -> None:
        """Make this the request of a context that it did not begin in."""
        _set_current(self)
        self._set_id()

    def _set_id(self) -> None:
        """Set the id in a context that the request did not begin in."""
        if self.drawn is not None:
            _put_back(self.drawn)
        if self.rid is not None:
            _set_request_id(self.rid)

    def step_out(self) -> Context | None:
        """Leave the request's context while its server is at work; return what to step in with."""
        if self.baseline is None or current() is not self:
            return None
        here = _snapshot()
        _set_current(None)
        _restore(self.baseline)
        return here

    def step_in(self, here: Context) -> None:
        """Come back to the request's context."""
        _restore(here)
        _set_current(self)

    def enter(self) -> None:
        """Make this the request of the current context again, for a part of its body.

        What the request itself has bound is there as well.
        """
        bound = self._bound or self._returned
        self._before = _snapshot()
        if bound is not None:
            _restore(bound)
        _set_current(self)
        self._set_id()

    def leave(self) -> None:
        """Make the context what it was before ``begin``; not in another one's context."""
        before = self._before
        if before is not None and current() is self:
            if self.is_streaming:
                self._bound = _snapshot()
            # It holds the request before this one, where that was in the context.
            self._before = None
            outer = before.get(_current)
            _set_current(outer)
            if outer is not None and outer.drawn is not None:
                _put_back(outer.drawn)
            elif self.drawn is not None and not _served.is_wanted:
                # No access line needs it any more.
                _put_back(None)
            if _handed_over.get() is not (handed_over := before.get(_handed_over)):
                _handed_over.set(handed_over)
            _restore(before, self._returned)
            self._returned = None
            if _served.is_wanted:
                _remember_served(self.rid, self.method, self.path)

    def hand_back(self) -> None:
        """Say that the layers further out have control, and that ``leave`` comes later.

        What they bind and unbind until then stays as they have made it.
        """
        self._returned = _snapshot()

    def leave_to_server(self) -> None:
        """End the request in a task of the server's, whose last lines keep the request's id."""
        self._before = None
        if current() is self:
            hand_over()

    def add_fields(self, fields: dict[str, Any]) -> bool:
        """Add fields to the summary; False where it is logged already.

        They replace fields of the summary, but those that are measured. Those,
        and names that belong to every log record, are kept as ``extra.<name>``.
        """
        if self.is_over:
            return False
        # Each is one step, so that threads do not lose each other's.
        vars(self).setdefault("_added", {}).update(fields)
        return True

    def fields(self) -> dict[str, Any]:
        """Give the fields of the summary as they are now; all but an exception's."""
        fields: dict[str, Any] = {}
        self._fill(fields)
        return fields

    def _fill(self, fields: dict[str, Any]) -> None:
        agent, lang, method, path = self.agent, self.lang, self.method, self.path
        if len(agent) + len(lang) + len(method) + len(path) > MAX_TEXT:
            agent, lang, method, path = map(capped, (agent, lang, method, path))
        # Those of _FIELDS, in their order.
        fields["errno"] = 0
        fields["agent"] = agent
        fields["lang"] = lang
        fields["method"] = method
        fields["path"] = path
        fields["uid"] = self.uid
        fields["rid"] = self.rid
        fields["code"] = self.code
        started_ns = self.started_ns
        if started_ns is not None:
            fields["t"] = ((self.ended_ns or _monotonic_ns()) - started_ns) // 1_000_000
        else:
            fields.pop("t", None)
        querystring = self.querystring
        if querystring is not None:
            fields["querystring"] = shown_query(querystring)

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary, if that is not done yet. Never raises an ``Exception``.

        Args:
            error: What the application raised and did not handle. That the client
                has gone, and how a framework says so, is no error.
        """
        if self.is_over:
            return
        self.is_over = True
        if self.is_streaming:
            # What was bound refers to this object in turn.
            self._bound = None
            self.is_streaming = False
        logger = self.logger
        if logger is None:
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
            given = self.given
            if self.make_fields is not None:
                given = self._made_fields(self.make_fields)
            if given is not None or not is_standard(logger):
                fields = self.fields() if given is None else self._measured(given)
                self._complete(fields, level, error)
                log(logger, level, message, fields, error if self.logs_traceback else None)
                return
            if not logger.isEnabledFor(level):
                return
            if level is _INFO and self._added is None:
                fields = {}
                self._fill(fields)
                if log_fields(logger, level, fields):
                    return
            # As Logger.info() does it, without looking for the caller, which is this line.
            record = make_record(logger.name, level, message, _FIELDS)
            fields = record.__dict__
            self._fill(fields)
            if level is not _INFO or self._added is not None:
                self._complete(fields, level, error)
                if error is not None and self.logs_traceback:
                    record.exc_info = type(error), error, error.__traceback__
            logger.handle(record)
        except Exception as failure:
            # A handler of the application's own, or a logger that is none.
            note(f"a request summary was not logged: {type_name(type(failure))}")
        finally:
            if reporting is not None:
                reporting.end()
            # A context that outlives the request must not keep what the request has used.
            self.error = self.make_fields = None

    def _made_fields(self, make_fields: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return make_fields()
        except Exception:
            _logger.exception("The fields of a request's summary cannot be told")
            return None

    def use(self, options: Options) -> None:
        """Have the summary made as an application's settings say."""
        self.logs_traceback = options.summary_traceback
        if "sentry_sdk" in _modules and options.sentry:
            sentry.install(current)
            self.uses_sentry = True

    def report_late(self, error: BaseException) -> None:
        """Report an exception that was raised after the summary was logged."""
        if isinstance(error, Exception) and not self._is_clients_doing(error):
            sentry.report(self, error)

    def _classify(self, error: BaseException | None) -> tuple[int, str]:
        """Return the level and the message of a request that did not end as it should."""
        if error is not None and not self._is_clients_doing(error):
            status = self.status_of_error
            if status is not None and error is self.error and self.code in (None, status):
                self.code = status
                return _INFO, ""
            if self.code is None:
                # What the server answers, which is further out.
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
        """Add to the fields what few summaries have."""
        if level is _ERROR:
            fields["errno"] = 500
            if error is not None and not self.logs_traceback:
                fields["error"] = Sanitiser().repr(error)
        if self._added:
            _lay_over(fields, self._added.copy())

    def _measured(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give a hook's fields with what is known only now."""
        fields: dict[str, Any] = {}
        _lay_over(fields, given, frozenset())
        fields["code"] = self.code
        if "t" in fields and self.started_ns is not None:
            fields["t"] = ((self.ended_ns or _monotonic_ns()) - self.started_ns) // 1_000_000
        return fields

    def _is_clients_doing(self, error: BaseException) -> bool:
        """Return whether an exception says no more than what the client has done.

        That it has gone: servers say it by an OSError from send(), frameworks by
        exceptions of their own, and both by cancelling the request. Or that it has sent
        what is no HTTP. Another exception is a bug like any, and so is a cancellation
        while the client is there.
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

# The context as a request has handed it to its server, None while the application has
# control. It travels with the contexts that the server starts other work in.
_handed_over: Final[ContextVar[Context | None]] = ContextVar("dockerflow_handed_over", default=None)

#: Returns the summary of the request that is being served here, None outside of one.
current: Final = _current.get


stands_for(RequestSummary.finish)


def hand_over() -> None:
    """Say that the server has control, and may start the next request in this context."""
    _handed_over.set(_snapshot())


def take_back() -> None:
    """Say that the application has control again."""
    _handed_over.set(None)


def add_fields(**fields: Any) -> bool:
    """Add fields to the summary of the request that is being served.

    Works from anywhere that has the request's context: its functions, tasks,
    and threads that were given a copy of it. False, and nothing else, where
    there is no request, or its summary is logged already.
    """
    summary = _current.get()
    return summary is not None and summary.add_fields(fields)


def is_cancellation(error: BaseException) -> bool:
    """Return whether this is how asyncio, trio or a generator's end stop a request's work."""
    return not isinstance(error, Exception) and type(error).__name__ in _CANCELLATIONS


def _text(error: BaseException) -> str:
    """Give an exception's text, which must not pass for fields of its own."""
    held = getattr(error, "exceptions", None)
    while type(held) is tuple and len(held) == 1 and isinstance(held[0], BaseException):
        # A task group of one: frameworks stream in it, and its text says nothing.
        error = held[0]
        held = getattr(error, "exceptions", None)
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


def _lay_over(
    fields: dict[str, Any], added: dict[str, Any], measured: frozenset[str] = _MEASURED
) -> None:
    taken: set[str] = set()
    for name, value in added.items():
        if name in measured or name in EXCLUDED_ATTRIBUTES:
            taken = taken or {*fields, *added}
            name = unique_key(f"extra.{name}", taken)  # noqa: PLW2901 - as it is kept
            taken.add(name)
        fields[name] = value
