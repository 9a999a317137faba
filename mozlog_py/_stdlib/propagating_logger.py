"""Loggers that keep no handler of a server's: their records go to the root logger's."""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import Any, Final

__all__ = ["PropagatingLogger", "make_propagating", "remove_console_handler"]

# The kinds of handlers that servers set. A handler of another class is the application's.
_OF_SERVERS: Final = (logging.StreamHandler, logging.FileHandler)
# Werkzeug has a class of its own, for terminals of Windows.
_OF_WERKZEUG: Final = ("werkzeug._internal", "_ColorStreamHandler")

# Only what has it is Django's own for the console.
_OF_DJANGO: Final = ("django.utils.log", "RequireDebugTrue")

_NO_OUTPUT: Final = logging.NullHandler()
_access_loggers: Final[set[str]] = set()


def make_propagating(logger: logging.Logger, access_loggers: Container[str]) -> None:
    """Make a logger a ``PropagatingLogger``, whatever its class. Twice is once.

    Args:
        logger: The logger.
        access_loggers: The names of those that a server can switch off.
    """
    if logger.name in access_loggers:
        _access_loggers.add(logger.name)
    _derive(logger, PropagatingLogger)
    # Setting them is what takes the server's own away.
    logger.handlers = logger.handlers


def remove_console_handler(logger: logging.Logger) -> None:
    """Have a logger without the handler that Django adds for the console. Twice is once.

    Its other handlers, which the application has chosen, and ``propagate`` stay.

    Args:
        logger: The logger ``django``.
    """
    _derive(logger, _ConsoleFreeLogger)
    logger.handlers = [*map(_without_console, logger.handlers)]


class PropagatingLogger(logging.Logger):
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
            or self.name not in _access_loggers
            or self._is_lent()
        )

    @propagate.setter
    def propagate(self, is_propagating: bool) -> None:
        vars(self)["propagate"] = is_propagating

    def _is_lent(self) -> bool:
        # uvicorn's worker for gunicorn uses the list of gunicorn's logger.
        lender = logging.getLogger("gunicorn.access")
        return self is not lender and self.handlers is lender.handlers and lender.propagate


def _is_of_server(handler: logging.Handler) -> bool:
    kind = type(handler)
    return (
        any(kind is known for known in _OF_SERVERS)
        or (kind.__module__, kind.__qualname__) == _OF_WERKZEUG
    )


def _stand_in(handler: logging.Handler) -> logging.Handler:
    return _NO_OUTPUT if _is_of_server(handler) else handler


class _ConsoleFreeLogger(logging.Logger):
    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - as in logging
        """Add a handler, or what stands in for Django's for the console."""
        super().addHandler(_without_console(hdlr))


def _without_console(handler: logging.Handler) -> logging.Handler:
    # Source: the configuration that Django applies before that of the settings.
    is_djangos = type(handler) is logging.StreamHandler and any(
        (type(one).__module__, type(one).__qualname__) == _OF_DJANGO for one in handler.filters
    )
    return _NO_OUTPUT if is_djangos else handler


_classes: Final[dict[tuple[type, type], type]] = {
    (base, logging.Logger): base for base in (PropagatingLogger, _ConsoleFreeLogger)
}


def _derive(logger: logging.Logger, base: type) -> None:
    """Have a logger be of a class, beside the one that it has."""
    kind = type(logger)
    if issubclass(kind, base):
        return
    if (base, kind) not in _classes:
        # The application has set a logger class of its own.
        _classes[base, kind] = type(kind.__name__, (base, kind), {})
    logger.__class__ = _classes[base, kind]
