"""One request, one summary: begun, filled by whoever knows something, logged once.

``RequestSummary`` is the cell that everything about a request is gathered in.
One ContextVar holds it, so that a thread pool or a sub-task of the request can
add to it with ``add_fields``. Servers and frameworks are translated elsewhere,
into ``begin``, ``finish`` and the attributes of the cell.
"""

from __future__ import annotations

import logging
import time
from contextvars import Context, ContextVar
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from mozlog_py import context
from mozlog_py.diagnostics import note
from mozlog_py.fields import EXCLUDED_ATTRIBUTES
from mozlog_py.values import Sanitiser, type_name

from .record import is_standard, log, make_record

__all__ = ["LOGGER_NAME", "MAX_TEXT", "RequestSummary", "add_fields", "current", "is_interruption"]

#: The logger of summaries, which is the ``Type`` of their lines.
LOGGER_NAME: Final = "request.summary"
#: Characters kept of a path, a query string, a User-Agent and an Accept-Language.
MAX_TEXT: Final = 1024

#: The code of a request whose client was gone before there was a status, as nginx has it.
CLIENT_CLOSED_REQUEST: Final = 499

#: What is measured, and therefore not replaced by a field of that name.
_MEASURED: Final = frozenset({"code", "errno", "method", "rid", "t"})

# How cancellation is called by asyncio and trio, and in a generator that is closed.
_INTERRUPTIONS: Final = frozenset({"CancelledError", "Cancelled", "GeneratorExit"})

# The fields of every summary, in their order.
_FIELDS: Final = ("errno", "agent", "lang", "method", "path", "uid", "rid", "code", "t")

_set_request_id: Final = context.request_id_context.set
_snapshot: Final = context.snapshot
_restore: Final = context.restore
_monotonic_ns: Final = time.monotonic_ns


class RequestSummary:
    """What is known of one request, and the one summary that is made of it.

    The attributes stand for the fields of the summary; who serves the request
    sets them. ``logger`` is where the summary goes; None asks for none.
    """

    method: str = ""
    path: str = ""
    agent: str = ""
    lang: str = ""
    #: The query string as it came, percent-encoded; None keeps it out of the summary.
    querystring: str | bytes | None = None
    uid: str = ""
    #: The request's id; None where nobody gave it one.
    rid: str | None = None
    #: The status of the response, as soon as one was sent.
    code: int | None = None
    #: When the request began, in nanoseconds of the monotonic clock; None leaves ``t`` out.
    started_ns: int | None = None
    #: What the application raised, where its framework made a response of that.
    error: BaseException | None = None
    #: The fields that an application's own hook gave in place of ``fields``.
    given: dict[str, Any] | None = None
    #: Whether the client is known to have gone.
    is_client_gone: bool = False
    #: Whether a part of the body is made after ``leave``, for which ``enter`` is called.
    has_parts_to_come: bool = False
    #: Whether the request is over, and its summary logged.
    is_over: bool = False
    logger: Any = None

    _added: dict[str, Any] | None = None
    _before: Context | None = None
    _bound: Context | None = None

    def begin(self, request_id: str | None) -> None:
        """Make this the request of the current context, and its id that of all lines."""
        self._before = _snapshot()
        self.rid = request_id
        self.started_ns = _monotonic_ns()
        _set_current(self)
        if request_id is not None:
            _set_request_id(request_id)

    def identify(self, request_id: str | None) -> None:
        """Give the request its id, where it began without one."""
        self.rid = request_id
        if request_id is not None:
            _set_request_id(request_id)

    def enter(self) -> None:
        """Make this the request of the current context again, for a part of its body.

        What the request itself has bound is there as well.
        """
        bound = self._bound
        self._before = context.snapshot()
        if bound is not None:
            context.restore(bound)
        _current.set(self)
        if self.rid is not None:
            _set_request_id(self.rid)

    def leave(self) -> None:
        """Make the context what it was before ``begin``; not in another one's context."""
        before = self._before
        if before is not None and current() is self:
            if self.has_parts_to_come:
                self._bound = _snapshot()
            _set_current(before.get(_current))
            _restore(before)

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
        self._lay_into(fields)
        return fields

    def _lay_into(self, fields: dict[str, Any]) -> None:
        agent, lang, method, path = self.agent, self.lang, self.method, self.path
        if len(agent) + len(lang) + len(method) + len(path) > MAX_TEXT:
            agent, lang, method, path = map(_capped, (agent, lang, method, path))
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
            fields["t"] = (_monotonic_ns() - started_ns) // 1_000_000
        else:
            fields.pop("t", None)
        querystring = self.querystring
        if querystring is not None:
            fields["querystring"] = _capped(_decoded(querystring))

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary, if that is not done yet. Never raises an ``Exception``.

        ``error`` is what the application raised, where it raised; that the
        client has gone, and cancellation, are no errors.
        """
        if self.is_over:
            return
        self.is_over = True
        if self.has_parts_to_come:
            # What was bound refers to this object in turn.
            self._bound = None
            self.has_parts_to_come = False
        logger = self.logger
        if logger is None:
            return
        try:
            level, message = _INFO, ""
            if error is not None or self.code is None:
                level, message = self._judged(error)
            given = self.given
            if given is not None or not is_standard(logger):
                fields = self.fields() if given is None else self._measured(given)
                self._complete(fields, level)
                log(logger, level, message, fields)
                return
            if not logger.isEnabledFor(level):
                return
            # As Logger.info() does it, without looking for the caller, which is this line.
            record = make_record(logger.name, level, message, _FIELDS)
            fields = record.__dict__
            self._lay_into(fields)
            if level is not _INFO or self._added is not None:
                self._complete(fields, level)
            logger.handle(record)
        except Exception as failure:
            # A handler of the application's own, or a logger that is none.
            note(f"a request summary was not logged: {type_name(type(failure))}")

    def _judged(self, error: BaseException | None) -> tuple[int, str]:
        """Give the level and the message of a request that did not end as it should."""
        if self.code is None:
            self._end_without_response(error)
        if error is not None and not self._is_innocent(error):
            return _ERROR, _text(error)
        if self.code is None:
            self.code = 500
            return _ERROR, "The application ended without a response"
        return _INFO, ""

    def _complete(self, fields: dict[str, Any], level: int) -> None:
        """Add to the fields what few summaries have."""
        if level is _ERROR:
            fields["errno"] = 500
        if self._added:
            _lay_over(fields, self._added.copy())

    def _measured(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give a hook's fields with what is known only now."""
        fields: dict[str, Any] = {}
        _lay_over(fields, given, frozenset())
        fields["code"] = self.code
        if "t" in fields and self.started_ns is not None:
            fields["t"] = (_monotonic_ns() - self.started_ns) // 1_000_000
        return fields

    def _end_without_response(self, error: BaseException | None) -> None:
        if self.is_client_gone or (error is not None and is_interruption(error)):
            self.code = CLIENT_CLOSED_REQUEST
        elif error is not None:
            # What the server answers, which is further out.
            self.code = 500

    def _is_innocent(self, error: BaseException) -> bool:
        if is_interruption(error):
            return True
        # Servers tell that the client has gone by an OSError from send(), frameworks
        # by exceptions of their own; another exception after that is a bug like any.
        return self.is_client_gone and (
            isinstance(error, OSError) or "Disconnect" in type(error).__name__
        )


