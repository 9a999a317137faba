"""The records of servers, read as fields when a line is rendered.

A server logs a sentence for each request, and puts colours, sockets and the text
of tracebacks into its records. ``read_record`` returns what a line shows instead.
It returns a copy: filters and other handlers see the record as the server made it.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._values.tracebacks import HEADER
from mozlog_py.context import read_request_id

from .from_record import STANDARD_ATTRIBUTES
from .late_request_ids import request_id_of, take_failed, take_served
from .request_text import are_query_strings_logged, capped, shown_query, shown_sentence

__all__ = [
    "CALL_ATTRIBUTE",
    "LOGGING_WHEN_SERVED",
    "READERS",
    "LoggedCall",
    "access_fields",
    "late_request_id",
    "read_record",
    "take_access_id",
    "take_failed_id",
]

#: The attribute that a filter of ours adds for handlers that drop a record's arguments.
CALL_ATTRIBUTE: Final = "_mozlog_call"

#: The loggers that log a request after the application has returned, in the context it left.
LOGGING_WHEN_SERVED: Final = frozenset({"granian.access", "gunicorn.access", "werkzeug"})
# The loggers whose messages contain the text of a traceback.
_LOGGING_TRACEBACKS: Final = frozenset({"_granian.utils", "werkzeug"})

_Attributes = dict[str, Any]
_Fields = dict[str, Any]
_Reader = Callable[[_Attributes], None]

_new: Final = logging.LogRecord.__new__

# The atom of gunicorn for the id that dockerflow sets in a request's environ. No header can.
_REQUEST_ID_ATOM: Final = "{mozlog.request_id}e"
_TRACEBACK: Final = "Traceback (most recent call last):\n"

# Source: ECMA-48: OSC and other strings with their end, CSI, two-character sequences, a lone ESC.
_ESCAPES: Final = lazy_pattern(
    "\x1b(?:[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\\[[0-?]*[ -/]*[@-~]?|[ -/]*[0-Z\\\\-~]?)"
)
_CONVERSION: Final = lazy_pattern("%[^%]")
_DJANGO: Final = lazy_pattern('"%s" %s %s')
_WERKZEUG: Final = lazy_pattern(r'(.+?) - - \[[^\]]*\] "%s" %s %s')
# Fields that have no query string in their text.
_QUERYLESS: Final = frozenset({"agent", "path", "querystring", "traceback"})


#: How many attributes all records have.
_STANDARD_COUNT: Final = len(STANDARD_ATTRIBUTES)


class LoggedCall:
    """The template and the arguments of an access record, for handlers that drop them.

    ``QueueHandler`` and ``SocketHandler`` send a copy of a record whose message is
    formatted and whose arguments are gone. Other attributes are kept. Pickled, this
    is a plain dict, since the other process may not have this package.
    """

    __slots__ = ("args", "msg", "name")

    def __init__(self, record: logging.LogRecord) -> None:
        self.name = record.name
        self.msg: Any = record.msg
        self.args: Any = record.args

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            attributes = {"name": self.name, "msg": self.msg, "args": self.args}
            fields = access_fields(attributes)
            return dict, ({"message": str(self.msg % self.args), "fields": fields},)
        except Exception:
            # The record's sentence, which is kept, has the same content.
            return dict, ()


def read_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record as its line is to show it.

    Args:
        record: A record of a logger in ``READERS``, in any form. It is not changed.

    Returns:
        A copy, or the record itself where it cannot be read. Reading a copy again changes
        nothing.

    Raises:
        BaseException: The code of an argument raises it, and it is no ``Exception``.
    """
    try:
        read = READERS[record.name]
        if type(record) is logging.LogRecord:
            made = _new(logging.LogRecord)
            vars(made).update(vars(record))
        else:
            made = copy.copy(record)
        _restore_call(vars(made))
        read(vars(made))
        _clean(made)
        return made
    except Exception:
        return record


def access_fields(attributes: _Attributes) -> _Fields:
    """Return the fields of an access record.

    Args:
        attributes: The attributes of the record.

    Returns:
        The fields by name; empty for a record in another form.
    """
    try:
        read = _ACCESS[attributes["name"]]
        fields = {name: value for name, value in read(attributes).items() if value is not None}
        query = fields.get("querystring")
        if query is not None:
            if are_query_strings_logged():
                fields["querystring"] = shown_query(query)
            else:
                del fields["querystring"]
        return fields
    except Exception:
        return {}


