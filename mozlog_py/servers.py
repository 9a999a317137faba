"""The loggers of servers, taken over: their records go where all others go.

uvicorn, gunicorn, hypercorn, granian and Celery come with handlers of their own,
which write sentences beside our lines; and some of them set those up after the
application has configured logging. What is taken over here stays so.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["ACCESS_LOGGERS", "SERVER_LOGGERS", "AccessFields", "WithoutColors", "take_over"]

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
    "celery",
    "celery.redirected",
    "celery.task",
    "gunicorn.error",
    "hypercorn.error",
    "py.warnings",
    "uvicorn",
    "uvicorn.asgi",
    "uvicorn.error",
    *ACCESS_LOGGERS,
)

# What servers hang onto their loggers. Anything else is somebody's own.
_OF_SERVERS: Final = (logging.StreamHandler, logging.FileHandler)


class _Once(logging.Filter):
    """A filter that a logger takes once only, however often it is configured."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class WithoutColors(_Once):
    """Takes uvicorn's second message, with colours in it, off its records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        vars(record).pop("color_message", None)
        return True


class AccessFields(_Once):
    """Makes fields of the sentence that a server logs for each request.

    They are named as in ``request.summary``: ``method``, ``path``,
    ``querystring`` where there is one, ``code``, ``t`` (milliseconds) and
    ``agent`` where the server tells; and ``client``, the address that it sees.
    A record in another form stays as it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        read = _READERS.get(record.name)
        if read is not None and record.args:
            try:
                fields = read(record.args)
            except Exception:
                # A format of another version; its sentence says the same.
                return True
            vars(record).update(
                {name: value for name, value in fields.items() if value is not None}
            )
            record.msg, record.args = "", ()
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
    # hypercorn has the same atoms. After a failure gunicorn knows the request line only.
    path, _, query = atoms["r"].split(" ")[1].partition("?")
    return {
        "method": atoms["m"],
        "path": atoms["U"] or path,
        "querystring": _given(atoms["q"]) or query or None,
        "code": int(atoms["s"]),
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
    return None if atom in ("", "-", None) else atom


# Sources: what each server's own formatter for access records takes from them.
_READERS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "granian.access": _of_granian,
    "gunicorn.access": _of_gunicorn,
    "hypercorn.access": _of_gunicorn,
    "uvicorn.access": _of_uvicorn,
}


def take_over() -> None:
    """Have the records of servers go to the root logger's handlers, now and from here on.

    A logger that a server has switched off (without handlers, and not
    propagating, as uvicorn does without an access log) stays off. Handlers of
    other kinds than servers have are left alone. Doing it twice is doing it once.
    """
    for name in SERVER_LOGGERS:
        logger = logging.getLogger(name)
        if not isinstance(logger, TakenOver):
            logger.__class__ = _taken_over(type(logger))
        if _is_heard(logger):
            logger.propagate = True
        for handler in [*logger.handlers]:
            if type(handler) in _OF_SERVERS:
                logger.removeHandler(handler)
        logger.addFilter(AccessFields() if name in ACCESS_LOGGERS else WithoutColors())
    _keep_from_celery()


def _is_heard(logger: logging.Logger) -> bool:
    return logger.propagate or bool(logger.handlers)


class TakenOver(logging.Logger):
    """A logger to which handlers of servers, and not propagating, make no difference."""

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as in logging
        """Hand a record to whoever is not a server's handler, and to the parent."""
        if not _is_heard(self):
            return
        for handler in self.handlers:
            if type(handler) not in _OF_SERVERS and record.levelno >= handler.level:
                handler.handle(record)
        if self.parent is not None:
            self.parent.callHandlers(record)

    def hasHandlers(self) -> bool:  # noqa: N802 - as in logging
        """Tell whether a record is handled by anyone; servers ask before they log a request."""
        return _is_heard(self) and (self.parent is None or self.parent.hasHandlers())


_classes: Final[dict[type, type]] = {logging.Logger: TakenOver}


def _taken_over(kind: type) -> type:
    if kind not in _classes:
        # Somebody has set a logger class of their own.
        _classes[kind] = type(kind.__name__, (TakenOver, kind), {})
    return _classes[kind]


def _keep_from_celery() -> None:
    """Tell Celery that logging is set up, or its worker replaces the root's handlers."""
    if "celery" not in sys.modules:
        return
    from celery import signals

    signals.setup_logging.connect(_is_set_up, weak=False, dispatch_uid="mozlog_py")


def _is_set_up(**_: Any) -> None:
    """Be there: that is all that Celery asks for."""
