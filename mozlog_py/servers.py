"""The loggers of servers, taken over: their records go where all others go.

Servers, development servers and Celery come with handlers of their own, which write
sentences beside our lines; and some of them set those up after the application has
configured logging. What is taken over here stays so.

The filters here add the id of a request to records, and what copies of a record need.
They change nothing that a server has put there: ``_fields.server_records`` makes fields
of a record when its line is rendered.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Final

from mozlog_py._fields.late_request_ids import request_id_of, served, take_failed, take_served
from mozlog_py._fields.request_text import log_query_strings
from mozlog_py._fields.server_records import CALL_ATTRIBUTE, LoggedCall, access_fields, error_line
from mozlog_py._stdlib.daphne_access import log_access, remember_failure
from mozlog_py._stdlib.propagating_logger import make_propagating, remove_console_handler

from .celery import connect_signals
from .context import read_request_id

__all__ = [
    "ACCESS_LOGGERS",
    "SERVER_LOGGERS",
    "AccessFields",
    "ErrorFields",
    "ExceptionFields",
    "WithoutColors",
    "filter_for",
    "log_query_strings",
    "take_over",
]

#: The loggers with a record for each request, which a server can switch off.
ACCESS_LOGGERS: Final = (
    "aiohttp.access",
    "daphne.access",
    "django.channels.server",
    "django.server",
    "granian.access",
    "gunicorn.access",
    "hypercorn.access",
    "sanic.access",
    "uvicorn.access",
)

#: The loggers that are taken over.
SERVER_LOGGERS: Final = (
    "_granian",
    "_granian.utils",
    "celery",
    "celery.redirected",
    "celery.task",
    "daphne.cli",
    "daphne.http_protocol",
    "daphne.server",
    "daphne.ws_protocol",
    "gunicorn.error",
    "hypercorn.error",
    "multiprocessing",
    "py.warnings",
    "sanic.error",
    "sanic.root",
    "sanic.server",
    "sanic.websockets",
    "uvicorn",
    "uvicorn.asgi",
    "uvicorn.error",
    "waitress",
    "waitress.queue",
    # Requests and errors.
    "werkzeug",
    *ACCESS_LOGGERS,
)

# Those that log a request when the application has returned, in the context that it left.
_LOGGING_WHEN_SERVED: Final = frozenset({"granian.access", "gunicorn.access", "werkzeug"})
# Those whose messages have the text of a traceback in them.
_LOGGING_TRACEBACKS: Final = frozenset({"_granian.utils", "werkzeug"})


#: All loggers by name. ``getLogger`` takes a lock.
_loggers: Final = logging.Logger.manager.loggerDict


class _SameAsAny(logging.Filter):
    """A filter that a logger has once, however often it is configured."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class WithoutColors(_SameAsAny):
    """Lets every record through; configurations that were kept in files name it."""


class ErrorFields(WithoutColors):
    """Adds to a server's line about an exception the id of the request that raised it.

    A server logs that outside of all requests. The context may still be that of another
    one, as it is in daphne, whose timer runs in the context that set it last.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.exc_info:
            request_id = request_id_of(record.exc_info)
            if request_id is not None and not hasattr(record, "rid"):
                record.rid = request_id
            if record.name == "daphne.server":
                remember_failure(request_id)
        return True


class ExceptionFields(_SameAsAny):
    """Adds the request's id to a record that has the text of a traceback as its message.

    That is the id of the request that ended last with an exception of that name in this
    thread.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        served.is_wanted = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if not record.exc_info:
            _add_failed_id(record)
        return True


class AccessFields(_SameAsAny):
    """Adds the request's id to the record that a server logs for each request.

    The context has it where the server logs while the response is sent; gunicorn, granian
    and Werkzeug log when the application has returned.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        served.is_wanted = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.name in _LOGGING_WHEN_SERVED:
            if record.args:
                _add_served_id(record)
            elif record.name in _LOGGING_TRACEBACKS:
                _add_failed_id(record)
        if record.args and _is_copied(record.name):
            vars(record)[CALL_ATTRIBUTE] = LoggedCall(record)
        return True


def _add_served_id(record: logging.LogRecord) -> None:
    fields = access_fields(vars(record))
    # Taken in any case, or it would be there for a later request's line.
    last = take_served(fields.get("method"), fields.get("path"))
    request_id = fields.get("rid") or last
    if request_id and not (read_request_id() or hasattr(record, "rid")):
        record.rid = request_id


def _add_failed_id(record: logging.LogRecord) -> None:
    line = error_line(record.msg)
    if line is None:
        return
    request_id = take_failed(line)
    if request_id is not None and not (read_request_id() or hasattr(record, "rid")):
        record.rid = request_id


def _is_copied(name: str) -> bool:
    """Return whether a handler gets the records of a logger that makes copies of them."""
    logger: Any = _loggers.get(name)
    while logger is not None:
        for handler in logger.handlers:
            if any(map(_drops_arguments, map(type, (handler, handler.formatter)))):
                return True
        logger = logger.parent if logger.propagate else None
    return False


@functools.lru_cache(maxsize=64)
def _drops_arguments(kind: type) -> bool:
    # As QueueHandler, SocketHandler and structlog's ProcessorFormatter do in their copies.
    return any(hasattr(kind, name) for name in ("prepare", "makePickle", "wrap_for_formatter"))


def filter_for(name: str) -> type[logging.Filter]:
    """Return the class of the filter that the records of a server's logger pass through.

    Args:
        name: The logger's name.
    """
    if name in ACCESS_LOGGERS or name == "werkzeug":
        return AccessFields
    return ExceptionFields if name == "_granian.utils" else ErrorFields


def take_over() -> None:
    """Have the records of servers go to the root logger's handlers, now and from here on.

    An access log that a server has switched off (without handlers, and not
    propagating, as uvicorn does) stays off. Handlers of other kinds than
    servers have are left alone. Doing it twice is doing it once.
    """
    for name in SERVER_LOGGERS:
        logger = logging.getLogger(name)
        make_propagating(logger, ACCESS_LOGGERS)
        kind = filter_for(name)
        others = [one for one in logger.filters if type(one) is not kind]
        # Before those of the application: what they refuse has taken its id with it.
        logger.filters = [kind(), *others]
    # Not in dict_config(), which would take away the handler that mails to Django's ADMINS.
    remove_console_handler(logging.getLogger("django"))
    connect_signals()
    log_access()
