"""The names of upstream's ``dockerflow.logging``, built on ``mozlog_py``.

A service that imports them from here, in Python, in a dictConfig or in an ini
file, runs on this package as it is.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import mozlog_py.formatter
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py._values.tracebacks import as_exc_info, render_exception
from mozlog_py.context import request_id_context
from mozlog_py.formatter import names_nothing
from mozlog_py.handlers import MozlogHandler
from mozlog_py.typing import Style

from .request_id import DEFAULT_HEADER, RequestIdPolicy

if TYPE_CHECKING:
    # Type checkers would take a class that says it is abstract for one.
    from builtins import type as _Metaclass  # noqa: N812 - a class, if a plain one
else:
    from abc import ABCMeta as _Metaclass

__all__ = [
    "JsonLogFormatter",
    "MozlogFormatter",
    "MozlogHandler",
    "RequestIdLogFilter",
    "SafeJSONEncoder",
    "get_or_generate_request_id",
    "request_id_context",
    "safer_format_traceback",
]

_POLICY: Final = RequestIdPolicy()


class MozlogFormatter(mozlog_py.formatter.MozlogFormatter, metaclass=_Metaclass):
    """``mozlog_py.MozlogFormatter``, which warns of what is no error in upstream's services.

    A text as ``fmt`` that names no attribute of records has no meaning: here it gives a
    warning and is left out, there it is an error. ``isinstance`` takes every
    ``mozlog_py.MozlogFormatter`` for one of these, as the handler's own is.
    """

    _renders_as_usual: ClassVar[bool] = True

    def __init__(
        self,
        fmt: str | Sequence[str] | None = None,
        datefmt: str | None = None,
        style: Style = "%",
        logger_name: str | bool = "Dockerflow",
        *args: Any,
        **options: Any,
    ) -> None:
        problem = names_nothing(fmt, style)
        if problem is not None:
            warnings.warn(f"{problem}. It is left out", stacklevel=2)
            fmt = None
        super().__init__(fmt, datefmt, style, logger_name, *args, **options)

    @classmethod
    def __subclasshook__(cls, other: type, /) -> Any:
        """Take what is a formatter of ours for a subclass, but not of a subclass of this."""
        if cls is MozlogFormatter and issubclass(other, mozlog_py.formatter.MozlogFormatter):
            return True
        return NotImplemented


class JsonLogFormatter(MozlogFormatter):
    """The old name of ``MozlogFormatter``; using it gives a ``DeprecationWarning``."""

    _renders_as_usual: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "JsonLogFormatter is deprecated, use MozlogFormatter from the same module",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)


class SafeJSONEncoder(json.JSONEncoder):
    """A JSON encoder that writes what it does not know as its ``repr``, or as a marker."""

    def default(self, o: Any) -> Any:
        """Give the ``repr`` of a value that JSON has no type for."""
        return Sanitiser().repr(o)


class RequestIdLogFilter(logging.Filter):
    """Puts the current request id on each record, as ``rid``; None outside of a request.

    A record that was logged with a ``rid`` of its own keeps it there, as a server's
    access line has one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        record.rid = request_id_context.get() or getattr(record, "rid", None)
        return True


def safer_format_traceback(exc_typ: Any, exc_val: Any, exc_tb: Any) -> str:
    """Give an exception's text, in which values from outside cannot forge lines.

    It begins with ``Uncaught exception:`` and ends with the exception's type
    and ``repr``, a line each; causes, notes and groups have their place.
    """
    triple = as_exc_info((exc_typ, exc_val, exc_tb))
    return "" if triple is None else render_exception(triple, Sanitiser())[1]


def get_or_generate_request_id(headers: Mapping[str, str], header_name: str | None = None) -> str:
    """Give the request id that a request came with, else a new random one.

    ``headers``: the request's headers, in any case. ``header_name``: where to
    look, ``x-request-id`` by default. An id is taken as it is where it is
    visible ASCII of at most 128 characters; of a header sent twice, the first
    such one. Anything else is replaced.
    """
    name = (header_name or DEFAULT_HEADER).lower()
    value = headers.get(header_name or DEFAULT_HEADER)
    if not value:
        value = next((held for key, held in headers.items() if str(key).lower() == name), None)
    return _POLICY.resolve([value] if isinstance(value, str) else [], []).value
