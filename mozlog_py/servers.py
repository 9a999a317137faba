"""The loggers of servers, taken over: their records go where all others go.

uvicorn, gunicorn, hypercorn, granian and Celery come with handlers of their own,
which write sentences beside our lines; and some of them set those up after the
application has configured logging. What is taken over here stays so.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from .context import read_request_id
from .exceptions import HEADER
from .late_request_ids import request_id_of, served, take_failed, take_served

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = [
    "ACCESS_LOGGERS",
    "SERVER_LOGGERS",
    "AccessFields",
    "ErrorFields",
    "ExceptionFields",
    "WithoutColors",
    "filter_for",
    "take_over",
]

#: The loggers with a record for each request.
ACCESS_LOGGERS: Final = (
    "granian.access",
    "gunicorn.access",
    "hypercorn.access",
    "uvicorn.access",
)

#: The loggers that are taken over.
SERVER_LOGGERS: Final = (
    "_granian",
    "_granian.utils",
    "celery",
    "celery.redirected",
    "celery.task",
    "daphne.server",
    "gunicorn.error",
    "hypercorn.error",
    "multiprocessing",
    "py.warnings",
    "uvicorn",
    "uvicorn.asgi",
    "uvicorn.error",
    *ACCESS_LOGGERS,
)

# Those that log a request when the application has returned, in the context that it left.
_LOGGING_WHEN_SERVED: Final = frozenset({"granian.access", "gunicorn.access"})

# Where gunicorn shows what dockerflow leaves in a request's environ, which no header can set.
_REQUEST_ID_ATOM: Final = "{mozlog.request_id}e"

# What servers hang onto their loggers. Anything else is somebody's own.
_OF_SERVERS: Final = (logging.StreamHandler, logging.FileHandler)

_TRACEBACK: Final = "\nTraceback (most recent call last):\n"


class _SameAsAny(logging.Filter):
    """A filter that a logger has once, however often it is configured."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class WithoutColors(_SameAsAny):
    """Takes uvicorn's second message, with colours in it, off its records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        vars(record).pop("color_message", None)
        return True


class ErrorFields(WithoutColors):
    """Adds to a server's line about an exception the id of the request that raised it.

    A server logs that outside of all requests. The context may still be that of another
    one, as it is in daphne, whose timer runs in the context that set it last.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.exc_info and not hasattr(record, "rid"):
            request_id = request_id_of(record.exc_info)
            if request_id is not None:
                record.rid = request_id
        return super().filter(record)


class AccessFields(_SameAsAny):
    """Makes fields of the sentence that a server logs for each request.

    They are named as in ``request.summary``: ``method``, ``path``,
    ``querystring`` where there is one, ``code``, ``t`` (milliseconds) and
    ``agent`` where the server tells; and ``client``, the address that it sees.
    A record in another form stays as it is.

    ``rid`` is the request's id. The context has it where the server logs while the
    response is sent; gunicorn and granian log when the application has returned.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        served.is_wanted = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        read = _READERS.get(record.name)
        if read is not None and record.args:
            fields: dict[str, Any] = {}
            try:
                fields.update(read(record.args))
                record.msg, record.args = "", ()
            except Exception:
                # A format of another version; its sentence says the same.
                pass
            if record.name in _LOGGING_WHEN_SERVED:
                # Taken in any case, or it would be there for a later request's line.
                last = take_served(fields.get("method"), fields.get("path"))
                fields.setdefault("rid", last)
            if read_request_id() or hasattr(record, "rid"):
                fields["rid"] = None
            vars(record).update(
                {name: value for name, value in fields.items() if value is not None}
            )
        return True


class ExceptionFields(_SameAsAny):
    """Makes fields of the traceback that granian puts into its message.

    It has no exception to show, only its text: ``error`` is the line that names
    it, and not its ``repr`` as elsewhere. ``rid`` is the id of the request that ended
    last with an exception of that name in this thread.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        served.is_wanted = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if isinstance(record.msg, str) and not record.exc_info:
            message, mark, frames = record.msg.partition(_TRACEBACK)
            # What is below the last frame; causes come before it.
            last = frames.rpartition(_TRACEBACK)[2].splitlines()
            named = [line for line in last if line and not line.startswith(" ")]
            if mark and named:
                record.msg = message
                vars(record).update(error=named[0], traceback=HEADER + frames)
                request_id = take_failed(named[0])
                if request_id is not None and not (read_request_id() or hasattr(record, "rid")):
                    record.rid = request_id
        return True


def _of_uvicorn(args: Any) -> dict[str, Any]:
    client, method, target, _, code = args
    path, _, query = target.partition("?")
    return {
        "method": method,
        "path": path,
        "querystring": query or None,
        "code": int(code),
        "client": client or None,
    }


