"""Logger classes that refuse a server's handlers and propagate records to the root logger."""

from __future__ import annotations

import logging
import sys
from collections.abc import Container, Iterable
from types import FrameType
from typing import Any, Final

__all__ = [
    "PropagatingLogger",
    "keep_switched_off",
    "make_propagating",
    "remove_console_handler",
]

# The classes of servers' handlers. A handler of another class is the application's.
_OF_SERVERS: Final = (logging.StreamHandler, logging.FileHandler)
# The class of Werkzeug for terminals of Windows.
_OF_WERKZEUG: Final = ("werkzeug._internal", "_ColorStreamHandler")

# The filter that tells Django's own console handler from the application's.
_OF_DJANGO: Final = ("django.utils.log", "RequireDebugTrue")

_NO_OUTPUT: Final = logging.NullHandler()
_access_loggers: Final[set[str]] = set()


def make_propagating(logger: logging.Logger, access_loggers: Container[str]) -> None:
    """Change the class of a logger to a ``PropagatingLogger``. A second call changes nothing.

    Args:
        logger: A logger of any class.
        access_loggers: The names of the loggers that a server can switch off.
    """
    if logger.name in access_loggers:
        _access_loggers.add(logger.name)
    _derive(logger, PropagatingLogger)
    # The assignment replaces the server's handlers.
    logger.handlers = logger.handlers


def keep_switched_off(access_loggers: Iterable[str]) -> None:
    """Have access logs propagate, but for those that a server has switched off.

    ``dictConfig`` makes its filters before it removes the handlers of loggers. So a filter calls
    this while the handlers still show which access logs are on.

    Args:
        access_loggers: The names of the loggers that a server can switch off.
    """
    for name in access_loggers:
        logger = logging.getLogger(name)
        if logger.handlers or _shares_handlers(logger):
            logger.propagate = True


def remove_console_handler(logger: logging.Logger) -> None:
    """Remove the console handler of Django from a logger, now and later.

    Its other handlers, which the application has chosen, and ``propagate`` stay. A second call
    changes nothing.

    Args:
        logger: The logger ``django``.
    """
    _derive(logger, _ConsoleFreeLogger)
    logger.handlers = [*map(_without_console, logger.handlers)]


class _TakenOverLogger(logging.Logger):
    """A logger that ``logging.config`` does not disable.

    By default ``dictConfig`` and ``fileConfig`` disable the loggers that they do not name. These
    loggers may exist only because ``take_over`` has made them, before the server was loaded. What
    else sets ``disabled`` is obeyed.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "disabled" and value and _caller() == "logging.config":
            return
        super().__setattr__(name, value)


class PropagatingLogger(_TakenOverLogger):
    """A logger that refuses the handlers of servers, and propagates its records.

    A ``NullHandler`` takes the place of a refused handler, because servers test whether a
    logger has handlers. The methods that a record passes through are those of ``logging``, so
    that child loggers and error reporters that replace them work.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        # hypercorn sets the whole list. uvicorn sets an empty one to switch off the access log.
        if name == "handlers" and any(map(_is_of_server, value)):
            value = [*dict.fromkeys(map(_replacement, value))]
        super().__setattr__(name, value)

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - as in logging
        """Add a handler, or a ``NullHandler`` in place of a server's."""
        super().addHandler(_replacement(hdlr))

    @property
    def propagate(self) -> bool:
        """Whether records propagate: always, except for an access log that is switched off."""
        return bool(
            vars(self)["propagate"]
            or self.handlers
            or self.name not in _access_loggers
            or _shares_handlers(self)
        )

    @propagate.setter
    def propagate(self, is_propagating: bool) -> None:
        vars(self)["propagate"] = is_propagating


def _shares_handlers(logger: logging.Logger) -> bool:
    # uvicorn's worker for gunicorn shares the list of handlers with gunicorn's logger.
    lender = logging.getLogger("gunicorn.access")
    return logger is not lender and logger.handlers is lender.handlers and lender.propagate


def _caller() -> Any:
    """Return the name of the module that has called this one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return None if frame is None else frame.f_globals.get("__name__")


def _is_of_server(handler: logging.Handler) -> bool:
    kind = type(handler)
    return (
        any(kind is known for known in _OF_SERVERS)
        or (kind.__module__, kind.__qualname__) == _OF_WERKZEUG
    )


def _replacement(handler: logging.Handler) -> logging.Handler:
    return _NO_OUTPUT if _is_of_server(handler) else handler


class _ConsoleFreeLogger(_TakenOverLogger):
    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - as in logging
        """Add a handler, or a ``NullHandler`` in place of Django's for the console."""
        super().addHandler(_without_console(hdlr))


def _without_console(handler: logging.Handler) -> logging.Handler:
    # Source: django.utils.log.DEFAULT_LOGGING, which Django applies before the settings.
    is_djangos = type(handler) is logging.StreamHandler and any(
        (type(one).__module__, type(one).__qualname__) == _OF_DJANGO for one in handler.filters
    )
    return _NO_OUTPUT if is_djangos else handler


_classes: Final[dict[tuple[type, type], type]] = {
    (base, logging.Logger): base for base in (PropagatingLogger, _ConsoleFreeLogger)
}


def _derive(logger: logging.Logger, base: type) -> None:
    """Change the class of a logger to one derived from ``base`` and its own class."""
    kind = type(logger)
    if issubclass(kind, base):
        return
    if (base, kind) not in _classes:
        # A class that the application has set with setLoggerClass().
        _classes[base, kind] = type(kind.__name__, (base, kind), {})
    logger.__class__ = _classes[base, kind]
