"""Which exceptions a formatter has just shown with their traceback.

A framework logs an exception, and then the summary of the request or the server logs the same
one. The second traceback would push the first off the screen.
"""

from __future__ import annotations

from typing import Any, Final

from mozlog_py._fields.server_records import READERS
from mozlog_py._process.memo import remember
from mozlog_py._values.tracebacks import attributes_of

from .request_head import SUMMARIES

__all__ = ["is_shown_again", "note_shown"]

_ATTRIBUTE: Final = "_mozlog_shown"
# An exception may be a constant that is raised in every request.
_RECENT_NS: Final = 5_000_000_000
# The loggers of servers and frameworks.
_FOLLOWING: Final = frozenset({SUMMARIES, "aiohttp.server", "django.request", *READERS})


# By formatter: the id of the request whose traceback it has shown last, and when. Some servers
# log the text of an exception and not the exception.
_last: Final[dict[int, tuple[Any, int]]] = {}
_MAX_FORMATTERS: Final = 100


def is_shown_again(error: Any, document: dict[str, Any], formatter_id: int) -> bool:
    """Return whether a line repeats the traceback of an earlier one.

    Args:
        error: The exception; None if the record has the text of one only.
        document: The line, in plain values. Lines of the application show each traceback.
        formatter_id: The ``id()`` of the formatter. Each shows a traceback once.
    """
    if document["Type"] not in _FOLLOWING:
        return False
    ns = document["Timestamp"]
    try:
        if error is None:
            request_id, shown_ns = _last.get(formatter_id, (None, None))
            if request_id is None or request_id != document["Fields"].get("rid"):
                return False
        else:
            shown_ns = attributes_of(error).get(_ATTRIBUTE, {}).get(formatter_id)
        return type(shown_ns) is int and 0 <= ns - shown_ns < _RECENT_NS
    except Exception:
        # It is no exception.
        return False


def note_shown(error: Any, document: dict[str, Any], formatter_id: int) -> None:
    """Note that a line shows the traceback of an exception; see ``is_shown_again``.

    Args:
        error: The exception.
        document: The line, as a dict.
        formatter_id: The ``id()`` of the formatter. Each shows a traceback once.
    """
    ns = document["Timestamp"]
    remember(_last, formatter_id, (document["Fields"].get("rid"), ns), _MAX_FORMATTERS)
    try:
        attributes_of(error).setdefault(_ATTRIBUTE, {})[formatter_id] = ns
    except Exception:
        # It is no exception.
        pass
