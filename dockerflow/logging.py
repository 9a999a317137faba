"""The names of upstream's ``dockerflow.logging``, built on ``mozlog_py``.

A service that imports them, in Python, in a dictConfig or in an ini file, runs on this
package without a change.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import mozlog_py.formatter
from mozlog_py._config.formatter_options import fmt_problem
from mozlog_py._fields.late_request_ids import served
from mozlog_py._fields.server_records import late_request_id
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py._values.tracebacks import as_exc_info, render_exception
from mozlog_py.context import request_id_context
from mozlog_py.handlers import MozlogHandler
from mozlog_py.typing import Style

from .request_id import DEFAULT_HEADER, RequestIdPolicy

if TYPE_CHECKING:
    # A type checker would take a class with ABCMeta for an abstract one.
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
    """A ``mozlog_py.MozlogFormatter`` that accepts what upstream accepts.

    An ``fmt`` without the name of an attribute has no meaning. Here it gives a warning and is
    left out, while ``mozlog_py`` raises an error. Every ``mozlog_py.MozlogFormatter`` is an
    instance of this class, because the formatter of a ``MozlogHandler`` has to be one.
    """

    _has_standard_lines: ClassVar[bool] = True

    def __init__(
        self,
        fmt: str | Sequence[str] | None = None,
        datefmt: str | None = None,
        style: Style = "%",
        logger_name: str | bool = "Dockerflow",
        *args: Any,
        **options: Any,
    ) -> None:
        problem = fmt_problem(fmt, style)
        if problem is not None:
            warnings.warn(f"{problem}. It is left out", stacklevel=2)
            fmt = None
        super().__init__(fmt, datefmt, style, logger_name, *args, **options)

    @classmethod
    def __subclasshook__(cls, other: type, /) -> Any:
        """Return whether a class is a formatter of ours; subclasses of this have only their own."""
        if cls is MozlogFormatter and issubclass(other, mozlog_py.formatter.MozlogFormatter):
            return True
        return NotImplemented


class JsonLogFormatter(MozlogFormatter):
    """The old name of ``MozlogFormatter``, with a ``DeprecationWarning``."""

    _has_standard_lines: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            # Upstream's text, which filters of services match.
            "JsonLogFormatter has been deprecated. Use MozlogFormatter instead",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)


class SafeJSONEncoder(json.JSONEncoder):
    """A JSON encoder that writes values without a JSON type as their ``repr``, or as a marker."""

    def default(self, o: Any) -> Any:
        """Return the ``repr`` of a value without a JSON type."""
        return Sanitiser().repr(o)


class RequestIdLogFilter(logging.Filter):
    """Sets ``rid`` on each record: the id of the current request; None outside of a request.

    Outside of a request a record keeps a ``rid`` of its own. A server's access line and its line
    about an exception get the id of the request that they are about.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        # Some servers log their access line after the request's context has ended.
        served.is_wanted = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the id on a record, and return True for all records."""
        record.rid = (
            request_id_context.get() or getattr(record, "rid", None) or late_request_id(record)
        )
        return True


def safer_format_traceback(exc_typ: Any, exc_val: Any, exc_tb: Any) -> str:
    """Return the text of an exception, in which foreign values cannot forge lines.

    The text begins with ``Uncaught exception:``, and ends with the exception's type and its
    ``repr`` on a line each. It contains causes, notes and groups.

    Args:
        exc_typ: The type of the exception.
        exc_val: The exception.
        exc_tb: Its traceback.
    """
    triple = as_exc_info((exc_typ, exc_val, exc_tb))
    return "" if triple is None else render_exception(triple, Sanitiser())[1]


def get_or_generate_request_id(headers: Mapping[str, str], header_name: str | None = None) -> str:
    """Return the request id of a header, else a new random one.

    An id is valid if it has at most 128 characters of visible ASCII. Of several ids the first
    valid one counts.

    Args:
        headers: The headers of the request, with names in any case.
        header_name: The name of the header; by default ``x-request-id``.
    """
    name = (header_name or DEFAULT_HEADER).lower()
    value = headers.get(header_name or DEFAULT_HEADER)
    if not value:
        value = next((held for key, held in headers.items() if str(key).lower() == name), None)
    return _POLICY.resolve([value] if isinstance(value, str) else [], []).value