def late_request_id(record: logging.LogRecord) -> str | None:
    """Return the id of the request that a record is about, for one that no context has the id of.

    Args:
        record: A record of any logger.

    Returns:
        The id that was attached to the record's exception, or that of the request that the
        server has just served; None if neither is known.
    """
    try:
        if record.exc_info:
            return request_id_of(record.exc_info)
        if record.args:
            return take_access_id(record)[0] if record.name in LOGGING_WHEN_SERVED else None
        return take_failed_id(record) if record.name in _LOGGING_TRACEBACKS else None
    except Exception:
        # A record that the application has made may have attributes of any type.
        return None


def take_access_id(record: logging.LogRecord) -> tuple[str | None, bool]:
    """Return the id of the request that an access record is about, and whether it has a summary.

    The request that was served last is forgotten in any case, so that no later one gets its id.

    Args:
        record: A record of a logger in ``LOGGING_WHEN_SERVED``.
    """
    fields = access_fields(vars(record))
    last, has_summary = take_served(fields.get("method"), fields.get("path"))
    return fields.get("rid") or last, has_summary


def take_failed_id(record: logging.LogRecord) -> str | None:
    """Return the id of the request whose exception a record has the text of, and forget it.

    Args:
        record: A record of a logger whose messages contain tracebacks.
    """
    parts = _split_traceback(record.msg)
    return None if parts is None else take_failed(parts[1])


def _restore_call(attributes: _Attributes) -> None:
    """Put back the arguments that a handler has dropped, unless the sentence has changed."""
    call = attributes.pop(CALL_ATTRIBUTE, None)
    if call is None or attributes["args"]:
        return
    if type(call) is LoggedCall:
        # A filter behind ours may have replaced the arguments, to hide a secret.
        if call.args and attributes["msg"] == call.msg % call.args:
            attributes["msg"], attributes["args"] = call.msg, call.args
    elif type(call) is dict and attributes["msg"] == call.get("message"):
        attributes[CALL_ATTRIBUTE] = call["fields"]


def _show(attributes: _Attributes, fields: _Fields) -> None:
    """Set fields in place of the sentence; an attribute of the same name stays, unless it is None.

    A filter that sets ``rid`` finds no id where the request's context has ended.
    """
    for name, value in fields.items():
        if name not in attributes or (name == "rid" and attributes[name] is None):
            attributes[name] = capped(value) if type(value) is str else value
    if fields:
        attributes["msg"], attributes["args"] = "", ()


def _clean(record: logging.LogRecord) -> None:
    """Remove terminal escapes, sockets, and query strings that are not to be shown."""
    attributes = vars(record)
    has_requests = not record.name.startswith("celery")
    message: Any = attributes["msg"]
    if attributes["args"]:
        try:
            message = attributes["msg"] = record.getMessage()
            attributes["args"] = ()
        except Exception:
            # The line shows arguments that do not fit beside the message.
            pass
    if type(message) is str:
        if "\x1b" in message:
            message = attributes["msg"] = _ESCAPES.sub("", message)
        if has_requests and "?" in message:
            attributes["msg"] = shown_sentence(message)
    # Attributes that a call adds stand behind those of all records.
    for name, value in [*attributes.items()][_STANDARD_COUNT:]:
        kind = type(value)
        if kind is str:
            if "\x1b" in value:
                value = attributes[name] = _ESCAPES.sub("", value)  # noqa: PLW2901 - as it is kept
            if has_requests and "?" in value and name not in _QUERYLESS:
                attributes[name] = shown_sentence(value)
        elif kind is not int and hasattr(kind, "getpeername"):
            # By a method: gevent's, uvloop's and TLS sockets have no class in common.
            del attributes[name]


# -- access records ---------------------------------------------------------


def _of_uvicorn(attributes: _Attributes) -> _Fields:
    client, method, target, _, code = attributes["args"]
    return {**_target(method, target), "code": int(code), "client": client or None}