def _of_gunicorn(atoms: Mapping[str, Any]) -> dict[str, Any]:
    fields = _of_hypercorn(atoms)
    request_id = _given(atoms.get(_REQUEST_ID_ATOM))
    if type(request_id) is str:
        fields["rid"] = request_id
    # Its atoms have a backslash before each quote.
    return {
        name: value.replace('\\"', '"') if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _of_hypercorn(atoms: Mapping[str, Any]) -> dict[str, Any]:
    # After a failure gunicorn knows the request line only.
    path, _, query = atoms["r"].split(" ")[1].partition("?")
    code = _given(atoms["s"])
    return {
        "method": atoms["m"],
        "path": atoms["U"] or path,
        "querystring": _given(atoms["q"]) or query or None,
        # None where the client has left before there was one.
        "code": None if code is None else int(code),
        "t": int(atoms["D"]) // 1000,
        "agent": _given(atoms["a"]),
        "client": _given(atoms["h"]),
    }


def _of_granian(atoms: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "method": atoms["method"],
        "path": atoms["path"],
        "querystring": _given(atoms["query_string"]),
        "code": int(atoms["status"]),
        "t": int(atoms["dt_ms"]),
        "client": _given(atoms["addr"]),
    }


def _given(atom: Any) -> Any:
    if isinstance(atom, bytes):
        # granian's query string, once.
        atom = atom.decode("latin-1")
    return None if atom in ("", "-", None) else atom


# Sources: what each server's own formatter for access records takes from them.
_READERS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "granian.access": _of_granian,
    "gunicorn.access": _of_gunicorn,
    "hypercorn.access": _of_hypercorn,
    "uvicorn.access": _of_uvicorn,
}


def filter_for(name: str) -> type[logging.Filter]:
    """Give the filter that the records of a server's logger pass through."""
    if name in ACCESS_LOGGERS:
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
        if not isinstance(logger, TakenOver):
            logger.__class__ = _taken_over(type(logger))
        # Setting them is what takes the server's own away.
        logger.handlers = logger.handlers
        logger.addFilter(filter_for(name)())
    _keep_from_celery()


class TakenOver(logging.Logger):
    """A logger that keeps no handler of a server's, and hands its records on instead.

    In place of such a handler it has one that does nothing: servers look at
    what they have set, and a logger with handlers is one that is to be heard.
    The methods that a record passes through are those of ``logging``: loggers
    below it, and error reporters that replace them, find nothing unusual.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        # hypercorn sets the whole list; and uvicorn an empty one for no access log.
        if name == "handlers" and any(map(_is_of_server, value)):
            value = [*dict.fromkeys(map(_stand_in, value))]
        super().__setattr__(name, value)

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - as in logging
        """Add a handler, or what stands in for one of a kind that servers add."""
        super().addHandler(_stand_in(hdlr))

    @property
    def propagate(self) -> bool:
        """Whether records are handed on: always, but for an access log that is switched off."""
        return bool(
            vars(self)["propagate"]
            or self.handlers
            or self.name not in ACCESS_LOGGERS
            or self._is_lent()
        )

    @propagate.setter
    def propagate(self, is_propagating: bool) -> None:
        vars(self)["propagate"] = is_propagating

    def _is_lent(self) -> bool:
        # uvicorn's worker for gunicorn uses the list of gunicorn's logger.
        lender = logging.getLogger("gunicorn.access")
        return self is not lender and self.handlers is lender.handlers and lender.propagate


_nothing: Final = logging.NullHandler()


def _is_of_server(handler: logging.Handler) -> bool:
    return any(type(handler) is kind for kind in _OF_SERVERS)


def _stand_in(handler: logging.Handler) -> logging.Handler:
    return _nothing if _is_of_server(handler) else handler


_classes: Final[dict[type, type]] = {logging.Logger: TakenOver}


def _taken_over(kind: type) -> type:
    if kind not in _classes:
        # Somebody has set a logger class of their own.
        _classes[kind] = type(kind.__name__, (TakenOver, kind), {})
    return _classes[kind]


def _keep_from_celery() -> None:
    """Tell Celery that logging is set up, or its worker replaces the root's handlers."""
    module = sys.modules.get("celery.signals")
    if module is not None:
        _connect(module)
    elif not any(type(finder) is _CeleryFinder for finder in sys.meta_path):
        sys.meta_path.insert(0, _CeleryFinder())


def _connect(signals: ModuleType) -> None:
    signals.setup_logging.connect(_is_set_up, weak=False, dispatch_uid="mozlog_py")


def _is_set_up(**_: Any) -> None:
    """Be there: that is all that Celery asks for."""


class _CeleryFinder:
    """Waits for Celery's signals, which take half a second to import, to be imported."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Find that one module as it is found without this, and connect once it is there."""
        if name != "celery.signals":
            return None
        from importlib.util import find_spec  # loaded by now: Celery has it imported

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            loader, execute = spec.loader, spec.loader.exec_module

            def execute_and_connect(module: ModuleType) -> None:
                execute(module)
                _connect(module)

            vars(loader)["exec_module"] = execute_and_connect
        return spec
