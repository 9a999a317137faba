"""Takes over the loggers of servers: their records go to the root logger's handlers.

Servers, development servers and Celery have handlers of their own, which write text between
MozLog lines. Some servers set these up after the application has configured logging. A logger
that is taken over ignores them.

The filters of this module add the id of a request to records, and the data that copies of a
record need. They change no attribute that a server has set: ``_fields.server_records`` reads
the fields of a record when its line is rendered.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Final

from mozlog_py._fields.late_request_ids import request_id_of, served
from mozlog_py._fields.request_text import log_query_strings
from mozlog_py._fields.server_records import (
    CALL_ATTRIBUTE,
    LOGGING_WHEN_SERVED,
    LoggedCall,
    take_access_id,
    take_failed_id,
)
from mozlog_py._fields.summarised import (
    mark_sanic_line,
    mark_socket_line,
    mark_summarised,
    summarised,
)
from mozlog_py._stdlib.daphne_access import log_access, remember_failure
from mozlog_py._stdlib.propagating_logger import (
    keep_switched_off,
    make_propagating,
    remove_console_handler,
)

from .celery import connect_signals
from .context import read_request_id

__all__ = [
    "ACCESS_LOGGERS",
    "SERVER_LOGGERS",
    "AccessFields",
    "DjangoAccessFields",
    "ErrorFields",
    "ExceptionFields",
    "WithoutColors",
    "filter_for",
    "log_query_strings",
    "take_over",
]

#: The loggers with one record for each request, which a server can switch off.
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

#: Those that a server switches off by removing the logger's handlers, as uvicorn does. gunicorn's
#: logger has none in any case: its own settings switch it on.
SWITCHED_BY_STATE: Final = tuple(name for name in ACCESS_LOGGERS if name != "gunicorn.access")

#: The loggers that ``take_over`` changes.
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
    # One logger for requests and for errors.
    "werkzeug",
    *ACCESS_LOGGERS,
)


#: All loggers by name; ``getLogger`` would acquire a lock.
_loggers: Final = logging.Logger.manager.loggerDict


class _SameAsAny(logging.Filter):
    """A filter that equals every other of its class, so that a logger has it once."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class WithoutColors(_SameAsAny):
    """Lets every record through. Configurations stored in files name it."""


class ErrorFields(WithoutColors):
    """Adds the request's id to a server's record of an exception.

    A server logs the exception outside of the request. The context may then be that of another
    request: a timer of daphne runs in the context that started it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if summarised.is_wanted and record.name == "uvicorn.error":
            mark_socket_line(record)
        if record.exc_info:
            request_id = request_id_of(record.exc_info)
            if request_id is not None and not hasattr(record, "rid"):
                record.rid = request_id
            if record.name == "daphne.server":
                remember_failure(request_id)
        return True


class ExceptionFields(_SameAsAny):
    """Adds the request's id to a record whose message is the text of a traceback.

    It is the id of the last request in this thread that ended with an exception of that name.
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

    If the server logs while it sends the response, the context has the id. gunicorn, granian
    and Werkzeug log after the application has returned.
    A new filter has the access logs propagate that are on, since ``dict_config()`` cannot know
    them: a server may switch one off later.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        served.is_wanted = True
        keep_switched_off(SWITCHED_BY_STATE)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.name in LOGGING_WHEN_SERVED:
            if record.args:
                _add_served_id(record)
            elif record.name == "werkzeug":
                _add_failed_id(record)
        elif summarised.is_wanted:
            (mark_sanic_line if record.name == "sanic.access" else mark_summarised)(record)
        if record.args and _is_copied(record.name):
            vars(record)[CALL_ATTRIBUTE] = LoggedCall(record)
        return True


class DjangoAccessFields(AccessFields):
    """Adds the same for a development server of Django, and removes Django's console handler.

    Django applies its default configuration first, and then that of the settings, which may be
    made by ``dict_config()``. So a new filter finds the handler of the first.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        remove_console_handler(logging.getLogger("django"))


def _add_served_id(record: logging.LogRecord) -> None:
    request_id, has_summary = take_access_id(record)
    if summarised.is_wanted:
        mark_summarised(record, is_served=has_summary)
    if request_id and not (read_request_id() or hasattr(record, "rid")):
        record.rid = request_id


def _add_failed_id(record: logging.LogRecord) -> None:
    request_id = take_failed_id(record)
    if request_id is not None and not (read_request_id() or hasattr(record, "rid")):
        record.rid = request_id


def _is_copied(name: str) -> bool:
    """Return whether a handler of a logger's records copies them."""
    logger: Any = _loggers.get(name)
    while logger is not None:
        for handler in logger.handlers:
            if any(map(_drops_arguments, map(type, (handler, handler.formatter)))):
                return True
        logger = logger.parent if logger.propagate else None
    return False


@functools.lru_cache(maxsize=64)
def _drops_arguments(kind: type) -> bool:
    # The methods of QueueHandler, SocketHandler and structlog's ProcessorFormatter.
    return any(hasattr(kind, name) for name in ("prepare", "makePickle", "wrap_for_formatter"))


def filter_for(name: str) -> type[logging.Filter]:
    """Return the class of the filter for a server's logger.

    Args:
        name: The logger's name.
    """
    if name.startswith("django."):
        return DjangoAccessFields
    if name in ACCESS_LOGGERS or name == "werkzeug":
        return AccessFields
    return ExceptionFields if name == "_granian.utils" else ErrorFields


def take_over() -> None:
    """Send the records of servers to the root logger's handlers, also if a server starts later.

    An access log that a server has switched off stays off: it has no handlers and does not
    propagate, as in uvicorn. Handlers of the application stay. A second call changes nothing.
    """
    for name in SERVER_LOGGERS:
        logger = logging.getLogger(name)
        make_propagating(logger, ACCESS_LOGGERS)
        kind = filter_for(name)
        others = [one for one in logger.filters if type(one) is not kind]
        # First, so that a record which a later filter refuses still takes its stored id.
        logger.filters = [kind(), *others]
    connect_signals()
    log_access()