def _of_gunicorn(attributes: _Attributes) -> _Fields:
    fields = _of_hypercorn(attributes)
    request_id = _given(attributes["args"].get(_REQUEST_ID_ATOM))
    if type(request_id) is str and not read_request_id():
        fields["rid"] = request_id
    # Its atoms have a backslash before each quote.
    return {
        name: value.replace('\\"', '"') if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _of_hypercorn(attributes: _Attributes) -> _Fields:
    atoms: Mapping[str, Any] = attributes["args"]
    # After a failure gunicorn knows the request line only.
    path, _, query = atoms["r"].split(" ")[1].partition("?")
    code = _given(atoms["s"])
    return {
        "method": atoms["m"],
        "path": atoms["U"] or path,
        "querystring": _given(atoms["q"]) or query or None,
        # None where the client has left before the response.
        "code": None if code is None else int(code),
        "t": int(atoms["D"]) // 1000,
        "agent": _given(atoms["a"]),
        "client": _given(atoms["h"]),
    }


def _of_granian(attributes: _Attributes) -> _Fields:
    atoms = attributes["args"]
    return {
        "method": atoms["method"],
        "path": atoms["path"],
        "querystring": _given(atoms["query_string"]),
        "code": int(atoms["status"]),
        "t": int(atoms["dt_ms"]),
        "client": _given(atoms["addr"]),
    }


def _of_daphne(attributes: _Attributes) -> _Fields:
    # Those of a WebSocket have neither method nor status, and keep their sentence.
    details = attributes["args"]
    return {
        **_target(details["method"], details["path"]),
        "code": int(details["status"]),
        "t": int(details["time_taken"] * 1000),
        "client": _given(details["client"]),
    }


def _of_werkzeug(attributes: _Attributes) -> _Fields:
    line, code, _ = attributes["args"]
    (client,) = _matched(_WERKZEUG, attributes["msg"])
    return {
        **_request(_ESCAPES.sub("", line) if "\x1b" in line else line),
        "code": _status(code),
        # It is part of a template, where a zone's mark is written twice.
        "client": client.replace("%%", "%"),
    }


def _of_django(attributes: _Attributes) -> _Fields:
    line, code, _ = attributes["args"]
    _matched(_DJANGO, attributes["msg"])
    return {**_request(line), "code": _status(code)}


def _of_sanic(attributes: _Attributes) -> _Fields:
    from urllib.parse import urlsplit  # Sanic has loaded it; others should not have to

    method, _, url = attributes["request"].partition(" ")
    if not method or not url:
        raise ValueError("no request")
    parts = urlsplit(url)
    duration = attributes["duration"].strip()
    return {
        "method": method,
        "path": parts.path,
        "querystring": parts.query or None,
        "code": int(attributes["status"]),
        "t": int(float(duration.removesuffix("ms"))) if duration else None,
        "client": _given(attributes["host"]),
    }


def _of_aiohttp(attributes: _Attributes) -> _Fields:
    headers = attributes.get("request_header") or {}
    return {
        **_request(attributes["first_request_line"]),
        "code": int(attributes["response_status"]),
        "t": _milliseconds(attributes),
        "agent": _given(headers.get("User-Agent")),
        "client": _given(attributes.get("remote_address")),
    }


def _milliseconds(attributes: _Attributes) -> int | None:
    for name, per_ms in (("request_time_micro", 1000), ("request_time_frac", 0.001)):
        if name in attributes:
            return int(float(attributes[name]) / per_ms)
    return None


def _matched(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """Return the groups of a text that a pattern matches. Raises ``ValueError``."""
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError("another form")
    return tuple(found.groups())


def _request(line: str) -> _Fields:
    method, space, rest = line.partition(" ")
    if not space or method.split() != [method]:
        raise ValueError("no request")
    # From its end, once: a line may be as long as a client likes.
    target, mark, version = rest.rpartition(" HTTP/")
    is_version = mark and version and not version.strip("0123456789.")
    return _target(method, target if is_version else rest)


def _target(method: str, target: str) -> _Fields:
    path, _, query = target.partition("?")
    return {"method": method, "path": path, "querystring": query or None}


def _status(code: Any) -> int | None:
    code = _given(code)
    return None if code is None else int(code)


def _given(atom: Any) -> Any:
    if isinstance(atom, bytes):
        # granian's query string, once.
        atom = atom.decode("latin-1")
    return None if atom in ("", "-", None) else atom


# Sources: what each server's own formatter for access records takes from them.
_ACCESS: Final[dict[str, Callable[[_Attributes], _Fields]]] = {
    "aiohttp.access": _of_aiohttp,
    "daphne.access": _of_daphne,
    "django.channels.server": _of_daphne,
    "django.server": _of_django,
    "granian.access": _of_granian,
    "gunicorn.access": _of_gunicorn,
    "hypercorn.access": _of_hypercorn,
    "sanic.access": _of_sanic,
    "uvicorn.access": _of_uvicorn,
    "werkzeug": _of_werkzeug,
}

# The attributes that the fields are read from, where those are not the arguments.
_MADE_OF: Final[dict[str, tuple[str, ...]]] = {
    "aiohttp.access": (
        "first_request_line", "process_id", "remote_address", "request_start_time",
        "request_time", "request_time_frac", "request_time_micro", "response_size",
        "response_status",
    ),
    "django.server": ("status_code",),
    "sanic.access": ("duration", "host", "request", "status"),
}  # fmt: skip


def _read_access(attributes: _Attributes) -> None:
    name = attributes["name"]
    # A pickled record has them ready.
    fields = attributes.pop(CALL_ATTRIBUTE, None) or access_fields(attributes)
    if not fields:
        return
    for consumed in _MADE_OF.get(name, ()):
        attributes.pop(consumed, None)
    if name == "aiohttp.access" and "request_header" in attributes:
        # Headers that the application's format adds are kept.
        further = {**attributes.pop("request_header")}
        for header in ("Referer", "User-Agent"):
            further.pop(header, None)
        if further:
            attributes["request_header"] = further
    if name == "sanic.access":
        # "DISCONNECTED" and the reasons of WebSockets stand where a size usually does.
        if str(attributes.get("byte", "")).isdigit() or attributes.get("byte") == "chunked":
            del attributes["byte"]
        message = attributes["msg"]
        _show(attributes, fields)
        attributes["msg"] = message
    else:
        _show(attributes, fields)


# -- other records ----------------------------------------------------------


def _read_traceback(attributes: _Attributes) -> None:
    """Split the text of a traceback into fields, where the record has no exception."""
    if attributes["args"] or attributes["exc_info"]:
        return
    parts = _split_traceback(attributes["msg"])
    if parts is not None:
        message, error, frames = parts
        attributes["msg"] = message
        attributes.setdefault("error", error)
        attributes.setdefault("traceback", HEADER + frames)


def _split_traceback(message: Any) -> tuple[str, str, str] | None:
    """Return the text before a traceback, the line that names the exception, and its frames."""
    if type(message) is not str:
        return None
    before, mark, frames = message.partition(_TRACEBACK)
    # The line below the last frame. Causes come before it.
    last = frames.rpartition(_TRACEBACK)[2].splitlines()
    named = [line for line in last if line and not line.startswith(" ")]
    return (before.rstrip(), named[0], frames) if mark and named else None


def _read_django(attributes: _Attributes) -> None:
    # The connection's socket, and the time, which every line has.
    attributes.pop("request", None)
    attributes.pop("server_time", None)
    _read_access(attributes)


def _read_sanic(attributes: _Attributes) -> None:
    # Only Sanic's own filter reads it, and that has run.
    attributes.pop("verbosity", None)
    if attributes["name"] == "sanic.access":
        _read_access(attributes)


def _read_uvicorn(attributes: _Attributes) -> None:
    # The message again, with colours.
    attributes.pop("color_message", None)


def _read_werkzeug(attributes: _Attributes) -> None:
    _read_access(attributes)
    _read_traceback(attributes)


def _read_nothing(attributes: _Attributes) -> None:
    """Leave the record as it is; only escapes and sockets are taken out."""


def _read_celery(attributes: _Attributes) -> None:
    """Show the task that the main process of a worker logs about, outside of the task."""
    template, args = attributes["msg"], attributes["args"]
    try:
        if isinstance(args, Mapping):
            name, task_id = args["name"], args["id"]
        else:
            index = len(_CONVERSION.findall(template[: template.index("%s[%s]")]))
            name, task_id = args[index : index + 2]
    except Exception:
        # The record is not about a task, or is of another version.
        return
    attributes.setdefault("task_id", task_id)
    attributes.setdefault("task_name", name)


#: By a logger's name, the function that reads the attributes of its records.
READERS: Final[dict[str, _Reader]] = {
    **dict.fromkeys(_ACCESS, _read_access),
    "_granian.utils": _read_traceback,
    "celery.worker.request": _read_celery,
    "celery.worker.strategy": _read_celery,
    "daphne.cli": _read_traceback,
    "daphne.http_protocol": _read_traceback,
    "daphne.server": _read_traceback,
    "daphne.ws_protocol": _read_traceback,
    "gunicorn.error": _read_nothing,
    "hypercorn.error": _read_nothing,
    "django.server": _read_django,
    "sanic.access": _read_sanic,
    "sanic.error": _read_sanic,
    "sanic.root": _read_sanic,
    "sanic.server": _read_sanic,
    "sanic.websockets": _read_sanic,
    "uvicorn": _read_uvicorn,
    "uvicorn.asgi": _read_uvicorn,
    "uvicorn.error": _read_uvicorn,
    "waitress": _read_nothing,
    "waitress.queue": _read_nothing,
    "werkzeug": _read_werkzeug,
}