_INFO: Final = logging.INFO
_ERROR: Final = logging.ERROR

_current: Final[ContextVar[RequestSummary | None]] = ContextVar("dockerflow_request", default=None)

_set_current: Final = _current.set

#: Gives the summary of the request that is being served here, None outside of one.
current: Final = _current.get


def add_fields(**fields: Any) -> bool:
    """Add fields to the summary of the request that is being served.

    Works from anywhere that has the request's context: its functions, tasks,
    and threads that were given a copy of it. False, and nothing else, where
    there is no request, or its summary is logged already.
    """
    summary = _current.get()
    return summary is not None and summary.add_fields(fields)


def is_interruption(error: BaseException) -> bool:
    """Tell whether this is how a request is cancelled, which is no error of anybody's."""
    return not isinstance(error, Exception) and type(error).__name__ in _INTERRUPTIONS


def _capped(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}... <truncated, {len(text)} characters>"


def _decoded(query: str | bytes) -> str:
    if "%" not in query if isinstance(query, str) else query.isascii() and b"%" not in query:
        return query if isinstance(query, str) else query.decode("ascii")
    # What does not fit anyhow need not be decoded: 12 characters make one of UTF-8 at most.
    return unquote_to_bytes(query[: 16 * MAX_TEXT]).decode("utf-8", "backslashreplace")


def _text(error: BaseException) -> str:
    """Give an exception's text, which must not pass for fields of its own."""
    held = getattr(error, "exceptions", None)
    while type(held) is tuple and len(held) == 1 and isinstance(held[0], BaseException):
        # A task group of one: frameworks stream in it, and its text says nothing.
        error = held[0]
        held = getattr(error, "exceptions", None)
    text = Sanitiser().name(error)
    return f"{type_name(type(error))}: {text}" if text[:1] == "{" else text


def _lay_over(
    fields: dict[str, Any], added: dict[str, Any], measured: frozenset[str] = _MEASURED
) -> None:
    for name, value in added.items():
        is_taken = name in measured or name in EXCLUDED_ATTRIBUTES
        fields[f"extra.{name}" if is_taken else name] = value
